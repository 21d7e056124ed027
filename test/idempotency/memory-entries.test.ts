// The memory of one instance for idempotency keys: atomic, shared fairly between teams, and never forgetful before its time.

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NoRoom } from '../../src/idempotency/entry-store.ts'
import { createMemoryEntries } from '../../src/idempotency/memory-entries.ts'

const value = (text: string): Buffer => Buffer.from(text)

function open(maxBytes = 100_000) {
  const clock = { ms: 0 }
  return { clock, entries: createMemoryEntries({ monotonic: () => clock.ms, maxBytes }) }
}

describe('the memory for keys', () => {
  it('gives a place to one alone, and shows the others what is there and since when', async () => {
    const { entries, clock } = open()
    const claims = await Promise.all(['a', 'b', 'c'].map((text) => entries.claim('place', 'team', value(text), 1000)))
    expect(claims).toEqual([null, { value: value('a'), ageMs: 0 }, { value: value('a'), ageMs: 0 }])
    clock.ms = 400
    await entries.replace('place', value('a'), value('b'))
    expect(await entries.claim('place', 'team', value('d'), 1000)).toEqual({ value: value('b'), ageMs: 400 })
  })

  it('changes only what is as it is thought to be', async () => {
    const { entries } = open()
    await entries.claim('place', 'team', value('a'), 1000)
    expect(await entries.replace('place', value('b'), value('c'))).toBe(false)
    await entries.release('place', value('b'))
    expect(await entries.claim('place', 'team', value('d'), 1000)).toMatchObject({ value: value('a') })
    expect(await entries.replace('place', value('a'), value('c'))).toBe(true)
    expect(await entries.replace('nowhere', value('a'), value('c'))).toBe(false)
    await entries.release('place', value('c'))
    expect(await entries.claim('place', 'team', value('d'), 1000)).toBeNull()
  })

  it('forgets a place when its time is over, counted from the claim', async () => {
    const { entries, clock } = open()
    await entries.claim('place', 'team', value('a'), 1000)
    clock.ms = 999
    expect(await entries.replace('place', value('a'), value('b'))).toBe(true)
    clock.ms = 1000
    expect(await entries.replace('place', value('b'), value('c'))).toBe(false)
    expect(entries.bytes).toBe(0)
    expect(await entries.claim('place', 'team', value('d'), 1000)).toBeNull()
  })
})

describe('the share of a team', () => {
  async function fill(entries: ReturnType<typeof open>['entries'], team: string): Promise<number> {
    for (let count = 0; ; count++) {
      const result = await entries.claim(`${team}-${count}`, team, value('x'.repeat(100)), 1000).catch((error) => error)
      if (result instanceof NoRoom) return count
      expect(result).toBeNull()
    }
  }

  it('is half of the memory when it is alone, and leaves every other team room when it is used up', async () => {
    const { entries } = open()
    const first = await fill(entries, 'greedy')
    expect(entries.bytes).toBeGreaterThan(45_000)
    expect(entries.bytes).toBeLessThanOrEqual(50_000)
    const others = [await fill(entries, 'b'), await fill(entries, 'c'), await fill(entries, 'd')]
    expect(others.map((count) => count / first)).toEqual([
      expect.closeTo(0.5, 1),
      expect.closeTo(0.25, 1),
      expect.closeTo(0.13, 1),
    ])
    expect(entries.fullTeams).toEqual(['greedy', 'b', 'c', 'd'])
    expect(await entries.claim('late', 'late', value('x'), 1000)).toBeNull()
  })

  it('being used up refuses new keys, shows existing ones, and is reported until there is room again', async () => {
    const { entries, clock } = open()
    await fill(entries, 'team')
    expect(await entries.claim('team-0', 'team', value('y'), 1000)).toMatchObject({ value: value('x'.repeat(100)) })
    expect(entries.fullTeams).toEqual(['team'])
    await entries.release('team-0', value('x'.repeat(100)))
    expect(await entries.claim('again', 'team', value('x'), 1000)).toBeNull()
    clock.ms = 1000
    expect([entries.fullTeams, entries.bytes]).toEqual([[], 0])
  })

  it('bounds what is put in a place as well as new places', async () => {
    const { entries } = open()
    await entries.claim('place', 'team', value('a'), 1000)
    expect(await entries.replace('place', value('a'), value('x'.repeat(60_000)))).toBe(false)
    expect(await entries.replace('place', value('a'), value('x'.repeat(40_000)))).toBe(true)
    expect(entries.bytes).toBeLessThanOrEqual(50_000)
  })

  it('whatever teams do, stays within the memory and leaves a newcomer a part of it', async () => {
    const step = fc.record({
      team: fc.constantFrom('a', 'b', 'c'),
      name: fc.nat(20),
      size: fc.integer({ min: 1, max: 20_000 }),
      what: fc.constantFrom('claim', 'replace', 'release', 'wait'),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { entries, clock } = open()
        const there = new Map<string, Buffer>()
        for (const { team, name, size, what } of steps) {
          const place = `${team}-${name}`
          const held = there.get(place)
          const next = Buffer.alloc(size, name)
          if (what === 'wait') clock.ms += 1
          else if (what === 'claim') {
            const result = await entries.claim(place, team, next, 1_000_000).catch(() => 'full')
            if (result === null) there.set(place, next)
          } else if (held !== undefined && what === 'replace') {
            if (await entries.replace(place, held, next)) there.set(place, next)
          } else if (held !== undefined) {
            await entries.release(place, held)
            there.delete(place)
          }
          // Each of three teams has at most half of what the others leave.
          expect(entries.bytes).toBeLessThanOrEqual(87_500)
          const sum = [...there.values()].reduce((all, { length }) => all + length, 0)
          expect(entries.bytes).toBeGreaterThanOrEqual(sum)
        }
        expect(await entries.claim('new', 'newcomer', value('x'), 1_000_000)).toBeNull()
        await entries.release('new', value('x'))
        for (const [place, held] of there) await entries.release(place, held)
        expect(entries.bytes).toBe(0)
      }),
    )
  })
})
