// What the policy tests exercise: grants, conditions, bounds of guardrails, invariants, and refusals around grants. Pure.

import type { TestDocument } from '../documents/document.ts'
import type { Evaluation } from '../decision/evaluate.ts'
import type { Rule } from '../guardrails/guardrail.ts'
import { speaksOfCaller, speaksOfOrganization, type Invariant } from '../invariants/invariant.ts'
import { conditionHolds, describeCondition } from '../model/condition.ts'
import type { Grant, PolicySet } from '../model/policy-set.ts'
import type { Source } from '../model/source.ts'
import { evaluationsOf } from './suite.ts'

/**
 * `grant`: a request that it allows. `condition`: a caller for whom it holds, and one for whom it does not. `bound`: a request that
 * breaks it or is changed by it. `invariant`: a request it speaks of, decided as it wants. `refusal`: a denied request that a grant
 * comes near.
 */
export type CoverageKind = 'grant' | 'condition' | 'bound' | 'invariant' | 'refusal'

export interface CoverageItem extends Source {
  readonly kind: CoverageKind
  readonly covered: boolean
  /** What is or is not exercised, and what a test of it would be. */
  readonly text: string
}

/** Everything that tests can exercise, in the order of files and lines. Grants that are off or in shadow mode allow nothing. */
export function testCoverage(
  policy: PolicySet,
  documents: readonly TestDocument[],
  invariants: readonly Invariant[],
): readonly CoverageItem[] {
  const evaluations = evaluationsOf(policy, documents)
  const grants = policy.teams.flatMap((team) => team.grants).filter(({ mode }) => mode === 'enforce' || mode === 'warn')
  const items = [
    ...grants.flatMap((grant) => grantItems(policy, grant, evaluations)),
    ...policy.teams.flatMap(({ id, members, source }) =>
      members.map((entry): CoverageItem => ({
        ...source,
        kind: 'condition',
        covered: evaluations.some(
          ({ decision, facts }) => decision.team?.id === id && conditionHolds(entry, facts.principal),
        ),
        text: `members of team ${id} with ${describeCondition(entry)}: no test asks as one of them`,
      })),
    ),
    ...boundItems(policy, evaluations),
    ...invariants.map((invariant): CoverageItem => ({
      ...invariant.source,
      kind: 'invariant',
      covered: evaluations.some((each) => speaksOf(invariant, each)),
      text: `invariant ${invariant.id}: no test ${invariant.kind === 'never' ? 'is denied' : 'is allowed'} an operation of it`,
    })),
  ]
  return items.sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line))
}

function grantItems(
  { catalogue }: PolicySet,
  grant: Grant,
  evaluations: readonly Evaluation[],
): readonly CoverageItem[] {
  const named = `grant ${grant.id} of team ${grant.team}`
  const { when } = grant
  const bears = ({ decision, facts }: Evaluation): boolean =>
    decision.teams.some(
      (team) =>
        team.grantsOn(facts.operation).some((each) => isSame(each, grant)) ||
        facts.extra.some(({ permission }) => team.grantsOf(permission).some((each) => isSame(each, grant))),
    )
  const holdsFor = ({ facts }: Evaluation): boolean => when === null || conditionHolds(when, facts.principal)
  // What a body asks for besides is allowed by another grant of the team.
  const isAllowed = (each: Evaluation): boolean =>
    each.decision.effect === 'allow' &&
    (isSame(each.decision.grant, grant) ||
      (each.decision.team?.id === grant.team && each.facts.extra.length > 0 && bears(each) && holdsFor(each)))
  const asksOutside = evaluations.filter(
    (each) =>
      each.decision.effect === 'deny' &&
      (bears(each) ||
        (each.decision.teams.some(({ id }) => id === grant.team) && isNear(grant, each.facts.operation.id))),
  )
  const items: CoverageItem[] = [
    {
      ...grant.source,
      kind: 'grant',
      covered: evaluations.some(isAllowed),
      text: `${named}: no test is allowed by it`,
    },
    {
      ...grant.source,
      kind: 'refusal',
      covered: asksOutside.length > 0,
      text: `${named}: no test is denied around it; ask for another organization, as another caller, or for a neighbouring operation`,
    },
  ]
  if (when === null) return items
  const holds = evaluations.some(isAllowed)
  const fails = evaluations.some((each) => each.decision.effect === 'deny' && bears(each) && !holdsFor(each))
  const missing = holds ? 'with callers for whom it does not hold' : fails ? 'with callers for whom it holds' : 'of it'
  return [
    ...items,
    {
      ...grant.source,
      kind: 'condition',
      covered: holds && fails,
      text: `condition of ${named} (${describeCondition(when)}): no test ${missing}`,
    },
  ]

  /** Whether an operation is of a family that the grant opens. */
  function isNear({ allow }: Grant, id: string): boolean {
    const family = familyOf(id)
    return allow.some((word) =>
      catalogue.permissions.names.has(word)
        ? catalogue.operations.some((each) => each.permission === word && familyOf(each.id) === family)
        : isInFamily(id, familyOf(word)),
    )
  }
}

