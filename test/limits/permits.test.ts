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
      { numRuns: 80 },
    )
    expect(atOnce).toBeGreaterThan(500)
  })

  test('are forgotten no sooner than their uses are a window old, however long calls take', async () => {
    const few = fc.integer({ min: 0, max: 12 })
    const anyRush = fc.record({
      amount: fc.integer({ min: 100, max: 500 }),
      count: fc.integer({ min: 1, max: 6 }),
      rounds: fc.integer({ min: 10, max: 30 }),
      pauses: fc.array(fc.tuple(few, few, few), { minLength: 3, maxLength: 9 }),
    })
    let atOnce = 0
    await fc.assert(
      fc.asyncProperty(anyRush, async ({ amount, count, rounds, pauses }) => {
        const steps = begun(3)
        const limits = [limit('requests', quota(amount, 60_000))]
        const [one, other, third] = steps.instances
        // Two are busy, with calls that take a while, until another one uses up the rest at once.
        for (let round = 0; round < rounds; round += 1) {
          const [toStore = 0, back = 0, pauseMs = 0] = pauses[round % pauses.length] ?? []
          const at = round % 5 === 4 ? other : one
          await at?.take(limits, count)
          await steps.advance(toStore)
          await at?.arrive()
          await steps.advance(back)
          await at?.answer()
          await steps.advance(pauseMs)
        }
        const usesUp = async (): Promise<void> => {
          for (const { length } = steps.refused; steps.refused.length === length;) {
            await third?.take(limits, 20)
            await third?.settle()
          }
        }
        await usesUp()
        // As soon as some of it is forgotten it is used again.
        const [first] = steps.uses.toSorted((some, others) => some.fromMs - others.fromMs)
        await steps.advance((first?.fromMs ?? 0) + 59_990 - steps.nowMs)
        for (let round = 0; round < 300; round += 1) {
          await usesUp()
          await steps.advance(3)
        }
        atOnce += steps.atOnce
        expect(mostIn(steps.uses, 60_000)).toBeLessThanOrEqual(amount)
        await steps.end()
      }),
      { numRuns: 12 },
    )
    expect(atOnce).toBeGreaterThan(100)
  })

  test('of a bucket are counted as late as they may be used', async () => {
    const rule = quota(6000, 60_000, 100)
    const limits = [limit('all', rule)]
    const steps = begun(2)
    const [one, other] = steps.instances
    for (let round = 0; round < 300; round += 1) {
      await one?.take(limits, 3)
      await one?.settle()
      await steps.advance(round % 15 === 14 ? (round * 7) % 100 : 30)
      if (round % 15 !== 14) continue
      // What has flowed off meanwhile is used up by another one, and then what is at hand.
      for (const { length } = steps.refused; steps.refused.length === length;) {
        await other?.take(limits, 10)
        await other?.settle()
      }
      await one?.take(limits, 20)
      await one?.settle()
      await steps.advance(1500)
    }
    const meter = createMeter(rule)
    for (const { fromMs } of usesOf(steps, limit('all', rule))) {
      expect(meter.waitMs(rule, 1, fromMs)).toBe(0)
      meter.take(rule, 1, fromMs)
    }
    expect(steps.atOnce).toBeGreaterThan(100)
    await steps.end()
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
      { numRuns: 80 },
    )
    expect(atOnce).toBeGreaterThan(500)
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

  test('come back by themselves, also those of requests that another limit refuses, and of calls given up', async () => {
    const [requests, slots] = [limit('requests', quota(100_000, 3_600_000)), limit('slots', null, 1000)]
    const none = limit('none', quota(1, 3_600_000))
    const steps = begun(1)
    const [one] = steps.instances
    const rush = async (): Promise<void> => {
      for (const { atOnce } = steps; steps.atOnce < atOnce + 10;) {
        one?.finish(10)
        await one?.take([requests, slots], 10)
        await one?.settle()
        await steps.advance(10)
      }
    }
    await one?.take([none], 1)
    await one?.settle()
    await rush()
    await one?.take([requests, slots, none], 5)
    await steps.advance(300)
    await one?.settle()
    expect(steps.refused).toHaveLength(5)
    const quiet = async (): Promise<readonly number[]> => {
      one?.finish(Infinity)
      for (let times = 0; times < 4; times += 1) {
        await steps.advance(250)
        await one?.settle()
      }
      return left(steps, [requests, slots])
    }
    expect(await quiet()).toEqual([100_000 - usesOf(steps, requests).length, 1000])
    await rush()
    // The call that asks for the next permits is given up, and answered all the same; what it was for is judged by the share.
    for (const { calls } = steps; steps.calls === calls;) await one?.take([requests], 1)
    await one?.arrive()
    await one?.fail()
    await one?.late()
    // What was judged by the share counts twice: the store had counted it, and has been told of it.
    expect(await quiet()).toEqual([100_000 - usesOf(steps, requests).length - 2, 1000])
    await steps.end()
  })

  test('are for a limit that says the same, whichever policies it is of', async () => {
    const before = [limit('requests', quota(100_000, 3_600_000)), limit('slots', null, 1000)]
    const same = [limit('requests', quota(100_000, 3_600_000)), limit('slots', null, 1000)]
    for (const changed of [[limit('requests', quota(10, 3_600_000))], [limit('slots', null, 2)]]) {
      const steps = begun(1)
      const [one] = steps.instances
      while (steps.atOnce === 0) {
        one?.finish(10)
        await one?.take(before, 10)
        await one?.settle()
        await steps.advance(10)
      }
      const { atOnce } = steps
      await one?.take(same, 1)
      expect(steps.atOnce).toBe(atOnce + 1)
      await one?.take(changed, 1)
      await one?.settle()
      expect(steps.refused).toHaveLength(1)
      await steps.end()
    }
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
