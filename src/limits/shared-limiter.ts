// The limiter of several instances: every decision is one script in the shared store, and while the store is away this
// instance judges by its share. The same interface as the limiter of one instance, with promises.

import type { Store } from '../store/store.ts'
import { decide, giveBack } from './decision-scripts.ts'
import { createLeases, leaseMs, renewEveryMs } from './leases.ts'
import { createKeyFinder, createLimitWriter, readDecision } from './limit-wire.ts'
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

/** Limits in one call; more take several. */
const tellAtOnce = 200

export interface SharedLimiter extends Limiter {
  close(): void
}

export function createSharedLimiter({ store, now, budgetsWhenAway }: SharedLimiterOptions): SharedLimiter {
  const here = createLocalShare()
  const leases = createLeases(store, now)
  const keyOf = createKeyFinder(store.key)
  const write = createLimitWriter()

  const keysOf = (limits: readonly Limit[]): string[] => limits.map(({ meter }) => keyOf(meter))
  const slotKeysOf = (limits: readonly Limit[]): string[] =>
    limits.flatMap(({ quota, meter }) => (quota === null ? [keyOf(meter)] : []))

  function judgeHere(limits: readonly Limit[], lease: string | null, nowMs: number): Allowance {
    const budget = limits.find(({ kind, shadow }) => kind === 'budget' && !shadow)
    if (budget !== undefined && budgetsWhenAway === 'refuse') return unjudged(budget)
    const allowance = here.take(limits, store.state.instances, nowMs)
    if (!allowance.granted || lease === null) return allowance
    leases.hold(lease, slotKeysOf(limits), nowMs, true)
    return { ...allowance, lease }
  }

  /** Takes back what the store has counted for a request. When this fails, slots end with their lease. */
  function takeBack(limits: readonly Limit[], lease: string | null): void {
    store.run(giveBack, keysOf(limits), [lease ?? '', ...limits.map((limit) => write(limit, 0, now()))]).catch(() => {})
  }

  async function ask(limits: readonly Limit[], lease: string | null, nowMs: number): Promise<Allowance> {
    const words = limits.map((limit) => write(limit, 0, nowMs))
    let judgedHere: Allowance | null = null
    try {
      const answer = await store.run(decide, keysOf(limits), ['take', lease ?? '', leaseMs, ...words], (late) => {
        // Its request was judged here meanwhile; a refused one counts nowhere.
        if (judgedHere?.granted === false && readDecision(limits, late, lease).granted) takeBack(limits, lease)
      })
      const allowance = readDecision(limits, answer, lease)
      if (allowance.granted) {
        here.count(limits, nowMs)
        if (lease !== null) leases.hold(lease, slotKeysOf(limits), nowMs, false)
      }
      return allowance
    } catch {
      judgedHere = judgeHere(limits, lease, now())
      return judgedHere
    }
  }

  /** What was let through here, and not told, is counted in the store as well. */
  function tell(): void {
    const untold = here.collect(now()).filter(({ count }) => count > 0)
    for (let begin = 0; begin < untold.length; begin += tellAtOnce) {
      const part = untold.slice(begin, begin + tellAtOnce)
      const words = part.map(({ limit, count }) => write(limit, count, now()))
      store
        .run(decide, keysOf(part.map(({ limit }) => limit)), ['peek', '', leaseMs, ...words])
        .catch(() => here.putBack(part))
    }
  }

  const upkeep = setInterval(() => {
    if (store.away) return
    leases.renew()
    tell()
  }, renewEveryMs)
  store.onChange((away) => {
    if (away) return
    leases.forgotten()
    leases.renew()
    tell()
  })

  return {
    take(limits, nowMs) {
      const lease = limits.some(({ quota }) => quota === null) ? leases.next() : null
      return store.away ? judgeHere(limits, lease, nowMs) : ask(limits, lease, nowMs)
    },
    peek(limits, nowMs) {
      const standHere = () => here.peek(limits, store.state.instances, nowMs)
      if (store.away) return standHere()
      const words = limits.map((limit) => write(limit, 0, nowMs))
      return store
        .run(decide, keysOf(limits), ['peek', '', leaseMs, ...words])
        .then((answer) => readDecision(limits, answer, null).standings, standHere)
    },
    release(limits, { lease }) {
      here.release(limits)
      if (lease === null) return
      leases.drop(lease)
      const slots = limits.filter(({ quota }) => quota === null)
      if (!store.away) takeBack(slots, lease)
    },
    giveBack(limits) {
      here.giveBack(limits)
      const budgets = limits.filter(({ kind }) => kind === 'budget')
      if (budgets.length > 0 && !store.away) takeBack(budgets, null)
    },
    close: () => clearInterval(upkeep),
  }
}

/** What cannot be judged is not let through: it would cost money. Nothing was counted. */
function unjudged(budget: Limit): Allowance {
  return {
    granted: false,
    exceeded: budget,
    retryAfterMs: storeAwayRetryMs,
    standings: [],
    lease: null,
    storeAway: true,
  }
}
