// The answer to a HEAD for which a GET was sent: whose it is, and how long, is known only when it has been read.

import type { ResponseHead, ResponseSink, ResponseSource } from '../cache/response-stream.ts'
import type { Problem } from '../problems.ts'

/** Feeds its taker the head alone, with the length of the body. */
export class Bodiless implements ResponseSink {
  readonly #taker: ResponseSink
  #head: ResponseHead | null = null
  #length = 0

  constructor(taker: ResponseSink) {
    this.#taker = taker
  }

  attach(flow: ResponseSource): void {
    this.#taker.attach(flow)
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
    if (this.#head !== null) this.#taker.head({ ...this.#head, length: this.#length })
    this.#taker.end(null)
  }

  fail(problem: Problem): void {
    this.#taker.fail(problem)
  }
}
