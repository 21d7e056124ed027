// Several limits checked together, all or nothing; concurrency slots; the RateLimit fields.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { policyField, statusField } from '../../src/limits/fields.ts'
import type { Limit } from '../../src/limits/limiter.ts'
import { createLocalLimiter } from '../../src/limits/local/local-limiter.ts'

const today = Date.UTC(2026, 10, 24)

/** Both clocks, as a test sets them. */
function clocks(wallMs = today) {
  const times = { wallMs, monotonicMs: 5_000 }
  return {
    now: () => times.wallMs,
    monotonic: () => times.monotonicMs,
    /** Time passes. */
    pass(ms: number): void {
      times.wallMs += ms
      times.monotonicMs += ms
    },
    /** Somebody sets the system's clock. */
    set: (byMs: number) => void (times.wallMs += byMs),
  }
}

const rate = (meter: string, amount: number, more: Partial<Limit> = {}): Limit => ({
  meter,
  name: meter,
  kind: 'rate',
  scope: 'team',
  quota: { amount, perMs: 60_000, calendar: null, burst: null, timeZone: 'UTC' },
  most: 0,
  shadow: false,
  ...more,
})
const calendarDay = { amount: 1, perMs: null, calendar: 'day', burst: null, timeZone: 'UTC' } as const
const concurrency = (meter: string, most: number): Limit => ({
  meter,
  name: meter,
  kind: 'concurrency',
  scope: 'team',
  quota: null,
  most,
  shadow: false,
})

describe('limits of a request', () => {
  test('are counted everywhere or nowhere', () => {
    fc.assert(
      fc.property(fc.array(fc.subarray(['a', 'b', 'c', 'd'], { minLength: 1 }), { maxLength: 60 }), (requests) => {
        const amounts = new Map([
          ['a', 3],
          ['b', 5],
          ['c', 8],
          ['d', 1],
        ])
        const limiter = createLocalLimiter(clocks())
        const counted = new Map<string, number>()
        for (const names of requests) {
          const limits = names.map((name) => rate(name, amounts.get(name) ?? 0))
          const fits = names.every((name) => (counted.get(name) ?? 0) < (amounts.get(name) ?? 0))
          expect(limiter.take(limits).granted).toBe(fits)
          if (fits) for (const name of names) counted.set(name, (counted.get(name) ?? 0) + 1)
          for (const { limit, remaining } of limiter.peek(limits)) {
            expect(remaining).toBe((amounts.get(limit.name) ?? 0) - (counted.get(limit.name) ?? 0))
          }
        }
      }),
    )
  })

  test('name the limit with the longest wait', () => {
    const limiter = createLocalLimiter(clocks())
    const day: Limit = rate('sessions', 1, {
      kind: 'refundable',
      quota: calendarDay,
    })
    const limits = [rate('requests', 1), day]
    limiter.take(limits)
    const refused = limiter.take(limits)
    expect(refused).toMatchObject({ granted: false, exceeded: { name: 'sessions' }, retryAfterMs: 86_400_000 })
  })

  test('in shadow mode are reported and not applied', () => {
    const limiter = createLocalLimiter(clocks())
    const limits = [rate('requests', 1, { shadow: true })]
    limiter.take(limits)
    expect(limiter.take(limits)).toMatchObject({ granted: true, exceeded: { name: 'requests' } })
  })

  test('are kept for all who have used them, however many callers come', () => {
    const limiter = createLocalLimiter(clocks())
    const callers = Array.from({ length: 25_000 }, (_, number) => [rate(`caller ${number}`, 1)])
    for (const limits of callers) limiter.take(limits)
    expect(callers.filter((limits) => limiter.take(limits).granted)).toEqual([])
  })

  test('are counted at the time of the call, also where the store has granted it', () => {
    const time = clocks()
    const limiter = createLocalLimiter(time)
    const limits = [rate('requests', 5), rate('day', 5, { quota: { ...calendarDay, amount: 5 } })]
    time.pass(30_000)
    limiter.count(limits)
    time.pass(59_999)
    for (const limit of limits) expect(limiter.used(limit)).toBe(1)
    time.pass(1)
    expect(limits.map((limit) => limiter.used(limit))).toEqual([0, 1])
    time.pass(86_400_000)
    expect(limits.map((limit) => limiter.used(limit))).toEqual([0, 0])
  })

  test('give back the budget of a call that came to nothing, and no rate', () => {
    const limiter = createLocalLimiter(clocks())
    const limits = [rate('requests', 5), rate('sessions', 5, { kind: 'refundable' })]
    limiter.take(limits)
    limiter.giveBack(limits)
    expect(limiter.peek(limits).map(({ remaining }) => remaining)).toEqual([4, 5])
  })
})

