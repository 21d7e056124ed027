// Whether the store is worth asking. Opens after a few failures in a row, so that requests do not each wait for the
// deadline; closes when probes get through. Pure: time is passed in.

/** So many failures in a row mean that the store is away. One can be a pause of either side. */
const failuresToOpen = 3
/** A store that goes away again so soon has to answer more probes, so that it does not come and go four times a second. */
const restlessMs = 10_000
const mostProbesToClose = 16

export class Breaker {
  #reason: string | null
  #failures = 0
  #probes = 0
  #probesToClose = 1
  #closedAtMs = -Infinity
  readonly #now: () => number
  readonly #changed: (reason: string | null) => void

  /** Open from the start, for the given reason. `changed` gets the reason when it opens and null when it closes. */
  constructor(reason: string, now: () => number, changed: (reason: string | null) => void) {
    this.#reason = reason
    this.#now = now
    this.#changed = changed
  }

  /** Why it is open; null while it is closed. */
  get reason(): string | null {
    return this.#reason
  }

  /**
   * A call was answered in time. Only probes close the breaker: they ask for all that is needed, and an answer that was
   * on its way when the breaker opened says nothing about now.
   */
  succeeded(isProbe: boolean): void {
    this.#failures = 0
    if (!isProbe || this.#reason === null) return
    this.#probes += 1
    if (this.#probes < this.#probesToClose) return
    this.#reason = null
    this.#closedAtMs = this.#now()
    this.#changed(null)
  }

  failed(reason: string): void {
    this.#failures += 1
    this.#probes = 0
    if (this.#reason !== null) {
      // It stays open, with the latest reason.
      this.#reason = reason
      return
    }
    if (this.#failures < failuresToOpen) return
    const isRestless = this.#now() - this.#closedAtMs < restlessMs
    this.#probesToClose = isRestless ? Math.min(2 * this.#probesToClose, mostProbesToClose) : 1
    this.#reason = reason
    this.#changed(reason)
  }
}
