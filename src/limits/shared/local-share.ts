// Limits while the shared store is away: each instance applies its share, the limit divided by the last known number
// of instances, and its part of what was left at the last answer of the store. Uses of this instance are always
// counted, so that the share starts from them, and they can be reported when the store is back.

import type { LimitDecision, LimitClocks, Limit, LimitStatus } from '../limiter.ts'
import { createLocalLimiter } from '../local/local-limiter.ts'

/** How often a limit was used. */
export interface Uses {
  readonly limit: Limit
  readonly count: number
}

/** Meters of single callers come and go; the store can do without what a few of them used. */
const mostUntold = 10_000
const sweepAbove = 10_000

export function createLocalShare(clocks: LimitClocks) {
  const limiter = createLocalLimiter(clocks)
  /** Uses that only this instance knows, by meter. */
  const unreported = new Map<string, Uses>()
  /** Rates and budgets of which something was used, by meter. */
  const counted = new Map<string, Limit>()
  let sweepAt = sweepAbove
  const lastKnown = new LastKnownLimits()

  function note(limit: Limit, count: number): void {
    if (unreported.size > mostUntold) unreported.clear()
    unreported.set(limit.meter, { limit, count: (unreported.get(limit.meter)?.count ?? 0) + count })
  }

  function remember(limits: readonly Limit[]): void {
    if (counted.size > sweepAt) {
      for (const [meter, limit] of counted) if (limiter.used(limit) === 0) counted.delete(meter)
      sweepAt = Math.max(sweepAbove, 2 * counted.size)
    }
    for (const limit of limits) if (limit.quota !== null) counted.set(limit.meter, limit)
  }

  const ownUse = (limit: Limit): number => (limit.quota === null ? limiter.running(limit) : limiter.used(limit))

  /** Refuses what was not left at the last answer of the store. */
  function refusedAsHeard(limits: readonly Limit[], instances: number): LimitDecision | null {
    if (instances === 1) return null
    let exceeded: Limit | null = null
    let retryAfterMs = 0
    for (const limit of limits) {
      const waitMs = lastKnown.waitMs(limit, ownUse(limit), instances, clocks.monotonic())
      if (waitMs <= retryAfterMs) continue
      exceeded = limit
      retryAfterMs = waitMs
    }
    if (exceeded === null) return null
    const statuses = limiter.peek(sharesOf(limits, instances))
    return { granted: false, exceeded, retryAfterMs, statuses, storeAway: false }
  }

  function shareOf(limit: Limit, instances: number): Limit {
    if (instances === 1) return limit
    const part = (amount: number): number => Math.max(1, Math.floor(amount / instances))
    const { quota, most } = limit
    return {
      ...limit,
      quota:
        quota === null
          ? null
          : { ...quota, amount: part(quota.amount), burst: quota.burst === null ? null : part(quota.burst) },
      most: part(most),
    }
  }

  const sharesOf = (limits: readonly Limit[], instances: number): readonly Limit[] =>
    limits.map((limit) => shareOf(limit, instances))

  return {
    /** Judges by the share of so many instances. */
    take(limits: readonly Limit[], cost: number, instances: number): LimitDecision {
      const refused = refusedAsHeard(limits, instances)
      if (refused !== null) return refused
      const decision = limiter.take(sharesOf(limits, instances), cost)
      if (!decision.granted) return decision
      remember(limits)
      for (const limit of limits) if (limit.quota !== null) note(limit, cost)
      return decision
    },
    peek: (limits: readonly Limit[], instances: number) => limiter.peek(sharesOf(limits, instances)),
    /** The store has granted a request: counts it here as well. */
    count(limits: readonly Limit[], cost: number): void {
      limiter.count(limits, cost)
      remember(limits)
    },
    /** Notes the state of limits from the store, which includes this instance's uses. */
    heard(statuses: readonly LimitStatus[]): void {
      for (const status of statuses) lastKnown.note(status, ownUse(status.limit), clocks.monotonic())
    },
    /** Uses that the store has not heard of; from now on it has. */
    collect(): readonly Uses[] {
      // Expired uses need not be reported.
      const uses = [...unreported.values()].map(({ limit, count }) => ({
        limit,
        count: Math.min(count, limiter.used(limit)),
      }))
      unreported.clear()
      return uses
    },
    /** It may not have heard of them after all. */
    putBack(uses: readonly Uses[]): void {
      for (const { limit, count } of uses) note(limit, count)
    },
    /** It has heard of nothing: all that counts here still is unreported. */
    recount(): void {
      unreported.clear()
      for (const limit of counted.values()) {
        const count = limiter.used(limit)
        if (count > 0) unreported.set(limit.meter, { limit, count })
      }
    },
    running: limiter.running,
    release: limiter.release,
    giveBack: limiter.giveBack,
  }
}

interface Heard {
  /** What this instance had used. */
  readonly own: number
  readonly remaining: number
  /** After this the uses of others have expired or are unknown. */
  readonly untilMs: number
}

/** Requests rarely run longer. */
const slotsForMs = 60_000

/** Meters of single callers come and go. */
const mostKnown = 10_000

/**
 * The last known state of limits in the store. An instance may use its part of what was left then, besides its own earlier
 * uses, so that all instances together stay within the limit. Time is passed in.
 */
class LastKnownLimits {
  readonly #heard = new Map<string, Heard>()

  /** Notes the state of a limit in the store, and this instance's part of its use. */
  note({ limit, remaining, resetMs }: LimitStatus, own: number, nowMs: number): void {
    // A bucket refills by itself in the meantime.
    if (limit.shadow || limit.quota?.burst != null) return
    if (this.#heard.size > mostKnown) this.#heard.clear()
    const untilMs = nowMs + (limit.quota === null ? slotsForMs : resetMs)
    this.#heard.set(limit.meter, { own, remaining, untilMs })
  }

  /** Milliseconds for which nothing is left for this instance, which has used so much; 0 when something is, or nobody knows. */
  waitMs(limit: Limit, own: number, instances: number, nowMs: number): number {
    const heard = this.#heard.get(limit.meter)
    if (heard === undefined || limit.shadow || heard.untilMs <= nowMs) return 0
    if (own < heard.own + Math.floor(heard.remaining / instances)) return 0
    return limit.quota === null ? 1000 : heard.untilMs - nowMs
  }
}
