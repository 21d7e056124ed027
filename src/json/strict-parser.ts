// Parses strict JSON (RFC 8259, and I-JSON's rule on names, RFC 7493 section 2.3) for documents that a rule reads.
// Whatever two parsers could read differently is refused, so that the other side reads what was checked. Not a
// general parser.

import { isUtf8 } from 'node:buffer'
import { isLowSurrogate, StrictJsonError, type JsonFault } from './strict-json-error.ts'
import { JsonNumber, type StrictJson } from './value.ts'

/** What a document may ask of its reader besides its bytes. */
export interface JsonBounds {
  /** How deep arrays and objects may nest. */
  readonly maxDepth: number
  /** Total count of values and member names at any depth; a long text counts as one. */
  readonly maxValues: number
}

/** More than any request or object of the API needs, and read in a few milliseconds. */
const usualBounds: JsonBounds = { maxDepth: 64, maxValues: 10_000 }

/**
 * Parses one document. Throws StrictJsonError for a byte order mark, bytes that are not UTF-8, duplicate names (compared
 * after unescaping), escapes of lone surrogates, numbers of more than 1000 characters, everything outside RFC 8259, which an empty document is, and for more depth
 * or values than the bounds say. Linear in the length of the document, and refused where a bound is passed.
 */
export function parseStrictJson(bytes: Buffer, bounds: JsonBounds = usualBounds): StrictJson {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) throw new StrictJsonError('byte order mark', '', 0)
  if (!isUtf8(bytes)) {
    const valid = bytes.toString('utf8', 0, lengthOfUtf8(bytes))
    throw new StrictJsonError('invalid UTF-8', valid, valid.length)
  }
  return new Parser(bytes.toString('utf8'), bounds).document()
}

/** Length of the longest beginning that is UTF-8; `bytes` are not UTF-8 as a whole. */
function lengthOfUtf8(bytes: Buffer): number {
  // Decoding replaces what is invalid by U+FFFD, so the first byte that differs is in it.
  const repaired = Buffer.from(bytes.toString('utf8'))
  let at = 0
  while (bytes[at] === repaired[at]) at += 1
  while (((repaired[at] ?? 0) & 0xc0) === 0x80) at -= 1
  return at
}

const [quote, backslash, lineFeed, carriageReturn, space, tab] = [0x22, 0x5c, 0x0a, 0x0d, 0x20, 0x09]
/** RFC 8259's `unescaped`, in UTF-16. The engine finds its end faster than a loop does. */
const unescaped = /[\u0020\u0021\u0023-\u005b\u005d-\uffff]*/y
const letterU = 0x75
/** Character codes that may follow a backslash, besides `u`. */
const escapable = new Set(Array.from('"\\/bfnrt', (character) => character.charCodeAt(0)))
/** Readers keep few digits, and exact arithmetic with many takes long. */
const longestNumber = 1000
const numberForm = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y

/** One pass over the text by recursive descent; the depth limit bounds the recursion. */
class Parser {
  readonly #text: string
  readonly #bounds: JsonBounds
  #at = 0
  #values = 0

  constructor(text: string, bounds: JsonBounds) {
    this.#text = text
    this.#bounds = bounds
  }

  document(): StrictJson {
    const value = this.#value(0)
    this.#skipSpace()
    if (this.#at < this.#text.length) throw this.#unexpected('the end')
    return value
  }

  #value(depth: number): StrictJson {
    this.#skipSpace()
    this.#count()
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(this.#deeper(depth))
      case '[':
        return this.#array(this.#deeper(depth))
      case '"':
        return this.#string()
      case 't':
        return this.#literal('true', true)
      case 'f':
        return this.#literal('false', false)
      case 'n':
        return this.#literal('null', null)
      default:
        return this.#number()
    }
  }

  /** Counts one value or name. */
  #count(): void {
    this.#values += 1
    if (this.#values > this.#bounds.maxValues)
      throw this.#error(`more than ${this.#bounds.maxValues} values and names`, this.#at, 'values')
  }

  #deeper(depth: number): number {
    if (depth >= this.#bounds.maxDepth)
      throw this.#error(`nested deeper than ${this.#bounds.maxDepth}`, this.#at, 'depth')
    return depth + 1
  }

