// One call to the upstream for one key, and those who wait for its answer: the leader, whose request it is, and followers
// who asked the same meanwhile. It is the taker that the upstream feeds. A slow leader slows nobody: bytes are collected up to
// the size of an entry, and only beyond that the leader's pace is the upstream's.

import { Problem, type ProblemKindName } from '../problems.ts'
import type { AnswerHead, AnswerTaker, Flow } from './answer.ts'
import { notModified, settled } from './answering.ts'
import { Collector, Pipe } from './collector.ts'
import { isKnownToCaller } from './conditions.ts'
import { createEntry, withEveryField, type Entry } from './entry.ts'
import { firstValue } from './field-list.ts'
import type { Account, FlightDesk, Plan } from './flight-desk.ts'
import type { FieldChanges } from './question.ts'
import { fits, mayStandIn } from './reuse.ts'
import type { Carrier, Seat } from './seat.ts'
import { forbidden, judge, type Times, type Verdict } from './storing.ts'
import { freshen, validatingFields } from './validation.ts'

/** The request goes out as the caller sent it. */
export const unchanged: FieldChanges = { remove: new Set(), add: [] }
const ofTheCaller = new Set(['if-none-match', 'if-modified-since'])
/** Without an answer for these reasons we are disconnected. A rejected key, say, is another matter. */
const silences: ReadonlySet<ProblemKindName> = new Set(['upstream-unreachable', 'upstream-timeout', 'overloaded'])

/** `waiting`: no head yet. `passing`: the body is on its way. `over`: nothing more is wanted from the upstream. */
type Phase = 'waiting' | 'passing' | 'over'

export class Flight implements AnswerTaker, Carrier {
  readonly plan: Plan
  readonly followers = new Set<Seat>()
  /** A write came in between: nothing is kept. */
  barred = false
  readonly #desk: FlightDesk
  readonly #requestedAtMs: number
  readonly #conditions: readonly string[]
  #leader: Seat | null
  /** It goes on for the store even when nobody waits. */
  #isForStore: boolean
  #flow: Flow = settled
  #phase: Phase = 'waiting'
  #head: AnswerHead | null = null
  #verdict: Verdict = forbidden
  #collector: Collector | null = null
  #pipe: Pipe | null = null

  /** Without a leader it runs in the background, for the store alone. */
  constructor(plan: Plan, leader: Seat | null, desk: FlightDesk) {
    this.plan = plan
    this.#leader = leader
    this.#isForStore = leader === null
    this.#desk = desk
    this.#requestedAtMs = desk.now()
    this.#conditions = plan.keep && plan.candidate !== null ? validatingFields(plan.candidate) : []
    if (leader !== null) leader.carrier = this
  }

