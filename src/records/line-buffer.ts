// Lines that wait to be written, and how far their target has taken them.

const lineFeed = 0x0a

export class LineBuffer {
  /** Lines behind those of `#bytes`. */
  #text = ''
  /** Whole lines; everything before `#start` is taken. */
  #bytes = Buffer.alloc(0)
  #start = 0

  /** How much waits: bytes, and characters of lines that are not encoded yet. */
  get waiting(): number {
    return this.#bytes.length - this.#start + this.#text.length
  }

  append(line: string): void {
    this.#text += line
  }

  /** What to write next: whole lines up to so many bytes, or the one line that is longer. */
  next(maxBytes: number): Buffer {
    if (this.#start === this.#bytes.length) {
      this.#bytes = Buffer.from(this.#text)
      this.#text = ''
      this.#start = 0
    }
    const limit = this.#start + maxBytes
    if (this.#bytes.length <= limit) return this.#bytes.subarray(this.#start)
    const last = this.#bytes.lastIndexOf(lineFeed, limit - 1)
    const end = last >= this.#start ? last : this.#bytes.indexOf(lineFeed, this.#start)
    return this.#bytes.subarray(this.#start, end + 1)
  }

  /** The target has taken so many bytes more. */
  took(bytes: number): void {
    this.#start += bytes
  }

  /** Whether the target has taken a part of a line. */
  get isInsideLine(): boolean {
    return this.#lineStart() < this.#start
  }

  /** The line that was taken in part is to be written again, from its beginning. */
  restartLine(): void {
    this.#start = this.#lineStart()
  }

  /** Drops everything; returns how many lines were not taken whole. */
  clear(): number {
    const left = this.#bytes.toString('latin1', this.#start) + this.#text
    this.#text = ''
    this.#start = this.#bytes.length
    return left.split('\n').length - 1
  }

  #lineStart(): number {
    return this.#start === 0 ? 0 : this.#bytes.lastIndexOf(lineFeed, this.#start - 1) + 1
  }
}
