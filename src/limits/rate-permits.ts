// Permits of one rate that this instance has taken ahead: at most one batch, which the store has counted. Used by permits.ts.
//
// Those of a sliding window hold until the entry ends in which they were counted, so a use is kept as long as if it had been
// asked for then, or a little longer; those that nobody used come off that entry again. A bucket counts them at the end of the time for which they
// hold; what nobody used flows off with the rest, since nobody can say how much of it has. Either way the store never
// knows of fewer uses than there are.

import { Demand } from './demand.ts'
import type { Limit, Standing } from './limiter.ts'
import { entryEndMs, type Quota } from './meter.ts'
import type { CallTimes, Claim, Given, MeterPermits, Outgoing } from './meter-permits.ts'

interface Batch {
  count: number
  /** The entry of the window in which they were counted, by the store's clock; null for a bucket. */
  readonly entryMs: number | null
  /** By this instance's clock. */
  readonly untilMs: number
}

export interface RatePermitsOptions {
  readonly limit: Limit
  /** For how many milliseconds permits hold at most. */
  readonly lastingMs: number
  /** Permits were counted in this entry of the store's window, and are not used. */
  readonly giveBack: (limit: Limit, entryMs: number, count: number) => void
}

export class RatePermits implements MeterPermits {
  #limit: Limit
  readonly #options: RatePermitsOptions
  readonly #demand: Demand
  #batch: Batch | null = null
  #told: Given = { count: 0, remaining: 0, resetMs: 0, spare: 0 }

  constructor(options: RatePermitsOptions) {
    this.#limit = options.limit
    this.#options = options
    this.#demand = new Demand(options.lastingMs)
  }

  atHand({ quota }: Limit, nowMs: number): number {
    return this.#fits(quota) ? this.#left(nowMs) : 0
  }

  take(limit: Limit, nowMs: number): Standing {
    if (this.#batch !== null) this.#batch.count -= 1
    const { remaining, resetMs } = this.#told
    return { limit, remaining: remaining + this.#left(nowMs), resetMs }
  }

  claim(limit: Limit, nowMs: number): Claim {
    const batch = this.#batch
    return {
      standing: this.take(limit, nowMs),
      settle: (isUsed) => {
        if (isUsed || batch === null) return
        batch.count += 1
        if (batch !== this.#batch) this.#return(batch)
      },
    }
  }

  note(nowMs: number): void {
    this.#demand.note(0, nowMs)
  }

  prepare(limit: Limit, isTaken: boolean, nowMs: number): Outgoing {
    if (!this.#fits(limit.quota) || this.#left(nowMs) === 0) this.#end()
    this.#limit = limit
    const lately = isTaken && this.#batch === null ? this.#demand.lately(nowMs) : null
    return { held: 0, ahead: lately?.count ?? null, lastingMs: this.#options.lastingMs }
  }

  receive(given: Given, { sentAtMs, storeMs }: CallTimes): void {
    this.#end()
    const entryMs = this.#entryMs(storeMs)
    const lastingMs = Math.min(this.#options.lastingMs, (entryMs ?? Infinity) - storeMs)
    // The store counted them after the call was sent, so they hold a little longer than is reckoned here.
    this.#batch = { count: given.count, entryMs, untilMs: sentAtMs + lastingMs }
    this.#told = given
  }

  late({ count }: Given, { storeMs }: CallTimes): void {
    this.#return({ count, entryMs: this.#entryMs(storeMs), untilMs: 0 })
  }

  drop(): void {
    this.#batch = null
  }

  sweep(nowMs: number): boolean {
    if (this.#left(nowMs) === 0) this.#end()
    return this.#batch === null && this.#demand.isOver(nowMs)
  }

  #fits(quota: Quota | null): boolean {
    const own = this.#limit.quota
    return own === quota || (own?.amount === quota?.amount && own?.burst === quota?.burst)
  }

  #left(nowMs: number): number {
    return this.#batch !== null && nowMs < this.#batch.untilMs ? this.#batch.count : 0
  }

  #entryMs(storeMs: number): number | null {
    const { perMs = null, burst = null } = this.#limit.quota ?? {}
    return perMs === null || burst !== null ? null : entryEndMs(perMs, storeMs + this.#options.lastingMs / 4)
  }

  #end(): void {
    if (this.#batch !== null) this.#return(this.#batch)
    this.#batch = null
  }

  #return(batch: Batch): void {
    const { count, entryMs } = batch
    batch.count = 0
    if (entryMs !== null && count > 0) this.#options.giveBack(this.#limit, entryMs, count)
  }
}
