// A stored answer. Immutable: a validation makes a new one that shares the body.

import { hash } from 'node:crypto'
import type { AnswerHead } from './answer.ts'
import { isSameWeakly, type Validators } from './conditions.ts'
import { fieldValue, firstValue, withoutFields } from './field-list.ts'
import type { Question } from './question.ts'
import { selectingValue } from './reading.ts'

/** On which terms an answer may be reused. Times are of our clock. */
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
  /** Lower-case names, without those whose effect is known otherwise (content coding, credential). */
  readonly vary: readonly string[]
}

export interface Entry extends Terms, Validators {
  readonly operation: string
  readonly status: number
  /** As AnswerHead's, without Age and what section 3.1 excludes. */
  readonly fields: readonly string[]
  readonly body: Buffer
  /** Content coding of the body; null for none. */
  readonly coding: string | null
  /** The ETag is the cache's own: the upstream does not know it. */
  readonly ownEtag: boolean
  /** Values of the request fields that `vary` names. */
  readonly selected: readonly (string | null)[]
  /** Later questions to the upstream have higher numbers; an older answer never replaces a newer one. */
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
/** A 304 says nothing about the body that is kept (RFC 9111 section 3.2). */
const ofTheBody = new Set(['content-encoding', 'content-length', 'content-range', 'content-md5'])

/** Makes an entry of a complete answer. A class-cached one without an ETag gets a weak one of the cache's own. */
export function createEntry(question: Question, head: AnswerHead, body: Buffer, terms: Terms, sequence: number): Entry {
  const withheld = new Set(terms.withheld)
  const fields = withoutFields(head.fields, (name) => unstored.has(name) || withheld.has(name))
  let etag = firstValue(fields, 'etag')
  const ownEtag = etag === null && head.status === 200 && question.rule.kind === 'class'
  if (ownEtag) {
    etag = `W/"${hash('sha256', body, 'base64url').slice(0, 22)}"`
    fields.push('etag', etag)
  }
  return {
    ...terms,
    operation: question.operation,
    status: head.status,
    fields,
    body,
    coding: fieldValue(fields, 'content-encoding')?.toLowerCase() ?? null,
    etag,
    ownEtag,
    lastModified: firstValue(fields, 'last-modified'),
    selected: terms.vary.map((name) => selectingValue(question.fields, name)),
    sequence,
  }
}

/** Whether the upstream can be asked if this is still the answer. */
export function canBeValidated(entry: Entry): boolean {
  return (entry.etag !== null && !entry.ownEtag) || entry.lastModified !== null
}

/** The conditional fields for that question (RFC 9111 section 4.3.1). */
export function validatingFields({ etag, ownEtag, lastModified }: Entry): string[] {
  const fields: string[] = []
  if (etag !== null && !ownEtag) fields.push('if-none-match', etag)
  if (lastModified !== null) fields.push('if-modified-since', lastModified)
  return fields
}

/** The head of a stored answer after a 304 or the answer to a HEAD: fields that came replace those of the same name. */
export function freshenedHead(entry: Entry, update: AnswerHead): AnswerHead {
  const fresh = withoutFields(update.fields, (name) => ofTheBody.has(name))
  const replaced = new Set(fresh.filter((_name, index) => index % 2 === 0))
  const kept = withoutFields(entry.fields, (name) => replaced.has(name) || (entry.ownEtag && name === 'etag'))
  return { status: entry.status, fields: [...kept, ...fresh], length: entry.body.length }
}

/** Whether a 304, or the answer to a HEAD, speaks of this stored answer (RFC 9111 sections 4.3.4 and 4.3.5). */
export function isAbout(entry: Entry, update: AnswerHead): boolean {
  const etag = firstValue(update.fields, 'etag')
  if (etag !== null) return !entry.ownEtag && entry.etag !== null && isSameWeakly(etag, entry.etag)
  const lastModified = firstValue(update.fields, 'last-modified')
  return lastModified === null || entry.lastModified === null || lastModified === entry.lastModified
}

/** Current age (section 4.2.3). */
export function ageMs(entry: Terms, nowMs: number): number {
  return entry.initialAgeMs + (nowMs - entry.receivedAtMs)
}

/** End of an entry's lifetime for one question: its own, or what the question's rule and team leave of it. */
export function freshUntilMs(entry: Terms, { rule, atMostMs }: Question): number {
  const limit = Math.min(rule.kind === 'class' ? rule.ttlMs : Infinity, atMostMs ?? Infinity)
  return Math.min(entry.freshUntilMs, entry.receivedAtMs + limit)
}

/** What an entry takes of the memory beyond its key: contents as counted, and its objects as measured on Node 24. */
export function entryBytes(entry: Entry): number {
  let bytes = entryOverheadBytes + entry.body.length
  for (const text of entry.fields) bytes += text.length + fieldOverheadBytes
  for (const value of entry.selected) bytes += (value?.length ?? 0) + fieldOverheadBytes
  return bytes
}

const entryOverheadBytes = 640
const fieldOverheadBytes = 32
