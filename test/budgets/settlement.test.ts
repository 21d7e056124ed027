// Settlement of sessions of unknown outcome, of vanished and of unreadable ones: the rules of age of docs/budgets.md,
// on a real journal, with sessions that the test makes up.

import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { BudgetStore, BudgetAccount } from '../../src/budgets/budget-store.ts'
import { createBudgets, type Budgets, type CreateReservation } from '../../src/budgets/budgets.ts'
import { accountOf, windowEnd } from '../../src/budgets/budget.ts'
import {
  batchSize,
  createSettlement,
  type SeenSession,
  type SessionReader,
  type Settlement,
} from '../../src/budgets/settlement.ts'
import { budgetOf, folder, fileStore, noon } from './stores.ts'

const minute = 60_000
const day = 86_400_000
const acu = 1_000_000

/** A company of one organization whose sessions are in a map. */
interface Company {
  readonly budgetStore: BudgetStore
  readonly budgets: Budgets
  readonly settlement: Settlement
  readonly sessions: Map<string, SeenSession>
  readonly bills: Map<string, number>
  /** Ids of each list call. */
  readonly lists: (readonly string[])[]
  pass(ms: number): void
  /** Somebody sets the clock of the machine. */
  setClock(byMs: number): void
  /** The session reader answers nothing, as without a key. */
  blind: boolean
  /** What happens while a list is read. */
  onList: () => Promise<unknown>
  reserve(id: string, bound?: number): Promise<CreateReservation>
  /** ACUs reserved and spent, and open sessions. */
  stands(): Promise<readonly [reserved: number, spent: number, open: number]>
}

async function company(): Promise<Company> {
  let now = noon
  let passed = 0
  const budgetStore = fileStore(join(await folder(), 'budgets.journal'), { now: () => now })
  const limits = [budgetOf('acus', 10_000), budgetOf('open_sessions', 1000)]
  const budgets = createBudgets({ budgetStore, now: () => now })
  const sessions = new Map<string, SeenSession>()
  const bills = new Map<string, number>()
  const lists: (readonly string[])[] = []
  const reader: SessionReader = {
    async list(_organization, ids) {
      lists.push(ids)
      await it.onList()
      return it.blind ? null : ids.flatMap((id) => sessions.get(id) ?? [])
    },
    async get(_organization, id) {
      return it.blind ? null : (sessions.get(id) ?? 'gone')
    },
    async createdSince(_organization, sinceMs) {
      return it.blind ? null : [...sessions.values()].filter(({ createdAtMs }) => createdAtMs >= sinceMs)
    },
    async billed(_organization, id) {
      return it.blind ? null : (bills.get(id) ?? null)
    },
  }
  const settlement = createSettlement({
    budgetStore,
    budgets,
    sessions: reader,
    isNeeded: () => true,
    now: () => now,
    monotonic: () => passed,
    everyMs: minute,
    onTrouble: (error) => {
      throw error
    },
  })
  const it: Company = {
    budgetStore,
    budgets,
    settlement,
    sessions,
    bills,
    lists,
    blind: false,
    onList: () => Promise.resolve(),
    pass(ms) {
      now += ms
      passed += ms
    },
    setClock(byMs) {
      now += byMs
    },
    async reserve(id, bound = 10) {
      const { reservation } = await budgets.reserve({
        id,
        organization: 'org-a',
        bound: bound * acu,
        budgets: limits,
      })
      if (reservation === null) throw new Error('refused')
      return reservation
    },
    async stands() {
      const accounts = limits.map((budget) => accountOf(budget, windowEnd(budget, noon)))
      const none: BudgetAccount = { reserved: 0, spent: 0, endMs: null }
      const found = await budgetStore.accounts(accounts)
      const [costs = none, open = none] = accounts.map((name) => found.get(name) ?? none)
      return [costs.reserved / acu, costs.spent / acu, open.reserved]
    },
  }
  return it
}

function session(id: string, changes: Partial<SeenSession> = {}): SeenSession {
  return { id: `devin-${id}`, status: 'running', archived: false, acus: 0, createdAtMs: noon, ...changes }
}

