// The limiter of several instances: what the shared store has not counted is not let through. While the store is away this
// instance judges by its share.

import type { Store } from '../../store/store.ts'
import { costOfRequest, type LimitDecision, type LimitClocks, type Limit, type LimitStatus } from '../limiter.ts'
import { createLimitCalls } from './limit-calls.ts'
import { createLocalShare } from './local-share.ts'
import { RecentRefusals } from './recent-refusals.ts'

export interface SharedLimiterOptions extends LimitClocks {
  readonly store: Store
  /** What happens to limits of cost while the store is away: refused, or checked against this instance's share. */
  readonly budgetsWhenAway: 'refuse' | 'share'
}

/** Milliseconds after which it is worth asking again for what cannot be judged while the store is away. */
const storeAwayRetryMs = 5000

/** How often held slots are reported again, so that an older call that arrives late is corrected. */
const retellEveryMs = 2000

/** After the store has lost its data, all instances have reported their uses again by this time. */
const retoldWithinMs = 1500

/** Requests that wait for it; those beyond are judged by their share at once, so that a flood takes no memory. */
const mostWaiting = 10_000

export type SharedLimiter = ReturnType<typeof createSharedLimiter>

/** A concurrency limit of which slots are held, or were until a moment ago. */
interface HeldSlots {
  readonly limit: Limit
  /** What was left for all instances when one was taken last. */
  readonly remaining: number
}

/** A request that waits until all instances have told a store that had lost it what they used. */
interface Waiting {
  /** How often the store had lost what it held when the wait began. */
  readonly losses: number
  readonly goOn: (mayAsk: boolean) => void
}

