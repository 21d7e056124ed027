// Slots of one concurrency limit that the store holds for this instance, used or not. Used by permits.ts.
//
// An instance tells how many it holds, and may hold some more than it uses: those that requests can take at once, and
// those that have become free and need not be told one by one. How many is what the store allows; the rest is told at once,
// and all of it within a moment.

import { Demand } from './demand.ts'
import type { Limit, Standing } from './limiter.ts'
import { aheadMs, type CallTimes, type Claim, type Given, type MeterPermits, type Outgoing } from './meter-permits.ts'

export interface SlotPermitsOptions {
  readonly limit: Limit
  /** How many requests of this instance hold a slot. */
  readonly running: (limit: Limit) => number
  /** Fewer are used than the store holds. */
  readonly tell: (limit: Limit) => void
}

export class SlotPermits implements MeterPermits {
  #limit: Limit
  readonly #options: SlotPermitsOptions
  readonly #demand = new Demand(aheadMs)
  /** Taken by requests that still wait to hear of another limit. */
  #claimed = 0
  /** What the store holds for this instance, as far as it is known. */
  #held = 0
  #told: Given = { count: 0, remaining: 0, resetMs: 0, spare: 0 }
  /** By this instance's clock; before that, what is held can be used. */
  #untilMs = -Infinity
  #isAsked = false

  constructor(options: SlotPermitsOptions) {
    this.#limit = options.limit
    this.#options = options
  }

  atHand({ most }: Limit, nowMs: number): number {
    return most === this.#limit.most ? this.#left(nowMs) : 0
  }

  /** Nothing changes here: the slot is used when the request counts as running. */
  take(limit: Limit, nowMs: number): Standing {
    return { limit, remaining: this.#told.remaining + this.#left(nowMs) - 1, resetMs: 0 }
  }

  claim(limit: Limit, nowMs: number): Claim {
    const standing = this.take(limit, nowMs)
    this.#claimed += 1
    return { standing, settle: () => void (this.#claimed -= 1) }
  }

  note(nowMs: number): void {
    this.#demand.note(this.#used, nowMs)
  }

  prepare(limit: Limit, isTaken: boolean, nowMs: number): Outgoing {
    const lately = this.#demand.lately(nowMs)
    const isAsked = isTaken && lately !== null
    // What is taken without asking for more is not told, so it is no longer known how many are held.
    if (limit.most !== this.#limit.most || (isTaken && !isAsked)) this.#untilMs = -Infinity
    this.#limit = limit
    this.#isAsked = isAsked
    this.#held = this.#used + Math.min(this.#left(nowMs), this.#told.spare)
    return { held: this.#held, ahead: isAsked ? Math.max(0, lately.peak - this.#held) : null, lastingMs: aheadMs }
  }

  receive(given: Given, { sentAtMs }: CallTimes): void {
    this.#held = given.count
    this.#told = given
    this.#untilMs = sentAtMs + aheadMs
    this.#isAsked = false
    if (this.#held - this.#used > given.spare) this.#options.tell(this.#limit)
  }

  /** A slot has become free: it need not be told. */
  keeps(nowMs: number): boolean {
    return this.#isAsked || (nowMs < this.#untilMs && this.#held - this.#used <= this.#told.spare)
  }

  /** Nothing is to be given back: the next call tells what is held. */
  late(): void {}

  drop(): void {
    this.#untilMs = -Infinity
    this.#isAsked = false
  }

  sweep(nowMs: number): boolean {
    const isLeft = this.#held > this.#used
    if (!this.#isAsked && nowMs >= this.#untilMs) {
      this.#untilMs = -Infinity
      if (isLeft) this.#options.tell(this.#limit)
    }
    return !isLeft && this.#claimed === 0 && !this.#isAsked && this.#demand.isOver(nowMs)
  }

  #left(nowMs: number): number {
    return nowMs < this.#untilMs ? Math.max(0, this.#held - this.#used) : 0
  }

  get #used(): number {
    return this.#options.running(this.#limit) + this.#claimed
  }
}
