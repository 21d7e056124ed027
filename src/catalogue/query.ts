// The parameters of a query as the most lenient server reads them: split at semicolons too, names folded.

import { parameterReadings } from './name-folding.ts'
import { queryParameters } from './target.ts'

export interface LenientParameter {
  /** The name as it was sent, still escaped; empty before a bare `=`. */
  readonly spelled: string
  readonly folded: string
  /** Decoded. */
  readonly value: string
  /** Whether every server finds it; others are found by those that split at semicolons. */
  readonly isPlain: boolean
  /** Whether its escapes are UTF-8, so that every server reads one value. */
  readonly isWellEscaped: boolean
}

/** In the order of the query. A name with steps in it (`name.0`) comes once for each name that a server may read there. */
export function lenientParameters(query: string): readonly LenientParameter[] {
  if (query === '') return []
  const pairs = query.split('&')
  const found = pairs.flatMap((pair) => parameterOf(pair, true))
  if (!query.includes(';')) return found
  const seen = new Set(pairs)
  const others = query.split(/[&;]/).filter((pair) => !seen.has(pair))
  return [...found, ...others.flatMap((pair) => parameterOf(pair, false))]
}

function parameterOf(pair: string, isPlain: boolean): LenientParameter[] {
  if (pair === '') return []
  const equals = pair.indexOf('=')
  const spelled = equals === -1 ? pair : pair.slice(0, equals)
  const value = equals === -1 ? '' : (queryParameters(`=${pair.slice(equals + 1)}`)[0]?.[1] ?? '')
  const wellEscaped = isWellEscaped(pair)
  return parameterReadings(spelled).map((folded) => ({ spelled, folded, value, isPlain, isWellEscaped: wellEscaped }))
}

function isWellEscaped(text: string): boolean {
  if (!text.includes('%')) return true
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}
