// Applies guardrails to a request that a grant allows: refuses it, changes it, or lets it through. The result was
// decided exactly as it will be sent. Pure.

import type { Decision, Facts } from '../model/decision.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { Target } from '../../catalogue/target.ts'
import type { Principal } from '../../identity/principal.ts'
import { decide, isInForce, type WarnGrants } from './decide.ts'
import { decidesAlike, factsOf, readsBody } from './facts.ts'
import { applyRules, type Granted, type GuardrailVerdict, type WantsDevinUser } from '../guardrails/apply.ts'
import { CallerAttributes, type DevinUser } from '../guardrails/attributes.ts'
import type { Violation } from '../guardrails/check.ts'
import { changedBody, type CheckedBody } from './checked-body.ts'
import type { PolicySet, Team } from '../model/policy-set.ts'
import { ownerText, type Owner } from '../model/remarks.ts'

/** What is sent: where to, and with which body (undefined: not read yet, null: none). */
export interface GuardedMessage {
  readonly target: Target
  readonly body: CheckedBody | null | undefined
}

/** The body, or the caller's user at Devin. */
type Needs = 'body' | WantsDevinUser

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
  warn: WarnGrants,
): GuardedDecision {
  let refusal: GuardedDecision | null = null
  let teams = decision.teams
  let current = decision
  for (let team = current.team; team !== null && current.effect === 'allow'; team = current.team) {
    const guarded = applyForTeam(policy, facts, { ...current, teams: decision.teams }, team, request, devinUser, warn)
    if (guarded.needs !== null || guarded.decision.effect === 'allow') return guarded
    refusal ??= guarded
    const tried = team
    teams = teams.filter((each) => each !== tried)
    if (teams.length === 0) break
    current = decide(policy, facts, teams, warn)
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
  warn: WarnGrants,
): GuardedDecision {
  const { principal, operation, organization } = facts
  const { target, body } = request
  const bound = policy.guardrails.binding(operation, team.id, principal.app)
  if (body === undefined && (readsBody(operation) || bound.all.some((each) => each.body.length > 0)))
    return { facts, decision, request, needs: 'body', verdict: null }
  const caller = new CallerAttributes(principal, team.id, organization, devinUser)
  const sites = body === undefined ? (['query'] as const) : (['query', 'body'] as const)
  const before = { query: target.query, body: body?.value, granted: grantedIn(team, operation, principal, warn) }
  const verdict = applyRules(bound, before, caller, sites)
  if (verdict.wantsDevinUser !== null) return { facts, decision, request, needs: verdict.wantsDevinUser, verdict: null }
  if (verdict.violations.length > 0)
    return { facts, decision: refused(policy, decision, verdict.violations), request, needs: null, verdict }
  if (verdict.changes.length === 0) return { facts, decision, request, needs: null, verdict }
  const after = verdict.request
  const sent: GuardedMessage = {
    target: after.query === before.query ? target : { ...target, query: after.query },
    body: after.body === before.body || after.body === undefined ? body : changedBody(after.body),
  }
  // An added value may name an organization, or need a permission of its own.
  const sentFacts = factsOf(principal, operation, sent.target, sent.body)
  if (decidesAlike(facts, sentFacts)) return { facts: sentFacts, decision, request: sent, needs: null, verdict }
  const again = decide(policy, sentFacts, [team], warn)
  return { facts: sentFacts, decision: { ...again, teams: decision.teams }, request: sent, needs: null, verdict }
}

/** Whether a guardrail wants the operation to be named, and no grant of the team that holds for the caller names it. */
export function isWithheld(policy: PolicySet, team: Team, operation: Operation, principal: Principal): boolean {
  return (
    policy.guardrails.binding(operation, team.id, principal.app).enforced.guardrails.some(({ named }) => named) &&
    !grantedIn(team, operation, principal, 'applied').byName
  )
}

/** An open operation needs no grant at all. */
function grantedIn(team: Team, operation: Operation, principal: Principal, warn: WarnGrants): Granted {
  const byName =
    operation.open ||
    team.grantsOn(operation).some((grant) => isInForce(grant, principal, warn) && grant.allow.includes(operation.id))
  return { operation: operation.id, byName, parameters: operation.parameters }
}

const maxNamed = 5

/** Names field, bound and guardrail of what is broken, a few at a time, and whom to ask about them. */
function refused(policy: PolicySet, decision: Decision, violations: readonly Violation[]): Decision {
  const named = violations.slice(0, maxNamed).map(({ text, guardrail }) => `${text} (guardrail ${guardrail})`)
  const more = violations.length > maxNamed ? [`and ${violations.length - maxNamed} more`] : []
  const owners = ownersOf(policy, violations)
  const whom =
    owners.length === 0
      ? 'the owner of the guardrail'
      : owners.map((owner) => ownerText(owner, 'the owner of the guardrail')).join(' or ')
  const hints = [...new Set(violations.flatMap(({ hint = null }) => (hint === null ? [] : [`${hint} `])))].join('')
  const detail = `${[...named, ...more].join('; ')}. ${hints}Change the request, or ask ${whom}.`
  return { ...decision, effect: 'deny', reason: 'guardrail', problem: 'guardrail', detail, owner: owners[0] ?? null }
}

const maxOwners = 3

/** Those of the guardrails that are broken, each once. */
function ownersOf(policy: PolicySet, violations: readonly Violation[]): readonly Owner[] {
  const broken = new Set(violations.map(({ guardrail }) => guardrail))
  const named = policy.guardrails.all.flatMap(({ id, owner }) => (owner !== null && broken.has(id) ? [owner] : []))
  return [...new Map(named.map((owner) => [JSON.stringify(owner), owner])).values()].slice(0, maxOwners)
}
