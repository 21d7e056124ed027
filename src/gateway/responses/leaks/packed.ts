// Reads characters out of base64, and out of bytes that are written as numbers.

import { EscapedText } from './characters.ts'
import { cutOff, ended, hexDigit, keyCharacter, type KeyReader } from './key-reader.ts'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const sextets = new Int8Array(256).fill(-1)
for (const [value, code] of Buffer.from(alphabet).entries()) sextets[code] = value
sextets[0x2d] = 62
sextets[0x5f] = 63

/** How many bits of `c` the character before holds, for each one that may be the first to say most of it; else -1. */
const grantedBits = new Int8Array(256).fill(-1)
for (const [index, code] of Buffer.from('YjN').entries()) grantedBits[code] = 2 * index

const isWhitespace = (code: number): boolean => code === 10 || code === 13 || code === 32 || code === 9
const maxSkipped = 64
const asterisk = 0x2a

/**
 * Base64 (RFC 4648), both alphabets, with white space and with escapes in it. It is read from the first of its characters that says most of `c`; what
 * the one before it says of `c` is taken for granted.
 */
export class Base64Reader implements KeyReader {
  readonly #text: EscapedText
  /** The last sextets, and how many of their bits belong to the next character. */
  #bits: number
  #left: number
  /** Where the two base64 characters stand that hold the last character. */
  #beforeStart = 0
  #beforeEnd = 0
  #lastStart = 0
  #lastEnd = 0

  /** Null where no base64 of `cog_` begins with this byte. */
  static at(data: Buffer, at: number): Base64Reader | null {
    const granted = grantedBits[data[at] ?? 0] ?? -1
    return granted === -1 ? null : new Base64Reader(data, at, granted)
  }

  private constructor(data: Buffer, at: number, granted: number) {
    this.#text = new EscapedText(data, at)
    this.#bits = 'c'.charCodeAt(0) >> (8 - granted)
    this.#left = granted
  }

  get at(): number {
    return this.#text.at
  }

  next(): number {
    while (this.#left < 8) {
      const sextet = this.#sextet()
      if (sextet < 0) return sextet
      this.#bits = ((this.#bits << 6) | sextet) & 0xffff
      this.#left += 6
    }
    this.#left -= 8
    return keyCharacter((this.#bits >> this.#left) & 0xff)
  }

  #sextet(): number {
    for (let skipped = 0; skipped < maxSkipped; skipped += 1) {
      const code = this.#text.character()
      if (code < 0) return code
      if (isWhitespace(code)) continue
      this.#beforeStart = this.#lastStart
      this.#beforeEnd = this.#lastEnd
      this.#lastStart = this.#text.start
      this.#lastEnd = this.#text.at
      return sextets[code] ?? ended
    }
    return ended
  }

  /** Puts an asterisk in its place. */
  mask(bytes: Buffer): void {
    const inLast = 6 - this.#left
    const ofBefore = asterisk >> inLast
    const ofLast = asterisk & ((1 << inLast) - 1)
    putBits(bytes, this.#beforeStart, this.#beforeEnd, 2 + this.#left, 0, ofBefore)
    putBits(bytes, this.#lastStart, this.#lastEnd, inLast, this.#left, ofLast)
  }
}

/** Puts `count` bits into a base64 character, `shift` bits from its end. One that is escaped becomes asterisks: its length is not that of another one. */
function putBits(bytes: Buffer, start: number, end: number, count: number, shift: number, value: number): void {
  if (end - start > 1) {
    bytes.fill(asterisk, start, end)
    return
  }
  const kept = (sextets[bytes[start] ?? 0] ?? 0) & ~(((1 << count) - 1) << shift)
  bytes.write(alphabet[kept | (value << shift)] ?? '*', start, 'latin1')
}

/** Bytes as numbers: two hexadecimal digits each (`636f`, `63 6f`, `63:6f`, `0x63, 0x6f`), or a list of decimal ones (`99,111`). */
export class NumberReader implements KeyReader {
  readonly #data: Buffer
  readonly #isHex: boolean
  #isFirst = true
  #start: number
  at: number

  /** Null where no number of `c` begins with this byte. */
  static at(data: Buffer, at: number): NumberReader | null {
    const byte = data[at]
    return byte === 0x36 || byte === 0x39 ? new NumberReader(data, at, byte === 0x36) : null
  }

  private constructor(data: Buffer, at: number, isHex: boolean) {
    this.#data = data
    this.#isHex = isHex
    this.#start = at
    this.at = at
  }

  next(): number {
    const start = this.#isFirst ? this.at : this.#behindSeparator()
    this.#isFirst = false
    if (start < 0) return start
    const first = hexDigit(this.#data, start)
    const second = hexDigit(this.#data, start + 1)
    if (first === cutOff || second === cutOff) return cutOff
    if (first < 0 || second < 0) return ended
    return this.#isHex ? this.#is(first * 16 + second, start, start + 2) : this.#decimal(start)
  }

  #decimal(start: number): number {
    let code = 0
    for (let at = start; at < start + 4; at += 1) {
      const digit = hexDigit(this.#data, at)
      if (digit === cutOff) return cutOff
      if (digit < 0 || digit > 9) return at - start < 2 ? ended : this.#is(code, start, at)
      code = code * 10 + digit
    }
    return ended
  }

  #is(code: number, start: number, end: number): number {
    this.#start = start
    this.at = end
    return keyCharacter(code)
  }

  /** Where the next number begins. Decimal ones have a comma between them. */
  #behindSeparator(): number {
    let commas = 0
    for (let at = this.at; at < this.at + maxSkipped; at += 1) {
      if (at >= this.#data.length) return cutOff
      const byte = this.#data[at] ?? 0
      if (byte === 0x2c) commas += 1
      else if (this.#isHex && byte === 0x30 && at + 1 >= this.#data.length) return cutOff
      else if (this.#isHex && byte === 0x30 && this.#data[at + 1] === 0x78) at += 1
      else if (!isWhitespace(byte) && !(this.#isHex && (byte === 0x3a || byte === 0x2d)))
        return this.#isHex || commas === 1 ? at : ended
    }
    return ended
  }

  /** Puts the number of an asterisk in its place, or one of as many digits. */
  mask(bytes: Buffer): void {
    bytes.write(this.#isHex ? '2a' : '142'.slice(this.#start - this.at), this.#start, 'latin1')
  }
}
