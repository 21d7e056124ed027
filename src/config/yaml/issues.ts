// Turns what zod found wrong into sentences at exact places of the file.

import type { z } from 'zod'
import { synonymOf } from '../synonyms.ts'
import { didYouMean, nearest } from '../nearest.ts'
import { quoted } from '../units.ts'
import type { Found, Tree, TreeNode } from './tree.ts'

type Issue = z.core.$ZodIssue
type Path = readonly PropertyKey[]

/**
 * For `safeParse({ error })`: no message where the schema has none of its own, because the sentence is made below. For
 * an "unrecognized keys" issue the message is the list of known keys, one a line: only here can the schema be seen.
 */
export function messageFor(issue: z.core.$ZodRawIssue): string {
  if (issue.code !== 'unrecognized_keys') return ''
  const definition: unknown = issue.inst?._zod.def
  const shape = typeof definition === 'object' && definition !== null && 'shape' in definition ? definition.shape : null
  return typeof shape === 'object' && shape !== null ? Object.keys(shape).join('\n') : ''
}

/** One sentence for each mistake, without those that only follow from another mistake. */
export function describeIssues(issues: readonly Issue[], tree: Tree): Found[] {
  const spoiled = new Set(tree.problems.map(({ place }) => place.offset))
  const own = inFileOrder(withoutConsequences(issues), tree)
  const found = own
    .slice(0, mostDescribed)
    .flatMap((issue) => describe(issue, issue.path, tree))
    .filter(({ place }) => !spoiled.has(place.offset))
  for (const issue of own.slice(mostDescribed)) found.push({ place: tree.placeOf(issue.path), message: undescribed })
  const reported = new Set(found.map(({ place }) => place.offset))
  return [...found, ...inexactNumbers(tree).filter(({ place }) => !reported.has(place.offset))]
}

/** Few mistakes keep the order in which they were found. */
function inFileOrder(issues: readonly Issue[], tree: Tree): readonly Issue[] {
  if (issues.length <= mostDescribed) return issues
  return issues
    .map((issue) => ({ issue, offset: tree.placeOf(issue.path).offset }))
    .sort((a, b) => a.offset - b.offset)
    .map(({ issue }) => issue)
}

/** Sentences are made for more mistakes than are told of one file; after that they are only counted. */
const mostDescribed = 500
const undescribed = 'this is not accepted here'

/** An unknown key also leaves the key that was meant missing, and its object perhaps incomplete: those issues are dropped. */
function withoutConsequences(issues: readonly Issue[]): Issue[] {
  const unfinished = new Set<string>()
  const misspelt = new Set<string>()
  for (const issue of issues) {
    if (issue.code !== 'unrecognized_keys') continue
    unfinished.add(pathKey(issue.path))
    for (const key of issue.keys.slice(0, mostDescribed))
      misspelt.add(pathKey([...issue.path, meantKey(key, issue.message.split('\n')) ?? key]))
  }
  return issues.filter((issue) => !(issue.code === 'custom' ? unfinished : misspelt).has(pathKey(issue.path)))
}

/** What another product calls so comes before what is spelled alike. */
function meantKey(key: string, known: readonly string[]): string | null {
  return synonymOf(key, known) ?? nearest(key, known)
}

/** Paths as keys of a map: a JSON array of their parts. */
function pathKey(path: readonly PropertyKey[]): string {
  return JSON.stringify(path.map((part) => (typeof part === 'symbol' ? String(part) : part)))
}

function describe(issue: Issue, path: Path, tree: Tree): Found[] {
  if (issue.code === 'unrecognized_keys') return unknownKeys(issue.keys, issue.message.split('\n'), path, tree)
  const node = tree.node(path)
  if (node === null && issue.code !== 'custom') {
    const parent = tree.node(path.slice(0, -1))
    return [{ place: parent?.keyPlace ?? tree.placeOf(path), message: `missing key ${quoted(String(path.at(-1)))}` }]
  }
  if (node === null) return [{ place: tree.placeOf(path), message: issue.message }]
  if (issue.code === 'invalid_key') return [{ place: node.keyPlace, message: issue.issues[0]?.message ?? '' }]
  const variable = node.value === '' ? /^\$\{(\w+)\}$/.exec(node.template ?? '')?.[1] : undefined
  if (variable !== undefined)
    return [
      {
        place: node.place,
        message: `the environment variable ${variable} is empty: set it, or give a default with \${${variable}:-default}`,
      },
    ]
  if (issue.message !== '') return [{ place: node.place, message: concealed(issue.message, node) }]
  if (issue.code === 'invalid_union') return describeUnion(issue.errors, path, node, tree)
  const wanted = wantedBy(issue)
  return [{ place: node.place, message: wanted === null ? boundOf(issue) : expectation([wanted], node) }]
}

