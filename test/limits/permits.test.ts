// Permits that instances take ahead, over the real script in a time of the test's own: whatever is asked and ends, and
// however long calls take, no window has more uses in it than its amount, no more slots are held than there are, and what
// nobody uses comes back.

import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import type { Limit } from '../../src/limits/limiter.ts'
import { aheadMs } from '../../src/limits/meter-permits.ts'
import { createMeter, entryEndMs, type Quota } from '../../src/limits/meter.ts'
import { createStore } from '../../src/store/client.ts'
import type { Store } from '../../src/store/store.ts'
import { Steps, type Use } from '../support/limits-in-steps.ts'
import { until } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, storeSettings, type StoreServer } from '../support/valkey.ts'

const begin = Date.UTC(2026, 9, 24, 21, 50)

let server: StoreServer
let store: Store
let worlds = 0

const limit = (meter: string, quota: Quota | null, most = 0): Limit => ({
  meter,
  name: meter,
  kind: quota === null ? 'concurrency' : 'rate',
  scope: 'team',
  quota,
  most,
  shadow: false,
})
const quota = (amount: number, perMs: number, burst: number | null = null): Quota => ({
  amount,
  perMs,
  calendar: null,
  burst,
  timeZone: 'UTC',
})

/** So many of each, in a world of their own. */
const anyLimits = fc
  .record({
    amount: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 100, max: 1500 })),
    perMs: fc.constantFrom(60_000, 3_600_000),
    burst: fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 50, max: 800 })),
    most: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 20, max: 200 })),
  })
  .map(({ amount, perMs, burst, most }) => ({
    sliding: limit('sliding', quota(amount, perMs)),
    bucket: limit('bucket', quota(6000, 60_000, burst)),
    slots: limit('slots', null, most),
  }))

const instance = fc.constantFrom(0, 0, 0, 1, 2)
const which = fc.nat({ max: 5 })
/** What happens next; `rush`: so many requests every few milliseconds for a while, those before them ending. */
const anyEvent = fc.oneof(
  fc.record({
    does: fc.constant('rush' as const),
    instance,
    which,
    count: fc.integer({ min: 2, max: 8 }),
    rounds: fc.integer({ min: 4, max: 60 }),
    pauseMs: fc.integer({ min: 1, max: 15 }),
  }),
  fc.record({ does: fc.constant('take' as const), instance, which, count: fc.integer({ min: 1, max: 8 }) }),
  fc.record({ does: fc.constant('finish' as const), instance, which, count: fc.integer({ min: 1, max: 8 }) }),
  fc.record({ does: fc.constantFrom('settle' as const, 'arrive' as const, 'answer' as const), instance }),
  fc.record({ does: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 70 }) }),
  { weight: 1, arbitrary: fc.record({ does: fc.constant('wait' as const), ms: fc.integer({ min: 70, max: 20_000 }) }) },
)
/** Calls that fail, and answers that come too late. */
const anyTrouble = fc.record({ does: fc.constantFrom('fail' as const, 'lose' as const, 'late' as const), instance })
type Event = typeof anyEvent extends fc.Arbitrary<infer Usual> ? Usual | Trouble : never
type Trouble = typeof anyTrouble extends fc.Arbitrary<infer Kind> ? Kind : never

/** Lets it happen; `limitsOf` says what a request is for. */
async function play(
  steps: Steps,
  events: readonly Event[],
  limitsOf: (which: number) => readonly Limit[],
): Promise<void> {
  for (const event of events) {
    if (event.does === 'wait') {
      await steps.advance(event.ms)
      continue
    }
    const at = steps.instances[event.instance]
    if (at === undefined) throw new Error('no such instance')
    switch (event.does) {
      case 'rush':
        for (let round = 0; round < event.rounds; round += 1) {
          at.finish(event.count)
          await at.take(limitsOf(event.which), event.count)
          await steps.advance(event.pauseMs)
          await at.settle()
          within(steps)
        }
        break
      case 'take':
        await at.take(limitsOf(event.which), event.count)
        break
      case 'finish':
        at.finish(event.count)
        break
      default:
        await at[event.does]()
    }
    within(steps)
  }
}

/** Of no limit are more slots used than there are. */
function within({ instances }: Steps): void {
  const open = instances.flatMap((at) => at.open.filter((limits) => !at.byShare.has(limits))).flat()
  for (const each of new Set(open.filter(({ quota: rate }) => rate === null)))
    expect(open.filter((other) => other === each).length).toBeLessThanOrEqual(each.most)
}

