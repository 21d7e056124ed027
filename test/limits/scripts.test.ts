// The script of the shared store against the limiter of one instance: in any order of events and any size of calls
// both decide and report the same. The script is that of production but for its first lines, which ask the server for
// the time.

import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decideScript } from '../../src/limits/shared/decision-script.ts'
import { LimitCall, type Ask } from '../../src/limits/shared/limit-call.ts'
import { createLimitWriter, keyOf } from '../../src/limits/shared/limit-wire.ts'
import type { LimitDecision, Limit, LimitStatus, Quota } from '../../src/limits/limiter.ts'
import { createLocalLimiter } from '../../src/limits/local/local-limiter.ts'
import { createStore } from '../../src/store/client.ts'
import type { Store } from '../../src/store/store.ts'
import { withClock } from '../support/limits-in-steps.ts'
import { until } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, storeSettings, type StoreServer } from '../support/valkey.ts'

const decideAt = withClock(decideScript)
const begin = Date.UTC(2026, 9, 24, 21, 50)
const epoch = 'first'

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
    fc.record({
      quota: anyQuota,
      refundable: fc.boolean(),
      shadow: fc.boolean(),
      most: fc.integer({ min: 1, max: 4 }),
    }),
    { minLength: 1, maxLength: 4 },
  )
  .map((list) =>
    list.map(({ quota, refundable, shadow, most }, index): Limit => ({
      meter: `meter ${index}`,
      name: `limit-${index}`,
      kind: quota === null ? 'concurrency' : refundable ? 'refundable' : 'rate',
      scope: 'team',
      quota,
      most,
      shadow,
    })),
  )

/** Pauses of all sizes, so that windows slide, buckets fill and days turn; mostly none. */
const anyPause = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 50 }) },
  { weight: 2, arbitrary: fc.integer({ min: 50, max: 70_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 70_000, max: 30_000_000 }) },
)
/** What has come up at an instance since its last call; `fail` ends a request that came to nothing. */
const anyStep = fc.record({
  pauseMs: anyPause,
  instance: fc.constantFrom('one', 'other'),
  ends: fc.array(fc.record({ which: fc.nat(), fails: fc.boolean() }), { maxLength: 2 }),
  asks: fc.array(
    fc.record({
      which: fc.nat(),
      what: fc.constantFrom('take', 'take', 'take', 'peek'),
      cost: fc.constantFrom(1, 1, 1, 2, 5),
    }),
    { maxLength: 4 },
  ),
})

/** The store tells whole milliseconds. */
const rounded = (status: LimitStatus): LimitStatus => ({ ...status, resetMs: Math.ceil(status.resetMs) })

/** How many slots an instance holds, by meter. */
type Held = Map<string, number>

/** Sends a call as of a time; what it has decided for each of its requests, in their order. */
async function send(
  call: LimitCall,
  { history, instance, held, atMs }: CallFrame,
): Promise<{ ask: Ask; decision: LimitDecision }[]> {
  const keys = call.limits.map(({ meter }) => keyOf((...parts) => `${history}:${parts.join(':')}`, meter))
  const answer = await store.run(
    decideAt,
    [store.key('epoch'), store.key('there'), ...keys],
    [...call.values(instance, epoch, ({ meter }) => held.get(meter) ?? 0), atMs],
  )
  const heard: { ask: Ask; decision: LimitDecision }[] = []
  call.read(answer, (ask, decision, storeMs) => {
    expect(storeMs).toBe(atMs)
    heard.push({ ask, decision })
  })
  return heard
}

interface CallFrame {
  readonly history: string
  readonly instance: string
  readonly held: Held
  readonly atMs: number
}

const comes = (...names: string[]) =>
  server.command('ZADD', 'test:there', ...names.flatMap((name) => [String(begin), name]))
const goes = (name: string) => server.command('ZREM', 'test:there', name)

const hold = (held: Held, limits: readonly Limit[], by: 1 | -1): void => {
  for (const { quota, meter } of limits) if (quota === null) held.set(meter, (held.get(meter) ?? 0) + by)
}
const asked = (limits: readonly Limit[], what: 'take' | 'peek', cost = 1): Ask => ({
  limits,
  cost,
  what,
  settle: () => {},
  late: null,
})

