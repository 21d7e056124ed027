// Asks the shared store about limits in batches: while one call runs, new requests wait and go together in the next. A lone
// request is sent at once. Uses that are given back go with the next call, freed slots too, or within a moment.

import type { Store } from '../../store/store.ts'
import type { LimitClocks, Limit } from '../limiter.ts'
import { decideScript } from './decision-script.ts'
import { LimitCall, type Ask } from './limit-call.ts'
import { createLimitWriter, keyOf } from './limit-wire.ts'
import type { Uses } from './local-share.ts'

/** Freed slots of a limit that has room may wait so long for a call to go with. */
const reportWithinMs = 10

/** In one call: the store does nothing else meanwhile. */
const most = { asks: 100, limits: 500 } as const

export interface LimitCallsOptions {
  readonly store: Store
  readonly now: LimitClocks['now']
  /** How many slots of a concurrency limit are held here. */
  readonly heldOf: (limit: Limit) => number
  /** The call that should have reported these has failed. */
  readonly onUntold: (uses: readonly Uses[]) => void
}

export function createLimitCalls({ store, now, heldOf, onUntold }: LimitCallsOptions) {
  const write = createLimitWriter()
  let asks: Ask[] = []
  /** By meter. */
  const slots = new Map<string, Limit>()
  const uses = new Map<string, Uses>()
  let backs: (Uses & { readonly storeMs: number })[] = []
  let isBusy = false
  /** Something has to be sent without waiting for the timer. */
  let isUrgent = false
  let timer: NodeJS.Timeout | null = null
  let idlers: (() => void)[] = []

  const isWaiting = (): boolean => asks.length + slots.size + uses.size + backs.length > 0

  /** At the end of this turn of the event loop: what has arrived together goes together. */
  function plan(): void {
    isUrgent = true
    if (isBusy) return
    isBusy = true
    setImmediate(send)
  }

  /** Reports what is waiting to be reported. */
  function flush(): void {
    if (timer !== null) clearTimeout(timer)
    timer = null
    if (isWaiting()) plan()
  }

  function send(): void {
    const { epoch, keys } = store.membership
    if (store.away || epoch === null) {
      rest()
      return
    }
    const call = compose()
    const meters = call.limits.map(({ meter }) => keyOf(store.key, meter))
    let isLost = false
    store
      .run(
        decideScript,
        [keys.epoch, keys.instances, ...meters],
        call.values(store.instance, epoch, heldOf),
        (answer) => {
          // What a lost store has counted must not be taken off what has been told to the next.
          if (store.membership.epoch === epoch)
            call.read(answer, (ask, decision, storeMs) => ask.late?.(decision, storeMs))
        },
      )
      .then((answer) => {
        isLost = !call.read(answer, (ask, decision) => ask.settle(decision, false))
        if (isLost) throw new Error('the store has lost what it held')
      })
      .then(
        () => {
          isBusy = false
          if (isUrgent) plan()
          else rest()
        },
        () => {
          for (const limit of call.limits) if (limit.quota === null) slots.set(limit.meter, limit)
          // Everything counted here is reported again in the new epoch.
          if (isLost) store.membership.heartbeat()
          else onUntold(call.unreported)
          call.fail(isLost)
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
    for (const [meter, use] of uses) {
      if (call.size >= most.limits) break
      uses.delete(meter)
      call.report(use.limit, use.count)
    }
    for (const [meter, limit] of slots) {
      if (call.size >= most.limits) break
      slots.delete(meter)
      call.report(limit, 0)
    }
    for (const { limit, storeMs, count } of backs.splice(0, Math.max(0, most.limits - call.size)))
      call.giveBack(limit, storeMs, count)
    isUrgent = isWaiting()
    return call
  }

  /** Makes no call until there is something new: after a failed call nobody waits for a second timeout. */
  function rest(): void {
    isBusy = false
    const left = asks
    asks = []
    for (const ask of left) ask.settle(null, false)
    for (const resolve of idlers) resolve()
    idlers = []
  }

  return {
    ask(ask: Ask): void {
      asks.push(ask)
      plan()
    },
    /** The number of slots held here has changed, or has to be reported again. */
    reportSlots(limit: Limit, when: 'now' | 'soon'): void {
      slots.set(limit.meter, limit)
      if (when === 'now') plan()
      else timer ??= setTimeout(flush, reportWithinMs)
    },
    /** Uses that the store has not counted; below zero, that are given back. */
    reportUses({ limit, count }: Uses): void {
      uses.set(limit.meter, { limit, count: count + (uses.get(limit.meter)?.count ?? 0) })
      plan()
    },
    /** Uses that the store has counted at this time of its clock have not been any. */
    giveBack(uses: Uses, storeMs: number): void {
      backs.push({ ...uses, storeMs })
      plan()
    },
    flush,
    /** Drops waiting reports of rates and budgets. */
    dropUses(): void {
      uses.clear()
      backs = []
    },
    /** Resolves when everything is reported, or the store does not answer. */
    whenIdle: (): Promise<void> => (isBusy ? new Promise((resolve) => idlers.push(resolve)) : Promise.resolve()),
  }
}