/** The most uses in any window of this length. */
function mostIn(uses: readonly Use[], spanMs: number): number {
  return Math.max(
    0,
    ...uses.map(({ fromMs }) => uses.filter((use) => use.fromMs >= fromMs && use.toMs < fromMs + spanMs).length),
  )
}

/** In the order of time. */
const usesOf = ({ uses }: Steps, { meter }: Limit): Use[] =>
  uses.filter((use) => use.limit.meter === meter).toSorted((one, other) => one.fromMs - other.fromMs)

const numbersOf = ({ quota: rate }: Limit): { amount: number; spanMs: number } => ({
  amount: rate?.amount ?? 0,
  spanMs: rate?.perMs ?? 0,
})

/** Instances in a world of their own. */
function begun(count: number): Steps {
  worlds += 1
  return new Steps(store, `world ${worlds}`, count, begin)
}

/** What the store says that is left, asked by somebody who has nothing at hand. */
async function left(steps: Steps, limits: readonly Limit[]): Promise<number[]> {
  const asker = new Steps(store, steps.name, 1, steps.nowMs)
  const [one] = asker.instances
  const standings = one?.limiter.peek(limits, steps.nowMs)
  await one?.settle()
  await asker.end()
  return ((await standings) ?? []).map(({ remaining }) => remaining)
}

