// Turns the nodes of a YAML document into plain values, and keeps the place of each.

import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type LineCounter,
  type Node,
  type Pair,
  type ParsedNode,
  type Range,
} from 'yaml'
import { expandVariables, unreplaced } from './variables.ts'
import { quoted } from '../units.ts'

/** Offset into the text. */
export interface Place {
  readonly offset: number
}

export interface Found {
  readonly place: Place
  readonly message: string
}

/** What is known about the value at one path. */
export interface TreeNode {
  readonly value: unknown
  /** Where the value begins, or its key when the value begins on a later line or is empty. */
  readonly place: Place
  /** The key that holds the value; the value itself in a list. */
  readonly keyPlace: Place
  /** The scalar as written, when YAML read something else than a text. */
  readonly source: string | null
  /** The text before its variables were replaced: only that may be shown. */
  readonly template: string | null
}

export interface Tree {
  readonly value: unknown
  readonly problems: readonly Found[]
  /** What looks like a variable and is not replaced. */
  readonly warnings: readonly Found[]
  /** False when parts of the file could not be read, so that further checks would mislead. */
  readonly complete: boolean
  node(path: readonly PropertyKey[]): TreeNode | null
  nodes(): Iterable<TreeNode>
  /** The values at every place that matches the pattern; `*` matches each member of a list or mapping. */
  matching(pattern: readonly string[]): Iterable<TreeNode>
  /** The place of the value at the path, or of the nearest value that holds it. */
  placeOf(path: readonly PropertyKey[]): Place
}

type Environment = Readonly<Record<string, string | undefined>>

export const tooDeep = 'the file is nested too deeply'
// Deeper than any file of ours; far below the depth at which a recursive reader would exhaust the stack.
const maxDepth = 64

/** A node with what it holds, by key or index. */
interface Branch extends TreeNode {
  readonly children: ReadonlyMap<PropertyKey, Branch> | null
}

/** What a `${NAME}` in a value means: it is replaced from an environment, it is probably a mistake with this advice, or it stays. */
export type Variables = { readonly env: Environment } | { readonly advice: string } | null

/** Reads the whole tree. Refuses anchors and aliases, tags, and keys that are not texts; puts variables in from an environment. */
export function readTree(root: ParsedNode, lines: LineCounter, variables: Variables): Tree {
  const problems: Found[] = []
  const warnings: Found[] = []
  let complete = true
  const refuse = (node: Node | null, message: string): null => {
    problems.push({ place: start(node), message })
    complete = false
    return null
  }

  /** `isGiven`: below a body or claims of a test, which may hold anything. */
  function read(node: Node | null, depth: number, key: Node | null, isGiven = false): Branch | null {
    const place = key !== null && beginsLater(lines, key, node) ? start(key) : start(node)
    const keyPlace = key === null ? start(node) : start(key)
    const branch = (value: unknown, more: Partial<Branch> = {}): Branch => ({
      value,
      place,
      keyPlace,
      source: null,
      template: null,
      children: null,
      ...more,
    })
    if (depth > maxDepth) return refuse(node, tooDeep)
    if (isAlias(node) || (node !== null && 'anchor' in node && node.anchor !== undefined)) {
      return refuse(
        node,
        'anchors and aliases are not supported: write the value out, or put a text that begins with "&" or "*" in quotes',
      )
    }
    if (node?.tag !== undefined && node.tag !== '')
      return refuse(
        node,
        `tags like ${node.tag.replace('tag:yaml.org,2002:', '!!')} are not supported: write the plain value, in quotes if it is a text`,
      )
    if (isMap(node)) {
      const children = new Map<string, Branch>()
      return branch(readMap(node.items, depth, children, isGiven), { children })
    }
    if (isSeq(node)) {
      const children = new Map<number, Branch>()
      const values = node.items.map((item, index) =>
        keep(children, index, read(asNode(item), depth + 1, null, isGiven)),
      )
      return branch(values, { children })
    }
    if (!isScalar(node)) return branch(null, { source: '' })
    if (typeof node.value !== 'string') return branch(node.value, { source: node.source ?? '' })
    const doubt = isGiven ? null : variableDoubt(node.value, key, variables)
    if (doubt !== null) warnings.push({ place, message: doubt })
    const expanded =
      variables !== null && 'env' in variables ? expandVariables(node.value, variables.env) : { value: node.value }
    if ('error' in expanded) {
      problems.push({ place, message: expanded.error })
      return branch(node.value)
    }
    return branch(expanded.value, { template: expanded.value === node.value ? null : node.value })
  }

  function readMap(
    pairs: readonly Pair[],
    depth: number,
    children: Map<string, Branch>,
    isGiven: boolean,
  ): Record<string, unknown> {
    // Without a prototype, so that no key can name anything inherited.
    const value: Record<string, unknown> = Object.create(null)
    for (const pair of pairs) {
      const key = asNode(pair.key)
      const name = keyName(key, refuse)
      if (name !== null)
        value[name] = keep(children, name, read(asNode(pair.value), depth + 1, key, isGiven || name === 'body'))
    }
    return value
  }

  const top = read(root, 0, null)
  return {
    value: top?.value,
    problems,
    warnings,
    complete,
    node(path) {
      const { branch, whole } = descend(top, path)
      return whole ? branch : null
    },
    nodes: () => (top === null ? [] : below(top)),
    matching: (pattern) => (top === null ? [] : along(top, pattern)),
    placeOf: (path) => descend(top, path).branch?.place ?? start(root),
  }
}

