// Counters for the hot path: plain numbers in arrays, found by position and not by label text. instruments.ts names
// them and passes them to the metrics library on a scrape. No library here.

/** A closed list of label values. Everything else counts as `other`, and null as `none`. */
export class LabelSet {
  readonly #positions = new Map<string, number>()
  readonly #names = ['none', 'other']
  readonly #maxNames: number

  /** `maxNames` bounds what `add` can bring over the life of the process. */
  constructor(names: readonly string[], maxNames = Number.POSITIVE_INFINITY) {
    this.#maxNames = maxNames
    this.add(names)
  }

  /** Makes names known, such as the teams of a new policy. Known names stay: a counter must never go back. */
  add(names: readonly string[]): void {
    for (const name of names) {
      if (this.#positions.has(name) || this.#positions.size >= this.#maxNames) continue
      this.#positions.set(name, this.#names.length)
      this.#names.push(name)
    }
  }

  /** 0 for null, 1 for a name that is not known, else the position of the name, which never changes. */
  position(name: string | null): number {
    return name === null ? 0 : (this.#positions.get(name) ?? 1)
  }

  name(position: number): string {
    return this.#names[position] ?? 'other'
  }

  /** How many positions there are. */
  get size(): number {
    return this.#names.length
  }

  /** The names that were added. */
  names(): Iterable<string> {
    return this.#positions.keys()
  }

  /** The name itself if it is known, else `other`. */
  closed(name: string | null): string {
    return this.name(this.position(name))
  }
}

/** A number for each pair of a row and a column; rows come into being when they are first counted. */
export class Tally {
  readonly #columns: number
  readonly #rows: (Float64Array | undefined)[] = []

  constructor(columns: number) {
    this.#columns = columns
  }

  add(row: number, column: number): void {
    const counts = (this.#rows[row] ??= new Float64Array(this.#columns))
    counts[column] = (counts[column] ?? 0) + 1
  }

  /** Every pair that was ever counted. */
  *entries(): Generator<{ readonly row: number; readonly column: number; readonly count: number }> {
    for (const [row, counts] of this.#rows.entries()) {
      if (counts === undefined) continue
      for (const [column, count] of counts.entries()) if (count > 0) yield { row, column, count }
    }
  }
}

/** A trace that shows what a bucket counts. */
export interface Exemplar {
  readonly traceId: string
  readonly seconds: number
  readonly atMs: number
}

/** How often durations fell into each bucket, for each row. Seconds. */
export class Durations {
  readonly #bounds: readonly number[]
  // For each row: a count for each bound, the count of everything beyond, and the sum.
  readonly #rows: (Float64Array | undefined)[] = []
  // The latest one of each bucket.
  readonly #exemplars: (Exemplar | undefined)[][] = []

  /** `bounds` are upper bounds, rising. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
  }

  observe(row: number, seconds: number, traceId?: string | null): void {
    const bounds = this.#bounds
    const counts = (this.#rows[row] ??= new Float64Array(bounds.length + 2))
    let bucket = 0
    while (bucket < bounds.length && seconds > (bounds[bucket] ?? 0)) bucket += 1
    counts[bucket] = (counts[bucket] ?? 0) + 1
    counts[bounds.length + 1] = (counts[bounds.length + 1] ?? 0) + seconds
    if (typeof traceId === 'string') (this.#exemplars[row] ??= [])[bucket] = { traceId, seconds, atMs: Date.now() }
  }

  /** Cumulative counts, as Prometheus wants them: `le` is the bound, the last one infinite. */
  *entries(): Generator<{
    readonly row: number
    readonly buckets: readonly {
      readonly le: number
      readonly count: number
      readonly exemplar?: Exemplar | undefined
    }[]
    readonly count: number
    readonly sum: number
  }> {
    for (const [row, counts] of this.#rows.entries()) {
      if (counts === undefined) continue
      let count = 0
      const buckets = [...this.#bounds, Number.POSITIVE_INFINITY].map((le, index) => {
        count += counts[index] ?? 0
        return { le, count, exemplar: this.#exemplars[row]?.[index] }
      })
      yield { row, buckets, count, sum: counts[this.#bounds.length + 1] ?? 0 }
    }
  }
}
