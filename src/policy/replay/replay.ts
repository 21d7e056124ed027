// A recorded decision as a request that can be decided again: the caller as it was, and a request with the facts that the record
// holds. Names what the record does not hold. Pure.

import { samplePath } from '../cells/requests.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { parseTarget, type Target } from '../../catalogue/target.ts'
import { emptyPrincipal, type Principal } from '../../identity/principal.ts'
import { misspelledName, undocumentedName } from '../decision/fence.ts'
import type { CheckedBody } from '../decision/checked-body.ts'
import { evaluate, type Evaluation } from '../decision/evaluate.ts'
import { readsBody } from '../decision/facts.ts'
import type { DevinUser } from '../guardrails/attributes.ts'
import type { PolicySet } from '../model/policy-set.ts'
import type { RecordedDecision } from './recorded-decision.ts'
import { RebuiltFields } from './rebuilt-fields.ts'

export interface Replay {
  readonly principal: Principal
  readonly operation: Operation
  readonly target: Target
  /** As it would stand in the request line. */
  readonly address: string
  /** Undefined: it was not read. Null: there was none. */
  readonly body: CheckedBody | null | undefined
  /** As it was looked up; undefined when it was not, or the record does not say it. */
  readonly devinUser: DevinUser | undefined
  readonly fields: RebuiltFields
  /** Whether the record says which query parameters and names the request held. Those of earlier versions do not. */
  readonly isWhole: boolean
}

/** The request of a record; a sentence where no policy decided one. */
export function replayOf(policy: PolicySet, record: RecordedDecision): Replay | string {
  if (typeof record.subject !== 'string')
    return `the caller was not known: ${record.reason}${record.detail === undefined || record.detail === null ? '' : `: ${record.detail}`}`
  if (typeof record.operation !== 'string')
    return `no operation was found: ${record.reason}; the path is in the access record with the same decision_id`
  const operation = policy.catalogue.operation(record.operation)
  if (operation === null) return `the catalogue has no operation ${record.operation} any more`
  const fields = new RebuiltFields(operation, record)
  const address = addressOf(operation, record, fields)
  const user = record.request?.devin_user
  return {
    principal: principalOf(record),
    operation,
    address,
    target: parseTarget(address),
    body: operation.method === 'GET' || !wasBodyRead(operation, record) ? undefined : fields.body(),
    devinUser: user === undefined ? undefined : user === null ? { unknown: 'it was not found' } : { id: user },
    fields,
    isWhole: (record.request ?? null) !== null,
  }
}

/** A request that was decided again. */
export interface Redecision {
  readonly evaluation: Evaluation
  /** What the new rules read and the record does not hold; a phrase each. The decision counts only where there is none. */
  readonly missing: readonly string[]
}

/** Decides a recorded request under a policy set. */
export function redecide(policy: PolicySet, record: RecordedDecision, replay: Replay): Redecision {
  const { operation, target, body } = replay
  const known = record.claims ?? {}
  const unknownPaths = policy.claimPaths.filter((path) => !Object.hasOwn(known, path))
  const reads = new Set<string>()
  const principal = unknownPaths.length === 0 ? replay.principal : watched(replay.principal, unknownPaths, reads)
  const isMember = policy.teamsOf(principal).length > 0
  const claimsOfMembership = [...reads]
  let evaluation = evaluate(policy, principal, operation, target, body)
  const missing: string[] = []
  if (evaluation.needsDevinUser !== null) {
    if (replay.devinUser === undefined && evaluation.needsDevinUser === 'enforced')
      missing.push("the caller's user at Devin")
    evaluation = evaluate(policy, principal, operation, target, body, replay.devinUser ?? noUser)
  }
  // Of a caller in no team, conditions are read again only to find the nearest miss.
  for (const path of isMember ? reads : claimsOfMembership) missing.push(`the claim ${path}`)
  if (principal.email !== null && record.email_verified === undefined && readsEmail(policy))
    missing.push('whether the e-mail address is verified')
  missing.push(...replay.fields.unknownTo(policy, evaluation))
  const wasPending = record.effect === 'allow' && body === undefined && !wasBodyRead(operation, record)
  if (evaluation.needsBody && !wasPending) missing.push('the body, which was not read')
  if (evaluation.needsBody && wasPending && typeof record.key === 'string') missing.push('the body, which no rule read')
  return { evaluation, missing }
}

const noUser: DevinUser = { unknown: 'the record does not hold it' }

/** What the record lacks for a decision under this set, whatever would come of it. */
export function missingFacts(policy: PolicySet, record: RecordedDecision, replay: Replay): readonly string[] {
  const spelling =
    !replay.isWhole && (record.reason === misspelledName || record.reason === undocumentedName)
      ? ['how the name was spelled that was refused']
      : []
  return [...redecide(policy, record, replay).missing, ...spelling]
}

function readsEmail({ teams }: PolicySet): boolean {
  return teams.some(
    ({ members, grants }) =>
      members.some(({ email }) => email !== null) || grants.some(({ when }) => when !== null && when.email !== null),
  )
}

/** The caller, whose claims note when one is read that is not known. */
function watched(principal: Principal, paths: readonly string[], reads: Set<string>): Principal {
  const claims: Record<string, unknown> = { ...principal.claims }
  for (const path of paths)
    Object.defineProperty(claims, path, {
      enumerable: true,
      get: () => {
        reads.add(path)
        return undefined
      },
    })
  return { ...principal, claims }
}

function principalOf(record: RecordedDecision): Principal {
  return {
    ...emptyPrincipal,
    subject: record.subject ?? '',
    issuer: record.issuer ?? '',
    email: record.email ?? null,
    emailVerified: record.email_verified ?? true,
    groups: record.groups ?? [],
    groupsOmitted: record.reason === 'groups-omitted',
    app: record.app ?? null,
    actor: record.actor ?? null,
    claims: record.claims ?? {},
  }
}

/** Stages in which a request ends before its body is read. */
const beforeBody: ReadonlySet<string> = new Set(['authorize', 'shed-load', 'admit-body'])

function wasBodyRead(
  operation: Operation,
  { request, effect, reason, ended, guardrails, ...record }: RecordedDecision,
): boolean {
  if (request?.body_read !== undefined) return request.body_read
  if (beforeBody.has(ended?.stage ?? '')) return false
  if (effect === 'allow') return readsBody(operation) || (guardrails ?? null) !== null
  return reason === 'guardrail' || reason === misspelledName || (record.extra_permissions ?? []).length > 0
}

/** Path and query with the organizations, parameters and names that the record holds. */
function addressOf(operation: Operation, record: RecordedDecision, fields: RebuiltFields): string {
  const query = fields.query()
  return `${samplePath(operation, record.organizations?.[0] ?? 'any')}${query === '' ? '' : `?${query}`}`
}
