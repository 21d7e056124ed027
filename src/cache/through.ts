// The taker of an answer in which the cache has no part: passes it on as it comes, with Cache-Status. For writes it tells how
// the write ended before the caller learns of it.

import type { Problem } from '../problems.ts'
import type { AnswerHead, AnswerTaker, Flow } from './answer.ts'
import type { CacheOutcome, CacheTaker } from './question.ts'

/** Hears of an answer before the caller does. */
export interface ThroughEvents {
  /** Words the outcome; null where there was no answer. */
  outcome(status: number | null): CacheOutcome
  answered?(head: AnswerHead): void
  /** The upstream got the request, or part of it, and there is no answer. */
  lost?(): void
}

export class Through implements AnswerTaker {
  readonly #taker: CacheTaker
  readonly #events: ThroughEvents
  #answered = false

  constructor(taker: CacheTaker, events: ThroughEvents) {
    this.#taker = taker
    this.#events = events
  }

  attach(flow: Flow): void {
    this.#taker.attach({
      resume: () => flow.resume(),
      abort: () => {
        if (!this.#answered) this.#events.lost?.()
        flow.abort()
      },
    })
  }

  head(head: AnswerHead): void {
    this.#answered = true
    this.#events.answered?.(head)
    const outcome = this.#events.outcome(head.status)
    this.#taker.outcome(outcome)
    this.#taker.head({ ...head, fields: [...head.fields, 'cache-status', outcome.cacheStatus] })
  }

  data(chunk: Buffer): boolean {
    return this.#taker.data(chunk)
  }

  end(last: Buffer | null): void {
    this.#taker.end(last)
  }

  fail(problem: Problem): void {
    if (!this.#answered) {
      this.#events.lost?.()
      this.#taker.outcome(this.#events.outcome(null))
    }
    this.#taker.fail(problem)
  }
}
