// Applies guardrails to a request that a grant allows: refuses it, changes it, or lets it through. The result was
// decided exactly as it will be sent. Pure.

import type { Decision, Facts } from '../model/decision.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { Target } from '../../catalogue/target.ts'
import type { Principal } from '../../identity/principal.ts'
import { decide } from './decide.ts'
import { decidesAlike, factsOf, readsBody } from './facts.ts'
import { applyRules, type Granted, type GuardrailVerdict } from '../guardrails/apply.ts'
import { CallerAttributes, type DevinUser } from '../guardrails/attributes.ts'
import type { Violation } from '../guardrails/check.ts'
import { changedBody, type CheckedBody } from './checked-body.ts'
import type { PolicySet, Team } from '../model/policy-set.ts'
import { conditionHolds } from '../model/condition.ts'

/** What is sent: where to, and with which body (undefined: not read yet, null: none). */
export interface GuardedMessage {
  readonly target: Target
  readonly body: CheckedBody | null | undefined
}

/** The body, or the caller's user at Devin, for a guardrail in force or only for one in shadow mode. */
export type Needs = 'body' | 'devin-user' | 'devin-user-for-shadow' | null

export interface GuardedDecision {
  /** Of the request as it is sent. */
  readonly facts: Facts
  readonly decision: Decision
  readonly request: GuardedMessage
  /** What has to be read or looked up first; nothing was applied then. */
  readonly needs: Needs
  readonly verdict: GuardrailVerdict | null
}

/**
 * Applies the guardrails of the operation that bind the team which was decided for. Where they refuse, the caller's
 * other teams are tried as the decision would have tried them; the first refusal stands when none of them allows it.
 */
export function applyGuardrails(
  policy: PolicySet,
  facts: Facts,
  decision: Decision,
  request: GuardedMessage,
  devinUser: DevinUser | undefined,
): GuardedDecision {
  let refusal: GuardedDecision | null = null
  let teams = decision.teams
  let current = decision
  for (let team = current.team; team !== null && current.effect === 'allow'; team = current.team) {
    const guarded = applyForTeam(policy, facts, { ...current, teams: decision.teams }, team, request, devinUser)
    if (guarded.needs !== null || guarded.decision.effect === 'allow') return guarded
    refusal ??= guarded
    const tried = team
    teams = teams.filter((each) => each !== tried)
    if (teams.length === 0) break
    current = decide(policy, facts, teams)
  }
  return refusal ?? { facts, decision, request, needs: null, verdict: null }
}

function applyForTeam(
  policy: PolicySet,
  facts: Facts,
  decision: Decision,
  team: Team,
  request: GuardedMessage,
  devinUser: DevinUser | undefined,
): GuardedDecision {
  const { principal, operation, organization } = facts
  const { target, body } = request
  const bound = policy.guardrails.binding(operation, team.id, principal.app)
  if (body === undefined && (readsBody(operation) || bound.all.some((each) => each.body.length > 0)))
    return { facts, decision, request, needs: 'body', verdict: null }
  const caller = new CallerAttributes(principal, team.id, organization, devinUser)
  const sites = body === undefined ? (['query'] as const) : (['query', 'body'] as const)
  const before = { query: target.query, body: body?.value, granted: grantedIn(team, operation, principal) }
  const verdict = applyRules(bound, before, caller, sites)
  if (verdict.wantsDevinUser !== null) {
    const needs = verdict.wantsDevinUser === 'enforced' ? 'devin-user' : 'devin-user-for-shadow'
    return { facts, decision, request, needs, verdict: null }
  }
  if (verdict.violations.length > 0)
    return { facts, decision: refused(decision, verdict.violations), request, needs: null, verdict }
  if (verdict.changes.length === 0) return { facts, decision, request, needs: null, verdict }
  const after = verdict.request
  const sent: GuardedMessage = {
    target: after.query === before.query ? target : { ...target, query: after.query },
    body: after.body === before.body || after.body === undefined ? body : changedBody(after.body),
  }
  // An added value may name an organization, or need a permission of its own.
  const sentFacts = factsOf(principal, operation, sent.target, sent.body)
  if (decidesAlike(facts, sentFacts)) return { facts: sentFacts, decision, request: sent, needs: null, verdict }
  const again = decide(policy, sentFacts, [team])
  return { facts: sentFacts, decision: { ...again, teams: decision.teams }, request: sent, needs: null, verdict }
}

/** Whether a guardrail wants the operation to be named, and no grant of the team that holds for the caller names it. */
export function isWithheld(policy: PolicySet, team: Team, operation: Operation, principal: Principal): boolean {
  return (
    policy.guardrails.binding(operation, team.id, principal.app).enforced.guardrails.some(({ named }) => named) &&
    !grantedIn(team, operation, principal).byName
  )
}

/** An open operation needs no grant at all. */
function grantedIn(team: Team, operation: Operation, principal: Principal): Granted {
  const byName =
    operation.open ||
    (team.byOperation[operation.index] ?? []).some(
      ({ mode, when, allow }) =>
        mode === 'enforce' && allow.includes(operation.id) && (when === null || conditionHolds(when, principal)),
    )
  return { operation: operation.id, byName, parameters: operation.parameters }
}

const maxNamed = 5

/** Names field, bound and guardrail of what is broken, a few at a time. */
function refused(decision: Decision, violations: readonly Violation[]): Decision {
  const named = violations.slice(0, maxNamed).map(({ text, guardrail }) => `${text} (guardrail ${guardrail})`)
  const more = violations.length > maxNamed ? [`and ${violations.length - maxNamed} more`] : []
  const detail = `${[...named, ...more].join('; ')}. Change the request, or ask the owner of the guardrail.`
  return { ...decision, effect: 'deny', reason: 'guardrail', problem: 'guardrail', detail }
}
