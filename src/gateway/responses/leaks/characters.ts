// Reads characters that stand as they are, or escaped: as in URLs (%63), in JSON and programming languages (\u0063), in HTML (&#99;), once or several times,
// with line breaks between them.

import { cutOff, ended, hexDigit, keyCharacter, type KeyReader } from './key-reader.ts'

const [lineFeed, carriageReturn, space, tab, nul] = [10, 13, 32, 9, 0]
const [percent, backslash, ampersand, hash, semicolon] = [0x25, 0x5c, 0x26, 0x23, 0x3b]
const [braceOpen, braceClose, zero, lowerX, lowerA] = [0x7b, 0x7d, 0x30, 0x78, 0x61]
const asterisk = 0x2a

/** How deep escapes may be escaped, and how much may stand between two characters. */
const maxDepth = 16
const maxSkipped = 64

/** Reads single characters, whatever they are. */
export class EscapedText {
  protected readonly data: Buffer
  /** The last character: its first byte, and the one behind it. */
  start: number
  at: number

  constructor(data: Buffer, at: number) {
    this.data = data
    this.start = at
    this.at = at
  }

  /** The code of the next character, `ended` for an escape that is none, `cutOff`. */
  character(): number {
    const { data } = this
    this.start = this.at
    if (this.at >= data.length) return cutOff
    const byte = data[this.at] ?? 0
    if (byte === percent) return this.#percent()
    if (byte === backslash) return this.#backslash()
    if (byte === ampersand) return this.#entity()
    this.at += 1
    return byte
  }

  /** `%63`; `%2563` is the same, escaped once more. */
  #percent(): number {
    for (let depth = 0, at = this.at + 1; depth < maxDepth; depth += 1, at += 2) {
      const code = this.#hex(at, 2)
      if (code !== percent) return code
    }
    return ended
  }

  #backslash(): number {
    let at = this.at
    while (this.data[at] === backslash && at - this.at < maxDepth) at += 1
    if (at >= this.data.length) return cutOff
    const byte = this.data[at] ?? 0
    switch (String.fromCharCode(byte)) {
      case 'u':
        return at + 1 < this.data.length && this.data[at + 1] === braceOpen
          ? this.#braces(at + 2)
          : this.#hex(at + 1, 4)
      case 'U':
        return this.#hex(at + 1, 8)
      case 'x':
        return this.#hex(at + 1, 2)
      case 'n':
        return this.#is(lineFeed, at + 1)
      case 'r':
        return this.#is(carriageReturn, at + 1)
      case 't':
        return this.#is(tab, at + 1)
      default:
        // A line that goes on, `\/` of JSON, `\_` of Markdown, `\143`.
        return byte >= zero && byte <= zero + 7
          ? this.#octal(at)
          : isLetterOrDigit(byte)
            ? ended
            : this.#is(byte, at + 1)
    }
  }

  /** `&#99;`, `&#x63;`; `&amp;#99;` is the same, escaped once more. The semicolon may be left out. */
  #entity(): number {
    const { data } = this
    let at = this.at + 1
    for (let depth = 0; depth < maxDepth && data[at] === lowerA && matches(data, at, 'amp;'); depth += 1) at += 4
    if (at >= data.length) return cutOff
    if (data[at] !== hash)
      return data.length - at < 4 && 'amp;'.startsWith(data.toString('latin1', at)) ? cutOff : ended
    at += 1
    if (at >= data.length) return cutOff
    const isHex = ((data[at] ?? 0) | 0x20) === lowerX
    const first = isHex ? at + 1 : at
    let code = 0
    for (at = first; at < first + 8; at += 1) {
      const digit = hexDigit(data, at)
      if (digit === cutOff) return cutOff
      if (digit === ended || (!isHex && digit > 9)) break
      code = code * (isHex ? 16 : 10) + digit
    }
    if (at === first) return ended
    return this.#is(code, data[at] === semicolon ? at + 1 : at)
  }

  #hex(from: number, digits: number): number {
    let code = 0
    for (let at = from; at < from + digits; at += 1) {
      const digit = hexDigit(this.data, at)
      if (digit < 0) return digit
      code = code * 16 + digit
    }
    return this.#is(code, from + digits)
  }

  #braces(from: number): number {
    let code = 0
    for (let at = from; at < from + 8; at += 1) {
      if (this.data[at] === braceClose) return this.#is(code, at + 1)
      const digit = hexDigit(this.data, at)
      if (digit < 0) return digit
      code = code * 16 + digit
    }
    return ended
  }

  #octal(from: number): number {
    let code = 0
    for (let at = from; at < from + 3; at += 1) {
      const digit = hexDigit(this.data, at)
      if (digit < 0 || digit > 7) return Math.min(digit, ended)
      code = code * 8 + digit
    }
    return this.#is(code, from + 3)
  }

  #is(code: number, at: number): number {
    this.at = at
    return code
  }
}

/** A line break, or the NUL that UTF-16 has beside each character of a key. */
export function isBreak(code: number): boolean {
  return code === lineFeed || code === carriageReturn || code === nul
}

export class CharacterReader extends EscapedText implements KeyReader {
  next(): number {
    let isIndentation = false
    for (let skipped = 0; skipped < maxSkipped; skipped += 1) {
      const code = this.character()
      if (isBreak(code)) isIndentation ||= code !== nul
      else if (!(isIndentation && (code === space || code === tab))) return keyCharacter(code)
    }
    return ended
  }

  mask(bytes: Buffer): void {
    bytes.fill(asterisk, this.start, this.at)
  }
}

function isLetterOrDigit(byte: number): boolean {
  return (byte >= zero && byte <= zero + 9) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a)
}

function matches(data: Buffer, at: number, text: string): boolean {
  return at + text.length <= data.length && data.toString('latin1', at, at + text.length) === text
}
