// Asks the shared store about limits: one call after another, each with all that has come up since the one before. So a
// busy instance makes few calls with many requests in each, which costs both sides a fraction of a call for a request, and
// what has room waits for nothing. What is over (slots, budgets) is told with the next call. Used by shared-limiter.ts.

import type { Store } from '../store/store.ts'
import { decide } from './decision-scripts.ts'
import { LimitCall, type Ask } from './limit-call.ts'
import { createKeyFinder, createLimitWriter } from './limit-wire.ts'
import type { Limit } from './limiter.ts'
import type { Uses } from './local-share.ts'

/** How long slots are held for an instance that says nothing. */
export const leaseMs = 6000

/** In one call: the store does nothing else meanwhile. */
const most = { asks: 100, limits: 500 } as const

export interface LimitCallsOptions {
  readonly store: Store
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** How many requests of this instance hold a slot of a concurrency limit. */
  readonly running: (limit: Limit) => number
  /** The call that was to tell of these has failed. */
  readonly onUntold: (uses: readonly Uses[]) => void
}

export interface LimitCalls {
  ask(ask: Ask): void
  /** How many slots of a concurrency limit are held here has changed, or is to be told again. */
  tellSlots(limit: Limit): void
  /** Uses that the store has not counted; below zero, that are given back. */
  tellUses(uses: Uses): void
  /** Resolves when all is told, or the store does not hear it. */
  whenIdle(): Promise<void>
}

export function createLimitCalls({ store, now, running, onUntold }: LimitCallsOptions): LimitCalls {
  const keyOf = createKeyFinder(store.key)
  const write = createLimitWriter()
  let asks: Ask[] = []
  /** By meter. */
  const slots = new Map<string, Limit>()
  const uses = new Map<string, Uses>()
  let isBusy = false
  let idlers: (() => void)[] = []

  /** At the end of this turn of the event loop: what has arrived together goes together. */
  function plan(): void {
    if (isBusy) return
    isBusy = true
    setImmediate(send)
  }

  function send(): void {
    if (store.away) {
      rest()
      return
    }
    const call = compose()
    const keys = call.limits.map(({ meter }) => keyOf(meter))
    const late = (answer: unknown): void => call.read(answer, (ask, allowance) => ask.late?.(allowance))
    store
      .run(decide, keys, call.values(store.instance, leaseMs, running), late)
      .then((answer) => call.read(answer, (ask, allowance) => ask.settle(allowance)))
      .then(
        () => {
          isBusy = false
          if (asks.length + slots.size + uses.size > 0) plan()
          else rest()
        },
        () => {
          for (const limit of call.limits) if (limit.quota === null) slots.set(limit.meter, limit)
          onUntold(call.untold)
          call.fail()
          rest()
        },
      )
  }

  /** Takes what waits, as far as it goes into one call. */
  function compose(): LimitCall {
    const call = new LimitCall(write, now())
    let taken = 0
    for (const ask of asks) {
      if (taken === most.asks || !call.add(ask)) break
      taken += 1
    }
    asks = asks.slice(taken)
    for (const [meter, told] of uses) {
      if (call.limits.length >= most.limits) break
      uses.delete(meter)
      call.tell(told.limit, told.count)
    }
    for (const [meter, limit] of slots) {
      if (call.limits.length >= most.limits) break
      slots.delete(meter)
      call.tell(limit, 0)
    }
    return call
  }

  /**
   * Makes no call until there is something new. Nothing is waiting, or the store does not answer: those who wait have
   * waited for it with others, and do not begin anew.
   */
  function rest(): void {
    isBusy = false
    const left = asks
    asks = []
    for (const ask of left) ask.settle(null)
    for (const resolve of idlers) resolve()
    idlers = []
  }

  return {
    ask(ask) {
      asks.push(ask)
      plan()
    },
    tellSlots(limit) {
      slots.set(limit.meter, limit)
      plan()
    },
    tellUses({ limit, count }) {
      uses.set(limit.meter, { limit, count: count + (uses.get(limit.meter)?.count ?? 0) })
      plan()
    },
    whenIdle: () => (isBusy ? new Promise((resolve) => idlers.push(resolve)) : Promise.resolve()),
  }
}
