// Those who wait for one flight: the leader, whose request it is, and followers who asked the same meanwhile. Deals out what
// the flight brings, to each as it suits.

import type { Problem } from '../problems.ts'
import type { AnswerHead } from './answer.ts'
import { notModified } from './answering.ts'
import { Pipe } from './collector.ts'
import { isKnownToCaller } from './conditions.ts'
import { withEveryField, type Entry } from './entry.ts'
import { firstValue } from '../http/field-list.ts'
import type { Flight } from './flight.ts'
import type { Account, FlightDesk } from './flight-desk.ts'
import { mayStandIn } from './reuse.ts'
import type { Carrier, Seat } from './seat.ts'

/** How an answer came about, without what differs from seat to seat. */
export type Story = Omit<Account, 'result'>

export class Crew implements Carrier {
  readonly followers = new Set<Seat>()
  readonly #flight: Flight
  readonly #desk: FlightDesk
  #leader: Seat | null
  #pipe: Pipe | null = null

  constructor(flight: Flight, leader: Seat | null, desk: FlightDesk) {
    this.#flight = flight
    this.#leader = leader
    this.#desk = desk
    if (leader !== null) leader.carrier = this
  }

  get isEmpty(): boolean {
    return this.#leader === null && this.followers.size === 0
  }

  /** The leader gets the answer as it comes, and has no room for more at the moment. */
  get isHoldingUp(): boolean {
    return this.#pipe !== null && !this.#pipe.hasRoom
  }

  join(seat: Seat): void {
    seat.carrier = this
    this.followers.add(seat)
  }

  leave(seat: Seat): void {
    if (this.#leader === seat) this.#leader = this.#pipe = null
    else this.followers.delete(seat)
    this.#flight.stopIfDeserted()
  }

  proceed(seat: Seat): void {
    if (this.#leader !== seat || this.#pipe === null) return
    this.#pipe.resume()
    if (this.#pipe.hasRoom) this.#flight.resume()
  }

  /** Takes followers out. After that nobody joins: who comes now asks anew. */
  disembark(whom: (seat: Seat) => boolean = () => true): Seat[] {
    this.#desk.closed(this.#flight)
    const seats = [...this.followers].filter(whom)
    for (const seat of seats) {
      this.followers.delete(seat)
      seat.carrier = null
    }
    return seats
  }

  /** Takes everybody out. */
  evacuate(): Seat[] {
    return [...this.#takeLeader(), ...this.disembark()]
  }

  /** Gives a complete answer to all. */
  serve(entry: Entry, story: Story, leaderResult: 'miss' | 'validated', head: AnswerHead | null): void {
    // With `head`, the leader sees the fields that are not kept, too. One that has got it as it came gets nothing here.
    const own = head === null ? entry : withEveryField(entry, head)
    if (this.#pipe === null)
      for (const seat of this.#takeLeader()) this.#give(seat, own, { ...story, result: leaderResult })
    for (const seat of this.disembark()) this.#give(seat, entry, { ...story, result: 'collapsed' })
  }

  /** Serves the stored answer in place of a failure to all who may have it. True when nobody is left to wait. */
  standIn(entry: Entry, failure: 'error' | 'silence', fwdStatus: number | null): boolean {
    const nowMs = this.#desk.monotonic()
    const detail = failure === 'error' ? 'stale-if-error' : 'upstream-silent'
    const account: Account = { result: 'stale', fwdStatus, stored: false, terms: entry, detail }
    const may = ({ visit }: Seat): boolean => mayStandIn(entry, visit.question, visit.reading, failure, nowMs)
    const leader = this.#leader !== null && this.#pipe === null && may(this.#leader) ? this.#takeLeader() : []
    for (const seat of [...leader, ...this.disembark(may)]) this.#give(seat, entry, account)
    return this.isEmpty
  }

  /** There is no answer: the leader hears so, the others ask again. */
  fail(problem: Problem): void {
    const story: Story = { fwdStatus: null, stored: false, terms: null, detail: null }
    const hasHead = this.#pipe !== null
    for (const seat of this.#takeLeader()) {
      if (!hasHead) seat.visit.taker.outcome(this.#desk.report(this.#flight, seat, { ...story, result: 'miss' }))
      seat.visit.taker.fail(problem)
    }
    this.#desk.again(this.disembark(), problem)
  }

  /** From here on the leader gets what comes as it comes. True when it has the answer already: then 304 was all it needed. */
  openPipe(head: AnswerHead, story: Story): boolean {
    const leader = this.#leader
    if (leader === null || this.#pipe !== null) return false
    const { taker, reading } = leader.visit
    const outcome = this.#desk.report(this.#flight, leader, { ...story, result: 'miss' })
    taker.outcome(outcome)
    const fields = [...head.fields, 'cache-status', outcome.cacheStatus]
    const dateMs = this.#desk.wallTime().latestMs
    const validators = { etag: firstValue(fields, 'etag'), lastModified: firstValue(fields, 'last-modified'), dateMs }
    if (head.status !== 200 || !isKnownToCaller(reading, validators)) {
      taker.head({ ...head, fields })
      this.#pipe = new Pipe(taker)
      return false
    }
    this.#leader = null
    taker.head(notModified(fields))
    taker.end(null)
    return true
  }

  push(chunk: Buffer): void {
    this.#pipe?.push(chunk)
  }

  end(last: Buffer | null): void {
    this.#pipe?.end(last)
  }

  #give(seat: Seat, entry: Entry, account: Account): void {
    if (!seat.left && !this.#desk.give(this.#flight, seat, entry, account)) this.#desk.alone([seat])
  }

  #takeLeader(): Seat[] {
    const leader = this.#leader
    this.#leader = null
    return leader === null ? [] : [leader]
  }
}
