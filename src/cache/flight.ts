// One call to the upstream for one key, and those who wait for its answer: the leader, whose request it is, and followers
// who asked the same meanwhile. It is the taker that the upstream feeds. A slow leader slows nobody: bytes are collected up to
// the size of an entry, and only beyond that the leader's pace is the upstream's.

import type { AnswerHead, AnswerTaker, Flow } from './answer.ts'
import type { Forward } from './cache-status.ts'
import { Collector, type Allowance } from './collector.ts'
import { createEntry, freshenedHead, isAbout, type Entry } from './entry.ts'
import type { Problem } from '../problems.ts'
import { fits, mayStandIn } from './reuse.ts'
import type { Seat } from './seat.ts'
import { judge, type StoringSettings, type Verdict } from './storing.ts'

/** Who deals with what a flight brings. */
export interface FlightDesk {
  readonly now: () => number
  readonly storing: StoringSettings
  readonly allowance: Allowance
  /** Ask again for these: the answer did not come (`problem`), was an error or is not for them. */
  again(seats: readonly Seat[], problem: Problem | null): void
  /** The answer must not be shared: these ask for themselves. */
  alone(seats: readonly Seat[]): void
  /** No one may join it any more. */
  closed(flight: Flight): void
  /** It is over. */
  ended(flight: Flight): void
  store(flight: Flight, entry: Entry): boolean
  /** The stored answer turned out to be outdated. */
  outdated(flight: Flight, entry: Entry): void
}
