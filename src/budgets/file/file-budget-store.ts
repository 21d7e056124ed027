// Budgets of one instance: everything in memory, and every change in a journal before it is confirmed. After a
// failure the journal is read again at the next use: the disk decides.

import { setTimeout as delay } from 'node:timers/promises'
import { messageOf } from '../../config/values/file-errors.ts'
import { BudgetsUnavailable, type BudgetStore } from '../budget-store.ts'
import { transition } from '../session-reservation.ts'
import { openJournal, type Journal, type JournalOptions } from './journal.ts'
import { lockJournal } from './journal-lock.ts'

export interface FileBudgetStoreOptions extends JournalOptions {
  /** A sentence for the log, when trouble with the file begins and when a crash had left something behind. */
  readonly onTrouble: (text: string) => void
  /** The file can be used again, after so many uses that could not. */
  readonly onRecovered?: (failures: number) => void
}

/** Each attempt reads the whole file. */
const retryMs = 2_000

/** A store in a file; nothing is touched before its first use. A journal that cannot be used makes every use reject. */
export function createFileBudgetStore(options: FileBudgetStoreOptions): BudgetStore {
  const { file, now, onTrouble, onRecovered } = options
  let failures = 0
  let opening: Promise<Journal> | null = null
  let unlock: (() => Promise<void>) | null = null
  let closed = false

  function opened(): Promise<Journal> {
    if (closed) return Promise.reject(new BudgetsUnavailable('the journal is closed'))
    if (opening === null) {
      const mine: Promise<Journal> = open().catch((error: unknown) => {
        if (opening === mine) opening = null
        throw unavailable(error)
      })
      opening = mine
    }
    return opening
  }

  async function open(): Promise<Journal> {
    unlock ??= await lockJournal(file)
    const journal = await openJournal(options)
    if (journal.tornBytes > 0)
      onTrouble(
        `the journal ${file} ended in an entry that a crash had cut; it was dropped (bytes: ${journal.tornBytes})`,
      )
    if (failures > 0) onRecovered?.(failures)
    failures = 0
    // The process that sent these creates has ended, and their outcome with it.
    for (const reservation of journal.ledger.reservations())
      if (reservation.state === 'pending') await journal.append(transition(reservation, { state: 'unclear' }, now()))
    return journal
  }

  function unavailable(error: unknown): BudgetsUnavailable {
    const text = `the journal of budgets ${file} cannot be used: ${messageOf(error)}`
    failures += 1
    if (failures === 1) onTrouble(text)
    return new BudgetsUnavailable(text, { cause: error })
  }

  return {
    async ready() {
      await opened()
    },
    async change(change) {
      const using = opened()
      const journal = await using
      const outcome = journal.ledger.judge(change)
      if (outcome.result !== 'done') return outcome
      try {
        await journal.append(change)
      } catch (error) {
        // Memory is ahead of the disk now. The next use reads what the disk holds.
        if (opening === using) {
          opening = null
          void journal.close().catch(() => {})
        }
        throw unavailable(error)
      }
      return outcome
    },
    // What the disk holds is read before the next change is made.
    withdraw: () => Promise.resolve(),
    retryWait: () => delay(retryMs, undefined, { ref: false }),
    async accounts(names) {
      const { ledger } = await opened()
      return new Map(names.map((name) => [name, ledger.account(name)]))
    },
    find: async (id) => (await opened()).ledger.find(id),
    findSession: async (session) => (await opened()).ledger.findSession(session),
    reservations: async () => (await opened()).ledger.reservations(),
    isLeader: () => true,
    async close() {
      closed = true
      const journal = await opening?.catch(() => null)
      await journal?.close()
      await unlock?.()
    },
  }
}
