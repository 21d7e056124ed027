// What a caller may do, for its own page: the operations that its teams grant, and the guardrails that bound them.

import type { Operation } from '../../catalogue/operation.ts'
import type { Principal } from '../../identity/principal.ts'
import { isInForce } from '../../policy/decision/decide.ts'
import { reachOf } from '../../policy/decision/fence.ts'
import { isWithheld } from '../../policy/decision/guarded-decision.ts'
import type { ValueTemplate } from '../../policy/guardrails/attributes.ts'
import { filtersAnswers } from '../../policy/decision/response-filter.ts'
import type { Guardrail, Rule } from '../../policy/guardrails/guardrail.ts'
import type { Grant, PolicySet, Team } from '../../policy/model/policy-set.ts'
import type { Owner } from '../../policy/model/remarks.ts'

/** An operation that a team of the caller grants, by one grant. */
export interface CallerOperation {
  readonly id: string
  readonly method: string
  /** With `{name}` for each parameter. */
  readonly path: string
  readonly team: string
  /** Null for what every member may call. */
  readonly grant: string | null
  readonly organizations: 'all' | readonly string[]
  /** `warn`: allowed for now; the owner is about to take it away. Absent otherwise. */
  readonly mode?: 'warn'
  readonly owner: string | null
  readonly contact: string | null
  /** Ids of the guardrails that bound it; what they say is in the page's own list. */
  readonly guardrails: readonly string[]
}

/** The operations of one team for a caller, in the order of the catalogue; one entry for each grant with a reach of its own. */
export function operationsOf(policy: PolicySet, team: Team, principal: Principal): CallerOperation[] {
  return policy.catalogue.operations.flatMap((operation): CallerOperation[] => {
    if (operation.open)
      return policy.catalogue.isServed(operation) ? [entryOf(policy, team, operation, principal, null)] : []
    if (isWithheld(policy, team, operation, principal)) return []
    const grants = team
      .grantsOn(operation)
      .filter((grant) => isInForce(grant, principal, 'applied') && isWithinReach(policy, team, grant, operation))
    const whole = grants.find(({ organizations }) => organizations === null)
    return (whole === undefined ? grants : [whole]).map((grant) => entryOf(policy, team, operation, principal, grant))
  })
}

function entryOf(
  policy: PolicySet,
  team: Team,
  operation: Operation,
  { app }: Principal,
  grant: Grant | null,
): CallerOperation {
  const reach = reachOf(team, grant)
  return {
    id: operation.id,
    method: operation.method,
    path: operation.template,
    team: team.id,
    grant: grant?.id ?? null,
    organizations: reach === 'all' ? 'all' : [...reach],
    ...(grant?.mode === 'warn' ? { mode: 'warn' as const } : {}),
    ...ownerView(grant === null ? team.owner : grant.owner),
    guardrails: policy.guardrails
      .binding(operation, team.id, app)
      .all.filter(isShown)
      .map(({ id }) => id),
  }
}

/** An enterprise operation that nothing bounds to the organizations of the grant is out of reach, whatever is granted. */
function isWithinReach(policy: PolicySet, team: Team, grant: Grant, operation: Operation): boolean {
  const { scope, organizations } = operation
  return (
    scope !== 'enterprise' ||
    reachOf(team, grant) === 'all' ||
    organizations.segment !== -1 ||
    organizations.query.includes('org_ids') ||
    filtersAnswers(policy, team, operation)
  )
}

/** A guardrail in shadow mode is being tried, and nothing that callers have to heed. */
function isShown({ mode }: Guardrail): boolean {
  return mode !== 'shadow'
}

/** The bounds of the guardrails that are named in `operations`, as their policy spells them. */
export function guardrailsOf(policy: PolicySet, operations: readonly CallerOperation[]): readonly unknown[] {
  const named = new Set(operations.flatMap(({ guardrails }) => guardrails))
  return policy.guardrails.all
    .filter(({ id }) => named.has(id))
    .map(({ id, mode, named: byName, body, query, response, remarks, owner }) => ({
      id,
      ...(mode === 'warn' ? { mode } : {}),
      description: remarks.description,
      ...ownerView(owner),
      ...(byName ? { grants: 'named' } : {}),
      body: Object.fromEntries(body.map((rule) => [rule.field, boundsOf(rule)])),
      query: Object.fromEntries(query.map((rule) => [rule.field, boundsOf(rule)])),
      response: response === null ? null : { filter_items_by: response.filterItemsBy, fields: response.dropFields },
    }))
}

export function ownerView(found: Owner | null): Owner {
  return { owner: found?.owner ?? null, contact: found?.contact ?? null }
}

/** The bounds of one field that are set, under their names in policies. */
function boundsOf(rule: Rule): Readonly<Record<string, unknown>> {
  const values = (templates: readonly ValueTemplate[] | null): readonly unknown[] | null =>
    templates === null || templates.length === 0 ? null : templates.map(({ written }) => written)
  const bounds = {
    forbid: rule.forbid ? true : null,
    require: rule.require ? true : null,
    default: rule.default?.written ?? null,
    equals: rule.equals?.written ?? null,
    one_of: values(rule.oneOf),
    at_most: rule.atMost === null ? null : Number(rule.atMost),
    at_least: rule.atLeast === null ? null : Number(rule.atLeast),
    matches: rule.matches?.text ?? null,
    each_matches: rule.eachMatches?.text ?? null,
    add: values(rule.add),
    reserve: rule.reserve.length === 0 ? null : rule.reserve.map(({ beginning }) => beginning),
    max_items: rule.maxItems,
    max_length: rule.maxLength,
  }
  return Object.fromEntries(Object.entries(bounds).filter(([, value]) => value !== null))
}
