// The limiter of several instances: every decision is made by a script in the shared store, and while the store is away
// this instance judges by its share. The same interface as the limiter of one instance, with promises.

import type { Store } from '../store/store.ts'
import { createLimitCalls, leaseMs } from './limit-calls.ts'
import type { Allowance, Limit, Limiter } from './limiter.ts'
import { createLocalShare } from './local-share.ts'

export interface SharedLimiterOptions {
  readonly store: Store
  /** Milliseconds since the epoch. */
  readonly now: () => number
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

export function createSharedLimiter({ store, now, budgetsWhenAway }: SharedLimiterOptions): SharedLimiter {
  const here = createLocalShare()
  const calls = createLimitCalls({ store, now, running: here.running, onUntold: here.putBack })
  /** Concurrency limits of which slots are held, or were until a moment ago, by meter. */
  const slots = new Map<string, Limit>()

  function hold(limits: readonly Limit[]): void {
    for (const limit of limits) if (limit.quota === null) slots.set(limit.meter, limit)
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

  function ask(limits: readonly Limit[]): Promise<Allowance> {
    return new Promise((resolve) => {
      let refusedHere = false
      calls.ask({
        limits,
        what: 'take',
        settle(decided) {
          const allowance = decided ?? judgeHere(limits, now())
          if (decided === null) refusedHere = !allowance.granted
          else if (decided.granted) {
            here.count(limits, now())
            hold(limits)
          }
          resolve(allowance)
        },
        late({ granted }) {
          // A request that was refused here meanwhile counts nowhere.
          if (granted && refusedHere) giveBack(limits)
        },
      })
    })
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
  store.onChange((away) => {
    if (!away) tell()
  })

  return {
    take: (limits, nowMs) => (store.away ? judgeHere(limits, nowMs) : ask(limits)),
    peek(limits, nowMs) {
      const standHere = () => here.peek(limits, store.state.instances, nowMs)
      if (store.away) return standHere()
      return new Promise((resolve) => {
        calls.ask({
          limits,
          what: 'peek',
          settle: (allowance) => resolve(allowance?.standings ?? standHere()),
          late: null,
        })
      })
    },
    release(limits) {
      here.release(limits)
      if (store.away) return
      for (const limit of limits) if (limit.quota === null) calls.tellSlots(limit)
    },
    giveBack(limits) {
      here.giveBack(limits)
      if (!store.away) giveBack(limits.filter(({ kind }) => kind === 'budget'))
    },
    close() {
      clearInterval(upkeep)
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
