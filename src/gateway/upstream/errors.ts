// Failures of the connection to the upstream as problems (RFC 9209 section 2.3). What names addresses goes to the log only.

import { counted } from '../../config/plural.ts'
import type { ProblemKindName } from '../../problem-kinds.ts'
import { Problem, type ProblemOptions } from '../../problems.ts'

/**
 * How far a request had come. `connecting`: nothing was sent. `sent`: no byte of an answer. `head`: some bytes of one.
 * `body`: its head was complete.
 */
export type CallStage = 'connecting' | 'sent' | 'head' | 'body'

/** The kind of the problem, the error type of RFC 9209, and the words. */
type Row = readonly [kind: ProblemKindName, error: string, detail: string, options?: ProblemOptions]

const unreachable = 'The Devin API could not be reached. Nothing was sent; try again later.'
const late = 'The Devin API could not be reached in time. Nothing was sent; try again later.'
const tls =
  'The certificate of the Devin API was not accepted, so nothing was sent. The operator has to check upstream.origin and upstream.ca.'
const unchanged = { advice: 'Nothing was changed: send the request again.' }

const exhausted: Row = [
  'overloaded',
  'proxy_internal_error',
  'This gateway has no descriptor, port or memory left for another connection. Nothing was sent; try again after Retry-After.',
  { reason: 'upstream-no-descriptors', fields: { 'retry-after': '1' } },
]
const tlsRefused: Row = ['upstream-tls-failed', 'tls_certificate_error', tls]
const tlsBroken: Row = ['upstream-tls-failed', 'tls_protocol_error', tls]
const noRoute: Row = ['upstream-unreachable', 'destination_ip_unroutable', unreachable]
const noName: Row = ['upstream-unreachable', 'dns_error', unreachable]
const tooLate: Row = ['upstream-timeout', 'connection_timeout', late]

/** Before a connection was there, by the code of the error. */
const connecting: Readonly<Record<string, Row>> = {
  ECONNREFUSED: ['upstream-unreachable', 'connection_refused', unreachable],
  ENOTFOUND: noName,
  EAI_AGAIN: noName,
  EHOSTUNREACH: noRoute,
  ENETUNREACH: noRoute,
  ETIMEDOUT: tooLate,
  UND_ERR_CONNECT_TIMEOUT: tooLate,
  EMFILE: exhausted,
  ENFILE: exhausted,
  ENOBUFS: exhausted,
  ENOMEM: exhausted,
  EADDRNOTAVAIL: exhausted,
}
const terminated: Row = ['upstream-unreachable', 'connection_terminated', unreachable]

const silent: Row = ['upstream-timeout', 'http_response_timeout', 'The Devin API did not answer in time.', unchanged]
const stopped: Row = [
  'upstream-timeout',
  'http_response_timeout',
  'The answer of the Devin API stopped half way.',
  unchanged,
]
const malformed: Row = [
  'upstream-answer-refused',
  'http_protocol_error',
  'The answer of the Devin API is not well-formed HTTP and was not passed on.',
  unchanged,
]
const incomplete: Row = [
  'upstream-answer-refused',
  'http_response_incomplete',
  'The answer of the Devin API broke off before its head was complete.',
  unchanged,
]
const brokenBefore: Row = [
  'upstream-unreachable',
  'connection_terminated',
  'The connection to the Devin API broke before an answer came.',
  unchanged,
]
const brokenWithin: Row = [
  'upstream-unreachable',
  'connection_terminated',
  'The connection to the Devin API broke in the middle of its answer.',
  unchanged,
]

/** The problem a caller sees for an error of the connection to the upstream. */
export function upstreamProblem(error: unknown, stage: CallStage): Problem {
  if (error instanceof Problem) return error
  const [kind, type, detail, options] = rowFor(error, stage)
  const fields = { ...options?.fields, 'proxy-status': proxyStatus(type) }
  return new Problem(kind, detail, { ...options, fields, cause: error })
}

