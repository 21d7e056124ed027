// Puts the parts of budgets together: reservations, alarms in the log, and the rounds that look after sessions. Used by the
// runtime, which says where they are kept and how sessions are read.

import { createAlarms } from './alarms.ts'
import type { Book } from './book.ts'
import type { Budget } from './budget.ts'
import { createBudgets, type Budgets } from './budgets.ts'
import { createSettlement, type SessionReader } from './settlement.ts'
import { budgetView, type Standing } from './standing.ts'

interface Log {
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
}

export interface KeepOptions {
  readonly book: Book
  readonly sessions: SessionReader
  /** The budgets of the policies in force: those that are not of a single caller, by account, and whether there are any. */
  readonly inForce: () => { readonly shared: ReadonlyMap<string, Budget>; readonly any: boolean }
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** By a clock that nobody sets. */
  readonly monotonic: () => number
  readonly pollMs: number
  readonly log: Log
}

export interface KeptBudgets extends Budgets {
  /**
   * Begins to look after sessions. Rejects with `BookUnavailable` when there are budgets and what was kept of them cannot
   * be read: to begin anew would let everything be spent again.
   */
  start(): Promise<void>
}

export function keepBudgets({ book, sessions, inForce, now, monotonic, pollMs, log }: KeepOptions): KeptBudgets {
  const told = (event: string, { budget, ...standing }: Standing, more: object = {}): object => {
    const { owner, ...view } = budgetView({ budget, ...standing }, now())
    return { event, ...more, owner, budget: view }
  }
  const alarms = createAlarms({
    budgetOf: (account) => inForce().shared.get(account) ?? null,
    onLevel: (standing, level) => {
      const text = `a budget has reached ${level} percent`
      if (level === 50) log.info(told('budget-level', standing, { level }), text)
      else log.warn(told('budget-level', standing, { level }), text)
    },
    onSoft: (standing) => log.warn(told('budget-soft', standing), 'a budget is above its soft bound'),
  })
  const budgets = createBudgets({
    book,
    now,
    onChange: (accounts) => alarms.note(accounts),
    onDefect: (error) => log.warn({ event: 'budgets', error }, 'what became of a create could not be noted'),
  })
  const settlement = createSettlement({
    book,
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
    async start() {
      if (inForce().any) await book.ready()
      settlement.start()
    },
    async close() {
      await settlement.close()
      await budgets.close()
      await book.close()
    },
  }
}
