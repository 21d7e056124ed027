// Puts the parts of budgets together: reservations, alarms in the log, and the rounds that look after sessions. The
// runtime says where they are kept and how sessions are read.

import { createAlarms } from './alarms.ts'
import type { BudgetStore } from './budget-store.ts'
import type { Budget } from './budget.ts'
import { createBudgets } from './budgets.ts'
import { createSettlement, type SessionReader } from './settlement.ts'
import { budgetView, type BudgetStatus } from './budget-status.ts'

interface Log {
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
}

export interface BudgetServiceOptions {
  readonly budgetStore: BudgetStore
  readonly sessions: SessionReader
  /** The budgets of the policies in force: those that are not of a single caller, by account, and whether there are any. */
  readonly inForce: () => { readonly shared: ReadonlyMap<string, Budget>; readonly any: boolean }
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Monotonic clock, milliseconds. */
  readonly monotonic: () => number
  readonly pollMs: number
  readonly log: Log
}

export function createBudgetService({
  budgetStore,
  sessions,
  inForce,
  now,
  monotonic,
  pollMs,
  log,
}: BudgetServiceOptions) {
  const entry = (event: string, { budget, ...status }: BudgetStatus, more: object = {}): object => {
    const { owner, ...view } = budgetView({ budget, ...status }, now())
    return { event, ...more, owner, budget: view }
  }
  const alarms = createAlarms({
    budgetOf: (account) => inForce().shared.get(account) ?? null,
    onLevel: (status, level) => {
      const text = `a budget has reached ${level} percent`
      if (level === 50) log.info(entry('budget-level', status, { level }), text)
      else log.warn(entry('budget-level', status, { level }), text)
    },
    onSoft: (status) => log.warn(entry('budget-soft', status), 'a budget is above its soft bound'),
  })
  const budgets = createBudgets({
    budgetStore,
    now,
    onChange: (accounts) => alarms.note(accounts),
    onDefect: (error) => log.warn({ event: 'budgets', error }, 'what became of a create could not be noted'),
  })
  const settlement = createSettlement({
    budgetStore,
    budgets,
    sessions,
    isNeeded: () => inForce().any,
    now,
    monotonic,
    everyMs: pollMs,
    onTrouble: (error) => log.warn({ event: 'settlement', error }, 'the sessions under way could not be looked after'),
  })
  return {
    ...budgets,
    /**
     * Starts settlement. Rejects with `BudgetsUnavailable` when there are budgets and their stored state cannot be
     * read: starting from zero would let everything be spent again.
     */
    async start(): Promise<void> {
      if (inForce().any) await budgetStore.ready()
      settlement.start()
    },
    async close(): Promise<void> {
      await settlement.close()
      await budgets.close()
      await budgetStore.close()
    },
  }
}
