// The most a session may cost, as its create states it, and the budget that refuses a create without a bound. Pure.

import { basename } from 'node:path'
import { unitsOfAcus, type Budget } from '../../budgets/budget.ts'
import type { Evaluation } from './evaluate.ts'
import type { CheckedBody } from './checked-body.ts'
import { JsonNumber } from '../../json/value.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { sessionCreate } from '../../catalogue/operation.ts'

/** Reason of the refusal of a create without a bound. */
export const needsBound = 'budget-needs-bound'

/** Units of the most that the session may consume; null where nothing bounds it. */
export function boundOf(body: CheckedBody | null | undefined): number | null {
  const [written] = body?.valuesAt('max_acu_limit') ?? []
  const acus = written instanceof JsonNumber ? written.toNumber() : typeof written === 'number' ? written : null
  return acus === null || acus <= 0 ? null : unitsOfAcus(acus)
}

/** The budgets that an allowed create is charged to; none for other operations. */
export function chargedFor(policy: PolicySet, { facts, decision }: Evaluation): readonly Budget[] {
  const { operation, principal, organization } = facts
  return operation.id === sessionCreate ? policy.budgets.of(decision.team?.id ?? '', principal, organization) : []
}

/** The budget that needs a bound which this create does not state; null when there is none. */
export function budgetNeedingBound(charged: readonly Budget[], body: CheckedBody | null | undefined): Budget | null {
  if (boundOf(body) !== null) return null
  return charged.find(({ measure, hard, shadow }) => measure === 'acus' && hard !== null && !shadow) ?? null
}

/** Why, and what to do. */
export function needsBoundText(budget: Budget): string {
  return `The budget ${budget.name} of ${budget.owner} pays for this session, so it has to say what it may cost at most: send max_acu_limit as a number of ACUs above 0. The budget stands in ${basename(budget.file)}; a guardrail with a default for max_acu_limit would put one in.`
}