describeWithValkey('permits taken ahead', () => {
  beforeAll(async () => {
    server = await startStoreServer()
    store = createStore({ settings: storeSettings(server, { timeoutMs: 5000 }), now: Date.now })
    await until(() => !store.away, 'the store')
  })
  afterEach(() => vi.useRealTimers())
  afterAll(async () => {
    await store.close()
    await server.close()
  })

  test('exceed no rate and no number of slots at three instances, by the true times of use, and come back to the last one', async () => {
    let atOnce = 0
    await fc.assert(
      fc.asyncProperty(anyLimits, fc.array(anyEvent, { minLength: 5, maxLength: 40 }), async (limits, events) => {
        const steps = begun(3)
        const kinds = [limits.sliding, limits.bucket, limits.slots]
        await play(steps, events, (chosen) => [kinds[chosen % kinds.length] ?? limits.sliding])
        await steps.end()
        atOnce += steps.atOnce

        const { amount, spanMs } = numbersOf(limits.sliding)
        const counted = usesOf(steps, limits.sliding)
        expect(mostIn(counted, spanMs)).toBeLessThanOrEqual(amount)
        const bucket = limits.bucket.quota ?? quota(0, 1)
        const meter = createMeter(bucket)
        for (const { fromMs } of usesOf(steps, limits.bucket)) {
          expect(meter.waitMs(bucket, 1, fromMs)).toBe(0)
          meter.take(bucket, 1, fromMs)
        }

        // Nobody is refused for what others have taken ahead until much of it is used.
        for (const { exceeded, atMs } of steps.refused)
          if (exceeded === limits.sliding)
            expect(
              3 * counted.filter(({ fromMs, toMs }) => toMs <= atMs && fromMs > atMs - spanMs).length,
            ).toBeGreaterThanOrEqual(amount)

        // Some are counted by the end of the next entry.
        const remembered = (ms: number): number =>
          counted.filter(({ fromMs }) => entryEndMs(spanMs, fromMs + ms) + spanMs > steps.nowMs).length
        const [sliding, inBucket, slots] = await left(steps, kinds)
        expect(sliding).toBeLessThanOrEqual(amount - remembered(0))
        expect(sliding).toBeGreaterThanOrEqual(amount - remembered(aheadMs / 4))
        expect(inBucket).toBeLessThanOrEqual(meter.remaining(bucket, steps.nowMs))
        expect(slots).toBe(limits.slots.most)
      }),
      { numRuns: 150 },
    )
    expect(atOnce).toBeGreaterThan(1000)
  })

  test('exceed nothing where requests have several limits, calls fail or are lost, and answers come too late', async () => {
    let atOnce = 0
    const anyHistory = fc.array(fc.oneof({ weight: 6, arbitrary: anyEvent }, { weight: 1, arbitrary: anyTrouble }), {
      minLength: 5,
      maxLength: 40,
    })
    await fc.assert(
      fc.asyncProperty(anyLimits, anyHistory, async ({ sliding, bucket, slots }, events) => {
        const steps = begun(3)
        const kinds = [
          [sliding],
          [slots],
          [sliding, slots],
          [bucket, sliding, slots],
          [slots, bucket],
          [bucket, sliding],
        ]
        await play(steps, events, (chosen) => kinds[chosen] ?? [])
        await steps.end()
        atOnce += steps.atOnce

        const { amount, spanMs } = numbersOf(sliding)
        const counted = usesOf(steps, sliding)
        expect(mostIn(counted, spanMs)).toBeLessThanOrEqual(amount)
        const remembered = counted.filter(({ fromMs }) => fromMs + spanMs > steps.nowMs).length
        const [inWindow, unheld] = await left(steps, [sliding, slots])
        expect(inWindow).toBeLessThanOrEqual(amount - remembered)
        expect(unheld).toBe(slots.most)
      }),
      { numRuns: 150 },
    )
    expect(atOnce).toBeGreaterThan(1000)
  })

  test('spare most calls where much is asked for, and none where little is', async () => {
    const limits = [
      limit('requests', quota(1_000_000, 60_000)),
      limit('all', quota(600_000, 60_000, 50_000)),
      limit('slots', null, 1000),
    ]
    for (const { count, calls } of [
      { count: 20, calls: 100 },
      { count: 1, calls: 300 },
    ]) {
      const steps = begun(1)
      const [one] = steps.instances
      // Three seconds; so many every ten milliseconds, and of one only every twentieth of a second.
      for (let round = 0; round < 300; round += 1) {
        one?.finish(count)
        if (count > 1 || round % 5 === 0) await one?.take(limits, count)
        await one?.settle()
        await steps.advance(10)
      }
      expect(steps.uses).toHaveLength(3 * 300 * (count > 1 ? count : 0.2))
      if (count > 1) expect(steps.calls).toBeLessThan(calls)
      else expect(steps.atOnce).toBe(0)
      await steps.end()
    }
  })

  test('are not used once a call has failed: the store may be another one', async () => {
    const [limits, others] = [[limit('requests', quota(1_000_000, 3_600_000))], [limit('writes', quota(1000, 60_000))]]
    const steps = begun(1)
    const [one] = steps.instances
    while (steps.atOnce === 0) {
      await one?.take(limits, 10)
      await one?.settle()
      await steps.advance(10)
    }
    await one?.take(others, 1)
    await one?.fail()
    const { atOnce } = steps
    await one?.take(limits, 1)
    expect(steps.atOnce).toBe(atOnce)
    await steps.end()
  })

  test('are none of what is nearly used up, of budgets and of quotas of the calendar', async () => {
    const day = { ...quota(100_000, 0), perMs: null, calendar: 'day' } as const
    const kinds = [
      limit('day', day),
      { ...limit('sessions', quota(100_000, 3_600_000)), kind: 'budget' } as const,
      limit('second', quota(100_000, 1000)),
      limit('few', quota(7, 3_600_000)),
      limit('little', quota(6000, 60_000, 7)),
      limit('narrow', null, 7),
    ]
    for (const each of kinds) {
      const steps = begun(1)
      const [one] = steps.instances
      for (let round = 0; round < 100; round += 1) {
        await one?.take([each], 3)
        await one?.settle()
        one?.finish(3)
        await steps.advance(10)
      }
      expect(steps.atOnce).toBe(0)
      await steps.end()
    }
  })

  test('tell a caller what is left as if each had been asked for', async () => {
    const limits = [limit('requests', quota(100_000, 60_000)), limit('slots', null, 1000)]
    const steps = begun(1)
    const [one] = steps.instances
    let before = 100_000
    for (let round = 0; round < 60; round += 1) {
      await one?.take(limits, 5)
      await one?.settle()
      for (const { standings } of one?.granted.splice(0) ?? []) {
        const [requests, slots] = standings
        expect(requests).toEqual({ limit: limits[0], remaining: (before -= 1), resetMs: 60_000 })
        expect(slots?.limit).toBe(limits[1])
      }
      expect(one?.open).toHaveLength(5)
      const peeked = one?.limiter.peek(limits, steps.nowMs)
      await one?.settle()
      expect((await peeked)?.map(({ remaining }) => remaining)).toEqual([before, 995])
      one?.finish(5)
      await steps.advance(10)
    }
    expect(steps.atOnce).toBeGreaterThan(100)
    await steps.end()
  })
})
