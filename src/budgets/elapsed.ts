// Ages of what is dated by the wall clock, which can be set: by the date when it is first seen, and from then on by the
// monotonic clock.

export class Elapsed {
  readonly #now: () => number
  readonly #monotonic: () => number
  /** When each was dated, and when that was by the monotonic clock. */
  readonly #seen = new Map<string, { readonly atMs: number; readonly monotonicMs: number }>()

  /** `now` is in milliseconds since the epoch. */
  constructor({ now, monotonic }: { readonly now: () => number; readonly monotonic: () => number }) {
    this.#now = now
    this.#monotonic = monotonic
  }

  /** Milliseconds since a date of something with this name; never negative. */
  since(name: string, atMs: number): number {
    let seen = this.#seen.get(name)
    if (seen?.atMs !== atMs) {
      seen = { atMs, monotonicMs: this.#monotonic() - Math.max(0, this.#now() - atMs) }
      this.#seen.set(name, seen)
    }
    return this.#monotonic() - seen.monotonicMs
  }

  /** Forgets every name but these. */
  keep(names: ReadonlySet<string>): void {
    for (const name of this.#seen.keys()) if (!names.has(name)) this.#seen.delete(name)
  }
}