/** Waits until reported outcomes are written. */
const written = ({ budgets }: Company): Promise<void> => budgets.close()

describe('a create of unknown outcome', () => {
  test('is taken for the session that came to be then, and costs no more than its bound', async () => {
    const it = await company()
    ;(await it.reserve('lost')).unclear()
    ;(await it.reserve('known')).opened('known')
    await written(it)
    it.sessions.set('devin-known', session('known', { createdAtMs: noon + 1000 }))
    it.sessions.set('devin-long-after', session('long-after', { createdAtMs: noon + 10 * minute }))
    it.sessions.set('devin-found', session('found', { acus: 14, createdAtMs: noon + 2000 }))
    await it.settlement.round()
    expect(await it.budgetStore.find('lost')).toMatchObject({ state: 'unclear' })
    it.pass(2 * minute)
    await it.settlement.round()
    expect(await it.budgetStore.find('lost')).toMatchObject({ state: 'open', session: 'devin-found', guessed: true })
    expect(await it.stands()).toEqual([10, 10, 2])
  })

  test('is given back when there is no such session a quarter of an hour later', async () => {
    const it = await company()
    ;(await it.reserve('lost')).unclear()
    await written(it)
    it.pass(14 * minute)
    await it.settlement.round()
    expect(await it.stands()).toEqual([10, 0, 1])
    it.pass(2 * minute)
    await it.settlement.round()
    expect(await it.stands()).toEqual([0, 0, 0])
    expect(await it.budgetStore.reservations()).toEqual([])
  })

  test('stays reserved while nobody can look, and counts as spent whole after thirty days', async () => {
    const it = await company()
    ;(await it.reserve('lost')).unclear()
    await written(it)
    it.blind = true
    it.pass(29 * day)
    await it.settlement.round()
    expect(await it.stands()).toEqual([10, 0, 1])
    it.pass(2 * day)
    await it.settlement.round()
    expect(await it.stands()).toEqual([0, 10, 0])
  })

  test.each([
    ['forward', 31 * day],
    ['back', -31 * day],
  ])('is as old as it is, also when the clock of the machine is set %s', async (_way, byMs) => {
    const it = await company()
    ;(await it.reserve('lost')).unclear()
    ;(await it.reserve('known')).opened('known')
    await written(it)
    it.sessions.set('devin-known', session('known'))
    await it.settlement.round()
    it.setClock(byMs)
    it.pass(14 * minute)
    await it.settlement.round()
    expect(await it.stands()).toEqual([20, 0, 2])
    it.pass(2 * minute)
    await it.settlement.round()
    expect(await it.stands()).toEqual([10, 0, 1])
    expect(await it.budgetStore.find('known')).toMatchObject({ state: 'open' })
  })

  test('whose instance is gone is unclear after an hour', async () => {
    const it = await company()
    await it.reserve('under way')
    it.pass(59 * minute)
    await it.settlement.round()
    expect(await it.budgetStore.find('under way')).toMatchObject({ state: 'pending' })
    it.blind = true
    it.pass(2 * minute)
    await it.settlement.round()
    expect(await it.budgetStore.find('under way')).toMatchObject({ state: 'unclear' })
  })

  test('is counted when its answer comes after it was given up', async () => {
    const it = await company()
    const reservation = await it.reserve('slow')
    it.pass(61 * minute)
    await it.settlement.round()
    it.pass(minute)
    await it.settlement.round()
    expect(await it.stands()).toEqual([0, 0, 0])
    reservation.opened('slow')
    await written(it)
    expect(await it.stands()).toEqual([10, 0, 1])
    expect(await it.budgetStore.findSession('devin-slow')).toMatchObject({ state: 'open' })
  })
})

