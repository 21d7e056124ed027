// From a request (method, target, body) to operation, decision and key: the same steps for requests, `explain`,
// policy tests and replays. Pure but for the memos of the snapshot.

import type { Mismatch } from '../catalogue/matcher.ts'
import type { Operation } from '../catalogue/operation.ts'
import { queryParameters, type Target } from '../catalogue/target.ts'
import type { Principal } from '../identity/principal.ts'
import type { KeyChoice, Requirement } from '../keys/select.ts'
import { Problem } from '../problems.ts'
import { decide, type Decision, type ExtraPermission, type Facts } from './decide.ts'
import type { PolicySet } from './policy-set.ts'

/** What the policy reads in a JSON body, whoever parsed it. */
export interface JudgedBody {
  /** Values at a dotted place; `*` stands for every member of an object or array. Absent gives an empty list. */
  valuesAt(place: string): readonly unknown[]
}

export interface Evaluation {
  readonly facts: Facts
  readonly decision: Decision
  /** The body has to be read and the request evaluated again with it; the decision so far is an allow. */
  readonly needsBody: boolean
  /** What a key must hold; null unless allowed. */
  readonly requirement: Requirement | null
  /** The key that would be used; null when denied or when no key suffices. */
  readonly key: KeyChoice | null
}

const none: readonly never[] = []

/**
 * Finds the operation. Throws `ambiguous-path` or `unknown-operation` with a sentence that says what to do, naming the
 * v3 operation for an old path.
 */
export function findOperation(policy: PolicySet, method: string, target: Target): Operation {
  const found = policy.catalogue.match(method, target.segments)
  if ('why' in found) throw unknownOperation(policy, method, target, found)
  return found
}

/** Whether a decision on this operation depends on the body. */
export function readsBody(operation: Operation): boolean {
  return operation.conditional.length > 0 || operation.organizations.body.length > 0
}

/** Evaluates a request; `body` is undefined while it has not been read, null when the request has none. */
export function evaluate(
  policy: PolicySet,
  principal: Principal,
  operation: Operation,
  target: Target,
  body?: JudgedBody | null,
): Evaluation {
  const facts = factsOf(principal, operation, target, body)
  const decision = decide(policy, facts)
  if (decision.effect === 'deny') return { facts, decision, needsBody: false, requirement: null, key: null }
  const needsBody = body === undefined && readsBody(operation)
  const requirement: Requirement = {
    operation,
    organization: operation.scope === 'any' ? (decision.team?.defaultOrganization ?? null) : facts.organization,
    extra: facts.extra.length === 0 ? none : facts.extra.map((extra) => extra.permission),
  }
  return { facts, decision, needsBody, requirement, key: needsBody ? null : policy.selectKey(requirement) }
}

function factsOf(
  principal: Principal,
  operation: Operation,
  target: Target,
  body: JudgedBody | null | undefined,
): Facts {
  const place = operation.organizations.segment
  const organization = place === -1 ? null : (target.segments[place] ?? null)
  const inQuery = organizationsInQuery(target.query)
  const inBody =
    body === null || body === undefined || !readsBody(operation) ? none : organizationsInBody(operation, body)
  const named = organization === null ? none : [organization]
  const narrowed = organization !== null || inQuery.some((named) => bounds(operation, named))
  return {
    principal,
    operation,
    organization,
    organizations:
      inQuery.length === 0 && inBody.length === 0 ? named : [...named, ...inQuery.map(({ id }) => id), ...inBody],
    narrowed,
    // Before the body is read nothing is known about it, not even what it lacks.
    extra: body === undefined || operation.conditional.length === 0 ? none : extraPermissions(operation, body),
  }
}

/** Also as some servers spell lists: `org_ids[]`, `org_ids[0]`. */
const organizationParameter = /^org_ids?(?:\[\d*\])?$/

interface NamedOrganization {
  readonly name: string
  readonly id: string
  /** Seen by every server, not only by those that split queries at semicolons, too. */
  readonly plain: boolean
}

