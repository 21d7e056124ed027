// Lines that wait to be written, as bytes. Used by line-writer.ts.

// More than one batch, so that a block is rarely left before it is taken.
const blockBytes = 128 * 1024
const mostBytesOfUnit = 3

/**
 * Encodes each line when it comes: joined as text, each would be kept as a piece of a rope, and flattened and encoded
 * later, which cost as much as writing it as JSON.
 */
export class LineBuffer {
  #block = Buffer.allocUnsafeSlow(blockBytes)
  #used = 0
  #full: Buffer[] = []
  #fullBytes = 0

  get bytes(): number {
    return this.#fullBytes + this.#used
  }

  append(line: string): void {
    if (line.length * mostBytesOfUnit > this.#block.length - this.#used) this.#makeRoom(line.length * mostBytesOfUnit)
    this.#used += this.#block.write(line, this.#used)
  }

  /** Everything that waits, in memory of its own; nothing waits after that. */
  take(): Buffer {
    const rest = this.#block.subarray(0, this.#used)
    const taken = Buffer.concat([...this.#full, rest])
    this.#full = []
    this.#fullBytes = 0
    this.#used = 0
    if (this.#block.length > blockBytes) this.#block = Buffer.allocUnsafeSlow(blockBytes)
    return taken
  }

  #makeRoom(bytes: number): void {
    if (this.#used > 0) this.#full.push(this.#block.subarray(0, this.#used))
    this.#fullBytes += this.#used
    this.#block = Buffer.allocUnsafeSlow(Math.max(blockBytes, bytes))
    this.#used = 0
  }
}