  #object(depth: number): StrictJson {
    // Without a prototype, `in` sees the members alone and `__proto__` is one of them. The cast states what is added
    // below.
    const members = Object.create(null) as { [member: string]: StrictJson }
    this.#at += 1
    if (this.#closes('}')) return members
    do {
      this.#skipSpace()
      const start = this.#at
      if (this.#text[start] !== '"') throw this.#unexpected('a member name in double quotes')
      this.#count()
      const name = this.#string()
      if (name in members) throw this.#error(`duplicate member ${JSON.stringify(name.slice(0, 64))}`, start)
      this.#skipSpace()
      if (this.#text[this.#at] !== ':') throw this.#unexpected('":"')
      this.#at += 1
      members[name] = this.#value(depth)
    } while (this.#continues('}'))
    return members
  }

  #array(depth: number): StrictJson {
    const items: StrictJson[] = []
    this.#at += 1
    if (this.#closes(']')) return items
    do items.push(this.#value(depth))
    while (this.#continues(']'))
    return items
  }

  #closes(bracket: string): boolean {
    this.#skipSpace()
    if (this.#text[this.#at] !== bracket) return false
    this.#at += 1
    return true
  }

  #continues(bracket: string): boolean {
    if (this.#closes(bracket)) return false
    if (this.#text[this.#at] !== ',') throw this.#unexpected(`"," or "${bracket}"`)
    this.#at += 1
    return true
  }

  #string(): string {
    const text = this.#text
    const open = this.#at
    unescaped.lastIndex = open + 1
    unescaped.test(text)
    const end = unescaped.lastIndex
    if (text.charCodeAt(end) !== quote) return this.#escapedString(open, end)
    this.#at = end + 1
    return text.slice(open + 1, end)
  }

  /** A string whose first escape, or whatever else it may not hold, is at `from`. The engine reads it faster than a loop does. */
  #escapedString(open: number, from: number): string {
    const end = this.#closingQuote(from)
    const value = unescapedText(this.#text.slice(open, end + 1))
    if (value === null) return this.#checkedString(open, from)
    this.#at = end + 1
    return value
  }

  /** The first quote from there on that no backslash escapes; -1 when there is none. */
  #closingQuote(from: number): number {
    const text = this.#text
    let end = text.indexOf('"', from)
    while (end !== -1) {
      let start = end
      while (start > from && text.charCodeAt(start - 1) === backslash) start -= 1
      if ((end - start) % 2 === 0) return end
      end = text.indexOf('"', end + 1)
    }
    return -1
  }

  /** The same step by step: finds what is wrong with it. By a loop: escapes may stand side by side. */
  #checkedString(open: number, from: number): string {
    const text = this.#text
    let at = from
    for (let code = text.charCodeAt(at); code !== quote; code = text.charCodeAt(at)) {
      if (at >= text.length) throw this.#error('string without end', open)
      if (code < space) throw this.#error('unescaped control character in a string', at)
      at = code === backslash ? this.#endOfEscape(at) : at + 1
    }
    this.#at = at + 1
    // Every escape was checked above, so JSON.parse only unescapes, and gives a string.
    return JSON.parse(text.slice(open, at + 1)) as string
  }

  /** Checks the escape at `at` and gives the index behind it; a surrogate pair is one escape. */
  #endOfEscape(at: number): number {
    const kind = this.#text.charCodeAt(at + 1)
    if (kind !== letterU) {
      if (!escapable.has(kind)) throw this.#error('invalid escape', at)
      return at + 2
    }
    const code = this.#hexadecimal(at)
    if (code < 0xd800 || code > 0xdfff) return at + 6
    const isPaired =
      code < 0xdc00 &&
      this.#text.charCodeAt(at + 6) === backslash &&
      this.#text.charCodeAt(at + 7) === letterU &&
      isLowSurrogate(this.#hexadecimal(at + 6))
    if (!isPaired) throw this.#error('escape of a lone surrogate', at)
    return at + 12
  }

  /** The code of the escape `\\uXXXX` at `at`. */
  #hexadecimal(at: number): number {
    let code = 0
    for (let index = at + 2; index < at + 6; index += 1) {
      const digit = hexDigit(this.#text.charCodeAt(index))
      if (digit === -1) throw this.#error('invalid escape', at)
      code = code * 16 + digit
    }
    return code
  }

  #number(): JsonNumber {
    numberForm.lastIndex = this.#at
    const raw = numberForm.exec(this.#text)?.[0]
    if (raw === undefined)
      throw this.#text[this.#at] === '-' ? this.#error('malformed number') : this.#unexpected('a value')
    if (raw.length > longestNumber) throw this.#error(`number of more than ${longestNumber} characters`)
    const end = this.#at + raw.length
    if (end < this.#text.length && '0123456789.eE+-'.includes(this.#text.charAt(end)))
      throw this.#error('malformed number')
    this.#at = end
    return new JsonNumber(raw)
  }

  #literal<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected('a value')
    this.#at += word.length
    return value
  }

  #skipSpace(): void {
    const text = this.#text
    let at = this.#at
    for (let code = text.charCodeAt(at); isSpace(code); code = text.charCodeAt(at)) at += 1
    this.#at = at
  }

  #unexpected(expected: string): StrictJsonError {
    const code = this.#text.codePointAt(this.#at)
    if (code === undefined) return this.#error(`expected ${expected}, found the end`)
    const printable = code > 0x20 && code < 0x7f
    const found = printable
      ? `"${String.fromCodePoint(code)}"`
      : `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
    return this.#error(`expected ${expected}, found ${found}`)
  }

  #error(what: string, at: number = this.#at, fault: JsonFault = 'syntax'): StrictJsonError {
    return new StrictJsonError(what, this.#text, at, fault)
  }
}

/** What a string with its quotes says; null when it is none, or leaves a surrogate alone. */
function unescapedText(quoted: string): string | null {
  try {
    // Between quotes it is a string or nothing.
    const text = JSON.parse(quoted) as string
    return text.isWellFormed() ? text : null
  } catch {
    return null
  }
}

function isSpace(code: number): boolean {
  return code === space || code === lineFeed || code === carriageReturn || code === tab
}

/** Value of a hexadecimal digit by its character code; -1 for anything else. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
