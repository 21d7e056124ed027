// The status of a budget: what is spent, reserved and left, when it resets, and the forecast. Pure; shown on the
// callers' page, to operators, in refusals and in metrics.

import { basename } from 'node:path'
import type { BudgetAccount } from './budget-store.ts'
import { unitsOf, windowAt, type Budget } from './budget.ts'

export interface BudgetStatus {
  readonly budget: Budget
  readonly account: BudgetAccount
}

/** Percent of a hard bound at which a warning is due. */
const warningLevels = [50, 80, 100] as const
export type WarningLevel = (typeof warningLevels)[number]

/**
 * Units that may still be used; null: unbounded. Never negative, although a session may cost more than was reserved.
 */
export function leftOf({ budget, account }: BudgetStatus): number | null {
  return budget.hard === null ? null : Math.max(0, budget.hard - account.reserved - account.spent)
}

/** The highest warning level that is reached; 0 below all of them. */
export function levelOf({ budget, account }: BudgetStatus): WarningLevel | 0 {
  const { hard } = budget
  if (hard === null) return 0
  const used = account.reserved + account.spent
  return warningLevels.findLast((level) => used * 100 >= hard * level) ?? 0
}

/** Whether more than the soft bound is spent or reserved. */
export function isSoftExceeded({ budget, account }: BudgetStatus): boolean {
  return budget.soft !== null && account.reserved + account.spent > budget.soft
}

/** Milliseconds until the budget resets; null when it never does. */
export function resetMs({ budget }: BudgetStatus, nowMs: number): number | null {
  return budget.period === null ? null : windowAt(budget.period, nowMs).endMs - nowMs
}

/**
 * Units that will be spent at the end of the window at the present pace; null without a window, and early in a
 * window, when a forecast would be noise.
 */
export function forecastOf({ budget, account }: BudgetStatus, nowMs: number): number | null {
  if (budget.period === null) return null
  const { startMs, endMs } = windowAt(budget.period, nowMs)
  const passed = (nowMs - startMs) / (endMs - startMs)
  return passed < 0.05 ? null : Math.round(account.spent / passed)
}

/** One budget as it is shown; amounts in ACUs or sessions, times as ISO 8601. */
export type BudgetView = ReturnType<typeof budgetView>

export function budgetView(status: BudgetStatus, nowMs: number) {
  const { budget, account } = status
  const unit = unitsOf(budget.measure)
  const shown = (units: number | null): number | null => (units === null ? null : inUnits(units, unit))
  const wait = resetMs(status, nowMs)
  return {
    name: budget.name,
    owner: budget.owner,
    team: budget.team,
    measure: budget.measure,
    /** `500 per month`, `10 at once`; null when nothing is bounded. */
    limit: limitText(budget, budget.hard),
    soft_limit: limitText(budget, budget.soft),
    /** The limit as a number. */
    hard: shown(budget.hard),
    spent: inUnits(account.spent, unit),
    reserved: inUnits(account.reserved, unit),
    left: shown(leftOf(status)),
    /** Spent and reserved together. */
    used_percent:
      budget.hard === null ? null : Math.round(((account.reserved + account.spent) / budget.hard) * 1000) / 10,
    level: levelOf(status),
    /** What will have been spent at the reset, at the present pace. */
    forecast: shown(forecastOf(status, nowMs)),
    resets_at: wait === null ? null : new Date(nowMs + wait).toISOString(),
    mode: budget.shadow ? ('shadow' as const) : ('enforce' as const),
    /** Name of the policy file, whose owner may change it. */
    policy: basename(budget.file),
  }
}

/** `500 per month`, `10 at once`. */
function limitText({ measure, period }: Budget, units: number | null): string | null {
  if (units === null) return null
  return `${units / unitsOf(measure)} ${period === null ? 'at once' : `per ${period.calendar}`}`
}

function inUnits(units: number, unit: number): number {
  return Math.round((units / unit) * 10_000) / 10_000
}

/** One sentence about a budget without room: how much was asked, what is left, why, and when it resets. */
export function refusalText(status: BudgetStatus, asked: number, nowMs: number, whom: string): string {
  const view = budgetView(status, nowMs)
  const { budget } = status
  const acus = budget.measure === 'acus'
  const noun = acus ? 'ACUs' : budget.measure === 'sessions' ? 'sessions' : 'open sessions'
  const wants = acus ? ` This session may cost ${asked / unitsOf(budget.measure)}.` : ''
  const again =
    budget.hard !== null && asked > budget.hard
      ? 'No waiting lets this through: ask for less.'
      : view.resets_at === null
        ? 'Wait until a session has ended, or end one.'
        : `It begins anew at ${view.resets_at}; sessions that end below their bound give the rest back before.`
  return `The budget ${budget.name} of ${budget.owner} has ${view.left ?? 0} ${noun} left of ${view.limit ?? ''}: ${view.spent} spent, ${view.reserved} reserved by sessions under way.${wants} ${again} The budget stands in ${view.policy}, for ${whom} to change.`
}
