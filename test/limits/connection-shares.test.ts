// Shares of something scarce: whatever teams take and hold, others find room.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createConnectionShares, mostForOneTeam, type ConnectionShares } from '../../src/limits/connection-shares.ts'

const weights = fc.constantFrom(1, 2, 3, 4, 10)

/** Takes for a team until it may take no more, and says how many it holds. */
function fill(shares: ConnectionShares, team: string, weight: number): number {
  while (shares.allows(team, weight)) shares.take(team)
  return shares.takenBy(team)
}

describe('one team alone', () => {
  test('gets at least half and never all', () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 1000 }), weights, (capacity, weight) => {
        const held = fill(createConnectionShares(capacity), 'a', weight)
        expect(held).toBeLessThan(capacity)
        expect(held).toBeGreaterThanOrEqual(Math.floor(capacity / 2))
      }),
    )
  })

  test.each([1, 2])('gets all where there are but %i', (capacity) => {
    expect(fill(createConnectionShares(capacity), 'a', 1)).toBe(capacity)
  })

  test.each([
    [1, 90],
    [2, 100],
    [4, 106],
    [100, 106],
  ])('of weight %i gets %i of the usual 128', (weight, expected) => {
    expect(fill(createConnectionShares(128), 'a', weight)).toBe(expected)
    expect(mostForOneTeam(128, weight)).toBe(expected)
  })
})

describe('teams beside each other', () => {
  test('never hold more than there is, and who holds nothing gets the last one', () => {
    const step = fc.record({ team: fc.integer({ min: 0, max: 9 }), give: fc.boolean(), weight: weights })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.array(step, { maxLength: 300 }), (capacity, steps) => {
        const shares = createConnectionShares(capacity)
        const held = new Map<string, number>()
        for (const { team, give, weight } of steps) {
          const name = `team-${team}`
          const own = held.get(name) ?? 0
          if (give) {
            shares.giveBack(name)
            held.set(name, Math.max(0, own - 1))
          } else if (shares.allows(name, weight)) {
            shares.take(name)
            held.set(name, own + 1)
          } else if (own === 0) expect(shares.taken).toBe(capacity)
          const sum = [...held.values()].reduce((all, count) => all + count, 0)
          expect(shares.taken).toBe(sum)
          expect(sum).toBeLessThanOrEqual(capacity)
          expect(shares.takenBy(name)).toBe(held.get(name) ?? 0)
        }
      }),
    )
  })

  test('that hold all they may leave some to whoever comes next', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 15 }), weights, (count, weight) => {
        const shares = createConnectionShares(128)
        for (let team = 0; team < count; team += 1) fill(shares, `team-${team}`, weight)
        expect(shares.allows('new', 1)).toBe(true)
      }),
    )
  })

  test('of the same weight come to hold the same when each takes as it can', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 8 }), weights, (count, weight) => {
        const shares = createConnectionShares(128)
        const teams = Array.from({ length: count }, (_, index) => `team-${index}`)
        for (let round = 0; round < 128; round += 1)
          for (const team of teams) if (shares.allows(team, weight)) shares.take(team)
        const held = teams.map((team) => shares.takenBy(team))
        expect(Math.max(...held) - Math.min(...held)).toBeLessThanOrEqual(1)
      }),
    )
  })

  test('make room: what the one that held most gives back goes to the other until both hold the same', () => {
    const shares = createConnectionShares(128)
    fill(shares, 'first', 2)
    const second = fill(shares, 'second', 2)
    expect(second).toBeGreaterThan(10)
    for (let round = 0; round < 1000; round += 1) {
      shares.giveBack(round % 2 === 0 ? 'first' : 'second')
      for (const team of ['first', 'second']) if (shares.allows(team, 2)) shares.take(team)
    }
    expect(Math.abs(shares.takenBy('first') - shares.takenBy('second'))).toBeLessThanOrEqual(8)
  })

  test('of more weight come to hold more', () => {
    const shares = createConnectionShares(128)
    const teams = [
      ['light', 1],
      ['heavy', 4],
    ] as const
    for (let round = 0; round < 2000; round += 1) {
      for (const [team, weight] of teams) if (shares.allows(team, weight)) shares.take(team)
      // Each is served at the same pace.
      const [team] = teams[round % 2] ?? teams[0]
      if (round > 200) shares.giveBack(team)
    }
    expect(shares.takenBy('heavy')).toBeGreaterThan(2 * shares.takenBy('light'))
  })
})
