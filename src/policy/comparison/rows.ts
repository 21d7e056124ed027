// Differences as rows for people: equal ones are put together, and what matters most comes first. Pure.

import type { Operation } from '../../catalogue/operation.ts'
import { describeCallers, type CallerClass } from '../cells/caller-classes.ts'
import { askedOperation } from '../cells/requests.ts'
import type { RightChange } from './compare.ts'
import { changeKinds } from './words.ts'

/** Callers × operations × organizations of one team with the same difference. */
export interface ChangeRow extends Omit<RightChange, 'callers' | 'allCallers' | 'request' | 'asksUser'> {
  readonly callers: readonly CallerClass[]
  /** Operation ids; with the members of the body where a request has such. */
  readonly operations: readonly string[]
  readonly example: RightChange
}

/** Collapses differences; the order is by weight, then by team. */
export function rowsOf(changes: readonly RightChange[]): readonly ChangeRow[] {
  const single = changes.map((change): ChangeRow => ({
    ...change,
    operations: [askedOperation(change.request)],
    example: change,
  }))
  const byOrganization = [
    ...joined(
      single.filter(({ together }) => !together),
      'organizations',
    ),
    ...single.filter(({ together }) => together),
  ]
  const byOperation = joined(byOrganization, 'operations')
  return joined(byOperation, 'callers').sort(
    (a, b) =>
      changeKinds.indexOf(a.change) - changeKinds.indexOf(b.change) ||
      weightOf(b.example.request.operation) - weightOf(a.example.request.operation) ||
      (a.team < b.team ? -1 : a.team > b.team ? 1 : 0),
  )
}

/** Whose rights differ, in words. */
export function callersText({ callers, example }: ChangeRow): string {
  return describeCallers(callers, example.allCallers)
}

/** Writes before reads, then what is sensitive, then what reaches the whole enterprise. */
export function weightOf({ method, sensitive, scope }: Operation): number {
  return (method === 'GET' ? 0 : 4) + (sensitive ? 2 : 0) + (scope === 'enterprise' ? 1 : 0)
}

type Dimension = 'callers' | 'operations' | 'organizations'

/** Puts rows together that differ in one dimension alone; the weightiest example stays. */
function joined(rows: readonly ChangeRow[], dimension: Dimension): ChangeRow[] {
  const groups = new Map<string, ChangeRow>()
  for (const row of rows) {
    const { change, team, callers, operations, organizations, together, from, to, alsoBy } = row
    const parts = { callers: callers.map(({ text }) => text), operations, organizations, [dimension]: null }
    const key = JSON.stringify([change, team, together, from, to, alsoBy, rank(row, dimension), parts])
    const known = groups.get(key)
    groups.set(
      key,
      known === undefined
        ? row
        : {
            ...known,
            [dimension]: [...new Set<unknown>([...known[dimension], ...row[dimension]])],
            example:
              weightOf(row.example.request.operation) > weightOf(known.example.request.operation)
                ? row.example
                : known.example,
          },
    )
  }
  return [...groups.values()]
}

/** Operations of different weight stay in rows of their own. */
function rank(row: ChangeRow, dimension: Dimension): number {
  return dimension === 'operations' ? weightOf(row.example.request.operation) : 0
}
