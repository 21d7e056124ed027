// The store in a shared store, on a real one: it does what the ledger of one instance does, for all instances at once.

import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BudgetsUnavailable, type BudgetStore } from '../../src/budgets/budget-store.ts'
import { createBudgets } from '../../src/budgets/budgets.ts'
import { accountOf, windowEnd } from '../../src/budgets/budget.ts'
import { removeReservation, release, reserve, transition } from '../../src/budgets/session-reservation.ts'
import { Ledger } from '../../src/budgets/file/ledger.ts'
import { createValkeyBudgetStore } from '../../src/budgets/valkey-budget-store.ts'
import { createStore } from '../../src/store/client.ts'
import { StoreAway, type Store } from '../../src/store/store.ts'
import { until } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, storeSettings, type StoreServer } from '../support/valkey.ts'
import { budgetOf, reservationOf, noon, stepsOfSessions } from './stores.ts'

let server: StoreServer
const stores: Store[] = []

async function connected(prefix: string): Promise<{ store: Store; budgetStore: BudgetStore }> {
  const store = createStore({
    settings: storeSettings(server, { prefix }),
    now: Date.now,
    monotonic: () => performance.now(),
  })
  stores.push(store)
  await until(() => !store.away, 'the store')
  return { store, budgetStore: createValkeyBudgetStore(store) }
}

