// Which header fields of a caller cross: an allow-list, read from the raw list so that nothing is merged, normalised or dropped
// before it is looked at. RFC 9110 section 7.6.1 for the hop-by-hop ones. responses/response-fields.ts is the other direction.

import type { IncomingMessage } from 'node:http'
import { hostForm } from '../http/host.ts'
import { Problem } from '../problems.ts'
import { maskSecrets } from '../records/mask.ts'
import { bodyFollows } from './listener/http-versions.ts'

/**
 * Fields of a caller that go upstream. Everything else (cookies, forwarding and proxy fields, credentials) stays here.
 * Not Range: a key could be fetched in two halves past the leak guard, and part of a coded answer cannot be looked into. The
 * cache serves parts of whole answers.
 */
const requestFields = new Set([
  'accept',
  'accept-language',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'idempotency-key',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-unmodified-since',
  'last-event-id',
  'pragma',
  'prefer',
  'traceparent',
  'tracestate',
  'user-agent',
])

export interface CallerFields {
  /** Name and value alternating, names in lower case: ready to be sent upstream once the credential is added. */
  readonly forward: string[]
  readonly host: string | undefined
  readonly requestId: string | null
  readonly traceId: string | null
  readonly acceptEncoding: string | undefined
  /** Range and If-Range, name and value alternating, for the cache alone. */
  readonly ranges: readonly string[]
  readonly contentEncoding: string | null
  /** Declared length of the body in bytes; null when chunked; 0 when there is none. */
  readonly bodyLength: number | null
  readonly expectsContinue: boolean
}

const none: readonly string[] = []
export const plainId = /^[A-Za-z0-9._~-]{1,128}$/
/** W3C Trace Context: no id is all zeros, `ff` is no version, and only later versions than 00 may hold more. */
const traceparent = /^(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/

/**
 * Reads a request's raw field list once. Throws `malformed-request` for what RFC 9110 and 9112 forbid and Node's parser
 * lets through: several or no valid Host, an empty Transfer-Encoding.
 */
export function readCallerFields(request: IncomingMessage): CallerFields {
  const { rawHeaders } = request
  const forward: string[] = []
  let host: string | undefined
  let hosts = 0
  let requestId: string | null = null
  let traceId: string | null = null
  let acceptEncoding: string | undefined
  let ranges: string[] | null = null
  let contentEncoding: string | null = null
  let contentLength: number | null = null
  let chunked = false
  let connection: string | null = null
  let expectsContinue = false
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase()
    const value = rawHeaders[index + 1] ?? ''
    if (requestFields.has(name)) {
      forward.push(name, value)
      if (name === 'traceparent') traceId = traceparent.exec(value)?.[1] ?? null
      else if (name === 'content-encoding')
        contentEncoding = contentEncoding === null ? value : `${contentEncoding}, ${value}`
      continue
    }
    switch (name) {
      case 'host':
        if (hosts > 0) throw malformed('it has more than one Host field')
        hosts += 1
        // By HTTP/2 the authority comes first, and both may be there (RFC 9113 section 8.3.1).
        if (host !== undefined && host.toLowerCase() !== value.toLowerCase())
          throw malformed('its Host field names another host than its authority')
        host ??= value
        break
      case ':authority':
        host ??= value
        break
      case 'x-request-id':
        if (plainId.test(value) && maskSecrets(value) === value) requestId = value
        break
      case 'accept-encoding':
        // A longer value is no list of codings.
        acceptEncoding = (acceptEncoding === undefined ? value : `${acceptEncoding}, ${value}`).slice(0, 512)
        break
      case 'range':
      case 'if-range':
        ranges ??= []
        ranges.push(name, value)
        break
      case 'content-length':
        contentLength = Number(value)
        break
      case 'transfer-encoding':
        if (value.trim().toLowerCase() !== 'chunked') throw malformed('its Transfer-Encoding is not chunked')
        chunked = true
        break
      case 'connection':
        connection = connection === null ? value : `${connection}, ${value}`
        break
      case 'expect':
        expectsContinue = value.toLowerCase() === '100-continue'
        break
    }
  }
  // HTTP/1.0 knows no Host field.
  if (host === undefined ? request.httpVersion !== '1.0' : !hostForm.test(host))
    throw malformed('its Host field is missing or not a host name')
  if (connection !== null) dropListed(forward, connection)
  return {
    forward,
    host,
    requestId,
    traceId,
    acceptEncoding,
    ranges: ranges ?? none,
    contentEncoding,
    bodyLength: chunked ? null : (contentLength ?? (bodyFollows(request) ? null : 0)),
    expectsContinue,
  }
}

function malformed(why: string): Problem {
  return new Problem('malformed-request', `The request is refused because ${why}. Repair the client (RFC 9112).`)
}

/** Drops every field that a Connection field names: such fields are for one hop only. */
export function dropListed(fields: string[], connection: string): void {
  // `keep-alive` and `close`, the usual values, name no field.
  if (/^(?:keep-alive|close)$/i.test(connection)) return
  const listed = new Set(
    connection
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  )
  for (let index = fields.length - 2; index >= 0; index -= 2) {
    if (listed.has(fields[index] ?? '')) fields.splice(index, 2)
  }
}

/** A judged body is JSON, and goes on as JSON: under another media type a server could read another document in it. */
export function declareJson(fields: string[]): void {
  for (let index = fields.length - 2; index >= 0; index -= 2) {
    if (fields[index] === 'content-type' || fields[index] === 'content-encoding') fields.splice(index, 2)
  }
  fields.push('content-type', 'application/json')
}
