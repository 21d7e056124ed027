// The memory for bodies: never exceeded, and always room for a team that holds nothing yet.

import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createBodyMemory } from '../../src/gateway/bodies/memory.ts'

const most = 1000

test('is never exceeded, and a team that holds nothing finds room, whatever the others take', () => {
  const step = fc.record({
    team: fc.constantFrom('a', 'b', 'c'),
    bytes: fc.integer({ min: 1, max: 400 }),
    gives: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const memory = createBodyMemory(most)
      const held = new Map<string, number>()
      for (const { team, bytes, gives } of steps) {
        const before = held.get(team) ?? 0
        if (gives) {
          memory.giveBack(team, before)
          held.set(team, 0)
        } else if (memory.take(team, bytes)) held.set(team, before + bytes)
        const sum = [...held.values()].reduce((total, each) => total + each, 0)
        expect(memory.heldBytes).toBe(sum)
        expect(sum).toBeLessThan(most)
        expect(memory.take('newcomer', 1)).toBe(true)
        memory.giveBack('newcomer', 1)
      }
    }),
  )
})

test('is at most half for a team that is alone', () => {
  const memory = createBodyMemory(most)
  expect(memory.take('a', most / 2)).toBe(true)
  expect(memory.take('a', 1)).toBe(false)
  expect(memory.take('b', most / 4)).toBe(true)
})
