// Figures that the console shows: time series of an hour, percentiles, budgets that are nearly used up.

import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { seriesNames } from '../../src/admin/console/now-view.ts'
import type { BudgetView } from '../../src/budgets/budget-status.ts'
import { RecentLatency } from '../../src/records/search/recent-latency.ts'
import { TimeSeries, type SeriesPoint } from '../../src/runtime/console/moment/series.ts'
import { budgetTroubles, storeTroubles } from '../../src/runtime/console/moment/traffic-troubles.ts'
import { policyFrom } from '../support/policies.ts'

test('series keep the latest hour, oldest first, and null where nothing was measured', () => {
  const series = new TimeSeries()
  for (let step = 0; step < 400; step += 1) {
    const value = step % 2 === 0 ? null : step
    series.add(step * 10, Object.fromEntries(seriesNames.map((name) => [name, value])) as SeriesPoint)
  }
  const { at, columns } = series.view()
  expect([at.length, at[0], at.at(-1)]).toEqual([360, 400, 3990])
  for (const name of seriesNames)
    expect([columns[name][0], columns[name][1], columns[name].length]).toEqual([null, 41, 360])
})

test('the time of Devin and the wait for it are no time of the gateway', () => {
  const latency = new RecentLatency(2)
  const none = { gateway: { p50: null, p99: null }, devin: { p50: null, p99: null } }
  expect([latency.window, latency.endStep()]).toEqual([none, none])
  latency.add({ outcome: 'forwarded', duration_ms: 100, upstream_ms: 80, waited_ms: 15 })
  latency.add({ outcome: 'cached', duration_ms: 3, upstream_ms: null, waited_ms: null })
  latency.add({ outcome: 'aborted', duration_ms: 900, upstream_ms: null, waited_ms: null })
  const both = { gateway: { p50: 3, p99: 5 }, devin: { p50: 80, p99: 80 } }
  expect(latency.window).toEqual(both)
  expect(latency.endStep()).toEqual(both)
  // The step is over, and still in the window; then it leaves the window.
  expect(latency.window).toEqual(both)
  expect(latency.endStep()).toEqual(none)
  expect(latency.window).toEqual(none)
})

test('percentiles are right to two digits, whatever the durations are', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.1, max: 100_000, noNaN: true }), { minLength: 1, maxLength: 200, size: 'max' }),
      (durations) => {
        const latency = new RecentLatency(3)
        for (const [index, duration_ms] of durations.entries()) {
          if (index > 0 && index % 40 === 0) latency.endStep()
          latency.add({ outcome: 'forwarded', duration_ms, upstream_ms: duration_ms, waited_ms: null })
        }
        // Steps that have left the window do not count.
        const firstKept = 40 * Math.max(0, Math.floor((durations.length - 1) / 40) - 2)
        const kept = durations.slice(firstKept).toSorted((a, b) => a - b)
        const { p50 } = latency.window.devin
        const exact = kept[Math.ceil(kept.length / 2) - 1] ?? 0
        expect(Math.abs((p50 ?? 0) - exact) / exact).toBeLessThan(0.06)
      },
    ),
  )
})

test.each([
  ['joined', 'away', ['store:away']],
  ['isolated', 'away', ['store:away', 'cache:store-away']],
  ['isolated', 'there', ['cache:isolated']],
  ['degraded', 'there', ['cache:degraded']],
  ['joined', 'there', []],
] as const)('the cache of an instance that is %s, with the store %s', (status, place, told) => {
  const calls = { answered: 0, failed: 0, spared: 0 }
  const store = { away: place === 'away', sinceMs: 0, reason: null, instances: 2, calls }
  const found = storeTroubles(store, {
    status,
    members: 2,
    missing: status === 'degraded' ? 1 : 0,
    lapses: 0,
    reason: null,
  })
  expect(found.map(({ kind, aspect }) => `${kind}:${aspect}`)).toEqual(told)
})

test.each([
  [50, null],
  [80, 'warning'],
  [100, 'degraded'],
] as const)('a budget at %s percent', (level, severity) => {
  const view: BudgetView = {
    name: 'acus',
    owner: 'team payments',
    team: 'payments',
    measure: 'acus',
    limit: '500 per month',
    soft_limit: null,
    hard: 500,
    spent: 5 * level,
    reserved: 0,
    left: 500 - 5 * level,
    used_percent: level,
    level,
    forecast: null,
    resets_at: '2026-02-01T00:00:00.000Z',
    mode: 'enforce',
    policy: 'payments.yaml',
  }
  const found = budgetTroubles([view], policyFrom({}))
  expect(found.map((each) => each.severity)).toEqual(severity === null ? [] : [severity])
  if (level === 100) expect(found[0]?.what).toMatch(/is used up .*: creates are refused until 2026-02-01/)
  expect(budgetTroubles([{ ...view, mode: 'shadow' }], policyFrom({}))).toEqual([])
})
