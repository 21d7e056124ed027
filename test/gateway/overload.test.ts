import { describe, expect, test } from 'vitest'
import { createDelayReader, Overload, priorities } from '../../src/gateway/overload.ts'

function after(...readings: readonly number[]): { shed: readonly string[]; changes: readonly number[] } {
  const changes: number[] = []
  const overload = new Overload((level) => changes.push(level))
  for (const reading of readings) overload.take(reading)
  return { shed: priorities.filter((priority) => overload.refusal(priority) !== null), changes }
}
const times = (count: number, reading: number): readonly number[] => Array.from({ length: count }, () => reading)

describe('overload', () => {
  test.each([
    ['a calm event loop', times(100, 30), []],
    ['one long pause', [30, 5000, 30], []],
    ['pauses that come and go', Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? 400 : 20)), []],
    ['a delay that stays', [120, 120], ['low']],
    ['a longer one', [300, 300], ['low', 'normal']],
    ['one that is hopeless', [2000, 2000], ['low', 'normal', 'high']],
    ['two readings: the lesser counts', [2000, 120], ['low']],
    ['a delay that grows', [120, 120, 300, 300, 1500, 1500], ['low', 'normal', 'high']],
  ])('refuses after %s', (_name, readings, expected) => {
    expect(after(...readings).shed).toEqual(expected)
  })

  test('does not end while the delay is above half of what began it, nor after a few calm readings', () => {
    expect(after(...times(2, 120), ...times(100, 60)).shed).toEqual(['low'])
    expect(after(...times(2, 120), ...times(5, 10), 60, ...times(5, 10)).shed).toEqual(['low'])
  })

  test('ends priority by priority, the highest first', () => {
    const calm = times(6, 5)
    const { shed, changes } = after(...times(2, 2000), ...calm, ...calm, ...calm)
    expect([shed, changes]).toEqual([[], [3, 2, 1, 0]])
  })

  test('is logged a few times, and not at every reading, when the delay wavers around a bound', () => {
    const wavering = Array.from({ length: 200 }, (_, index) => 100 + 40 * Math.sin(index / 2))
    expect(after(...wavering).changes).toEqual([1])
  })

  test('says what to do', () => {
    const overload = new Overload(() => {})
    for (const reading of times(2, 120)) overload.take(reading)
    expect(overload.refusal('low')).toMatchObject({
      kind: 'overloaded',
      reason: 'gateway-busy',
      status: 503,
      fields: { 'retry-after': expect.stringMatching(/^[1-9]\d*$/) as unknown },
    })
  })
})

test('the delay of the event loop is read', async () => {
  const reader = createDelayReader()
  let delay: number | null = null
  while (delay === null || delay < 100) {
    const until = performance.now() + 300
    while (performance.now() < until);
    await new Promise((resolve) => setTimeout(resolve, 1))
    delay = reader.read()
  }
  expect(delay).toBeGreaterThanOrEqual(100)
  reader.close()
  // Nothing comes in after it was closed.
  reader.read()
  expect(reader.read()).toBeNull()
})
