// The arithmetic of budgets: units, windows, what a session costs in each of its states, and the laws of the ledger.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ChangeResult, SessionReservation } from '../../src/budgets/budget-store.ts'
import { accountOf, billingPeriod, unitsOfAcus, windowAt, windowEnd, type Budget } from '../../src/budgets/budget.ts'
import { createAlarms } from '../../src/budgets/alarms.ts'
import { removeReservation, costOf, release, reserve, transition } from '../../src/budgets/session-reservation.ts'
import { Ledger } from '../../src/budgets/file/ledger.ts'
import { forecastOf, leftOf, levelOf, refusalText } from '../../src/budgets/budget-status.ts'
import { budgetOf, reservationOf, noon, stepsOfSessions, sumOf } from './stores.ts'

const measures = ['acus', 'sessions', 'open_sessions'] as const

describe('units', () => {
  test('are exact for figures of the API, and never below them', () => {
    expect([0.1, 0.0001, 1 / 3, 12.5, 0.7 + 0.1].map(unitsOfAcus)).toEqual([100_000, 100, 333_334, 12_500_000, 800_000])
    expect([0, -1, Number.NaN].map(unitsOfAcus)).toEqual([0, 0, 0])
    expect([Infinity, 1e300, 1e9].map(unitsOfAcus)).toEqual([1e15, 1e15, 1e15])
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e9 }), (tenThousandths) => {
        expect(unitsOfAcus(tenThousandths / 10_000)).toBe(tenThousandths * 100)
      }),
    )
  })
})

