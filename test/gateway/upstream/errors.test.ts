// What an error of the connection to the upstream is to a caller, by how far the request had come.

import { describe, expect, test } from 'vitest'
import { blamesUpstream, upstreamProblem, type CallStage } from '../../../src/gateway/upstream/errors.ts'

function coded(code: string, message = 'inner words'): Error {
  return Object.assign(new Error(message), { code })
}

const notSent = /Nothing was sent|so nothing was sent/

describe('before anything was sent', () => {
  test.each([
    ['ECONNREFUSED', 'upstream-unreachable', 'connection_refused'],
    ['ENOTFOUND', 'upstream-unreachable', 'dns_error'],
    ['ECONNRESET', 'upstream-unreachable', 'connection_terminated'],
    ['UND_ERR_SOCKET', 'upstream-unreachable', 'connection_terminated'],
    ['UND_ERR_CONNECT_TIMEOUT', 'upstream-timeout', 'connection_timeout'],
    ['ERR_SOMETHING_NEW', 'upstream-unreachable', 'connection_terminated'],
    ['EMFILE', 'overloaded', 'proxy_internal_error'],
    ['ENFILE', 'overloaded', 'proxy_internal_error'],
    ['EADDRNOTAVAIL', 'overloaded', 'proxy_internal_error'],
    ['CERT_HAS_EXPIRED', 'upstream-tls-failed', 'tls_certificate_error'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'upstream-tls-failed', 'tls_protocol_error'],
  ])('%s is %s, and says that nothing was', (code, kind, error) => {
    const problem = upstreamProblem(coded(code), 'connecting')
    expect([problem.kind, problem.fields['proxy-status']]).toEqual([kind, `devin-gateway; error=${error}`])
    expect(problem.message).toMatch(notSent)
    expect(problem.advice).toBeNull()
  })

  test('the first of several attempts speaks for all', () => {
    const problem = upstreamProblem(new AggregateError([coded('ECONNREFUSED'), coded('ENETUNREACH')]), 'connecting')
    expect(problem.fields['proxy-status']).toContain('connection_refused')
  })
})

describe('once something was sent', () => {
  test.each<[CallStage, string, string, string]>([
    ['sent', 'ECONNRESET', 'upstream-unreachable', 'connection_terminated'],
    ['sent', 'UND_ERR_HEADERS_TIMEOUT', 'upstream-timeout', 'http_response_timeout'],
    ['head', 'UND_ERR_SOCKET', 'upstream-answer-refused', 'http_response_incomplete'],
    ['head', 'HPE_INVALID_CONSTANT', 'upstream-answer-refused', 'http_protocol_error'],
    ['head', 'UND_ERR_HEADERS_OVERFLOW', 'upstream-answer-refused', 'http_protocol_error'],
    ['head', 'ERR_ASSERTION', 'upstream-answer-refused', 'http_protocol_error'],
    ['body', 'HPE_INVALID_CHUNK_SIZE', 'upstream-answer-refused', 'http_protocol_error'],
    ['body', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'upstream-answer-refused', 'http_protocol_error'],
    ['body', 'ECONNRESET', 'upstream-unreachable', 'connection_terminated'],
  ])('%s: %s is %s, and a read can be sent again', (stage, code, kind, error) => {
    const problem = upstreamProblem(coded(code), stage)
    expect([problem.kind, problem.fields['proxy-status']]).toEqual([kind, `devin-gateway; error=${error}`])
    expect(problem.advice).toBe('Nothing was changed: send the request again.')
  })

  test.each(['bad response', 'bad upgrade'])('what undici calls "%s" is a malformed answer', (message) => {
    expect(upstreamProblem(coded('UND_ERR_SOCKET', message), 'head').fields['proxy-status']).toContain(
      'http_protocol_error',
    )
  })
})

test.each([
  ['ECONNREFUSED', true],
  ['ETIMEDOUT', true],
  ['UND_ERR_HEADERS_TIMEOUT', true],
  ['CERT_HAS_EXPIRED', true],
  ['EMFILE', false],
  ['UND_ERR_INVALID_ARG', false],
  ['UND_ERR_DESTROYED', false],
  ['', false],
])('%s says that the upstream is away: %s', (code, expected) => {
  expect(blamesUpstream(coded(code))).toBe(expected)
})
