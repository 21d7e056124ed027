// What an explanation cannot know from policies alone, and a running gateway does: attempts, limits, budgets and keys as they are
// at the moment, in the order in which the stages look at them. Nothing is counted.

import { leftOf, refusalText, type BudgetStatus } from '../../budgets/budget-status.ts'
import { unitsOf } from '../../budgets/budget.ts'
import type { BlockList } from '../../blocks/block-list.ts'
import type { KeyHandle } from '../../keys/key.ts'
import type { UnusableKey } from '../../keys/keyring.ts'
import type { Limit, Limiter, LimitStatus } from '../../limits/limiter.ts'
import type { LocalLimiter } from '../../limits/local/local-limiter.ts'
import type { Evaluation } from '../../policy/decision/evaluate.ts'
import { boundOf, chargedFor } from '../../policy/decision/session-bound.ts'
import { ownerText } from '../../policy/model/remarks.ts'
import type { PolicySet, Team } from '../../policy/model/policy-set.ts'
import type { Explained } from '../../policy/tools/explain.ts'
import type { Explanation, ExplanationStep } from '../../policy/tools/explanation.ts'
import type { ProblemKindName } from '../../problem-kinds.ts'
import type { Budgeting } from '../budgeting.ts'
import { keyUnusable } from '../refusals/keys.ts'
import { quotaText } from '../refusals/limits.ts'

export interface MomentParts {
  readonly limiter: Limiter
  readonly attempts: LocalLimiter
  readonly budgeting: Budgeting
  /** Whether the current value of a key can be used; its value stays where it is. */
  readonly keyState: (key: KeyHandle) => 'ready' | UnusableKey
  readonly blocks: BlockList
  readonly now: () => number
}

/** The explanation with what the gateway would find now. The first obstacle decides, as it does for requests. */
export async function atTheMoment(policy: PolicySet, explained: Explained, parts: MomentParts): Promise<Explanation> {
  const { explanation, evaluation, readsBody } = explained
  const team = evaluation?.decision.team ?? null
  if (evaluation === null || team === null) return explanation
  const { principal, operation } = evaluation.facts
  const limits = team.limitsFor(principal, operation)
  if (readsBody) {
    // What is taken before a body is read.
    const before = [
      ...attemptsFound(parts.attempts.peek([team.attempts.of(principal)])),
      ...limitsFound(await parts.limiter.peek(limits.filter(({ kind }) => kind === 'concurrency'))),
    ]
    const refusal = before.find(({ ok }) => !ok)
    if (refusal !== undefined) return refusedBy(explanation, refusal)
  }
  if (explanation.effect === 'deny') return explanation
  const found = [
    ...limitsFound(await parts.limiter.peek(limits)),
    ...(await budgetsFound(policy, evaluation, team, parts)),
    ...keyFound(evaluation, parts),
  ]
  const refusal = found.find(({ ok }) => !ok)
  const shown = { ...explanation, steps: [...explanation.steps, ...found.filter(({ ok }) => ok).map(stepOf)] }
  if (refusal === undefined) return shown
  // What the cache holds is given without asking for the key, and without limits where the team says so; what it holds when the
  // request comes nobody knows.
  const isRead = explanation.method === 'GET' || explanation.method === 'HEAD'
  const isStored = isRead && (refusal.stage === 'key' || (refusal.stage === 'limit' && team.cachedIsFree))
  return refusedBy(shown, isStored ? { ...refusal, text: `${refusal.text} Only a stored answer is given.` } : refusal)
}

interface Found extends ExplanationStep {
  readonly kind: ProblemKindName
  readonly reason: string
}

function stepOf({ stage, ok, text }: Found): ExplanationStep {
  return { stage, ok, text }
}

function refusedBy(explanation: Explanation, found: Found): Explanation {
  const { kind, reason, text } = found
  const steps = [...explanation.steps, stepOf(found)]
  return { ...explanation, effect: 'deny', problem: kind, reason, detail: text, steps }
}

const kinds = {
  rate: 'rate-limit-exceeded',
  refundable: 'budget-exceeded',
  concurrency: 'concurrency-exceeded',
} as const satisfies Readonly<Record<Limit['kind'], ProblemKindName>>

function limitsFound(statuses: readonly LimitStatus[]): readonly Found[] {
  return statuses.map(({ limit, remaining, resetMs }) => {
    const { name, quota, most, kind, shadow } = limit
    const amount = quota === null ? `${most} at once` : quotaText(quota)
    const back = quota === null ? '' : `; all of it is back in ${Math.ceil(resetMs / 1000)} s`
    const ok = remaining > 0 || shadow
    const text = ok
      ? `limit ${name} of ${amount}: ${remaining} left${back}${shadow ? ' (shadow: judged, not applied)' : ''}`
      : `The limit ${name} of ${amount} is used up${back}.`
    return { stage: 'limit', ok, text, kind: kinds[kind], reason: kinds[kind] }
  })
}

function attemptsFound(statuses: readonly LimitStatus[]): readonly Found[] {
  return limitsFound(statuses).map((each) => ({ ...each, kind: 'attempts-exceeded', reason: 'attempts-exceeded' }))
}

async function budgetsFound(
  policy: PolicySet,
  evaluation: Evaluation,
  team: Team,
  { budgeting, now }: MomentParts,
): Promise<readonly Found[]> {
  const charged = chargedFor(policy, evaluation)
  const bound = boundOf(evaluation.body) ?? 0
  const statuses = await budgeting.statuses(charged)
  if (statuses === null)
    return [
      { stage: 'note', ok: true, text: 'what is left of the budgets cannot be read at the moment', ...budgetKind },
    ]
  return statuses.flatMap((status) => budgetFound(status, bound, team, now()))
}

const budgetKind = { kind: 'budget-exceeded', reason: 'budget-exceeded' } as const

function budgetFound(status: BudgetStatus, bound: number, team: Team, nowMs: number): readonly Found[] {
  const { budget } = status
  const left = leftOf(status)
  if (left === null) return []
  const unit = unitsOf(budget.measure)
  const asked = budget.measure === 'acus' ? bound : unit
  if (left >= asked || budget.shadow)
    return [
      {
        stage: 'budget',
        ok: true,
        text: `budget ${budget.name} of ${budget.owner}: ${left / unit} left`,
        ...budgetKind,
      },
    ]
  const owner = budget.file === team.source.file ? team.owner : null
  const text = refusalText(status, asked, nowMs, ownerText(owner, 'its owner'))
  return [{ stage: 'budget', ok: false, text, ...budgetKind }]
}

function keyFound({ key }: Evaluation, { blocks, keyState }: MomentParts): readonly Found[] {
  const state = key === null ? 'ready' : keyState(key.key)
  if (key === null || state === 'ready') return []
  const problem = keyUnusable(key.key.id, state, blocks)
  return [{ stage: 'key', ok: false, text: problem.message, kind: problem.kind, reason: problem.reason }]
}
