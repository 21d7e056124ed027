// The limiter of several instances: what the shared store has not counted is not let through. A request has permits that
// the store has given ahead, or asks its script; while the store is away this instance judges by its share. The same
// interface as the limiter of one instance, with promises where the store is asked.

import type { Store } from '../store/store.ts'
import { createLimitCalls, leaseMs } from './limit-calls.ts'
import type { Allowance, Limit, Limiter, Standing } from './limiter.ts'
import { createLocalShare } from './local-share.ts'
import { aheadMs, type Claim } from './meter-permits.ts'
import { entryEndMs } from './meter.ts'
import { createPermits } from './permits.ts'

export interface SharedLimiterOptions {
  readonly store: Store
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Milliseconds of a clock that nobody sets. */
  readonly monotonic: () => number
  /** What happens to limits of cost while the store is away: refused, or judged by this instance's share. */
  readonly budgetsWhenAway: 'refuse' | 'share'
}

/** Milliseconds after which it is worth asking again for what cannot be judged while the store is away. */
const storeAwayRetryMs = 5000

/** How often to tell again which slots are held: two calls may fail before they are lost. */
const renewEveryMs = leaseMs / 3

export interface SharedLimiter extends Limiter {
  /** Resolves when the store has heard of all that is over, or cannot. */
  close(): Promise<void>
}

export function createSharedLimiter({ store, now, monotonic, budgetsWhenAway }: SharedLimiterOptions): SharedLimiter {
  const here = createLocalShare()
  const permits = createPermits({
    monotonic,
    running: here.running,
    giveBack: (limit, entryMs, count) => calls.giveBack(limit, entryMs, count),
    tell: (limit) => calls.tellSlots(limit),
  })
  const calls = createLimitCalls({ store, now, monotonic, permits, onUntold: here.putBack })
  /** Concurrency limits of which slots are held, or were until a moment ago, by meter. */
  const slots = new Map<string, Limit>()

  function hold(limits: readonly Limit[]): void {
    for (const limit of limits) if (limit.quota === null) slots.set(limit.meter, limit)
  }

  /** A request is let through that the store has counted. */
  function count(limits: readonly Limit[]): void {
    here.count(limits, now())
    hold(limits)
    permits.note(limits)
  }

  function judgeHere(limits: readonly Limit[], nowMs: number): Allowance {
    const budget = limits.find(({ kind, shadow }) => kind === 'budget' && !shadow)
    if (budget !== undefined && budgetsWhenAway === 'refuse') return unjudged(budget)
    const allowance = here.take(limits, store.state.instances, nowMs)
    if (allowance.granted) hold(limits)
    return allowance
  }

  function giveBack(limits: readonly Limit[]): void {
    for (const limit of limits) if (limit.quota !== null) calls.tellUses({ limit, count: -1 })
  }

  /** What the store has counted for a request that was refused here meanwhile. */
  function takeBack(limits: readonly Limit[], storeMs: number): void {
    for (const limit of limits) {
      if (limit.quota === null) continue
      const { burst, perMs } = limit.quota
      if (perMs !== null && burst === null) calls.giveBack(limit, entryEndMs(perMs, storeMs), 1)
      else calls.tellUses({ limit, count: -1 })
    }
  }

  /** Asks for what is not at hand; what is at hand is claimed until the answer comes. */
  function ask(limits: readonly Limit[]): Promise<Allowance> {
    const claims = permits.claim(limits)
    const missing = claims.size === 0 ? limits : limits.filter((limit) => !claims.has(limit))
    return new Promise((resolve) => {
      let refusedHere = false
      calls.ask({
        limits: missing,
        what: 'take',
        settle(decided) {
          const allowance = decided === null ? null : joined(decided, limits, claims)
          for (const claim of claims.values()) claim.settle(decided?.granted ?? true)
          if (decided?.granted === true) count(limits)
          const settled = allowance ?? judgeHere(limits, now())
          refusedHere = decided === null && !settled.granted
          resolve(settled)
        },
        late({ granted }, storeMs) {
          // A request that was refused here meanwhile counts nowhere.
          if (granted && refusedHere) takeBack(missing, storeMs)
        },
      })
    })
  }

  /** What the store has decided about the limits that it was asked for, with those of which a permit was at hand. */
  function joined(decided: Allowance, limits: readonly Limit[], claims: ReadonlyMap<Limit, Claim>): Allowance {
    if (claims.size === 0) return decided
    const standings = [...decided.standings, ...[...claims.values()].map(({ standing }) => standing)]
    const placeOf = ({ limit }: Standing): number => limits.indexOf(limit)
    return { ...decided, standings: standings.toSorted((one, other) => placeOf(one) - placeOf(other)) }
  }

  /** What was let through here, and not told, is counted in the store as well; and it hears again which slots are held. */
  function tell(): void {
    for (const uses of here.collect(now())) if (uses.count > 0) calls.tellUses(uses)
    for (const limit of slots.values()) calls.tellSlots(limit)
  }

  const upkeep = setInterval(() => {
    for (const [meter, limit] of slots) if (here.running(limit) === 0) slots.delete(meter)
    if (!store.away) tell()
  }, renewEveryMs)
  const returning = setInterval(() => {
    if (store.away) return
    permits.sweep()
    calls.resume()
  }, aheadMs)
  store.onChange((away) => {
    if (away) calls.drop()
    else tell()
  })

  return {
    take(limits, nowMs) {
      if (store.away) return judgeHere(limits, nowMs)
      const allowance = permits.take(limits)
      if (allowance === null) return ask(limits)
      count(limits)
      return allowance
    },
    peek(limits, nowMs) {
      const standHere = () => here.peek(limits, store.state.instances, nowMs)
      if (store.away) return standHere()
      return new Promise((resolve) => {
        calls.ask({
          limits,
          what: 'peek',
          settle(allowance) {
            // What is at hand here counts as used there.
            const withPermits = ({ limit, remaining, resetMs }: Standing): Standing => ({
              limit,
              remaining: remaining + permits.atHand(limit),
              resetMs,
            })
            resolve(allowance?.standings.map(withPermits) ?? standHere())
          },
          late: null,
        })
      })
    },
    release(limits) {
      here.release(limits)
      if (store.away) return
      for (const limit of limits) if (limit.quota === null && !permits.keeps(limit)) calls.tellSlots(limit)
    },
    giveBack(limits) {
      here.giveBack(limits)
      if (!store.away) giveBack(limits.filter(({ kind }) => kind === 'budget'))
    },
    close() {
      clearInterval(upkeep)
      clearInterval(returning)
      permits.close()
      // Also what a call that failed was to tell.
      calls.resume()
      return calls.whenIdle()
    },
  }
}

/** What cannot be judged is not let through: it would cost money. Nothing was counted. */
function unjudged(budget: Limit): Allowance {
  return {
    granted: false,
    exceeded: budget,
    retryAfterMs: storeAwayRetryMs,
    standings: [],
    storeAway: true,
  }
}