describeWithValkey('the script of the shared store', () => {
  beforeAll(async () => {
    server = await startStoreServer()
    store = createStore({
      settings: storeSettings(server, { timeoutMs: 5000 }),
      now: Date.now,
      monotonic: () => performance.now(),
    })
    await until(() => !store.away, 'the store')
    await server.command('SET', 'test:epoch', epoch)
    await comes('one', 'other', 'nobody', 'a', 'b', 'c')
  })
  afterAll(async () => {
    await store.close()
    await server.close()
  })

  test('decides, counts and gives back as the limiter of one instance does, for any history of any limits at two', async () => {
    let histories = 0
    await fc.assert(
      fc.asyncProperty(anyLimits, fc.array(anyStep, { maxLength: 30 }), async (all, steps) => {
        histories += 1
        let atMs = begin
        const local = createLocalLimiter({ now: () => atMs, monotonic: () => atMs })
        // It remembers where the days turn, and each history begins on the first day.
        const write = createLimitWriter()
        const sides = {
          one: { held: new Map<string, number>(), open: [] as Pick<Ask, 'limits' | 'cost'>[] },
          other: { held: new Map<string, number>(), open: [] as Pick<Ask, 'limits' | 'cost'>[] },
        }
        for (const { pauseMs, instance, ends, asks } of steps) {
          atMs += pauseMs
          const { held, open } = sides[instance]
          const call = new LimitCall(write, atMs)
          for (const { which, fails } of ends) {
            const [ended] = open.splice(which % Math.max(1, open.length), 1)
            if (ended === undefined) continue
            hold(held, ended.limits, -1)
            local.release(ended.limits)
            for (const limit of ended.limits) if (limit.quota === null) call.report(limit, 0)
            if (!fails) continue
            local.giveBack(ended.limits, ended.cost)
            for (const limit of ended.limits) if (limit.kind === 'refundable') call.report(limit, -ended.cost)
          }
          for (const { which, what, cost } of asks) {
            const limits = all.filter((_, position) => ((which >> position) & 1) === 0 || all.length === 1)
            if (limits.length > 0) expect(call.add(asked(limits, what, cost))).toBe(true)
          }
          const frame = { history: String(histories), instance, held, atMs }
          for (const { ask, decision } of await send(call, frame)) {
            const { limits, what, cost } = ask
            if (what === 'peek') {
              expect(decision.statuses).toEqual(local.peek(limits).map(rounded))
              continue
            }
            const alone = local.take(limits, cost)
            expect(decision).toEqual({
              ...alone,
              retryAfterMs: Math.ceil(alone.retryAfterMs),
              statuses: alone.statuses.map(rounded),
            })
            if (!decision.granted) continue
            open.push(ask)
            hold(held, limits, 1)
          }
        }
      }),
      { numRuns: 500 },
    )
  })

  test.each([-30 * 3_600_000, -3_600_000, -60_000, -1])(
    'forgets nothing and keeps nobody waiting longer than the window when its clock is set by %i ms',
    async (byMs) => {
      const rule = (meter: string, quota: Quota | null): Limit => ({
        meter: `${meter} ${byMs}`,
        name: meter,
        kind: quota === null ? 'concurrency' : 'rate',
        scope: 'team',
        quota,
        most: 3,
        shadow: false,
      })
      const minute = rule('minute', sliding(60_000, 3))
      const [burst, day] = [rule('burst', { ...sliding(60_000, 60), burst: 3 }), rule('day', calendar('day', 3))]
      const slots = rule('slots', null)
      const write = createLimitWriter()
      const take = async (
        limit: Limit,
        atMs: number,
        held = 0,
        instance = 'one',
      ): Promise<LimitDecision | undefined> => {
        const call = new LimitCall(write, atMs)
        call.add(asked([limit], 'take'))
        const frame = { history: 'set back', instance, held: new Map([[limit.meter, held]]), atMs }
        return (await send(call, frame))[0]?.decision
      }
      let atMs = begin
      for (const limit of [burst, day]) for (let uses = 0; uses < 3; uses += 1) await take(limit, atMs)
      await comes('crashed')
      for (let uses = 0; uses < 3; uses += 1) await take(slots, atMs, uses, 'crashed')
      await goes('crashed')
      await take(minute, atMs)
      await take(minute, atMs)
      await take(minute, (atMs += 20_000))
      atMs += byMs
      for (const [limit, windowMs] of [
        [minute, 40_000],
        [burst, 3_000],
        [day, 86_400_000],
        [slots, 1_000],
      ] as const) {
        const refused = await take(limit, atMs)
        // Time has gone by for the bucket and the slots, where the clock shows that it has.
        if (limit === minute || limit === day) expect(refused?.granted).toBe(false)
        expect(refused?.retryAfterMs).toBeLessThanOrEqual(windowMs)
        for (const { resetMs } of refused?.statuses ?? []) expect(resetMs).toBeLessThanOrEqual(60_000 + windowMs)
      }
      // The first two are a minute old, the third is not.
      atMs += 40_000
      expect((await take(minute, atMs))?.granted).toBe(true)
      expect((await take(minute, atMs))?.granted).toBe(true)
      expect((await take(minute, atMs))?.granted).toBe(false)
      expect((await take(minute, atMs + 20_000))?.granted).toBe(true)
      expect((await take(slots, atMs))?.granted).toBe(true)
    },
  )

  test('counts the slots of an instance for as long as it is there, and frees them soon when it is not', async () => {
    const slots: Limit = {
      meter: 'slots',
      name: 'concurrent',
      kind: 'concurrency',
      scope: 'team',
      quota: null,
      most: 1000,
      shadow: false,
    }
    const write = createLimitWriter()
    const names = ['a', 'b', 'c'] as const
    const anyStep = fc.record({
      instance: fc.constantFrom(...names),
      pauseMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3000 })),
      holds: fc.nat({ max: 5 }),
      leaves: fc.boolean(),
    })
    let histories = 0
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { maxLength: 40 }), async (steps) => {
        histories += 1
        await comes(...names)
        /** What each holds, and when it has left. */
        const held = new Map<string, { holds: number; leftMs: number | null }>()
        const [history, nobody] = [`leaving ${histories}`, new Map<string, number>()]
        let atMs = begin
        for (const { instance, pauseMs, holds, leaves } of steps) {
          atMs += pauseMs
          if (leaves) {
            await goes(instance)
            const known = held.get(instance)
            if (known !== undefined) known.leftMs ??= atMs
          } else {
            await comes(instance)
            const report = new LimitCall(write, atMs)
            report.report(slots, 0)
            await send(report, { history, instance, held: new Map([[slots.meter, holds]]), atMs })
            held.set(instance, { holds, leftMs: null })
          }
          const seen = new LimitCall(write, atMs)
          seen.add(asked([slots], 'peek'))
          const [answer] = await send(seen, { history, instance: 'nobody', held: nobody, atMs })
          const used = slots.most - (answer?.decision.statuses[0]?.remaining ?? 0)
          const sum = (counts: (leftMs: number | null) => boolean): number =>
            [...held.values()].reduce((total, each) => total + (counts(each.leftMs) ? each.holds : 0), 0)
          expect(used).toBeGreaterThanOrEqual(sum((leftMs) => leftMs === null))
          // Looked for twice, a second apart, when somebody asks.
          expect(used).toBeLessThanOrEqual(sum((leftMs) => leftMs === null || atMs - leftMs < 8000))
        }
      }),
      { numRuns: 150 },
    )
    await comes(...names)
  })

  test('keeps the slots of an instance that only seems to be gone, as all do when its clock was set forward', async () => {
    const slots: Limit = {
      meter: 'forward',
      name: 'concurrent',
      kind: 'concurrency',
      scope: 'team',
      quota: null,
      most: 10,
      shadow: false,
    }
    const write = createLimitWriter()
    let atMs = begin
    const used = async (): Promise<number> => {
      const seen = new LimitCall(write, atMs)
      seen.add(asked([slots], 'peek'))
      const [answer] = await send(seen, { history: 'forward', instance: 'nobody', held: new Map(), atMs })
      return 10 - (answer?.decision.statuses[0]?.remaining ?? 0)
    }
    const report = new LimitCall(write, atMs)
    report.report(slots, 0)
    await send(report, { history: 'forward', instance: 'a', held: new Map([[slots.meter, 3]]), atMs })
    await goes('a')
    atMs += 3_600_000
    expect(await used()).toBe(3)
    await comes('a')
    atMs += 1000
    expect(await used()).toBe(3)
    await goes('a')
    atMs += 1000
    expect(await used()).toBe(3)
    atMs += 1000
    expect(await used()).toBe(0)
    await comes('a')
  })

  test('decides nothing for an instance with another epoch: the store may have lost its data', async () => {
    const [limit] = [
      {
        meter: 'epochs',
        name: 'requests',
        kind: 'rate',
        scope: 'team',
        quota: sliding(60_000, 5),
        most: 0,
        shadow: false,
      } as const,
    ]
    const call = new LimitCall(createLimitWriter(), begin)
    call.add(asked([limit], 'take'))
    await server.command('SET', 'test:epoch', 'another')
    expect(await send(call, { history: 'epochs', instance: 'one', held: new Map(), atMs: begin })).toEqual([])
    await server.command('SET', 'test:epoch', epoch)
    const again = await send(call, { history: 'epochs', instance: 'one', held: new Map(), atMs: begin })
    expect(again[0]?.decision.statuses[0]?.remaining).toBe(4)
  })

  test.each([
    ['a text', 'x'],
    ['a fraction', 0.5],
    ['no number', Number.NaN],
    ['nothing', null],
    ['a list', [1]],
  ])('takes %s among its figures for no answer, since it would get into the fields of answers', (_what, odd) => {
    const slots = {
      meter: 'figures',
      name: 'concurrent',
      kind: 'concurrency',
      scope: 'team',
      quota: null,
      most: 5,
      shadow: false,
    } as const
    const answer = (last: unknown): unknown[] => [...Array.from({ length: length - 1 }, () => 1), last]
    const call = new LimitCall(createLimitWriter(), begin)
    call.add(asked([slots], 'take'))
    const read = (given: unknown): boolean => call.read(given, () => {})
    const length =
      Array.from({ length: 40 }, (_, index) => index).find((size) => {
        try {
          return size > 0 && read(Array.from({ length: size }, () => 1))
        } catch {
          return false
        }
      }) ?? 0
    expect(read(answer(1))).toBe(true)
    expect(() => read(answer(odd))).toThrow('not an answer of limits.decide')
  })
})
