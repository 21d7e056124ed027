// The scripts of the shared store against the limiter of one instance: whatever happens in whatever order, both decide
// and tell the same. The scripts are those of production but for their first lines, which ask the server for the time.

import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decide, giveBack } from '../../src/limits/decision-scripts.ts'
import { createKeyFinder, createLimitWriter, readDecision } from '../../src/limits/limit-wire.ts'
import { createLimiter, type Limit, type Standing } from '../../src/limits/limiter.ts'
import type { Quota } from '../../src/limits/meter.ts'
import { createStore } from '../../src/store/client.ts'
import { script, type Script, type Store } from '../../src/store/store.ts'
import { until } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, storeSettings, type StoreServer } from '../support/valkey.ts'

/** The script with a clock that is its last argument. */
function withClock({ name, text }: Script): Script {
  const changed = text.replace(
    "local time = redis.call('TIME')\nlocal now = time[1] * 1000 + time[2] / 1000\n",
    'local now = tonumber(ARGV[#ARGV])\n',
  )
  expect(changed).not.toBe(text)
  return script(name, changed)
}

const decideAt = withClock(decide)
const giveBackAt = withClock(giveBack)
const begin = Date.UTC(2026, 9, 24, 21, 50)
/** Longer than any history: the limiter of one instance knows no leases. */
const leaseMs = 10_000_000_000

let server: StoreServer
let store: Store

const sliding = (perMs: number, amount: number): Quota => ({
  amount,
  perMs,
  calendar: null,
  burst: null,
  timeZone: 'UTC',
})
const calendar = (unit: 'day' | 'week' | 'month', amount: number): Quota => ({
  amount,
  perMs: null,
  calendar: unit,
  burst: null,
  timeZone: 'Europe/Berlin',
})

const anyQuota: fc.Arbitrary<Quota | null> = fc.oneof(
  fc
    .record({ perMs: fc.constantFrom(1000, 60_000, 90_000), amount: fc.integer({ min: 1, max: 12 }) })
    .map((each) => sliding(each.perMs, each.amount)),
  fc
    .record({ amount: fc.integer({ min: 1, max: 600 }), burst: fc.integer({ min: 1, max: 8 }) })
    .map((each): Quota => ({ ...sliding(60_000, each.amount), burst: each.burst })),
  fc
    .record({ unit: fc.constantFrom('day', 'week', 'month'), amount: fc.integer({ min: 1, max: 9 }) })
    .map((each) => calendar(each.unit, each.amount)),
  fc.constant(null),
)

const anyLimits = fc
  .array(
    fc.record({ quota: anyQuota, budget: fc.boolean(), shadow: fc.boolean(), most: fc.integer({ min: 1, max: 4 }) }),
    { minLength: 1, maxLength: 4 },
  )
  .map((list) =>
    list.map(({ quota, budget, shadow, most }, index): Limit => ({
      meter: `meter ${index}`,
      name: `limit-${index}`,
      kind: quota === null ? 'concurrency' : budget ? 'budget' : 'rate',
      scope: 'team',
      quota,
      most,
      shadow,
    })),
  )

/** Pauses of all sizes, so that windows slide, buckets fill and days turn; mostly none. */
const anyStep = fc.record({
  pauseMs: fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 50 }) },
    { weight: 2, arbitrary: fc.integer({ min: 50, max: 70_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 70_000, max: 30_000_000 }) },
  ),
  what: fc.constantFrom('take', 'take', 'take', 'take', 'end', 'fail', 'peek'),
  which: fc.nat(),
})

/** The store tells whole milliseconds. */
const rounded = (standing: Standing): Standing => ({ ...standing, resetMs: Math.ceil(standing.resetMs) })

describeWithValkey('the scripts of the shared store', () => {
  beforeAll(async () => {
    server = await startStoreServer()
    store = createStore({ settings: storeSettings(server, { timeoutMs: 5000 }), now: Date.now })
    await until(() => !store.away, 'the store')
  })
  afterAll(async () => {
    await store.close()
    await server.close()
  })

  test('decide, count, give back and tell as the limiter of one instance does, for any history of any limits', async () => {
    let history = 0
    await fc.assert(
      fc.asyncProperty(anyLimits, fc.array(anyStep, { maxLength: 60 }), async (all, steps) => {
        history += 1
        const keyOf = createKeyFinder((...parts) => `${history}:${parts.join(':')}`)
        const write = createLimitWriter()
        const local = createLimiter()
        const open: { limits: readonly Limit[]; lease: string }[] = []
        let nowMs = begin
        for (const [index, { pauseMs, what, which }] of steps.entries()) {
          nowMs += pauseMs
          const at = nowMs
          const limits = all.filter((_, position) => ((which >> position) & 1) === 0 || all.length === 1)
          const keys = (some: readonly Limit[]): string[] => some.map(({ meter }) => keyOf(meter))
          const words = (some: readonly Limit[]): string[] => some.map((limit) => write(limit, 0, at))
          if (limits.length === 0) continue
          if (what === 'take' || what === 'peek') {
            const lease = `lease-${index}`
            const answer = await store.run(decideAt, keys(limits), [what, lease, leaseMs, ...words(limits), at])
            const shared = readDecision(limits, answer, lease)
            if (what === 'peek') {
              expect(shared.standings).toEqual(local.peek(limits, at).map(rounded))
              continue
            }
            const alone = local.take(limits, at)
            expect(shared).toEqual({
              ...alone,
              retryAfterMs: Math.ceil(alone.retryAfterMs),
              standings: alone.standings.map(rounded),
              lease: alone.granted ? lease : null,
            })
            if (shared.granted) open.push({ limits, lease })
            continue
          }
          const [ended] = open.splice(which % Math.max(1, open.length), 1)
          if (ended === undefined) continue
          const slots = ended.limits.filter(({ kind }) => kind === 'concurrency')
          const budgets = ended.limits.filter(({ kind }) => kind === 'budget')
          await store.run(giveBackAt, keys(slots), [ended.lease, ...words(slots), at])
          local.release(ended.limits)
          if (what === 'end') continue
          await store.run(giveBackAt, keys(budgets), ['', ...words(budgets), at])
          local.giveBack(ended.limits)
        }
      }),
      { numRuns: 500 },
    )
  })
})
