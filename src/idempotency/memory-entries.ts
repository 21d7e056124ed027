// Entries in the memory of one instance, lost when it ends. A team whose share is full is refused, because dropping
// an entry would let a create be repeated.

import { NoRoom, type EntryStore } from './entry-store.ts'
import { TeamShares, type TeamSharesOptions } from './team-shares.ts'

interface Place {
  value: Buffer
  readonly claimedAtMs: number
}

export function createMemoryEntries({ monotonic, maxBytes }: TeamSharesOptions): EntryStore {
  const places = new Map<string, Place>()
  const shares = new TeamShares({ monotonic, maxBytes, onExpire: (name) => places.delete(name) })

  /** The place, where it holds this. */
  function find(name: string, expected: Buffer): Place | null {
    const place = shares.bytes > 0 ? places.get(name) : undefined
    return place?.value.equals(expected) === true ? place : null
  }

  return {
    get bytes() {
      return shares.bytes
    },
    get fullTeams() {
      return shares.full
    },
    claim(name, team, value, ttlMs) {
      const result = shares.take(name, team, value.length, ttlMs)
      const place = places.get(name)
      if (result === 'known' && place !== undefined)
        return Promise.resolve({ value: place.value, ageMs: monotonic() - place.claimedAtMs })
      if (result === 'full') return Promise.reject(new NoRoom('the team has used its share of the memory for keys'))
      places.set(name, { value, claimedAtMs: monotonic() })
      return Promise.resolve(null)
    },
    replace(name, expected, value) {
      const place = find(name, expected)
      if (place === null || !shares.resize(name, value.length)) return Promise.resolve(false)
      place.value = value
      return Promise.resolve(true)
    },
    release(name, expected) {
      if (find(name, expected) === null) return Promise.resolve()
      places.delete(name)
      shares.give(name)
      return Promise.resolve()
    },
    retryWait: () => Promise.resolve(),
  }
}
