// The calls to the upstream that are under way: who may join which, how long anybody waits, and who asks again after a failure.

import type { Problem } from '../problems.ts'
import type { Visit } from './answering.ts'
import type { Forward } from './cache-status.ts'
import type { Entry } from './entry.ts'
import { isOfTheAsker, mayPass, restProblem } from './failures.ts'
import { Flight } from './flight.ts'
import type { FlightDesk } from './flight-desk.ts'
import type { Fetch } from './question.ts'
import { Roster } from './roster.ts'
import type { Seat } from './seat.ts'
import { pathTag } from './tags.ts'

/** Why a question goes to the upstream, and what is stored about it all the same. */
export interface Need {
  readonly fwd: Forward
  readonly candidate: Entry | null
}

export interface FlightsOptions {
  readonly monotonic: () => number
  /** The part of the desk that is about the store and about answering. */
  readonly counter: Omit<FlightDesk, 'again' | 'throttled' | 'alone' | 'closed' | 'ended'>
  /** Answers a seat from the store where that may be by now; else says what the upstream is needed for. */
  readonly lookAgain: (seat: Seat) => Need | null
  /** A seat has tried often enough. */
  readonly giveUp: (seat: Seat, problem: Problem) => void
}

export interface Flights {
  /** Joins the call that is under way for the same, or makes one. */
  forward(seat: Seat, need: Need): void
  /** Fetches a stored answer anew, for the store alone. */
  refresh(visit: Visit, fetch: Fetch, candidate: Entry): void
  /** Takes a flight out of reach of those who come later. */
  close(flight: Flight): void
  readonly underWay: Roster<Flight>
}

/** Callers wait no longer for another's call; one of them asks again then. */
const maxWaitMs = 10_000
/** More do not wait for one call: they ask for themselves. */
const maxFollowers = 4_096
/** Keys whose answer turned out not to be shareable are remembered for a while, so that nobody waits for it in vain. */
const maxMarks = 1_000
const markMs = 10_000

export function createFlights(options: FlightsOptions): Flights {
  const { monotonic } = options
  const underWay = new Roster<Flight>()
  /** Numbers in the roster, by key. */
  const joinable = new Map<string, number>()
  const marks = new Map<string, number>()
  let sequence = 0

  const desk: FlightDesk = {
    ...options.counter,
    again(seats, problem) {
      const isFinal = problem !== null && !mayPass(problem)
      for (const seat of seats) {
        if (seat.left) continue
        if (isFinal) options.giveUp(seat, problem)
        else askAgain(seat, problem)
      }
    },
    throttled(seats, head) {
      const problem = restProblem(head)
      for (const seat of seats) if (!seat.left) options.giveUp(seat, problem)
    },
    alone(seats) {
      for (const seat of seats) {
        mark(seat.visit.reading.key)
        if (!seat.left) depart(seat, seat, { fwd: 'miss', candidate: null }, false)
      }
    },
    closed: close,
    ended(flight) {
      underWay.remove(flight.place)
    },
  }

  function forward(seat: Seat, need: Need): void {
    const { reading } = seat.visit
    const current = joinableFor(reading.key)
    // A caller who says no-cache wants an answer that is younger than its question.
    const mayJoin = isWhole(seat.visit) && reading.directives?.noCache !== true
    if (current === null || !mayJoin) depart(seat, seat, need, isWhole(seat.visit) && !isMarked(reading.key))
    else if (current.crew.followers.size >= maxFollowers) depart(seat, seat, need, false)
    else {
      current.crew.join(seat)
      current.deadline ??= setTimeout(() => current.expire(), maxWaitMs).unref()
    }
  }

  function depart(
    { visit, fetch }: Pick<Seat, 'visit' | 'fetch'>,
    leader: Seat | null,
    need: Need,
    mayBeJoined: boolean,
  ): void {
    const { question, reading } = visit
    sequence += 1
    const names = [...question.tags, pathTag(question.target)]
    const plan = { key: reading.key, names, question, reading, fetch, ...need, keep: isWhole(visit), sequence }
    const flight = new Flight(plan, leader, desk)
    flight.place = underWay.add(flight)
    if (mayBeJoined) {
      const before = joinableFor(reading.key)
      if (before !== null) close(before)
      joinable.set(reading.key, flight.place)
    }
    flight.start()
  }

  function askAgain(seat: Seat, problem: Problem | null): void {
    const isOfAnother = problem !== null && isOfTheAsker(problem)
    if (isOfAnother || seat.mayTryAgain) {
      if (!isOfAnother) seat.attempts += 1
      const need = options.lookAgain(seat)
      if (need !== null) forward(seat, need)
    } else if (problem === null) desk.alone([seat])
    else options.giveUp(seat, problem)
  }

  function joinableFor(key: string): Flight | null {
    const place = joinable.get(key)
    return place === undefined ? null : underWay.at(place)
  }

  function close(flight: Flight): void {
    if (joinableFor(flight.plan.key) === flight) joinable.delete(flight.plan.key)
    if (flight.deadline !== null) clearTimeout(flight.deadline)
    flight.deadline = null
  }

  function mark(key: string): void {
    const [oldest] = marks.keys()
    if (marks.size >= maxMarks && oldest !== undefined) marks.delete(oldest)
    marks.set(key, monotonic() + markMs)
  }

  function isMarked(key: string): boolean {
    return (marks.get(key) ?? 0) > monotonic()
  }

  return {
    forward,
    refresh(visit, fetch, candidate) {
      if (!joinable.has(visit.reading.key)) depart({ visit, fetch }, null, { fwd: 'stale', candidate }, true)
    },
    close,
    underWay,
  }
}

/** Only the answer to a GET can be kept and shared. It is asked for whole, also where the caller wants a part. */
function isWhole({ question }: Visit): boolean {
  return question.method === 'GET'
}