/** A bound of the schema that has no sentence of its own. */
function boundOf(issue: Issue): string {
  if (issue.code === 'too_small') return `must be at least ${issue.minimum}`
  if (issue.code === 'too_big') return `must be at most ${issue.maximum}`
  return 'is not accepted here: docs/configuration.md says what is'
}

function unknownKeys(keys: readonly string[], known: readonly string[], path: Path, tree: Tree): Found[] {
  return keys.map((key, index) => {
    const place = tree.node([...path, key])?.keyPlace ?? tree.placeOf(path)
    if (index >= mostDescribed) return { place, message: undescribed }
    const meant = meantKey(key, known)
    const fault = keyFault(key, known)
    if (fault !== null) return { place, message: fault }
    return {
      place,
      message: `unknown key ${quoted(key)}${meant === null ? `: the keys here are ${known.join(', ')}` : `; did you mean ${quoted(meant)}?`}`,
    }
  })
}

/** What went wrong in writing a key, where another name is not what is missing. */
function keyFault(key: string, known: readonly string[]): string | null {
  const [, name = '', sign = '', rest = ''] = /^([\w.-]+)([:=])(.*)$/s.exec(key) ?? []
  if (sign === ':' && rest !== '') return `a space is missing behind "${name}:"`
  if (sign === '=' && known.includes(name)) return `write ":" and a space in place of "=" behind "${name}"`
  return /[\u00A0\u2000-\u200B\u202F\u3000\uFEFF]/.test(key)
    ? 'this line holds a space that is none for YAML, like a no-break space: type its spaces anew'
    : null
}

/** One line for a union: the mistakes inside the only form that was meant, or all forms that would have been accepted. */
function describeUnion(forms: readonly (readonly Issue[])[], path: Path, node: TreeNode, tree: Tree): Found[] {
  const meant = forms.find((issues) => issues.every((issue) => issue.path.length > 0 || wantedBy(issue) === null))
  if (meant !== undefined) {
    return withoutConsequences(meant).flatMap((issue) => describe(issue, [...path, ...issue.path], tree))
  }
  const wanted = forms.flatMap((issues) => {
    const first = issues.map(wantedBy).find((want) => want !== null)
    return first === undefined || first === null ? [] : [first]
  })
  return [{ place: node.place, message: expectation(wanted, node) }]
}

/** What an issue about the kind of a value asked for. */
interface Wanted {
  readonly words: readonly string[]
  /** The texts among them, for the nearest spelling. */
  readonly texts: readonly string[]
  readonly anyText: boolean
}

const kinds: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
  null: 'nothing',
}

function wantedBy(issue: Issue): Wanted | null {
  if (issue.message !== '') return null
  if (issue.code === 'invalid_type') {
    return { words: [kinds[issue.expected] ?? issue.expected], texts: [], anyText: issue.expected === 'string' }
  }
  if (issue.code === 'invalid_value') {
    const texts = issue.values.filter((value) => typeof value === 'string')
    return {
      words: issue.values.map((value) => (typeof value === 'string' ? quoted(value) : String(value))),
      texts,
      anyText: false,
    }
  }
  if (issue.code !== 'invalid_union') return null
  const parts = issue.errors
    .map((form) => form.map(wantedBy).find((want) => want !== null) ?? null)
    .filter((want) => want !== null)
  return {
    words: parts.flatMap(({ words }) => words),
    texts: parts.flatMap(({ texts }) => texts),
    anyText: parts.some(({ anyText }) => anyText),
  }
}

