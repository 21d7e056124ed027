// Refusals of malformed requests, and of denied ones.

import type { IncomingMessage } from 'node:http'
import { queryParameters } from '../../catalogue/target.ts'
import type { Owner } from '../../policy/model/remarks.ts'
import { Problem } from '../../problems.ts'
import type { RequestContext } from '../context.ts'
import { isHttp2 } from '../listener/http-versions.ts'
import { mostFieldBytes } from '../listener/server.ts'
import { fieldsTooLarge } from './unparsable.ts'

/** The denial as a problem; null when allowed. */
export function refusalOf({ decided, memo }: RequestContext): Problem | null {
  const { problem, detail, reason, owner } = decided.decision
  // Made once for an evaluation, because creating errors is expensive.
  if (memo.refusal === undefined)
    memo.refusal =
      problem === null ? null : new Problem(problem, detail ?? '', { reason, members: ownerMembers(owner) })
  return memo.refusal
}

/** Whom to ask, as members of a problem document; none where the policies name nobody. */
export function ownerMembers(found: Owner | null): Readonly<Record<string, string>> {
  return found === null
    ? {}
    : {
        ...(found.owner === null ? {} : { owner: found.owner }),
        ...(found.contact === null ? {} : { contact: found.contact }),
      }
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

/** Throws for an HTTP/2 request with more bytes in its target and fields than HTTP/1.1 takes, where Node's parser counts them. */
export function checkFieldBytes(request: IncomingMessage): void {
  if (!isHttp2(request)) return
  let bytes = 0
  for (const text of request.rawHeaders) bytes += text.length
  if (bytes > mostFieldBytes) throw fieldsTooLarge()
}

/** True when a query holds the token of the caller's Authorization field, also percent-escaped, however needlessly. */
export function holdsToken(query: string, credentials: string): boolean {
  if (query === '') return false
  const token = credentials.slice(credentials.indexOf(' ') + 1).trimStart()
  if (token === '' || query.length < token.length) return false
  return (
    query.includes(token) ||
    (query.includes('%') &&
      queryParameters(query).some(([name, value]) => name.includes(token) || value.includes(token)))
  )
}

/** URLs end up in logs, so tokens must not be in them. */
export function tokenInQuery(): Problem {
  return new Problem(
    'malformed-request',
    'The query holds your token. Send it in the Authorization field only: addresses end up in logs.',
    { reason: 'token-in-query' },
  )
}

export function draining(): Problem {
  return new Problem('draining', 'This instance is shutting down. Repeat the request on a new connection.', {
    fields: { 'retry-after': '1' },
  })
}
