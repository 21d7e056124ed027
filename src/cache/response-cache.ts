// A shared cache after RFC 9111 for what an allowed caller may see. It knows no tokens, policies, Fastify or undici.

import { Problem } from '../problems.ts'
import { ageField, prepareAnswer, refusedAnswer, type CacheRead } from './rfc9111/prepared-answer.ts'
import { forwardedStatus, hitStatus, type Forward } from './cache-status.ts'
import { createWallTime, type Clocks } from './clocks.ts'
import { freshUntilMs } from './rfc9111/stored-response.ts'
import { createInFlightFetches, type InFlightFetches, type Need } from './collapsing/in-flight-fetches.ts'
import type { FetchParts } from './fetch-plan.ts'
import { createInvalidation } from './invalidation/invalidation.ts'
import type { Drop, Peers, BroadcastResult } from './invalidation/peers.ts'
import type { CacheOutcome, CacheRequest } from './cache-request.ts'
import { parseCacheRequest } from './parsed-request.ts'
import { useOf } from './rfc9111/reuse.ts'
import { createStatistics, type OperationCounts } from './statistics.ts'
import { createResponseStore } from './memory/response-store.ts'
import { passThrough } from './pass-through.ts'
import type { CacheAnswer, Acquired, FetchLease } from './acquired.ts'

export interface ResponseCacheOptions extends Clocks {
  /** Memory for entries, their keys and their index. */
  readonly maxBytes: number
  /** Longest body that is kept, and that a caller who waits for another's answer can get. */
  readonly maxEntryBytes: number
  /** Scheme, authority and path prefix of the upstream without final slash: what Location has to begin with to be its own. */
  readonly upstreamBase: string
  /** The other instances; none by default. */
  readonly peers?: Peers | null
}

export interface CacheStats {
  readonly bytes: number
  /** The same by operation. */
  readonly bytesOf: ReadonlyMap<string, number>
  readonly entries: number
  /** Calls to the upstream for cacheable reads that are under way. */
  readonly fetches: number
  readonly operations: ReadonlyMap<string, OperationCounts>
}

/** Only answers about a past time are kept longer, and no write changes those. */
const longestChangingMs = 3_600_000
/** Answers that are being collected may take this part of the memory besides what is stored. */
const collectingShare = 8

