// Accounts and reservations in memory: checks a change, applies it, and gives a snapshot. Checking and applying are
// separate, because a change that is read back from the disk is not checked again.

import {
  keptAfterMs,
  type BudgetAccount,
  type BudgetChange,
  type ChangeResult,
  type SessionReservation,
} from '../budget-store.ts'

/** A change as it is stored, without its bounds, which were checked before. */
export type LedgerEntry = Pick<BudgetChange, 'id' | 'after'> & {
  readonly steps: readonly { account: string; endMs: number | null; reserved: number; spent: number }[]
}

/** Everything at one instant. */
export interface Snapshot {
  readonly accounts: readonly (readonly [name: string, account: BudgetAccount])[]
  /** Reservations; the name is that of the file. */
  readonly holdings: readonly SessionReservation[]
}

const empty: BudgetAccount = { reserved: 0, spent: 0, endMs: null }

export class Ledger {
  readonly #accounts = new Map<string, BudgetAccount>()
  readonly #reservations = new Map<string, SessionReservation>()
  /** By the id of the session. */
  readonly #sessions = new Map<string, SessionReservation>()

  constructor(snapshot: Snapshot = { accounts: [], holdings: [] }) {
    for (const [name, account] of snapshot.accounts) this.#accounts.set(name, account)
    for (const reservation of snapshot.holdings) this.#keep(reservation)
  }

  /** Whether the change can be made; nothing is changed. */
  judge({ id, version, steps }: BudgetChange): ChangeResult {
    const stale = (this.#reservations.get(id)?.version ?? 0) !== version
    const full = steps.some((step) => {
      const after = sum(this.account(step.account), step)
      return step.most !== null && after.reserved + after.spent > step.most
    })
    const result = stale ? 'stale' : full ? 'full' : 'done'
    return {
      result,
      accounts: new Map(
        steps.map((step) => {
          const now = this.account(step.account)
          return [step.account, result === 'done' ? sum(now, step) : now]
        }),
      ),
    }
  }

  apply({ id, after, steps }: LedgerEntry): void {
    const before = this.#reservations.get(id)
    if (before?.session !== undefined && before.session !== null) this.#sessions.delete(before.session)
    this.#reservations.delete(id)
    if (after !== null) this.#keep(after)
    for (const step of steps) this.#accounts.set(step.account, sum(this.account(step.account), step))
  }

  account(name: string): BudgetAccount {
    return this.#accounts.get(name) ?? empty
  }

  find(id: string): SessionReservation | null {
    return this.#reservations.get(id) ?? null
  }

  findSession(session: string): SessionReservation | null {
    return this.#sessions.get(session) ?? null
  }

  reservations(): readonly SessionReservation[] {
    return [...this.#reservations.values()]
  }

  /** Everything but accounts whose window is long over. */
  snapshot(nowMs: number): Snapshot {
    for (const [name, account] of this.#accounts) {
      if (account.endMs === null ? account.reserved === 0 && account.spent === 0 : account.endMs + keptAfterMs < nowMs)
        this.#accounts.delete(name)
    }
    return { accounts: [...this.#accounts], holdings: this.reservations() }
  }

  #keep(reservation: SessionReservation): void {
    this.#reservations.set(reservation.id, reservation)
    if (reservation.session !== null) this.#sessions.set(reservation.session, reservation)
  }
}

function sum(account: BudgetAccount, step: LedgerEntry['steps'][number]): BudgetAccount {
  return { reserved: account.reserved + step.reserved, spent: account.spent + step.spent, endMs: step.endMs }
}
