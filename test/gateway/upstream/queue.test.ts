// The queue before the upstream, with a clock of the test's own: turns, pauses, bounds, and refusals.

import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createUpstreamQueue, type QueueEntry, type UpstreamQueue } from '../../../src/gateway/upstream/queue.ts'
import type { Precedence } from '../../../src/limits/precedence.ts'
import { Problem } from '../../../src/problems.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
afterEach(() => void vi.useRealTimers())

const team = (name: string, more: Partial<Precedence> = {}): Precedence => ({
  team: name,
  priority: 'low',
  weight: 1,
  maxRestMs: 0,
  ...more,
})

interface Run {
  readonly queue: UpstreamQueue
  /** `name begins` and `name refused kind retry-after`, in order. */
  readonly events: string[]
  readonly held: string[]
  readonly reached: string[]
  ask(name: string, precedence?: Precedence, key?: string): QueueEntry | null
}

function start(capacity = 1, maxWaiting = 100): Run {
  const events: string[] = []
  const held: string[] = []
  const reached: string[] = []
  const queue = createUpstreamQueue({
    capacity,
    maxWaiting,
    maxWaitMs: 60_000,
    now: () => performance.now(),
    onHeld: (name, result) => held.push(`${name} ${result}`),
    onShareReached: (name, of) => reached.push(`${name} ${of}`),
  })
  const refused = (name: string, { kind, fields }: Problem): void =>
    void events.push(`${name} refused ${kind} ${fields['retry-after'] ?? '-'}`)
  return {
    queue,
    events,
    held,
    reached,
    ask(name, precedence = team(name), key = 'key') {
      try {
        const place = queue.open(key, precedence)
        queue.enter(place, {
          begin: () => void events.push(`${name} begins`),
          refuse: (problem) => refused(name, problem),
        })
        return place
      } catch (error) {
        if (!(error instanceof Problem)) throw error
        refused(name, error)
        return null
      }
    },
  }
}

function leave({ queue }: Run, place: QueueEntry | null, accepted = true): void {
  if (place !== null) queue.leave(place, accepted)
}

