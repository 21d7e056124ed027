// What the YAML parser found, in sentences about the file: its own messages speak of the grammar. Pure.

import type { Document } from 'yaml'
import { quoted } from '../units.ts'
import { tooDeep, type Found } from './tree.ts'

const repeatedKey = 'this key appears twice in the same mapping: remove one of the two'

/**
 * What the parser found, and repeated keys by their offsets. Of plain syntax errors only the first: the others are mostly its
 * consequences.
 */
export function syntaxProblems(
  document: Document.Parsed,
  text: string,
  variables: boolean,
  repeated: readonly number[] = [],
): Found[] {
  const exhausted = document.errors.find(({ code }) => code === 'RESOURCE_EXHAUSTION')
  if (exhausted !== undefined) return [{ place: { offset: exhausted.pos[0] }, message: tooDeep }]
  const errors = [...document.errors, ...document.warnings]
  if (errors.length === 0 && repeated.length === 0) return []
  const conflict = /^(?:<{7}|={7}|>{7})(?: .*)?$/m.exec(text)
  if (conflict !== null)
    return [at(conflict.index, 'Git left the two sides of a conflict here: keep one of them, and remove the marks')]
  const problems: Found[] = []
  let syntax = false
  for (const { code, message, pos } of errors) {
    const plain = independent[code]
    if (plain === undefined && syntax) continue
    syntax ||= plain === undefined
    problems.push(plain === undefined ? sentence(code, message, pos[0], text, variables) : at(pos[0], plain))
  }
  return [...problems, ...repeated.map((offset) => at(offset, repeatedKey))]
}

/** Mistakes that stand by themselves. */
const independent: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: repeatedKey,
  MULTIPLE_DOCS:
    'the file holds several documents: remove the "---" line and what follows, or make it a file of its own',
}

const fits = 'entries of one list or mapping begin in the same column'

function at(offset: number, message: string): Found {
  return { place: { offset }, message }
}

