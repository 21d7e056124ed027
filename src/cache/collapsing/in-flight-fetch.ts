// One call to the upstream for one key, from the lease to the last byte. A slow leader slows nobody: bytes are collected up to
// the size of an entry, and only beyond that the leader's pace limits the upstream.
//
// asking → receiving → done; `done` at any time, when the call failed, its head was enough, or nobody wants it any more.

import { Problem } from '../../problems.ts'
import type { ResponseHead, ResponseSink, ResponseSource } from '../response-stream.ts'
import { settled } from '../rfc9111/prepared-answer.ts'
import { BodyCollector } from '../memory/body-collector.ts'
import { createStoredResponse } from '../rfc9111/stored-response.ts'
import { isSilence, tellsNothing } from '../failures.ts'
import type { BarredFetch, FetchParts, FetchPlan } from '../fetch-plan.ts'
import type { CacheSink } from '../cache-request.ts'
import { sharedFields } from '../parsed-request.ts'
import { forbidden, judge, type Times, type StoringDecision } from '../rfc9111/storing.ts'
import type { FetchLease } from '../acquired.ts'
import { renew, validatingFields, type Renewed } from '../rfc9111/validation.ts'
import { FetchCallers, type FetchCallbacks, type FetchSummary, type WaitingCaller } from './callers.ts'

export class InFlightFetch implements FetchLease, BarredFetch, ResponseSink, ResponseSource {
  readonly kind = 'fetch'
  readonly plan: FetchPlan
  barred = false
  deadline: NodeJS.Timeout | null = null
  readonly #callers: FetchCallers
  readonly #parts: FetchParts
  readonly #callbacks: FetchCallbacks
  readonly #requestedAtMs: number
  /** Fields by which the upstream is asked whether the stored answer is still the one; none where there is none. */
  readonly #conditions: readonly string[]
  /**
   * A class-cached answer is held back until it is complete: only then its ETag, and whether it is stored, are known.
   * So is one of which the caller wants a part.
   */
  readonly #isHeldBack: boolean
  #state: 'asking' | 'receiving' | 'done' = 'asking'
  #again: ((lease: FetchLease) => void) | null = null
  /** The call continues for the store even without callers. */
  #isForStore: boolean
  #source: ResponseSource = settled
  #head: ResponseHead | null = null
  #verdict: StoringDecision = forbidden
  #collector: BodyCollector | null = null

  constructor(plan: FetchPlan, parts: FetchParts, callbacks: FetchCallbacks, isForStore: boolean) {
    this.plan = plan
    this.#isForStore = isForStore
    this.#parts = parts
    this.#callbacks = callbacks
    this.#callers = new FetchCallers(plan, parts, callbacks)
    this.#requestedAtMs = parts.monotonic()
    this.#isHeldBack = plan.read.request.rule.kind === 'class' || plan.read.parsed.range !== null
    this.#conditions = plan.keep && plan.candidate !== null ? validatingFields(plan.candidate) : []
  }

