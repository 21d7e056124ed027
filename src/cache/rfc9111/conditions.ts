// Evaluates preconditions and ranges on a stored answer (RFC 9110 sections 13 and 14). Pure.

import { listMembers } from '../../http/field-list.ts'
import { parseHttpDate } from '../../http/date.ts'
import type { ParsedCacheRequest } from '../parsed-request.ts'

/** The part of a stored answer that conditions use. */
export interface Validators {
  readonly etag: string | null
  readonly lastModified: string | null
  /** Its date, by the upstream's clock where it says one. Stands in for a missing Last-Modified (RFC 9111 section 4.3.2). */
  readonly dateMs: number
}

/** Whether the caller already has this answer: then 304 is due. If-None-Match takes precedence (RFC 9110 section 13.2.2). */
export function isKnownToCaller(parsed: ParsedCacheRequest, stored: Validators): boolean {
  if (parsed.ifNoneMatch !== null) return matchesAny(parsed.ifNoneMatch, stored.etag)
  if (parsed.ifModifiedSince === null) return false
  const since = parseHttpDate(parsed.ifModifiedSince, stored.dateMs)
  const modified = stored.lastModified === null ? stored.dateMs : parseHttpDate(stored.lastModified, stored.dateMs)
  return since !== null && modified !== null && modified <= since
}

function matchesAny(ifNoneMatch: string, etag: string | null): boolean {
  if (ifNoneMatch.trim() === '*') return true
  return etag !== null && listMembers(ifNoneMatch).some((member) => isSameWeakly(member, etag))
}

/** Weak comparison (RFC 9110 section 8.8.3.2). */
export function isSameWeakly(one: string, other: string): boolean {
  return opaque(one) === opaque(other)
}

function opaque(etag: string): string {
  return etag.startsWith('W/') ? etag.slice(2) : etag
}

/** A part of a body; `unsatisfiable` when it lies outside. Null when the whole body is due instead. */
export type Part = { readonly first: number; readonly last: number } | 'unsatisfiable' | null

const singleRange = /^bytes=(\d{0,15})-(\d{0,15})$/i

/** The one range a request asks for. Several of them, other units and malformed ones are ignored, as RFC 9110 allows. */
export function requestedPart(parsed: ParsedCacheRequest, stored: Validators, length: number): Part {
  if (parsed.range === null) return null
  if (parsed.ifRange !== null && !isUnchanged(parsed.ifRange, stored)) return null
  const [, from = '', to = ''] = singleRange.exec(parsed.range.trim()) ?? []
  if (from === '' && to === '') return null
  if (from === '') {
    const count = Math.min(Number(to), length)
    return count === 0 ? 'unsatisfiable' : { first: length - count, last: length - 1 }
  }
  const first = Number(from)
  const last = to === '' ? length - 1 : Math.min(Number(to), length - 1)
  if (to !== '' && Number(to) < first) return null
  return first >= length ? 'unsatisfiable' : { first, last }
}

/** If-Range (RFC 9110 section 13.1.5): a strong ETag, or exactly the date of Last-Modified. */
function isUnchanged(ifRange: string, { etag, lastModified }: Validators): boolean {
  if (ifRange.startsWith('"')) return etag === ifRange
  return lastModified !== null && ifRange === lastModified
}