function expectation(wanted: readonly Wanted[], node: TreeNode): string {
  const expected = `expected ${alternatives([...new Set(wanted.flatMap(({ words }) => words))])}`
  const { value, source } = node
  if (source !== null && source !== '' && wanted.some(({ anyText }) => anyText)) {
    return `${expected}, but YAML reads ${source} as ${readAs(value, source)}: put it in quotes`
  }
  const texts = wanted.flatMap((each) => each.texts)
  const near = typeof value === 'string' && node.template === null ? meantText(value, texts) : ''
  return `${expected}, found ${found(node)}${near}${near === '' ? adviceFor(wanted, node) : ''}`
}

/** The nearest text, or else the only one that is a longer or a shorter form of the word. */
function meantText(word: string, texts: readonly string[]): string {
  const near = didYouMean(word, texts)
  if (near !== '' || word.length < 3) return near
  const [form, ...others] = texts.filter((text) => text.length > 2 && (text.startsWith(word) || word.startsWith(text)))
  return form === undefined || others.length > 0 ? '' : `; did you mean "${form}"?`
}

/** What to change where another kind of value was almost right. */
function adviceFor(wanted: readonly Wanted[], { value, source, template }: TreeNode): string {
  const words = wanted.flatMap((each) => each.words)
  const has = (kind: string): boolean => words.includes(kinds[kind] ?? kind)
  if (value === null && source === '' && (has('object') || has('array')))
    return ': indent what belongs to it, or remove the key'
  const unspaced = typeof value === 'string' && has('object') ? /^([\w.-]+):\S/.exec(template ?? value)?.[1] : undefined
  if (unspaced !== undefined) return `: a space is missing behind "${unspaced}:"`
  if (typeof value === 'string' && has('array') && /^(?:\*|all|any|every(?:body|one))$/i.test(value))
    return words.includes('"all"') ? ': write all' : ': name each of them'
  if (typeof value === 'string' && has('array') && !has('string'))
    return `: put it in brackets, [${template ?? value}]`.slice(0, 200)
  if (typeof value === 'string' && template === null && (has('number') || has('int')) && /^-?\d+(\.\d+)?$/.test(value))
    return ': remove the quotes'
  if (typeof value === 'string' && template === null && has('boolean') && /^(yes|no|on|off|y|n)$/i.test(value))
    return `: write ${/^(yes|on|y)$/i.test(value) ? 'true' : 'false'}`
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && has('array') && 'except' in value)
    return ': `except` stands beside this key, as a list of mappings'
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && has('array'))
    return ': begin each entry with "- "'
  return ''
}

function readAs(value: unknown, source: string): string {
  if (typeof value === 'boolean') return 'a boolean'
  if (typeof value !== 'number') return 'no value'
  return String(value) === source ? 'a number' : `the number ${value}`
}

function found({ value, source, template }: TreeNode): string {
  if (typeof value === 'string') return `the text ${quoted(template ?? value)}`
  if (value === null || value === undefined) return source === null || source === '' ? 'nothing' : `nothing (${source})`
  if (typeof value === 'number') return `the number ${source ?? String(value)}`
  if (typeof value === 'boolean') return String(value)
  return Array.isArray(value) ? 'a list' : 'a mapping'
}

/** `a`, `a or b`, `a, b or c`. */
export function alternatives(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

/** What a variable held is not shown: it may be a secret that was put into the wrong place. */
function concealed(message: string, node: TreeNode): string {
  if (node.template === null || typeof node.value !== 'string') return message
  return message.replaceAll(quoted(node.value), quoted(node.template))
}

function inexactNumbers(tree: Tree): Found[] {
  const problems: Found[] = []
  for (const { value, source, place } of tree.nodes()) {
    if (typeof value !== 'number' || source === null) continue
    if (/^[-+]?0[0-9]/.test(source)) {
      problems.push({
        place,
        message: `${source} is not read as the same number everywhere: drop the leading zero, or put it in quotes if it is a text`,
      })
    } else if (/^[-+]?(?:0[ox]|[0-9.]+e)/i.test(source)) {
      problems.push({
        place,
        message: `YAML reads ${source} as the number ${value}: write it in decimal digits, or put it in quotes if it is a text`,
      })
    } else if (!Number.isFinite(value) || (/^[-+]?[0-9]+$/.test(source) && !Number.isSafeInteger(value))) {
      problems.push({
        place,
        message: `${source} cannot be kept exactly as a number: put it in quotes if it is a text`,
      })
    }
  }
  return problems
}
