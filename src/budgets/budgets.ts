// The service behind every budget: reserves before a create is sent, and keeps what it learns of it until the book has
// taken it. Used by the gateway's reservation stage, by settlement and by whoever shows budgets.

import { once } from 'node:events'
import { BookUnavailable, type Account, type Book, type Change, type Outcome } from './book.ts'
import { accountOf, windowEnd, type Budget } from './budget.ts'
import { recording, releasing, reserving, stirring, turning, type Holding } from './holding.ts'
import type { Standing } from './standing.ts'

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

/** What became of a create. Exactly one of the three is called; each returns at once and is kept until it is written. */
export interface Reservation {
  /** There is a session. */
  opened(session: string): void
  /** There surely is none. */
  released(): void
  /** Nobody knows: it stays reserved until settlement finds out. */
  unclear(): void
}

/** Either a reservation, or the budget without room: of several the one to wait for longest. */
export interface Judgement {
  readonly reservation: Reservation | null
  readonly refused: Standing | null
  readonly standings: readonly Standing[]
}

export interface BudgetsOptions {
  readonly book: Book
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Called with the accounts a change has touched. */
  readonly onChange?: (accounts: ReadonlyMap<string, Account>) => void
  /** What became of a create could not be written, for a reason that no waiting mends; settlement finds out by itself. */
  readonly onDefect?: (error: unknown) => void
}

export interface Budgets {
  /** Takes what a create may cost from every budget, or from none. Rejects with `BookUnavailable`. */
  reserve(intent: Intent): Promise<Judgement>
  /**
   * A message is about to be sent to a session: one that sleeps takes again what it gave back, and one that may have fallen
   * asleep unseen is given time to wake. The holding when there is no room; null when the message may go. Rejects with
   * `BookUnavailable`.
   */
  wake(session: string): Promise<Holding | null>
  /** Changes a holding as it is when the change is made; null changes nothing. Rejects with `BookUnavailable`. */
  update(id: string, next: (holding: Holding | null) => Change | null): Promise<Outcome | null>
  /** How budgets stand now. Rejects with `BookUnavailable`. */
  standings(budgets: readonly Budget[]): Promise<readonly Standing[]>
  /** Writes what is not written yet, as far as the book takes it. */
  close(): Promise<void>
}

const none: Account = { reserved: 0, spent: 0, endMs: null }
/** Others may change a holding in between; that two keep each other from it for so long does not happen. */
const maxTries = 20

export function createBudgets({ book, now, onChange, onDefect }: BudgetsOptions): Budgets {
  const unwritten = new Set<Promise<void>>()
  const closing = new AbortController()
  const closed = once(closing.signal, 'abort')

  async function change(wanted: Change): Promise<Outcome> {
    const outcome = await book.change(wanted)
    if (outcome.result === 'done' && outcome.accounts.size > 0) onChange?.(outcome.accounts)
    return outcome
  }

  async function update(id: string, next: (holding: Holding | null) => Change | null): Promise<Outcome | null> {
    for (let tries = 0; tries < maxTries; tries++) {
      const wanted = next(await book.find(id))
      if (wanted === null) return null
      const outcome = await change(wanted)
      if (outcome.result !== 'stale') return outcome
    }
    throw new BookUnavailable(`the reservation ${id} is changed by others all the time`)
  }

  /** News of a create must not be lost while the book is away; after a restart settlement finds out by itself. */
  function note(id: string, next: (holding: Holding | null) => Change | null, isWithdrawn = false): void {
    const written = (async () => {
      for (;;) {
        try {
          if (isWithdrawn) await book.withdraw(id)
          await update(id, next)
          return
        } catch (error) {
          if (!(error instanceof BookUnavailable)) {
            onDefect?.(error)
            return
          }
          if (closing.signal.aborted) return
          await Promise.race([book.retryWait(), closed])
        }
      }
    })()
    unwritten.add(written)
    void written.finally(() => unwritten.delete(written))
  }

  function reservationOf(holding: Holding): Reservation {
    return {
      opened(id) {
        const session = sessionName(id)
        note(holding.id, (known) =>
          known === null
            ? // It was given up meanwhile, and exists all the same.
              recording({ ...holding, state: 'open', session })
            : turning(known, { state: 'open', session, guessed: false }, now()),
        )
      },
      released: () => note(holding.id, (known) => (known === null ? null : releasing(known))),
      unclear: () =>
        note(holding.id, (known) => (known?.state === 'pending' ? turning(known, { state: 'unclear' }, now()) : null)),
    }
  }

  return {
    async reserve({ id, organization, bound, budgets }) {
      const atMs = now()
      const accounts = budgets.map((budget) => accountOf(budget, windowEnd(budget, atMs)))
      const holding: Holding = {
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
      const wanted = reserving(holding)
      const outcome = await change(wanted).catch((error: unknown) => {
        // It may be made all the same: its answer came too late, or the book gets to it when it goes on.
        if (!(error instanceof BookUnavailable) || error.begun)
          note(id, (known) => (known === null ? null : releasing(known)), true)
        throw error
      })
      const standings = budgets.map((budget, index) => ({
        budget,
        account: outcome.accounts.get(accounts[index] ?? '') ?? none,
      }))
      if (outcome.result === 'done') return { reservation: reservationOf(holding), refused: null, standings }
      // Decision ids are never used twice, so it can only be full.
      const full = standings.filter(({ account }, index) => {
        const step = wanted.steps[index]
        return step !== undefined && step.most !== null && account.reserved + account.spent + step.reserved > step.most
      })
      const endOf = ({ budget }: Standing): number => windowEnd(budget, atMs) ?? 0
      const [last] = full.toSorted((a, b) => endOf(b) - endOf(a))
      return { reservation: null, refused: last ?? standings[0] ?? null, standings }
    },
    async wake(session) {
      const holding = await book.findSession(sessionName(session))
      if (holding === null) return null
      const outcome = await update(holding.id, (known) => {
        if (known?.state === 'asleep') return turning(known, { state: 'open' }, now(), true)
        return known?.state === 'open' ? stirring(known, now()) : null
      })
      return outcome?.result === 'full' ? holding : null
    },
    update,
    async standings(budgets) {
      const atMs = now()
      const names = budgets.map((budget) => accountOf(budget, windowEnd(budget, atMs)))
      const accounts = await book.accounts(names)
      return budgets.map((budget, index) => ({ budget, account: accounts.get(names[index] ?? '') ?? none }))
    },
    async close() {
      closing.abort()
      await Promise.all(unwritten)
    },
  }
}

/** A session's id stands with and without its prefix; both name the same session. */
export function sessionName(id: string): string {
  return id.startsWith('devin-') ? id : `devin-${id}`
}
