// The age of something dated by the wall clock, which can be set: by its date when it is first seen, and from then on
// by the monotonic clock.

export interface ElapsedOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly monotonic: () => number
}

interface Seen {
  readonly atMs: number
  readonly ageMs: number
  readonly monotonicMs: number
}

export class Elapsed {
  readonly #options: ElapsedOptions
  readonly #seen = new Map<string, Seen>()

  constructor(options: ElapsedOptions) {
    this.#options = options
  }

  /** Milliseconds since a date of something with this name; never negative. */
  since(name: string, atMs: number): number {
    const { now, monotonic } = this.#options
    let seen = this.#seen.get(name)
    if (seen?.atMs !== atMs) {
      seen = { atMs, ageMs: Math.max(0, now() - atMs), monotonicMs: monotonic() }
      this.#seen.set(name, seen)
    }
    return seen.ageMs + monotonic() - seen.monotonicMs
  }

  /** Forgets every name but these. */
  keep(names: ReadonlySet<string>): void {
    for (const name of this.#seen.keys()) if (!names.has(name)) this.#seen.delete(name)
  }
}
