// Finds the spelling that was probably meant, for messages about unknown words.

// Longer words are neither compared nor suggested: the work grows with the product of the lengths.
const longestWord = 200

/**
 * The candidate with the fewest typing mistakes (insertion, deletion, replacement, exchange of neighbours; letter case
 * does not count), or null when none is near: at most one mistake for every three letters. The first of equals wins.
 */
export function nearest(word: string, candidates: Iterable<string>): string | null {
  return nearestWithin(word, candidates, 3)
}

/** The same with at most one mistake for every so many letters. */
function nearestWithin(word: string, candidates: Iterable<string>, lettersForOne: number): string | null {
  const wanted = word.toLowerCase()
  if (wanted.length > longestWord) return null
  let best: string | null = null
  let fewest = Math.max(1, Math.floor(wanted.length / lettersForOne)) + 1
  for (const candidate of candidates) {
    if (candidate.length > longestWord) continue
    const mistakes = distance(wanted, candidate.toLowerCase(), fewest - 1)
    // Any two words of one or two letters are near to each other; between those only letter case may differ.
    if (mistakes >= fewest || (mistakes > 0 && candidate.length < 3)) continue
    best = candidate
    fewest = mistakes
  }
  return best
}

/**
 * The candidate that a word is most likely a misspelling of, where the word itself may be right: nearer than `nearest` asks, and no
 * sibling of it, as org-a and org-b or eu-1 and eu-2 are. Null for a candidate itself.
 */
export function misspellingOf(word: string, candidates: ReadonlySet<string>): string | null {
  if (candidates.has(word)) return null
  return nearestWithin(
    word,
    [...candidates].filter((each) => !areSiblings(word, each)),
    5,
  )
}

/** The same words around short ones or numbers that differ. */
function areSiblings(one: string, other: string): boolean {
  const [a, b] = [one, other].map((each) => each.toLowerCase().split(/[^\p{L}\p{N}]+/u))
  if (a === undefined || b === undefined || a.length !== b.length) return false
  const differing = a.flatMap((part, index) => (part === b[index] ? [] : [[part, b[index] ?? ''] as const]))
  return (
    differing.length > 0 && differing.every(([part, theirs]) => isShort(part, theirs) || differInNumbers(part, theirs))
  )
}

const shortWord = 3
/** A word that is longer is an id of random letters, in which a digit is no number. */
const longestNumbered = 12

function isShort(one: string, other: string): boolean {
  const [a, b] = [one, other].map((each) => [...each].sort().join(''))
  // Letters that have changed places are a mistake in short words, too.
  return Math.max(one.length, other.length) <= shortWord && a !== b
}

function differInNumbers(one: string, other: string): boolean {
  const [a, b] = [one, other].map((each) => each.replace(/\d+/g, ''))
  return a === b && Math.max(one.length, other.length) <= longestNumbered
}

/** `; did you mean "x"?` to put behind a message, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const found = nearest(word, candidates)
  return found === null || found === word ? '' : `; did you mean "${found}"?`
}

/** A word is compared with all that are known, so after so many words the next ones get no hint: nobody reads that many. */
const mostHints = 100

/** `didYouMean` for the words of files, of which many may be wrong. */
export function fewHints(): typeof didYouMean {
  let left = mostHints
  return (word, candidates) => {
    left -= 1
    return left < 0 ? '' : didYouMean(word, candidates)
  }
}

/** Damerau-Levenshtein distance in its restricted form (optimal string alignment), or more than `limit` when larger. */
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    let smallest = i
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = at(last, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      let cost = Math.min(replaced, at(last, j) + 1, at(row, j - 1) + 1)
      const exchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (exchanged) cost = Math.min(cost, at(beforeLast, j - 2) + 1)
      row.push(cost)
      smallest = Math.min(smallest, cost)
    }
    if (smallest > limit) return limit + 1
    beforeLast = last
    last = row
  }
  return at(last, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}
