// The `admin` of config/gateway.yaml: how browsers reach the operators' listener, what stays open, and who may do what.

import path from 'node:path'
import { z } from 'zod'
import { duration, oneOrSeveral, text, textAs } from '../fields.ts'
import { issuerConfig, issuerFields, type IssuerConfig } from '../issuer-schema.ts'
import { secretReference } from '../secret-schema.ts'
import { parseOrigin, urlForm } from '../values/addresses.ts'
import { callerCondition } from '../values/caller-condition.ts'
import { withPathsFrom } from '../values/secret-reference.ts'

/** What operators may do: see everything; reload, purge and block; rotate keys. */
export const operatorRoles = ['viewer', 'operator', 'key_officer'] as const
export type OperatorRole = (typeof operatorRoles)[number]

/** What may be asked of the operators' listener without a login. */
const openPages = ['livez', 'readyz', 'metrics'] as const

const role = (may: string) => {
  const entry = callerCondition
  return z
    .union([
      entry.transform((one): z.output<typeof entry>[] => [one]),
      z.array(entry).min(1, 'name at least one entry, or remove the key'),
    ])
    .optional()
    .describe(`${may} One entry, or a list: any entry that matches gives the role, all of an entry have to match.`)
}

const { audience: _audience, ...fieldsOfIssuer } = issuerFields

const auth = z.strictObject({
  ...fieldsOfIssuer,
  client_id: text().describe('The client that is registered at the issuer for the console.'),
  client_secret: secretReference('a client secret is never written here: write { env: NAME } or { file: PATH }')
    .optional()
    .describe('Where the secret of the client is kept. Without it the client is a public one, which PKCE protects.'),
  audience: oneOrSeveral('audience')
    .optional()
    .describe('Audience that bearer tokens of operators must be meant for. Default: `client_id`.'),
  scopes: z
    .array(text())
    .optional()
    .describe(
      'Scopes to ask for besides `openid`. Default: those of profile, email and groups that the issuer offers. With `offline_access` sessions are checked again while they last.',
    ),
  roles: z
    .strictObject({
      viewer: role('May see everything.'),
      operator: role('May see everything, reload, purge and block.'),
      key_officer: role('May see everything and rotate keys.'),
    })
    .refine((written) => Object.values(written).some((each) => each !== undefined), {
      error: `name at least one of ${operatorRoles.join(', ')}: without a role nobody could sign in`,
    })
    .meta({ minProperties: 1 })
    .describe('Who has which role, by claims, as entries of `members` in policies.'),
  session: z
    .strictObject({
      idle: duration('1s', '1d').prefault('30m').describe('A session ends after so long without use.'),
      longest: duration('1s', '7d').prefault('8h').describe('A session ends after so long, used or not.'),
    })
    .prefault({})
    .describe('How long browsers stay signed in.'),
})

export const adminSchema = z.strictObject({
  url: textAs(parseOrigin('https://gateway-console.corp.example'), { pattern: urlForm })
    .optional()
    .describe(
      "Address at which browsers reach the operators' listener, like https://gateway-console.corp.example. Needed behind a name or a proxy.",
    ),
  open: z
    .array(z.enum(openPages))
    .default([...openPages])
    .describe('What is answered without a login: /livez, /readyz and /metrics.'),
  auth: auth.optional().describe("Sign-in for the operators' listener. Needed when `listen.admin` is not loopback."),
})

export type AdminDocument = z.output<typeof adminSchema>

export type AdminConfig = ReturnType<typeof adminConfig>
export type AdminAuthConfig = ReturnType<typeof authConfig>

/** Resolves `admin`. What `issuers` say of the same issuer counts where `admin.auth` says nothing. */
export function adminConfig(
  { url, open, auth: written }: AdminDocument,
  folder: string,
  ca: string | null,
  issuers: readonly IssuerConfig[],
) {
  return {
    /** Origin at which browsers reach the listener; null: any address of it. */
    url: url ?? null,
    /** Paths that are answered without a login. */
    open: open.map((page) => `/${page}`),
    auth: written === undefined ? null : authConfig(written, folder, ca, issuers),
  }
}

function authConfig(
  written: NonNullable<AdminDocument['auth']>,
  folder: string,
  ca: string | null,
  issuers: readonly IssuerConfig[],
) {
  const own = issuerConfig({ ...written, audience: written.audience ?? [written.client_id] }, ca)
  const same = issuers.find(({ issuer }) => issuer === own.issuer)
  const issuer = { ...own, ca: own.ca ?? same?.ca ?? null, jwksUri: own.jwksUri ?? same?.jwksUri ?? null }
  return {
    /** The issuer and how bearer tokens are checked; the audience is the client's unless it is named. */
    issuer,
    /** The same for ID tokens of browsers that sign in, which are for the client alone. */
    idTokenIssuer: { ...issuer, audience: [written.client_id] },
    clientId: written.client_id,
    clientSecret:
      written.client_secret === undefined ? null : withPathsFrom(path.resolve(folder), written.client_secret),
    /** Null: those of the usual ones that the issuer offers. */
    scopes: written.scopes ?? null,
    roles: written.roles,
    sessionIdleMs: written.session.idle,
    sessionLongestMs: written.session.longest,
  }
}
