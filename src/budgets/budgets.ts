// The service behind every budget: reserves before a create is sent, and retries what it learns of the outcome until
// the store has it.

import { once } from 'node:events'
import {
  BudgetsUnavailable,
  type BudgetAccount,
  type BudgetChange,
  type BudgetStore,
  type ChangeResult,
  type SessionReservation,
} from './budget-store.ts'
import { accountOf, windowEnd, type Budget } from './budget.ts'
import { recordSession, release, reserve, touch, transition } from './session-reservation.ts'
import type { BudgetStatus } from './budget-status.ts'

/** A create that is about to be sent. */
export interface Intent {
  /** The decision id. */
  readonly id: string
  readonly organization: string
  /** The most the session may consume, in units of ACUs; null when nothing bounds it. */
  readonly bound: number | null
  /** Everything that is charged. */
  readonly budgets: readonly Budget[]
}

/**
 * The outcome of a create. Exactly one of the three is called; each returns at once and is retried until it is
 * written.
 */
export interface CreateReservation {
  /** There is a session. */
  opened(session: string): void
  /** There is certainly none. */
  released(): void
  /** Unknown: it stays reserved until settlement finds out. */
  unclear(): void
}

/** Either a reservation, or the budget without room: of several the one with the longest wait. */
export interface ReserveResult {
  readonly reservation: CreateReservation | null
  readonly refused: BudgetStatus | null
  readonly statuses: readonly BudgetStatus[]
}

export interface BudgetsOptions {
  readonly budgetStore: BudgetStore
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Called with the accounts a change has touched. */
  readonly onChange?: (accounts: ReadonlyMap<string, BudgetAccount>) => void
  /** The outcome of a create could not be written, and a retry would not help; settlement finds it. */
  readonly onDefect?: (error: unknown) => void
}

export type Budgets = ReturnType<typeof createBudgets>

/** The change that follows from what is known of a reservation; null changes nothing. */
type NextChange = (reservation: SessionReservation | null) => BudgetChange | null

const none: BudgetAccount = { reserved: 0, spent: 0, endMs: null }
/** Attempts of one change. Others may change the reservation in between, but hardly this often. */
const maxTries = 20

