// Counts by name: as a Map would say them, bounded in names, and without garbage that outlives its counts.

import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Counts } from '../src/counts.ts'
import { withCollector } from './support/with-collector.ts'

const step = fc.record({ name: fc.constantFrom('a', 'b', 'c'), by: fc.integer({ min: -3, max: 3 }) })

test('says what was added and not subtracted', () => {
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const counts = new Counts()
      const expected = new Map<string, number>()
      for (const { name, by } of steps) {
        if (by < 0) counts.subtract(name, -by)
        else counts.add(name, by)
        expected.set(name, Math.max(0, (expected.get(name) ?? 0) + by))
        for (const each of ['a', 'b', 'c']) expect(counts.of(each)).toBe(expected.get(each) ?? 0)
      }
    }),
  )
})

test('forgets names without a count when there are many, and no others', () => {
  const counts = new Counts()
  counts.add('lasting', 2)
  let most = 0
  for (let index = 0; index < 50_000; index += 1) {
    counts.add(`caller-${index}`)
    counts.subtract(`caller-${index}`)
    most = Math.max(most, counts.size)
  }
  expect(most).toBeLessThanOrEqual(10_000)
  expect(counts.of('lasting')).toBe(2)
})

test('counts that come and go leave nothing that only a full collection frees', async () => {
  expect(await withCollector(script)).toBeLessThan(1e6)
})

/** Says how much the space of old objects grows while one count goes up and down, with minor collections alone. */
const script = `
import { getHeapSpaceStatistics } from 'node:v8'
const { Counts } = await import(urlOf('counts.ts'))
const oldBytes = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space').space_used_size
const counts = new Counts()
globalThis.gc({ type: 'major' })
const before = oldBytes()
for (let index = 0; index < 100_000; index += 1) {
  counts.add('team')
  counts.subtract('team')
  if (index % 200 === 0) globalThis.gc({ type: 'minor' })
}
console.log(oldBytes() - before)
`
