// Keys that pause after a 429, and recover one request at a time.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createThrottles } from '../../../src/gateway/upstream/throttles.ts'

describe('a key that the upstream has asked to rest', () => {
  test('rests exactly so long, and no other key does', () => {
    const throttles = createThrottles()
    expect(throttles.refused('a', 5000, 1000)).toBe(6000)
    expect([throttles.stateOf('a', 5999), throttles.restMs('a', 5999), throttles.nextMs(5999)]).toEqual(['rest', 1, 1])
    expect([throttles.stateOf('a', 6000), throttles.restMs('a', 6000), throttles.nextMs(6000)]).toEqual([
      'open',
      0,
      null,
    ])
    expect(throttles.stateOf('b', 1000)).toBe('open')
  })

  test('rests until the latest of several times', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 5000 }), fc.nat({ max: 100 })), { minLength: 1 }), (refusals) => {
        const throttles = createThrottles()
        let now = 0
        let until = 0
        for (const [wait, step] of refusals) {
          now += step
          until = Math.max(until, now + wait)
          expect(throttles.refused('a', wait, now)).toBe(until)
          expect(throttles.restMs('a', now)).toBe(until - now)
        }
      }),
    )
  })

  test('comes back with one request, and one more for each that was answered well', () => {
    const throttles = createThrottles()
    throttles.refused('a', 1000, 0)
    // What was under way before does not count.
    expect(throttles.begun('a', 500)).toBe(false)
    expect(throttles.begun('a', 1000)).toBe(true)
    expect(throttles.stateOf('a', 1000)).toBe('full')
    throttles.ended('a', true)
    expect([throttles.begun('a', 1100), throttles.stateOf('a', 1100)]).toEqual([true, 'open'])
    expect([throttles.begun('a', 1100), throttles.stateOf('a', 1100)]).toEqual([true, 'full'])
    // Refused again: from the beginning.
    throttles.refused('a', 1000, 1200)
    throttles.ended('a', false)
    throttles.ended('a', true)
    expect(throttles.stateOf('a', 2100)).toBe('rest')
    for (let count = 0; count < 20; count += 1) {
      throttles.begun('a', 2200)
      throttles.ended('a', true)
    }
    expect(throttles.size).toBe(0)
  })

  test('recovers fully after a time', () => {
    const throttles = createThrottles()
    throttles.refused('a', 1000, 0)
    throttles.begun('a', 1000)
    expect([throttles.stateOf('a', 10_999), throttles.stateOf('a', 11_000), throttles.size]).toEqual([
      'full',
      'open',
      0,
    ])
  })
})