/** Texts that may speak of variables. */
const forPeople: ReadonlySet<string> = new Set(['description', 'reason', 'owner', 'contact'])

/** What looks like a variable and is none. */
function variableDoubt(text: string, key: Node | null, variables: Variables): string | null {
  if (/^[\u2018\u201A-\u201C\u201E].*[\u2018-\u201F]$/.test(text))
    return `${quoted(text)} stands in typographic quotes, which are part of the text: write plain ones, or none`
  if (variables === null || (isScalar(key) && forPeople.has(String(key.value)))) return null
  if ('env' in variables && /^~(?:\/|$)/.test(text)) return '"~" is not replaced: write the whole path'
  return unreplaced(text, 'env' in variables ? null : variables.advice)
}

/** Notes what was read under its key or index, and gives its value. */
function keep<Key>(children: Map<Key, Branch>, key: Key, child: Branch | null): unknown {
  if (child !== null) children.set(key, child)
  return child?.value
}

/** As far down a path as there are nodes. */
function descend(top: Branch | null, path: readonly PropertyKey[]): { branch: Branch | null; whole: boolean } {
  let branch = top
  for (const part of path) {
    const next = branch?.children?.get(part)
    if (next === undefined) return { branch, whole: false }
    branch = next
  }
  return { branch, whole: true }
}

function* below(branch: Branch): Iterable<TreeNode> {
  yield branch
  for (const child of branch.children?.values() ?? []) yield* below(child)
}

function* along(branch: Branch, [step, ...rest]: readonly string[]): Iterable<Branch> {
  if (step === undefined) {
    yield branch
    return
  }
  for (const [key, child] of branch.children ?? []) if (step === '*' || key === step) yield* along(child, rest)
}

function keyName(key: Node | null, refuse: (node: Node | null, message: string) => void): string | null {
  if (!isScalar(key)) {
    const template = isMap(key) && key.flow === true
    refuse(
      key,
      template
        ? '"{{" begins a template, and templates are not filled in here: render the file first'
        : 'a key must be a plain word',
    )
    return null
  }
  const { value } = key
  if (typeof value !== 'string') {
    const written = key.source ?? ''
    refuse(
      key,
      written === '' ? 'a key is missing before ":"' : `the key ${written} is not a text for YAML: put it in quotes`,
    )
    return null
  }
  // Copying code of all kinds treats this name specially.
  if (value === '__proto__') {
    refuse(key, `the key ${quoted(value)} is not allowed`)
    return null
  }
  return value
}

/** Items and pairs of a parsed document hold nodes or null; the types of the library do not say so. */
function asNode(item: unknown): Node | null {
  // See above: every item of a parsed collection is a node.
  return item === undefined || item === null ? null : (item as Node)
}

function start(node: Node | null): Place {
  const range: Range | null | undefined = node?.range
  return { offset: range?.[0] ?? 0 }
}

function beginsLater(lines: LineCounter, key: Node, node: Node | null): boolean {
  const empty = node === null || (isScalar(node) && node.source === '' && node.value === null)
  return empty || lines.linePos(start(node).offset).line > lines.linePos(start(key).offset).line
}