/** `pattern`: a family, in which `*` stands for one segment. */
function isInFamily(id: string, pattern: string): boolean {
  const segments = id.split('.')
  return pattern.split('.').every((each, index) => each === '*' || each === segments[index])
}

function familyOf(id: string): string {
  return id.slice(0, id.lastIndexOf('.'))
}

function isSame(one: Grant | null, other: Grant): boolean {
  return one !== null && one.id === other.id && one.team === other.team
}

/** Names of bounds as policies write them, by the field of a rule. */
const boundNames: Readonly<Record<Exclude<keyof Rule, 'field'>, string>> = {
  forbid: 'forbid',
  require: 'require',
  default: 'default',
  add: 'add',
  reserve: 'reserve',
  atMost: 'at_most',
  atLeast: 'at_least',
  equals: 'equals',
  oneOf: 'one_of',
  matches: 'matches',
  eachMatches: 'each_matches',
  maxItems: 'max_items',
  maxLength: 'max_length',
}

function boundItems({ guardrails }: PolicySet, evaluations: readonly Evaluation[]): readonly CoverageItem[] {
  const met = new Set(evaluations.flatMap(boundsMet))
  return guardrails.all.flatMap((guardrail) => {
    const { id, source } = guardrail
    const item = (name: string, what: string): CoverageItem => ({
      ...source,
      kind: 'bound',
      covered: met.has(`${id} ${name}`),
      text: `guardrail ${id}, ${what}: no test meets it`,
    })
    const ofRules = (['query', 'body'] as const).flatMap((site) =>
      guardrail[site].flatMap((rule) =>
        (Object.keys(boundNames) as (keyof typeof boundNames)[])
          .filter((name) => isSet(rule[name]))
          .map((name) =>
            item(`${site} ${rule.field} ${boundNames[name]}`, `${site} ${rule.field} ${boundNames[name]}`),
          ),
      ),
    )
    return [
      ...ofRules,
      ...(guardrail.named ? [item('grants', 'grants: named')] : []),
      ...(guardrail.response === null ? [] : [item('response', 'response')]),
    ]
  })
}

function isSet(value: Rule[keyof Rule]): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== null && value !== false
}

function boundsMet({ verdict, decision }: Evaluation): readonly string[] {
  const layers = verdict === null ? [] : [verdict, ...verdict.shadow]
  return [
    ...layers.flatMap(({ violations, changes }) => [
      ...violations.map(({ guardrail, in: site, field, bound }) =>
        site === 'grant' ? `${guardrail} grants` : `${guardrail} ${site} ${field} ${bound}`,
      ),
      ...changes.flatMap((change) => changedFields(change)),
    ]),
    ...(decision.response?.guardrails ?? []).map((id) => `${id} response`),
  ]
}

/** A change names the place that was written, in which a `*` of the rule is a number or a name. */
function changedFields({
  guardrail,
  in: site,
  place,
  bound,
}: {
  readonly guardrail: string
  readonly in: string
  readonly place: string
  readonly bound: string
}): readonly string[] {
  return [
    `${guardrail} ${site} ${place} ${bound}`,
    `${guardrail} ${site} ${place.replaceAll(/\.\d+(?=\.|$)/g, '.*')} ${bound}`,
  ]
}

/** A key that must not be used is shown not to be by a request that is allowed with another one, too. */
function speaksOf(invariant: Invariant, { decision, facts }: Evaluation): boolean {
  const { kind, operations, conditional, permissions, key } = invariant
  const { operation, organizations } = facts
  const isWanted = (decision.effect === 'deny') === (kind === 'never') || (kind === 'never' && key !== null)
  const isMeant =
    operations.has(operation.index) ||
    (conditional.has(operation.index) && facts.extra.some(({ permission }) => permissions.has(permission)))
  return (
    isWanted &&
    isMeant &&
    speaksOfCaller(invariant, facts.principal) &&
    decision.teams.some(
      (team) =>
        invariant.teams.has(team.id) &&
        (organizations.length === 0
          ? operation.scope === 'enterprise' || invariant.organizations === 'any'
          : organizations.some((id) => speaksOfOrganization(invariant, operation, team, id))),
    )
  )
}
