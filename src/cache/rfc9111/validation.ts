// Asking the upstream whether a stored answer is still the one, and taking over what it says (RFC 9111 section 4.3).

import type { ResponseHead } from '../response-stream.ts'
import { isSameWeakly } from './conditions.ts'
import { createStoredResponse, type StoredResponse } from './stored-response.ts'
import { firstValue, withoutFields } from '../../http/field-list.ts'
import type { CacheRequest } from '../cache-request.ts'
import type { BarredFetch, FetchParts } from '../fetch-plan.ts'
import { hasValidator, judge, type Times, type StoringDecision } from './storing.ts'

/** A 304 says nothing about the body that is kept (RFC 9111 section 3.2). */
const ofTheBody = new Set(['content-encoding', 'content-length', 'content-range', 'content-md5'])

/** The conditional fields by which the upstream is asked (section 4.3.1). It does not know an ETag of the cache’s own. */
export function validatingFields({ etag, ownEtag, lastModified }: StoredResponse): string[] {
  const fields: string[] = []
  if (etag !== null && !ownEtag) fields.push('if-none-match', etag)
  if (lastModified !== null) fields.push('if-modified-since', lastModified)
  return fields
}

/** What is stored, with what an update says. */
export interface Renewed {
  readonly entry: StoredResponse
  /** It has taken the place of what was stored. */
  readonly stored: boolean
  readonly verdict: StoringDecision
}

/** Takes a 304, or the answer to a HEAD, over into the store. Null when it speaks of another answer. */
export function renew(
  fetch: BarredFetch,
  stored: StoredResponse,
  update: ResponseHead,
  times: Times,
  { store, outdated }: Pick<FetchParts, 'store' | 'outdated'>,
): Renewed | null {
  const { read, sequence } = fetch.plan
  if (saysNothingOf(read.request, stored, update)) return null
  const freshened = freshen({ request: read.request, sequence }, stored, update, times)
  if (freshened?.verdict.keep !== true) outdated(fetch.plan, stored)
  return freshened === null ? null : { ...freshened, stored: freshened.verdict.keep && store(fetch, freshened.entry) }
}

/** The stored answer with the fields of a 304, or of the answer to a HEAD (sections 4.3.4 and 4.3.5); null as `renew`. */
function freshen(
  { request, sequence }: { readonly request: CacheRequest; readonly sequence: number },
  stored: StoredResponse,
  update: ResponseHead,
  times: Times,
): { readonly entry: StoredResponse; readonly verdict: StoringDecision } | null {
  if (!isAbout(stored, update) || (request.method === 'HEAD' && hasOtherLength(stored, update))) return null
  const fresh = withoutFields(update.fields, (name) => ofTheBody.has(name))
  // Without Date it was made when it came (RFC 9110 section 6.6.1), and not when the stored answer was.
  if (firstValue(fresh, 'date') === null) fresh.push('date', new Date(times.wall.latestMs).toUTCString())
  const replaced = new Set(fresh.filter((_name, index) => index % 2 === 0))
  const kept = withoutFields(stored.fields, (name) => replaced.has(name) || (stored.ownEtag && name === 'etag'))
  const head = {
    status: stored.status,
    fields: [...kept, ...fresh],
    length: stored.body.length,
    unshared: update.unshared ?? null,
  }
  const verdict = judge(request, head, times)
  return { entry: createStoredResponse(request, head, stored.body, verdict.terms ?? stored, sequence), verdict }
}

/** Whether the answer to a HEAD leaves open if the body is still the same: bodies of equal length are not equal. */
function saysNothingOf({ method, rule }: CacheRequest, stored: StoredResponse, update: ResponseHead): boolean {
  return method === 'HEAD' && rule.kind === 'class' && !hasValidator(update) && !hasOtherLength(stored, update)
}

function hasOtherLength({ body }: StoredResponse, { length }: ResponseHead): boolean {
  return length !== null && length !== body.length
}

function isAbout(stored: StoredResponse, update: ResponseHead): boolean {
  const etag = firstValue(update.fields, 'etag')
  if (etag !== null) return !stored.ownEtag && stored.etag !== null && isSameWeakly(etag, stored.etag)
  const lastModified = firstValue(update.fields, 'last-modified')
  return lastModified === null || stored.lastModified === null || lastModified === stored.lastModified
}
