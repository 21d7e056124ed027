// When the store counts as away, and when as back.

import { describe, expect, test } from 'vitest'
import { Breaker } from '../../src/store/breaker.ts'

function start() {
  const changes: (string | null)[] = []
  const clock = { nowMs: 0 }
  const breaker = new Breaker(
    'new',
    () => clock.nowMs,
    (reason) => changes.push(reason),
  )
  const fail = (times: number): void => {
    for (let time = 0; time < times; time += 1) breaker.failed('down')
  }
  /** How many probes it takes until it is closed. */
  const probesToClose = (): number => {
    for (let probes = 0; ; probes += 1) {
      if (breaker.reason === null) return probes
      breaker.succeeded(true)
    }
  }
  return { breaker, changes, clock, fail, probesToClose }
}

describe('the breaker', () => {
  test('is open until a first probe is answered', () => {
    const { breaker, changes } = start()
    expect(breaker.reason).toBe('new')
    breaker.succeeded(false)
    expect(breaker.reason).toBe('new')
    breaker.succeeded(true)
    expect(breaker.reason).toBeNull()
    expect(changes).toEqual([null])
  })

  test('opens after three failures in a row, once, and tells the latest reason', () => {
    const { breaker, changes, fail } = start()
    breaker.succeeded(true)
    fail(2)
    breaker.succeeded(false)
    fail(2)
    expect(breaker.reason).toBeNull()
    fail(1)
    breaker.failed('still down')
    expect(breaker.reason).toBe('still down')
    expect(changes).toEqual([null, 'down'])
  })

  test('asks for more probes each time the store goes away again soon, and for one when it had stayed', () => {
    const { clock, fail, probesToClose } = start()
    const taken = [probesToClose()]
    for (let time = 0; time < 6; time += 1) {
      fail(3)
      taken.push(probesToClose())
    }
    clock.nowMs += 60_000
    fail(3)
    taken.push(probesToClose())
    expect(taken).toEqual([1, 2, 4, 8, 16, 16, 16, 1])
  })

  test('counts probes in a row only', () => {
    const { breaker, fail, probesToClose } = start()
    probesToClose()
    fail(3)
    breaker.succeeded(true)
    breaker.failed('down')
    breaker.succeeded(true)
    expect(breaker.reason).toBe('down')
    breaker.succeeded(true)
    expect(breaker.reason).toBeNull()
  })
})
