// Entries in the memory of one instance: complete for whoever has one, gone with it. Bounded by bytes and count; when it is
// full, new keys are refused, because dropping an entry would let a create be repeated.

import { type EntryStore, StoreFull } from './entry-store.ts'

export interface MemoryEntriesOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly maxBytes: number
  readonly maxEntries: number
}

export interface MemoryEntries extends EntryStore {
  readonly bytes: number
  readonly count: number
}

interface Place {
  value: Buffer
  readonly expiresAtMs: number
}

/** What a place takes besides its value: the name, the objects, its share of the map. */
const overheadBytes = 256

export function createMemoryEntries({ now, maxBytes, maxEntries }: MemoryEntriesOptions): MemoryEntries {
  /** In the order of claims; with one lifetime for all, the first to expire come first. */
  const places = new Map<string, Place>()
  let bytes = 0

  function drop(name: string, place: Place): void {
    places.delete(name)
    bytes -= place.value.length + overheadBytes
  }

  function dropExpired(): void {
    const nowMs = now()
    for (const [name, place] of places) {
      if (place.expiresAtMs > nowMs) return
      drop(name, place)
    }
  }

  function find(name: string, expected: Buffer): Place | null {
    dropExpired()
    const place = places.get(name)
    return place?.value.equals(expected) === true ? place : null
  }

  return {
    get bytes() {
      dropExpired()
      return bytes
    },
    get count() {
      dropExpired()
      return places.size
    },
    claim(name, value, ttlMs) {
      dropExpired()
      const place = places.get(name)
      if (place !== undefined) return Promise.resolve(place.value)
      if (places.size >= maxEntries || bytes + value.length + overheadBytes > maxBytes)
        return Promise.reject(new StoreFull('the memory for idempotency keys is full'))
      places.set(name, { value, expiresAtMs: now() + ttlMs })
      bytes += value.length + overheadBytes
      return Promise.resolve(null)
    },
    replace(name, expected, value) {
      const place = find(name, expected)
      const growth = value.length - expected.length
      if (place === null || (growth > 0 && bytes + growth > maxBytes)) return Promise.resolve(false)
      place.value = value
      bytes += growth
      return Promise.resolve(true)
    },
    release(name, expected) {
      const place = find(name, expected)
      if (place !== null) drop(name, place)
      return Promise.resolve()
    },
    retryWait: () => Promise.resolve(),
  }
}