  /** The whole answer is asked for, so that it can be kept; whether the caller has it already is seen here. */
  get fields(): readonly string[] {
    return [...sharedFields(this.plan.read.parsed), ...this.#conditions]
  }

  get waiting(): number {
    return this.#callers.waiting
  }

  sinkBehind(sink: CacheSink, again: (lease: FetchLease) => void): ResponseSink {
    this.#again = again
    this.#callers.lead(sink, this)
    return this
  }

  join(waiter: WaitingCaller): void {
    this.#callers.join(waiter, () => this.#stopIfDeserted())
  }

  /** It took too long for those who wait. The leader's own call goes on. */
  expire(): void {
    this.#callbacks.retry(this.#callers.takeWaiters(), null)
  }

  bar(): void {
    this.barred = true
    this.#callbacks.closed()
  }

  attach(source: ResponseSource): void {
    this.#source = source
    if (this.#state === 'done') source.abort()
  }

  head(head: ResponseHead): void {
    if (this.#state !== 'asking') return
    this.#state = 'receiving'
    this.#head = head
    if (this.#isSettledBy(head)) {
      this.#finish()
      return
    }
    const { plan } = this
    if (plan.keep) this.#verdict = judge(plan.read.request, head, this.#times())
    const { keep, share } = this.#verdict
    // An answer that is not kept outdates the stored one, unless it is a server error or a 429.
    if (plan.keep && plan.candidate !== null && !keep && !tellsNothing(head.status))
      this.#parts.outdated(this.plan, plan.candidate)
    if (!share) this.#callbacks.sendAway(this.#callers.takeWaiters(), head)
    const { maxEntryBytes, allowance } = this.#parts
    const isWanted = keep || this.#callers.waiting > 0
    if (isWanted && (head.length ?? 0) <= maxEntryBytes) this.#collector = new BodyCollector(maxEntryBytes, allowance)
    else this.#callbacks.askAlone(this.#callers.takeWaiters())
    if (this.#collector === null || !this.#isHeldBack) this.#passOn(head)
    this.#stopIfDeserted()
  }

  data(chunk: Buffer): boolean {
    if (this.#state !== 'receiving') return true
    if (this.#collector !== null && !this.#collector.add(chunk)) this.#grownTooLarge()
    this.#callers.push(chunk)
    return this.#collector !== null || !this.#callers.isFull
  }

  end(last: Buffer | null): void {
    if (this.#state !== 'receiving') return
    if (last !== null && this.#collector !== null && !this.#collector.add(last)) this.#grownTooLarge()
    const length = this.#head?.length ?? null
    if (this.#collector !== null && length !== null && length !== this.#collector.bytes) {
      // RFC 9111 section 3.3: an incomplete answer is neither kept nor shared.
      this.fail(new Problem('upstream-unreachable', 'The answer of the Devin API broke off. Try again.'))
      return
    }
    this.#callers.end(last)
    if (this.#collector !== null) this.#complete(this.#collector.whole())
    this.#finish()
  }

  /** There is no answer: the leader gets the failure, or a stored answer instead; waiters ask again. */
  fail(problem: Problem): void {
    if (this.#state === 'done') return
    if (!isSilence(problem) || !this.#standIn('silence', null)) {
      this.#callers.failLeader(problem)
      this.#callbacks.retry(this.#callers.takeWaiters(), problem)
    }
    this.#finish()
  }

  resume(): void {
    const wantsMore = this.#callers.resume()
    if (wantsMore && this.#state === 'receiving' && this.#collector === null) this.#source.resume()
  }

  abort(): void {
    this.#callers.leaderLeft()
    this.#stopIfDeserted()
  }

  /** Answers whose head is enough: it confirms the stored answer, or the stored answer replaces it. */
  #isSettledBy(head: ResponseHead): boolean {
    if (head.status >= 500) return this.#standIn('error', head.status)
    if (head.status === 304 && this.#conditions.length > 0) {
      this.#confirmed(head)
      return true
    }
    if (head.status === 200 && this.plan.read.request.method === 'HEAD') this.#takeOver(head)
    return false
  }

  /** Serves the stored answer in place of a failure to all callers who may have it. True when no caller is left. */
  #standIn(failure: 'error' | 'silence', fwdStatus: number | null): boolean {
    const { candidate } = this.plan
    return candidate !== null && !this.barred && this.#callers.standIn(candidate, failure, fwdStatus)
  }

  /** A 304 to our condition (RFC 9111 section 4.3.3). */
  #confirmed(update: ResponseHead): void {
    const freshened = this.#takeOver(update)
    if (freshened === null) {
      // It is about another answer than we asked about: ask again, without a condition.
      if (this.#callers.takeLeader() !== null) this.#again?.(this.#callbacks.leaseAgain(this.plan.read))
      this.#callbacks.retry(this.#callers.takeWaiters(), null)
      return
    }
    const { entry, stored, verdict } = freshened
    if (!verdict.share) this.#callbacks.askAlone(this.#callers.takeWaiters())
    const summary: FetchSummary = { fwdStatus: 304, stored, terms: verdict.terms, detail: verdict.detail }
    this.#callers.serve(entry, summary, 'validated', null)
  }

  /** Null when the update speaks of another answer: then what is stored is outdated. */
  #takeOver(update: ResponseHead): Renewed | null {
    return this.plan.candidate === null ? null : renew(this, this.plan.candidate, update, this.#times(), this.#parts)
  }

  #complete(body: Buffer): void {
    const head = this.#head
    const { terms, keep } = this.#verdict
    if (head === null || terms === null) return
    const entry = createStoredResponse(this.plan.read.request, head, body, terms, this.plan.sequence)
    const stored = keep && this.#parts.store(this, entry)
    this.#callers.serve(entry, this.#summary(head, stored), 'miss', head)
  }

  #passOn(head: ResponseHead): void {
    const stored = this.#verdict.keep && this.#collector !== null
    if (this.#callers.openPipe(head, this.#summary(head, stored))) this.#isForStore = stored
  }

  #summary({ status }: ResponseHead, stored: boolean): FetchSummary {
    const { terms, keep, detail } = this.#verdict
    return { fwdStatus: status, stored, terms: keep ? terms : null, detail: keep && !stored ? 'superseded' : detail }
  }

  #grownTooLarge(): void {
    const chunks = this.#collector?.release() ?? []
    this.#collector = null
    this.#verdict = { ...forbidden, detail: 'too-large' }
    this.#callbacks.askAlone(this.#callers.takeWaiters())
    if (this.#isHeldBack && this.#head !== null) {
      this.#passOn(this.#head)
      for (const chunk of chunks) this.#callers.push(chunk)
    }
    this.#stopIfDeserted()
  }

  /** Nobody waits and nothing will be kept: the upstream need not go on. */
  #stopIfDeserted(): void {
    if (this.#state === 'done' || !this.#callers.isEmpty) return
    if (this.#isForStore && (this.#state === 'asking' || this.#collector !== null)) return
    this.#source.abort()
    this.#finish()
  }

  #times(): Times {
    const { monotonic, wallTime } = this.#parts
    return { requestedAtMs: this.#requestedAtMs, nowMs: monotonic(), wall: wallTime() }
  }

  #finish(): void {
    if (this.#state === 'done') return
    this.#state = 'done'
    this.#collector?.release()
    this.#collector = null
    this.#callbacks.closed()
    this.#callbacks.ended()
  }
}
