// The latest decisions in memory, for operators to look at. Bounded in number and in bytes; adding one takes constant time.

import type { AccessEntry, ExchangeOutcome } from '../entries.ts'

/** An exchange that has ended, with both of its records. */
export interface RecentDecision {
  readonly access: AccessEntry
  /** Of the decision record, as JSON. Requests that repeat a decision share the text. */
  readonly content: string
  /** The stage in which the request ended, and whether it was sent to Devin. */
  readonly stage: string
  readonly sent: boolean
}

/** Exchanges since the start. */
export interface DecisionTotals {
  readonly outcomes: Readonly<Record<ExchangeOutcome, number>>
  /** Requests that asked the cache, and those that it answered. */
  readonly cacheAsked: number
  readonly cacheAnswered: number
}

/** An access entry and its own texts, without the content. An estimate. */
const bytesOfEntry = 900

/** Answers that came without a call of their own. */
const fromCache: ReadonlySet<string | null> = new Set(['hit', 'stale', 'validated', 'collapsed'])

export class RecentDecisions {
  readonly #slots: (RecentDecision | undefined)[]
  readonly maxBytes: number
  #bytes = 0
  /** Numbers count up from 0 at the start: the oldest that is kept, and the next that comes. */
  #oldest = 0
  #next = 0
  readonly #outcomes = { forwarded: 0, cached: 0, replayed: 0, answered: 0, refused: 0, aborted: 0, failed: 0 }
  #cacheAsked = 0
  #cacheAnswered = 0

  constructor({ most = 10_000, maxBytes = 16 * 1024 * 1024 } = {}) {
    this.#slots = Array.from({ length: most })
    this.maxBytes = maxBytes
  }

  add(decision: RecentDecision): void {
    const { outcome, cache } = decision.access
    this.#outcomes[outcome] += 1
    if (cache !== null) this.#cacheAsked += 1
    if (fromCache.has(cache)) this.#cacheAnswered += 1
    if (this.#next - this.#oldest === this.#slots.length) this.#forgetOldest()
    this.#slots[this.#next % this.#slots.length] = decision
    this.#next += 1
    this.#bytes += sizeOf(decision)
    while (this.#bytes > this.maxBytes) this.#forgetOldest()
  }

  get bytes(): number {
    return this.#bytes
  }

  /** How many are kept. */
  get size(): number {
    return this.#next - this.#oldest
  }

  /** How many there were since the start: the number of the next one. */
  get total(): number {
    return this.#next
  }

  get totals(): DecisionTotals {
    return { outcomes: { ...this.#outcomes }, cacheAsked: this.#cacheAsked, cacheAnswered: this.#cacheAnswered }
  }

  /** The oldest that is kept. */
  get oldest(): RecentDecision | null {
    return this.#at(this.#oldest)
  }

  /** The latest first, back to the number `since`. */
  *newestFirst(since = 0): Generator<RecentDecision> {
    for (let number = this.#next - 1; number >= Math.max(since, this.#oldest); number -= 1) {
      const found = this.#at(number)
      if (found !== null) yield found
    }
  }

  find(decisionId: string): RecentDecision | null {
    for (const each of this.newestFirst()) if (each.access.decision_id === decisionId) return each
    return null
  }

  #at(number: number): RecentDecision | null {
    return this.#slots[number % this.#slots.length] ?? null
  }

  #forgetOldest(): void {
    const slot = this.#oldest % this.#slots.length
    const gone = this.#slots[slot]
    this.#slots[slot] = undefined
    this.#oldest += 1
    if (gone !== undefined) this.#bytes -= sizeOf(gone)
  }
}

function sizeOf({ content }: RecentDecision): number {
  return bytesOfEntry + content.length
}
