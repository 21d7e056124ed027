// What operators see of whole policy sets. Listed fields of plain data, so that no secret fits in.

import type { MatrixRow } from '../../policy/matrix/matrix.ts'
import type { AllowingChanges } from '../../policy/suggestion/what-would-allow.ts'

export const matrixFilters = ['team', 'operation', 'organization', 'effect'] as const

export interface MatrixQuery extends Readonly<Record<(typeof matrixFilters)[number], string | null>> {
  readonly limit: number
}

export interface MatrixView {
  readonly revision: string
  readonly cells: number
  readonly undecided: number
  /** Rows that fit the filters; `rows` holds the first of them. */
  readonly found: number
  readonly rows: readonly MatrixRow[]
}

export interface AllowingView extends AllowingChanges {
  readonly decision_id: string
}

/** What the set in force changes against the one that it replaced. */
export interface PolicyChangesView {
  readonly from: string
  readonly to: string
  readonly files: readonly { readonly name: string; readonly change: 'added' | 'removed' | 'changed' }[]
  /** Rights that were gained or lost, and keys, guardrails, limits and filters that are other ones. */
  readonly changes: readonly { readonly change: string; readonly what: string; readonly details: readonly string[] }[]
  readonly notes: readonly string[]
  readonly undecided: number
}
