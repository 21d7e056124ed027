// A stored answer. Immutable: a validation makes a new one that shares the body.

import { hash } from 'node:crypto'
import type { ResponseHead } from '../response-stream.ts'
import { decodeBody } from '../../http/content-coding.ts'
import type { Validators } from './conditions.ts'
import { fieldValue, firstValue, withoutFields } from '../../http/field-list.ts'
import type { CacheRequest } from '../cache-request.ts'

/** On which terms an answer may be reused. Times are by the monotonic clock, but for `dateMs`. */
export interface Terms {
  readonly receivedAtMs: number
  /** Its age when it was received (RFC 9111 section 4.2.3). */
  readonly initialAgeMs: number
  readonly dateMs: number
  readonly freshUntilMs: number
  /** Never to be used once stale without asking. */
  readonly mustRevalidate: boolean
  /** How long after its lifetime it may be used: while it is fetched anew, after a 5xx, when there is no answer at all. */
  readonly staleWhileRevalidateMs: number
  readonly staleOnErrorMs: number
  readonly staleOnSilenceMs: number
  /** Names of fields that are not kept with the rest. */
  readonly withheld: readonly string[]
}

export interface StoredResponse extends Terms, Validators {
  readonly operation: string
  readonly status: number
  /** As ResponseHead's, without Age and what section 3.1 excludes. */
  readonly fields: readonly string[]
  readonly body: Buffer
  readonly coding: string | null
  /** The ETag is the cache's own: the upstream does not know it. */
  readonly ownEtag: boolean
  /** Later calls to the upstream have higher numbers; an older answer never replaces a newer one. */
  readonly sequence: number
}

/** RFC 9111 section 3.1 and RFC 9110 section 7.6.1. Age and length are made anew for each answer. */
const unstored = new Set([
  'age',
  'connection',
  'content-length',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
/** A longer body gets its ETag from its coded bytes. */
const maxUncodedBytes = 1 << 20

/** Makes an entry of a complete answer. A class-cached one without an ETag gets a weak one of the cache's own. */
export function createStoredResponse(
  request: CacheRequest,
  head: ResponseHead,
  body: Buffer,
  terms: Terms,
  sequence: number,
): StoredResponse {
  const withheld = new Set(terms.withheld)
  const fields = withoutFields(head.fields, (name) => unstored.has(name) || withheld.has(name))
  // RFC 9110 section 6.6.1: who keeps an answer without Date says when it came.
  if (firstValue(fields, 'date') === null) fields.push('date', new Date(terms.dateMs).toUTCString())
  const coding = fieldValue(fields, 'content-encoding')?.toLowerCase() ?? null
  let etag = firstValue(fields, 'etag')
  const ownEtag = etag === null && head.status === 200 && request.rule.kind === 'class'
  if (ownEtag) {
    etag = `W/"${hash('sha256', uncoded(body, coding), 'base64url').slice(0, 22)}"`
    fields.push('etag', etag)
  }
  return {
    ...terms,
    operation: request.operation,
    status: head.status,
    fields,
    body,
    coding,
    etag,
    ownEtag,
    lastModified: firstValue(fields, 'last-modified'),
    sequence,
  }
}

/** What an own ETag is made of: callers who take other codings ask for the same, and no two servers compress alike. */
function uncoded(body: Buffer, coding: string | null): Buffer {
  return coding === null ? body : (decodeBody(coding, body, maxUncodedBytes) ?? body)
}

/** The entry as its own caller sees it: with the fields that are not kept, too. */
export function withEveryField(entry: StoredResponse, head: ResponseHead): StoredResponse {
  const own = entry.ownEtag && entry.etag !== null ? ['etag', entry.etag] : []
  return { ...entry, fields: [...head.fields, ...own] }
}

export function ageMs(entry: Terms, nowMs: number): number {
  return entry.initialAgeMs + (nowMs - entry.receivedAtMs)
}

/** End of an entry's lifetime for one request: its own, or what the request's rule and team leave of it. */
export function freshUntilMs(entry: Terms, { rule, atMostMs }: CacheRequest): number {
  const limit = Math.min(rule.kind === 'class' ? rule.ttlMs : Infinity, atMostMs ?? Infinity)
  return Math.min(entry.freshUntilMs, entry.receivedAtMs + limit)
}

/** What an entry takes of the memory beyond its key: contents as counted, and its objects as measured on Node 24. */
export function entryBytes(entry: StoredResponse): number {
  let bytes = entryOverheadBytes + entry.body.length
  for (const text of entry.fields) bytes += text.length + fieldOverheadBytes
  return bytes
}

const entryOverheadBytes = 640
const fieldOverheadBytes = 32
