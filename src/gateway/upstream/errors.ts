// What went wrong on the way to the upstream, as a problem with its Proxy-Status (RFC 9209 section 2.3). The inner
// message, which names addresses, goes to the log only.

import { Problem, type ProblemKindName } from '../../problems.ts'

interface Row {
  readonly kind: ProblemKindName
  /** Error type of RFC 9209. */
  readonly error: string
  readonly detail: string
}

const unreachable = 'The Devin API could not be reached. Nothing was sent; try again later.'
const broken =
  'The connection to the Devin API broke before an answer came. A write may have happened: read back before you repeat it.'
const tls =
  'The certificate of the Devin API was not accepted, so nothing was sent. The operator has to check upstream.origin and upstream.ca.'

const rows: Readonly<Record<string, Row>> = {
  ECONNREFUSED: { kind: 'upstream-unreachable', error: 'connection_refused', detail: unreachable },
  ENOTFOUND: { kind: 'upstream-unreachable', error: 'dns_error', detail: unreachable },
  EAI_AGAIN: { kind: 'upstream-unreachable', error: 'dns_error', detail: unreachable },
  EHOSTUNREACH: { kind: 'upstream-unreachable', error: 'destination_ip_unroutable', detail: unreachable },
  ENETUNREACH: { kind: 'upstream-unreachable', error: 'destination_ip_unroutable', detail: unreachable },
  ECONNRESET: { kind: 'upstream-unreachable', error: 'connection_terminated', detail: broken },
  EPIPE: { kind: 'upstream-unreachable', error: 'connection_terminated', detail: broken },
  UND_ERR_SOCKET: { kind: 'upstream-unreachable', error: 'connection_terminated', detail: broken },
  ETIMEDOUT: {
    kind: 'upstream-timeout',
    error: 'connection_timeout',
    detail: 'The Devin API could not be reached in time. Nothing was sent; try again later.',
  },
  UND_ERR_CONNECT_TIMEOUT: {
    kind: 'upstream-timeout',
    error: 'connection_timeout',
    detail: 'The Devin API could not be reached in time. Nothing was sent; try again later.',
  },
  UND_ERR_HEADERS_TIMEOUT: {
    kind: 'upstream-timeout',
    error: 'http_response_timeout',
    detail: 'The Devin API did not answer in time. A write may have happened: read back before you repeat it.',
  },
  UND_ERR_BODY_TIMEOUT: {
    kind: 'upstream-timeout',
    error: 'http_response_timeout',
    detail: 'The answer of the Devin API stopped half way.',
  },
}

const answerRefused: Row = {
  kind: 'upstream-answer-refused',
  error: 'http_protocol_error',
  detail: 'The answer of the Devin API is not well-formed HTTP and was not passed on.',
}
const tlsRefused: Row = { kind: 'upstream-tls-failed', error: 'tls_certificate_error', detail: tls }
const tlsBroken: Row = { kind: 'upstream-tls-failed', error: 'tls_protocol_error', detail: tls }

/** The problem a caller sees for an error of the connection to the upstream. */
export function upstreamProblem(error: unknown): Problem {
  const row = rowFor(error)
  return new Problem(row.kind, row.detail, { fields: { 'proxy-status': proxyStatus(row.error) }, cause: error })
}

/** The value of Proxy-Status for an error type. */
export function proxyStatus(error: string): string {
  return `devin-gateway; error=${error}`
}

function rowFor(error: unknown): Row {
  const code = codeOf(error)
  const known = rows[code]
  if (known !== undefined) return known
  if (/CERT|SELF_SIGNED|UNABLE_TO_(?:GET|VERIFY|DECRYPT)|ALTNAME|HOSTNAME_MISMATCH/.test(code)) return tlsRefused
  if (/^(?:ERR_SSL|ERR_TLS|EPROTO)/.test(code)) return tlsBroken
  if (/^(?:HPE_|UND_ERR_(?:RES|RESPONSE|HEADERS_OVERFLOW|INVALID|NOT_SUPPORTED))/.test(code)) return answerRefused
  return { kind: 'upstream-unreachable', error: 'connection_terminated', detail: broken }
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  if ('code' in error && typeof error.code === 'string') return error.code
  // Happy-eyeballs connects fail with an AggregateError; the first attempt speaks for all.
  return error instanceof AggregateError ? codeOf(error.errors[0]) : ''
}
