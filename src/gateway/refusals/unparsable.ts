// What Node's HTTP parser and its TLS refuse, in words: what is wrong with the bytes, and what to do.

import { Problem } from '../../problems.ts'

type Refusal = readonly [reason: string, detail: string]

const repair = 'Repair the client (RFC 9112).'
const badField =
  'A header field is broken: a line break, a NUL, or a space before its colon is a common cause. ' + repair
const badTarget =
  'The address in the request line is broken. It begins with a slash, and spaces and characters outside ASCII are percent-encoded. ' +
  repair
const badLength =
  'Content-Length is no plain number, comes twice, or stands beside Transfer-Encoding. Send exactly one of them. ' +
  repair

const tooManyFields: Refusal = [
  'fields-too-large',
  'Address and header fields together are larger than 32 KiB. Send less; a token with many groups and a long query are common causes.',
]

/** By the parser's own code. */
const byCode: Readonly<Record<string, Refusal>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['request-incomplete', 'The request did not arrive in time. Send it again, whole.'],
  ERR_SSL_HTTP_REQUEST: [
    'plain-http',
    'This port speaks TLS, and the request came without it. Begin the address with https:// and replace the token: it went over the network in plain text.',
  ],
  HPE_HEADER_OVERFLOW: tooManyFields,
  HPE_INVALID_METHOD: [
    'unparsable',
    `The request does not begin with a method of HTTP in upper case. A request before it that was longer than its Content-Length says is a common cause. ${repair}`,
  ],
  HPE_INVALID_CONSTANT: ['unparsable', badTarget],
  HPE_INVALID_URL: ['unparsable', badTarget],
  HPE_INVALID_VERSION: ['unparsable', `The request line does not end with HTTP/1.1, CR and LF. ${repair}`],
  HPE_INVALID_HEADER_TOKEN: ['unparsable', badField],
  HPE_CR_EXPECTED: ['unparsable', badField],
  HPE_LF_EXPECTED: ['unparsable', badField],
  HPE_INVALID_CONTENT_LENGTH: ['unparsable', badLength],
  HPE_UNEXPECTED_CONTENT_LENGTH: ['unparsable', badLength],
  HPE_INVALID_TRANSFER_ENCODING: [
    'unparsable',
    `Transfer-Encoding does not say chunked alone, or stands beside Content-Length. ${repair}`,
  ],
  HPE_INVALID_CHUNK_SIZE: ['unparsable', `A chunk of the body does not begin with its size. ${repair}`],
}
const other: Refusal = ['unparsable', `The request is not well-formed HTTP/1.1. ${repair}`]

/** Other protocols than HTTP/1.1, by the first bytes of a connection. */
const protocols: readonly { readonly start: Buffer; readonly refusal: Refusal }[] = [
  protocol(
    '\u0016\u0003',
    'tls-on-plain-port',
    'This port speaks HTTP without TLS, and the connection began with TLS. Begin the address with http://, or give the gateway a certificate (listen.tls).',
  ),
  protocol(
    'PRI * HTTP/2',
    'http2-without-tls',
    'This port speaks HTTP/1.1; HTTP/2 needs TLS here. Use HTTP/1.1, or give the gateway a certificate (listen.tls).',
  ),
  ...['PROXY TCP', 'PROXY UNKNOWN', '\r\n\r\n\0\r\nQUIT\n'].map((start) =>
    protocol(
      start,
      'proxy-protocol',
      'The connection began with the PROXY protocol, which the gateway does not read. Switch it off at the balancer, and let the balancer send X-Forwarded-For (listen.trusted_proxies).',
    ),
  ),
]

function protocol(start: string, ...refusal: Refusal) {
  return { start: Buffer.from(start, 'latin1'), refusal }
}

/** `code` is the parser's own; `begin`: the bytes that it could not read, where a connection began with them. */
export function unparsable(code: string | undefined, begin: unknown = null): Problem {
  const bytes = Buffer.isBuffer(begin) ? begin : Buffer.alloc(0)
  const protocol = protocols.find(({ start }) => bytes.subarray(0, start.length).equals(start))
  const [reason, detail] = protocol?.refusal ?? byCode[code ?? ''] ?? other
  return new Problem('malformed-request', detail, { reason })
}

/** For HTTP/2, whose fields the parser does not count. */
export function fieldsTooLarge(): Problem {
  const [reason, detail] = tooManyFields
  return new Problem('malformed-request', detail, { reason })
}