/** An answer whose status is not valid in HTTP (RFC 9110 section 15). */
export function impossibleStatus(status: number): Problem {
  return answerRefused(`its status ${status} is none of HTTP`)
}

/** An answer that follows too many interim ones. */
export function tooManyInterim(): Problem {
  return answerRefused('too many interim answers came before it')
}

/** An answer that must not reach the caller: why, and what the caller can do about a read. */
export function answerRefused(why: string, { advice } = unchanged): Problem {
  return new Problem('upstream-answer-refused', `The answer of the Devin API was not passed on because ${why}.`, {
    advice,
    fields: { 'proxy-status': proxyStatus('http_protocol_error') },
  })
}

/** The upstream has not answered lately, so it was not asked. */
export function notAsked(waitMs: number): Problem {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000))
  return new Problem(
    'upstream-unreachable',
    'The Devin API has not answered lately, so this request was not sent. Try again after Retry-After.',
    {
      reason: 'upstream-silent',
      fields: { 'retry-after': String(seconds), 'proxy-status': proxyStatus('destination_unavailable') },
    },
  )
}

export function resting(key: string, restMs: number): Problem {
  const seconds = Math.max(1, Math.ceil(restMs / 1000))
  const detail = `The Devin API has had too many requests with the key ${key} and asked to wait, so this one was not sent. Wait ${counted(seconds, 'second')}.`
  return new Problem('rate-limit-exceeded', detail, {
    reason: 'upstream-throttled',
    fields: { 'retry-after': String(seconds) },
  })
}

/** The queue is full, or the request has waited in it for too long. */
export function overloaded(): Problem {
  return new Problem('overloaded', 'Too many requests wait for the Devin API. Try again after Retry-After.', {
    fields: { 'retry-after': '1' },
  })
}

/** The queue has room, but not for this team. */
export function shareReached(): Problem {
  return new Problem(
    'overloaded',
    "Your team has as many requests under way and waiting as one team may have. Others still have room; wait for your team's answers, then try again.",
    { reason: 'team-share-reached', fields: { 'retry-after': '1' } },
  )
}

export function proxyStatus(error: string): string {
  return `devin-gateway; error=${error}`
}

/** The connection ended, or was ended, without a word about HTTP. */
export function isConnectionLoss(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'].includes(codeOf(error))
}

/** True when the error says that the upstream is away: not when this process or the caller is at fault. */
export function blamesUpstream(error: unknown): boolean {
  const code = codeOf(error)
  return (
    (connecting[code] ?? exhausted) !== exhausted ||
    isConnectionLoss(error) ||
    code === 'UND_ERR_HEADERS_TIMEOUT' ||
    tlsRow(code) !== null
  )
}

function rowFor(error: unknown, stage: CallStage): Row {
  const code = codeOf(error)
  if (stage === 'connecting') return connecting[code] ?? tlsRow(code) ?? terminated
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'ETIMEDOUT') return silent
  if (code === 'UND_ERR_BODY_TIMEOUT') return stopped
  if (stage === 'sent') return tlsRow(code) ?? brokenBefore
  if (stage === 'head') return isClosed(error, code) ? incomplete : malformed
  return isConnectionLoss(error) ? brokenWithin : malformed
}

function tlsRow(code: string): Row | null {
  if (/CERT|SELF_SIGNED|UNABLE_TO_(?:GET|VERIFY|DECRYPT)|ALTNAME|HOSTNAME_MISMATCH/.test(code)) return tlsRefused
  return /^(?:ERR_SSL|ERR_TLS|EPROTO)/.test(code) ? tlsBroken : null
}

/** undici says in the same way that a connection was closed, and that it closed one for what it read there. */
function isClosed(error: unknown, code: string): boolean {
  return (
    isConnectionLoss(error) &&
    !(code === 'UND_ERR_SOCKET' && error instanceof Error && error.message.startsWith('bad '))
  )
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  if ('code' in error && typeof error.code === 'string') return error.code
  // Happy-eyeballs connects fail with an AggregateError; the first attempt speaks for all.
  return error instanceof AggregateError ? codeOf(error.errors[0]) : ''
}
