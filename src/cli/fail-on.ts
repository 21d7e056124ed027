// `--fail-on`: the kinds of changes with which a command ends with 1.

import { didYouMean } from '../config/nearest.ts'
import { UsageError } from './usage.ts'

/**
 * The kinds that the option names, separated by commas; `newly_denied`, as reports spell it, is `newly-denied`. Throws a usage
 * error for a word that is none of them, and where no word is left: a check in CI would never fail.
 */
export function failKinds<Kind extends string>(text: string | null, kinds: readonly Kind[]): ReadonlySet<Kind> {
  const named = new Set<Kind>()
  if (text === null) return named
  for (const word of text.split(',').map((each) => each.trim())) {
    if (word === '') continue
    const kind = kinds.find((each) => each === word.replaceAll('_', '-'))
    if (kind === undefined) {
      const hint = didYouMean(word, kinds)
      throw new UsageError(
        `unknown kind of change "${word}" in --fail-on${hint === '' ? ': there' : `${hint} There`} are ${kinds.join(', ')}`,
      )
    }
    named.add(kind)
  }
  if (named.size === 0) throw new UsageError(`--fail-on names no kind of change; there are ${kinds.join(', ')}`)
  return named
}
