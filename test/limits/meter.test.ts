// The laws of single limits, with time passed in.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { calendarEndMs } from '../../src/limits/calendar.ts'
import type { Quota } from '../../src/limits/limiter.ts'
import { createMeter } from '../../src/limits/local/meter.ts'

const start = Date.UTC(2026, 10, 24, 9, 0, 0)
const sliding = (amount: number, perMs: number, burst: number | null = null): Quota => ({
  amount,
  perMs,
  calendar: null,
  burst,
  timeZone: 'UTC',
})
const calendar = (amount: number, unit: 'day' | 'week' | 'month', timeZone = 'UTC'): Quota => ({
  amount,
  perMs: null,
  calendar: unit,
  burst: null,
  timeZone,
})

/** Runs requests at the given gaps and returns the times of those that were let through. */
function run(quota: Quota, gapsMs: readonly number[]): number[] {
  const meter = createMeter(quota)
  const granted: number[] = []
  let now = start
  for (const gap of gapsMs) {
    now += gap
    if (meter.waitMs(quota, 1, now) > 0) continue
    meter.take(quota, 1, now)
    granted.push(now)
  }
  return granted
}

/** The most that were let through in any half-open window of the length. */
function mostInAnyWindow(times: readonly number[], lengthMs: number): number {
  return Math.max(0, ...times.map((from) => times.filter((time) => time >= from && time < from + lengthMs).length))
}

const gaps = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 3000 })), {
  maxLength: 200,
})

describe('a sliding limit', () => {
  test('never lets more than its amount through in any window of its length', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.constantFrom(1000, 1500, 60_000),
        gaps,
        (amount, perMs, requests) => {
          expect(mostInAnyWindow(run(sliding(amount, perMs), requests), perMs)).toBeLessThanOrEqual(amount)
        },
      ),
    )
  })

  test('lets the whole amount through at once, and again after its length and a thousandth', () => {
    expect(run(sliding(5, 1000), [0, 0, 0, 0, 0, 0, 1001, 0, 0, 0, 0, 0])).toHaveLength(10)
  })

  test('says how long to wait, and a client that waits that long succeeds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 }), gaps, (amount, requests) => {
        const quota = sliding(amount, 1000)
        const meter = createMeter(quota)
        let now = start
        for (const gap of requests) {
          now += gap
          const wait = meter.waitMs(quota, 1, now)
          if (wait > 0) {
            expect(meter.waitMs(quota, 1, now + wait - 1)).toBeGreaterThan(0)
            expect(meter.waitMs(quota, 1, now + wait)).toBe(0)
            now += wait
          }
          meter.take(quota, 1, now)
        }
      }),
    )
  })

  test('has room again for what is given back, and for no more', () => {
    const quota = sliding(2, 60_000)
    const meter = createMeter(quota)
    meter.take(quota, 1, start)
    meter.take(quota, 1, start)
    expect(meter.remaining(quota, start)).toBe(0)
    meter.giveBack(1)
    expect(meter.remaining(quota, start)).toBe(1)
    meter.giveBack(5)
    expect(meter.remaining(quota, start)).toBe(2)
  })

  test('never fits a cost above its amount', () => {
    expect(createMeter(sliding(2, 1000)).waitMs(sliding(2, 1000), 3, start)).toBe(Infinity)
  })

  test('keeps what was used when its amount changes', () => {
    const meter = createMeter(sliding(5, 60_000))
    for (let n = 0; n < 5; n++) meter.take(sliding(5, 60_000), 1, start)
    expect(meter.waitMs(sliding(3, 60_000), 1, start)).toBeGreaterThan(0)
    expect(meter.remaining(sliding(7, 60_000), start)).toBe(2)
  })

  test('holds no more than a thousand entries whatever comes', () => {
    const granted = run(
      sliding(1_000_000, 1000),
      Array.from({ length: 20_000 }, () => 0.25),
    )
    expect(granted).toHaveLength(20_000)
  })
})

