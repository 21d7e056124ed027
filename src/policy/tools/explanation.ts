// What an explanation says, as data, and how refusals and further steps are added to one. Pure.

import type { PolicySet } from '../model/policy-set.ts'
import type { ProblemKindName } from '../../problem-kinds.ts'
import type { Problem } from '../../problems.ts'

export interface ExplanationStep {
  readonly stage:
    | 'token'
    | 'path'
    | 'caller'
    | 'operation'
    | 'body'
    | 'decision'
    | 'guardrail'
    | 'warn'
    | 'shadow'
    | 'response'
    | 'key'
    | 'limit'
    | 'budget'
    | 'owner'
    | 'note'
  readonly ok: boolean
  readonly text: string
}

export interface Explanation {
  readonly effect: 'allow' | 'deny'
  readonly reason: string
  /** Kind of the problem that the gateway would answer with; null when it is allowed. */
  readonly problem: ProblemKindName | null
  readonly detail: string | null
  readonly method: string
  readonly path: string
  readonly operation: string | null
  readonly permission: string | null
  readonly team: string | null
  readonly grant: string | null
  /** Who may change what decided; null where the policies name nobody. */
  readonly owner: string | null
  readonly contact: string | null
  readonly organizations: readonly string[]
  readonly key: string | null
  readonly nearest: string | null
  readonly shadow: readonly string[]
  /** What would be different without a grant in mode `warn`, or with a guardrail in it. */
  readonly warn: readonly ExplainedWarning[]
  /** Ids of the guardrails in force that bind the request. */
  readonly guardrails: readonly string[]
  /** Values they added. */
  readonly changes: readonly ExplainedChange[]
  /** What guardrails take out of the answer; null for nothing. */
  readonly response: ExplainedFilter | null
  /** Limits and budgets that an allowed request counts against: `requests 300/min, burst 50`. */
  readonly limits: readonly string[]
  readonly policy_revision: string
  readonly steps: readonly ExplanationStep[]
}

export interface ExplainedWarning {
  readonly team: string
  readonly grant: string | null
  readonly guardrail: string | null
  readonly effect: string
  readonly reason: string | null
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

/** `target`: path and query. */
interface AskedRequest {
  readonly method: string
  readonly target: string
}

const nothingDecided = {
  effect: 'deny',
  operation: null,
  permission: null,
  team: null,
  grant: null,
  owner: null,
  contact: null,
  organizations: [],
  key: null,
  nearest: null,
  shadow: [],
  warn: [],
  guardrails: [],
  changes: [],
  response: null,
  limits: [],
} as const

/** Of a request that the gateway answers without asking a policy. */
export function answeredItself(policy: PolicySet, request: AskedRequest): Explanation {
  return { ...undecided(policy, request), effect: 'allow', reason: 'own-page', problem: null, detail: null }
}

function undecided({ revision }: PolicySet, { method, target }: AskedRequest) {
  return { ...nothingDecided, method, path: target, policy_revision: revision, steps: [] }
}

/**
 * An explanation of a request that the gateway refuses with this problem, whatever else is true of it; `found` is what would be
 * without it; null where nobody is known.
 */
export function withRefusal(
  found: Explanation | null,
  policy: PolicySet,
  request: AskedRequest,
  { kind, reason, message: detail }: Problem,
  stage: ExplanationStep['stage'] = 'token',
): Explanation {
  const base = found ?? undecided(policy, request)
  return {
    ...base,
    effect: 'deny',
    reason: kind === 'unknown-operation' || kind === 'ambiguous-path' ? kind : reason,
    problem: kind,
    detail,
    steps: [{ stage, ok: false, text: detail }, ...base.steps],
  }
}

/** The same where the key that was chosen cannot be used now, whatever else is true; a stored answer needs none. */
export function withUnusableKey(found: Explanation, { kind, reason, message }: Problem): Explanation {
  const isRead = found.method === 'GET' || found.method === 'HEAD'
  const detail = isRead ? `${message} Only a stored answer is given.` : message
  const steps = [...found.steps, { stage: 'key' as const, ok: false, text: detail }]
  return { ...found, effect: 'deny', problem: kind, reason, detail, steps }
}

/** The same with further steps in front. */
export function withSteps(found: Explanation, steps: readonly ExplanationStep[]): Explanation {
  return steps.length === 0 ? found : { ...found, steps: [...steps, ...found.steps] }
}
