import { describe, expect, test } from 'vitest'
import {
  createDelayReader,
  Overload,
  priorities,
  readingMs,
  refusedAt,
  type OverloadLevel,
} from '../../src/gateway/load/overload.ts'
import { Problem } from '../../src/problems.ts'

type Priority = (typeof priorities)[number]

function after(...readings: readonly number[]): {
  level: OverloadLevel
  changes: readonly number[]
  overload: Overload
} {
  const changes: number[] = []
  const overload = new Overload((level) => changes.push(level))
  for (const reading of readings) overload.take(reading)
  return { level: overload.level, changes, overload }
}
const times = (count: number, reading: number): readonly number[] => Array.from({ length: count }, () => reading)
const of = (team: string, priority: Priority = 'normal', weight = 2) => ({ team, priority, weight })
const readingsOf = [[], [120, 120], [300, 300], [2000, 2000]] as const

describe('the level of an overload', () => {
  test.each([
    ['a calm event loop', times(100, 30), 0],
    ['one long pause', [30, 5000, 30], 0],
    ['pauses that come and go', Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? 400 : 20)), 0],
    ['a delay that stays', [120, 120], 1],
    ['a longer one', [300, 300], 2],
    ['one that is hopeless', [2000, 2000], 3],
    ['two readings: the lesser counts', [2000, 120], 1],
    ['a delay that grows', [120, 120, 300, 300, 1500, 1500], 3],
  ])('after %s', (_name, readings, expected) => {
    expect(after(...readings).level).toEqual(expected)
  })

  test('does not fall while the delay is above half of what raised it, nor after one calm reading', () => {
    expect(after(...times(2, 120), ...times(100, 60)).level).toBe(1)
    expect(after(...times(2, 120), 10, 60, 10, 60, 10).level).toBe(1)
  })

  test('falls one by one, and from the highest to none within a second of good readings', () => {
    const { changes } = after(...times(2, 2000), ...times(1000 / readingMs, 5))
    expect(changes).toEqual([3, 2, 1, 0])
  })

  test('is logged a few times, and not at every reading, when the delay wavers around a bound', () => {
    const wavering = Array.from({ length: 200 }, (_, index) => 100 + 40 * Math.sin(index / 2))
    expect(after(...wavering).changes).toEqual([1])
  })
})

describe('a request under overload', () => {
  /** Which of two teams of a priority are refused: one that makes nearly all of the load, and one that makes little. */
  function refusedOf(readings: readonly number[], priority: Priority): readonly string[] {
    const { overload } = after(...readings)
    for (const team of ['calm', ...Array<string>(50).fill('busy')]) overload.admit(of(team, priority), 0)
    return ['busy', 'calm'].filter((team) => overload.admit(of(team, priority), 0) instanceof Problem)
  }

  test.each(priorities)(
    'of a team of priority %s is refused sooner when the team makes more than its share',
    (priority) => {
      const from = (team: string) => readingsOf.findIndex((readings) => refusedOf(readings, priority).includes(team))
      expect(from('busy')).toBeLessThan(from('calm'))
      for (const [level, readings] of readingsOf.entries()) {
        const { beyondShare, withinShare } = refusedAt(level as OverloadLevel)
        expect(refusedOf(readings, priority)).toEqual([
          ...(beyondShare.includes(priority) ? ['busy'] : []),
          ...(withinShare.includes(priority) ? ['calm'] : []),
        ])
      }
    },
  )

  test('of a team within its share is refused at the highest level alone, unless its priority is low', () => {
    expect(readingsOf.map((_, level) => refusedAt(level as OverloadLevel).withinShare)).toEqual([
      [],
      [],
      ['low'],
      ['low', 'normal', 'high'],
    ])
  })

  test('of a team that goes on after refusals stays refused, and one that has stopped is served again', () => {
    const { overload } = after(120, 120)
    const begin = (team: string, count: number): readonly boolean[] =>
      Array.from({ length: count }, () => {
        const admitted = overload.admit(of(team), 0)
        if (admitted instanceof Problem) return false
        admitted()
        return true
      })
    begin('other', 10)
    begin('busy', 100)
    for (let reading = 0; reading < 20; reading++) {
      overload.take(120)
      expect(begin('other', 10)).not.toContain(false)
      expect(begin('busy', 100)).not.toContain(true)
    }
    for (let reading = 0; reading < 10; reading++) {
      overload.take(120)
      begin('other', 10)
    }
    expect(begin('busy', 1)).toEqual([true])
  })

  test.each([
    ['a large length', 1_000_000],
    ['a length that nobody knows', null],
  ])('weighs as much as its body: %s', (_name, bytes) => {
    const { overload } = after(120, 120)
    for (let sent = 0; sent < 20; sent++) overload.admit(of('small'), 0)
    for (let sent = 0; sent < 4; sent++) overload.admit(of('large'), bytes)
    expect(overload.admit(of('small'), 0)).not.toBeInstanceOf(Problem)
    expect(overload.admit(of('large'), bytes)).toBeInstanceOf(Problem)
  })

  test('of a team that has many under way is refused, however long ago they began', () => {
    const { overload } = after(120, 120)
    const held = Array.from({ length: 10 }, () => overload.admit(of('other'), 0))
    for (let sent = 0; sent < 50; sent++) held.push(overload.admit(of('slow'), 0))
    expect(held.filter((each) => each instanceof Problem).length).toBeGreaterThan(0)
    for (const reading of times(20, 120)) overload.take(reading)
    expect(overload.admit(of('slow'), 0)).toBeInstanceOf(Problem)
    for (const leave of held) if (!(leave instanceof Problem)) leave()
    for (const reading of times(20, 120)) overload.take(reading)
    expect(overload.admit(of('slow'), 0)).not.toBeInstanceOf(Problem)
  })

  test('that is refused says what to do, and is counted by priority', () => {
    const { overload } = after(2000, 2000)
    expect(overload.admit(of('one', 'low'), 0)).toMatchObject({
      kind: 'overloaded',
      reason: 'gateway-busy',
      status: 503,
      fields: { 'retry-after': expect.stringMatching(/^[1-9]\d*$/) as unknown },
    })
    expect(overload.refused).toEqual({ low: 1, normal: 0, high: 0 })
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
