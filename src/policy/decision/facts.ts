// Collects the facts of a request that a decision may depend on: its organizations, and the permissions its body
// needs besides the operation's own. Pure.

import type { ExtraPermission, Facts } from '../model/decision.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { Target } from '../../catalogue/target.ts'
import type { Principal } from '../../identity/principal.ts'
import type { CheckedBody } from './checked-body.ts'
import { doubtfulInBody, namesInQuery, type NamedOrganization } from './request-names.ts'

const none: readonly never[] = []

/** Whether a decision on this operation depends on the body. */
export function readsBody(operation: Operation): boolean {
  return operation.conditional.length > 0 || operation.organizations.body.length > 0
}

/** The facts of one request; `body` is null or undefined when there is none or it has not been read. */
export function factsOf(
  principal: Principal,
  operation: Operation,
  target: Target,
  body: CheckedBody | null | undefined,
): Facts {
  const place = operation.organizations.segment
  const organization = place === -1 ? null : (target.segments[place] ?? null)
  const { organizations: inQuery, doubtful, undocumented } = namesInQuery(operation, target.query)
  const judged = body === null || body === undefined || !readsBody(operation) ? null : body
  const inBody = judged === null ? none : organizationsInBody(operation, judged)
  const named = organization === null ? none : [organization]
  const narrowed = organization !== null || inQuery.some((named) => bounds(operation, named))
  return {
    principal,
    operation,
    organization,
    organizations:
      inQuery.length === 0 && inBody.length === 0 ? named : [...named, ...inQuery.map(({ id }) => id), ...inBody],
    narrowed,
    doubtful: doubtful ?? (judged === null ? null : doubtfulInBody(operation, judged.value)),
    undocumented,
    // Before the body is read nothing is known about it, not even what it lacks.
    extra: body === undefined || operation.conditional.length === 0 ? none : extraPermissions(operation, body),
  }
}

/**
 * Whether a parameter bounds what an enterprise operation touches: `org_ids` of a list does. `org_id` beside the id
 * of a session is only a hint: whether the upstream checks the session against it is not documented.
 */
function bounds(operation: Operation, { name }: NamedOrganization): boolean {
  return name === 'org_ids' && operation.organizations.query.includes(name)
}

/** The places the catalogue names and, since the body is read anyway, those where any API would expect an organization. */
function organizationsInBody(operation: Operation, body: CheckedBody): string[] {
  return [...operation.organizations.body, 'org_id', 'org_ids.*'].flatMap((place) =>
    body
      .valuesAt(place)
      .flatMap((value) => (value === null ? [] : [typeof value === 'string' ? value : '(not a string)'])),
  )
}

/** Whether a decision on one request holds for another one, in whose body or query something was added. */
export function decidesAlike(before: Facts, after: Facts): boolean {
  return (
    after.doubtful === before.doubtful &&
    after.extra.length === before.extra.length &&
    after.organizations.length === before.organizations.length
  )
}

function extraPermissions(operation: Operation, body: CheckedBody | null): readonly ExtraPermission[] {
  return operation.conditional.filter(({ field, when }) => {
    const present = body !== null && body.valuesAt(field).some((value) => value !== null)
    return present === (when === 'present')
  })
}
