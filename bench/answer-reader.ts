// Finds the end of an answer in what a socket delivers. Only what the peers of the bench send: HTTP/1.1 with a
// declared length.

/** Takes chunks of one connection; tells the status when an answer is complete. */
export class AnswerReader {
  #head: Buffer | null = null
  #status = 0
  #missing = -1

  /** The status of the answer that this chunk completes; null while it is not complete; throws on another framing. */
  push(chunk: Buffer): number | null {
    if (this.#missing < 0) {
      const data = this.#head === null ? chunk : Buffer.concat([this.#head, chunk])
      const end = data.indexOf('\r\n\r\n')
      if (end < 0) {
        this.#head = data
        return null
      }
      this.#head = null
      const head = data.toString('latin1', 0, end)
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
      if (length === undefined) throw new Error('an answer without a declared length')
      this.#status = Number(head.slice(9, 12))
      this.#missing = Number(length) - (data.length - end - 4)
    } else this.#missing -= chunk.length
    if (this.#missing > 0) return null
    if (this.#missing < 0) throw new Error('more bytes than the answer has')
    this.#missing = -1
    return this.#status
  }
}
