// The freshness lifetime of an answer (RFC 9111 section 4.2), for documents that are fetched periodically. Pure.

import { parseHttpDate } from '../../http/date.ts'

/** Fields of an answer by name in small letters, as undici hands them on. */
export type ResponseFields = Readonly<Record<string, string | readonly string[] | undefined>>

/** Milliseconds from now on; 0 where it must be asked for again; null where the answer says nothing. */
export function freshForMs(fields: ResponseFields, nowMs: number): number | null {
  const directives = valueOf(fields, 'cache-control').toLowerCase()
  if (/(?:^|[,\s])no-(?:store|cache)(?=[,\s]|$)/.test(directives)) return 0
  const maxAge = /(?:^|[,\s])max-age\s*=\s*"?(\d{1,10})/.exec(directives)?.[1]
  const ageS = /^\d{1,10}$/.exec(valueOf(fields, 'age'))?.[0] ?? '0'
  if (maxAge !== undefined) return Math.max(0, Number(maxAge) - Number(ageS)) * 1000
  const expires = valueOf(fields, 'expires')
  if (expires === '') return null
  // A malformed date, `0` above all, means that it has expired already (section 5.3).
  const expiresAtMs = parseHttpDate(expires, nowMs) ?? -Infinity
  return Math.max(0, expiresAtMs - (parseHttpDate(valueOf(fields, 'date'), nowMs) ?? nowMs) - Number(ageS) * 1000)
}

/** How far the clock of who answered is ahead of ours, to about a second; null without a usable `Date`. */
export function clockSkewMs(fields: ResponseFields, nowMs: number): number | null {
  const dateMs = parseHttpDate(valueOf(fields, 'date'), nowMs)
  // A date is cut off to whole seconds: half of one is what is missing on average.
  return dateMs === null ? null : dateMs + 500 - nowMs
}

function valueOf(fields: ResponseFields, name: string): string {
  const value = fields[name]
  return typeof value === 'string' ? value.trim() : (value ?? []).join(', ')
}
