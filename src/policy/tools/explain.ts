// Explains a decision step by step, as text and as data: for the command, the callers' own page, and operators.

import { counted } from '../../config/plural.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { parseTarget, type Target } from '../../catalogue/target.ts'
import { limitBounds } from '../cells/bounds.ts'
import type { Principal } from '../../identity/principal.ts'
import { problemKinds, type ProblemKindName } from '../../problem-kinds.ts'
import { Problem } from '../../problems.ts'
import { bodyOfRead, evaluate, findOperation, type Evaluation } from '../decision/evaluate.ts'
import type { CheckedBody } from '../decision/checked-body.ts'
import {
  attemptsText,
  callerText,
  decisionText,
  filterText,
  keyText,
  operationText,
  ownerStep,
  warnSteps,
} from './explain-texts.ts'
import { nearestOperation } from '../requests/nearest-operation.ts'
import { refusalWithoutTeam } from '../decision/decide.ts'
import { answeredItself, withRefusal, type Explanation, type ExplanationStep } from './explanation.ts'
import { guardrailSteps } from './guardrail-steps.ts'
import type { DevinUser } from '../guardrails/attributes.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { budgetNeedingBound, chargedFor, needsBound, needsBoundText } from '../decision/session-bound.ts'
import { serializeStrictJson } from '../../json/value.ts'

export interface ExplainedRequest {
  readonly method: string
  /** Path with an optional query, as it would stand in the request line. */
  readonly target: string
  readonly body: CheckedBody | null
  /** The caller's user at Devin; undefined where nobody has looked it up. */
  readonly devinUser?: DevinUser | undefined
}

/** An explanation, and the evaluation it speaks of. */
export interface Explained {
  readonly explanation: Explanation
  /** Null where there was no operation to evaluate. */
  readonly evaluation: Evaluation | null
  /** The gateway reads the body before it decides, which counts as an attempt. */
  readonly readsBody: boolean
}

/** Explains what would happen; the same functions decide requests. A malformed path is explained, not thrown. */
export function explain(policy: PolicySet, principal: Principal, request: ExplainedRequest): Explanation {
  return explainFully(policy, principal, request).explanation
}

/** The same with the evaluation, for those who know more of the moment. */
export function explainFully(policy: PolicySet, principal: Principal, request: ExplainedRequest): Explained {
  const steps: ExplanationStep[] = []
  try {
    const target = parseTarget(request.target)
    steps.push({
      stage: 'path',
      ok: true,
      text: `the path is read as ${counted(target.segments.length, 'segment')}: ${target.path}`,
    })
    const teams = policy.teamsOf(principal).map((team) => team.id)
    steps.push({ stage: 'caller', ok: teams.length > 0, text: callerText(principal, teams) })
    for (const { id } of policy.blockedTeamsOf(principal))
      steps.push({ stage: 'caller', ok: false, text: `team ${id} is blocked: its grants do not count for now` })
    if (request.body !== null && (request.method === 'GET' || request.method === 'HEAD')) throw bodyOfRead()
    if (target.segments[0] === 'gateway') return ownPage(policy, principal, request, target, steps)
    const operation = findOperation(policy, request.method, target)
    steps.push({ stage: 'operation', ok: true, text: operationText(operation) })
    return explainOperation(policy, principal, operation, target, request, steps)
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    const stage = error.kind === 'ambiguous-path' ? 'path' : error.kind === 'malformed-request' ? 'body' : 'operation'
    const found = withRefusal(null, policy, request, error, stage)
    const nearest = stage === 'operation' ? nearestText(policy, request) : null
    return {
      evaluation: null,
      readsBody: false,
      explanation: { ...found, nearest, steps: [...steps, ...found.steps] },
    }
  }
}

/** The operation that was probably meant. */
function nearestText(policy: PolicySet, { method, target }: ExplainedRequest): string | null {
  const { segments } = parseTarget(target)
  const near = nearestOperation(policy.catalogue, method, segments)
  return near === null ? null : `${near.method} ${near.template} (${near.id})`
}

function isProblemPage(page: string): boolean {
  const kind = /^v1\/problems\/([a-z-]+)$/.exec(page)?.[1]
  return page === 'v1/problems' || (kind !== undefined && Object.hasOwn(problemKinds, kind))
}

