// Stores of the tests, and what they all share: budgets of any measure, and sums that are worked out the plain way.

import * as fc from 'fast-check'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type {
  BudgetStore,
  BudgetAccount,
  SessionReservation,
  ReservationState,
} from '../../src/budgets/budget-store.ts'
import { accountOf, billingPeriod, unitsOf, windowEnd, type Budget, type Measure } from '../../src/budgets/budget.ts'
import { costOf } from '../../src/budgets/session-reservation.ts'
import { createFileBudgetStore, type FileBudgetStoreOptions } from '../../src/budgets/file/file-budget-store.ts'

/** An instant in the middle of every window. */
export const noon = Date.UTC(2026, 10, 11, 12)

export function budgetOf(measure: Measure, hard: number | null, changes: Partial<Budget> = {}): Budget {
  return {
    account: `team a ${measure}`,
    name: measure,
    owner: 'team a',
    team: 'a',
    measure,
    hard: hard === null ? null : hard * unitsOf(measure),
    soft: null,
    period: measure === 'open_sessions' ? null : billingPeriod('month'),
    shadow: false,
    file: 'policies/teams/a.yaml',
    ...changes,
  }
}

/** A folder of the test's own. */
export async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'budgets-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

/** A store in a file, closed after the test; what it complains about is collected. */
export function fileStore(
  file: string,
  options: Partial<FileBudgetStoreOptions> = {},
): BudgetStore & { readonly troubles: string[] } {
  const troubles: string[] = []
  const budgetStore = createFileBudgetStore({
    file,
    now: () => noon,
    onTrouble: (text) => troubles.push(text),
    ...options,
  })
  onTestFinished(() => budgetStore.close().catch(() => {}))
  return { ...budgetStore, troubles }
}

/** What the accounts of reservations must hold, if nothing was ever forgotten. */
export function sumOf(reservations: Iterable<SessionReservation>): Map<string, Omit<BudgetAccount, 'endMs'>> {
  const sums = new Map<string, Omit<BudgetAccount, 'endMs'>>()
  for (const reservation of reservations) {
    for (const { account, measure } of reservation.charges) {
      const before = sums.get(account) ?? { reserved: 0, spent: 0 }
      const cost = costOf(reservation, measure)
      sums.set(account, { reserved: before.reserved + cost.reserved, spent: before.spent + cost.spent })
    }
  }
  return sums
}

/** A session of org-a that is about to be created, charged to budgets. */
export function reservationOf(id: string, bound: number | null, budgets: readonly Budget[]): SessionReservation {
  return {
    id,
    version: 1,
    atMs: noon,
    sinceMs: noon,
    organization: 'org-a',
    state: 'pending',
    session: null,
    guessed: false,
    bound,
    consumed: 0,
    charges: budgets.map((budget) => ({
      account: accountOf(budget, windowEnd(budget, noon)),
      measure: budget.measure,
      endMs: windowEnd(budget, noon),
      most: budget.hard,
    })),
  }
}

/** What happens to sessions, one thing after the other. `which` of those that are there. */
export interface SessionStep {
  readonly kind: 'create' | 'turn' | 'release' | 'close' | 'wake'
  readonly which: number
  readonly state: ReservationState
  readonly amount: number
}

/** Any history of up to sixty of them. */
export const stepsOfSessions: fc.Arbitrary<SessionStep[]> = fc.array(
  fc.record({
    kind: fc.constantFrom('create', 'create', 'turn', 'turn', 'release', 'close', 'wake'),
    which: fc.nat(7),
    state: fc.constantFrom('pending', 'unclear', 'open', 'asleep', 'ended'),
    amount: fc.integer({ min: 1, max: 12 }),
  }),
  { maxLength: 60 },
)
