// Unasked `100 Continue` answers, also those of HTTP/1.0. A client passes over them (RFC 9110 section 15.2.1); undici ends the
// connection instead, and a create that was done would look like one that failed.

const [zero, one, two, cr, lf, x] = [0x30, 0x31, 0x32, 0x0d, 0x0a, 0x78]
/** Where the three digits of the status begin in `HTTP/1.1 200 OK`. */
const statusAt = 9
/** Where the minor version stands in it. */
const minorAt = 7
const blankLine = [cr, lf, cr, lf]
/** How much of `blankLine` has been read where a field begins. */
const fieldAt = 2

/**
 * Turns each 100 before an answer into 102, which undici passes over, while the bytes go by. An interim answer of HTTP/1.0
 * becomes one of HTTP/1.1: the parser takes the connection of the other for ended. The names of its fields begin with x from
 * here on: they say nothing about the answer, and for a `Connection: close` the parser would not read that. Reads status
 * lines and looks for the blank line behind interim answers; whether it is HTTP remains the parser's business.
 */
export class InterimAnswers {
  #part: 'status' | 'fields' | 'answer' = 'answer'
  #index = 0
  #isHundred = false
  /** A 101 ends the exchange, and its fields say how. */
  #isSwitch = false
  /** Where the minor version stands in the bytes at hand, when it is 0. */
  #minorZero: number | null = null
  /** The end of the bytes before, from a minor version of 0 on, when its status is still to come. */
  #held: Buffer | null = null

  begin(): void {
    this.#part = 'status'
    this.#index = 0
    this.#held = this.#minorZero = null
  }

  /** What the parser gets of these bytes, which are changed in place. */
  pass(received: Buffer): Buffer {
    const bytes = this.#held === null ? received : Buffer.concat([this.#held, received])
    if (this.#held !== null) this.#index = minorAt
    this.#held = this.#minorZero = null
    for (let at = 0; at < bytes.length && this.#part !== 'answer'; at += 1) {
      const byte = bytes[at] ?? 0
      if (this.#part === 'fields') {
        if (this.#index === fieldAt && !this.#isSwitch && isLetter(byte)) bytes[at] = x
        this.#readField(byte)
      } else {
        if (this.#index === minorAt) this.#minorZero = byte === zero ? at : null
        if (this.#index === statusAt && byte === one && this.#minorZero !== null) bytes[this.#minorZero] = one
        if (this.#readStatus(byte)) bytes[at] = two
      }
    }
    if (this.#part !== 'status' || this.#minorZero === null || this.#index > statusAt) return bytes
    this.#held = bytes.subarray(this.#minorZero)
    return bytes.subarray(0, this.#minorZero)
  }

  /** True for the last digit of a 100. */
  #readStatus(byte: number): boolean {
    // The parser skips line breaks before a status line.
    if (this.#index === 0 && (byte === cr || byte === lf)) return false
    const digit = this.#index - statusAt
    this.#index += 1
    if (digit === 0 && byte !== one) this.#part = 'answer'
    else if (digit === 1) this.#isHundred = byte === zero
    else if (digit === 2) {
      this.#part = 'fields'
      this.#index = 0
      this.#isSwitch = this.#isHundred && byte === one
      return this.#isHundred && byte === zero
    }
    return false
  }

  #readField(byte: number): void {
    if (byte === blankLine[this.#index]) this.#index += 1
    else this.#index = byte === cr ? 1 : 0
    if (this.#index === blankLine.length) this.begin()
  }
}

function isLetter(byte: number): boolean {
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x7a
}
