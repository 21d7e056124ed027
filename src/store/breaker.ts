// Whether the store is worth asking. Opens after a few failures in a row, so that requests do not each wait for the
// deadline; closes when a probe gets through. Used by client.ts. Pure.

/** So many failures in a row mean that the store is away. One can be a pause of either side. */
const failuresToOpen = 3

export class Breaker {
  #failures = 0
  #reason: string | null
  readonly #changed: (reason: string | null) => void

  /** Open from the start, for the given reason. `changed` gets the reason when it opens and null when it closes. */
  constructor(reason: string, changed: (reason: string | null) => void) {
    this.#reason = reason
    this.#changed = changed
  }

  /** Why it is open; null while it is closed. */
  get reason(): string | null {
    return this.#reason
  }

  /**
   * A call was answered in time. Only a probe closes the breaker: it asks for all that is needed, and an answer that was
   * on its way when the breaker opened says nothing about now.
   */
  succeeded(isProbe: boolean): void {
    this.#failures = 0
    if (!isProbe || this.#reason === null) return
    this.#reason = null
    this.#changed(null)
  }

  failed(reason: string): void {
    this.#failures += 1
    if (this.#reason !== null) {
      // It stays open, and what is told of it is what was found last.
      this.#reason = reason
      return
    }
    if (this.#failures < failuresToOpen) return
    this.#reason = reason
    this.#changed(reason)
  }
}
