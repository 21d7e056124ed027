// Turns a stored answer into the answer to one request: whole, a part, 304, without a body or without its content coding.

import type { Problem } from '../../problems.ts'
import type { ResponseHead, ResponseSource } from '../response-stream.ts'
import { asksFor } from '../../http/accept-encoding.ts'
import { canDecode, decodeBody } from '../../http/content-coding.ts'
import { isKnownToCaller, requestedPart } from './conditions.ts'
import { ageMs, type StoredResponse } from './stored-response.ts'
import { withoutFields } from '../../http/field-list.ts'
import type { CacheOutcome, CacheSink, CacheRequest } from '../cache-request.ts'
import type { ParsedCacheRequest } from '../parsed-request.ts'
import type { CacheAnswer, Refresh } from '../acquired.ts'

export interface CacheRead {
  readonly request: CacheRequest
  readonly parsed: ParsedCacheRequest
}

/** There is nothing to stop and nothing to resume: the answer comes at once. */
export const settled: ResponseSource = { resume: () => undefined, abort: () => undefined }

/** What a 304 repeats of the fields that a 200 would have (RFC 9110 section 15.4.5). */
const ofNotModified = new Set([
  'age',
  'cache-control',
  'cache-status',
  'content-location',
  'date',
  'etag',
  'expires',
  'last-modified',
  'vary',
])
/** What speaks of the coded bytes. */
const ofTheCodedForm = new Set([
  'accept-ranges',
  'content-digest',
  'content-encoding',
  'content-md5',
  'digest',
  'repr-digest',
])

/**
 * The answer to one read from an entry; null when it would have to be decoded for this caller, and cannot be, or is longer than
 * `maxDecodedBytes` then. With null in that place it goes as it is. `age`: value of the Age field; null for none.
 */
export function prepareAnswer(
  entry: StoredResponse,
  { request, parsed }: CacheRead,
  outcome: CacheOutcome,
  age: string | null,
  maxDecodedBytes: number | null,
): PreparedAnswer | null {
  const suffix =
    age === null ? ['cache-status', outcome.cacheStatus] : ['age', age, 'cache-status', outcome.cacheStatus]
  if (entry.status === 200 && isKnownToCaller(parsed, entry))
    return new PreparedAnswer(outcome, notModified([...entry.fields, ...suffix]), null)
  const { coding } = entry
  const decoding =
    maxDecodedBytes !== null && coding !== null && canDecode(coding) && !asksFor(parsed.acceptEncoding, coding)
  const body = decoding ? decodeBody(coding, entry.body, maxDecodedBytes) : entry.body
  if (body === null) return null
  const fields = [...(decoding ? withoutCoding(entry.fields) : entry.fields), ...suffix]
  const { length } = body
  const part =
    entry.status === 200 && !decoding && request.method === 'GET' ? requestedPart(parsed, entry, length) : null
  if (part === 'unsatisfiable') {
    const head = { status: 416, fields: ['content-range', `bytes */${length}`, ...suffix], length: 0 }
    return new PreparedAnswer(outcome, head, null)
  }
  if (part !== null) {
    const { first, last } = part
    fields.push('content-range', `bytes ${first}-${last}/${length}`)
    return new PreparedAnswer(
      outcome,
      { status: 206, fields, length: last - first + 1 },
      body.subarray(first, last + 1),
    )
  }
  const head = { status: entry.status, fields, length: entry.status === 204 ? null : length }
  return new PreparedAnswer(outcome, head, request.method === 'HEAD' || length === 0 ? null : body)
}

class PreparedAnswer implements CacheAnswer {
  readonly kind = 'answer'
  refresh: Refresh | null = null
  readonly #outcome: CacheOutcome
  readonly #head: ResponseHead
  readonly #body: Buffer | null

  constructor(outcome: CacheOutcome, head: ResponseHead, body: Buffer | null) {
    this.#outcome = outcome
    this.#head = head
    this.#body = body
  }

  sendTo(sink: CacheSink): void {
    sink.attach(settled)
    this.deliver(sink)
  }

  /** To a sink that knows its source already. */
  deliver(sink: CacheSink): void {
    sink.outcome(this.#outcome)
    sink.head(this.#head)
    sink.end(this.#body)
  }
}

export function refusedAnswer(problem: Problem, outcome: CacheOutcome): CacheAnswer {
  return {
    kind: 'answer',
    refresh: null,
    sendTo(sink) {
      sink.attach(settled)
      sink.outcome(outcome)
      sink.fail(problem)
    },
  }
}

/** The Age field of an answer from the store (RFC 9111 section 5.1). */
export function ageField(entry: StoredResponse, nowMs: number): string {
  return String(Math.floor(ageMs(entry, nowMs) / 1000))
}

export function notModified(fields: readonly string[]): ResponseHead {
  return { status: 304, fields: withoutFields(fields, (name) => !ofNotModified.has(name)), length: null }
}

/** The fields of an answer whose body has been decoded. */
export function withoutCoding(fields: readonly string[]): string[] {
  const kept = withoutFields(fields, (name) => ofTheCodedForm.has(name))
  for (let index = 0; index < kept.length; index += 2) {
    const value = kept[index + 1] ?? ''
    if (kept[index] === 'etag' && !value.startsWith('W/')) kept[index + 1] = `W/${value}`
  }
  return kept
}