export function createSharedLimiter({ store, now, monotonic, budgetsWhenAway }: SharedLimiterOptions) {
  const here = createLocalShare({ now, monotonic })
  const calls = createLimitCalls({ store, now, heldOf: here.running, onUntold: here.putBack })
  /** By meter. */
  const slots = new Map<string, HeldSlots>()
  const refusals = new RecentRefusals()

  function hold(limits: readonly Limit[], statuses: readonly LimitStatus[]): void {
    for (const [index, limit] of limits.entries())
      if (limit.quota === null) slots.set(limit.meter, { limit, remaining: statuses[index]?.remaining ?? 0 })
  }

  let losses = 0
  /** Until when the store may not have heard of all uses, by the monotonic clock. */
  let retoldAtMs = Number.NEGATIVE_INFINITY
  let retold: NodeJS.Timeout | null = null
  let waiting: Waiting[] = []

  const isRetelling = (): boolean => monotonic() < retoldAtMs

  function awaitRetelling(): void {
    retoldAtMs = monotonic() + retoldWithinMs
    if (retold !== null) clearTimeout(retold)
    retold = setTimeout(() => goOn(() => true, !store.away), retoldWithinMs)
  }

  /** Lets those go on that satisfy: to the store, or by their share. */
  function goOn(isIt: (one: Waiting) => boolean, mayAsk: boolean): void {
    const all = waiting
    waiting = all.filter((one) => !isIt(one))
    for (const one of all) if (isIt(one)) one.goOn(mayAsk)
  }

  /** By its share an instance would let through what others, of which it has not heard since, have used up. */
  function askWhenRetold(limits: readonly Limit[], cost: number): LimitDecision | Promise<LimitDecision> {
    if (waiting.length >= mostWaiting) return judgeHere(limits, cost)
    return new Promise((resolve) => {
      const goOnAsking = (mayAsk: boolean): void => resolve(mayAsk ? ask(limits, cost, false) : judgeHere(limits, cost))
      waiting.push({ losses, goOn: goOnAsking })
    })
  }

  function judgeHere(limits: readonly Limit[], cost: number): LimitDecision {
    const costly = limits.find(({ kind, shadow }) => kind === 'refundable' && !shadow)
    if (costly !== undefined && budgetsWhenAway === 'refuse') return unjudged(costly)
    const decision = here.take(limits, cost, store.state.instances)
    if (decision.granted) hold(limits, [])
    if (!store.away) report(limits)
    return decision
  }

  function ask(limits: readonly Limit[], cost: number, mayWait = true): Promise<LimitDecision> {
    const askedMs = monotonic()
    return new Promise((resolve) => {
      let refusedHere = false
      calls.ask({
        limits,
        cost,
        what: 'take',
        settle(decided, hasLost) {
          if (hasLost && mayWait && store.membership.instances > 1) {
            if (!isRetelling()) awaitRetelling()
            resolve(askWhenRetold(limits, cost))
            return
          }
          const decision = decided ?? judgeHere(limits, cost)
          if (decided?.granted === true) {
            here.count(limits, cost)
            hold(limits, decided.statuses)
          }
          if (decided !== null) here.heard(decided.statuses)
          if (decided?.granted === false) refusals.note(limits, decided, askedMs)
          refusedHere = decided === null && !decision.granted
          resolve(decision)
        },
        late({ granted }, storeMs) {
          // A request that was refused here meanwhile counts nowhere.
          if (granted && refusedHere) takeBack(limits, cost, storeMs)
        },
      })
    })
  }

  /** What the store has counted for a request that was refused here meanwhile. */
  function takeBack(limits: readonly Limit[], cost: number, storeMs: number): void {
    for (const limit of limits) {
      if (limit.quota === null) continue
      if (limit.quota.perMs !== null && limit.quota.burst === null) calls.giveBack({ limit, count: cost }, storeMs)
      else calls.reportUses({ limit, count: -cost })
    }
  }

  /** Reports uses that the store has not counted, and the slots that are held. */
  function report(limits: Iterable<Limit>): void {
    for (const uses of here.collect()) if (uses.count > 0) calls.reportUses(uses)
    for (const limit of limits) if (limit.quota === null) calls.reportSlots(limit, 'now')
  }

  function reportAll(): void {
    report([...slots.values()].map(({ limit }) => limit))
    calls.flush()
  }

  const upkeep = setInterval(() => {
    for (const [meter, { limit }] of slots) if (here.running(limit) === 0) slots.delete(meter)
    if (!store.away) reportAll()
  }, retellEveryMs)
  store.onChange((away) => {
    refusals.clear()
    if (away) goOn(() => true, false)
    else reportAll()
  })
  store.membership.onEpoch(() => {
    losses += 1
    if (store.membership.instances > 1) awaitRetelling()
    else goOn(() => true, !store.away)
    // A store that goes on losing everything keeps nobody waiting.
    goOn((one) => one.losses + 1 < losses, false)
    refusals.clear()
    calls.dropUses()
    here.recount()
    if (!store.away) reportAll()
  })

  return {
    take(limits: readonly Limit[], cost = costOfRequest): LimitDecision | Promise<LimitDecision> {
      if (store.away) return judgeHere(limits, cost)
      if (isRetelling()) return askWhenRetold(limits, cost)
      return refusals.find(limits, monotonic()) ?? ask(limits, cost)
    },
    peek(limits: readonly Limit[]): readonly LimitStatus[] | Promise<readonly LimitStatus[]> {
      const peekHere = () => here.peek(limits, store.state.instances)
      if (store.away || isRetelling()) return peekHere()
      return new Promise((resolve) => {
        calls.ask({
          limits,
          cost: 0,
          what: 'peek',
          settle(decided) {
            if (decided !== null) here.heard(decided.statuses)
            resolve(decided?.statuses ?? peekHere())
          },
          late: null,
        })
      })
    },
    release(limits: readonly Limit[]): void {
      here.release(limits)
      if (store.away) return
      for (const limit of limits) {
        if (limit.quota !== null) continue
        // Freed slots are urgent only where few are left.
        const isScarce = (slots.get(limit.meter)?.remaining ?? 0) * 4 < limit.most
        calls.reportSlots(limit, isScarce ? 'now' : 'soon')
      }
    },
    giveBack(limits: readonly Limit[], cost = costOfRequest): void {
      here.giveBack(limits, cost)
      if (store.away) return
      for (const limit of limits) if (limit.kind === 'refundable') calls.reportUses({ limit, count: -cost })
    },
    /** Resolves when the store has heard of all that is over, or cannot. */
    close(): Promise<void> {
      clearInterval(upkeep)
      if (retold !== null) clearTimeout(retold)
      goOn(() => true, false)
      calls.flush()
      return calls.whenIdle()
    },
  }
}

/** Limits of cost refuse while they cannot be checked. Nothing was counted. */
function unjudged(budget: Limit): LimitDecision {
  return {
    granted: false,
    exceeded: budget,
    retryAfterMs: storeAwayRetryMs,
    statuses: [],
    storeAway: true,
  }
}
