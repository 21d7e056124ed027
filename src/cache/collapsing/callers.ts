// The callers of one call to the upstream: the leader, who holds the lease to ask, and those who wait for the same answer.

import { firstValue } from '../../http/field-list.ts'
import type { Problem } from '../../problems.ts'
import type { ResponseHead, ResponseSource } from '../response-stream.ts'
import { notModified, prepareAnswer, type CacheRead } from '../rfc9111/prepared-answer.ts'
import { Pipe } from '../memory/body-collector.ts'
import { isKnownToCaller } from '../rfc9111/conditions.ts'
import { withEveryField, type StoredResponse } from '../rfc9111/stored-response.ts'
import type { CacheSink } from '../cache-request.ts'
import { mayStandIn } from '../rfc9111/reuse.ts'
import type { CacheAnswer, FetchLease, CacheWait } from '../acquired.ts'
import type { FetchResult, FetchParts, FetchPlan } from '../fetch-plan.ts'

const maxAttempts = 2

export class WaitingCaller implements CacheWait {
  readonly kind = 'wait'
  readonly read: CacheRead
  attempts = 0
  left = false
  /** Takes it out of the call that it waits for; null between two of them. */
  detach: (() => void) | null = null
  #next: ((granted: CacheAnswer | FetchLease) => void) | null = null

  constructor(read: CacheRead) {
    this.read = read
  }

  get mayTryAgain(): boolean {
    return this.attempts < maxAttempts
  }

  onGrant(next: (granted: CacheAnswer | FetchLease) => void): void {
    this.#next = next
  }

  grant(granted: CacheAnswer | FetchLease): void {
    this.#next?.(granted)
  }

  leave(): void {
    this.left = true
    this.detach?.()
  }
}

/** How an answer came about, without what differs from caller to caller. */
export type FetchSummary = Omit<FetchResult, 'result'>

export interface FetchCallbacks {
  /** These ask again: what came was a failure (`problem`, when there was no answer), or nothing came in time. */
  retry(waiters: readonly WaitingCaller[], problem: Problem | null): void
  /** Each of these asks by itself, for an answer of its own. */
  askAlone(waiters: readonly WaitingCaller[]): void
  /** An answer with this head is the leader's alone. */
  sendAway(waiters: readonly WaitingCaller[], head: ResponseHead): void
  /** The leader asks once more, without a condition. */
  leaseAgain(read: CacheRead): FetchLease
  /** Nobody may join it any more. */
  closed(): void
  ended(): void
}

type Callbacks = Pick<FetchCallbacks, 'askAlone' | 'closed'>

export class FetchCallers {
  readonly #plan: FetchPlan
  readonly #parts: FetchParts
  readonly #callbacks: Callbacks
  readonly #waiters = new Set<WaitingCaller>()
  #leader: CacheSink | null = null
  /** What passes the answer on to the leader as it comes; null before it has the head. */
  #pipe: Pipe | null = null

  constructor(plan: FetchPlan, parts: FetchParts, callbacks: Callbacks) {
    this.#plan = plan
    this.#parts = parts
    this.#callbacks = callbacks
  }

  get waiting(): number {
    return this.#waiters.size
  }

  get isEmpty(): boolean {
    return this.#leader === null && this.#waiters.size === 0
  }

  /** The leader gets the answer as it comes, and has no room for more at the moment. */
  get isFull(): boolean {
    return this.#pipe !== null && !this.#pipe.hasRoom
  }

  lead(sink: CacheSink, source: ResponseSource): void {
    this.#leader = sink
    sink.attach(source)
  }

  join(waiter: WaitingCaller, onLeft: () => void): void {
    this.#waiters.add(waiter)
    waiter.detach = () => {
      this.#waiters.delete(waiter)
      onLeft()
    }
  }

  leaderLeft(): void {
    this.#leader = this.#pipe = null
  }

