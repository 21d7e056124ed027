// How many of each name there are at the moment. A name stays when its count falls to zero: V8 makes a new table for a Map whose last
// entry is deleted, and one old table keeps all later ones alive until a full collection.

/** Names without a count are dropped when there are more than this: callers come and go. */
const sweepAbove = 10_000

export class Counts {
  readonly #counts = new Map<string, number>()
  #sweepAt = sweepAbove

  of(name: string): number {
    return this.#counts.get(name) ?? 0
  }

  add(name: string, count = 1): void {
    const before = this.#counts.get(name)
    if (before === undefined && this.#counts.size >= this.#sweepAt) this.#sweep()
    this.#counts.set(name, (before ?? 0) + count)
  }

  /** A count does not fall below zero. */
  subtract(name: string, count = 1): void {
    const before = this.#counts.get(name)
    if (before !== undefined) this.#counts.set(name, Math.max(0, before - count))
  }

  /** How many names are kept, also without a count. */
  get size(): number {
    return this.#counts.size
  }

  /** Next only at twice the number in use, because it looks at all names. */
  #sweep(): void {
    for (const [name, count] of this.#counts) if (count === 0) this.#counts.delete(name)
    this.#sweepAt = Math.max(sweepAbove, 2 * this.#counts.size)
  }
}
