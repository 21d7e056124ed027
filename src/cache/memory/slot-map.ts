// A map of short-lived values by number.

/**
 * A set of short-lived values. Not a Set: once promoted to V8's old space, its replaced hash tables keep deleted
 * members alive until the next full collection.
 */
export class SlotMap<T> implements Iterable<T> {
  readonly #places: (T | null)[] = []
  readonly #free: number[] = []

  /** The number by which it is found, which it alone has until it is removed. */
  add(member: T): number {
    const place = this.#free.pop() ?? this.#places.length
    this.#places[place] = member
    return place
  }

  /** Null when nobody has the number. */
  at(place: number): T | null {
    return this.#places[place] ?? null
  }

  /** Once for each `add`. */
  remove(place: number): void {
    this.#places[place] = null
    this.#free.push(place)
  }

  get size(): number {
    return this.#places.length - this.#free.length
  }

  *[Symbol.iterator](): Iterator<T> {
    for (const member of this.#places) if (member !== null) yield member
  }
}
