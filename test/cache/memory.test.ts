// The bounds of the store: bytes under many keys, what a scan leaves, and that the index lets go.

import { describe, expect, it } from 'vitest'
import type { StoredResponse } from '../../src/cache/rfc9111/stored-response.ts'
import { createResponseStore, type Slot } from '../../src/cache/memory/response-store.ts'
import { withCollector } from '../support/with-collector.ts'
import { classRule, Setting } from './support.ts'

const maxBytes = 1_000_000

function entry(bytes: number, sequence = 1): StoredResponse {
  return {
    receivedAtMs: 0,
    initialAgeMs: 0,
    dateMs: 0,
    freshUntilMs: 1,
    mustRevalidate: false,
    staleWhileRevalidateMs: 0,
    staleOnErrorMs: 0,
    staleOnSilenceMs: 0,
    withheld: [],
    operation: 'things.get',
    status: 200,
    fields: [],
    body: Buffer.alloc(bytes),
    coding: null,
    etag: null,
    ownEtag: false,
    lastModified: null,
    sequence,
  }
}

/** Puts hundreds of thousands of answers of 100 bytes into a store, and says what it counts and what they take. */
const fillStore = (limit: number, kept: object): string => `
const { createResponseStore } = await import(urlOf('cache/memory/response-store.ts'))
const used = () => {
  // What weak references and finalizers hold goes with the next round.
  for (let round = 0; round < 3; round += 1) gc()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
const before = used()
const store = createResponseStore(${limit}, () => undefined)
let most = 0
for (let key = 0; key < 300_000; key += 1) {
  const path = '/v3/organizations/org-1/sessions/' + key
  store.put(path + '\\n\\nkey-1', [path, 'org-1'], { ...${JSON.stringify(kept)}, body: Buffer.alloc(100) })
  most = Math.max(most, store.bytes)
}
console.log(JSON.stringify({ most, bytes: store.bytes, used: used() - before, entries: store.entries }))
`

describe('memory', () => {
  it('stays within its bound under hundreds of thousands of keys, and what is counted is about what is taken', async () => {
    // Large enough that what the process itself comes and goes by does not matter.
    const limit = 64_000_000
    const kept = { ...entry(0), body: null }
    const { most, bytes, used, entries } = (await withCollector(fillStore(limit, kept))) as Record<string, number>
    expect(most).toBeLessThanOrEqual(limit)
    expect(bytes).toBeGreaterThan(limit * 0.95)
    expect(used).toBeLessThan(limit * 1.3)
    expect(entries).toBeGreaterThan(5_000)
  })

  it('counts the key, the fields and the names', () => {
    const store = createResponseStore(maxBytes, () => undefined)
    store.put('k', ['/'], entry(0))
    const least = store.bytes
    store.put('k'.repeat(5_000), ['/', 'x'.repeat(1_000)], { ...entry(0), fields: ['a', 'y'.repeat(1_000)] })
    expect(store.bytes - least).toBeGreaterThan(least + 8_000)
    expect(store.drop('/')).toBe(2)
    expect(store.bytes).toBe(0)
  })

  it('is given back by evictions, drops and removals alike, to the last byte', () => {
    const evicted: string[] = []
    const store = createResponseStore(maxBytes, ({ operation }) => evicted.push(operation))
    const kept: StoredResponse[] = []
    for (let key = 0; key < 2_000; key += 1) {
      kept.push({ ...entry(1_000, key), operation: key % 3 === 0 ? 'things.list' : 'things.get' })
      store.put(`key-${key}`, [`/${key}`, `group-${key % 7}`], kept[key] ?? entry(0))
      const slot = store.find(`key-${key % 100}`)
      if (slot !== undefined) store.prove(slot)
      if (key % 5 === 0) store.remove(`key-${key}`, kept[key] ?? entry(0))
      if (key % 11 === 0) store.drop(`/${key - 3}`)
      expect(store.bytes).toBeLessThanOrEqual(maxBytes)
    }
    const sum = [...store.bytesOf.values()].reduce((one, other) => one + other, 0)
    expect([sum, store.bytesOf.size]).toEqual([store.bytes, 2])
    expect(evicted.length).toBeGreaterThan(500)
    for (let group = 0; group < 7; group += 1) store.drop(`group-${group}`)
    expect(store).toMatchObject({ bytes: 0, entries: 0 })
    expect([...store.bytesOf.values()]).toEqual([0, 0])
  })

  it('holds no entry that is larger than all of it', () => {
    const store = createResponseStore(10_000, () => undefined)
    store.put('small', ['/small'], entry(100))
    store.put('large', ['/large'], entry(20_000))
    expect(store.find('large')).toBeUndefined()
    expect(store.bytes).toBeLessThanOrEqual(10_000)
  })

  it('a cache that may hold nothing answers all the same', () => {
    const setting = new Setting(classRule, { maxBytes: 0 })
    expect(setting.store().body).toBe('body')
    expect(setting.cache.stats()).toMatchObject({ entries: 0, bytes: 0 })
  })
})

describe('a scan', () => {
  it('pushes out what was never asked for twice, and nothing else', () => {
    const setting = new Setting(classRule)
    const read = (target: string): boolean => {
      const caller = setting.ask(target, { tags: [] })
      if (caller.isWaiting) setting.call.answer(200)
      return caller.result === 'hit'
    }
    const popular = Array.from({ length: 200 }, (_, index) => `/popular/${index}`)
    for (const target of popular) for (const _ of [1, 2]) read(target)
    for (let index = 0; index < 5_000; index += 1) read(`/scan/${index}`)
    expect(setting.cache.stats().operations.get('things.list')?.evictions).toBeGreaterThan(4_000)
    expect(popular.filter(read)).toHaveLength(200)
  })

  it('what has proven itself makes room in its turn', () => {
    const store = createResponseStore(100_000, () => undefined)
    for (let key = 0; key < 1_000; key += 1) {
      store.put(`key-${key}`, [`/${key}`], entry(500))
      const slot = store.find(`key-${key}`)
      if (slot !== undefined) store.prove(slot)
    }
    expect(store.find('key-0')).toBeUndefined()
    expect(store.find('key-999')?.proven).toBe(true)
    // A fifth is left for newcomers, also when what is proven grows, and when it has come and gone.
    const slots = (): Slot[] =>
      Array.from({ length: 1_000 }, (_, key) => store.find(`key-${key}`)).filter((slot) => slot !== undefined)
    const provenBytes = (): number => slots().reduce((sum, slot) => sum + (slot.proven ? slot.bytes : 0), 0)
    expect(provenBytes()).toBeGreaterThan(70_000)
    for (const { key, names } of slots()) {
      store.put(key, names, entry(1_000))
      expect(provenBytes()).toBeLessThanOrEqual(80_000)
    }
    for (const { key, names } of slots()) {
      store.drop(names[0] ?? '')
      store.put(key, names, entry(500))
      const slot = store.find(key)
      if (slot !== undefined) store.prove(slot)
    }
    expect(provenBytes()).toBeGreaterThan(40_000)
    expect(provenBytes()).toBeLessThanOrEqual(80_000)
    store.put('new', ['/new'], entry(500))
    store.put('newer', ['/newer'], entry(500))
    expect(store.find('new')).toBeDefined()
  })
})
