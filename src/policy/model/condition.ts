// A typed condition on who is calling: `members` entries and `when` of grants. Pure.

import { claimAt } from '../../identity/claim-path.ts'
import { verifiedEmail } from '../../identity/claims.ts'
import type { Principal } from '../../identity/principal.ts'

/** Attributes are alternatives inside (any value of the list) and together (all attributes must match). */
export interface Condition {
  readonly groups: ReadonlySet<string> | null
  readonly app: ReadonlySet<string> | null
  readonly subject: ReadonlySet<string> | null
  readonly email: ReadonlySet<string> | null
  readonly issuer: ReadonlySet<string> | null
  readonly actor: ReadonlySet<string> | null
  /** Whether somebody must, or must not, act for the subject; null: either. */
  readonly delegated: boolean | null
  /** By dotted path into the verified claims; a list claim matches by any of its members. */
  readonly claims: ReadonlyMap<string, ReadonlySet<string>>
}

/** A condition as written, each attribute a list. */
export interface ConditionDocument {
  readonly groups?: readonly string[] | undefined
  readonly app?: readonly string[] | undefined
  readonly subject?: readonly string[] | undefined
  readonly email?: readonly string[] | undefined
  readonly issuer?: readonly string[] | undefined
  readonly actor?: readonly string[] | undefined
  readonly delegated?: boolean | undefined
  readonly claims?: Readonly<Record<string, readonly string[]>> | undefined
}

export function compileCondition(document: ConditionDocument): Condition {
  const set = (values: readonly string[] | undefined) => (values === undefined ? null : new Set(values))
  return {
    groups: set(document.groups),
    app: set(document.app),
    subject: set(document.subject),
    email: set(document.email),
    issuer: set(document.issuer),
    actor: set(document.actor),
    delegated: document.delegated ?? null,
    claims: new Map(Object.entries(document.claims ?? {}).map(([path, values]) => [path, new Set(values)])),
  }
}

/** An attribute the principal lacks never matches, nor does an address that its issuer has not verified. */
export function conditionHolds(condition: Condition, principal: Principal): boolean {
  const { groups } = condition
  return (
    (groups === null || principal.groups.some((group) => groups.has(group))) &&
    holds(condition.app, principal.app) &&
    holds(condition.subject, principal.subject) &&
    holds(condition.email, verifiedEmail(principal)) &&
    holds(condition.issuer, principal.issuer) &&
    holds(condition.actor, principal.actor) &&
    (condition.delegated === null || condition.delegated === (principal.actor !== null)) &&
    [...condition.claims].every(([path, values]) => claimHolds(values, path, claimAt(principal.claims, path)))
  )
}

function holds(values: ReadonlySet<string> | null, value: string | null): boolean {
  return values === null || (value !== null && values.has(value))
}

/** Claims that hold words with spaces between them (RFC 8693 section 4.2). */
const wordClaims: ReadonlySet<string> = new Set(['scope', 'scp'])

function claimHolds(values: ReadonlySet<string>, path: string, claim: unknown): boolean {
  const words = typeof claim === 'string' && wordClaims.has(path) ? claim.split(' ') : []
  const found: readonly unknown[] = Array.isArray(claim) ? claim : [claim, ...words]
  return found.some((value) => isExact(value) && values.has(String(value)))
}

/** Integers beyond 2^53 are read as one of their neighbours, so they are nobody's. */
function isExact(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isInteger(value) || Number.isSafeInteger(value)
  return typeof value === 'string' || typeof value === 'boolean'
}

/** The condition as text, for explanations: `groups: payments-leads`. */
export function describeCondition(condition: Condition): string {
  const parts: string[] = []
  for (const name of ['groups', 'app', 'subject', 'email', 'issuer', 'actor'] as const) {
    const values = condition[name]
    if (values !== null) parts.push(`${name}: ${[...values].join(' or ')}`)
  }
  if (condition.delegated !== null)
    parts.push(condition.delegated ? 'somebody who acts for the subject' : 'nobody who acts for the subject')
  for (const [path, values] of condition.claims) parts.push(`claim ${path}: ${[...values].join(' or ')}`)
  return parts.join(' and ')
}
