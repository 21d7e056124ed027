// May a stored answer be used? RFC 9111 sections 4, 4.2 and 5.2.1. Pure.

import { ageMs, freshUntilMs, type StoredResponse } from './stored-response.ts'
import type { CacheRequest } from '../cache-request.ts'
import type { ParsedCacheRequest } from '../parsed-request.ts'

/** `fresh`, `max-stale` and `stale-while-revalidate` may be served; the others say why the upstream is asked (RFC 9211). */
export type Use = 'fresh' | 'max-stale' | 'stale-while-revalidate' | 'request' | 'stale'

export function useOf(
  entry: StoredResponse,
  request: CacheRequest,
  { directives }: ParsedCacheRequest,
  nowMs: number,
): Use {
  const leftMs = freshUntilMs(entry, request) - nowMs
  if (directives === null) {
    if (leftMs > 0) return 'fresh'
    return -leftMs < entry.staleWhileRevalidateMs ? 'stale-while-revalidate' : 'stale'
  }
  const { noCache, maxAgeS, minFreshS, maxStaleS } = directives
  const isTooOld = maxAgeS !== null && ageMs(entry, nowMs) >= maxAgeS * 1000
  const isTooNearItsEnd = minFreshS !== null && leftMs < minFreshS * 1000
  if (leftMs > 0) return noCache || isTooOld || isTooNearItsEnd ? 'request' : 'fresh'
  if (noCache || isTooOld || minFreshS !== null) return 'stale'
  if (-leftMs < entry.staleWhileRevalidateMs) return 'stale-while-revalidate'
  return maxStaleS !== null && !entry.mustRevalidate && -leftMs <= maxStaleS * 1000 ? 'max-stale' : 'stale'
}

/** Whether a stored answer may stand in for a failing upstream; not for a caller who asked for something fresher. */
export function mayStandIn(
  entry: StoredResponse,
  request: CacheRequest,
  { directives }: ParsedCacheRequest,
  failure: 'error' | 'silence',
  nowMs: number,
): boolean {
  if (directives !== null && (directives.noCache || directives.maxAgeS !== null || directives.minFreshS !== null)) {
    return false
  }
  const untilMs = freshUntilMs(entry, request)
  const windowMs = failure === 'error' ? entry.staleOnErrorMs : entry.staleOnSilenceMs
  // A lifetime that a team has shortened shortens this in proportion.
  const lifetimeMs = entry.freshUntilMs - entry.receivedAtMs
  const part = untilMs < entry.freshUntilMs ? (untilMs - entry.receivedAtMs) / lifetimeMs : 1
  return nowMs < untilMs + windowMs * part
}
