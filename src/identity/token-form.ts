// The token as text, before anything in it is believed: its place in the request and its one spelling. Pure.

import { Problem } from '../problems.ts'
import { rejected } from './rejection.ts'

/** Node's own limit for all header fields together; a token larger than this cannot have come as one. */
const maxTokenLength = 16 * 1024

/** RFC 6750 section 2.1: `b64token`. */
const bearerCredentials = /^bearer +([A-Za-z0-9\-._~+/]+=*)$/i
const bearerScheme = /^bearer(?=[ \t,]|$)/i
const devinKey = /^(?:bearer +)?(?:cog_|apk_)/i

/**
 * The bearer token that an Authorization field holds. Refuses with `token-missing` when there is none or another scheme,
 * `malformed-request` for several tokens or characters that no token has, and `token-rejected` when a Devin key came
 * instead of an SSO token.
 */
export function bearerToken(value: string): string | Problem {
  // Devin's own keys start with `cog_` (API v3) or `apk_` (older generations).
  if (devinKey.test(value)) return rejected('devin-key-sent')
  const token = bearerCredentials.exec(value)?.[1]
  if (token !== undefined) return token
  const scheme = bearerScheme.exec(value)?.[0]
  if (scheme === undefined || value.length === scheme.length) return tokenMissing(insteadOfToken(value, scheme))
  return malformed(
    'The Authorization field must hold one bearer token and nothing else: `Authorization: Bearer <token>`. This one holds several, or characters that no token has.',
  )
}

/**
 * The value of the one Authorization field in Node's raw list (names and values in turn), or an empty text. Throws
 * `malformed-request` for two. Read from the raw list, because Node's parsed headers keep the first of two fields and
 * hide the second.
 */
export function authorizationField(rawHeaders: readonly string[]): string {
  let found: string | null = null
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]
    if (name?.length !== 13 || name.toLowerCase() !== 'authorization') continue
    if (found !== null) throw malformed('The request holds more than one Authorization field. Send exactly one.')
    found = rawHeaders[at + 1] ?? ''
  }
  return found ?? ''
}

/** What an Authorization field without a bearer token holds, as a sentence before the advice. */
function insteadOfToken(value: string, scheme: string | undefined): string {
  if (value === '') return ''
  if (scheme !== undefined) return 'No token stands behind `Bearer`: an empty variable is a common cause. '
  if (compactForm.test(value)) return 'The word `Bearer` is missing before the token. '
  return 'The Authorization field does not begin with `Bearer`. '
}

/** The parameters in which other services take tokens (RFC 6750 section 2.3, and its kin). */
const tokenParameter = /(?:^|[&;])(?:access_?token|id_?token|auth_?token|bearer_?token|token|jwt)=./i

/** The same refusal, which says so where the query holds what is probably the token: it is not read there. */
export function orInQuery(refusal: Problem, query: string): Problem {
  return refusal.kind === 'token-missing' && tokenParameter.test(query)
    ? tokenMissing('A token in the query is not read, because addresses end up in logs. ')
    : refusal
}

/** RFC 6750 section 3.1: the challenge to a request without credentials names the scheme and no error code. */
function tokenMissing(found: string): Problem {
  const detail = `${found}Send the SSO token of your identity provider as \`Authorization: Bearer <token>\`.`
  return new Problem('token-missing', detail, { fields: { 'www-authenticate': 'Bearer' } })
}

function malformed(detail: string): Problem {
  return new Problem('malformed-request', detail, { reason: 'authorization-field' })
}

const compactForm = /^[\w-]+\.[\w-]+\.[\w-]+$/
/** By the length of a final group: one of two characters leaves 4 bits unused and one of three leaves 2; these have them zero. */
const lastCharacters = [/./, /(?!)/, /[AQgw]/, /[AEIMQUYcgkosw048]/]

/**
 * Whether a token is a compact JWS in its only spelling: three non-empty base64url parts (RFC 7515 section 7.1), no
 * padding, unused bits zero (RFC 4648 section 3.5). Without this, up to 15 more spellings of a token verify as well.
 */
export function isCanonicalJwt(token: string): boolean {
  return (
    token.length <= maxTokenLength &&
    compactForm.test(token) &&
    token.split('.').every((part) => lastCharacters[part.length % 4]?.test(part.at(-1) ?? ''))
  )
}

/** Whether a token has the five parts of an encrypted one (RFC 7516 section 7.1). */
export function isEncryptedJwt(token: string): boolean {
  return token.split('.', 6).length === 5
}
