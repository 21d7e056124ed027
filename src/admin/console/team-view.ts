// What operators see of teams. Types only: listed fields of plain data, so that no secret fits in.

import type { RefusalCountView } from './now-view.ts'

export interface TeamBudgetView {
  readonly name: string
  readonly owner: string
  readonly measure: string
  readonly limit: string | null
  readonly hard: number | null
  readonly spent: number
  readonly reserved: number
  readonly left: number | null
  readonly used_percent: number | null
  /** Spent at the reset, at the present rate. */
  readonly forecast: number | null
  readonly resets_at: string | null
  /** At the present rate; null: not before it resets, or not known yet. */
  readonly used_up_at: string | null
  readonly outlook: string
  readonly mode: 'enforce' | 'shadow'
  readonly as_of: string
}

export interface TeamLimitView {
  readonly name: string
  readonly whose: string
  readonly limit: string
  readonly amount: number
  readonly left: number | null
  readonly used_percent: number | null
  readonly resets_in_seconds: number | null
  readonly mode: 'enforce' | 'shadow'
}

export interface TeamSummaryView {
  readonly id: string
  readonly description: string | null
  readonly owner: string | null
  readonly contact: string | null
  readonly organizations: 'all' | readonly string[]
  readonly requests: number
  readonly refused: number
  readonly last_call: string | null
  readonly blocked: boolean
  readonly tightest_budget: TeamBudgetView | null
  /** Grants in force of whose operations nobody of the team has called any since the start. */
  readonly unused_grants: readonly string[]
}

export interface TeamsView {
  readonly since: string
  readonly teams: readonly TeamSummaryView[]
}

export interface TeamDetailView {
  readonly team: TeamSummaryView
  readonly since: string
  readonly members: readonly string[]
  readonly grants: readonly {
    readonly id: string
    readonly allow: readonly string[]
    readonly organizations: readonly string[] | null
    readonly when: string | null
    readonly mode: string
    readonly until: string | null
    readonly reason: string | null
    readonly owner: string | null
    readonly description: string | null
    readonly source: string
  }[]
  readonly limits: readonly TeamLimitView[]
  readonly budgets: readonly TeamBudgetView[]
  readonly budgets_note: string | null
  readonly calls: readonly {
    readonly operation: string
    readonly requests: number
    readonly refused: number
    readonly failed: number
  }[]
  readonly refusals: readonly RefusalCountView[]
  readonly never_used: readonly {
    readonly operation: string
    readonly method: string
    readonly path: string
    readonly grants: readonly string[]
  }[]
}
