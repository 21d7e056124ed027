// Turns by weight: shares, order, no starvation, and no credit for being idle.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createFairQueue, type Waiter } from '../../../src/gateway/upstream/fair-queue.ts'

interface Item extends Waiter {
  readonly id: number
}
let ids = 0
const item = (flow: string, weight = 1, group = 'key'): Item => ({ flow, weight, group, id: (ids += 1) })
const open = (): boolean => true
const always = (): boolean => true

const weights = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 6 })

describe('flows that always have something to serve', () => {
  test('get their share by weight, never more than one item of either off', () => {
    fc.assert(
      fc.property(weights, fc.integer({ min: 1, max: 300 }), (shares, services) => {
        const queue = createFairQueue<Item>()
        const served = shares.map(() => 0)
        for (const [flow, weight] of shares.entries())
          for (let count = 0; count < services; count += 1) queue.add(item(String(flow), weight))
        for (let count = 0; count < services; count += 1) {
          const next = queue.next(open, always)
          served[Number(next?.flow)] = (served[Number(next?.flow)] ?? 0) + 1
          let excess = 0
          for (const [one, weight] of shares.entries())
            for (const [other, beside] of shares.entries()) {
              const lead = (served[one] ?? 0) / weight - (served[other] ?? 0) / beside
              excess = Math.max(excess, lead - 1 / weight - 1 / beside)
            }
          expect(excess).toBeLessThan(1e-9)
        }
      }),
    )
  })

  test('keep it however late they came and whatever was served before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 9 }), (before, weight) => {
        const queue = createFairQueue<Item>()
        for (let count = 0; count < before + 40; count += 1) queue.add(item('old'))
        for (let count = 0; count < before; count += 1) queue.next(open, always)
        for (let count = 0; count < 40; count += 1) queue.add(item('late', weight))
        const served = Array.from({ length: 2 * (weight + 1) }, () => queue.next(open, always)?.flow)
        const late = served.filter((flow) => flow === 'late').length
        // Not a run of `late` to make up for the time it was away, nor one of `old` that was there first.
        expect(Math.abs(late - Math.min(40, 2 * weight))).toBeLessThanOrEqual(1)
      }),
    )
  })
})

type Step = { readonly add: number; readonly group: number } | { readonly leave: number } | { readonly closed: number }
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ add: fc.nat({ max: 3 }), group: fc.nat({ max: 2 }) }),
    fc.record({ leave: fc.nat({ max: 50 }) }),
    fc.record({ closed: fc.nat({ max: 3 }) }),
  ),
  { maxLength: 200 },
)

describe('whatever comes, leaves and is held', () => {
  test('each is served once or has left, in order inside its flow and group, and never from a closed group', () => {
    fc.assert(
      fc.property(steps, (run) => {
        const queue = createFairQueue<Item>()
        const waiting: Item[] = []
        for (const step of run) {
          if ('add' in step) {
            const added = item(`team-${step.add}`, step.add + 1, `key-${step.group}`)
            queue.add(added)
            waiting.push(added)
          } else if ('leave' in step) {
            const [left] = waiting.splice(step.leave % Math.max(1, waiting.length), 1)
            if (left !== undefined) {
              expect(queue.remove(left)).toBe(true)
              expect(queue.remove(left)).toBe(false)
            }
          } else {
            const isOpen = (group: string): boolean => group !== `key-${step.closed}`
            const next = queue.next(isOpen, always)
            const could = waiting.filter(({ group }) => isOpen(group))
            expect(next === null).toBe(could.length === 0)
            if (next === null) continue
            // First of its flow among all that could go, whichever group they are in.
            expect(could.find(({ flow }) => flow === next.flow)).toBe(next)
            waiting.splice(waiting.indexOf(next), 1)
          }
          expect(queue.size).toBe(waiting.length)
          for (const group of ['key-0', 'key-1', 'key-2'])
            expect(new Set(queue.waitingIn(group))).toEqual(new Set(waiting.filter((each) => each.group === group)))
        }
      }),
    )
  })

  test('nobody starves: an item waits for no more than what its weight explains', () => {
    fc.assert(
      fc.property(weights, (shares) => {
        const queue = createFairQueue<Item>()
        const total = shares.reduce((sum, weight) => sum + weight, 0)
        for (const [flow, weight] of shares.entries()) {
          for (let count = 0; count < 100; count += 1) queue.add(item(String(flow), weight))
        }
        const mine = item('mine', 1)
        queue.add(mine)
        let before = 0
        while (queue.next(open, always) !== mine) before += 1
        // Each other flow may be served what it may have in one turn of ours, and one more.
        expect(before).toBeLessThanOrEqual(total + shares.length)
      }),
    )
  })

  test('a flow whose group was closed does not make up for it when it opens', () => {
    const queue = createFairQueue<Item>()
    for (let count = 0; count < 60; count += 1) {
      queue.add(item('held', 1, 'resting'))
      queue.add(item('free', 1, 'key'))
    }
    for (let count = 0; count < 30; count += 1)
      expect(queue.next((group) => group === 'key', always)?.flow).toBe('free')
    const served = Array.from({ length: 20 }, () => queue.next(open, always)?.flow)
    expect(Math.abs(served.filter((flow) => flow === 'held').length - 10)).toBeLessThanOrEqual(1)
  })

  test('one that is served, and comes again at once, does not pass those of more weight', () => {
    const queue = createFairQueue<Item>()
    for (let count = 0; count < 90; count += 1) queue.add(item('heavy', 9))
    let light = 0
    queue.add(item('light', 1))
    for (let count = 0; count < 50; count += 1) {
      if (queue.next(open, always)?.flow !== 'light') continue
      light += 1
      queue.add(item('light', 1))
    }
    expect(light).toBeLessThanOrEqual(6)
    expect(light).toBeGreaterThanOrEqual(4)
  })
})
