// The lease of a member: how long it may use stored answers without contact to the store.

import type { MessageLog } from './message-log.ts'

/** How long the store counts a member as present after a renewal. */
export const leaseMs = 1_500
/** The member itself counts from before it asked, and a little less, as no two clocks run alike. */
const ownLeaseMs = 1_400

/** One clock that never jumps, and one that goes on while the machine sleeps; the lease is over when either says so. */
interface Clocks {
  readonly monotonic: () => number
  readonly now: () => number
}

export interface Moment {
  readonly monotonicMs: number
  readonly wallMs: number
}

export class Lease {
  readonly #clocks: Clocks
  #until: Moment = { monotonicMs: 0, wallMs: 0 }
  #renewal: { readonly head: string; readonly askedAt: Moment } | null = null
  #unconfirmed = 0

  constructor(clocks: Clocks) {
    this.#clocks = clocks
  }

  moment(): Moment {
    return { monotonicMs: this.#clocks.monotonic(), wallMs: this.#clocks.now() }
  }

  get isOver(): boolean {
    const { monotonic, now } = this.#clocks
    return monotonic() >= this.#until.monotonicMs || now() >= this.#until.wallMs
  }

  /** The store has renewed it for a member that has applied all messages up to this head. */
  renewed(head: string, askedAt: Moment): void {
    this.#renewal = { head, askedAt }
  }

  /** Takes the renewal once all those messages were applied. */
  confirm(log: MessageLog): void {
    if (this.#renewal === null || !log.knows(this.#renewal.head)) return
    const { monotonicMs, wallMs } = this.#renewal.askedAt
    this.#renewal = null
    this.#unconfirmed = 0
    this.#until = { monotonicMs: monotonicMs + ownLeaseMs, wallMs: wallMs + ownLeaseMs }
  }

  /**
   * To be called before each renewal. True when messages that were published long ago have not arrived: they are
   * lost.
   */
  isUnconfirmed(): boolean {
    this.#unconfirmed = this.#renewal === null ? 0 : this.#unconfirmed + 1
    return this.#unconfirmed > 2
  }

  end(): void {
    this.#renewal = null
    this.#unconfirmed = 0
    this.#until = { monotonicMs: 0, wallMs: 0 }
  }
}