export function createBudgets({ budgetStore, now, onChange, onDefect }: BudgetsOptions) {
  const unwritten = new Set<Promise<void>>()
  const closing = new AbortController()
  const closed = once(closing.signal, 'abort')

  async function change(wanted: BudgetChange): Promise<ChangeResult> {
    const outcome = await budgetStore.change(wanted)
    if (outcome.result === 'done' && outcome.accounts.size > 0) onChange?.(outcome.accounts)
    return outcome
  }

  /** Changes the current version of a reservation; null when nothing was to change. Rejects with `BudgetsUnavailable`. */
  async function update(id: string, next: NextChange): Promise<ChangeResult | null> {
    for (let tries = 0; tries < maxTries; tries++) {
      const wanted = next(await budgetStore.find(id))
      if (wanted === null) return null
      const outcome = await change(wanted)
      if (outcome.result !== 'stale') return outcome
    }
    throw new BudgetsUnavailable(`the reservation ${id} is changed by others all the time`)
  }

  /** The outcome of a create must not be lost while the store is away; after a restart settlement finds it. */
  function note(id: string, next: NextChange, isWithdrawn = false): void {
    const written = (async () => {
      for (;;) {
        try {
          if (isWithdrawn) await budgetStore.withdraw(id)
          await update(id, next)
          return
        } catch (error) {
          if (!(error instanceof BudgetsUnavailable)) {
            onDefect?.(error)
            return
          }
          if (closing.signal.aborted) return
          await Promise.race([budgetStore.retryWait(), closed])
        }
      }
    })()
    unwritten.add(written)
    void written.finally(() => unwritten.delete(written))
  }

  function handleOf(reservation: SessionReservation): CreateReservation {
    return {
      opened(id) {
        const session = sessionName(id)
        note(reservation.id, (known) =>
          known === null
            ? // It was given up meanwhile, but exists.
              recordSession({ ...reservation, state: 'open', session })
            : transition(known, { state: 'open', session, guessed: false }, now()),
        )
      },
      released: () => note(reservation.id, (known) => (known === null ? null : release(known))),
      unclear: () =>
        note(reservation.id, (known) =>
          known?.state === 'pending' ? transition(known, { state: 'unclear' }, now()) : null,
        ),
    }
  }

  return {
    /** Takes what a create may cost from every budget, or from none. Rejects with `BudgetsUnavailable`. */
    async reserve({ id, organization, bound, budgets }: Intent): Promise<ReserveResult> {
      const atMs = now()
      const accounts = budgets.map((budget) => accountOf(budget, windowEnd(budget, atMs)))
      const reservation: SessionReservation = {
        id,
        version: 1,
        atMs,
        sinceMs: atMs,
        organization,
        state: 'pending',
        session: null,
        guessed: false,
        bound,
        consumed: 0,
        charges: budgets.map((budget, index) => ({
          account: accounts[index] ?? '',
          measure: budget.measure,
          endMs: windowEnd(budget, atMs),
          most: budget.shadow ? null : budget.hard,
        })),
      }
      const wanted = reserve(reservation)
      const outcome = await change(wanted).catch((error: unknown) => {
        // The change may still be made: its answer was late, or the store has yet to process it.
        if (!(error instanceof BudgetsUnavailable) || error.begun)
          note(id, (known) => (known === null ? null : release(known)), true)
        throw error
      })
      const statuses = budgets.map((budget, index) => ({
        budget,
        account: outcome.accounts.get(accounts[index] ?? '') ?? none,
      }))
      if (outcome.result === 'done') return { reservation: handleOf(reservation), refused: null, statuses }
      // Decision ids are never used twice, so it can only be full.
      const full = statuses.filter(({ account }, index) => {
        const step = wanted.steps[index]
        return step !== undefined && step.most !== null && account.reserved + account.spent + step.reserved > step.most
      })
      const endOf = ({ budget }: BudgetStatus): number => windowEnd(budget, atMs) ?? 0
      const [last] = full.toSorted((a, b) => endOf(b) - endOf(a))
      return { reservation: null, refused: last ?? statuses[0] ?? null, statuses }
    },
    /**
     * A message is about to be sent to a session: one that sleeps takes again what it gave back, and one that may have fallen
     * asleep unseen is given time to wake. The reservation when there is no room; null when the message may go. Rejects with
     * `BudgetsUnavailable`.
     */
    async wake(session: string): Promise<SessionReservation | null> {
      const reservation = await budgetStore.findSession(sessionName(session))
      if (reservation === null) return null
      const outcome = await update(reservation.id, (known) => {
        if (known?.state === 'asleep') return transition(known, { state: 'open' }, now(), true)
        return known?.state === 'open' ? touch(known, now()) : null
      })
      return outcome?.result === 'full' ? reservation : null
    },
    update,
    /** The status of budgets now. Rejects with `BudgetsUnavailable`. */
    async statuses(budgets: readonly Budget[]): Promise<readonly BudgetStatus[]> {
      const atMs = now()
      const names = budgets.map((budget) => accountOf(budget, windowEnd(budget, atMs)))
      const accounts = await budgetStore.accounts(names)
      return budgets.map((budget, index) => ({ budget, account: accounts.get(names[index] ?? '') ?? none }))
    },
    /** Writes what is not written yet, as far as the store takes it. */
    async close(): Promise<void> {
      closing.abort()
      await Promise.all(unwritten)
    },
  }
}

/** The API writes a session's id with and without its prefix; both name the same session. */
export function sessionName(id: string): string {
  return id.startsWith('devin-') ? id : `devin-${id}`
}
