// Budgets as gauges, and outcomes of requests that needed one. Part of instruments.ts. The names of budgets and
// owners come from policies, so no caller can make a series.

import { metricList } from './metric-list.ts'
import { createGauge, registerCounter, type Registry } from './prometheus.ts'

/** One budget as it stands; amounts in ACUs or sessions. */
export interface BudgetState {
  readonly owner: string
  readonly name: string
  /** What may be spent at most; null where nothing is bounded. */
  readonly hard: number | null
  readonly spent: number
  readonly reserved: number
  /** The highest of 50, 80 and 100 percent that is reached, else 0. */
  readonly level: number
}

export type BudgetResult = 'reserved' | 'refused' | 'unbounded' | 'unavailable'

export interface BudgetMetrics {
  /** Replaces the earlier values; null while they are unknown. */
  budgets(states: readonly BudgetState[] | null): void
  budgetRequest(result: BudgetResult): void
}

export function createBudgetMetrics(registry: Registry): BudgetMetrics {
  const requests: Record<BudgetResult, number> = { reserved: 0, refused: 0, unbounded: 0, unavailable: 0 }
  const limit = createGauge(registry, metricList.budgetLimit)
  const spent = createGauge(registry, metricList.budgetSpent)
  const reserved = createGauge(registry, metricList.budgetReserved)
  const level = createGauge(registry, metricList.budgetLevel)
  registerCounter(registry, metricList.budgetRequests, () =>
    Object.entries(requests).map(([result, count]) => [{ result }, count]),
  )
  return {
    budgets(states) {
      for (const gauge of [limit, spent, reserved, level]) gauge.reset()
      for (const state of states ?? []) {
        const labels = { owner: state.owner, budget: state.name }
        if (state.hard !== null) limit.set(labels, state.hard)
        spent.set(labels, state.spent)
        reserved.set(labels, state.reserved)
        level.set(labels, state.level)
      }
    },
    budgetRequest: (result) => {
      requests[result] += 1
    },
  }
}
