// When a right ends, and why it has an end: for grants, member entries and exceptions of guardrails.

export interface RightEnding {
  /** Milliseconds since the epoch; null: it does not end. */
  readonly endsAtMs: number | null
  readonly reason: string | null
}

/** From its end on. */
export function hasEnded({ endsAtMs }: RightEnding, nowMs: number): boolean {
  return endsAtMs !== null && nowMs >= endsAtMs
}

/** How many of these instants, which are in order, are over. */
export function endedBy(ends: readonly number[], nowMs: number): number {
  let [low, high] = [0, ends.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ends[middle] ?? Infinity) <= nowMs) low = middle + 1
    else high = middle
  }
  return low
}
