// The answer to a HEAD for which a GET was sent: whose it is, and how long, is known only when it has been read. Used by gateway.

import type { AnswerHead, AnswerTaker, Flow } from '../cache/answer.ts'
import type { Problem } from '../problems.ts'

/** Feeds its taker the head alone, with the length of the body. */
export class Bodiless implements AnswerTaker {
  readonly #taker: AnswerTaker
  #head: AnswerHead | null = null
  #length = 0

  constructor(taker: AnswerTaker) {
    this.#taker = taker
  }

  attach(flow: Flow): void {
    this.#taker.attach(flow)
  }

  head(head: AnswerHead): void {
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
