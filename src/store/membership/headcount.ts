// How many instances share the store, for their shares of a limit. Pure.

/** An instance without a heartbeat for so long is gone, and its slots are free. */
export const absentAfterMs = 6000

/**
 * The last count, which falls only when a smaller one has held for a while: a store that was emptied knows only one
 * instance at first.
 */
export class Headcount {
  #count = 1
  #seenAtMs = 0

  get count(): number {
    return this.#count
  }

  /** `nowMs` is monotonic. */
  saw(count: number, nowMs: number): void {
    if (count < this.#count && nowMs - this.#seenAtMs < absentAfterMs) return
    this.#count = Math.max(1, count)
    this.#seenAtMs = nowMs
  }
}