/** Every `org_id` and `org_ids`, also where the operation documents none: an upstream might honour it all the same. */
function organizationsInQuery(query: string): readonly NamedOrganization[] {
  if (query === '' || !(query.includes('org_id') || query.includes('%'))) return none
  const plain = organizationParameters(query, '&', true)
  return query.includes(';') ? [...plain, ...organizationParameters(query, /[&;]/, false)] : plain
}

/**
 * Whether a parameter bounds what an enterprise operation touches: `org_ids` of a list does. `org_id` beside the id of a
 * session is only a hint: whether the upstream holds the session against it is documented nowhere.
 */
function bounds(operation: Operation, { name, plain }: NamedOrganization): boolean {
  return plain && name === 'org_ids' && operation.organizations.query.includes(name)
}

function organizationParameters(query: string, separator: string | RegExp, plain: boolean): NamedOrganization[] {
  return queryParameters(query, separator)
    .filter(([name]) => organizationParameter.test(name))
    .map(([name, id]) => ({ name, id, plain }))
}

/** The places the catalogue names and, since the body is read anyway, those where any API would expect an organization. */
function organizationsInBody(operation: Operation, body: JudgedBody): string[] {
  return [...operation.organizations.body, 'org_id', 'org_ids.*'].flatMap((place) =>
    body
      .valuesAt(place)
      .flatMap((value) => (value === null ? [] : [typeof value === 'string' ? value : '(not a string)'])),
  )
}

function extraPermissions(operation: Operation, body: JudgedBody | null): readonly ExtraPermission[] {
  return operation.conditional.filter(({ field, when }) => {
    const present = body !== null && body.valuesAt(field).some((value) => value !== null)
    return present === (when === 'present')
  })
}

function unknownOperation(
  policy: PolicySet,
  method: string,
  target: Target,
  found: Mismatch | { why: 'unserved'; operation: Operation },
): Problem {
  if (found.why === 'ambiguous') {
    return new Problem(
      'ambiguous-path',
      'The path is refused because an escaped slash or letter in it makes it another path for a server that decodes first. Only parameters that hold repository paths, branch, group and file names may hold %2F.',
    )
  }
  if (found.why === 'unserved') {
    const { id, stability } = found.operation
    return new Problem(
      'unknown-operation',
      `${id} is of stability class ${stability}, which this gateway does not serve. Ask the operator to add it to catalogue.stability.`,
      { reason: 'operation-not-served' },
    )
  }
  const replacement = policy.catalogue.replacementOf(method, target.segments)
  if (replacement !== null) {
    return new Problem(
      'unknown-operation',
      `This is an old address of the API. Use ${replacement.method} ${replacement.template} (${replacement.id}) instead.`,
      { reason: 'legacy-path' },
    )
  }
  const twin = twinOf(policy, method, target)
  if (twin !== null) {
    return new Problem(
      'unknown-operation',
      `The operation is served under another prefix. Use ${twin.method} ${twin.template} (${twin.id}) instead.`,
      { reason: 'other-prefix' },
    )
  }
  const old = target.segments[0] === 'v1' || target.segments[0] === 'v2'
  const detail =
    found.why === 'method'
      ? `This path does not know ${plainMethod(method)}; it knows ${found.methods.join(', ')}.`
      : old
        ? "The v1 and v2 addresses of the API are not served. Use the v3 operation; see the API's migration guide."
        : 'No operation of the API has this path. Check it against the API reference; paths are case-sensitive and have no final slash.'
  return new Problem('unknown-operation', detail)
}

/** Most v3 operations were once under /v3beta1, and some still are only there: clients mix them up. */
function twinOf(policy: PolicySet, method: string, { segments }: Target): Operation | null {
  const [prefix, ...rest] = segments
  const other = prefix === 'v3beta1' ? 'v3' : prefix === 'v3' ? 'v3beta1' : null
  if (other === null) return null
  const found = policy.catalogue.match(method, [other, ...rest])
  return 'why' in found ? null : found
}

function plainMethod(method: string): string {
  return /^[A-Z]{1,20}$/.test(method) ? method : 'this method'
}
