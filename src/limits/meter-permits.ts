// What permits of one meter are, whatever its kind: those of rates and of slots look the same to permits.ts. Used there and
// in the calls.

import type { Limit, Standing } from './limiter.ts'

/** How long permits hold at most; then what is not used goes back. */
export const aheadMs = 250

/** What the store has told of permits that it was asked for. */
export interface Given {
  /** Of a rate: how many permits. Of concurrency: how many slots this instance holds, used or not. */
  readonly count: number
  /** What is left for all instances, and in how many milliseconds all of it is back. */
  readonly remaining: number
  readonly resetMs: number
  /** How many slots may be held unused. */
  readonly spare: number
}

export interface CallTimes {
  /** When the call was sent, by this instance's clock. */
  readonly sentAtMs: number
  /** When the script ran, by the store's. */
  readonly storeMs: number
}

/** What a call says of a limit. */
export interface Outgoing {
  /** How many slots this instance holds, used or not; 0 for rates. */
  readonly held: number
  /** How many permits to ask for; null for none. */
  readonly ahead: number | null
  /** For how many milliseconds. */
  readonly lastingMs: number
}

/** A permit of a request that waits to hear of its other limits. */
export interface Claim {
  /** How its limit stands. */
  readonly standing: Standing
  /** `isUsed`: the request was let through, or nobody knows; false puts the permit back. */
  settle(isUsed: boolean): void
}

/** The permits of one meter. `nowMs` is by this instance's own clock. */
export interface MeterPermits {
  /** How many can be used for a limit: none when it says something else than the one they were given for. */
  atHand(limit: Limit, nowMs: number): number
  /** Uses one that is at hand; how the limit stands then. */
  take(limit: Limit, nowMs: number): Standing
  claim(limit: Limit, nowMs: number): Claim
  /** A request was let through. */
  note(nowMs: number): void
  /** A call goes out with this limit; `isTaken`: because a request has none at hand. */
  prepare(limit: Limit, isTaken: boolean, nowMs: number): Outgoing
  receive(given: Given, times: CallTimes): void
  /** They were given by a call that nobody waits for any more. */
  late(given: Given, times: CallTimes): void
  /** The store may have lost what it has counted. */
  drop(): void
  /** Gives back what nobody used in time; true when there is nothing to remember. */
  sweep(nowMs: number): boolean
}
