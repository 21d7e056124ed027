// The values that are protected, and what begins like one of them.

/** The prefix of every key. */
export const keyPrefix = 'cog_'

/** The protected values, sorted, so that a look-up is a binary search however many there are. */
export function createDictionary(values: readonly string[]) {
  const sorted = values.toSorted((a, b) => (a < b ? -1 : 1))
  // For each value the index of the longest other one that it begins with, or -1. In sorted order that one is the value
  // before, or one that the value before begins with.
  const shorter: number[] = []
  for (const value of sorted) shorter.push(ancestor(shorter.length - 1, value))

  function ancestor(start: number, text: string): number {
    let index = start
    while (index >= 0 && !text.startsWith(sorted[index] ?? '')) index = shorter[index] ?? -1
    return index
  }

  /** How many values are at most `text`. */
  function rank(text: string): number {
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((sorted[middle] ?? '') <= text) low = middle + 1
      else high = middle
    }
    return low
  }

  // The four bytes behind the prefix, where every value is so long: they tell nearly everything from a value at once.
  const isLong = sorted.every(({ length }) => length >= 2 * keyPrefix.length)
  const beginnings = new Set(isLong ? sorted.map((value) => Buffer.from(value).readUInt32BE(keyPrefix.length)) : [])

  return {
    size: sorted.length,
    /** Whether no value begins with the eight bytes from `at` on; false where that takes a closer look. */
    isForeign: (data: Buffer, at: number): boolean =>
      isLong && !beginnings.has(data.readUInt32BE(at + keyPrefix.length)),
    shortest: sorted.reduce((shortest, value) => Math.min(shortest, value.length), Infinity),
    longest: sorted.reduce((longest, value) => Math.max(longest, value.length), 0),
    /** Length of the longest value that `text` begins with, or 0. */
    match: (text: string): number => sorted[ancestor(rank(text) - 1, text)]?.length ?? 0,
    /** Whether a value begins with `text` and is longer. */
    mayContinue: (text: string): boolean => sorted[rank(text)]?.startsWith(text) ?? false,
  }
}

export type Dictionary = ReturnType<typeof createDictionary>
