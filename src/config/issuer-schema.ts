// The `issuers` of config/gateway.yaml: who may sign tokens, and what the claims say.

import { z } from 'zod'
import { issuerForm, parseIssuer, parseKeySetAddress, urlForm } from './values/addresses.ts'
import { parseAlgorithm, signatureAlgorithms } from './values/algorithms.ts'
import { claimPath, duration, oneOrSeveral, text, textAs, withoutTwins } from './fields.ts'

/** One trusted issuer, resolved. */
export type IssuerConfig = ReturnType<typeof issuerConfig>

const claims = z.strictObject({
  subject: claimPath().default('sub').describe('Claim that names the caller.'),
  email: claimPath().default('email').describe('Claim with the e-mail address.'),
  groups: claimPath().default('groups').describe('Claim with the groups: a list, or one text for one group.'),
  app: claimPath().default('azp').describe('Claim with the calling application.'),
})

/** Which claim says what about the caller: names or dotted paths, as `claimAt` reads them. */
export type ClaimMapping = z.output<typeof claims>

/** How an issuer is trusted, wherever one is named. */
export const issuerFields = {
  issuer: textAs(parseIssuer, { pattern: issuerForm }).describe(
    "The issuer's identifier, exactly as the `iss` claim spells it.",
  ),
  audience: oneOrSeveral('audience', { isNeeded: true }).describe(
    'Audience that a token must be meant for; a list accepts any of them.',
  ),
  jwks_uri: textAs(parseKeySetAddress, { pattern: urlForm })
    .optional()
    .describe("Address of the signing keys; when absent, taken from the issuer's metadata document."),
  ca: text().optional().describe("PEM file of the CA certificates to trust at this issuer. Default: the system's."),
  algorithms: z
    .array(textAs(parseAlgorithm, { enum: signatureAlgorithms }))
    .min(1, 'name at least one algorithm, or remove the key')
    .prefault(['RS256', 'ES256'])
    .describe('Accepted signature algorithms. `none` and HS* are never accepted.'),
  clock_tolerance: duration('0s', '10m')
    .prefault('30s')
    .describe('How far the clocks of issuer and gateway may differ.'),
  max_lifetime: duration('1s', '366d').prefault('24h').describe('Longest accepted lifetime of a token (exp - iat).'),
  email_verified: z
    .enum(['required', 'optional'])
    .default('optional')
    .describe(
      '`required`: an e-mail address counts only beside `email_verified: true`; `optional`: also where the token has no such claim. Any other value never counts.',
    ),
  claims: claims
    .prefault({})
    .describe(
      'Which claim says what about the caller: names or dotted paths. `\\.` is a dot inside a name: `kubernetes\\.io.namespace`.',
    ),
}

const issuer = z.strictObject(issuerFields)

/** Schema of `issuers`. */
export const issuersSchema = withoutTwins(
  z.array(issuer).min(1, 'name at least one issuer: without one nobody could call anything'),
  'issuer',
  'issuer',
)

/** Resolves an issuer as written. */
export function issuerConfig(written: z.output<typeof issuer>, ca: string | null) {
  return {
    issuer: written.issuer,
    audience: written.audience,
    jwksUri: written.jwks_uri ?? null,
    algorithms: written.algorithms,
    clockToleranceMs: written.clock_tolerance,
    maxLifetimeMs: written.max_lifetime,
    claims: written.claims,
    ca,
    emailVerified: written.email_verified,
  }
}
