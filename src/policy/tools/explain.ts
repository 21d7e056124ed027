// A decision, step by step, in words and as data: for the command, the callers' own page, and the operators.

import { basename } from 'node:path'
import type { Operation } from '../../catalogue/operation.ts'
import { parseTarget, type Target } from '../../catalogue/target.ts'
import type { Principal } from '../../identity/principal.ts'
import type { KeyChoice } from '../../keys/select.ts'
import { Problem } from '../../problems.ts'
import { evaluate, findOperation, type Evaluation } from '../decision/evaluate.ts'
import { readsBody } from '../decision/facts.ts'
import type { CheckedBody } from '../decision/checked-body.ts'
import { guardrailSteps } from './guardrail-steps.ts'
import type { DevinUser } from '../guardrails/attributes.ts'
import type { Grant, PolicySet } from '../model/policy-set.ts'
import { budgetNeedingBound, chargedFor, needsBound, needsBoundText } from '../decision/session-bound.ts'
import { serializeStrictJson } from '../../json/value.ts'
import type { ResponseFilter } from '../model/decision.ts'

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
  /** What they put in. */
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

function callerText(principal: Principal, teams: readonly string[]): string {
  const seen = `subject ${principal.subject}, app ${principal.app ?? 'none'}, groups ${principal.groups.length === 0 ? 'none' : principal.groups.join(', ')}`
  return teams.length === 0 ? `${seen}: a member of no team` : `${seen}: a member of ${teams.join(', ')}`
}

function operationText(operation: Operation): string {
  const permission =
    operation.permission === null
      ? 'the API documents no permission for it'
      : `needs ${operation.permission}${operation.permissionBasis === 'inferred' ? ' (inferred, not documented)' : ''}`
  const alternatives =
    operation.alternatives.length === 0
      ? ''
      : `; other pages name ${operation.alternatives.join(', ')}, which can qualify a key and widen no grant`
  const conditional = conditionTexts(operation)
    .map((text) => `; ${text}`)
    .join('')
  return `${operation.id} (${operation.method} ${operation.template}), ${operation.scope} scope, ${permission}${alternatives}${conditional}`
}

/** What is needed besides the operation's own permission, and when. */
function conditionTexts({ conditional }: Operation): readonly string[] {
  const fields = new Map<string, string[]>()
  for (const { field, when, permission } of conditional) {
    const text = `${when} ${permission}`
    fields.set(text, [...(fields.get(text) ?? []), field])
  }
  return [...fields].map(([text, names]) => {
    const [when = '', permission = ''] = text.split(' ')
    const last = names.at(-1) ?? ''
    const named = names.length === 1 ? last : `${names.slice(0, -1).join(', ')} or ${last}`
    return `${permission} too when ${named} is ${when}`
  })
}

function decisionText(policy: PolicySet, { decision, facts }: Evaluation, granted: boolean): string {
  if (!granted) return `${decision.reason}: ${decision.detail ?? ''}`
  if (decision.grant === null) return `allowed to every member of a team (team ${decision.team?.id ?? ''})`
  const { grant } = decision
  const extra =
    facts.extra.length === 0 ? '' : `, and ${facts.extra.map((each) => each.permission).join(', ')} for the body`
  const body = readsBody(facts.operation) ? '; the body is read and judged' : ''
  return `allowed by grant ${grant.id} of team ${grant.team} (${basename(grant.source.file)}:${grant.source.line})${coverText(policy, grant, facts.operation)}${extra}${body}`
}

/** How the grant comes to cover the operation, where that is not its own name or permission. */
function coverText({ catalogue }: PolicySet, grant: Grant, operation: Operation): string {
  const { permission } = operation
  if (permission === null || grant.allow.includes(permission)) return ''
  const through = grant.allow.find((word) => catalogue.permissions.implies(word) === permission)
  if (through === undefined || operation.scope !== 'organization') return ''
  return `, whose ${through} stands for ${permission} in every organization (${catalogue.permissions.basis(through) ?? ''})`
}

function filterText({ guardrails, organizations, drop }: ResponseFilter): string {
  const kept = organizations === 'all' ? [] : [`only what is of ${organizations.join(', ')} passes`]
  const dropped = drop.length === 0 ? [] : [`the field${drop.length > 1 ? 's' : ''} ${drop.join(', ')} dropped`]
  return `the answer is filtered by guardrail ${guardrails.join(', ')}: ${[...kept, ...dropped].join('; ')}`
}

/** Which key serves and why, or which one is missing. */
function keyText({ key, requirement, facts }: Evaluation): string {
  if (key !== null) return `${key.key.id}: ${keyReason(key)}`
  const { operation } = facts
  const needed = [operation.permission ?? 'any permission', ...(requirement?.extra ?? [])].join(' and ')
  if (operation.scope === 'enterprise')
    return `no key can serve ${operation.id}: an enterprise key with ${needed} is missing in the inventory`
  const organization = requirement?.organization ?? "the caller's organization"
  return `no key can serve ${operation.id} in ${organization}: an organization key for it with ${needed} is missing in the inventory`
}

function keyReason({ key, basis, through }: KeyChoice): string {
  const where = key.scope === 'organization' ? `organization key of ${key.organization ?? ''}` : 'enterprise key'
  const count = `${key.permissions.size} permission${key.permissions.size === 1 ? '' : 's'}`
  switch (basis) {
    case 'exact':
      return `${where} with ${count}, holds ${through ?? ''}`
    case 'inherited':
      return `${where} with ${count}, whose ${through ?? ''} stands for the organization permission`
    case 'alternative':
      return `${where} with ${count}, holds ${through ?? ''}, which other pages of the documentation name for this operation`
    case 'scope':
      return `${where} with ${count}; the operation demands no permission`
  }
}
