// Lines that wait to be written, as bytes, and how far their target has taken them.

/** Memory that is filled before a write is due. */
const usualBytes = 64 * 1024
const mostBytesOfUnit = 3
const lineFeed = 0x0a

export class LineBuffer {
  #bytes = Buffer.allocUnsafeSlow(usualBytes)
  /** Everything before it is taken. Of a line that is taken in part, the beginning is kept. */
  #start = 0
  #end = 0

  /** How many bytes wait. */
  get waiting(): number {
    return this.#end - this.#start
  }

  /** Whether a line fits without more memory. */
  hasRoom(line: string): boolean {
    return this.#end + line.length * mostBytesOfUnit <= this.#bytes.length
  }

  append(line: string): void {
    if (!this.hasRoom(line)) this.#makeRoom(line.length * mostBytesOfUnit)
    this.#end += this.#bytes.write(line, this.#end)
  }

  /** What to write next: whole lines up to so many bytes, or the one line that is longer. */
  next(maxBytes: number): Buffer {
    const limit = this.#start + maxBytes
    if (this.#end <= limit) return this.#bytes.subarray(this.#start, this.#end)
    const last = this.#bytes.lastIndexOf(lineFeed, limit - 1)
    const end = last >= this.#start ? last : this.#bytes.indexOf(lineFeed, this.#start)
    return this.#bytes.subarray(this.#start, end + 1)
  }

  /** The target has taken so many bytes more. */
  took(bytes: number): void {
    this.#start += bytes
    if (this.waiting > 0) return
    this.#start = 0
    this.#end = 0
    if (this.#bytes.length > usualBytes) this.#bytes = Buffer.allocUnsafeSlow(usualBytes)
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
    let lines = 0
    for (let at = this.#start; at < this.#end; at = this.#bytes.indexOf(lineFeed, at) + 1) lines += 1
    this.took(this.waiting)
    return lines
  }

  #lineStart(): number {
    return this.#start === 0 ? 0 : this.#bytes.lastIndexOf(lineFeed, this.#start - 1) + 1
  }

  #makeRoom(bytes: number): void {
    const lineStart = this.#lineStart()
    const kept = this.#bytes.subarray(lineStart, this.#end)
    const isTooSmall = kept.length + bytes > this.#bytes.length
    const next = isTooSmall ? Buffer.allocUnsafeSlow(2 * (kept.length + bytes)) : this.#bytes
    this.#end = kept.copy(next)
    this.#start -= lineStart
    this.#bytes = next
  }
}