  /** Removes the waiters. Nobody joins after that: later callers start a new call. */
  takeWaiters(which: (waiter: WaitingCaller) => boolean = () => true): WaitingCaller[] {
    this.#callbacks.closed()
    const taken = [...this.#waiters].filter(which)
    for (const waiter of taken) {
      this.#waiters.delete(waiter)
      waiter.detach = null
    }
    return taken
  }

  /** The leader, who gets something else than an answer of this call. Null when it has the head, or has left. */
  takeLeader(): CacheSink | null {
    const leader = this.#pipe === null ? this.#leader : null
    if (leader !== null) this.#leader = null
    return leader
  }

  /** Gives a complete answer to all. `head`: as it came, so that the leader sees the fields that are not kept, too. */
  serve(
    entry: StoredResponse,
    summary: FetchSummary,
    leaderResult: 'miss' | 'validated',
    head: ResponseHead | null,
  ): void {
    this.#giveLeader(head === null ? entry : withEveryField(entry, head), { ...summary, result: leaderResult })
    for (const waiter of this.takeWaiters()) this.#grant(waiter, entry, { ...summary, result: 'collapsed' })
  }

  /** Serves the stored answer in place of a failure to all callers who may have it. True when no caller is left. */
  standIn(entry: StoredResponse, failure: 'error' | 'silence', fwdStatus: number | null): boolean {
    const nowMs = this.#parts.monotonic()
    const detail = failure === 'error' ? 'stale-if-error' : 'upstream-silent'
    const account: FetchResult = { result: 'stale', fwdStatus, stored: false, terms: entry, detail }
    const may = ({ request, parsed }: CacheRead): boolean => mayStandIn(entry, request, parsed, failure, nowMs)
    if (may(this.#plan.read)) this.#giveLeader(entry, account)
    for (const waiter of this.takeWaiters(({ read }) => may(read))) this.#grant(waiter, entry, account)
    return this.isEmpty
  }

  failLeader(problem: Problem): void {
    const leader = this.#leader
    this.#leader = null
    if (leader === null) return
    const account: FetchResult = { result: 'miss', fwdStatus: null, stored: false, terms: null, detail: null }
    if (this.#pipe === null) leader.outcome(this.#parts.outcome(this.#plan, this.#plan.read, account))
    leader.fail(problem)
  }

  /** From here on the leader gets what comes as it comes. True when it has the answer already: then 304 was all it needed. */
  openPipe(head: ResponseHead, summary: FetchSummary): boolean {
    const leader = this.#leader
    if (leader === null || this.#pipe !== null) return false
    const { read } = this.#plan
    const outcome = this.#parts.outcome(this.#plan, read, { ...summary, result: 'miss' })
    const fields = [...head.fields, 'cache-status', outcome.cacheStatus]
    const dateMs = this.#parts.wallTime().latestMs
    const validators = { etag: firstValue(fields, 'etag'), lastModified: firstValue(fields, 'last-modified'), dateMs }
    leader.outcome(outcome)
    if (head.status !== 200 || !isKnownToCaller(read.parsed, validators)) {
      leader.head({ ...head, fields })
      this.#pipe = new Pipe(leader)
      return false
    }
    this.#leader = null
    leader.head(notModified(fields))
    leader.end(null)
    return true
  }

  push(chunk: Buffer): void {
    this.#pipe?.push(chunk)
  }

  end(last: Buffer | null): void {
    this.#pipe?.end(last)
  }

  /** The leader has room again. True when it wants more. */
  resume(): boolean {
    if (this.#pipe === null) return false
    this.#pipe.resume()
    return this.#pipe.hasRoom
  }

  #giveLeader(entry: StoredResponse, account: FetchResult): void {
    const leader = this.takeLeader()
    if (leader === null) return
    const { read } = this.#plan
    const outcome = this.#parts.outcome(this.#plan, read, account)
    const age = account.result === 'miss' ? null : this.#parts.age(entry)
    // It has asked for this coding, if the upstream heeds that: one that cannot be undone goes on as it came.
    const answer =
      prepareAnswer(entry, read, outcome, age, this.#parts.maxEntryBytes) ??
      prepareAnswer(entry, read, outcome, age, null)
    answer?.deliver(leader)
  }

  #grant(waiter: WaitingCaller, entry: StoredResponse, account: FetchResult): void {
    if (waiter.left) return
    const outcome = this.#parts.outcome(this.#plan, waiter.read, account)
    const answer = prepareAnswer(entry, waiter.read, outcome, this.#parts.age(entry), this.#parts.maxEntryBytes)
    if (answer === null) this.#callbacks.askAlone([waiter])
    else waiter.grant(answer)
  }
}
