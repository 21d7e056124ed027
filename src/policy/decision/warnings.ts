// What would be different if the grants in mode `warn` were gone and the guardrails in it were in force: what their owner
// has to know before tightening. Pure.

import type { Decision, Facts } from '../model/decision.ts'
import type { GuardrailVerdict } from '../guardrails/apply.ts'
import type { Grant, PolicySet, Team } from '../model/policy-set.ts'
import { isInForce } from './decide.ts'
import { holdsWhereAsked } from './fence.ts'

/**
 * `deny`: the request would be refused. `other-team`: another team of the caller would allow it and be charged. `filter`: less
 * of the answer would be shown.
 */
export type WarningEffect = 'deny' | 'other-team' | 'filter'

export interface Warning {
  readonly team: string
  /** The grant that would be gone, or the guardrail that would bind. */
  readonly rule: { readonly grant: string } | { readonly guardrail: string }
  readonly effect: WarningEffect
  /** Of the refusal; null for another effect. */
  readonly reason: string | null
  /** What would happen, in words. */
  readonly text: string
}

/** Whether a grant in mode `warn` of any of these teams bears on the request. */
export function reliesOnWarn(teams: readonly Team[], facts: Facts): boolean {
  const { operation, extra } = facts
  return teams.some(
    (team) =>
      team.grantsOn(operation).at(-1)?.mode === 'warn' ||
      extra.some(({ permission }) => team.grantsOf(permission).at(-1)?.mode === 'warn'),
  )
}

/** Every grant and guardrail in mode `warn`; the team is null for a guardrail, which may bind several. */
export function warnRulesOf({ teams, guardrails }: PolicySet): readonly {
  readonly team: string | null
  readonly rule: Warning['rule']
}[] {
  const grants = teams.flatMap((team) => team.grants.filter(({ mode }) => mode === 'warn'))
  const bounds = guardrails.all.filter(({ mode }) => mode === 'warn')
  return [
    ...grants.map(({ team, id }) => ({ team, rule: { grant: id } })),
    ...bounds.map(({ id }) => ({ team: null, rule: { guardrail: id } })),
  ]
}

interface Judged {
  readonly facts: Facts
  readonly decision: Decision
  readonly verdict: GuardrailVerdict | null
}

/** The warnings of a request that is allowed. `without`: the same without the grants in mode `warn`; null where none bears on it. */
export function warningsOf(teams: readonly Team[], now: Judged, without: Judged | null): readonly Warning[] {
  const found: Warning[] = []
  const change = without === null ? null : changeOf(now.decision, without.decision)
  if (change !== null)
    for (const grant of teams.flatMap((team) => warnGrants(team, now.facts)))
      found.push({ team: grant.team, rule: { grant: grant.id }, ...change })
  for (const { guardrail, mode, violations } of now.verdict?.shadow ?? []) {
    const [first] = violations
    if (mode !== 'warn' || first === undefined) continue
    const team = now.decision.team?.id ?? ''
    found.push({ team, rule: { guardrail }, effect: 'deny', reason: 'guardrail', text: first.text })
  }
  return found
}

function changeOf(now: Decision, without: Decision): Pick<Warning, 'effect' | 'reason' | 'text'> | null {
  if (without.effect === 'deny')
    return { effect: 'deny', reason: without.reason, text: without.detail ?? without.reason }
  if (without.team !== now.team) {
    const by = without.grant === null ? '' : ` by grant ${without.grant.id}`
    return { effect: 'other-team', reason: null, text: `team ${without.team?.id ?? ''} would allow it${by}` }
  }
  if (without.response?.digest === now.response?.digest) return null
  const { organizations } = without.response ?? { organizations: 'all' }
  const shown = organizations === 'all' ? '' : `: only what is of ${organizations.join(', ')}`
  return { effect: 'filter', reason: null, text: `less of the answer would be shown${shown}` }
}

/** The grants in mode `warn` that allow the operation here, or a permission that the body asks for. */
function warnGrants(team: Team, facts: Facts): readonly Grant[] {
  const ofOperation = team.grantsOn(facts.operation)
  const ofExtra = facts.extra.flatMap(({ permission }) => team.grantsOf(permission))
  return [...new Set([...ofOperation, ...ofExtra])].filter(
    (grant) => grant.mode === 'warn' && isInForce(grant, facts.principal, 'applied') && reaches(grant, facts),
  )
}

/** A filtered list names no organization, and shows what is of those the grant reaches. */
function reaches(grant: Grant, facts: Facts): boolean {
  return holdsWhereAsked(grant, facts) || facts.organizations.length === 0
}
