// The answer to a HEAD for which a GET was sent: only the body shows whose it is, and its length.

import type { ResponseHead, ResponseSink, ResponseSource } from '../cache/response-stream.ts'
import type { Problem } from '../problems.ts'

/** Feeds its sink the head alone, with the length of the body. */
export class Bodiless implements ResponseSink {
  readonly #sink: ResponseSink
  #head: ResponseHead | null = null
  #length = 0

  constructor(sink: ResponseSink) {
    this.#sink = sink
  }

  attach(flow: ResponseSource): void {
    this.#sink.attach(flow)
  }

  head(head: ResponseHead): void {
    this.#head = head
  }

  data(chunk: Buffer): boolean {
    this.#length += chunk.length
    return true
  }

  end(last: Buffer | null): void {
    this.#length += last?.length ?? 0
    if (this.#head !== null) this.#sink.head({ ...this.#head, length: this.#length })
    this.#sink.end(null)
  }

  fail(problem: Problem): void {
    this.#sink.fail(problem)
  }
}
