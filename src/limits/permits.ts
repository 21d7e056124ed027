// Permits that this instance has taken ahead, in the calls that it makes anyway: the store has counted them, and while they
// hold requests are let through on the spot: two workers with limits in the store carry a quarter more. The less of a limit is
// left, the fewer there are, down to none; for limits that are used little there are none either. Used by shared-limiter.ts
// and limit-calls.ts.
//
// Rates by the minute or longer, buckets and concurrency have permits (rate-permits.ts, slot-permits.ts). Budgets and quotas
// of the calendar have none: one that is lost with its instance would be missed until midnight, or until the month ends.

import type { Allowance, Limit } from './limiter.ts'
import { aheadMs, type CallTimes, type Claim, type Given, type MeterPermits, type Outgoing } from './meter-permits.ts'
import { bucketIntervalMs, entryWidthMs } from './meter.ts'
import { RatePermits, type RatePermitsOptions } from './rate-permits.ts'
import { SlotPermits, type SlotPermitsOptions } from './slot-permits.ts'

/** What holds for less saves no calls. */
const shortestMs = 10

export interface Permits {
  /** Lets a request through with a permit of each of its limits, if all are at hand; else uses none: null. */
  take(limits: readonly Limit[]): Allowance | null
  /** Takes those that are at hand, until it is known what becomes of the request. */
  claim(limits: readonly Limit[]): ReadonlyMap<Limit, Claim>
  atHand(limit: Limit): number
  /** A request was let through, and counts as running: the more there are, the more permits are asked for. */
  note(limits: readonly Limit[]): void
  /** A slot of this limit that has become free need not be told. */
  keeps(limit: Limit): boolean
  prepare(limit: Limit, isTaken: boolean): Outgoing
  receive(limit: Limit, given: Given, times: CallTimes): void
  late(limit: Limit, given: Given, times: CallTimes): void
  drop(): void
  /** Gives back what nobody used in time. To be called now and then. */
  sweep(): void
  /** Gives back everything, and asks for nothing more. */
  close(): void
}

export interface PermitsOptions
  extends Omit<RatePermitsOptions, 'limit' | 'lastingMs'>, Omit<SlotPermitsOptions, 'limit'> {
  /** Milliseconds of a clock that nobody sets. */
  readonly monotonic: () => number
}

export function createPermits({ monotonic, running, giveBack, tell }: PermitsOptions): Permits {
  const meters = new Map<string, MeterPermits>()
  let isClosed = false

  function sweep(nowMs: number): void {
    for (const [meter, own] of meters) if (own.sweep(nowMs)) meters.delete(meter)
  }

  function open(limit: Limit): MeterPermits | null {
    const known = meters.get(limit.meter)
    if (known !== undefined) return known
    const lastingMs = lastingOf(limit)
    if (lastingMs === null) return null
    const own =
      limit.quota === null ? new SlotPermits({ limit, running, tell }) : new RatePermits({ limit, lastingMs, giveBack })
    meters.set(limit.meter, own)
    return own
  }

  return {
    take(limits) {
      const nowMs = monotonic()
      const all: [Limit, MeterPermits][] = []
      for (const limit of limits) {
        const own = meters.get(limit.meter)
        if (own === undefined || own.atHand(limit, nowMs) === 0) return null
        all.push([limit, own])
      }
      const standings = all.map(([limit, own]) => own.take(limit, nowMs))
      return { granted: true, exceeded: null, retryAfterMs: 0, standings, storeAway: false }
    },
    claim(limits) {
      const nowMs = monotonic()
      const claims = new Map<Limit, Claim>()
      for (const limit of limits) {
        const own = meters.get(limit.meter)
        if (own !== undefined && own.atHand(limit, nowMs) > 0) claims.set(limit, own.claim(limit, nowMs))
      }
      return claims
    },
    atHand: (limit) => meters.get(limit.meter)?.atHand(limit, monotonic()) ?? 0,
    note(limits) {
      const nowMs = monotonic()
      for (const limit of limits) open(limit)?.note(nowMs)
    },
    keeps({ meter }) {
      const own = meters.get(meter)
      return own instanceof SlotPermits && own.keeps(monotonic())
    },
    prepare(limit, isTaken) {
      const own = meters.get(limit.meter)
      if (own !== undefined) return own.prepare(limit, isTaken && !isClosed, monotonic())
      return { held: limit.quota === null ? running(limit) : 0, ahead: null, lastingMs: 0 }
    },
    receive({ meter }, given, times) {
      meters.get(meter)?.receive(given, times)
      if (isClosed) sweep(Infinity)
    },
    late: ({ meter }, given, times) => meters.get(meter)?.late(given, times),
    drop() {
      for (const own of meters.values()) own.drop()
    },
    sweep: () => sweep(monotonic()),
    close() {
      isClosed = true
      sweep(Infinity)
    },
  }
}

/** For how many milliseconds permits of a limit hold; null when it has none. */
function lastingOf({ kind, quota }: Limit): number | null {
  if (quota === null) return aheadMs
  if (kind === 'budget' || quota.perMs === null) return null
  const holdsMs = quota.burst === null ? entryWidthMs(quota.perMs) : (quota.burst * bucketIntervalMs(quota)) / 8
  const lastingMs = Math.floor(Math.min(aheadMs, holdsMs))
  return lastingMs < shortestMs ? null : lastingMs
}
