// How two spellings differ that people take for the same name. Pure.

interface Fold {
  /** The end of `they differ …`. */
  readonly text: string
  readonly fold: (text: string) => string
}

const folds: readonly Fold[] = [
  { text: 'by white space', fold: (text) => text.replace(/\s+/g, '') },
  { text: 'in letter case', fold: (text) => text.toLowerCase() },
  { text: 'in the form of its characters', fold: (text) => text.normalize('NFKC') },
  { text: 'in the scheme', fold: (text) => text.replace(/^http:/, 'https:') },
  { text: 'by the default port', fold: (text) => text.replace(/^(https:\/\/[^/]*):(?:443|80)(?=\/|$)/, '$1') },
  { text: 'by a first slash', fold: (text) => text.replace(/^\/+/, '') },
  { text: 'by a final slash', fold: (text) => text.replace(/\/+$/, '') },
]

/** One text for all spellings that people take for the same. */
export function foldSpelling(text: string): string {
  return foldBy(folds, text)
}

/** Like `in letter case` or `by a final slash`, when nothing else tells the two apart; null when they are equal or differ more. */
export function spellingDifference(seen: string, wanted: string): string | null {
  if (seen === wanted || foldSpelling(seen) !== foldSpelling(wanted)) return null
  const needed = folds.filter((each) => {
    const others = folds.filter((other) => other !== each)
    return foldBy(others, seen) !== foldBy(others, wanted)
  })
  return needed.length === 0 ? 'in their spelling' : needed.map(({ text }) => text).join(' and ')
}

function foldBy(chosen: readonly Fold[], text: string): string {
  return chosen.reduce((folded, { fold }) => fold(folded), text)
}
