// One call to the upstream for one key: the taker that the upstream feeds. A slow leader slows nobody: bytes are collected up
// to the size of an entry, and only beyond that the leader's pace is the upstream's. Who waits for it is in crew.ts.

import { Problem } from '../problems.ts'
import type { AnswerHead, AnswerTaker, Flow } from './answer.ts'
import { settled } from './answering.ts'
import { Collector } from './collector.ts'
import { Crew, type Story } from './crew.ts'
import { createEntry } from './entry.ts'
import { asProblem, isSilence, tellsNothing } from './failures.ts'
import type { FlightDesk, Plan } from './flight-desk.ts'
import { sharedFields } from './reading.ts'
import type { Seat } from './seat.ts'
import { isSettledBy, standIn } from './settling.ts'
import { forbidden, judge, type Times, type Verdict } from './storing.ts'
import { validatingFields } from './validation.ts'

/** `waiting`: no head yet. `passing`: the body is on its way. `over`: nothing more is wanted from the upstream. */
type Phase = 'waiting' | 'passing' | 'over'

export class Flight implements AnswerTaker {
  readonly plan: Plan
  readonly crew: Crew
  /** A write came in between: nothing is kept. */
  barred = false
  /** Its number among the flights under way. */
  place = -1
  /** Runs while somebody waits behind the leader. */
  deadline: NodeJS.Timeout | null = null
  readonly desk: FlightDesk
  readonly #requestedAtMs: number
  /** Fields by which the upstream is asked whether the stored answer is still the one; none where there is none. */
  readonly conditions: readonly string[]
  /** It goes on for the store even when nobody waits. */
  #isForStore: boolean
  #flow: Flow = settled
  #phase: Phase = 'waiting'
  #head: AnswerHead | null = null
  #verdict: Verdict = forbidden
  #collector: Collector | null = null

  /** Without a leader it runs in the background, for the store alone. */
  constructor(plan: Plan, leader: Seat | null, desk: FlightDesk) {
    this.plan = plan
    this.crew = new Crew(this, leader, desk)
    this.#isForStore = leader === null
    this.desk = desk
    this.#requestedAtMs = desk.monotonic()
    this.conditions = plan.keep && plan.candidate !== null ? validatingFields(plan.candidate) : []
  }

  /** Asks the upstream. What goes wrong before anything is sent is a failure like any other. */
  start(): void {
    const { reading, fetch } = this.plan
    try {
      // The whole answer is asked for, so that it can be kept; whether the caller has it already is seen here.
      fetch([...sharedFields(reading), ...this.conditions], this)
    } catch (error) {
      this.fail(asProblem(error))
    }
  }

  /** It took too long for those who wait. The leader's own call goes on. */
  expire(): void {
    this.desk.again(this.crew.disembark(), null)
  }

  attach(flow: Flow): void {
    this.#flow = flow
    if (this.#phase === 'over') flow.abort()
  }

  head(head: AnswerHead): void {
    if (this.#phase !== 'waiting') return
    this.#phase = 'passing'
    this.#head = head
    if (isSettledBy(this, head, this.#times())) {
      this.#finish()
      return
    }
    const { plan, crew } = this
    if (plan.keep) this.#verdict = judge(plan.question, head, this.#times())
    const { keep, share } = this.#verdict
    // What the upstream answers now has taken the place of what is stored. That it wants to be left alone has not.
    if (plan.keep && plan.candidate !== null && !keep && !tellsNothing(head.status))
      this.desk.outdated(this, plan.candidate)
    if (head.status === 429) this.desk.throttled(crew.disembark(), head)
    else if (head.status >= 500) this.desk.again(crew.disembark(), null)
    else if (!share) this.desk.alone(crew.disembark())
    const { maxEntryBytes, allowance } = this.desk
    const isWanted = keep || crew.followers.size > 0
    if (isWanted && (head.length ?? 0) <= maxEntryBytes) this.#collector = new Collector(maxEntryBytes, allowance)
    else this.desk.alone(crew.disembark())
    if (this.#collector === null || !this.#isHeldBack) this.#passOn(head)
    this.stopIfDeserted()
  }

  data(chunk: Buffer): boolean {
    if (this.#phase !== 'passing') return true
    if (this.#collector !== null && !this.#collector.add(chunk)) this.#grownTooLarge()
    this.crew.push(chunk)
    return this.#collector !== null || !this.crew.isHoldingUp
  }

  /** The leader has room again. */
  resume(): void {
    if (this.#phase === 'passing' && this.#collector === null) this.#flow.resume()
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
    this.crew.end(last)
    if (this.#collector !== null) this.#complete(this.#collector.whole())
    this.#finish()
  }

  fail(problem: Problem): void {
    if (this.#phase === 'over') return
    if (!isSilence(problem) || !standIn(this, 'silence', null)) this.crew.fail(problem)
    this.#finish()
  }

  /** Nobody waits and nothing will be kept: the upstream need not go on. */
  stopIfDeserted(): void {
    if (this.#phase === 'over' || !this.crew.isEmpty) return
    if (this.#isForStore && (this.#phase === 'waiting' || this.#collector !== null)) return
    this.#flow.abort()
    this.#finish()
  }

  #complete(body: Buffer): void {
    const head = this.#head
    const { terms, keep } = this.#verdict
    if (head === null || terms === null) return
    const entry = createEntry(this.plan.question, head, body, terms, this.plan.sequence)
    const stored = keep && this.desk.store(this, entry)
    this.crew.serve(entry, this.#story(head, stored), 'miss', head)
  }

  /**
   * A class-cached answer is held back until it is whole: then it has an ETag, and is surely stored or not. So is one of which
   * the caller wants a part.
   */
  get #isHeldBack(): boolean {
    return this.plan.question.rule.kind === 'class' || this.plan.reading.range !== null
  }

  #passOn(head: AnswerHead): void {
    const stored = this.#verdict.keep && this.#collector !== null
    if (this.crew.openPipe(head, this.#story(head, stored))) this.#isForStore = stored
  }

  #story({ status }: AnswerHead, stored: boolean): Story {
    const { terms, keep, detail } = this.#verdict
    return { fwdStatus: status, stored, terms: keep ? terms : null, detail: keep && !stored ? 'superseded' : detail }
  }

  #grownTooLarge(): void {
    const chunks = this.#collector?.release() ?? []
    this.#collector = null
    this.#verdict = { ...forbidden, detail: 'too-large' }
    this.desk.alone(this.crew.disembark())
    if (this.#isHeldBack && this.#head !== null) {
      this.#passOn(this.#head)
      for (const chunk of chunks) this.crew.push(chunk)
    }
    this.stopIfDeserted()
  }

  #times(): Times {
    const { monotonic, wallTime } = this.desk
    return { requestedAtMs: this.#requestedAtMs, nowMs: monotonic(), wall: wallTime() }
  }

  #finish(): void {
    if (this.#phase === 'over') return
    this.#phase = 'over'
    this.#collector?.release()
    this.#collector = null
    this.desk.closed(this)
    this.desk.ended(this)
  }
}
