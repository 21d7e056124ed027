// Accounts and holdings in memory: judges a change, applies it, and tells all it knows for a snapshot. Used by
// journal-book.ts. Judging and applying are apart, because a change that is read back from the disk is not judged again.

import { keptAfterMs, type Account, type Change, type Outcome } from './book.ts'
import type { Holding } from './holding.ts'

/** A change as it is kept: what it was judged by is of no interest any more. */
export type Entry = Pick<Change, 'id' | 'after'> & {
  readonly steps: readonly { account: string; endMs: number | null; reserved: number; spent: number }[]
}

/** Everything at one instant. */
export interface Snapshot {
  readonly accounts: readonly (readonly [name: string, account: Account])[]
  readonly holdings: readonly Holding[]
}

const empty: Account = { reserved: 0, spent: 0, endMs: null }

export class Ledger {
  readonly #accounts = new Map<string, Account>()
  readonly #holdings = new Map<string, Holding>()
  /** By the id of the session. */
  readonly #sessions = new Map<string, Holding>()

  constructor(snapshot: Snapshot = { accounts: [], holdings: [] }) {
    for (const [name, account] of snapshot.accounts) this.#accounts.set(name, account)
    for (const holding of snapshot.holdings) this.#keep(holding)
  }

  /** Whether the change can be made; nothing is changed. */
  judge({ id, version, steps }: Change): Outcome {
    const stale = (this.#holdings.get(id)?.version ?? 0) !== version
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

  apply({ id, after, steps }: Entry): void {
    const before = this.#holdings.get(id)
    if (before?.session !== undefined && before.session !== null) this.#sessions.delete(before.session)
    this.#holdings.delete(id)
    if (after !== null) this.#keep(after)
    for (const step of steps) this.#accounts.set(step.account, sum(this.account(step.account), step))
  }

  account(name: string): Account {
    return this.#accounts.get(name) ?? empty
  }

  find(id: string): Holding | null {
    return this.#holdings.get(id) ?? null
  }

  findSession(session: string): Holding | null {
    return this.#sessions.get(session) ?? null
  }

  holdings(): readonly Holding[] {
    return [...this.#holdings.values()]
  }

  /** All there is, without accounts whose window is long over. */
  snapshot(nowMs: number): Snapshot {
    for (const [name, account] of this.#accounts) {
      if (account.endMs === null ? account.reserved === 0 && account.spent === 0 : account.endMs + keptAfterMs < nowMs)
        this.#accounts.delete(name)
    }
    return { accounts: [...this.#accounts], holdings: this.holdings() }
  }

  #keep(holding: Holding): void {
    this.#holdings.set(holding.id, holding)
    if (holding.session !== null) this.#sessions.set(holding.session, holding)
  }
}

function sum(account: Account, step: Entry['steps'][number]): Account {
  return { reserved: account.reserved + step.reserved, spent: account.spent + step.spent, endMs: step.endMs }
}