describeWithValkey('the store in a shared store', () => {
  beforeAll(async () => {
    server = await startStoreServer()
  })
  afterAll(async () => {
    await Promise.all(stores.map((store) => store.close()))
    await server.close()
  })

  test('judges and keeps every change as the ledger of one instance does, whoever makes it', async () => {
    const { store } = await connected('oracle')
    const budgets = [budgetOf('acus', null, { hard: 30 }), budgetOf('sessions', 6), budgetOf('open_sessions', 3)]
    let run = 0
    await fc.assert(
      fc.asyncProperty(stepsOfSessions, async (list) => {
        const prefix = `run${run++}`
        const budgetStore = createValkeyBudgetStore({ ...store, key: (...parts) => `${prefix}:${parts.join(':')}` })
        const ledger = new Ledger()
        let next = 0
        for (const { kind, which, state, amount } of list) {
          const live = ledger.reservations()[which % Math.max(1, ledger.reservations().length)]
          const change =
            kind === 'create'
              ? reserve(reservationOf(`h${next++}`, amount, budgets))
              : live === undefined
                ? null
                : kind === 'release'
                  ? release(live)
                  : kind === 'close'
                    ? removeReservation(live)
                    : kind === 'wake'
                      ? transition(live, { state: 'open', session: `devin-${live.id}` }, noon, true)
                      : transition(live, { state, consumed: amount }, noon)
          if (change === null) continue
          const expected = ledger.judge(change)
          const outcome = await budgetStore.change(change)
          expect(outcome.result).toBe(expected.result)
          for (const [name, { reserved, spent }] of expected.accounts)
            expect(outcome.accounts.get(name)).toMatchObject({ reserved, spent })
          if (expected.result === 'done') ledger.apply(change)
          // A change with an older version is refused as stale, and changes nothing.
          expect((await budgetStore.change({ ...change, version: change.version + 7 })).result).toBe('stale')
        }
        expect((await budgetStore.reservations()).toSorted(byId)).toEqual(ledger.reservations().toSorted(byId))
        for (const reservation of ledger.reservations()) {
          expect(await budgetStore.find(reservation.id)).toEqual(reservation)
          if (reservation.session !== null)
            expect(await budgetStore.findSession(reservation.session)).toEqual(reservation)
        }
        const names = budgets.map((budget) => accountOf(budget, windowEnd(budget, noon)))
        for (const [name, account] of await budgetStore.accounts(names))
          expect([account.reserved, account.spent]).toEqual([ledger.account(name).reserved, ledger.account(name).spent])
      }),
      { numRuns: 25 },
    )
  })

  test('lets instances reserve no more together than there is, and forgets nothing when one of them goes', async () => {
    const first = await connected('together')
    const second = await connected('together')
    const budget = budgetOf('acus', 100, { period: null })
    const reserve = async ({ budgetStore }: { budgetStore: BudgetStore }, id: string): Promise<boolean> => {
      const service = createBudgets({ budgetStore, now: () => noon })
      return (
        (await service.reserve({ id, organization: 'org-a', bound: 1_000_000, budgets: [budget] })).reservation !== null
      )
    }
    const granted = await Promise.all(
      Array.from({ length: 300 }, (_, index) => reserve(index % 2 === 0 ? first : second, `create-${index}`)),
    )
    expect(granted.filter(Boolean)).toHaveLength(100)
    await first.store.close()
    expect(await second.budgetStore.reservations()).toHaveLength(100)
    expect(await reserve(second, 'one more')).toBe(false)
  })

  test('holds nothing for creates that a frozen store was asked for and that were given up', async () => {
    const { store, budgetStore } = await connected('frozen')
    const budget = budgetOf('acus', 100, { period: null })
    const service = createBudgets({ budgetStore, now: () => noon })
    server.freeze()
    const asked = Array.from({ length: 20 }, (_, index) =>
      service.reserve({ id: `create-${index}`, organization: 'org-a', bound: 1_000_000, budgets: [budget] }),
    )
    for (const each of asked) await expect(each).rejects.toThrow(BudgetsUnavailable)
    server.thaw()
    await until(() => !store.away, 'the store to be back')
    await service.close()
    expect(await budgetStore.reservations()).toEqual([])
    expect((await budgetStore.accounts([budget.account])).get(budget.account)).toMatchObject({ reserved: 0, spent: 0 })
  })

  test('does not make a reservation whose call arrives after it was given up', async () => {
    const { store } = await connected('delayed')
    const late: (() => Promise<unknown>)[] = []
    // A network that delivers reservations only after they were given up, and all other calls at once.
    const slow = createValkeyBudgetStore({
      ...store,
      run(script, keys, values) {
        if (script.name !== 'budgets.change') return store.run(script, keys, values)
        late.push(() => store.run(script, keys, values))
        return Promise.reject(new StoreAway('the store did not answer in time'))
      },
    })
    const budget = budgetOf('acus', 100, { period: null })
    const service = createBudgets({ budgetStore: slow, now: () => noon })
    const asked = service.reserve({ id: 'create', organization: 'org-a', bound: 1_000_000, budgets: [budget] })
    await expect(asked).rejects.toThrow(BudgetsUnavailable)
    await until(
      async () => (await server.command('EXISTS', 'delayed:{budgets}:withdrawn:create')).startsWith(':1'),
      'it',
    )
    for (const arrive of late) await arrive()
    expect(await slow.reservations()).toEqual([])
  })

  test('has one leader that settles sessions, until it is gone', async () => {
    const first = await connected('leader')
    const second = await connected('leader')
    await until(() => first.budgetStore.isLeader(), 'the first one to lead')
    expect(second.budgetStore.isLeader()).toBe(false)
    await first.store.close()
    await until(() => second.budgetStore.isLeader(), 'the second one to lead')
  })

  test('expires everything after a while, and rejects while the store is away', async () => {
    const { store, budgetStore } = await connected('fading')
    const month = budgetOf('acus', 100)
    await budgetStore.change(reserve(reservationOf('x', 5, [month, budgetOf('open_sessions', 5)])))
    const keys = (await server.command('KEYS', 'fading:{budgets}:*'))
      .split('\r\n')
      .filter((word) => word.startsWith('fading'))
    expect(keys.length).toBeGreaterThanOrEqual(3)
    for (const key of keys) expect(Number((await server.command('PTTL', key)).slice(1))).toBeGreaterThan(0)
    await server.kill()
    await until(() => store.away, 'the outage')
    await expect(budgetStore.reservations()).rejects.toThrow(BudgetsUnavailable)
    await expect(budgetStore.change(release(reservationOf('x', 5, [month])))).rejects.toThrow(
      'the store of budgets is away',
    )
  })
})

function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : 1
}
