// Reserves what a create may cost from its budgets. Requests without a budget need nothing.

import { BudgetsUnavailable } from '../budgets/budget-store.ts'
import { unitsOf, unitsPerAcu, type Budget } from '../budgets/budget.ts'
import type { Budgets, CreateReservation } from '../budgets/budgets.ts'
import { budgetView, leftOf, refusalText, resetMs, type BudgetStatus } from '../budgets/budget-status.ts'
import type { Evaluation } from '../policy/decision/evaluate.ts'
import {
  boundOf,
  budgetNeedingBound,
  chargedFor,
  needsBound,
  needsBoundText,
} from '../policy/decision/session-bound.ts'
import type { Team } from '../policy/model/policy-set.ts'
import { ownerText, type Owner } from '../policy/model/remarks.ts'
import { Problem } from '../problems.ts'
import type { RequestContext } from './context.ts'
import { ownerMembers } from './refusals/request.ts'
import { sessionCreate } from '../catalogue/operation.ts'

export interface BudgetingOptions {
  readonly budgets: Budgets
  readonly now: () => number
  /** What happens to creates while budgets cannot be read. */
  readonly whenUnavailable: 'refuse' | 'allow'
  readonly onResult: (result: 'reserved' | 'refused' | 'unbounded' | 'unavailable') => void
}

export function createBudgeting({ budgets, now, whenUnavailable, onResult }: BudgetingOptions) {
  async function reserve(
    context: RequestContext,
    charged: readonly Budget[],
    organization: string,
    bound: number | null,
    team: Team | null,
  ): Promise<CreateReservation | null> {
    const judged = await unlessUnavailable(() =>
      budgets.reserve({ id: context.decisionId, organization, bound, budgets: charged }),
    )
    if (judged === null) return null
    context.limitFields = withBudgets(context.limitFields, judged.statuses, now())
    context.limitExceeded ??= judged.refused?.budget.name ?? overShadow(judged.statuses)
    if (judged.reservation !== null) {
      onResult('reserved')
      return judged.reservation
    }
    onResult('refused')
    throw exceeded(judged.refused, bound ?? 0, now(), team)
  }

  async function wake(session: string, owner: Owner | null): Promise<null> {
    const asleep = await unlessUnavailable(() => budgets.wake(session))
    if (asleep === null) return null
    onResult('refused')
    throw new Problem(
      'budget-exceeded',
      `The session ${session} sleeps and has given back what it had not used. Waking it may cost ${((asleep.bound ?? 0) - asleep.consumed) / unitsPerAcu} ACUs or another open session, and the budgets it was created in have no room for that. End another session, or ask ${ownerText(owner, 'the owner of the policy')}.`,
      { reason: 'session-asleep', fields: { 'retry-after': '60' }, members: ownerMembers(owner) },
    )
  }

  /** What the budgets answer; null while they are unavailable, where creates are allowed all the same. */
  async function unlessUnavailable<T>(ask: () => Promise<T>): Promise<T | null> {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof BudgetsUnavailable)) throw error
      onResult('unavailable')
      if (whenUnavailable === 'allow') return null
      throw new Problem(
        'budget-unavailable',
        'The gateway cannot read what is left of the budget at the moment, so it starts nothing that costs money. Try again after Retry-After.',
        { fields: { 'retry-after': '5' }, cause: error },
      )
    }
  }

  return {
    /** The status of budgets; null while it is unknown. */
    async statuses(asked: readonly Budget[]): Promise<readonly BudgetStatus[] | null> {
      if (asked.length === 0) return []
      try {
        return await budgets.statuses(asked)
      } catch (error) {
        if (error instanceof BudgetsUnavailable) return null
        throw error
      }
    },
    /**
     * Reserves for a request that is about to be sent. Null at once when there is nothing to reserve; a promise of null when
     * it may be sent without. Throws or rejects with `budget-exceeded`, `budget-unavailable`, or `guardrail` for a create that
     * nothing bounds.
     */
    reserve(context: RequestContext, evaluation: Evaluation): Promise<CreateReservation | null> | null {
      const { facts, decision, target, body } = evaluation
      const { operation, organization } = facts
      if (operation.id !== sessionCreate) {
        if (!wakes.has(operation.id) || !context.policy.budgets.any) return null
        // Devin reads escapes in an id; readTarget has let none pass that cannot be read.
        const session = decodeURIComponent(target.segments[operation.segments.indexOf('{devin_id}')] ?? '')
        return wake(session, decision.team?.owner ?? null)
      }
      const charged = chargedFor(context.policy, evaluation)
      if (charged.length === 0) return null
      const needing = budgetNeedingBound(charged, body)
      if (needing !== null) {
        onResult('unbounded')
        throw new Problem('guardrail', needsBoundText(needing), { reason: needsBound })
      }
      return reserve(context, charged, organization ?? '', boundOf(body), decision.team)
    },
  }
}