export function createResponseCache(options: ResponseCacheOptions) {
  const { monotonic, maxBytes, maxEntryBytes, upstreamBase } = options
  const { peers = null } = options
  const statistics = createStatistics()
  const store = createResponseStore(maxBytes, (entry) => statistics.count(entry.operation, 'eviction'))
  const parts: FetchParts = {
    monotonic,
    wallTime: createWallTime(options),
    maxEntryBytes,
    allowance: { maxBytes: Math.max(maxEntryBytes, maxBytes / collectingShare), usedBytes: 0 },
    age: (entry) => ageField(entry, monotonic()),
    outcome(plan, { request }, account) {
      const { result, terms } = account
      statistics.count(request.operation, result)
      const leftMs = terms === null ? null : freshUntilMs(terms, request) - monotonic()
      const collapsed = result === 'collapsed'
      return { result, cacheStatus: forwardedStatus({ fwd: plan.fwd, ...account, collapsed, leftMs }) }
    },
    store: (fetch, entry) => invalidation.allows(fetch) && store.put(fetch.plan.key, fetch.plan.names, entry),
    outdated: (plan, entry) => store.remove(plan.key, entry),
  }
  const fetches: InFlightFetches = createInFlightFetches({
    parts,
    lookUp,
    unanswered: ({ request }) => uncached(request, 'miss', null),
  })
  const invalidation = createInvalidation({
    store,
    peers,
    monotonic,
    upstreamBase,
    underWay: fetches.underWay,
  })
  peers?.attach({ drop: (drop: Drop) => invalidation.drop(drop), dropAll: () => invalidation.dropAll() })

  function uncached({ operation }: CacheRequest, fwd: Forward, fwdStatus: number | null): CacheOutcome {
    statistics.count(operation, 'bypass')
    const forwarded = { fwd, fwdStatus, stored: false, collapsed: false, leftMs: null, detail: null }
    return { result: 'bypass', cacheStatus: forwardedStatus(forwarded) }
  }

  function acquire(request: CacheRequest): Acquired {
    const { method, rule, atMostMs } = request
    if (method === 'GET' || method === 'HEAD') {
      if (rule.kind === 'never' || atMostMs === 0) return pass(request, 'bypass')
      peers?.check()
      return acquireRead({ request: withCaution(request), parsed: parseCacheRequest(request) })
    }
    return method === 'OPTIONS' || method === 'TRACE' ? pass(request, 'method') : write(request)
  }

  /** While broadcasts of other instances may be missed, answers that a write could change are used only briefly. */
  function withCaution(request: CacheRequest): CacheRequest {
    const limitMs = peers?.atMostMs ?? null
    const { atMostMs, rule } = request
    if (limitMs === null || (rule.kind === 'class' && rule.ttlMs > longestChangingMs)) return request
    return { ...request, atMostMs: Math.min(atMostMs ?? Infinity, limitMs) }
  }

  function acquireRead(read: CacheRead): Acquired {
    const { request, parsed } = read
    if (parsed.forOrigin) return pass(request, 'bypass')
    if (parsed.directives?.noStore === true) return pass(request, 'request')
    const found = lookUp(read)
    if ('kind' in found) return found
    return parsed.directives?.onlyIfCached === true ? uncachedAnswer(read, found) : fetches.joinOrLease(read, found)
  }

  /** Answers from the store where that may be; else says what the upstream is needed for. */
  function lookUp(read: CacheRead): CacheAnswer | Need {
    const { request, parsed } = read
    const slot = store.find(parsed.key)
    if (slot === undefined) return { fwd: 'uri-miss', candidate: null }
    const { entry } = slot
    const nowMs = monotonic()
    const use = useOf(entry, request, parsed, nowMs)
    if (use === 'request' || use === 'stale') return { fwd: use, candidate: entry }
    const detail = use === 'fresh' ? null : use
    const outcome: CacheOutcome = {
      result: detail === null ? 'hit' : 'stale',
      cacheStatus: hitStatus(freshUntilMs(entry, request) - nowMs, detail),
    }
    const answer = prepareAnswer(entry, read, outcome, ageField(entry, nowMs), maxEntryBytes)
    if (answer === null) return { fwd: 'miss', candidate: null }
    store.prove(slot)
    statistics.count(request.operation, outcome.result)
    if (use === 'stale-while-revalidate') answer.refresh = fetches.refresh(read, entry)
    return answer
  }

  /** RFC 9111 section 5.2.1.7. */
  function uncachedAnswer({ request }: CacheRead, { fwd }: Need): CacheAnswer {
    const detail = 'Cache-Control: only-if-cached asks for a stored answer, and none may be used. Ask without it.'
    const problem = new Problem('upstream-timeout', detail, { reason: 'only-if-cached' })
    return refusedAnswer(problem, uncached(request, fwd, null))
  }

  function pass(request: CacheRequest, fwd: Forward): FetchLease {
    return passThrough({ outcome: (status) => uncached(request, fwd, status) })
  }

  function write(request: CacheRequest): FetchLease {
    return passThrough({
      outcome: (status) => uncached(request, 'method', status),
      answered: (head) => invalidation.answered(request, head),
      lost: () => invalidation.unclear(request),
    })
  }

  return {
    /** Gives the answer, a lease to ask the upstream, or a place behind another caller who asks the same. Never throws. */
    acquire,
    /**
     * Drops what is stored under any of these names (tags, or paths that begin with `/`), on all instances, and keeps reads that
     * are under way from being stored. For purges, and for writes that went another way.
     */
    invalidate: (names: readonly string[]): Promise<BroadcastResult> =>
      invalidation.dropEverywhere({ names, unsettled: false }),
    stats(): CacheStats {
      const { bytes, bytesOf, entries } = store
      return { bytes, bytesOf, entries, fetches: fetches.underWay.size, operations: statistics.operations }
    },
  }
}

export type ResponseCache = ReturnType<typeof createResponseCache>
