// The list of what is under way: order, size, and that nothing of it outlives its removal in memory.

import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { InFlightList, type InFlightEntry } from '../src/in-flight-list.ts'

describe('the list of what is under way', () => {
  test('holds what was added and not removed, in the order of arrival', () => {
    const steps = fc.array(fc.oneof(fc.constant('add' as const), fc.nat({ max: 40 })), { maxLength: 120 })
    fc.assert(
      fc.property(steps, (run) => {
        const list = new InFlightList<number>()
        const entries: InFlightEntry<number>[] = []
        const expected = new Set<number>()
        for (const step of run) {
          if (step === 'add') {
            expected.add(entries.length)
            entries.push(list.add(entries.length))
          } else {
            const entry = entries[step]
            if (entry === undefined) continue
            // The second time nothing happens.
            list.remove(entry)
            expected.delete(step)
            expect(entry.item).toBeNull()
          }
          expect(list.items()).toEqual([...expected])
          expect(list.size).toBe(expected.size)
        }
      }),
    )
  })

  test('what was removed does not keep later items from being collected while they are young', () => {
    const list = new InFlightList<number[]>()
    const grown = oldBytesAfter((count) => {
      const entries: InFlightEntry<number[]>[] = []
      for (let index = 0; index < count; index += 1) {
        entries.push(list.add(Array.from({ length: 500 }, () => index)))
        const oldest = entries.length > 32 ? entries.shift() : undefined
        if (oldest !== undefined) list.remove(oldest)
      }
    })
    expect(list.size).toBe(32)
    expect(grown).toBeLessThan(2e6)
  })
})

/** How much the space of old objects grows while 40 MB come and go, with minor collections alone. */
function oldBytesAfter(work: (count: number) => void): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: { type: 'minor' | 'major' }) => void
  const oldBytes = (): number =>
    getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')?.space_used_size ?? 0
  collect({ type: 'major' })
  const before = oldBytes()
  work(10_000)
  collect({ type: 'minor' })
  return oldBytes() - before
}
