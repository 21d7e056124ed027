// One call to the upstream for one key, and those who wait for its answer: the leader, whose request it is, and followers
// who asked the same meanwhile. It is the taker that the upstream feeds. A slow leader slows nobody: bytes are collected up to
// the size of an entry, and only beyond that the leader's pace is the upstream's.

import { Problem } from '../problems.ts'
import type { AnswerHead, AnswerTaker, Flow } from './answer.ts'
import { notModified, settled } from './answering.ts'
import type { Forward } from './cache-status.ts'
import { Collector, Pipe, type Allowance } from './collector.ts'
import { isKnownToCaller } from './conditions.ts'
import {
  canBeValidated,
  createEntry,
  freshenedHead,
  isAbout,
  validatingFields,
  type Entry,
  type Terms,
} from './entry.ts'
import { firstValue } from './field-list.ts'
import type { CacheOutcome, Fetch, FieldChanges, Question } from './question.ts'
import { fits, mayStandIn } from './reuse.ts'
import type { Carrier, Seat } from './seat.ts'
import { judge, type StoringSettings, type Verdict } from './storing.ts'

/** What a flight is for. */
export interface Plan {
  readonly key: string
  /** Tags and path, by which a write bars it. */
  readonly names: readonly string[]
  readonly question: Question
  readonly fetch: Fetch
  readonly fwd: Forward
  /** The stored answer that is to be validated, or to stand in for a failure. */
  readonly candidate: Entry | null
  /** Whether the answer may be kept and shared; else the request goes out as the caller sent it. */
  readonly keep: boolean
  readonly sequence: number
}

/** How an answer came about, as far as the flight knows. */
export interface Account {
  readonly result: CacheOutcome['result']
  readonly fwdStatus: number | null
  readonly stored: boolean
  /** What its lifetime follows from; null when it has none. */
  readonly terms: Terms | null
  readonly detail: string | null
}

/** Who deals with what a flight brings. */
export interface FlightDesk {
  readonly now: () => number
  readonly storing: StoringSettings
  readonly allowance: Allowance
  readonly maxEntryBytes: number
  /** Counts and words how the answer of a seat came about. */
  report(flight: Flight, seat: Seat, account: Account): CacheOutcome
  /** Answers a seat from an entry. False when it cannot be decoded for it. */
  give(flight: Flight, seat: Seat, entry: Entry, account: Account): boolean
  /** These ask again: what came was a failure (`problem`, when there was no answer), or nothing came in time. */
  again(seats: readonly Seat[], problem: Problem | null): void
  /** The answer must not be shared: these ask for themselves. */
  alone(seats: readonly Seat[]): void
  /** Keeps an entry. False when a write or a newer answer came in between. */
  store(flight: Flight, entry: Entry): boolean
  /** The stored answer is not the upstream's any more. */
  outdated(flight: Flight, entry: Entry): void
  /** Nobody may join it any more. */
  closed(flight: Flight): void
  /** The upstream is done with. */
  ended(flight: Flight): void
}

export const unchanged: FieldChanges = { remove: new Set(), add: [] }
const conditions = new Set(['if-none-match', 'if-modified-since'])

/** `waiting`: no head yet. `passing`: the body is on its way. `over`: nothing more is wanted from the upstream. */
type Phase = 'waiting' | 'passing' | 'over'

export class Flight implements AnswerTaker, Carrier {
  readonly plan: Plan
  readonly startedAtMs: number
  readonly followers = new Set<Seat>()
  /** A write came in between: nothing is kept. */
  barred = false
  readonly #desk: FlightDesk
  #leader: Seat | null
  readonly #background: boolean
  readonly #conditional: boolean
  #flow: Flow = settled
  #phase: Phase = 'waiting'
  #head: AnswerHead | null = null
  #verdict: Verdict = { terms: null, share: false, detail: null }
  #collector: Collector | null = null
  #pipe: Pipe | null = null

  /** Without a leader it runs in the background, for the store alone. */
  constructor(plan: Plan, leader: Seat | null, desk: FlightDesk) {
    this.plan = plan
    this.#leader = leader
    this.#background = leader === null
    this.#desk = desk
    this.startedAtMs = desk.now()
    this.#conditional = plan.keep && plan.candidate !== null && canBeValidated(plan.candidate)
    if (leader !== null) leader.carrier = this
  }

