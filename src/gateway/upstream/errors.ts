// Turns errors of the connection to the upstream into problems with a Proxy-Status (RFC 9209 section 2.3). The inner
// message, which names addresses, goes to the log only.

import { Problem, type ProblemKindName, type ProblemOptions } from '../../problems.ts'

/**
 * How far a request had come. `connecting`: nothing was sent. `sent`: no byte of an answer. `head`: some bytes of one.
 * `body`: its head was complete.
 */
export type CallStage = 'connecting' | 'sent' | 'head' | 'body'

interface Row {
  readonly kind: ProblemKindName
  /** Error type of RFC 9209. */
  readonly error: string
  readonly detail: string
  readonly reason?: string
  readonly fields?: Readonly<Record<string, string>>
}

const unreachable = 'The Devin API could not be reached. Nothing was sent; try again later.'
const late = 'The Devin API could not be reached in time. Nothing was sent; try again later.'
const tls =
  'The certificate of the Devin API was not accepted, so nothing was sent. The operator has to check upstream.origin and upstream.ca.'
const mayHaveHappened = 'A write may have happened: read back before you repeat it.'

const exhausted: Row = {
  kind: 'overloaded',
  error: 'proxy_internal_error',
  detail:
    'This gateway has no descriptor, port or memory left for another connection. Nothing was sent; try again after Retry-After.',
  reason: 'upstream-no-descriptors',
  fields: { 'retry-after': '1' },
}
const tlsRefused: Row = { kind: 'upstream-tls-failed', error: 'tls_certificate_error', detail: tls }
const tlsBroken: Row = { kind: 'upstream-tls-failed', error: 'tls_protocol_error', detail: tls }

function unreachableBy(error: string): Row {
  return { kind: 'upstream-unreachable', error, detail: unreachable }
}

/** Before a connection was there, by the code of the error. */
const connecting: Readonly<Record<string, Row>> = {
  ECONNREFUSED: unreachableBy('connection_refused'),
  ENOTFOUND: unreachableBy('dns_error'),
  EAI_AGAIN: unreachableBy('dns_error'),
  EHOSTUNREACH: unreachableBy('destination_ip_unroutable'),
  ENETUNREACH: unreachableBy('destination_ip_unroutable'),
  ETIMEDOUT: { kind: 'upstream-timeout', error: 'connection_timeout', detail: late },
  UND_ERR_CONNECT_TIMEOUT: { kind: 'upstream-timeout', error: 'connection_timeout', detail: late },
  EMFILE: exhausted,
  ENFILE: exhausted,
  ENOBUFS: exhausted,
  ENOMEM: exhausted,
  EADDRNOTAVAIL: exhausted,
}

const silent: Row = {
  kind: 'upstream-timeout',
  error: 'http_response_timeout',
  detail: `The Devin API did not answer in time. ${mayHaveHappened}`,
}
const stopped: Row = {
  kind: 'upstream-timeout',
  error: 'http_response_timeout',
  detail: 'The answer of the Devin API stopped half way.',
}
const malformed: Row = {
  kind: 'upstream-answer-refused',
  error: 'http_protocol_error',
  detail: `The answer of the Devin API is not well-formed HTTP and was not passed on. ${mayHaveHappened}`,
}
const incomplete: Row = {
  kind: 'upstream-answer-refused',
  error: 'http_response_incomplete',
  detail: `The answer of the Devin API broke off before its head was complete. ${mayHaveHappened}`,
}
const brokenBefore: Row = {
  kind: 'upstream-unreachable',
  error: 'connection_terminated',
  detail: `The connection to the Devin API broke before an answer came. ${mayHaveHappened}`,
}
const brokenWithin: Row = {
  kind: 'upstream-unreachable',
  error: 'connection_terminated',
  detail: `The connection to the Devin API broke in the middle of its answer. ${mayHaveHappened}`,
}

/** The problem a caller sees for an error of the connection to the upstream. */
export function upstreamProblem(error: unknown, stage: CallStage): Problem {
  if (error instanceof Problem) return error
  const { kind, detail, reason, fields, error: type } = rowFor(error, stage)
  const options: ProblemOptions = { fields: { ...fields, 'proxy-status': proxyStatus(type) }, cause: error }
  return new Problem(kind, detail, reason === undefined ? options : { ...options, reason })
}

/** An answer whose status is not valid in HTTP (RFC 9110 section 15). */
export function impossibleStatus(status: number): Problem {
  return answerRefused(`its status ${status} is none of HTTP`)
}

/** An answer that follows too many interim ones. */
export function tooManyInterim(): Problem {
  return answerRefused('too many interim answers came before it')
}

function answerRefused(why: string): Problem {
  return new Problem(
    'upstream-answer-refused',
    `The answer of the Devin API was not passed on because ${why}. ${mayHaveHappened}`,
    { fields: { 'proxy-status': proxyStatus('http_protocol_error') } },
  )
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
  const detail = `The Devin API has had too many requests with the key ${key} and asked to wait, so this one was not sent. Wait ${seconds} second${seconds === 1 ? '' : 's'}.`
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
  if (stage === 'connecting') return connecting[code] ?? tlsRow(code) ?? unreachableBy('connection_terminated')
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