function sentence(code: string, message: string, offset: number, text: string, variables: boolean): Found {
  const line = lineAt(text, offset)
  const template = line.text.search(/\{[{%]/)
  if (template !== -1)
    return at(
      line.start + template,
      `"${line.text.slice(template, template + 2)}" begins a template, and templates are not filled in here: render the file first`,
    )
  const character = text.charAt(offset)
  const open = unclosedAt(text, offset)
  if (open !== null && unclosedAt(text, text.length) === null) {
    const found = inBrackets(code, offset, text, line)
    if (found !== null) return found
  }
  switch (code) {
    case 'TAB_AS_INDENT':
      return at(offset, 'YAML does not allow tabs as indentation: use spaces')
    case 'BAD_DQ_ESCAPE':
      return at(
        offset,
        `${quoted(text.slice(offset, offset + 2))} has no meaning in a text in double quotes: use single quotes, where a backslash stands for itself`,
      )
    case 'BAD_SCALAR_START':
      return at(offset, `a text that begins with "${character}" must be in quotes`)
    case 'BAD_ALIAS':
      return at(offset, 'a text that begins with "*" or "&" must be in quotes')
    case 'TAG_RESOLVE_FAILED':
      return at(
        offset,
        `tags like ${/![^\s,[\]{}]*/.exec(text.slice(offset))?.[0] ?? '!'} are not supported: write the plain value, in quotes if it is a text`,
      )
    case 'MULTILINE_IMPLICIT_KEY':
      return withoutColon(line, offset)
  }
  if (message.startsWith('Comments must'))
    return at(offset, 'a space is missing before "#": only then does it begin a comment')
  if (message.includes('on same line with key'))
    return at(offset, 'a list begins on the line below its key, or stands in brackets: [a, b]')
  if (text.startsWith('${', offset - 1)) return unexpected('{', offset, text, variables)
  if (code === 'MISSING_CHAR' && /Missing ,/.test(message)) return at(offset, 'a comma is missing between two entries')
  if (message.startsWith('Implicit map keys need') && !hasColon(line.text)) return withoutColon(line, offset)
  if (open !== null && !(character !== '' && '{}[],'.includes(character))) return at(open.offset, open.message)
  if (character !== '' && '{}[],'.includes(character)) return unexpected(character, offset, text, variables)
  if (message.endsWith('at node end') && /["']/.test(text.slice(line.start, offset)))
    return at(offset, 'nothing may follow a text in quotes: put the whole text in quotes of the other kind')
  // The colon of the key, and another one behind it on the same line.
  if (
    code === 'BLOCK_AS_IMPLICIT_KEY' &&
    [text.slice(line.start, offset), text.slice(offset, line.end)].every(hasColon)
  )
    return at(offset, 'a text with ": " in it must be in quotes')
  if (code === 'BLOCK_AS_IMPLICIT_KEY' && /^\S/.test(text.slice(offset))) {
    const next = nextLine(text, line.end)
    if (next !== null && next.indent > line.indent)
      return at(next.start + next.indent, `this line is indented too far: ${fits}`)
  }
  const behind = behindBrackets(line)
  if (behind !== null) return behind
  if (['BAD_INDENT', 'BLOCK_AS_IMPLICIT_KEY', 'UNEXPECTED_TOKEN', 'MISSING_CHAR', 'BLOCK_IN_FLOW'].includes(code))
    return at(line.start + line.indent, `the indentation of this line fits nothing above it: ${fits}`)
  return at(offset, `not valid YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`)
}

/** What is wrong between brackets that are all closed; null where nothing particular can be said. */
function inBrackets(code: string, offset: number, text: string, line: Line): Found | null {
  if (text.startsWith('- ', offset))
    return at(offset, 'inside [ ] entries have commas between them, and no "- " before them')
  if (code === 'UNEXPECTED_TOKEN' && /["'\]}]\s+$/.test(text.slice(0, offset)) && !/[\]},:]/.test(text.charAt(offset)))
    return at(offset, 'a comma is missing between two entries')
  if (code !== 'BLOCK_IN_FLOW' && code !== 'MULTILINE_IMPLICIT_KEY') return null
  const next = /^[^,{}[\]"'#]*?\s([\w.-]+):(?:\s|$)/.exec(text.slice(offset, line.end))?.[1]
  if (next !== undefined)
    return at(
      text.indexOf(` ${next}:`, offset) + 1,
      `a comma is missing before "${next}:", or the text before it must be in quotes`,
    )
  return /^[^\n,{}[\]]*\n\s*[\w.-]+:\s/.test(text.slice(offset))
    ? at(offset, 'a comma is missing at the end of this line')
    : null
}

/** Text behind the bracket that ends a value: an address like [::1]:8080, a path that begins with {name}. */
function behindBrackets(line: Line): Found | null {
  const begin = /^\s*(?:- +)*(?:[^\s:#]+:\s+)?(?=[[{])/.exec(line.text)?.[0].length
  if (begin === undefined || line.text.length > longestLine) return null
  const value = line.text.slice(begin).trimEnd()
  for (let end = 1; end < value.length; end += 1) {
    if (unclosedAt(value, end) !== null) continue
    if (/^\s+#/.test(value.slice(end))) return null
    const message = `nothing may follow the "${value.charAt(end - 1)}": put it between the brackets, or the whole text in quotes`
    return at(line.start + begin, message)
  }
  return null
}

const longestLine = 1000

const hasColon = (part: string): boolean => /:(?:\s|$)/.test(part)

/** A line that begins no entry, because ": " is missing. */
function withoutColon(line: Line, offset: number): Found {
  const key = /^\s*(?:- )?([\w.-]+):(?=\S)/.exec(line.text)?.[1]
  return key === undefined
    ? at(offset, 'this line is no entry: write "key: value", or "- value" in a list')
    : at(offset, `a space is missing behind "${key}:"`)
}

function unexpected(character: string, offset: number, text: string, variables: boolean): Found {
  if (character === '{' && text.charAt(offset - 1) === '$')
    return at(
      offset - 1,
      variables
        ? 'a variable inside { … } or [ … ] must be in quotes, like "${NAME}"'
        : 'variables like ${NAME} are not replaced in this file: write the value itself',
    )
  if (character === ']' || character === '}') {
    const open = unclosedAt(text, offset)
    return at(
      offset,
      open === null
        ? `this "${character}" closes nothing: remove it, or put the text in quotes`
        : `this "${character}" does not close the "${open.opening}" before it: put "${open.closing}" here, or the text in quotes`,
    )
  }
  if (character === ',' && /[[{,]\s*$/.test(text.slice(0, offset)))
    return at(offset, 'an entry is missing before this ",": add it, or remove the ","')
  return at(offset, `unexpected "${character}"; texts that hold { } [ ] or , must be in quotes inside { … } and [ … ]`)
}

interface Line {
  readonly start: number
  readonly end: number
  readonly indent: number
  readonly text: string
}

function lineAt(text: string, offset: number): Line {
  const start = text.lastIndexOf('\n', offset - 1) + 1
  const found = text.indexOf('\n', start)
  const end = found === -1 ? text.length : found
  const line = text.slice(start, end)
  return { start, end, indent: line.length - line.trimStart().length, text: line }
}

/** The next line with content. */
function nextLine(text: string, end: number): Line | null {
  for (let from = end; from < text.length;) {
    const line = lineAt(text, from + 1)
    if (/^\s*[^#\s]/.test(line.text)) return line
    from = Math.max(line.end, from + 1)
  }
  return null
}

interface Unclosed {
  readonly offset: number
  readonly opening: string
  readonly closing: string
  readonly message: string
}

/** The bracket or quote that was opened before a place and not closed; null when there is none. */
function unclosedAt(text: string, end: number): Unclosed | null {
  const open: { offset: number; closing: string }[] = []
  for (let offset = 0; offset < end; offset += 1) {
    const character = text.charAt(offset)
    const begins = /^$|[\s[{,:]/.test(text.charAt(offset - 1))
    if (character === '#' && begins) {
      const found = text.indexOf('\n', offset)
      offset = found === -1 ? end : found
    } else if ((character === '"' || character === "'") && begins) {
      const closes = closingQuote(text, offset)
      if (closes === -1 || closes >= end)
        return {
          offset,
          opening: character,
          closing: character,
          message: `this ${character} is never closed: put another one where the text ends`,
        }
      offset = closes
    } else if ((character === '[' || character === '{') && (begins || open.length > 0)) {
      open.push({ offset, closing: character === '[' ? ']' : '}' })
    } else if (character === open.at(-1)?.closing) open.pop()
  }
  const last = open.at(-1)
  if (last === undefined) return null
  const opening = text.charAt(last.offset)
  return { ...last, opening, message: `this "${opening}" is never closed: put "${last.closing}" behind its last entry` }
}

function closingQuote(text: string, opening: number): number {
  const quote = text.charAt(opening)
  for (let offset = opening + 1; offset < text.length; offset += 1) {
    if (quote === '"' && text.charAt(offset) === '\\') offset += 1
    else if (text.charAt(offset) === quote) {
      if (quote === '"' || text.charAt(offset + 1) !== quote) return offset
      offset += 1
    }
  }
  return -1
}
