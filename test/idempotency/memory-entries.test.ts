// The memory of one instance for idempotency keys: atomic, bounded, and never forgetful before its time.

import { describe, expect, it } from 'vitest'
import { StoreFull } from '../../src/idempotency/entry-store.ts'
import { createMemoryEntries } from '../../src/idempotency/memory-entries.ts'

const value = (text: string): Buffer => Buffer.from(text)

describe('the memory for keys', () => {
  it('gives a place to one alone, and shows the others what is there', async () => {
    const entries = createMemoryEntries({ now: () => 0, maxBytes: 10_000, maxEntries: 10 })
    const claims = await Promise.all(['a', 'b', 'c'].map((text) => entries.claim('place', value(text), 1000)))
    expect(claims).toEqual([null, value('a'), value('a')])
  })

  it('changes only what is as it is thought to be', async () => {
    const entries = createMemoryEntries({ now: () => 0, maxBytes: 10_000, maxEntries: 10 })
    await entries.claim('place', value('a'), 1000)
    expect(await entries.replace('place', value('b'), value('c'))).toBe(false)
    await entries.release('place', value('b'))
    expect(await entries.claim('place', value('d'), 1000)).toEqual(value('a'))
    expect(await entries.replace('place', value('a'), value('c'))).toBe(true)
    expect(await entries.replace('nowhere', value('a'), value('c'))).toBe(false)
    await entries.release('place', value('c'))
    expect(await entries.claim('place', value('d'), 1000)).toBeNull()
  })

  it('forgets a place when its time is over, counted from the claim', async () => {
    let nowMs = 0
    const entries = createMemoryEntries({ now: () => nowMs, maxBytes: 10_000, maxEntries: 10 })
    await entries.claim('place', value('a'), 1000)
    nowMs = 999
    expect(await entries.replace('place', value('a'), value('b'))).toBe(true)
    expect(entries.count).toBe(1)
    nowMs = 1000
    expect(await entries.replace('place', value('b'), value('c'))).toBe(false)
    expect([entries.count, entries.bytes]).toEqual([0, 0])
    expect(await entries.claim('place', value('d'), 1000)).toBeNull()
  })

  it('refuses new keys when it is full by count, and drops none', async () => {
    let nowMs = 0
    const entries = createMemoryEntries({ now: () => nowMs, maxBytes: 10_000, maxEntries: 2 })
    await entries.claim('one', value('a'), 1000)
    await entries.claim('two', value('a'), 1000)
    await expect(entries.claim('three', value('a'), 1000)).rejects.toThrow(StoreFull)
    expect(await entries.claim('one', value('b'), 1000)).toEqual(value('a'))
    nowMs = 1000
    expect(await entries.claim('three', value('a'), 1000)).toBeNull()
  })

  it('stays within its bytes, whatever is claimed and replaced', async () => {
    const entries = createMemoryEntries({ now: () => 0, maxBytes: 2000, maxEntries: 1000 })
    const claims = await Promise.allSettled(
      Array.from({ length: 100 }, (_, index) => entries.claim(String(index), value('x'.repeat(100)), 1000)),
    )
    expect(claims.filter(({ status }) => status === 'fulfilled')).toHaveLength(5)
    expect(await entries.replace('0', value('x'.repeat(100)), value('y'.repeat(500)))).toBe(false)
    expect(await entries.replace('0', value('x'.repeat(100)), value('y'.repeat(300)))).toBe(true)
    expect(entries.bytes).toBeLessThanOrEqual(2000)
    await entries.release('0', value('y'.repeat(300)))
    for (let index = 1; index < 5; index++) await entries.release(String(index), value('x'.repeat(100)))
    expect(entries.bytes).toBe(0)
  })
})
