// What a verified token says: whether it is valid now and for us, and who the caller is. Pure; the time is passed in.

import { counted } from '../config/plural.ts'
import { Problem } from '../problems.ts'
import type { ClaimMapping, IssuerConfig } from '../config/issuer-schema.ts'
import { actorsIn } from './actors.ts'
import { isObject } from '../json/untyped.ts'
import { claimAt } from './claim-path.ts'
import type { Claims, Principal } from './principal.ts'
import { expired, incomplete, rejected } from './rejection.ts'

/**
 * The principal behind claims whose signature was verified. Throws `token-rejected` or `token-expired` where the token
 * does not hold here and now (RFC 7519 section 4.1), `identity-incomplete` where the mapping finds no usable identity.
 */
export function principalOf(claims: Claims, settings: IssuerConfig, nowMs: number): Principal {
  const expiresAtMs = checkClaims(claims, settings, nowMs)
  const groups = groupsOf(claims, settings.claims.groups)
  const [actor = null, ...priorActors] = actorsIn(claims)
  return Object.freeze({
    subject: subjectOf(claims, settings.claims),
    issuer: settings.issuer,
    email: textOrNull(claims, settings.claims.email, 'email'),
    emailVerified: isEmailVerified(claims, settings),
    groups,
    groupsOmitted: groups.length === 0 && areGroupsOmitted(claims, settings.claims.groups),
    app: textOrNull(claims, settings.claims.app, 'app'),
    actor,
    priorActors: Object.freeze(priorActors),
    claims,
    expiresAtMs,
  })
}

/** Checks everything but the signature and returns `exp` in milliseconds. */
function checkClaims(claims: Claims, settings: IssuerConfig, nowMs: number): number {
  const { clockToleranceMs, maxLifetimeMs } = settings
  if (claims['iss'] !== settings.issuer) throw rejected('issuer-unknown')
  checkAudience(claims['aud'], settings.audience)
  // RFC 8417: security events (such as OpenID Connect logout tokens) come from the same issuer and audience.
  if (claims['events'] !== undefined) throw rejected('token-type')
  if (claims['cnf'] !== undefined) throw rejected('confirmation-unsupported')
  requireSubject(claims['sub'])
  const issuedAtMs = dateOf(claims, 'iat')
  const expiresAtMs = dateOf(claims, 'exp')
  if (expiresAtMs - issuedAtMs > maxLifetimeMs) throw lifetimeTooLong(maxLifetimeMs)
  const notBeforeMs = claims['nbf'] === undefined ? issuedAtMs : Math.max(issuedAtMs, dateOf(claims, 'nbf'))
  if (notBeforeMs > nowMs + clockToleranceMs) throw rejected('not-yet-valid')
  // Last, so that `token-expired` promises that a fresh token of the same kind will do.
  if (expiresAtMs <= nowMs - clockToleranceMs) throw expired()
  return expiresAtMs
}

function checkAudience(audience: unknown, accepted: readonly string[]): void {
  if (audience === undefined) throw missing('aud')
  const meantFor: readonly unknown[] = Array.isArray(audience) ? audience : [audience]
  if (meantFor.some((one) => typeof one === 'string' && accepted.includes(one))) return
  const wanted = accepted.map((one) => `"${one}"`).join(' or ')
  throw rejected('audience-mismatch', `The token is meant for somebody else. Request one for the audience ${wanted}.`)
}

function requireSubject(subject: unknown): void {
  if (subject === undefined) throw missing('sub')
  if (typeof subject !== 'string' || subject === '') {
    throw rejected('malformed', 'The claim `sub` of the token must be a non-empty string.')
  }
}

/** RFC 7519 section 2, NumericDate: seconds, fractions allowed. */
function dateOf(claims: Claims, name: string): number {
  const seconds = claims[name]
  if (seconds === undefined) throw missing(name)
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) {
    throw rejected('malformed', `The claim \`${name}\` of the token must be a number of seconds.`)
  }
  return Math.floor(seconds * 1000)
}

function missing(name: string): Problem {
  return rejected('claim-missing', `The token lacks the claim \`${name}\`, which this gateway needs.`)
}

function lifetimeTooLong(maxLifetimeMs: number): Problem {
  const seconds = Math.floor(maxLifetimeMs / 1000)
  const detail = `The token lives longer than is accepted here, ${counted(seconds, 'second')} (\`exp\` - \`iat\`). Request one with a shorter lifetime.`
  return rejected('lifetime-too-long', detail)
}

function subjectOf(claims: Claims, mapping: ClaimMapping): string {
  const subject = textOrNull(claims, mapping.subject, 'subject')
  if (subject !== null) return subject
  throw incomplete(
    `The token lacks the claim \`${mapping.subject}\`, from which this gateway reads the caller's subject. Ask the identity team to add it to the token.`,
    'subject-missing',
  )
}

/**
 * Whether the issuer vouches for the address (OpenID Connect Core section 5.1). Beside a nested address its own
 * `email_verified` counts as well. What is present must be true, which some issuers write as a text.
 */
function isEmailVerified(claims: Claims, { claims: mapping, emailVerified }: IssuerConfig): boolean {
  const beside = mapping.email.replace(/[^./]*$/, 'email_verified')
  const said = [...new Set(['email_verified', beside])]
    .map((path) => claimAt(claims, path))
    .filter((value) => value !== undefined)
  return (said.length > 0 || emailVerified === 'optional') && said.every((value) => value === true || value === 'true')
}

/** The e-mail address, or null where the issuer does not vouch for it: some issuers let people write down any. */
export function verifiedEmail({ email, emailVerified }: Pick<Principal, 'email' | 'emailVerified'>): string | null {
  return emailVerified ? email : null
}

/** The name by which a verified address is known at Devin. Of letters only A to Z have two cases here: a Kelvin sign is no `k`. */
export function verifiedAddress(principal: Pick<Principal, 'email' | 'emailVerified'>): string | null {
  const email = verifiedEmail(principal)
  return email === null ? null : addressName(email)
}

/** One text for all spellings of an e-mail address that are the same one. */
export function addressName(email: string): string {
  return email.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())
}

/** An absent claim, JSON null and the empty string all count as absent. */
function textOrNull(claims: Claims, path: string, meaning: string): string | null {
  const value = claimAt(claims, path) ?? ''
  if (typeof value !== 'string') throw wrongShape(path, meaning, 'one string')
  return value === '' ? null : value
}

function groupsOf(claims: Claims, path: string): readonly string[] {
  const value = claimAt(claims, path) ?? []
  const groups: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (!groups.every((group) => typeof group === 'string')) throw wrongShape(path, 'groups', 'a list of strings')
  return Object.freeze(groups.filter((group) => group !== ''))
}

/**
 * Whether the groups are too many for the token: they stand elsewhere (a distributed claim, OpenID Connect Core section
 * 5.6.2), or the token only says that there are some (`hasgroups` of Microsoft Entra ID).
 */
function areGroupsOmitted(claims: Claims, path: string): boolean {
  const elsewhere = claims['_claim_names']
  return (
    (path === 'groups' && claims['hasgroups'] === true) ||
    (isObject(elsewhere) && claimAt(elsewhere, path) !== undefined)
  )
}

function wrongShape(path: string, meaning: string, wanted: string): Problem {
  return incomplete(
    `The claim \`${path}\` of the token, from which this gateway reads the caller's ${meaning}, must be ${wanted}. Ask the identity team to repair it.`,
    'claim-shape',
  )
}
