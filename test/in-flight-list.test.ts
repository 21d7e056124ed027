// The list of what is under way: order, size, and that nothing of it outlives its removal in memory.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { InFlightList, type InFlightEntry } from '../src/in-flight-list.ts'
import { withCollector } from './support/with-collector.ts'

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

  test('what was removed does not keep later items from being collected while they are young', async () => {
    const { size, grown } = (await withCollector(script)) as { size: number; grown: number }
    expect(size).toBe(32)
    expect(grown).toBeLessThan(2e6)
  })
})

/** Says how much the space of old objects grows while 160 MB come and go, with minor collections alone. */
const script = `
import { getHeapSpaceStatistics } from 'node:v8'
const { InFlightList } = await import(urlOf('in-flight-list.ts'))
const oldBytes = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space').space_used_size
const list = new InFlightList()
const entries = []
globalThis.gc({ type: 'major' })
const before = oldBytes()
let grown = 0
for (let index = 0; index < 40_000; index += 1) {
  entries.push(list.add(Array.from({ length: 500 }, () => index)))
  if (entries.length > 32) list.remove(entries.shift())
  if (index % 400 === 0) globalThis.gc({ type: 'minor' })
  grown = Math.max(grown, oldBytes() - before)
}
console.log(JSON.stringify({ size: list.size, grown }))
`
