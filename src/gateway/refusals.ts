// What admission refuses with besides decisions and limits: the checks of the request itself, and what is said about keys.

import type { IncomingMessage } from 'node:http'
import type { Operation } from '../catalogue/operation.ts'
import { queryParameters } from '../catalogue/target.ts'
import { Problem } from '../problems.ts'
import { isHttp2 } from './connection.ts'

/** No key of the inventory will do. */
export function keyMissing({ id, scope }: Operation, organization: string | null): Problem {
  const where = scope === 'enterprise' ? 'at enterprise scope' : `for organization ${organization ?? 'of the caller'}`
  return new Problem(
    'key-unavailable',
    `The policy allows ${id}, and no service-user key ${where} holds what it needs. The operator has to add one to the inventory.`,
    { reason: 'key-missing' },
  )
}

/** The key that was chosen rests. */
export function keySetAside(id: string): Problem {
  return new Problem(
    'key-unavailable',
    `The key ${id} was rejected by the Devin API several times and is set aside; no stronger key takes its place. The operator has to replace it.`,
    { reason: 'key-set-aside', fields: { 'retry-after': '60' } },
  )
}

/** The key that was chosen has ended, by the inventory. */
export function keyExpired(id: string): Problem {
  return new Problem(
    'key-unavailable',
    `The key ${id} has ended, by what the inventory says of it; no stronger key takes its place. The operator has to renew it and to correct \`expires\`.`,
    { reason: 'key-expired' },
  )
}

/** Another key has its id by now. */
export function keyReplaced(): Problem {
  return new Problem(
    'key-unavailable',
    'The inventory of keys was changed while this request was under way. Send it again.',
    {
      reason: 'key-replaced',
      fields: { 'retry-after': '1' },
    },
  )
}

/** Throws for another version than 1.0, 1.1 and 2: Node's parser takes any version that is one digit, a dot and one digit. A real HTTP/2 request has a stream. */
export function checkVersion(request: IncomingMessage): void {
  if (request.httpVersion === '1.1' || request.httpVersion === '1.0' || isHttp2(request)) return
  throw new Problem(
    'malformed-request',
    'The request line does not say HTTP/1.1. Repair the client (RFC 9112 section 2.3).',
    {
      reason: 'http-version',
      fields: { connection: 'close' },
    },
  )
}

/** Nobody judges the body of a read, and an upstream that looks into it would read more than was decided. */
export function bodyOfRead(): Problem {
  return new Problem('malformed-request', 'A GET has no body. Send its parameters in the query.', {
    reason: 'body-of-read',
  })
}

/** True when a query holds the caller's token, also percent-escaped, however needlessly. */
export function holdsToken(query: string, token: string): boolean {
  if (query === '' || query.length < token.length) return false
  return (
    query.includes(token) ||
    (query.includes('%') &&
      queryParameters(query).some(([name, value]) => name.includes(token) || value.includes(token)))
  )
}

/** Addresses are written down everywhere. */
export function tokenInQuery(): Problem {
  return new Problem(
    'malformed-request',
    'The query holds your token. Send it in the Authorization field only: addresses end up in logs.',
    { reason: 'token-in-query' },
  )
}