describe("a change of the system's time", () => {
  const hour = 3_600_000
  const minute = rate('minute', 2)
  const burst = rate('burst', 60, { quota: { amount: 60, perMs: 60_000, calendar: null, burst: 2, timeZone: 'UTC' } })
  const day = rate('day', 2, {
    quota: { amount: 2, perMs: null, calendar: 'day', burst: null, timeZone: 'Europe/Berlin' },
  })
  const use = (limiter: ReturnType<typeof createLocalLimiter>, limits: readonly Limit[]) => {
    while (limiter.take(limits).granted);
  }

  test.each([-26 * hour, -hour, -1, 1, hour, 26 * hour])(
    'by %i ms makes nobody wait longer than the window',
    (byMs) => {
      for (const [limit, windowMs] of [
        [minute, 60_000],
        [burst, 2_000],
        [day, 24 * hour],
      ] as const) {
        const time = clocks(today + 12 * hour)
        const limiter = createLocalLimiter(time)
        use(limiter, [limit])
        time.set(byMs)
        expect(limiter.take([limit]).retryAfterMs).toBeLessThanOrEqual(windowMs)
        for (const { resetMs } of limiter.peek([limit])) expect(resetMs).toBeLessThanOrEqual(windowMs)
      }
    },
  )

  test.each([-hour, 59_000, hour, 26 * hour])(
    'by %i ms neither forgets uses of a sliding limit nor keeps them longer',
    (byMs) => {
      for (const limit of [
        minute,
        rate('hour', 2, { quota: { ...burst.quota, amount: 2, perMs: hour, burst: null } as Limit['quota'] }),
      ]) {
        const time = clocks()
        const limiter = createLocalLimiter(time)
        use(limiter, [limit])
        time.set(byMs)
        expect(limiter.take([limit]).granted).toBe(false)
        time.pass((limit.quota?.perMs ?? 0) - 1)
        expect(limiter.take([limit]).granted).toBe(false)
        time.pass(1)
        expect(limiter.take([limit]).granted).toBe(true)
      }
    },
  )

  test('over a midnight and back forgets no use of the day', () => {
    const time = clocks(today + 21.5 * hour)
    const limiter = createLocalLimiter(time)
    limiter.take([day])
    time.set(2 * hour)
    expect(limiter.take([day]).granted).toBe(true)
    time.set(-2 * hour)
    expect(limiter.take([day])).toMatchObject({ granted: false, retryAfterMs: 1.5 * hour })
    time.pass(1.5 * hour)
    expect(limiter.peek([day])[0]?.remaining).toBe(2)
  })
})

describe('concurrency', () => {
  test('never exceeds its limit and never leaks a slot', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(fc.boolean(), { maxLength: 80 }), (most, steps) => {
        const limiter = createLocalLimiter(clocks())
        const limits = [concurrency('concurrent', most)]
        let running = 0
        for (const begins of steps) {
          if (begins) {
            const { granted } = limiter.take(limits)
            expect(granted).toBe(running < most)
            if (granted) running += 1
          } else if (running > 0) {
            limiter.release(limits)
            running -= 1
          }
          expect(limiter.peek(limits)[0]?.remaining).toBe(most - running)
        }
      }),
    )
  })

  test('takes no slot when another limit refuses', () => {
    const limiter = createLocalLimiter(clocks())
    const limits = [concurrency('concurrent', 1), rate('requests', 1)]
    limiter.take(limits)
    limiter.release(limits)
    expect(limiter.take(limits).granted).toBe(false)
    expect(limiter.peek(limits)[0]?.remaining).toBe(1)
  })
})

describe('the RateLimit fields', () => {
  test('are structured fields as the draft spells them', () => {
    const limiter = createLocalLimiter(clocks())
    const limits = [rate('requests', 600), concurrency('concurrent', 20)]
    expect(policyField(limits)).toBe('"requests";q=600;w=60, "concurrent";q=20;qu="concurrent-requests"')
    expect(statusField(limiter.take(limits).statuses)).toBe('"requests";r=599;t=60, "concurrent";r=19')
    const statuses = limits.map((limit) => ({ limit, remaining: 1, resetMs: limit.quota === null ? 0 : 1_001 }))
    expect(statusField(statuses)).toBe('"requests";r=1;t=2, "concurrent";r=1')
  })
})
