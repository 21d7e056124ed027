// Limits while the shared store is away: each instance judges by its share, the limit divided by the instances that were last
// seen. What this instance let through is counted all the time, so that the share begins with what was used, and what was
// let through meanwhile is told to the store when it is back.

import type { Allowance, Clocks, Limit, LimitStatus } from '../limiter.ts'
import { createLocalLimiter } from '../local/local-limiter.ts'

/** How often a limit was used. */
export interface Uses {
  readonly limit: Limit
  readonly count: number
}

export interface LocalShare {
  /** Judges by the share of so many instances. */
  take(limits: readonly Limit[], instances: number): Allowance
  peek(limits: readonly Limit[], instances: number): readonly LimitStatus[]
  /** The store has granted a request: counts it here as well. */
  count(limits: readonly Limit[]): void
  /** Uses that the store has not heard of; from now on it has. */
  collect(): readonly Uses[]
  /** It may not have heard of them after all. */
  putBack(untold: readonly Uses[]): void
  /** How many requests of this instance hold a slot of a concurrency limit. */
  running(limit: Limit): number
  release(limits: readonly Limit[]): void
  giveBack(limits: readonly Limit[]): void
}

/** Meters of single callers come and go; the store can do without what a few of them used. */
const mostUntold = 10_000

export function createLocalShare(clocks: Clocks): LocalShare {
  const limiter = createLocalLimiter(clocks)
  const shares = new WeakMap<Limit, { readonly instances: number; readonly share: Limit }>()
  /** Uses that only this instance knows, by meter. */
  const untold = new Map<string, Uses>()

  function note(limit: Limit, count: number): void {
    if (untold.size > mostUntold) untold.clear()
    untold.set(limit.meter, { limit, count: (untold.get(limit.meter)?.count ?? 0) + count })
  }

  function shareOf(limit: Limit, instances: number): Limit {
    if (instances === 1) return limit
    const known = shares.get(limit)
    if (known?.instances === instances) return known.share
    const part = (amount: number): number => Math.max(1, Math.floor(amount / instances))
    const { quota, most } = limit
    const share = {
      ...limit,
      quota:
        quota === null
          ? null
          : { ...quota, amount: part(quota.amount), burst: quota.burst === null ? null : part(quota.burst) },
      most: part(most),
    }
    shares.set(limit, { instances, share })
    return share
  }

  const sharesOf = (limits: readonly Limit[], instances: number): readonly Limit[] =>
    limits.map((limit) => shareOf(limit, instances))

  return {
    take(limits, instances) {
      const allowance = limiter.take(sharesOf(limits, instances))
      if (!allowance.granted) return allowance
      for (const limit of limits) if (limit.quota !== null) note(limit, 1)
      return allowance
    },
    peek: (limits, instances) => limiter.peek(sharesOf(limits, instances)),
    count: (limits) => limiter.count(limits),
    collect() {
      // Those that the window has forgotten need not be told.
      const uses = [...untold.values()].map(({ limit, count }) => ({
        limit,
        count: Math.min(count, limiter.used(limit)),
      }))
      untold.clear()
      return uses
    },
    putBack(uses) {
      for (const { limit, count } of uses) note(limit, count)
    },
    running: (limit) => limiter.running(limit),
    release: (limits) => limiter.release(limits),
    giveBack: (limits) => limiter.giveBack(limits),
  }
}
