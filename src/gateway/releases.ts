// What a request holds and has to give back: each entry is released once, the last one first.

export class Releases {
  /** Null once everything was released. */
  #entries: (() => void)[] | null = []

  /** Releases later, or at once when the time for it has passed. */
  add(release: () => void): void {
    if (this.#entries === null) release()
    else this.#entries.push(release)
  }

  /** Releases everything. One failure keeps nothing else from being released; the first is thrown at the end. */
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
