// Explains a decision step by step, as text and as data: for the command, the callers' own page, and operators.

import type { Operation } from '../../catalogue/operation.ts'
import { parseTarget, type Target } from '../../catalogue/target.ts'
import type { Principal } from '../../identity/principal.ts'
import { Problem } from '../../problems.ts'
import { evaluate, findOperation, type Evaluation } from '../decision/evaluate.ts'
import type { CheckedBody } from '../decision/checked-body.ts'
import { callerText, decisionText, filterText, keyText, operationText } from './explain-texts.ts'
import { guardrailSteps } from './guardrail-steps.ts'
import type { DevinUser } from '../guardrails/attributes.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { budgetNeedingBound, chargedFor, needsBound, needsBoundText } from '../decision/session-bound.ts'
import { serializeStrictJson } from '../../json/value.ts'

export interface ExplanationStep {
  readonly stage: 'path' | 'caller' | 'operation' | 'decision' | 'guardrail' | 'shadow' | 'response' | 'key' | 'budget'
  readonly ok: boolean
  readonly text: string
}

export interface Explanation {
  readonly effect: 'allow' | 'deny'
  readonly reason: string
  readonly detail: string | null
  readonly operation: string | null
  readonly permission: string | null
  readonly team: string | null
  readonly grant: string | null
  readonly organizations: readonly string[]
  readonly key: string | null
  readonly nearest: string | null
  readonly shadow: readonly string[]
  /** Ids of the guardrails in force that bind the request. */
  readonly guardrails: readonly string[]
  /** Values they added. */
  readonly changes: readonly ExplainedChange[]
  /** What guardrails take out of the answer; null for nothing. */
  readonly response: ExplainedFilter | null
  readonly policy_revision: string
  readonly steps: readonly ExplanationStep[]
}

export interface ExplainedChange {
  readonly guardrail: string
  readonly in: 'body' | 'query'
  readonly place: string
  /** As JSON. */
  readonly value: string
}

export interface ExplainedFilter {
  readonly guardrails: readonly string[]
  /** Whose items pass; `all` when the answer is not filtered by organization. */
  readonly organizations: 'all' | readonly string[]
  readonly dropped_fields: readonly string[]
}

export interface ExplainedRequest {
  readonly method: string
  /** Path with an optional query, as it would stand in the request line. */
  readonly target: string
  readonly body: CheckedBody | null
  /** The caller's user at Devin; undefined where nobody has looked it up. */
  readonly devinUser?: DevinUser | undefined
}

/** Explains what would happen; the same functions decide requests. A malformed path is explained, not thrown. */
export function explain(policy: PolicySet, principal: Principal, request: ExplainedRequest): Explanation {
  const steps: ExplanationStep[] = []
  try {
    const target = parseTarget(request.target)
    steps.push({
      stage: 'path',
      ok: true,
      text: `the path is read as ${target.segments.length} segments: ${target.path}`,
    })
    const teams = policy.teamsOf(principal).map((team) => team.id)
    steps.push({ stage: 'caller', ok: teams.length > 0, text: callerText(principal, teams) })
    const operation = findOperation(policy, request.method, target)
    steps.push({ stage: 'operation', ok: true, text: operationText(operation) })
    return explainOperation(policy, principal, operation, target, request, steps)
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    steps.push({ stage: error.kind === 'ambiguous-path' ? 'path' : 'operation', ok: false, text: error.message })
    return {
      effect: 'deny',
      reason: error.kind,
      detail: error.message,
      operation: null,
      permission: null,
      team: null,
      grant: null,
      organizations: [],
      key: null,
      nearest: null,
      shadow: [],
      guardrails: [],
      changes: [],
      response: null,
      policy_revision: policy.revision,
      steps,
    }
  }
}

function explainOperation(
  policy: PolicySet,
  principal: Principal,
  operation: Operation,
  target: Target,
  { body, devinUser }: ExplainedRequest,
  steps: ExplanationStep[],
): Explanation {
  const asked = evaluate(policy, principal, operation, target, body, devinUser)
  const evaluation =
    asked.needsDevinUser !== null ? evaluate(policy, principal, operation, target, body, { unknown: unasked }) : asked
  const { decision, facts, key, verdict } = evaluation
  const granted = decision.effect === 'allow' || decision.reason === 'guardrail'
  steps.push({ stage: 'decision', ok: granted, text: decisionText(policy, evaluation, granted) })
  steps.push(...guardrailSteps(verdict))
  for (const grant of decision.shadow) {
    steps.push({
      stage: 'shadow',
      ok: true,
      text: `grant ${grant.id} of team ${grant.team} is in shadow mode and would allow this`,
    })
  }
  const filter = decision.effect === 'allow' ? decision.response : null
  if (filter !== null) steps.push({ stage: 'response', ok: true, text: filterText(filter) })
  if (decision.effect === 'allow') steps.push({ stage: 'key', ok: key !== null, text: keyText(evaluation) })
  const later = laterRefusal(policy, evaluation)
  if (later?.reason === needsBound) steps.push({ stage: 'budget', ok: false, text: later.detail })
  return {
    effect: later === null ? decision.effect : 'deny',
    reason: later?.reason ?? decision.reason,
    detail: later?.detail ?? decision.detail,
    operation: operation.id,
    permission: operation.permission,
    team: decision.team?.id ?? null,
    grant: decision.grant?.id ?? null,
    organizations: facts.organizations,
    key: key?.key.id ?? null,
    nearest: decision.nearest?.text ?? null,
    shadow: decision.shadow.map((grant) => `${grant.team}/${grant.id}`),
    guardrails: (verdict?.bound ?? []).flatMap(({ id, mode }) => (mode === 'enforce' ? [id] : [])),
    changes: (verdict?.changes ?? []).map(({ guardrail, in: site, place, value }) => ({
      guardrail,
      in: site,
      place,
      value: serializeStrictJson(value).toString(),
    })),
    response:
      filter === null
        ? null
        : { guardrails: filter.guardrails, organizations: filter.organizations, dropped_fields: filter.drop },
    policy_revision: policy.revision,
    steps,
  }
}

/** What stops an allowed request before it is sent, as far as it does not depend on the moment. */
function laterRefusal(policy: PolicySet, evaluation: Evaluation): { reason: string; detail: string } | null {
  if (evaluation.decision.effect === 'deny') return null
  if (evaluation.key === null) return { reason: 'key-unavailable', detail: keyText(evaluation) }
  const budget = budgetNeedingBound(chargedFor(policy, evaluation), evaluation.body)
  return budget === null ? null : { reason: needsBound, detail: needsBoundText(budget) }
}

const unasked = 'only a running gateway asks Devin who a caller is: say it with --devin-user, or in devin-users.yaml'

/** The organization in which the caller's user at Devin has to be looked up to explain a request; null where it has not. */
export function lookupWanted(
  policy: PolicySet,
  principal: Principal,
  request: ExplainedRequest,
): { readonly organization: string | null; readonly required: boolean } | null {
  try {
    const target = parseTarget(request.target)
    const operation = findOperation(policy, request.method, target)
    const { needsDevinUser, facts } = evaluate(policy, principal, operation, target, request.body)
    return needsDevinUser === null
      ? null
      : { organization: facts.organization, required: needsDevinUser === 'enforced' }
  } catch (error) {
    if (error instanceof Problem) return null
    throw error
  }
}
