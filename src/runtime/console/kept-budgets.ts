// The budgets as they were read last, so that nobody who looks has to wait for where they are kept.

import type { BudgetView } from '../../budgets/budget-status.ts'

export interface KeptBudgets {
  /** By the monotonic clock. */
  readonly atMs: number
  readonly views: readonly BudgetView[]
}

const freshMs = 1_000

/** `read`: null while their state is unknown. */
export function keepBudgets(read: () => Promise<readonly BudgetView[] | null>, monotonic: () => number) {
  let latest: KeptBudgets | null = null
  let isFailing = false
  let isReading = false
  return {
    /** Null: they were never read. */
    get latest(): KeptBudgets | null {
      return latest
    },
    /** Whether the latest reading had no answer. */
    get isFailing(): boolean {
      return isFailing
    },
    /** Reads again, without waiting: one reading at a time, and none of what is new. */
    renew(): void {
      if (isReading || (latest !== null && monotonic() - latest.atMs < freshMs)) return
      isReading = true
      void read()
        .catch(() => null)
        .then((views) => {
          isReading = false
          isFailing = views === null
          if (views !== null) latest = { atMs: monotonic(), views }
        })
    },
  }
}

export type BudgetKeeper = ReturnType<typeof keepBudgets>