  /** Asks the upstream. What goes wrong before anything is sent is a failure like any other. */
  start(): void {
    const { keep, fetch } = this.plan
    try {
      // The whole answer is asked for, so that it can be kept; whether the caller has it already is seen here.
      fetch(keep ? { remove: ofTheCaller, add: this.#conditions } : unchanged, this)
    } catch (error) {
      this.fail(error instanceof Problem ? error : new Problem('internal', 'The request failed.', { cause: error }))
    }
  }

  join(seat: Seat): void {
    seat.carrier = this
    this.followers.add(seat)
  }

  /** It took too long for those who wait. The leader's own call goes on. */
  expire(): void {
    this.#desk.again(this.#disembark(), null)
  }

  leave(seat: Seat): void {
    if (this.#leader === seat) this.#leader = this.#pipe = null
    else this.followers.delete(seat)
    this.#stopIfDeserted()
  }

  proceed(seat: Seat): void {
    if (this.#leader !== seat || this.#pipe === null) return
    this.#pipe.resume()
    if (this.#phase === 'passing' && this.#collector === null && this.#pipe.hasRoom) this.#flow.resume()
  }

  attach(flow: Flow): void {
    this.#flow = flow
    if (this.#phase === 'over') flow.abort()
  }

  head(head: AnswerHead): void {
    if (this.#phase !== 'waiting') return
    this.#phase = 'passing'
    this.#head = head
    if ((this.#conditions.length > 0 && head.status === 304 && this.#confirmed(head)) || this.#isAbsorbed(head)) {
      this.#finish()
      return
    }
    const { keep, candidate, question } = this.plan
    if (keep) this.#verdict = judge(question, head, this.#times(), this.#desk.storing)
    // What the upstream answers now has taken the place of what is stored.
    if (keep && candidate !== null && !this.#verdict.keep && head.status < 500) this.#desk.outdated(this, candidate)
    if (head.status >= 500)
      this.#desk.again(
        this.#disembark((seat) => seat.mayTryAgain),
        null,
      )
    if (!this.#verdict.share) this.#desk.alone(this.#disembark())
    const { maxEntryBytes, allowance } = this.#desk
    const isWanted = this.#verdict.keep || this.followers.size > 0
    if (isWanted && (head.length ?? 0) <= maxEntryBytes) this.#collector = new Collector(maxEntryBytes, allowance)
    else this.#desk.alone(this.#disembark())
    // A class-cached answer is held back until it is whole: then it has an ETag, and is surely stored or not.
    if (this.#collector === null || question.rule.kind !== 'class') this.#pipe = this.#openPipe()
    this.#stopIfDeserted()
  }

  data(chunk: Buffer): boolean {
    if (this.#phase !== 'passing') return true
    if (this.#collector !== null && !this.#collector.add(chunk)) this.#grownTooLarge()
    this.#pipe?.push(chunk)
    return this.#collector !== null || (this.#pipe?.hasRoom ?? true)
  }

  end(last: Buffer | null): void {
    if (this.#phase !== 'passing') return
    if (last !== null && this.#collector !== null && !this.#collector.add(last)) this.#grownTooLarge()
    const length = this.#head?.length ?? null
    if (this.#collector !== null && length !== null && length !== this.#collector.bytes) {
      // RFC 9111 section 3.3: an incomplete answer is neither kept nor shared.
      this.fail(new Problem('upstream-unreachable', 'The answer of the Devin API broke off. Try again.'))
      return
    }
    this.#pipe?.end(last)
    if (this.#collector !== null) this.#complete(this.#collector.whole())
    this.#finish()
  }

  fail(problem: Problem): void {
    if (this.#phase === 'over') return
    if (this.#pipe !== null) this.#leader?.visit.taker.fail(problem)
    else if (!silences.has(problem.kind) || !this.#standIn('silence', null)) this.#failLeader(problem)
    this.#leader = null
    this.#desk.again(this.#disembark(), problem)
    this.#finish()
  }

  /** A 304 to our condition (RFC 9111 section 4.3.3). True: everybody has been answered, or asks again. */
  #confirmed(update: AnswerHead): boolean {
    const freshened = this.#freshen(update)
    if (freshened === null) {
      // It is about another answer than we asked about: ask again, without a condition.
      this.#desk.again([...this.#takeLeader(), ...this.#disembark()], null)
      return true
    }
    const { entry, stored, verdict } = freshened
    const account = { fwdStatus: 304, stored, terms: verdict.terms, detail: verdict.detail }
    for (const seat of this.#takeLeader()) this.#give(seat, entry, { ...account, result: 'validated' })
    if (!verdict.share) this.#desk.alone(this.#disembark())
    this.#giveFollowers(entry, account)
    return true
  }

  /** True when the stored answer has stood in for an error. Else the answer goes on; one to a HEAD updates what is stored. */
  #isAbsorbed(head: AnswerHead): boolean {
    if (head.status >= 500) return this.#standIn('error', head.status)
    if (this.plan.question.method === 'HEAD' && head.status === 200) this.#freshen(head)
    return false
  }

  /** Takes an update over into the store. Null when it speaks of another answer: then what is stored is outdated. */
  #freshen(update: AnswerHead): { entry: Entry; stored: boolean; verdict: Verdict } | null {
    const { candidate, question } = this.plan
    if (candidate === null) return null
    const otherBody = question.method === 'HEAD' && update.length !== null && update.length !== candidate.body.length
    const freshened = otherBody ? null : freshen(this.plan, candidate, update, this.#times(), this.#desk.storing)
    if (freshened?.verdict.keep !== true) this.#desk.outdated(this, candidate)
    if (freshened === null) return null
    return { ...freshened, stored: freshened.verdict.keep && this.#desk.store(this, freshened.entry) }
  }

  #times(): Times {
    return { requestedAtMs: this.#requestedAtMs, nowMs: this.#desk.now() }
  }

  #complete(body: Buffer): void {
    const head = this.#head
    const { terms, keep, detail } = this.#verdict
    if (head === null || terms === null) return
    const { question, sequence } = this.plan
    const entry = createEntry(question, head, body, terms, sequence)
    const stored = keep && this.#desk.store(this, entry)
    const account = {
      fwdStatus: head.status,
      stored,
      terms: keep ? terms : null,
      detail: keep && !stored ? 'superseded' : detail,
    }
    if (this.#pipe === null) {
      for (const seat of this.#takeLeader())
        this.#give(seat, withEveryField(entry, head), { ...account, result: 'miss' })
    }
    this.#giveFollowers(entry, account)
  }

  #giveFollowers(entry: Entry, account: Omit<Account, 'result'>): void {
    const [fitting, others]: [Seat[], Seat[]] = [[], []]
    for (const seat of this.#disembark()) {
      const { question, reading } = seat.visit
      if (fits(entry, question, reading)) fitting.push(seat)
      else others.push(seat)
    }
    for (const seat of fitting) this.#give(seat, entry, { ...account, result: 'collapsed' })
    this.#desk.alone(others)
  }

  #give(seat: Seat, entry: Entry, account: Account): void {
    if (!seat.left && !this.#desk.give(this, seat, entry, account)) this.#desk.alone([seat])
  }

  /** Serves the stored answer in place of a failure to all who may have it. True when nobody is left to wait. */
  #standIn(failure: 'error' | 'silence', fwdStatus: number | null): boolean {
    const { candidate } = this.plan
    if (candidate === null || this.barred) return false
    const nowMs = this.#desk.now()
    const detail = failure === 'error' ? 'stale-if-error' : 'upstream-silent'
    const account: Account = { result: 'stale', fwdStatus, stored: false, terms: candidate, detail }
    const may = ({ visit }: Seat): boolean => mayStandIn(candidate, visit.question, visit.reading, failure, nowMs)
    const leader = this.#leader !== null && may(this.#leader) ? this.#takeLeader() : []
    for (const seat of [...leader, ...this.#disembark(may)]) this.#give(seat, candidate, account)
    return this.#leader === null && this.followers.size === 0
  }

  #failLeader(problem: Problem): void {
    const account: Account = { result: 'miss', fwdStatus: null, stored: false, terms: null, detail: null }
    for (const seat of this.#takeLeader()) {
      seat.visit.taker.outcome(this.#desk.report(this, seat, account))
      seat.visit.taker.fail(problem)
    }
  }

  /** From here on the leader gets what comes as it comes. Null when there is no leader, or it has the answer already. */
  #openPipe(): Pipe | null {
    const [head, leader] = [this.#head, this.#leader]
    if (head === null || leader === null) return null
    const { terms, keep, detail } = this.#verdict
    const { taker, reading } = leader.visit
    const stored = keep && this.#collector !== null
    const account: Account = { result: 'miss', fwdStatus: head.status, stored, terms: stored ? terms : null, detail }
    const outcome = this.#desk.report(this, leader, account)
    taker.outcome(outcome)
    const fields = [...head.fields, 'cache-status', outcome.cacheStatus]
    const dateMs = this.#desk.now()
    const validators = { etag: firstValue(fields, 'etag'), lastModified: firstValue(fields, 'last-modified'), dateMs }
    if (!this.plan.keep || head.status !== 200 || !isKnownToCaller(reading, validators, dateMs)) {
      taker.head({ ...head, fields })
      return new Pipe(taker)
    }
    this.#leader = null
    this.#isForStore = stored
    taker.head(notModified(fields))
    taker.end(null)
    return null
  }

  #grownTooLarge(): void {
    const chunks = this.#collector?.release() ?? []
    this.#collector = null
    this.#verdict = { ...forbidden, detail: 'too-large' }
    this.#desk.alone(this.#disembark())
    if (this.#pipe === null) {
      const pipe = this.#openPipe()
      for (const chunk of chunks) pipe?.push(chunk)
      this.#pipe = pipe
    }
    this.#stopIfDeserted()
  }

  #takeLeader(): Seat[] {
    const leader = this.#leader
    this.#leader = null
    return leader === null ? [] : [leader]
  }

  /** Takes followers out. After that nobody joins: who comes now asks anew. */
  #disembark(whom: (seat: Seat) => boolean = () => true): Seat[] {
    this.#desk.closed(this)
    const seats = [...this.followers].filter(whom)
    for (const seat of seats) {
      this.followers.delete(seat)
      seat.carrier = null
    }
    return seats
  }

  /** Nobody waits and nothing will be kept: the upstream need not go on. */
  #stopIfDeserted(): void {
    if (this.#phase === 'over' || this.#leader !== null || this.followers.size > 0) return
    if (this.#isForStore && (this.#phase === 'waiting' || this.#collector !== null)) return
    this.#flow.abort()
    this.#finish()
  }

  #finish(): void {
    if (this.#phase === 'over') return
    this.#phase = 'over'
    this.#collector?.release()
    this.#collector = null
    this.#desk.closed(this)
    this.#desk.ended(this)
  }
}
