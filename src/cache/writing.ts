// The taker of an answer to an unsafe method: what the write makes stale is dropped before the caller learns of it.

import type { Problem } from '../problems.ts'
import type { AnswerHead, AnswerTaker, Flow } from './answer.ts'
import { firstValue } from './field-list.ts'
import type { CacheOutcome, CacheTaker } from './question.ts'
import { pathOf } from './reading.ts'

/** Hears how a write ended: what it answered with its address fields, or nothing certain. */
export interface WriteEvents {
  /** It may have changed something. `paths`: what Location and Content-Location name. `certain`: and it is over. */
  changed(paths: readonly string[], certain: boolean): void
}

const addressFields = ['location', 'content-location']

export class Writing implements AnswerTaker {
  readonly #target: string
  readonly #base: string
  readonly #taker: CacheTaker
  readonly #outcome: (status: number | null) => CacheOutcome
  readonly #events: WriteEvents
  #over = false

  /** `base`: the upstream's address, without final slash. `outcome` words the Cache-Status. */
  constructor(
    target: string,
    base: string,
    taker: CacheTaker,
    outcome: (status: number | null) => CacheOutcome,
    events: WriteEvents,
  ) {
    this.#target = target
    this.#base = base
    this.#taker = taker
    this.#outcome = outcome
    this.#events = events
  }

  attach(flow: Flow): void {
    this.#taker.attach({
      resume: () => flow.resume(),
      abort: () => {
        // The upstream may act on what it has got so far.
        this.#unclear()
        flow.abort()
      },
    })
  }

  head(head: AnswerHead): void {
    // RFC 9111 section 4.4. After a 5xx nobody knows how far the upstream came.
    if (head.status >= 500) this.#unclear()
    else if (head.status < 400) this.#events.changed(this.#addresses(head), true)
    this.#over = true
    const outcome = this.#outcome(head.status)
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
    if (!this.#over) {
      this.#unclear()
      this.#taker.outcome(this.#outcome(null))
    }
    this.#taker.fail(problem)
  }

  #unclear(): void {
    if (!this.#over) this.#events.changed([], false)
  }

  #addresses({ fields }: AnswerHead): string[] {
    return addressFields.flatMap((name) => {
      const value = firstValue(fields, name)
      const path = value === null ? null : pathAt(value, this.#target, this.#base)
      return path === null ? [] : [path]
    })
  }
}

/** The path a reference of the answer means, seen from its target; null when it is on another origin or no address. */
function pathAt(reference: string, target: string, base: string): string | null {
  const address = URL.parse(reference, base + target)
  if (address === null || !address.href.startsWith(`${base}/`)) return null
  return pathOf(address.href.slice(base.length)).replace(/#.*$/, '')
}
