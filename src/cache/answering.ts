// Turns a stored answer into the answer to one question: 304 or 206 where the caller asks so, without body for HEAD, without
// its content coding for who does not take it. Fields are prepared; only Age and Cache-Status are made each time.

import type { AnswerHead, Flow } from './answer.ts'
import { asksFor } from '../http/accept-encoding.ts'
import { canDecode, decodeBody } from '../http/content-coding.ts'
import { isKnownToCaller, requestedPart } from './conditions.ts'
import { ageMs, type Entry } from './entry.ts'
import { withoutFields } from '../http/field-list.ts'
import type { CacheOutcome, CacheTaker, Question } from './question.ts'
import type { Reading } from './reading.ts'

/** A question with its reading and the one who takes the answer. */
export interface Visit {
  readonly question: Question
  readonly reading: Reading
  readonly taker: CacheTaker
}

/** There is nothing to stop and nothing to resume: the answer comes at once. */
export const settled: Flow = { resume: () => undefined, abort: () => undefined }

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

/** What goes with an answer from an entry. */
export interface Manner {
  readonly outcome: CacheOutcome
  /** Value of the Age field; null for none. */
  readonly age: string | null
  /** A body that is longer without its coding is not decoded here. */
  readonly maxDecodedBytes: number
}

/** Answers from an entry, completely. False when it cannot be decoded for this caller; then the taker has got nothing. */
export function answerFrom(entry: Entry, { question, reading, taker }: Visit, manner: Manner): boolean {
  const { outcome, age } = manner
  const suffix =
    age === null ? ['cache-status', outcome.cacheStatus] : ['age', age, 'cache-status', outcome.cacheStatus]
  if (entry.status === 200 && isKnownToCaller(reading, entry)) {
    taker.outcome(outcome)
    taker.head(notModified([...entry.fields, ...suffix]))
    taker.end(null)
    return true
  }
  const { coding } = entry
  const decoding = coding !== null && canDecode(coding) && !asksFor(reading.acceptEncoding, coding)
  const body = decoding ? decodeBody(coding, entry.body, manner.maxDecodedBytes) : entry.body
  if (body === null) return false
  taker.outcome(outcome)
  const fields = [...(decoding ? uncoded(entry.fields) : entry.fields), ...suffix]
  const { length } = body
  const part =
    entry.status === 200 && !decoding && question.method === 'GET' ? requestedPart(reading, entry, length) : null
  if (part === null) {
    taker.head({ status: entry.status, fields, length: entry.status === 204 ? null : length })
    taker.end(question.method === 'HEAD' || length === 0 ? null : body)
  } else if (part === 'unsatisfiable') {
    taker.head({ status: 416, fields: ['content-range', `bytes */${length}`, ...suffix], length: 0 })
    taker.end(null)
  } else {
    const { first, last } = part
    fields.push('content-range', `bytes ${first}-${last}/${length}`)
    taker.head({ status: 206, fields, length: last - first + 1 })
    taker.end(body.subarray(first, last + 1))
  }
  return true
}

/** The Age field of an answer from the store (RFC 9111 section 5.1). */
export function ageField(entry: Entry, nowMs: number): string {
  return String(Math.floor(ageMs(entry, nowMs) / 1000))
}

/** The head of a 304 in place of an answer with these fields. */
export function notModified(fields: readonly string[]): AnswerHead {
  return { status: 304, fields: withoutFields(fields, (name) => !ofNotModified.has(name)), length: null }
}

function uncoded(fields: readonly string[]): string[] {
  const kept = withoutFields(fields, (name) => ofTheCodedForm.has(name))
  for (let index = 0; index < kept.length; index += 2) {
    const value = kept[index + 1] ?? ''
    if (kept[index] === 'etag' && !value.startsWith('W/')) kept[index + 1] = `W/${value}`
  }
  return kept
}
