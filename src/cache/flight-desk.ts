// What a flight is given and whom it tells: the seam between one call to the upstream and the rest of the cache. Types only.

import type { Problem } from '../problems.ts'
import type { AnswerHead } from './answer.ts'
import type { Forward } from './cache-status.ts'
import type { WallTime } from './clocks.ts'
import type { Allowance } from './collector.ts'
import type { Entry, Terms } from './entry.ts'
import type { Flight } from './flight.ts'
import type { CacheOutcome, Fetch, Question } from './question.ts'
import type { Reading } from './reading.ts'
import type { Seat } from './seat.ts'

/** What a flight is for. */
export interface Plan {
  readonly key: string
  /** Tags and path, by which a write bars it. */
  readonly names: readonly string[]
  readonly question: Question
  readonly reading: Reading
  readonly fetch: Fetch
  readonly fwd: Forward
  /** The stored answer that is to be validated, or to stand in for a failure. */
  readonly candidate: Entry | null
  /** The answer may be kept and shared: that to a GET. */
  readonly keep: boolean
  /** Later flights have higher numbers. */
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
  readonly monotonic: () => number
  readonly wallTime: () => WallTime
  readonly allowance: Allowance
  readonly maxEntryBytes: number
  /** Counts and words how the answer of a seat came about. */
  report(flight: Flight, seat: Seat, account: Account): CacheOutcome
  /** Answers a seat from an entry. False when it cannot be decoded for it. */
  give(flight: Flight, seat: Seat, entry: Entry, account: Account): boolean
  /** These ask again: what came was a failure (`problem`, when there was no answer), or nothing came in time. */
  again(seats: readonly Seat[], problem: Problem | null): void
  /** The upstream asks to be left alone: a call of their own for each of these would be one more. */
  throttled(seats: readonly Seat[], head: AnswerHead): void
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