describe('while the upstream is saturated', () => {
  test('teams take turns by weight, each in its own order', () => {
    const run = start()
    let current: QueueEntry | null = run.ask('first')
    const places = new Map<string, QueueEntry | null>()
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5', 'a6']) places.set(name, run.ask(name, team('a', { weight: 1 })))
    for (const name of ['b1', 'b2', 'b3', 'b4']) places.set(name, run.ask(name, team('b', { weight: 2 })))
    for (let count = 0; count < 10; count += 1) {
      leave(run, current)
      current = places.get(run.events.at(-1)?.split(' ')[0] ?? '') ?? null
    }
    const order = run.events.slice(1).map((event) => event.split(' ')[0])
    expect(order).toEqual(['a1', 'b1', 'b2', 'a2', 'b3', 'b4', 'a3', 'a4', 'a5', 'a6'])
  })

  test('the queue is bounded, and who leaves it makes room', () => {
    const run = start(1, 2)
    run.ask('first')
    const waiting = run.ask('second')
    run.ask('third')
    expect(run.ask('fourth')).toBeNull()
    leave(run, waiting)
    run.ask('fifth')
    expect(run.events).toEqual(['first begins', 'fourth refused overloaded 1'])
    expect([run.queue.active, run.queue.waiting, run.held]).toEqual([1, 2, ['fourth refused', 'second left']])
  })

  test('a team that holds its share waits although there is room, and another begins at once', () => {
    const run = start(8)
    const greedy = Array.from({ length: 12 }, (_, index) => run.ask(`greedy-${index}`, team('greedy')))
    const begun = run.events.length
    expect(begun).toBeLessThan(8)
    expect([run.queue.active, run.queue.waiting]).toEqual([begun, 12 - begun])
    expect(run.reached).toContain('greedy connections')
    const other = run.ask('other')
    expect(run.events.at(-1)).toBe('other begins')
    leave(run, other)
    // What the team gives back, it may take again.
    leave(run, greedy[0] ?? null)
    expect(run.events.slice(begun + 1)).toEqual([`greedy-${begun} begins`])
  })

  test('a team that holds its share of the queue is refused for that reason, and another may wait', () => {
    const run = start(1, 8)
    run.ask('first', team('greedy'))
    let refused = 0
    for (let index = 0; index < 12; index += 1) if (run.ask(`greedy-${index}`, team('greedy')) === null) refused += 1
    expect(refused).toBeGreaterThan(4)
    expect(run.reached).toContain('greedy queue')
    const before = run.queue.waiting
    expect(run.ask('other')).not.toBeNull()
    expect(run.queue.waiting).toBe(before + 1)
  })

  test('whatever teams do, none holds everything, and nothing that may begin is left waiting', () => {
    const step = fc.record({ team: fc.integer({ min: 0, max: 3 }), leaves: fc.boolean(), at: fc.nat() })
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 20 }), fc.array(step, { maxLength: 200 }), (capacity, steps) => {
        const run = start(capacity, 1000)
        const entries: (QueueEntry | null)[] = []
        for (const { team: number, leaves, at } of steps) {
          if (leaves && entries.length > 0) leave(run, entries.splice(at % entries.length, 1)[0] ?? null)
          else entries.push(run.ask(`request-${entries.length}`, team(`team-${number}`)))
          const active = entries.filter((entry) => entry?.phase === 'begun')
          expect(active).toHaveLength(run.queue.active)
          expect(run.queue.active).toBeLessThanOrEqual(capacity)
          for (const name of [0, 1, 2, 3].map((each) => `team-${each}`)) {
            const held = active.filter((entry) => entry?.flow === name).length
            expect(held).toBeLessThan(capacity)
            const waits = entries.some((entry) => entry?.phase === 'waiting' && entry.flow === name)
            if (waits && held === 0) expect(run.queue.active).toBe(capacity)
          }
        }
      }),
    )
  })

  test('nobody waits longer than the bound', () => {
    const run = start()
    run.ask('first')
    const second = run.ask('second')
    vi.advanceTimersByTime(60_001)
    expect(run.events).toEqual(['first begins', 'second refused overloaded 1'])
    expect([run.queue.waiting, second?.waitedMs]).toEqual([0, 60_000])
  })
})

