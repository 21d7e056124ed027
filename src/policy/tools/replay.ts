// A recorded decision as a request that can be decided again: the caller as it was, and a request with the facts that the record
// holds. Names what the record does not hold. Pure.

import type { Operation } from '../../catalogue/operation.ts'
import type { Principal } from '../../identity/principal.ts'
import { misspelledName, undocumentedName } from '../decision/fence.ts'
import { checkedBodyOf } from '../decision/checked-body.ts'
import type { PolicySet } from '../model/policy-set.ts'
import type { ExplainedRequest } from './explain.ts'

/** One line of the decision log, as far as it is read; logs of earlier versions lack members. */
export interface RecordedDecision {
  readonly time: string
  readonly decision_id: string
  readonly effect: string
  readonly reason: string
  readonly detail?: string | null
  readonly subject?: string | null
  readonly issuer?: string | null
  readonly email?: string | null
  readonly email_verified?: boolean
  readonly app?: string | null
  readonly actor?: string | null
  readonly groups?: readonly string[]
  readonly claims?: Readonly<Record<string, unknown>>
  readonly team?: string | null
  readonly grant?: string | null
  readonly key?: string | null
  readonly operation?: string | null
  readonly organizations?: readonly string[]
  readonly extra_permissions?: readonly string[]
  readonly guardrails?: {
    readonly read?: Readonly<Record<string, unknown>>
    readonly changed?: readonly unknown[]
  } | null
  readonly policy_revision?: string | null
}

export interface Replay {
  readonly principal: Principal
  readonly request: ExplainedRequest
  /** What the record does not hold, and the new decision may depend on; a phrase each. */
  readonly missing: readonly string[]
}

/** The request of a record; a sentence where there is none to decide again. */
export function replayOf(policy: PolicySet, record: RecordedDecision): Replay | string {
  if (typeof record.subject !== 'string')
    return `the caller was not known: ${record.reason}${record.detail === undefined || record.detail === null ? '' : `: ${record.detail}`}`
  if (typeof record.operation !== 'string')
    return `no operation was found: ${record.reason}; the path is in the access record with the same decision_id`
  const operation = policy.catalogue.operation(record.operation)
  if (operation === null) return `the catalogue has no operation ${record.operation} any more`
  const rebuilt = rebuiltRequest(operation, record)
  const missing = [...rebuilt.missing, ...missingFacts(policy, record)]
  return { principal: principalOf(record), request: rebuilt.request, missing }
}

function principalOf(record: RecordedDecision): Principal {
  return {
    subject: record.subject ?? '',
    issuer: record.issuer ?? '',
    email: record.email ?? null,
    emailVerified: record.email_verified ?? true,
    groups: record.groups ?? [],
    groupsOmitted: record.reason === 'groups-omitted',
    app: record.app ?? null,
    actor: record.actor ?? null,
    priorActors: [],
    claims: record.claims ?? {},
    expiresAtMs: Number.MAX_SAFE_INTEGER,
  }
}

/** What conditions read now and the record lacks, because another set was in force. */
function missingFacts(policy: PolicySet, record: RecordedDecision): readonly string[] {
  const known = record.claims ?? {}
  const claims = policy.claimPaths.filter((path) => !Object.hasOwn(known, path)).map((path) => `the claim ${path}`)
  const verified = record.email !== null && record.email !== undefined && record.email_verified === undefined
  const spelling = record.reason === misspelledName || record.reason === undocumentedName
  return [
    ...claims,
    ...(verified ? ['whether the e-mail address is verified'] : []),
    ...(spelling ? ['how the name was spelled that was refused'] : []),
  ]
}

/** Path, query and body with the organizations, permissions and values that the record names. */
function rebuiltRequest(
  operation: Operation,
  record: RecordedDecision,
): { readonly request: ExplainedRequest; readonly missing: readonly string[] } {
  const { segment, query: places, body: bodyPlaces } = operation.organizations
  const [first, ...rest] = record.organizations ?? []
  const inPath = segment === -1 ? undefined : first
  const others = segment === -1 ? (record.organizations ?? []) : rest
  const missing: string[] = []
  const content: Record<string, unknown> = {}
  const query: string[] = []
  for (const [place, value] of Object.entries(record.guardrails?.read ?? {})) {
    const dot = place.indexOf('.')
    const [site, field] = [place.slice(0, dot), place.slice(dot + 1)]
    if (isWithheld(value) || field.includes('*')) missing.push(`the value of ${field}`)
    else if (site === 'query')
      for (const each of [value].flat()) query.push(`${field}=${encodeURIComponent(String(each))}`)
    else if (!wasPutIn(record, field)) setAt(content, field.split('.'), value)
  }
  const wanted = new Set(record.extra_permissions)
  for (const { field, when, permission } of operation.conditional) {
    const present = wanted.has(permission) === (when === 'present')
    if (present && !Object.hasOwn(content, field) && !hasAnother(operation, content, permission, field))
      setAt(content, field.split('.'), 'as-recorded')
  }
  const bodyPlace = bodyPlaces[0]
  for (const id of others) {
    if (bodyPlace !== undefined && operation.method !== 'GET') setAt(content, bodyPlace.split('.'), id)
    else query.push(`${places.includes('org_ids') ? 'org_ids' : 'org_id'}=${encodeURIComponent(id)}`)
  }
  const path = operation.segments
    .map((each, index) =>
      !each.startsWith('{')
        ? each
        : index === segment
          ? (inPath ?? 'any')
          : `any-${each.slice(1, -1).replaceAll('_', '-')}`,
    )
    .join('/')
  return {
    missing,
    request: {
      method: operation.method,
      target: `/${path}${query.length === 0 ? '' : `?${query.join('&')}`}`,
      body: operation.method === 'GET' || Object.keys(content).length === 0 ? null : checkedBodyOf(content),
    },
  }
}

/** Several fields ask for the same permission: one of them is enough. */
function hasAnother(
  { conditional }: Operation,
  content: Readonly<Record<string, unknown>>,
  permission: string,
  field: string,
): boolean {
  return conditional.some(
    (each) => each.permission === permission && each.field !== field && Object.hasOwn(content, each.field),
  )
}

/** Records hold the type and length of texts that may be long or secret. */
function isWithheld(value: unknown): boolean {
  return typeof value === 'string' && /^\((?:text of \d+|list of \d+|object)\)$/.test(value)
}

/** A default that a guardrail put in: the request itself did not hold it. */
function wasPutIn(record: RecordedDecision, field: string): boolean {
  return (record.guardrails?.changed ?? []).some(
    (change) =>
      typeof change === 'object' &&
      change !== null &&
      Reflect.get(change, 'place') === field &&
      Reflect.get(change, 'bound') === 'default',
  )
}

/** Puts a value at a dotted place, in which `*` stands for one member of a list. */
function setAt(holder: Record<string, unknown>, [step = '', ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) holder[step] = value
  else if (rest[0] === '*') {
    const list = Array.isArray(holder[step]) ? (holder[step] as unknown[]) : []
    holder[step] = list
    if (rest.length === 1) list.push(value)
    else {
      const inner: Record<string, unknown> = {}
      list.push(inner)
      setAt(inner, rest.slice(1), value)
    }
  } else {
    const inner = typeof holder[step] === 'object' && holder[step] !== null ? holder[step] : {}
    holder[step] = inner
    setAt(inner as Record<string, unknown>, rest, value)
  }
}
