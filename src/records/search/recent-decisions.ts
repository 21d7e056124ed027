// The latest decisions in memory, for operators to look at. Bounded in number and in bytes; adding one takes constant time.

import type { AccessEntry, ExchangeOutcome } from '../entries.ts'

/** An exchange that has ended, with both of its records. */
export interface RecentDecision extends DecisionEnd {
  readonly access: AccessEntry
}

/** What the access record does not say. */
export interface DecisionEnd {
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
/** In UTF-8, of one unit of a text. */
const mostBytesOfCharacter = 3
const leastAccessBytes = 64 * 1024

/** Answers that came without a call of their own. */
const fromCache: ReadonlySet<string | null> = new Set(['hit', 'stale', 'validated', 'collapsed'])

export class RecentDecisions {
  /** By number, modulo their length. What is kept of each request must be no objects: the collector would move all of them. */
  readonly #contents: (string | undefined)[]
  readonly #stages: string[]
  readonly #sent: Uint8Array
  readonly #starts: Uint32Array
  readonly #lengths: Uint32Array
  /** Access records as JSON, one behind the other. */
  readonly #accesses: Buffer
  #end = 0
  readonly maxBytes: number
  #bytes = 0
  /** Numbers count up from 0 at the start: the oldest that is kept, and the next that comes. */
  #oldest = 0
  #next = 0
  readonly #outcomes = { forwarded: 0, cached: 0, replayed: 0, answered: 0, refused: 0, aborted: 0, failed: 0 }
  #cacheAsked = 0
  #cacheAnswered = 0

  constructor({ most = 10_000, maxBytes = 16 * 1024 * 1024 } = {}) {
    this.#contents = Array.from({ length: most })
    this.#stages = Array.from({ length: most }, () => '')
    this.#sent = new Uint8Array(most)
    this.#starts = new Uint32Array(most)
    this.#lengths = new Uint32Array(most)
    this.#accesses = Buffer.allocUnsafeSlow(Math.max(leastAccessBytes, most * bytesOfEntry))
    this.maxBytes = maxBytes
  }

  /** Keeps the text of the access record as it was written, so that nothing is kept that the files would not show. */
  add({ outcome, cache }: Pick<AccessEntry, 'outcome' | 'cache'>, text: string, end: DecisionEnd): void {
    this.#outcomes[outcome] += 1
    if (cache !== null) this.#cacheAsked += 1
    if (fromCache.has(cache)) this.#cacheAnswered += 1
    if (this.size === this.#contents.length) this.#forgetOldest()
    const slot = this.#next % this.#contents.length
    const start = this.#roomFor(text.length * mostBytesOfCharacter)
    this.#next += 1
    if (start === null) {
      while (this.size > 0) this.#forgetOldest()
      return
    }
    const length = this.#accesses.write(text, start)
    this.#end = start + length
    this.#starts[slot] = start
    this.#lengths[slot] = length
    this.#contents[slot] = end.content
    this.#stages[slot] = end.stage
    this.#sent[slot] = end.sent ? 1 : 0
    this.#bytes += sizeOf(end.content)
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
    const slot = number % this.#contents.length
    const content = this.#contents[slot]
    if (content === undefined) return null
    const start = this.#starts[slot] ?? 0
    const access = this.#accesses.toString('utf8', start, start + (this.#lengths[slot] ?? 0))
    return {
      access: JSON.parse(access) as AccessEntry,
      content,
      stage: this.#stages[slot] ?? '',
      sent: this.#sent[slot] === 1,
    }
  }

  /** Where so many bytes may be written, when the oldest that lie there are forgotten; null where they never fit. */
  #roomFor(bytes: number): number | null {
    if (bytes > this.#accesses.length) return null
    const start = this.#end + bytes > this.#accesses.length ? 0 : this.#end
    // What lies behind the last one is older than what lies at the beginning.
    if (start === 0) while (this.size > 0 && this.#oldestStart() >= this.#end) this.#forgetOldest()
    while (this.size > 0 && this.#oldestStart() >= start && this.#oldestStart() < start + bytes) this.#forgetOldest()
    return start
  }

  #oldestStart(): number {
    return this.#starts[this.#oldest % this.#contents.length] ?? 0
  }

  #forgetOldest(): void {
    const slot = this.#oldest % this.#contents.length
    const gone = this.#contents[slot]
    this.#contents[slot] = undefined
    this.#oldest += 1
    if (gone !== undefined) this.#bytes -= sizeOf(gone)
  }
}

function sizeOf(content: string): number {
  return bytesOfEntry + content.length
}