describe('while a key rests', () => {
  test('a request that may not wait is refused with the exact time; other keys and equal priorities continue', () => {
    const run = start(10)
    run.queue.throttled('key', 'normal', 4_200)
    vi.advanceTimersByTime(1_000)
    run.ask('low')
    run.ask('normal', team('normal', { priority: 'normal' }))
    run.ask('other', team('other'), 'other-key')
    vi.advanceTimersByTime(3_199)
    run.ask('early')
    vi.advanceTimersByTime(1)
    run.ask('after')
    expect(run.events).toEqual([
      'low refused rate-limit-exceeded 4',
      'normal begins',
      'other begins',
      'early refused rate-limit-exceeded 1',
      'after begins',
    ])
  })

  test.each([
    ['high', { high: 'begins', normal: 'refused', low: 'refused' }],
    ['normal', { high: 'begins', normal: 'begins', low: 'refused' }],
    ['low', { high: 'begins', normal: 'begins', low: 'refused' }],
  ] as const)('a 429 to priority %s holds what is below it, and low in any case', (priority, expected) => {
    const run = start(10)
    run.queue.throttled('key', priority, 1_000)
    for (const each of ['high', 'normal', 'low'] as const) run.ask(each, team(each, { priority: each }))
    expect(Object.fromEntries(run.events.map((event) => event.split(' ').slice(0, 2)))).toEqual(expected)
  })

  test('a request that may wait continues after the pause: one first, then more as they are answered', () => {
    const run = start(10)
    const patient = team('a', { maxRestMs: 5_000 })
    run.queue.throttled('key', 'normal', 1_000)
    const places = ['1', '2', '3', '4', '5'].map((name) => run.ask(name, patient))
    vi.advanceTimersByTime(999)
    expect(run.events).toEqual([])
    vi.advanceTimersByTime(2)
    expect(run.events).toEqual(['1 begins'])
    leave(run, places[0] ?? null)
    expect(run.events).toEqual(['1 begins', '2 begins', '3 begins'])
    leave(run, places[1] ?? null)
    expect(run.events).toHaveLength(5)
    expect(places[4]?.waitedMs).toBe(1_001)
  })

  test('a request that could not be served in time is refused at once, also one that already waits', () => {
    const run = start(10)
    const patient = team('a', { maxRestMs: 2_000 })
    run.queue.throttled('key', 'normal', 1_500)
    run.ask('waits', patient)
    run.queue.throttled('key', 'normal', 3_000)
    run.ask('late', patient)
    expect(run.events).toEqual(['waits refused rate-limit-exceeded 3', 'late refused rate-limit-exceeded 3'])
  })

  test('a key that does not come back refuses those who have waited as long as they may', () => {
    const run = start(10)
    const patient = team('a', { maxRestMs: 2_000 })
    run.queue.throttled('key', 'normal', 1_000)
    run.ask('1', patient)
    run.ask('2', patient)
    vi.advanceTimersByTime(2_001)
    // The first one tries, and has no answer yet.
    expect(run.events).toEqual(['1 begins', '2 refused rate-limit-exceeded 1'])
  })

  test('the answer 429 to the one that tries has the key rest anew', () => {
    const run = start(10)
    const patient = team('a', { maxRestMs: 10_000 })
    run.queue.throttled('key', 'normal', 1_000)
    const first = run.ask('1', patient)
    run.ask('2', patient)
    vi.advanceTimersByTime(1_001)
    run.queue.throttled('key', 'normal', 1_000)
    leave(run, first, false)
    vi.advanceTimersByTime(998)
    expect(run.events).toEqual(['1 begins'])
    vi.advanceTimersByTime(3)
    expect(run.events).toEqual(['1 begins', '2 begins'])
  })
})

type Step =
  | { readonly ask: number; readonly key: number; readonly wait: number }
  | { readonly end: number; readonly accepted: boolean }
  | { readonly throttle: number; readonly ms: number }
  | { readonly pass: number }
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ ask: fc.nat(2), key: fc.nat(1), wait: fc.constantFrom(0, 2_000) }) },
    { weight: 3, arbitrary: fc.record({ end: fc.nat(20), accepted: fc.boolean() }) },
    fc.record({ throttle: fc.nat(1), ms: fc.nat(3_000) }),
    fc.record({ pass: fc.nat(2_000) }),
  ),
  { maxLength: 120 },
)

test('whatever happens, each is begun or refused once, no more run than may, and in the end nobody waits', () => {
  fc.assert(
    fc.property(steps, (walk) => {
      const run = start(3, 8)
      const open: QueueEntry[] = []
      let asked = 0
      for (const step of walk) {
        if ('ask' in step) {
          asked += 1
          const place = run.ask(
            `#${asked}`,
            team(`team-${step.ask}`, { weight: step.ask + 1, maxRestMs: step.wait }),
            `key-${step.key}`,
          )
          if (place !== null) open.push(place)
        } else if ('end' in step) {
          const [place] = open.splice(step.end % Math.max(1, open.length), 1)
          if (place !== undefined && place.phase !== 'gone') leave(run, place, step.accepted)
          else if (place !== undefined) leave(run, place, false)
        } else if ('throttle' in step) run.queue.throttled(`key-${step.throttle}`, 'normal', step.ms)
        else vi.advanceTimersByTime(step.pass)
        expect(run.queue.active).toBeLessThanOrEqual(3)
        expect(run.queue.waiting).toBeLessThanOrEqual(8)
      }
      for (const place of open) leave(run, place, true)
      vi.advanceTimersByTime(120_000)
      expect([run.queue.active, run.queue.waiting]).toEqual([0, 0])
      const names = run.events.map((event) => event.split(' ')[0])
      expect(new Set(names).size).toBe(names.length)
    }),
    { numRuns: 200 },
  )
})