describe('windows', () => {
  test('of ACUs start at 08:00 UTC', () => {
    const iso = (calendar: 'day' | 'week' | 'month', at: string): string[] => {
      const { startMs, endMs } = windowAt(billingPeriod(calendar), Date.parse(at))
      return [startMs, endMs].map((time) => new Date(time).toISOString())
    }
    expect(iso('day', '2026-11-27T07:59:59.999Z')).toEqual(['2026-11-26T08:00:00.000Z', '2026-11-27T08:00:00.000Z'])
    expect(iso('day', '2026-11-27T08:00:00Z')).toEqual(['2026-11-27T08:00:00.000Z', '2026-11-28T08:00:00.000Z'])
    expect(iso('week', '2026-11-30T07:00:00Z')).toEqual(['2026-11-23T08:00:00.000Z', '2026-11-30T08:00:00.000Z'])
    expect(iso('month', '2026-12-01T07:59:00Z')).toEqual(['2026-11-01T08:00:00.000Z', '2026-12-01T08:00:00.000Z'])
    expect(iso('month', '2024-03-01T08:00:00Z')).toEqual(['2024-03-01T08:00:00.000Z', '2024-04-01T08:00:00.000Z'])
  })

  test('follow each other without a gap, and hold the instant that asks for them', () => {
    const zones = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Pacific/Auckland')
    fc.assert(
      fc.property(
        fc.integer({ min: Date.UTC(2020, 0), max: Date.UTC(2040, 0) }),
        fc.constantFrom('day', 'week', 'month'),
        zones,
        fc.constantFrom(0, 8),
        (nowMs, calendar, timeZone, turnsAtHour) => {
          const period = { calendar, timeZone, turnsAtHour } as const
          const { startMs, endMs } = windowAt(period, nowMs)
          expect(startMs).toBeLessThanOrEqual(nowMs)
          expect(nowMs).toBeLessThan(endMs)
          expect(windowAt(period, startMs)).toEqual({ startMs, endMs })
          expect(windowAt(period, endMs).startMs).toBe(endMs)
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('a session', () => {
  test.each([
    // bound 10, consumed 4: reserved and spent of acus, sessions, open sessions.
    ['pending', [10, 0], [1, 0], [1, 0]],
    ['unclear', [10, 0], [1, 0], [1, 0]],
    ['open', [6, 4], [0, 1], [1, 0]],
    ['asleep', [0, 4], [0, 1], [0, 0]],
    ['ended', [0, 4], [0, 1], [0, 0]],
  ] as const)('that is %s costs what it can still cost', (state, ...costs) => {
    const reservation = { ...reservationOf('x', 10, []), state, consumed: 4 }
    expect(measures.map((measure) => Object.values(costOf(reservation, measure)))).toEqual(costs)
  })

  test('costs what it has cost, also above its bound, unless it is only taken for the one that was created', () => {
    const reservation = { ...reservationOf('x', 10, []), state: 'open' as const, consumed: 14 }
    expect(costOf(reservation, 'acus')).toEqual({ reserved: 0, spent: 14 })
    expect(costOf({ ...reservation, guessed: true }, 'acus')).toEqual({ reserved: 0, spent: 10 })
  })
})

describe('the ledger', () => {
  test('holds in each account the sum of what its sessions cost, and lets no reservation pass a bound', () => {
    const budgets = [budgetOf('acus', null, { hard: 30 }), budgetOf('sessions', 6), budgetOf('open_sessions', 3)]
    fc.assert(
      fc.property(stepsOfSessions, (list) => {
        const ledger = new Ledger()
        /** Everything there was, also what the ledger has forgotten. */
        const all = new Map<string, SessionReservation>()
        let next = 0
        for (const { kind, which, state, amount } of list) {
          const known = [...all.values()][which]
          const live = known === undefined ? null : ledger.find(known.id)
          const change =
            kind === 'create'
              ? reserve(reservationOf(`h${next++}`, amount, budgets))
              : live === null
                ? null
                : kind === 'release'
                  ? release(live)
                  : kind === 'close'
                    ? removeReservation(live)
                    : transition(
                        live,
                        kind === 'wake' ? { state: 'open' } : { state, consumed: amount },
                        noon,
                        kind === 'wake',
                      )
          if (change === null) continue
          const before = ledger.snapshot(noon)
          const outcome = ledger.judge(change)
          expect(ledger.snapshot(noon)).toEqual(before)
          if (kind !== 'create' && kind !== 'wake') expect(outcome.result).toBe('done')
          if (outcome.result !== 'done') continue
          ledger.apply(change)
          if (change.after !== null) all.set(change.id, change.after)
          else if (kind === 'release') all.delete(change.id)
          if (kind === 'create' || kind === 'wake') expect(overfull(outcome, budgets)).toEqual([])
          for (const [account, sum] of sumOf(all.values())) expect(ledger.account(account)).toMatchObject(sum)
        }
      }),
    )
  })

  test('begins again from a snapshot of itself', () => {
    const ledger = new Ledger()
    const budgets = [budgetOf('acus', 30), budgetOf('open_sessions', 3)]
    ledger.apply(reserve(reservationOf('a', 5, budgets)))
    const open = transition(reservationOf('a', 5, budgets), { state: 'open', session: 'devin-1' }, noon)
    ledger.apply(open)
    const again = new Ledger(structuredClone(ledger.snapshot(noon)))
    expect(again.snapshot(noon)).toEqual(ledger.snapshot(noon))
    expect(again.findSession('devin-1')).toEqual(open.after)
    // Whoever still holds the older version may not change it.
    expect(again.judge(release(reservationOf('a', 5, budgets))).result).toBe('stale')
  })

  test('forgets accounts forty days after their window', () => {
    const ledger = new Ledger()
    const reservation = reservationOf('a', 5, [budgetOf('acus', 30)])
    ledger.apply(reserve(reservation))
    const endMs = reservation.charges[0]?.endMs ?? 0
    expect(ledger.snapshot(endMs + 39 * 86_400_000).accounts).toHaveLength(1)
    expect(ledger.snapshot(endMs + 41 * 86_400_000).accounts).toHaveLength(0)
  })
})

function overfull(outcome: ChangeResult, budgets: readonly Budget[]): string[] {
  return budgets
    .filter((budget) => {
      const account = outcome.accounts.get(accountOf(budget, windowEnd(budget, noon)))
      return account !== undefined && account.reserved + account.spent > (budget.hard ?? Infinity)
    })
    .map(({ name }) => name)
}

describe('the status of a budget', () => {
  const status = (reserved: number, spent: number, budget = budgetOf('acus', 10)) => ({
    budget,
    account: { reserved: reserved * 1_000_000, spent: spent * 1_000_000, endMs: null },
  })

  test('has warning levels at 50, 80 and 100 percent, and what is left is never negative', () => {
    expect([4.99, 5, 7.99, 8, 9.99, 10, 12].map((used) => levelOf(status(used, 0)))).toEqual([
      0, 50, 50, 80, 80, 100, 100,
    ])
    expect(leftOf(status(4, 9))).toBe(0)
    expect(leftOf(status(4, 9, budgetOf('acus', null)))).toBeNull()
  })

  test('has a forecast at the present pace, once there is enough data', () => {
    const budget = budgetOf('acus', 100, { period: billingPeriod('day') })
    const at = (time: string): number => Date.parse(`2026-11-11T${time}Z`)
    expect(forecastOf(status(3, 6, budget), at('14:00:00'))).toBe(24_000_000)
    expect(forecastOf(status(3, 6, budget), at('08:30:00'))).toBeNull()
    expect(forecastOf(status(3, 6, budgetOf('open_sessions', 100)), noon)).toBeNull()
  })

  test('is described in one sentence that says what to do', () => {
    expect(refusalText(status(3, 6.25), 2_000_000, noon, 'its owner')).toBe(
      'The budget acus of team a has 0.75 ACUs left of 10 per month: 6.25 spent, 3 reserved by sessions under way. This session may cost 2. It begins anew at 2026-12-01T08:00:00.000Z; sessions that end below their bound give the rest back before. The budget stands in a.yaml, for its owner to change.',
    )
    expect(refusalText(status(0, 0), 11_000_000, noon, 'its owner')).toContain(
      'No waiting lets this through: ask for less.',
    )
  })

  test('alarms once for each window and level', () => {
    const raised: string[] = []
    const month = budgetOf('acus', 10)
    const open = budgetOf('open_sessions', 10)
    const alarms = createAlarms({
      budgetOf: (account) => [month, open].find((budget) => budget.account === account) ?? null,
      onLevel: ({ budget }, level) => raised.push(`${budget.name} ${level}`),
      onSoft: ({ budget }) => raised.push(`${budget.name} soft`),
    })
    const note = (budget: Budget, used: number, atMs = noon): void =>
      alarms.note(new Map([[accountOf(budget, windowEnd(budget, atMs)), { reserved: used, spent: 0, endMs: null }]]))
    for (const used of [5, 4, 5, 9, 6, 9, 10]) note(month, used * 1_000_000)
    expect(raised.splice(0)).toEqual(['acus 50', 'acus 80', 'acus 100'])
    note(month, 5_000_000, noon + 31 * 86_400_000)
    for (const used of [5, 4, 5]) note(open, used)
    alarms.note(new Map([['nobody knows', { reserved: 9, spent: 9, endMs: null }]]))
    expect(raised).toEqual(['acus 50', 'open_sessions 50', 'open_sessions 50'])
  })
})