/** Pages of the gateway itself, which answer every verified caller; `me` those of a team. */
function ownPage(
  policy: PolicySet,
  principal: Principal,
  request: ExplainedRequest,
  { segments }: Target,
  steps: readonly ExplanationStep[],
): Explained {
  const page = segments.slice(1).join('/')
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  const isPage = page === 'v1/me' || page === 'v1/explain' || isProblemPage(page)
  if (!isRead || !isPage)
    throw new Problem(
      'unknown-operation',
      `Under /gateway/ there is no ${request.method} ${request.target}: see GET /gateway/v1/me and GET /gateway/v1/explain.`,
    )
  const { problem, reason, detail } = refusalWithoutTeam(policy, principal)
  if (page === 'v1/me' && policy.teamsOf(principal).length === 0) throw new Problem(problem, detail, { reason })
  const step: ExplanationStep = {
    stage: 'operation',
    ok: true,
    text: 'the gateway answers this by itself, and asks no policy',
  }
  return {
    evaluation: null,
    readsBody: false,
    explanation: { ...answeredItself(policy, request), steps: [...steps, step] },
  }
}

function explainOperation(
  policy: PolicySet,
  principal: Principal,
  operation: Operation,
  target: Target,
  { method, target: path, body, devinUser }: ExplainedRequest,
  steps: ExplanationStep[],
): Explained {
  const asked = evaluate(policy, principal, operation, target, body, devinUser)
  const evaluation =
    asked.needsDevinUser !== null ? evaluate(policy, principal, operation, target, body, { unknown: unasked }) : asked
  const { decision, facts, key, verdict, warnings } = evaluation
  const granted = decision.effect === 'allow' || decision.reason === 'guardrail'
  // As the gateway begins: without the body.
  const first = evaluate(policy, principal, operation, target)
  const attempts = attemptsText(first)
  if (attempts !== null) steps.push({ stage: 'limit', ok: true, text: attempts })
  steps.push({ stage: 'decision', ok: granted, text: decisionText(policy, evaluation, granted) })
  steps.push(...guardrailSteps(verdict), ...warnSteps(warnings))
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
  const { owner } = decision
  if (owner !== null) steps.push({ stage: 'owner', ok: true, text: ownerStep(decision) })
  return {
    evaluation,
    readsBody: body !== null && first.needsBody,
    explanation: {
      effect: later === null ? decision.effect : 'deny',
      reason: later?.reason ?? decision.reason,
      problem: later?.problem ?? decision.problem,
      detail: later?.detail ?? decision.detail,
      method,
      path,
      operation: operation.id,
      permission: operation.permission,
      team: decision.team?.id ?? null,
      grant: decision.grant?.id ?? null,
      owner: owner?.owner ?? null,
      contact: owner?.contact ?? null,
      organizations: facts.organizations,
      key: key?.key.id ?? null,
      nearest: decision.nearest?.text ?? null,
      shadow: decision.shadow.map((grant) => `${grant.team}/${grant.id}`),
      warn: warnings.map(({ team, rule, effect, reason }) => ({
        team,
        grant: 'grant' in rule ? rule.grant : null,
        guardrail: 'guardrail' in rule ? rule.guardrail : null,
        effect,
        reason,
      })),
      guardrails: (verdict?.bound ?? []).flatMap(({ id, mode }) => (mode === 'enforce' ? [id] : [])),
      changes: (verdict?.changes ?? []).map(({ guardrail, in: site, place, value }) => ({
        guardrail,
        in: site,
        place,
        value: serializeStrictJson(value).toString(),
      })),
      limits:
        decision.effect === 'allow'
          ? limitBounds({ policy, team: decision.team }, principal, operation, facts.organization)
          : [],
      response:
        filter === null
          ? null
          : { guardrails: filter.guardrails, organizations: filter.organizations, dropped_fields: filter.drop },
      policy_revision: policy.revision,
      steps,
    },
  }
}

/** What stops an allowed request before it is sent, as far as it does not depend on the moment. */
function laterRefusal(
  policy: PolicySet,
  evaluation: Evaluation,
): { readonly reason: string; readonly problem: ProblemKindName; readonly detail: string } | null {
  if (evaluation.decision.effect === 'deny') return null
  if (evaluation.key === null)
    return { reason: 'key-unavailable', problem: 'key-unavailable', detail: keyText(evaluation) }
  const budget = budgetNeedingBound(chargedFor(policy, evaluation), evaluation.body)
  return budget === null ? null : { reason: needsBound, problem: 'guardrail', detail: needsBoundText(budget) }
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
