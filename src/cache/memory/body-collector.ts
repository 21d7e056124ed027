// The two ways of an answer's bytes: collected for the store and for those who wait, and passed on to the leader at its pace.

import type { ResponseSink } from '../response-stream.ts'

/** Bytes that all collections together may hold. */
export interface Allowance {
  readonly maxBytes: number
  usedBytes: number
}

export class BodyCollector {
  readonly #maxBytes: number
  readonly #allowance: Allowance
  #chunks: Buffer[] = []
  #bytes = 0

  constructor(maxBytes: number, allowance: Allowance) {
    this.#maxBytes = maxBytes
    this.#allowance = allowance
  }

  get bytes(): number {
    return this.#bytes
  }

  /** False when the body has become too large; the chunk is then not taken. */
  add(chunk: Buffer): boolean {
    const fits =
      this.#bytes + chunk.length <= this.#maxBytes &&
      this.#allowance.usedBytes + chunk.length <= this.#allowance.maxBytes
    if (!fits) return false
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    this.#allowance.usedBytes += chunk.length
    return true
  }

  /** Copies the body: chunks are slices of larger buffers that would stay alive with them. */
  whole(): Buffer {
    const body = Buffer.allocUnsafeSlow(this.#bytes)
    let offset = 0
    for (const chunk of this.#chunks) offset += chunk.copy(body, offset)
    return body
  }

  /** Gives up what was collected and returns it. */
  release(): readonly Buffer[] {
    const chunks = this.#chunks
    this.#allowance.usedBytes -= this.#bytes
    this.#chunks = []
    this.#bytes = 0
    return chunks
  }
}

export class Pipe {
  readonly #sink: ResponseSink
  #waiting: Buffer[] = []
  #paused = false
  #ended = false

  constructor(sink: ResponseSink) {
    this.#sink = sink
  }

  get hasRoom(): boolean {
    return !this.#paused && this.#waiting.length === 0
  }

  push(chunk: Buffer): void {
    if (this.hasRoom) this.#paused = !this.#sink.data(chunk)
    else this.#waiting.push(chunk)
  }

  end(last: Buffer | null): void {
    if (this.hasRoom) {
      this.#sink.end(last)
      return
    }
    if (last !== null) this.#waiting.push(last)
    this.#ended = true
  }

  resume(): void {
    this.#paused = false
    while (!this.#paused) {
      const chunk = this.#waiting.shift()
      if (chunk === undefined) break
      if (this.#ended && this.#waiting.length === 0) {
        this.#ended = false
        this.#sink.end(chunk)
        return
      }
      this.#paused = !this.#sink.data(chunk)
    }
    if (this.#ended && this.hasRoom) {
      this.#ended = false
      this.#sink.end(null)
    }
  }
}
