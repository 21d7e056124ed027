// How long what was read of the blocks in the store may be gone by before it has to be read again.
//
// Messages tell of changes at once, and a read twice a second finds those that were missed. A process that was stopped for a
// while goes on with requests that wait for it before anything else runs: they look at the clocks and wait for a read.

/** One clock that never jumps, and one that goes on while the machine sleeps. */
interface ViewClocks {
  readonly monotonic: () => number
  readonly now: () => number
}

export const readEveryMs = 500
const freshForMs = 900
/** A store that fails without being away is not asked at each request. */
const pauseMs = 250
const triesWhenStale = 5

export class SharedView {
  readonly #clocks: ViewClocks
  #askedAt = { monotonicMs: Number.NEGATIVE_INFINITY, wallMs: Number.NEGATIVE_INFINITY }

  constructor(clocks: ViewClocks) {
    this.#clocks = clocks
  }

  moment(): { readonly monotonicMs: number; readonly wallMs: number } {
    return { monotonicMs: this.#clocks.monotonic(), wallMs: this.#clocks.now() }
  }

  /** What was asked for at this moment is known. */
  seen(askedAt: { readonly monotonicMs: number; readonly wallMs: number }): void {
    this.#askedAt = askedAt
  }

  get isStale(): boolean {
    const { monotonic, now } = this.#clocks
    const { monotonicMs, wallMs } = this.#askedAt
    // A wall clock that was set back says nothing.
    return monotonic() - monotonicMs > freshForMs || now() - wallMs > freshForMs
  }

  /** Reads until it is known how things stand now, or the store turns out to be away: then what is known stays. */
  async refresh(read: () => Promise<void>, isAway: () => boolean): Promise<void> {
    for (let tries = 0; tries < triesWhenStale && this.isStale && !isAway(); tries += 1) await read().catch(() => {})
    if (!this.isStale || isAway()) return
    const { monotonicMs, wallMs } = this.moment()
    this.seen({ monotonicMs: monotonicMs - freshForMs + pauseMs, wallMs: wallMs - freshForMs + pauseMs })
  }
}
