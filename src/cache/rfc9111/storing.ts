// May an answer be kept, on which terms, and may those who wait have it? RFC 9111 section 3 and the classes. Pure.

import type { ResponseHead } from '../response-stream.ts'
import type { WallTime } from '../clocks.ts'
import { canDecode } from '../../http/content-coding.ts'
import { answerDirectives, type AnswerDirectives } from './directives.ts'
import type { Terms } from './stored-response.ts'
import { fieldValue, firstValue, listMembers } from '../../http/field-list.ts'
import { freshnessOf, heuristicLifetimeMs, isCacheableByDefault, type Freshness } from './freshness.ts'
import type { CacheRequest } from '../cache-request.ts'

export interface StoringDecision {
  /** Null when something forbids keeping and sharing it. */
  readonly terms: Terms | null
  readonly keep: boolean
  /** Identical requests that wait for this answer may have it. */
  readonly share: boolean
  /** Why it is not kept, for Cache-Status: a token. */
  readonly detail: string | null
}

export const forbidden: StoringDecision = { terms: null, keep: false, share: false, detail: null }

/** What must-understand stands for (RFC 9111 section 5.2.2.3): the statuses of RFC 9110 that a cache can treat as they want. */
const understood = new Set([
  200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 410, 414, 415, 422, 451, 500, 501, 502,
  503, 504,
])
/** What RFC 6585 says must not be stored. */
const neverStored = new Set([428, 429, 431, 511])
/** Successes that a class keeps: a body, or that there is none. */
const classSuccesses = new Set([200, 203, 204])
/** Statuses of an absent object. Every other error may be about who asked, or about the moment. */
const absences = new Set([404, 410])
/** Longest lifetime of an absence under a class: a new object must soon be visible. */
const absentMs = 2_000

/** When the upstream was asked, and now: by the monotonic clock, and by the wall clock. */
export interface Times {
  readonly requestedAtMs: number
  readonly nowMs: number
  readonly wall: WallTime
}

export function judge(request: CacheRequest, head: ResponseHead, times: Times): StoringDecision {
  const directives = answerDirectives(head.fields)
  const { rule } = request
  const freshness = freshnessOf(head, directives, times.nowMs - times.requestedAtMs, times.wall)
  const refusal = refusalOf(request, head, directives, freshness)
  const isShared = refusal !== null && mayBeCollapsed(rule, refusal)
  if (refusal !== null && !isShared) return { ...forbidden, detail: refusal }
  const lifetimeMs =
    rule.kind === 'class'
      ? classLifetimeMs(absences.has(head.status) ? Math.min(rule.ttlMs, absentMs) : rule.ttlMs, freshness)
      : statedLifetimeMs(head, directives, freshness, rule.kind === 'rfc9111' && rule.heuristics)
  const leftMs = directives.noCache ? Math.min(0, lifetimeMs ?? 0) : (lifetimeMs ?? 0)
  // Else it is never fresh, cannot be validated, and is of no use in an emergency.
  const isOfUse = lifetimeMs !== null && (leftMs > 0 || hasValidator(head) || allowsStale(directives))
  const terms: Terms = {
    receivedAtMs: times.nowMs,
    initialAgeMs: freshness.initialAgeMs,
    dateMs: freshness.dateMs,
    freshUntilMs: times.nowMs + leftMs,
    withheld: directives.withheld,
    ...staleTerms(request, directives, leftMs),
  }
  return {
    terms,
    keep: isOfUse && refusal === null,
    share: isShared || (!directives.noCache && (leftMs > 0 || rule.kind === 'class')),
    detail: refusal ?? (isOfUse ? null : 'no-lifetime'),
  }
}

