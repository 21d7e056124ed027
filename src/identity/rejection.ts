// Why a token is not accepted, as a reason code for records and a text for the caller. The one place where the two meet.

import { Problem } from '../problems.ts'
import type { UnverifiedToken } from './unverified-token.ts'

/** A token that is not accepted, or not usable. */
export class TokenProblem extends Problem {
  /** The unverified content of the token, for records; null where nothing could be read. */
  seen: UnverifiedToken | null = null
}

/** RFC 6750 section 3: the challenge when credentials came and were not accepted. */
const invalidToken = { 'www-authenticate': 'Bearer error="invalid_token"' }

/**
 * One text for everything that tells a forger how far they got: an unknown key, a bad signature, a refused algorithm
 * and a header that is not understood look alike from outside.
 */
const silent =
  "The token was not accepted. Fetch a new one from the company's identity provider and send it exactly as it was issued; the decision log holds the reason under the decision id."

const details = {
  'algorithm-not-allowed': silent,
  'critical-header': silent,
  'key-unknown': silent,
  'signature-invalid': silent,
  malformed:
    'The token is not a signed JWT in its plain form: three base64url parts without padding or line breaks. Send it exactly as the identity provider issued it.',
  encrypted: 'The token is encrypted. Ask the identity provider for a signed token (JWS) for this gateway.',
  'token-type': 'The token is of another kind. Send an access token or an ID token in JWT form.',
  'issuer-unknown':
    "The token comes from an issuer that this gateway does not trust. Fetch one from the company's identity provider.",
  'audience-mismatch': 'The token is meant for somebody else. Request one for the audience of this gateway.',
  'claim-missing': 'The token lacks a claim that this gateway needs.',
  'lifetime-too-long': 'The token lives too long. Request one with a shorter lifetime.',
  'not-yet-valid': 'The token is not valid yet. Compare the clocks, then repeat the request.',
  'confirmation-unsupported':
    'The token is bound to a key of its holder (claim `cnf`), and this gateway cannot check the binding. Request a plain bearer token.',
  'devin-key-sent':
    'This is a Devin key. Send the SSO token of your identity provider, never a Devin key: the gateway adds the key itself. If this is a real key, revoke it: it has leaked.',
} as const

/** Every reason a token may be rejected for. */
export const rejectionReasons = Object.keys(details)

/** Inner reasons of `token-rejected`. For records only: shown to callers, they would tell a forger which check failed. */
export type RejectionReason = keyof typeof details

/** A `token-rejected` problem; `detail` replaces the standard text where a verified token makes more worth saying. */
export function rejected(reason: RejectionReason, detail: string = details[reason]): TokenProblem {
  return new TokenProblem('token-rejected', detail, { reason, fields: invalidToken })
}

/** An `identity-incomplete` problem: the token is good, and does not say who the caller is. */
export function incomplete(detail: string, reason: 'subject-missing' | 'claim-shape'): TokenProblem {
  return new TokenProblem('identity-incomplete', detail, { reason })
}

/** A `token-expired` problem. */
export function expired(): TokenProblem {
  const detail = 'The token has expired. Fetch a new one from the identity provider and repeat the request.'
  return new TokenProblem('token-expired', detail, { fields: invalidToken })
}