export type Budgeting = ReturnType<typeof createBudgeting>

const wakes: ReadonlySet<string> = new Set(['org.sessions.messages.send', 'ent.sessions.messages.send'])

function exceeded(budgetStatus: BudgetStatus | null, bound: number, nowMs: number, team: Team | null): Problem {
  if (budgetStatus === null) return new Problem('budget-exceeded', 'The budget is spent.')
  // Budgets of the gateway's own file are nobody's of the team.
  const owner = budgetStatus.budget.file === team?.source.file ? (team.owner ?? null) : null
  const asked = budgetStatus.budget.measure === 'acus' ? bound : unitsOf(budgetStatus.budget.measure)
  const waitMs = resetMs(budgetStatus, nowMs)
  const never = budgetStatus.budget.hard !== null && asked > budgetStatus.budget.hard
  const seconds = waitMs === null ? 60 : Math.max(1, Math.ceil(waitMs / 1000))
  return new Problem('budget-exceeded', refusalText(budgetStatus, asked, nowMs, ownerText(owner, 'its owner')), {
    fields: never ? {} : { 'retry-after': String(seconds) },
    members: { ...ownerMembers(owner), budget: budgetView(budgetStatus, nowMs) },
  })
}

/** The budget in shadow mode that would have refused. */
function overShadow(statuses: readonly BudgetStatus[]): string | null {
  const over = statuses.find(
    ({ budget: { shadow, hard }, account: { reserved, spent } }) => shadow && hard !== null && reserved + spent > hard,
  )
  return over?.budget.name ?? null
}

const windowSeconds = { day: 86_400, week: 604_800, month: null } as const

/** Appends the budgets to RateLimit-Policy and RateLimit: whole ACUs or sessions, rounded down. */
function withBudgets(fields: readonly string[], statuses: readonly BudgetStatus[], nowMs: number): readonly string[] {
  const shown = statuses.filter(({ budget }) => budget.hard !== null)
  if (shown.length === 0) return fields
  const policy = shown.map(({ budget: { name, measure, hard, period } }) => {
    const window = period === null ? null : windowSeconds[period.calendar]
    const unit = measure === 'acus' ? ';qu="acus"' : measure === 'open_sessions' ? ';qu="open-sessions"' : ''
    return `"${name}";q=${(hard ?? 0) / unitsOf(measure)}${unit}${window === null ? '' : `;w=${window}`}`
  })
  const left = shown.map((budgetStatus) => {
    const { name, measure } = budgetStatus.budget
    const waitMs = resetMs(budgetStatus, nowMs)
    const remaining = Math.floor((leftOf(budgetStatus) ?? 0) / unitsOf(measure))
    return `"${name}";r=${remaining}${waitMs === null ? '' : `;t=${Math.max(1, Math.round(waitMs / 1000))}`}`
  })
  const [, before, , budgetStatus] = fields
  return [
    'ratelimit-policy',
    [...(before === undefined ? [] : [before]), ...policy].join(', '),
    'ratelimit',
    [...(budgetStatus === undefined ? [] : [budgetStatus]), ...left].join(', '),
  ]
}
