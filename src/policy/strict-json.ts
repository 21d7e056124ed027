// Strict JSON (RFC 8259, and I-JSON's rule on names, RFC 7493 section 2.3) for bodies that a rule looks at: whatever two
// parsers could read differently is refused, so that what was judged is what the upstream reads. Not a general parser.

import { isUtf8 } from 'node:buffer'
import { JsonNumber, type StrictJson } from './json-value.ts'

/** Why a document was refused and where: byte offset from 0, line and column (in characters) from 1. */
export class StrictJsonError extends Error {
  override readonly name = 'StrictJsonError'
  readonly offset: number
  readonly line: number
  readonly column: number

  /** `before` is the text up to the place. */
  constructor(what: string, before: string) {
    const lines = before.split(/\r\n|\r|\n/)
    const line = lines.length
    const column = Array.from(lines.at(-1) ?? '').length + 1
    const offset = Buffer.byteLength(before)
    super(`${what} at byte ${offset} (${line}:${column})`)
    this.offset = offset
    this.line = line
    this.column = column
  }
}

/**
 * Parses one document. Arrays and objects may nest `maxDepth` deep (64 unless told, more than any request needs). Throws
 * StrictJsonError for a byte order mark, bytes that are not UTF-8, duplicate names (compared after unescaping), escapes of
 * lone surrogates, and everything outside RFC 8259, which an empty document is. Linear in the length of the document.
 */
export function parseStrictJson(bytes: Buffer, limits: { readonly maxDepth: number } = { maxDepth: 64 }): StrictJson {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) throw new StrictJsonError('byte order mark', '')
  if (!isUtf8(bytes)) throw new StrictJsonError('invalid UTF-8', textBeforeInvalidUtf8(bytes))
  return new Parser(bytes.toString('utf8'), limits.maxDepth).document()
}

/** The valid text before the first byte that is not UTF-8. */
function textBeforeInvalidUtf8(bytes: Buffer): string {
  // Decoding puts U+FFFD where bytes are invalid; one that was really sent is the bytes EF BF BD, and is skipped.
  const text = bytes.toString('utf8')
  let offset = 0
  let from = 0
  for (let at = text.indexOf('\ufffd'); at !== -1; at = text.indexOf('\ufffd', from)) {
    offset += Buffer.byteLength(text.slice(from, at))
    const sent = bytes[offset] === 0xef && bytes[offset + 1] === 0xbf && bytes[offset + 2] === 0xbd
    if (!sent) return text.slice(0, at)
    offset += 3
    from = at + 1
  }
  return text
}

const quote = 0x22
const backslash = 0x5c
/** RFC 8259's `unescaped`, in UTF-16. Sought by the engine, a third of the time of a loop over the characters. */
const unescaped = /[\u0020\u0021\u0023-\u005b\u005d-\uffff]*/y
const numberForm = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const hexForm = /^[0-9a-fA-F]{4}$/

/** One pass over the text by recursive descent; the depth limit bounds the recursion. */
class Parser {
  readonly #text: string
  readonly #maxDepth: number
  #at = 0

  constructor(text: string, maxDepth: number) {
    this.#text = text
    this.#maxDepth = maxDepth
  }

  document(): StrictJson {
    const value = this.#value(0)
    this.#skipSpace()
    if (this.#at < this.#text.length) throw this.#unexpected('the end')
    return value
  }

  #value(depth: number): StrictJson {
    this.#skipSpace()
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

  #deeper(depth: number): number {
    if (depth >= this.#maxDepth) throw this.#error(`nested deeper than ${this.#maxDepth}`)
    return depth + 1
  }

  #object(depth: number): StrictJson {
    // Without a prototype, `in` sees the members alone and `__proto__` is one of them. The cast says what is put in below.
    const members = Object.create(null) as { [member: string]: StrictJson }
    this.#at += 1
    if (this.#closes('}')) return members
    do {
      this.#skipSpace()
      const start = this.#at
      if (this.#text[start] !== '"') throw this.#unexpected('a member name in double quotes')
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
    let escaped = false
    for (let at = open + 1; ; escaped = true) {
      unescaped.lastIndex = at
      unescaped.test(text)
      at = unescaped.lastIndex
      const code = text.charCodeAt(at)
      if (code === quote) {
        this.#at = at + 1
        // Every escape was checked above, so JSON.parse only unescapes, and gives a string.
        return escaped ? (JSON.parse(text.slice(open, at + 1)) as string) : text.slice(open + 1, at)
      }
      if (at === text.length) throw this.#error('string without end', open)
      if (code !== backslash) throw this.#error('unescaped control character in a string', at)
      at = this.#endOfEscape(at) + 1
    }
  }

  /** Checks the escape at `at` and gives the index of its last character; a surrogate pair is one escape. */
  #endOfEscape(at: number): number {
    if (this.#text[at + 1] !== 'u') {
      if (!'"\\/bfnrt'.includes(this.#text[at + 1] ?? ' ')) throw this.#error('invalid escape', at)
      return at + 1
    }
    const code = this.#hexadecimal(at)
    if (code < 0xd800 || code > 0xdfff) return at + 5
    const paired = code < 0xdc00 && this.#text.startsWith('\\u', at + 6)
    const low = paired ? this.#hexadecimal(at + 6) : 0
    if (low < 0xdc00 || low > 0xdfff) throw this.#error('escape of a lone surrogate', at)
    return at + 11
  }

  #hexadecimal(at: number): number {
    const digits = this.#text.slice(at + 2, at + 6)
    if (!hexForm.test(digits)) throw this.#error('invalid escape', at)
    return Number.parseInt(digits, 16)
  }

  #number(): JsonNumber {
    numberForm.lastIndex = this.#at
    const raw = numberForm.exec(this.#text)?.[0]
    if (raw === undefined)
      throw this.#text[this.#at] === '-' ? this.#error('malformed number') : this.#unexpected('a value')
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
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at += 1
    }
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

  #error(what: string, at: number = this.#at): StrictJsonError {
    return new StrictJsonError(what, this.#text.slice(0, at))
  }
}
