// Says once for each window when a budget has reached 50, 80 or 100 percent, or its soft bound.

import type { BudgetAccount } from './budget-store.ts'
import type { Budget } from './budget.ts'
import { isSoftExceeded, levelOf, type BudgetStatus, type WarningLevel } from './budget-status.ts'

export interface AlarmsOptions {
  /** The budget of an account, by the account's name without its window; null for budgets without alarms. */
  readonly budgetOf: (account: string) => Budget | null
  readonly onLevel: (status: BudgetStatus, level: WarningLevel) => void
  readonly onSoft: (status: BudgetStatus) => void
}

/** Windows that are remembered. The oldest are forgotten, so their alarm could repeat. */
const maxRemembered = 10_000

export function createAlarms({ budgetOf, onLevel, onSoft }: AlarmsOptions) {
  const reported = new Map<string, { level: WarningLevel | 0; soft: boolean }>()

  function remember(name: string, state: { level: WarningLevel | 0; soft: boolean }): void {
    reported.delete(name)
    reported.set(name, state)
    const [oldest] = reported.keys()
    if (reported.size > maxRemembered && oldest !== undefined) reported.delete(oldest)
  }

  return {
    /** Accounts that have changed, by name. */
    note(accounts: ReadonlyMap<string, BudgetAccount>): void {
      for (const [name, account] of accounts) {
        const budget = budgetOf(withoutWindow(name))
        if (budget === null) continue
        const status = { budget, account }
        const before = reported.get(name) ?? { level: 0, soft: false }
        const [level, soft] = [levelOf(status), isSoftExceeded(status)]
        if (level > before.level && level !== 0) onLevel(status, level)
        if (soft && !before.soft) onSoft(status)
        // A window raises each alarm once. Open sessions have no window, so every rise raises it again.
        const once = budget.period !== null
        remember(name, {
          level: once && before.level > level ? before.level : level,
          soft: soft || (once && before.soft),
        })
      }
    },
  }
}

/** The name that accounts of all windows share. */
function withoutWindow(account: string): string {
  return account.replace(/ \d{4}-\d{2}-\d{2}T\d{2}:\d{2}Z$/, '')
}
