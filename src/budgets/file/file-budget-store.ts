// Budgets of one instance: everything in memory, and every change in a journal before it is confirmed. After a
// failure the journal is read again at the next use: the disk decides.

import { setTimeout as delay } from 'node:timers/promises'
import { BudgetsUnavailable, type BudgetStore } from '../budget-store.ts'
import { transition } from '../session-reservation.ts'
import { openJournal, type Journal, type JournalFiles } from './journal.ts'
import { lockJournal } from './journal-lock.ts'
import { Ledger, type LedgerEntry, type Snapshot } from './ledger.ts'

export interface FileBudgetStoreOptions {
  readonly file: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** A sentence for the log, when trouble with the file begins and when a crash had left something behind. */
  readonly onTrouble: (text: string) => void
  /** The file can be used again, after so many uses that could not. */
  readonly onRecovered?: (failures: number) => void
  readonly files?: JournalFiles
  readonly compactAboveBytes?: number
}

/** Each attempt reads the whole file. */
const retryMs = 2_000

/** A journal with the memory that was read from it. */
interface Opened {
  readonly journal: Journal<LedgerEntry>
  readonly ledger: Ledger
}

/** A store in a file; nothing is touched before its first use. A journal that cannot be used makes every use reject. */
export function createFileBudgetStore(options: FileBudgetStoreOptions): BudgetStore {
  const { file, now, onTrouble, onRecovered } = options
  let failures = 0
  let opening: Promise<Opened> | null = null
  let unlock: (() => Promise<void>) | null = null
  let closed = false

  function opened(): Promise<Opened> {
    if (closed) return Promise.reject(new BudgetsUnavailable('the journal is closed'))
    if (opening === null) {
      const mine: Promise<Opened> = open().catch((error: unknown) => {
        if (opening === mine) opening = null
        throw unavailable(error)
      })
      opening = mine
    }
    return opening
  }

  async function open(): Promise<Opened> {
    unlock ??= await lockJournal(file)
    let ledger = new Ledger()
    const journal = await openJournal<Snapshot, LedgerEntry>({
      file,
      snapshot: () => ledger.snapshot(now()),
      restore: (snapshot) => {
        ledger = new Ledger(snapshot)
      },
      entry: (entry) => ledger.apply(entry),
      onTorn: (bytes) =>
        onTrouble(`the journal ${file} ended in ${bytes} bytes of an entry that a crash had cut; they were dropped`),
      ...(options.files === undefined ? {} : { files: options.files }),
      ...(options.compactAboveBytes === undefined ? {} : { compactAboveBytes: options.compactAboveBytes }),
    })
    if (failures > 0) onRecovered?.(failures)
    failures = 0
    const found = { journal, ledger }
    // The process that sent these creates has ended, and their outcome with it.
    for (const reservation of ledger.reservations())
      if (reservation.state === 'pending') await keep(found, transition(reservation, { state: 'unclear' }, now()))
    return found
  }

  async function keep({ journal, ledger }: Opened, { id, after, steps }: LedgerEntry): Promise<void> {
    const entry = {
      id,
      after,
      steps: steps.map(({ account, endMs, reserved, spent }) => ({ account, endMs, reserved, spent })),
    }
    ledger.apply(entry)
    await journal.append(entry)
  }

  function unavailable(error: unknown): BudgetsUnavailable {
    const why = error instanceof Error ? error.message : 'unknown error'
    const text = `the journal of budgets ${file} cannot be used: ${why}`
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
      const budgetStore = await using
      const outcome = budgetStore.ledger.judge(change)
      if (outcome.result !== 'done') return outcome
      try {
        await keep(budgetStore, change)
      } catch (error) {
        // Memory is ahead of the disk now. The next use reads what the disk holds.
        if (opening === using) {
          opening = null
          void budgetStore.journal.close().catch(() => {})
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
      const budgetStore = await opening?.catch(() => null)
      await budgetStore?.journal.close()
      await unlock?.()
    },
  }
}
