// The latest decisions in memory, for operators to look at. Bounded in number and in bytes; adding one takes constant time.

import type { AccessEntry, ExchangeOutcome } from '../entries.ts'
import { RecentLatency } from './recent-latency.ts'

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

/** A column of short ASCII texts. Strings of each request would become old objects, which only a full collection frees. */
class TextColumn {
  readonly #width: number
  readonly #bytes: Buffer
  readonly #lengths: Uint8Array

  /** Texts are at most so many characters wide. */
  constructor(rows: number, width: number) {
    this.#width = width
    this.#bytes = Buffer.alloc(rows * width)
    this.#lengths = new Uint8Array(rows)
  }

  set(row: number, text: string): void {
    this.#lengths[row] = this.#bytes.write(text, row * this.#width, this.#width, 'latin1')
  }

  get(row: number): string {
    const start = row * this.#width
    return this.#bytes.toString('latin1', start, start + (this.#lengths[row] ?? 0))
  }
}

class Slot {
  readonly #row: number
  readonly #times: TextColumn
  readonly #ids: TextColumn
  /** Of all since the start, beginning with 0. */
  number = 0
  content = ''
  stage = ''
  sent = false
  operation: string | null = null
  organization: string | null = null
  team: string | null = null
  subject: string | null = null
  key: string | null = null
  outcome: ExchangeOutcome = 'answered'
  problem: string | null = null
  reason = ''
  limit: string | null = null
  cache: string | null = null
  upstream_status: number | null = null
  waited_ms: number | null = null

  constructor(row: number, times: TextColumn, ids: TextColumn) {
    this.#row = row
    this.#times = times
    this.#ids = ids
  }

  get time(): string {
    return this.#times.get(this.#row)
  }

  get decision_id(): string {
    return this.#ids.get(this.#row)
  }

  fill(access: AccessEntry, end: DecisionEnd, number: number): void {
    this.number = number
    this.content = end.content
    this.stage = end.stage
    this.sent = end.sent
    this.#times.set(this.#row, access.time)
    this.#ids.set(this.#row, access.decision_id)
    this.operation = access.operation
    this.organization = access.organization
    this.team = access.team
    this.subject = access.subject
    this.key = access.key
    this.outcome = access.outcome
    this.problem = access.problem
    this.reason = access.reason
    this.limit = access.limit
    this.cache = access.cache
    this.upstream_status = access.upstream_status
    this.waited_ms = access.waited_ms
  }
}

/**
 * What is looked at of many decisions at once, without reading their records; it holds until the next decision is added. The
 * `subject` is as it came: `safeText` makes it fit to be shown.
 */
export type DecisionSummary = Readonly<Omit<Slot, 'fill'>>

/** Of a time in UTC with milliseconds, and of a UUID. */
const [timeLength, idLength] = [24, 36]
/** An access entry and its own texts, without the content. An estimate. */
const bytesOfEntry = 900
/** In UTF-8, of one unit of a text. */
const mostBytesOfCharacter = 3
const leastAccessBytes = 64 * 1024

/** Answers that came without a call of their own. */
const fromCache: ReadonlySet<string | null> = new Set(['hit', 'stale', 'validated', 'collapsed'])

export class RecentDecisions {
  /** By number, modulo `most`. They are written over, since the collector would move new objects, one for each request. */
  readonly #slots: Slot[] = []
  readonly #times: TextColumn
  readonly #ids: TextColumn
  readonly #most: number
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
  /** Of the last five minutes, in steps of ten seconds. */
  readonly latency = new RecentLatency(30)

  constructor({ most = 10_000, maxBytes = 16 * 1024 * 1024 } = {}) {
    this.#most = most
    this.#times = new TextColumn(most, timeLength)
    this.#ids = new TextColumn(most, idLength)
    this.#starts = new Uint32Array(most)
    this.#lengths = new Uint32Array(most)
    this.#accesses = Buffer.allocUnsafeSlow(Math.max(leastAccessBytes, most * bytesOfEntry))
    this.maxBytes = maxBytes
  }

  /** Keeps the text of the access record as it was written, so that nothing is kept that the files would not show. */
  add(access: AccessEntry, text: string, end: DecisionEnd): void {
    const { outcome, cache } = access
    this.#outcomes[outcome] += 1
    this.latency.add(access)
    if (cache !== null) this.#cacheAsked += 1
    if (fromCache.has(cache)) this.#cacheAnswered += 1
    if (this.size === this.#most) this.#forgetOldest()
    const number = this.#next
    const slot = number % this.#most
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
    const kept = (this.#slots[slot] ??= new Slot(slot, this.#times, this.#ids))
    kept.fill(access, end, number)
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
  get oldest(): DecisionSummary | null {
    return this.#at(this.#oldest)
  }

  /** The latest first. */
  *newestFirst(): Generator<DecisionSummary> {
    for (let number = this.#next - 1; number >= this.#oldest; number -= 1) {
      const found = this.#at(number)
      if (found !== null) yield found
    }
  }

  /** The latest first: so many at most, none older than a time. */
  latest(most: number, since: string): DecisionSummary[] {
    const found: DecisionSummary[] = []
    for (let number = this.#next - 1; found.length < most; number -= 1) {
      const each = this.#at(number)
      if (each === null || each.time < since) break
      found.push(each)
    }
    return found
  }

  find(decisionId: string): RecentDecision | null {
    for (const each of this.newestFirst()) if (each.decision_id === decisionId) return this.whole(each)
    return null
  }

  /** Reads the access record of a summary of this moment. */
  whole({ number, content, stage, sent }: DecisionSummary): RecentDecision {
    return { access: JSON.parse(this.#text(number).toString()) as AccessEntry, content, stage, sent }
  }

  /** Whether the access record of a summary of this moment has this request id. */
  isOfRequest({ number }: DecisionSummary, requestId: string): boolean {
    return this.#text(number).includes(`"request_id":${JSON.stringify(requestId)}`)
  }

  #text(number: number): Buffer {
    const slot = number % this.#most
    const start = this.#starts[slot] ?? 0
    return this.#accesses.subarray(start, start + (this.#lengths[slot] ?? 0))
  }

  #at(number: number): DecisionSummary | null {
    return number < this.#oldest || number >= this.#next ? null : (this.#slots[number % this.#most] ?? null)
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
    return this.#starts[this.#oldest % this.#most] ?? 0
  }

  #forgetOldest(): void {
    const gone = this.#slots[this.#oldest % this.#most]
    this.#oldest += 1
    if (gone === undefined) return
    this.#bytes -= sizeOf(gone.content)
    gone.content = ''
  }
}

function sizeOf(content: string): number {
  return bytesOfEntry + content.length
}