describe('a session', () => {
  test('that is gone counts whole if it was last seen working, and as it was if it slept', async () => {
    const it = await company()
    ;(await it.reserve('working')).opened('working')
    ;(await it.reserve('sleeping')).opened('sleeping')
    await written(it)
    it.pass(2 * minute)
    it.sessions.set('devin-working', session('working', { acus: 2 }))
    it.sessions.set('devin-sleeping', session('sleeping', { acus: 3, status: 'suspended' }))
    await it.settlement.round()
    expect(await it.stands()).toEqual([8, 5, 1])
    it.sessions.clear()
    it.pass(11 * minute)
    await it.settlement.round()
    expect(await it.stands()).toEqual([0, 13, 0])
  })

  test('that others have woken is counted as soon as it is seen, whether there is room or not', async () => {
    const it = await company()
    ;(await it.reserve('big', 6000)).opened('big')
    await written(it)
    it.pass(2 * minute)
    it.sessions.set('devin-big', session('big', { acus: 1, status: 'suspended' }))
    await it.settlement.round()
    await it.reserve('other', 6000)
    it.sessions.set('devin-big', session('big', { acus: 2, status: 'running' }))
    await it.settlement.round()
    expect(await it.stands()).toEqual([6000, 1, 1])
    it.pass(11 * minute)
    await it.settlement.round()
    expect(await it.stands()).toEqual([11_998, 2, 2])
    await expect(it.reserve('no more', 1)).rejects.toThrow('refused')
  })

  test('that fell asleep unseen keeps its bound when a message has just been sent to it', async () => {
    const it = await company()
    ;(await it.reserve('late')).opened('late')
    await written(it)
    it.pass(40 * minute)
    it.sessions.set('devin-late', session('late', { acus: 1, status: 'suspended' }))
    // What Devin says is on its way when the message goes, and looked at again before the session has woken.
    it.onList = () => it.budgets.wake('late')
    await it.settlement.round()
    expect(await it.stands()).toEqual([10, 0, 1])
    it.onList = () => Promise.resolve(null)
    it.pass(minute / 2)
    await it.settlement.round()
    expect(await it.stands()).toEqual([10, 0, 1])
    // Nothing has come of the message.
    it.pass(minute)
    await it.settlement.round()
    expect(await it.stands()).toEqual([0, 1, 0])
  })

  test.each(['exit', 'error'])(
    'that has ended (%s) costs what it has cost until its bill says otherwise',
    async (status) => {
      const it = await company()
      ;(await it.reserve('done')).opened('done')
      await written(it)
      it.sessions.set('devin-done', session('done', { acus: 4, status }))
      await it.settlement.round()
      expect(await it.stands()).toEqual([0, 4, 0])
      it.bills.set('devin-done', 4.5)
      await it.settlement.round()
      expect(await it.stands()).toEqual([0, 4, 0])
      // The day turns at 08:00 and is billed an hour later.
      it.pass(21 * 60 * minute + 1)
      await it.settlement.round()
      expect(await it.stands()).toEqual([0, 4.5, 0])
      expect(await it.budgetStore.reservations()).toEqual([])
    },
  )

  test('whose bill cannot be read keeps its own figure, and is forgotten three days later', async () => {
    const it = await company()
    ;(await it.reserve('done')).opened('done')
    await written(it)
    it.sessions.set('devin-done', session('done', { acus: 4, archived: true, status: 'suspended' }))
    await it.settlement.round()
    it.pass(2 * day)
    await it.settlement.round()
    expect(await it.budgetStore.reservations()).toHaveLength(1)
    it.pass(3 * day)
    await it.settlement.round()
    expect(await it.budgetStore.reservations()).toEqual([])
    expect(await it.stands()).toEqual([0, 4, 0])
  })

  test('is read together with others, and left as it is while nobody can read it', async () => {
    const it = await company()
    const count = 2 * batchSize + 3
    for (let index = 0; index < count; index++) {
      ;(await it.reserve(`create-${index}`, 1)).opened(`s${index}`)
      it.sessions.set(`devin-s${index}`, session(`s${index}`, { acus: 0.5 }))
    }
    await written(it)
    it.blind = true
    await it.settlement.round()
    expect(await it.stands()).toEqual([count, 0, count])
    it.blind = false
    it.lists.length = 0
    await it.settlement.round()
    expect(it.lists.map((ids) => ids.length)).toEqual([batchSize, batchSize, 3])
    expect(await it.stands()).toEqual([count / 2, count / 2, count])
  })
})
