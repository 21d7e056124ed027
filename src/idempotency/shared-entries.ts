// Entries in the shared store: one claim for all instances. Each change is one script over one key, so that of any number of
// instances one wins, on a cluster too.

import { script, type Store } from '../store/store.ts'
import type { EntryStore } from './entry-store.ts'

/** KEYS: the place. ARGV: the value, its lifetime in milliseconds. Answers what is there, or nothing when it was free. */
const claim = script(
  'idempotency.claim',
  `local there = redis.call('GET', KEYS[1])
if there then return there end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false`,
  'binary',
)

/** KEYS: the place. ARGV: what is thought to be there, the new value. 1 when the new value is there, also from before. */
const replace = script(
  'idempotency.replace',
  `local there = redis.call('GET', KEYS[1])
if there == ARGV[2] then return 1 end
if there ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1`,
)

/** KEYS: the place. ARGV: what is thought to be there. */
const release = script(
  'idempotency.release',
  `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1`,
)

export function createSharedEntries(store: Store): EntryStore {
  const place = (name: string): string[] => [store.key('idempotency', name)]
  const entries: EntryStore = {
    async claim(name, value, ttlMs) {
      const there = await store.run(claim, place(name), [value, ttlMs], (answer) => {
        // It was given up meanwhile, and nothing was sent under it.
        if (answer === null) entries.release(name, value).catch(() => {})
      })
      if (there === null || Buffer.isBuffer(there)) return there
      throw new Error('the store answered a claim with neither nothing nor bytes')
    },
    replace: async (name, expected, value) => (await store.run(replace, place(name), [expected, value])) === 1,
    async release(name, expected) {
      await store.run(release, place(name), [expected])
    },
  }
  return entries
}