/** What forbids keeping an answer, whatever its lifetime. */
function refusalOf(
  request: CacheRequest,
  { status, fields, unshared }: ResponseHead,
  directives: AnswerDirectives,
  freshness: Freshness,
): string | null {
  const { rule } = request
  if (rule.kind === 'never') return 'never'
  if (status === 206 || status === 304) return 'partial'
  if (!isForOthers(status, request, freshness)) return 'status'
  if (unshared !== undefined && unshared !== null) return unshared
  if (fieldValue(fields, 'set-cookie') !== null) return 'cookie'
  // Every other field that Vary may name is part of the key, or never goes upstream.
  if (listMembers(fieldValue(fields, 'vary') ?? '').includes('*')) return 'vary'
  const coding = fieldValue(fields, 'content-encoding')?.toLowerCase() ?? null
  if (rule.kind === 'class' && coding !== null && !canDecode(coding)) return 'coding'
  if (neverStored.has(status)) return 'no-store'
  if (directives.mustUnderstand ? !understood.has(status) : directives.noStore) return 'no-store'
  return directives.private ? 'private' : null
}

/**
 * A success, or an absence where there is one thing to be absent. Every other answer may depend on the caller or the
 * moment, and is not shared, unless the upstream's fields decide and give it a lifetime.
 */
function isForOthers(status: number, { rule, mayBeAbsent }: CacheRequest, { explicitMs }: Freshness): boolean {
  if (mayBeAbsent && absences.has(status)) return true
  if (rule.kind === 'class') return classSuccesses.has(status)
  return (status >= 200 && status < 300) || explicitMs !== null
}

/** Whether those who wait may have an answer that must not be stored: they asked the same at the same time. */
function mayBeCollapsed(rule: CacheRequest['rule'], refusal: string): boolean {
  return rule.kind === 'class' && rule.alwaysCollapsed && (refusal === 'no-store' || refusal === 'private')
}

/** What the class gives and the upstream leaves of it, from now on. */
function classLifetimeMs(ttlMs: number, { explicitMs, initialAgeMs }: Freshness): number {
  return explicitMs === null ? ttlMs : Math.min(ttlMs, explicitMs - initialAgeMs)
}

/** What the upstream's fields give, from now on; null when section 3 does not let the answer be kept. */
function statedLifetimeMs(
  head: ResponseHead,
  directives: AnswerDirectives,
  { explicitMs, initialAgeMs, dateMs }: Freshness,
  heuristics: boolean,
): number | null {
  if (explicitMs !== null) return explicitMs - initialAgeMs
  if (!directives.public && !isCacheableByDefault(head.status)) return null
  const guessedMs = heuristics ? heuristicLifetimeMs(head, directives.public, dateMs) : 0
  return guessedMs - initialAgeMs
}

/** Whether it has a validator (RFC 9110 section 8.8). */
export function hasValidator({ fields }: ResponseHead): boolean {
  return firstValue(fields, 'etag') !== null || firstValue(fields, 'last-modified') !== null
}

function allowsStale({ staleWhileRevalidateS, staleIfErrorS, mustRevalidate }: AnswerDirectives): boolean {
  return !mustRevalidate && (staleWhileRevalidateS !== null || staleIfErrorS !== null)
}

/** How long past its lifetime an answer may stand in for a failing upstream: so many lifetimes, and no longer than that. */
const staleLifetimes = 5
const maxStaleMs = 3_600_000

type StaleTerms = Pick<Terms, 'mustRevalidate' | 'staleWhileRevalidateMs' | 'staleOnErrorMs' | 'staleOnSilenceMs'>
const staleNever: StaleTerms = {
  mustRevalidate: true,
  staleWhileRevalidateMs: 0,
  staleOnErrorMs: 0,
  staleOnSilenceMs: 0,
}

/**
 * Section 4.2.4 and RFC 5861. An upstream that gives no answer at all leaves us disconnected, where stale answers are allowed;
 * after an answer with an error they need the upstream's permission, or the operation's class.
 */
function staleTerms({ rule }: CacheRequest, directives: AnswerDirectives, lifetimeMs: number): StaleTerms {
  if (directives.mustRevalidate || directives.noCache) return staleNever
  const statedMs = directives.staleIfErrorS === null ? null : directives.staleIfErrorS * 1000
  const usualMs = Math.min(Math.max(0, lifetimeMs) * staleLifetimes, maxStaleMs)
  return {
    mustRevalidate: false,
    staleWhileRevalidateMs: (directives.staleWhileRevalidateS ?? 0) * 1000,
    staleOnErrorMs: statedMs ?? (rule.kind === 'class' ? usualMs : 0),
    staleOnSilenceMs: statedMs ?? usualMs,
  }
}
