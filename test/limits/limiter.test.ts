// Several limits judged together, all or nothing; concurrency slots; the fields that tell of them.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { policyField, standingField } from '../../src/limits/fields.ts'
import { createLimiter, type Limit } from '../../src/limits/limiter.ts'

const now = Date.UTC(2026, 10, 24)
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
        const limiter = createLimiter()
        const counted = new Map<string, number>()
        for (const names of requests) {
          const limits = names.map((name) => rate(name, amounts.get(name) ?? 0))
          const fits = names.every((name) => (counted.get(name) ?? 0) < (amounts.get(name) ?? 0))
          expect(limiter.take(limits, now).granted).toBe(fits)
          if (fits) for (const name of names) counted.set(name, (counted.get(name) ?? 0) + 1)
          for (const { limit, remaining } of limiter.peek(limits, now)) {
            expect(remaining).toBe((amounts.get(limit.name) ?? 0) - (counted.get(limit.name) ?? 0))
          }
        }
      }),
    )
  })

  test('name the one to wait for longest', () => {
    const limiter = createLimiter()
    const day: Limit = rate('sessions', 1, {
      kind: 'budget',
      quota: { amount: 1, perMs: null, calendar: 'day', burst: null, timeZone: 'UTC' },
    })
    const limits = [rate('requests', 1), day]
    limiter.take(limits, now)
    const refused = limiter.take(limits, now)
    expect(refused).toMatchObject({ granted: false, exceeded: { name: 'sessions' }, retryAfterMs: 86_400_000 })
  })

  test('in shadow mode are told of and not applied', () => {
    const limiter = createLimiter()
    const limits = [rate('requests', 1, { shadow: true })]
    limiter.take(limits, now)
    expect(limiter.take(limits, now)).toMatchObject({ granted: true, exceeded: { name: 'requests' } })
  })

  test('are kept for all who have used them, however many callers come', () => {
    const limiter = createLimiter()
    const callers = Array.from({ length: 25_000 }, (_, number) => [rate(`caller ${number}`, 1)])
    for (const limits of callers) limiter.take(limits, now)
    expect(callers.filter((limits) => limiter.take(limits, now).granted)).toEqual([])
  })

  test('give back the budget of a call that came to nothing, and no rate', () => {
    const limiter = createLimiter()
    const limits = [rate('requests', 5), rate('sessions', 5, { kind: 'budget' })]
    limiter.take(limits, now)
    limiter.giveBack(limits)
    expect(limiter.peek(limits, now).map(({ remaining }) => remaining)).toEqual([4, 5])
  })
})

describe('concurrency', () => {
  test('never exceeds its limit and never leaks a slot', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(fc.boolean(), { maxLength: 80 }), (most, steps) => {
        const limiter = createLimiter()
        const limits = [concurrency('concurrent', most)]
        let running = 0
        for (const begins of steps) {
          if (begins) {
            const { granted } = limiter.take(limits, now)
            expect(granted).toBe(running < most)
            if (granted) running += 1
          } else if (running > 0) {
            limiter.release(limits)
            running -= 1
          }
          expect(limiter.peek(limits, now)[0]?.remaining).toBe(most - running)
        }
      }),
    )
  })

  test('takes no slot when another limit refuses', () => {
    const limiter = createLimiter()
    const limits = [concurrency('concurrent', 1), rate('requests', 1)]
    limiter.take(limits, now)
    limiter.release(limits)
    expect(limiter.take(limits, now).granted).toBe(false)
    expect(limiter.peek(limits, now)[0]?.remaining).toBe(1)
  })
})

describe('the RateLimit fields', () => {
  test('are structured fields as the draft spells them', () => {
    const limiter = createLimiter()
    const limits = [rate('requests', 600), concurrency('concurrent', 20)]
    expect(policyField(limits)).toBe('"requests";q=600;w=60, "concurrent";q=20;qu="concurrent-requests"')
    expect(standingField(limiter.take(limits, now).standings)).toBe('"requests";r=599;t=60, "concurrent";r=19')
    const standings = limits.map((limit) => ({ limit, remaining: 1, resetMs: limit.quota === null ? 0 : 1_001 }))
    expect(standingField(standings)).toBe('"requests";r=1;t=2, "concurrent";r=1')
  })
})
