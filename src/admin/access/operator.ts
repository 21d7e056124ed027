// Who uses the operators' listener, and which role each call needs.

import type { IncomingHttpHeaders } from 'node:http'
import type { Principal } from '../../identity/principal.ts'
import { maskSecrets } from '../../records/mask.ts'
import { operatorRoles, type OperatorRole } from '../../config/operators/admin-schema.ts'

export interface Operator {
  /** Null where nobody signs in: the listener is reached from this machine alone. */
  readonly subject: string | null
  readonly email: string | null
  readonly issuer: string | null
  readonly roles: readonly OperatorRole[]
  /** `local`: without a login. `browser`: by a session. `token`: by a bearer token. */
  readonly signedIn: 'local' | 'browser' | 'token'
  /** What a block may name of the caller; null where nobody signs in. Blocks of apps and issuers are about callers, and would shut out everybody. */
  readonly caller: BlockableOperator | null
}

export type BlockableOperator = Pick<Principal, 'subject' | 'actor' | 'priorActors' | 'claims'>

/** Whoever reaches a listener on loopback. */
export const localOperator: Operator = {
  subject: null,
  email: null,
  issuer: null,
  roles: operatorRoles,
  signedIn: 'local',
  caller: null,
}

/** What changes anything, and who may do it. POST /api/explain has a body and changes nothing. */
const changes: Readonly<Record<string, OperatorRole>> = {
  'POST /api/explain': 'viewer',
  'POST /api/reload': 'operator',
  'POST /api/purge': 'operator',
  'POST /api/audit/checkpoint': 'operator',
  'POST /api/blocks': 'operator',
  'DELETE /api/blocks': 'operator',
  'POST /api/rotations': 'key_officer',
}

/** The role that a call needs; null for a change that is not listed, which nobody may make. */
export function neededRole(method: string, path: string): OperatorRole | null {
  if (isRead(method)) return 'viewer'
  const route = `${method} ${path}`
  return Object.hasOwn(changes, route) ? (changes[route] ?? null) : null
}

export function isRead(method: string): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** Whether a call changes something, so that it is audited. */
export function isChange(method: string, path: string): boolean {
  return !isRead(method) && neededRole(method, path) !== 'viewer'
}

/** Operators and key officers may see as well. */
export function mayDo({ roles }: Pick<Operator, 'roles'>, needed: OperatorRole): boolean {
  return needed === 'viewer' ? roles.length > 0 : roles.includes(needed)
}

/** The name for records: of who is signed in, else the listener's. */
export function actorOf(operator: Operator | null): string {
  return operator?.subject ?? "operators' listener"
}

/** Fields of a request with `by`: whoever is signed in asks by its own name, and a local caller by the name it gives. */
export function withActor(
  operator: Operator | null,
  fields: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  return operator === null || operator.subject === null ? fields : { ...fields, by: operator.subject }
}

/** A change that was asked for, and what became of it. */
export interface AskedChange {
  readonly method: string
  readonly path: string
  readonly status: number
  /** Null where none was given. */
  readonly reason: string | null
}

/**
 * The audit entry of a change that was asked for: its name, who asked, and how that is known. Null where there is nothing to add to
 * the entry of the change itself: local callers have no name of their own, and it holds the listener's, or the one they give.
 */
export function auditedChange(
  operator: Operator | null,
  { reason, ...change }: AskedChange,
): readonly ['operator-request', string, Readonly<Record<string, unknown>>] | null {
  if (operator === null || (operator.subject === null && reason === null)) return null
  const { email, roles, signedIn } = operator
  const who = operator.subject === null ? {} : { email, roles }
  const why = reason === null ? {} : { reason }
  return ['operator-request', actorOf(operator), { ...change, ...why, ...who, signed_in: signedIn }]
}

const longestReason = 200

/** Why a change is asked for: percent-encoded text, since fields hold no other characters than those of ASCII. */
export function reasonIn({ 'gateway-reason': given }: IncomingHttpHeaders): string | null {
  if (typeof given !== 'string' || given.trim() === '') return null
  return maskSecrets(decoded(given).trim().slice(0, longestReason))
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