describe('a sliding limit with a burst', () => {
  test('never lets more than amount and burst through in any window of its length', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 10 }), gaps, (amount, burst, requests) => {
        expect(mostInAnyWindow(run(sliding(amount, 1000, burst), requests), 1000)).toBeLessThanOrEqual(amount + burst)
      }),
    )
  })

  test('lets no more than the burst through at once', () => {
    expect(
      run(
        sliding(600, 60_000, 10),
        Array.from({ length: 50 }, () => 0),
      ),
    ).toHaveLength(10)
  })

  test('says how long to wait, and a client that waits that long succeeds', () => {
    const quota = sliding(600, 60_000, 2)
    const meter = createMeter(quota)
    meter.take(quota, 1, start)
    meter.take(quota, 1, start)
    const wait = meter.waitMs(quota, 1, start)
    expect(wait).toBe(100)
    expect(meter.waitMs(quota, 1, start + wait)).toBe(0)
  })

  test('is full again when all is given back, in one piece or in many, whatever the rate', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 40 }), (amount, burst) => {
        const quota = sliding(amount, 60_000, burst)
        const [together, apart] = [createMeter(quota), createMeter(quota)]
        // Microseconds, as the shared store tells them.
        const now = start + 0.123
        for (let taken = 0; taken < burst; taken++) for (const meter of [together, apart]) meter.take(quota, 1, now)
        together.giveBack(burst)
        for (let given = 0; given < burst; given++) apart.giveBack(1)
        for (const meter of [together, apart]) {
          expect(meter.resetMs(quota, now)).toBe(0)
          expect(meter.remaining(quota, now)).toBe(burst)
        }
      }),
    )
  })
})

describe('a calendar limit', () => {
  test('turns at midnight of its time zone', () => {
    expect(new Date(calendarEndMs('day', 'UTC', start)).toISOString()).toBe('2026-11-25T00:00:00.000Z')
    expect(new Date(calendarEndMs('day', 'Europe/Berlin', start)).toISOString()).toBe('2026-11-24T23:00:00.000Z')
    expect(new Date(calendarEndMs('month', 'America/New_York', start)).toISOString()).toBe('2026-12-01T05:00:00.000Z')
    expect(new Date(calendarEndMs('week', 'UTC', start)).toISOString()).toBe('2026-11-30T00:00:00.000Z')
  })

  test('turns rightly on days when the clocks change', () => {
    expect(new Date(calendarEndMs('day', 'Europe/Berlin', Date.UTC(2026, 2, 29, 0, 30))).toISOString()).toBe(
      '2026-03-29T22:00:00.000Z',
    )
    expect(new Date(calendarEndMs('day', 'Europe/Berlin', Date.UTC(2026, 9, 25, 0, 30))).toISOString()).toBe(
      '2026-10-25T23:00:00.000Z',
    )
  })

  test.each([
    ['America/Santiago', '2026-09-06T03:30Z', '2026-09-06T04:00:00.000Z'],
    ['America/Havana', '2026-03-08T04:30Z', '2026-03-08T05:00:00.000Z'],
    ['Africa/Cairo', '2026-04-23T21:30Z', '2026-04-23T22:00:00.000Z'],
    ['America/Havana', '2026-11-01T03:30Z', '2026-11-01T04:00:00.000Z'],
    ['America/Havana', '2026-11-01T04:30Z', '2026-11-02T05:00:00.000Z'],
  ])('turns once where the clocks change at midnight: %s at %s', (timeZone, at, end) => {
    expect(new Date(calendarEndMs('day', timeZone, Date.parse(at))).toISOString()).toBe(end)
  })

  test('holds a moment and ends at the first one of the next day, in every time zone', () => {
    const zones = Intl.supportedValuesOf('timeZone')
    const moments = fc.integer({ min: Date.UTC(2025, 0), max: Date.UTC(2031, 0) })
    fc.assert(
      fc.property(fc.constantFrom(...zones), moments, (timeZone, nowMs) => {
        const dateAt = (ms: number): string => new Date(ms).toLocaleDateString('en-CA', { timeZone })
        const endMs = calendarEndMs('day', timeZone, nowMs)
        return endMs > nowMs && dateAt(endMs - 1) === dateAt(nowMs) && dateAt(endMs) !== dateAt(nowMs)
      }),
      { numRuns: 500 },
    )
  })

  test('counts until it turns and starts anew then', () => {
    const quota = calendar(2, 'day')
    const meter = createMeter(quota)
    meter.take(quota, 1, start)
    meter.take(quota, 1, start)
    const wait = meter.waitMs(quota, 1, start)
    expect(start + wait).toBe(Date.UTC(2026, 10, 25))
    expect(meter.waitMs(quota, 1, start + wait)).toBe(0)
  })
})
