// All limits of a request judged together: it is counted everywhere or nowhere. Here is what the limit stage asks, and
// the limiter of one instance, which answers at once; shared-limiter.ts is that of several. Time is passed in.

import { createMeter, type Meter, type Quota } from './meter.ts'

/** One limit that applies to a request. */
export interface Limit {
  /** Stable name of whose usage this is: two requests share a meter exactly when the name is equal. */
  readonly meter: string
  /** Name in the RateLimit fields and in refusals: `requests`, `writes`, `sessions`, `app-requests`… */
  readonly name: string
  readonly kind: 'rate' | 'concurrency' | 'budget'
  /** Whose limit it is: the team's (its apps', callers' and operations' included), or that of all teams together. */
  readonly scope: 'team' | 'gateway'
  /** For rates and budgets; null for concurrency. */
  readonly quota: Quota | null
  /** For concurrency: the most at once. */
  readonly most: number
  /** Shadow: judged and told, not applied. */
  readonly shadow: boolean
}

/** How one limit stands after a request was judged. */
export interface Standing {
  readonly limit: Limit
  readonly remaining: number
  readonly resetMs: number
}

export interface Allowance {
  readonly granted: boolean
  /** The limit that refused (of several the one to wait for longest), or in shadow mode would have; else null. */
  readonly exceeded: Limit | null
  /** Milliseconds until the request would be granted as far as rates go; 0 when granted. */
  readonly retryAfterMs: number
  /** One for each limit; none when the limits could not be judged. */
  readonly standings: readonly Standing[]
  /** Refused because `exceeded` is a limit of cost that cannot be judged: the shared store is away. */
  readonly storeAway: boolean
}

/** A promise only where a shared store has to be asked. Nothing rejects. */
export interface Limiter {
  /** Judges and, when every limit has room, counts. A refused request counts nowhere. */
  take(limits: readonly Limit[], nowMs: number): Allowance | Promise<Allowance>
  /** How the limits stand, without counting. */
  peek(limits: readonly Limit[], nowMs: number): readonly Standing[] | Promise<readonly Standing[]>
  /** The request is over: frees its concurrency slots. Exactly once for each granted `take`. */
  release(limits: readonly Limit[]): void
  /** The call came to nothing (a create that failed): gives its budgets back. */
  giveBack(limits: readonly Limit[]): void
}

/** The limiter of one instance: everything at once. */
export interface LocalLimiter extends Limiter {
  take(limits: readonly Limit[], nowMs: number): Allowance
  peek(limits: readonly Limit[], nowMs: number): readonly Standing[]
  /** Counts a request that somebody else has granted, whether or not there is room. */
  count(limits: readonly Limit[], nowMs: number): void
  /** How much of a rate or budget is used, as far as its amount. */
  used(limit: Limit, nowMs: number): number
  /** How many requests hold a slot of a concurrency limit. */
  running(limit: Limit): number
}

/** Meters that nobody uses are dropped when there are more than this; an attacker can invent no team, but subjects come and go. */
const sweepAbove = 10_000

export function createLimiter(): LocalLimiter {
  const meters = new Map<string, { readonly meter: Meter; readonly quota: Quota }>()
  const running = new Map<string, number>()
  let sweepAt = sweepAbove

  function meterOf(name: string, quota: Quota, nowMs: number): Meter {
    const known = meters.get(name)
    if (known !== undefined) return known.meter
    if (meters.size >= sweepAt) sweep(nowMs)
    const meter = createMeter(quota)
    meters.set(name, { meter, quota })
    return meter
  }

  /** Again only when there are twice as many as are in use: it looks at all of them. */
  function sweep(nowMs: number): void {
    for (const [name, { meter, quota }] of meters) if (meter.resetMs(quota, nowMs) <= 0) meters.delete(name)
    sweepAt = Math.max(sweepAbove, 2 * meters.size)
  }

  function waitFor(limit: Limit, nowMs: number): number {
    if (limit.quota === null) return (running.get(limit.meter) ?? 0) < limit.most ? 0 : 1000
    return meterOf(limit.meter, limit.quota, nowMs).waitMs(limit.quota, 1, nowMs)
  }

  function standing(limit: Limit, nowMs: number): Standing {
    if (limit.quota === null)
      return { limit, remaining: Math.max(0, limit.most - (running.get(limit.meter) ?? 0)), resetMs: 0 }
    const meter = meterOf(limit.meter, limit.quota, nowMs)
    return { limit, remaining: meter.remaining(limit.quota, nowMs), resetMs: meter.resetMs(limit.quota, nowMs) }
  }

  function count(limits: readonly Limit[], nowMs: number): void {
    for (const limit of limits) {
      if (limit.quota === null) running.set(limit.meter, (running.get(limit.meter) ?? 0) + 1)
      else meterOf(limit.meter, limit.quota, nowMs).take(limit.quota, 1, nowMs)
    }
  }

  return {
    take(limits, nowMs) {
      let exceeded: Limit | null = null
      let shadowed: Limit | null = null
      let retryAfterMs = 0
      for (const limit of limits) {
        const wait = waitFor(limit, nowMs)
        if (wait <= 0) continue
        if (limit.shadow) shadowed ??= limit
        else if (exceeded === null || wait > retryAfterMs) {
          exceeded = limit
          retryAfterMs = wait
        }
      }
      if (exceeded === null) count(limits, nowMs)
      return {
        granted: exceeded === null,
        exceeded: exceeded ?? shadowed,
        retryAfterMs,
        standings: limits.map((limit) => standing(limit, nowMs)),
        storeAway: false,
      }
    },
    count,
    used: (limit, nowMs) =>
      limit.quota === null ? 0 : (limit.quota.burst ?? limit.quota.amount) - standing(limit, nowMs).remaining,
    running: ({ meter }) => running.get(meter) ?? 0,
    peek: (limits, nowMs) => limits.map((limit) => standing(limit, nowMs)),
    release(limits) {
      for (const { quota, meter } of limits) {
        if (quota !== null) continue
        const left = (running.get(meter) ?? 0) - 1
        if (left > 0) running.set(meter, left)
        else running.delete(meter)
      }
    },
    giveBack(limits) {
      for (const limit of limits) if (limit.kind === 'budget') meters.get(limit.meter)?.meter.giveBack(1)
    },
  }
}
