// Age and freshness lifetime of an answer (RFC 9111 section 4.2). Pure; times are passed in.

import type { ResponseHead } from '../response-stream.ts'
import type { AnswerDirectives } from './directives.ts'
import { countLines, firstValue } from '../../http/field-list.ts'
import { parseHttpDate } from '../../http/date.ts'
import type { WallTime } from '../clocks.ts'

/** Statuses that may be kept without the upstream saying so (RFC 9110 section 15.1), 206 left out: parts are never kept. */
const heuristicallyCacheable = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
const maxHeuristicMs = 24 * 3_600_000
const mostSeconds = 2 ** 31

export interface Freshness {
  /** `corrected_initial_age` of section 4.2.3. */
  readonly initialAgeMs: number
  /** When the upstream generated it, by its own clock where it says so. */
  readonly dateMs: number
  /** What the upstream's fields say, counted from when the answer was generated; null when they say nothing. */
  readonly explicitMs: number | null
}

/**
 * Reads age and explicit lifetime. `delayMs`: from the request to the head. Where the wall clock was set since the start, the
 * reading counts that makes the answer neither older than it can be nor longer-lived.
 */
export function freshnessOf(
  head: ResponseHead,
  directives: AnswerDirectives,
  delayMs: number,
  { earliestMs, latestMs }: WallTime,
): Freshness {
  const date = firstValue(head.fields, 'date')
  const dateMs = (date === null ? null : parseHttpDate(date, latestMs)) ?? latestMs
  const apparentAgeMs = Math.max(0, earliestMs - dateMs)
  return {
    initialAgeMs: Math.max(apparentAgeMs, ageFieldMs(head.fields) + delayMs),
    dateMs,
    explicitMs: explicitLifetimeMs(head.fields, directives, dateMs),
  }
}

/** Section 5.1: the first value counts, one that is no number is ignored. */
function ageFieldMs(fields: readonly string[]): number {
  const [first = ''] = firstValue(fields, 'age')?.split(',') ?? []
  const text = first.trim()
  return /^\d+$/.test(text) ? Math.min(Number(text), mostSeconds) * 1000 : 0
}

function explicitLifetimeMs(fields: readonly string[], directives: AnswerDirectives, dateMs: number): number | null {
  if (directives.maxAgeS !== null) return directives.maxAgeS * 1000
  const expires = directives.targeted ? null : firstValue(fields, 'expires')
  if (expires === null) return null
  // Section 5.3: an invalid or repeated Expires means that it has expired.
  if (countLines(fields, 'expires') > 1) return 0
  const expiresMs = parseHttpDate(expires, dateMs)
  return expiresMs === null ? 0 : expiresMs - dateMs
}

/** RFC 9111 section 4.2.2: 10 % of the time since the last change, a day at most; 0 where guessing is not allowed. */
export function heuristicLifetimeMs(head: ResponseHead, isPublic: boolean, dateMs: number): number {
  if (!isPublic && !heuristicallyCacheable.has(head.status)) return 0
  const lastModified = firstValue(head.fields, 'last-modified')
  const modifiedMs = lastModified === null ? null : parseHttpDate(lastModified, dateMs)
  return modifiedMs === null ? 0 : Math.min(Math.max(0, (dateMs - modifiedMs) / 10), maxHeuristicMs)
}

/** Whether section 3 lets an answer with this status be kept without explicit freshness (to be validated before use). */
export function isCacheableByDefault(status: number): boolean {
  return heuristicallyCacheable.has(status)
}
