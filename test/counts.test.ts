// Counts by name: as a Map would say them, bounded in names, and without garbage that outlives its counts.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Counts } from '../src/counts.ts'

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
  for (let index = 0; index < 50_000; index += 1) {
    counts.add(`caller-${index}`)
    counts.subtract(`caller-${index}`)
    expect(counts.size).toBeLessThanOrEqual(10_000)
  }
  expect(counts.of('lasting')).toBe(2)
})

test('counts that come and go leave nothing that only a full collection frees', async () => {
  // In a process of its own, since the collections are asked for by a flag of V8.
  const flags = ['--expose-gc', '--max-semi-space-size=8', '--input-type=module', '-e', script]
  const { stdout } = await promisify(execFile)(process.execPath, flags)
  expect(Number(stdout)).toBeLessThan(1e6)
})

/** Says how much the space of old objects grows while one count goes up and down, with minor collections alone. */
const script = `
import { getHeapSpaceStatistics } from 'node:v8'
import { Counts } from ${JSON.stringify(new URL('../src/counts.ts', import.meta.url))}
const oldBytes = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space').space_used_size
const counts = new Counts()
globalThis.gc({ type: 'major' })
const before = oldBytes()
for (let index = 0; index < 100_000; index += 1) {
  counts.add('team')
  counts.subtract('team')
  if (index % 200 === 0) globalThis.gc({ type: 'minor' })
}
process.stdout.write(String(oldBytes() - before))
`
