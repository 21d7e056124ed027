// Asks the shared store about limits: one call after another, each with all that has come up since the one before. So a
// busy instance makes few calls with many requests in each, which costs both sides a fraction of a call for a request, and
// what has room waits for nothing. What is over (slots, budgets) is told with the next call. A call asks for permits ahead
// as well, so the requests after it need none. Used by shared-limiter.ts.

import type { Store } from '../store/store.ts'
import { decide } from './decision-scripts.ts'
import { LimitCall, type Ask, type Hearing } from './limit-call.ts'
import { createKeyFinder, createLimitWriter } from './limit-wire.ts'
import type { Limit } from './limiter.ts'
import type { Uses } from './local-share.ts'
import type { Permits } from './permits.ts'

/** How long slots are held for an instance that says nothing. */
export const leaseMs = 6000

/** In one call: the store does nothing else meanwhile. */
const most = { asks: 100, limits: 500 } as const

export interface LimitCallsOptions {
  readonly store: Store
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Milliseconds of a clock that nobody sets. */
  readonly monotonic: () => number
  readonly permits: Permits
  /** The call that was to tell of these has failed. */
  readonly onUntold: (uses: readonly Uses[]) => void
}

export interface LimitCalls {
  ask(ask: Ask): void
  /** How many slots of a concurrency limit are held here has changed, or is to be told again. */
  tellSlots(limit: Limit): void
  /** Uses that the store has not counted; below zero, that are given back. */
  tellUses(uses: Uses): void
  /** So many uses that the store has counted in this entry of its window have not been. */
  giveBack(limit: Limit, entryMs: number, count: number): void
  /** Tells what is waiting to be told. To be called when the store is back. */
  resume(): void
  /** What was counted ahead may be lost: none of it is used, and none given back. */
  drop(): void
  /** Resolves when all is told, or the store does not hear it. */
  whenIdle(): Promise<void>
}

export function createLimitCalls({ store, now, monotonic, permits, onUntold }: LimitCallsOptions): LimitCalls {
  const keyOf = createKeyFinder(store.key)
  const write = createLimitWriter()
  let asks: Ask[] = []
  /** By meter. */
  const slots = new Map<string, Limit>()
  const uses = new Map<string, Uses>()
  let unused: { readonly limit: Limit; readonly entryMs: number; readonly count: number }[] = []
  let isBusy = false
  let idlers: (() => void)[] = []

  const isWaiting = (): boolean => asks.length + slots.size + uses.size + unused.length > 0

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
    const values = call.values(store.instance, leaseMs)
    const sentAtMs = monotonic()
    const heard: Hearing = {
      decided: (ask, allowance) => ask.settle(allowance),
      given: (limit, given, storeMs) => permits.receive(limit, given, { sentAtMs, storeMs }),
    }
    const heardLate: Hearing = {
      decided: (ask, allowance, storeMs) => ask.late?.(allowance, storeMs),
      given: (limit, given, storeMs) => permits.late(limit, given, { sentAtMs, storeMs }),
    }
    store
      .run(decide, keys, values, (answer) => call.read(answer, heardLate))
      .then((answer) => call.read(answer, heard))
      .then(
        () => {
          serve()
          isBusy = false
          if (isWaiting()) plan()
          else rest()
        },
        () => {
          drop()
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
      if (call.size >= most.limits) break
      uses.delete(meter)
      call.tell(told.limit, told.count)
    }
    for (const [meter, limit] of slots) {
      if (call.size >= most.limits) break
      slots.delete(meter)
      call.tell(limit, 0)
    }
    for (const { limit } of unused) {
      if (call.size >= most.limits) break
      call.tell(limit, 0)
    }
    // What has come to its end goes back with this call, too.
    call.prepare(permits.prepare)
    const known = unused
    unused = []
    for (const each of known)
      if (call.has(each.limit)) call.giveBack(each.limit, each.entryMs, each.count)
      else unused.push(each)
    return call
  }

  /** Those who have waited for the call may not need another one. */
  function serve(): void {
    asks = asks.filter((ask) => {
      const allowance = ask.what === 'take' ? permits.take(ask.limits) : null
      if (allowance !== null) ask.settle(allowance)
      return allowance === null
    })
  }

  function drop(): void {
    unused = []
    permits.drop()
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
    giveBack(limit, entryMs, count) {
      unused.push({ limit, entryMs, count })
      plan()
    },
    resume() {
      if (isWaiting()) plan()
    },
    drop,
    whenIdle: () => (isBusy ? new Promise((resolve) => idlers.push(resolve)) : Promise.resolve()),
  }
}
