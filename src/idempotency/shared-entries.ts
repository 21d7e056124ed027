// Entries in the shared store: one claim for all instances. Each change is one script whose keys lie in one slot, so that
// of any number of instances one wins, on a cluster too.

import { createHash } from 'node:crypto'
import { createRetryWait } from '../store/retry.ts'
import { StoreAway, script, type Store } from '../store/store.ts'
import type { EntryStore } from './entry-store.ts'

/**
 * KEYS: the place, the mark of a withdrawn claim. ARGV: the value, its lifetime in milliseconds. Answers what is there, or
 * nothing when it was free.
 */
const claim = script(
  'idempotency.claim',
  `if redis.call('EXISTS', KEYS[2]) == 1 then return 'withdrawn' end
local there = redis.call('GET', KEYS[1])
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

/** KEYS: as of a claim. ARGV: the value of the claim, lifetime of the mark. The claim is undone, or will not be made. */
const withdraw = script(
  'idempotency.withdraw',
  `redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1`,
)

/** A call that was given up can still arrive for as long as a TCP connection tries to deliver it. */
const markMs = 20 * 60_000

export function createSharedEntries(store: Store): EntryStore {
  const retryWait = createRetryWait(store)
  const placeOf = (name: string): string => store.key('idempotency', name)

  /** Until the store has answered: then it does not matter any more when the claim arrives. */
  async function withdrawn(keys: readonly string[], value: Buffer): Promise<void> {
    for (;;) {
      try {
        await store.run(withdraw, keys, [value, markMs])
        return
      } catch {
        await retryWait()
      }
    }
  }

  return {
    async claim(name, value, ttlMs) {
      const keys = [placeOf(name), markOf(placeOf(name), value)]
      const there = await store.run(claim, keys, [value, ttlMs]).catch((error: unknown) => {
        if (!(error instanceof StoreAway) || error.sent) void withdrawn(keys, value)
        throw error
      })
      if (there === null || Buffer.isBuffer(there)) return there
      throw new Error('the store answered a claim with neither nothing nor bytes')
    },
    replace: async (name, expected, value) => (await store.run(replace, [placeOf(name)], [expected, value])) === 1,
    async release(name, expected) {
      await store.run(release, [placeOf(name)], [expected])
    },
    retryWait,
  }
}

/** The mark of one claim, in the slot of its place. */
function markOf(place: string, value: Buffer): string {
  return `{${place}}:withdrawn:${createHash('sha256').update(value).digest('base64url')}`
}
