// The query of a filtered list: which page the caller asks for, and what the upstream is asked in its place.

import { queryParameters } from '../../catalogue/target.ts'
import type { Paging } from '../../catalogue/operation.ts'
import { Problem } from '../../problems.ts'
import type { PagePosition } from './cursor.ts'

/** Reads which page is asked for. Throws `malformed-request` for a size out of bounds and for a parameter that is repeated. */
export function askedPage(query: string, paging: Paging) {
  const pairs = query === '' ? [] : query.split('&')
  const named = queryParameters(query)
  const valueOf = (parameter: string): string | null => {
    const values = named.filter(([name]) => name === parameter)
    if (values.length > 1) throw malformed(`${parameter} stands there twice. Send it once`)
    return values[0]?.[1] ?? null
  }
  const size = valueOf(paging.size)
  if (size !== null && (!/^[1-9]\d{0,5}$/.test(size) || Number(size) > paging.most))
    throw malformed(`${paging.size} is not a whole number from 1 to ${paging.most}. Correct it`)
  const cursor = valueOf(paging.after)
  return {
    size: size === null ? paging.usual : Number(size),
    /** The caller's cursor; null for the first page. */
    cursor: cursor === '' ? null : cursor,
    /** What else the query holds: raw pairs in their order. */
    rest: pairs.filter((_, index) => named[index]?.[0] !== paging.size && named[index]?.[0] !== paging.after),
  }
}

export function pageQuery(
  rest: readonly string[],
  paging: Paging,
  { after, size }: Pick<PagePosition, 'after' | 'size'>,
): string {
  const cursor = after === null ? [] : [`${paging.after}=${encodeURIComponent(after)}`]
  return [...rest, `${paging.size}=${size}`, ...cursor].join('&')
}

/** Longest list of organizations that is put into a query; what is longer is filtered here alone. */
const maxNarrowingBytes = 4096

/**
 * Puts `org_ids` into a query that has none, so that the upstream does the work. `isNarrowed`: it names the organizations, all
 * of them and no other.
 */
export function narrowed(
  pairs: readonly string[],
  organizations: ReadonlySet<string>,
): { pairs: readonly string[]; isNarrowed: boolean } {
  // The policy has checked the caller's own parameter against the fence, so it stays as it is.
  if (queryParameters(pairs.join('&')).some(([name]) => name === 'org_ids')) return { pairs, isNarrowed: true }
  const added = [...organizations].map((id) => `org_ids=${encodeURIComponent(id)}`)
  return added.join('&').length > maxNarrowingBytes
    ? { pairs, isNarrowed: false }
    : { pairs: [...pairs, ...added], isNarrowed: true }
}

/** One text for queries that ask for the same list, whatever the page and the order of different parameters. */
export function listOf(rest: readonly string[]): string {
  const nameOf = (pair: string): string => pair.split('=', 1)[0] ?? ''
  return rest.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0)).join('&')
}

export function unknownCursor({ after }: Paging): Problem {
  return malformed(
    `the cursor in ${after} was not given out for this list, this query and these organizations, or is older than a day. Begin again without ${after}`,
    'cursor-unknown',
  )
}

function malformed(why: string, reason = 'page-unknown'): Problem {
  return new Problem('malformed-request', `The page cannot be read: ${why}.`, { reason })
}
