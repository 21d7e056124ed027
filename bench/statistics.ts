// The little arithmetic behind the tables. Pure.

/** Median with the smallest and the largest value. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** The spread of some values; null for none. */
export function spreadOf(values: readonly number[]): Spread | null {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle]
  if (upper === undefined) return null
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
  return { median, min: sorted[0] ?? upper, max: sorted.at(-1) ?? upper }
}

/** One spread over several: the median of their medians, the smallest and the largest value of all; null for none. */
export function spreadOver(spreads: readonly Spread[]): Spread | null {
  const medians = spreadOf(spreads.map(({ median }) => median))
  if (medians === null) return null
  return {
    median: medians.median,
    min: Math.min(...spreads.map(({ min }) => min)),
    max: Math.max(...spreads.map(({ max }) => max)),
  }
}

/** The value below which a part (0 to 1) of the values lies; 0 for none. Sorts its argument. */
export function quantile(values: Float64Array, part: number): number {
  values.sort()
  return values[Math.min(values.length - 1, Math.floor(values.length * part))] ?? 0
}
