// Resources that a request holds: each is released once, in reverse order.

export class Releases {
  /** Null once everything was released. */
  #entries: (() => void)[] | null = []

  /** Releases later, or at once when everything was released already. */
  add(release: () => void): void {
    if (this.#entries === null) release()
    else this.#entries.push(release)
  }

  /** Releases everything, also after a failure; the first failure is thrown at the end. */
  release(): void {
    const entries = this.#entries
    if (entries === null) return
    this.#entries = null
    let failure: { readonly error: unknown } | null = null
    for (let index = entries.length - 1; index >= 0; index--) {
      try {
        entries[index]?.()
      } catch (error) {
        failure ??= { error }
      }
    }
    if (failure !== null) throw failure.error
  }
}
