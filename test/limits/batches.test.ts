// The calls of several instances over the real script, in a time of the test's own: whatever is asked and ends, and whatever
// becomes of calls, no window has more uses in it than its amount, and no more slots are held than there are.

import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import type { Limit, Quota } from '../../src/limits/limiter.ts'
import { createMeter } from '../../src/limits/local/meter.ts'
import { createStore } from '../../src/store/client.ts'
import type { Store } from '../../src/store/store.ts'
import { Steps } from '../support/limits-in-steps.ts'
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
function mostIn(times: readonly number[], spanMs: number): number {
  return Math.max(0, ...times.map((from) => times.filter((time) => time >= from && time < from + spanMs).length))
}

/** When a limit was used, in the order of time. */
const timesOf = ({ uses }: Steps, { meter }: Limit): number[] =>
  uses
    .filter(({ limit: used }) => used.meter === meter)
    .map(({ atMs }) => atMs)
    .toSorted((one, other) => one - other)

/** Instances in a world of their own. */
function begun(count: number): Steps {
  worlds += 1
  return new Steps(store, `world ${worlds}`, count, begin)
}

/** What the store says that is left. */
async function left(steps: Steps, limits: readonly Limit[]): Promise<number[]> {
  const asker = new Steps(store, steps.name, 1, steps.nowMs)
  const [one] = asker.instances
  const statuses = one?.limiter.peek(limits)
  await one?.settle()
  await asker.end()
  return ((await statuses) ?? []).map(({ remaining }) => remaining)
}

describeWithValkey('the calls of several instances', () => {
  beforeAll(async () => {
    server = await startStoreServer()
    store = createStore({
      settings: storeSettings(server, { timeoutMs: 5000 }),
      now: Date.now,
      monotonic: () => performance.now(),
    })
    await until(() => !store.away, 'the store')
  })
  afterEach(() => vi.useRealTimers())
  afterAll(async () => {
    await store.close()
    await server.close()
  })

  test('exceed nothing where requests have several limits, calls fail or are lost, and answers come too late', async () => {
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

        const { amount, perMs } = sliding.quota ?? quota(0, 0)
        const counted = timesOf(steps, sliding)
        expect(mostIn(counted, perMs ?? 0)).toBeLessThanOrEqual(amount)
        const rule = bucket.quota ?? quota(0, 1)
        const meter = createMeter(rule)
        for (const atMs of timesOf(steps, bucket)) {
          expect(meter.waitMs(rule, 1, atMs)).toBe(0)
          meter.take(rule, 1, atMs)
        }
        const remembered = counted.filter((atMs) => atMs + (perMs ?? 0) > steps.nowMs).length
        const [inWindow, unheld] = await left(steps, [sliding, slots])
        expect(inWindow).toBeLessThanOrEqual(amount - remembered)
        expect(unheld).toBe(slots.most)
      }),
      { numRuns: 80 },
    )
  })

  test('are one for all waiting requests, and none where a recent refusal still holds', async () => {
    const limits = [limit('requests', quota(10, 60_000))]
    const steps = begun(1)
    const [one] = steps.instances
    await one?.take(limits, 30)
    await one?.settle()
    expect([steps.calls, one?.open.length]).toEqual([1, 10])
    const again = one?.limiter.take(limits)
    expect(again).toMatchObject({ granted: false, retryAfterMs: 60_000, exceeded: { name: 'requests' } })
    await steps.advance(999)
    expect(one?.limiter.take(limits)).toMatchObject({ granted: false, retryAfterMs: 59_001 })
    // The same limit in another list, as it is made for each request of a caller.
    expect(one?.limiter.take(limits.map((each) => ({ ...each })))).toMatchObject({ granted: false })
    expect(steps.calls).toBe(1)
    // New policies say something else.
    await one?.take([limit('requests', quota(20, 60_000))], 1)
    await one?.settle()
    expect([steps.calls, one?.open.length]).toEqual([2, 11])
    await steps.advance(1)
    await one?.take(limits, 1)
    await one?.settle()
    expect(steps.calls).toBe(3)
    await steps.end()
  })

  test('report freed slots with the next call where many are left, and at once where few are', async () => {
    for (const { most, isScarce } of [
      { most: 100, isScarce: false },
      { most: 1, isScarce: true },
    ]) {
      const steps = begun(1)
      const [one] = steps.instances
      for (let round = 0; round < 20; round += 1) {
        await one?.take([limit('slots', null, most)], 1)
        await one?.settle()
        one?.finish(1)
        if (isScarce) await one?.settle()
      }
      // Where many are left, a call of their own only when nothing else came up for a while.
      if (isScarce) expect(steps.calls).toBe(40)
      else expect(steps.calls).toBeLessThan(30)
      await steps.end()
      expect(await left(steps, [limit('slots', null, most)])).toEqual([most])
    }
  })

  test('ask about a rate again after its Retry-After, and about budgets and slots every time', async () => {
    const steps = begun(1)
    const [one] = steps.instances
    const second = [limit('second', quota(1, 400))]
    await one?.take(second, 2)
    await one?.settle()
    expect(one?.open).toHaveLength(1)
    await steps.advance(400)
    await one?.take(second, 1)
    await one?.settle()
    expect(one?.open).toHaveLength(2)
    for (const each of [
      limit('slots', null, 1),
      { ...limit('sessions', quota(1, 60_000)), kind: 'refundable' } as const,
    ]) {
      await one?.take([each], 2)
      await one?.settle()
      const { calls } = steps
      await one?.take([each], 1)
      await one?.settle()
      expect(steps.calls).toBe(calls + 1)
    }
    await steps.end()
  })

  test.each([
    ['in a window', quota(5, 3_600_000)],
    ['in a bucket', quota(5, 3_600_000, 5)],
    ['of a day', { ...quota(5, 0), perMs: null, calendar: 'day' } as const],
  ])(
    'take off what was counted for a refused request, but not from a store that has been emptied since: %s',
    async (_what, each) => {
      const limits = [{ ...limit('sessions', each), kind: 'refundable' } as const]
      for (const isEmptied of [false, true]) {
        const steps = begun(2)
        const [one, two] = steps.instances
        await one?.take(limits, 1)
        await one?.arrive()
        // It is refused, because nobody knows whether the store has counted it.
        await one?.fail()
        await two?.take(limits, 3)
        await two?.settle()
        expect([one?.open.length, two?.open.length]).toEqual([0, 3])
        if (isEmptied) {
          await steps.loseAll(limits)
          for (const instance of steps.instances) await instance.hearOfLoss()
          await two?.settle()
        }
        await one?.late()
        await one?.settle()
        await steps.advance(2000)
        const statuses = two?.limiter.peek(limits)
        await two?.settle()
        expect((await statuses)?.map(({ remaining }) => remaining)).toEqual([2])
        await steps.end()
      }
    },
  )
})