  /** Asks the upstream. What goes wrong before anything is sent is a failure like any other. */
  start(): void {
    const { keep, candidate, fetch } = this.plan
    const add = this.#conditional && candidate !== null ? validatingFields(candidate) : []
    try {
      // The whole answer is asked for, so that it can be kept; whether the caller has it already is seen here.
      fetch(keep ? { remove: conditions, add } : unchanged, this)
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
    if (this.followers.size > 0) this.#desk.again(this.#disembark(), null)
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
    if (this.#conditional && head.status === 304) {
      this.#confirmed(head)
      return
    }
    if (head.status >= 500 && this.#standIn('error', head.status)) {
      this.#finish()
      return
    }
    if (this.plan.question.method === 'HEAD' && head.status === 200) this.#updateFromHead(head)
    this.#verdict = this.#judged(head)
    if (head.status >= 500)
      this.#desk.again(
        this.#disembark((seat) => seat.mayTryAgain),
        null,
      )
    if (!this.#verdict.share) this.#desk.alone(this.#disembark())
    const { maxEntryBytes, allowance } = this.#desk
    const wanted = this.#verdict.terms !== null || this.followers.size > 0
    if (wanted && (head.length ?? 0) <= maxEntryBytes) this.#collector = new Collector(maxEntryBytes, allowance)
    else this.#desk.alone(this.#disembark())
    // A class-cached answer is held back until it is whole: then it has an ETag, and is surely stored or not.
    if (this.#collector === null || this.plan.question.rule.kind !== 'class') this.#pipe = this.#openPipe()
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
    this.#pipe?.end(last)
    if (this.#collector !== null) this.#complete(this.#collector)
    this.#finish()
  }

  fail(problem: Problem): void {
    if (this.#phase === 'over') return
    const leaderHasHead = this.#pipe !== null
    if (leaderHasHead) this.#leader?.visit.taker.fail(problem)
    else if (!this.#standIn('silence', null)) this.#failLeader(problem)
    this.#leader = null
    this.#desk.again(this.#disembark(), problem)
    this.#finish()
  }

  /** RFC 9111 section 4.3.3: the stored answer is still the one. */
  #confirmed(update: AnswerHead): void {
    const { candidate } = this.plan
    if (candidate === null) return
    if (!isAbout(candidate, update)) {
      // It confirms something else than we asked about (section 4.3.4): ask again without a condition.
      this.#desk.outdated(this, candidate)
      this.#desk.again([...this.#takeLeader(), ...this.#disembark()], null)
      this.#finish()
      return
    }
    const head = freshenedHead(candidate, update)
    const verdict = this.#judged(head)
    const { terms, detail } = verdict
    const question = { ...this.plan.question, operation: candidate.operation }
    const entry = terms === null ? candidate : createEntry(question, head, candidate.body, terms, this.plan.sequence)
    const stored = terms !== null && this.#desk.store(this, entry)
    if (terms === null) this.#desk.outdated(this, candidate)
    const account = { fwdStatus: 304, stored, terms, detail }
    if (!verdict.share) this.#desk.alone(this.#disembark())
    for (const seat of this.#takeLeader()) this.#give(seat, entry, { ...account, result: 'validated' })
    this.#giveFollowers(entry, account)
    this.#finish()
  }

  /** RFC 9111 section 4.3.5: the answer to a HEAD freshens what is stored, or shows that it is outdated. */
  #updateFromHead(head: AnswerHead): void {
    const { candidate, question, sequence } = this.plan
    if (candidate === null) return
    const isSameBody = head.length === null || head.length === candidate.body.length
    const updated = freshenedHead(candidate, head)
    const { terms } = judge(question, updated, this.startedAtMs, this.#desk.now(), this.#desk.storing)
    if (terms === null || !isSameBody || !isAbout(candidate, head)) this.#desk.outdated(this, candidate)
    else this.#desk.store(this, createEntry(question, updated, candidate.body, terms, sequence))
  }

  #complete(collector: Collector): void {
    const head = this.#head
    const body = collector.whole()
    if (head === null || (head.length !== null && head.length !== body.length)) {
      // RFC 9111 section 3.3: an incomplete answer is neither kept nor shared.
      this.#collector?.release()
      this.#desk.alone(this.#disembark())
      return
    }
    const { terms, detail } = this.#verdict
    const { question, sequence } = this.plan
    const now = this.#desk.now()
    const entry = createEntry(question, head, body, terms ?? passing(now), sequence)
    const stored = terms !== null && this.#desk.store(this, entry)
    const account = { fwdStatus: head.status, stored, terms, detail: terms === null || stored ? detail : 'barred' }
    if (this.#pipe === null) {
      // The leader sees the fields that are withheld from the store.
      const whole = terms === null || terms.withheld.length === 0 ? entry : this.#withAllFields(entry, head)
      for (const seat of this.#takeLeader()) this.#give(seat, whole, { ...account, result: 'miss' })
    }
    this.#giveFollowers(entry, account)
  }

  #withAllFields(entry: Entry, head: AnswerHead): Entry {
    const own = entry.ownEtag && entry.etag !== null ? ['etag', entry.etag] : []
    return { ...entry, fields: [...head.fields, ...own] }
  }

  #judged(head: AnswerHead): Verdict {
    const { keep, question } = this.plan
    if (!keep) return { terms: null, share: false, detail: null }
    return judge(question, head, this.startedAtMs, this.#desk.now(), this.#desk.storing)
  }

  #giveFollowers(entry: Entry, account: Omit<Account, 'result'>): void {
    const others: Seat[] = []
    for (const seat of this.#disembark()) {
      const { question, reading } = seat.visit
      if (fits(entry, question, reading)) this.#give(seat, entry, { ...account, result: 'collapsed' })
      else others.push(seat)
    }
    this.#desk.alone(others)
  }

  #give(seat: Seat, entry: Entry, account: Account): void {
    if (!seat.left && !this.#desk.give(this, seat, entry, account)) this.#desk.alone([seat])
  }

  /** Serves the stored answer in place of a failure to all who may have it. True when nobody is left to wait. */
  #standIn(failure: 'error' | 'silence', fwdStatus: number | null): boolean {
    const { candidate } = this.plan
    if (candidate === null || this.barred) return false
    const now = this.#desk.now()
    const detail = failure === 'error' ? 'stale-if-error' : 'upstream-silent'
    const account: Account = { result: 'stale', fwdStatus, stored: false, terms: candidate, detail }
    const may = ({ visit }: Seat): boolean => mayStandIn(candidate, visit.question, visit.reading, failure, now)
    for (const seat of this.#disembark(may)) this.#give(seat, candidate, account)
    if (this.#leader !== null && may(this.#leader))
      for (const seat of this.#takeLeader()) this.#give(seat, candidate, account)
    return this.#leader === null && this.followers.size === 0
  }

  #failLeader(problem: Problem): void {
    for (const seat of this.#takeLeader()) {
      seat.visit.taker.outcome(
        this.#desk.report(this, seat, { result: 'miss', fwdStatus: null, stored: false, terms: null, detail: null }),
      )
      seat.visit.taker.fail(problem)
    }
  }

  /** From here on the leader gets what comes as it comes. */
  #openPipe(): Pipe | null {
    const head = this.#head
    const leader = this.#leader
    if (head === null || leader === null) return null
    const { terms, detail } = this.#verdict
    const { taker, reading } = leader.visit
    const stored = this.#collector !== null && terms !== null
    const account: Account = { result: 'miss', fwdStatus: head.status, stored, terms: stored ? terms : null, detail }
    const outcome = this.#desk.report(this, leader, account)
    taker.outcome(outcome)
    const fields = [...head.fields, 'cache-status', outcome.cacheStatus]
    const now = this.#desk.now()
    const validators = {
      etag: firstValue(fields, 'etag'),
      lastModified: firstValue(fields, 'last-modified'),
      dateMs: now,
    }
    if (this.plan.keep && head.status === 200 && isKnownToCaller(reading, validators, now)) {
      this.#leader = null
      taker.head(notModified(fields))
      taker.end(null)
      return null
    }
    taker.head({ ...head, fields })
    return new Pipe(taker)
  }

  #grownTooLarge(): void {
    const chunks = this.#collector?.release() ?? []
    this.#collector = null
    this.#verdict = { ...this.#verdict, terms: null, detail: 'too-large' }
    this.#desk.alone(this.#disembark())
    if (this.#pipe !== null) return
    const pipe = this.#openPipe()
    this.#pipe = pipe
    for (const chunk of chunks) pipe?.push(chunk)
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
    if (this.#background && (this.#phase === 'waiting' || this.#collector !== null)) return
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

/** Terms of an answer that is shared and not kept. */
function passing(nowMs: number): NonNullable<Verdict['terms']> {
  return {
    receivedAtMs: nowMs,
    initialAgeMs: 0,
    dateMs: nowMs,
    freshUntilMs: nowMs,
    mustRevalidate: true,
    staleWhileRevalidateMs: 0,
    staleOnErrorMs: 0,
    staleOnSilenceMs: 0,
    withheld: [],
    vary: [],
  }
}
