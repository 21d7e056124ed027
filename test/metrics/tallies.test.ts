import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Durations, LabelSet, Tally } from '../../src/metrics/tallies.ts'

describe('LabelSet', () => {
  it('gives every name a position that never changes, and strangers the same one', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.string(), { maxLength: 4 }), { maxLength: 5 }),
        fc.string(),
        (additions, stranger) => {
          const set = new LabelSet([])
          const positions = new Map<string, number>()
          for (const names of additions) {
            set.add(names)
            for (const name of names) {
              if (!positions.has(name)) positions.set(name, set.position(name))
            }
            for (const [name, position] of positions) {
              expect(set.position(name)).toBe(position)
              expect(set.name(position)).toBe(name)
            }
          }
          expect(new Set(positions.values()).size).toBe(positions.size)
          if (!positions.has(stranger)) expect(set.closed(stranger)).toBe('other')
          expect(set.closed(null)).toBe('none')
          expect(set.size).toBe(positions.size + 2)
        },
      ),
    )
  })

  it('takes no more names than it may', () => {
    const set = new LabelSet(['a', 'b'], 3)
    set.add(['c', 'd', 'a'])
    expect(['a', 'b', 'c', 'd'].map((name) => set.closed(name))).toEqual(['a', 'b', 'c', 'other'])
  })
})

describe('Tally', () => {
  it('counts like a map of pairs', () => {
    const pair = fc.tuple(fc.nat({ max: 5 }), fc.nat({ max: 3 }))
    fc.assert(
      fc.property(fc.array(pair), (pairs) => {
        const tally = new Tally(4)
        const expected = new Map<string, number>()
        for (const [row, column] of pairs) {
          tally.add(row, column)
          expected.set(`${row}/${column}`, (expected.get(`${row}/${column}`) ?? 0) + 1)
        }
        expect(new Map([...tally.entries()].map(({ row, column, count }) => [`${row}/${column}`, count]))).toEqual(
          expected,
        )
      }),
    )
  })
})

describe('Durations', () => {
  it('counts each value in every bucket it is not above, as Prometheus defines it', () => {
    const bounds = [0.1, 1, 10]
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom(0, 0.1, 1, 10, 10.1), fc.double({ min: 0, max: 100, noNaN: true }))),
        (values) => {
          const durations = new Durations(bounds)
          for (const value of values) durations.observe(2, value)
          const rows = [...durations.entries()]
          expect(rows).toHaveLength(values.length === 0 ? 0 : 1)
          for (const { row, buckets, count, sum } of rows) {
            expect(row).toBe(2)
            expect(buckets).toEqual(
              [...bounds, Infinity].map((le) => ({ le, count: values.filter((value) => value <= le).length })),
            )
            expect(count).toBe(values.length)
            expect(sum).toBeCloseTo(values.reduce((total, value) => total + value, 0))
          }
        },
      ),
    )
  })
})
