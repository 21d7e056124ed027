// Entries in the shared store: one claim for all instances. Each change is one script whose keys lie in one slot, so that
// of any number of instances one wins, on a cluster too.

import { createHash } from 'node:crypto'
import { createRetryWait } from '../store/retry.ts'
import { StoreAway, script, type Store } from '../store/store.ts'
import { NoRoom, type EntryStore, type Occupied } from './entry-store.ts'
import { TeamShares, type TeamSharesOptions } from './team-shares.ts'

/**
 * KEYS: the place, the mark of a withdrawn claim. ARGV: the value (empty: only look), its lifetime in milliseconds. Answers
 * what is there and how long it stays, or nothing when it was free.
 */
const claim = script(
  'idempotency.claim',
  `local there = redis.call('GET', KEYS[1])
if there then return { there, redis.call('PTTL', KEYS[1]) } end
if ARGV[1] == '' or redis.call('EXISTS', KEYS[2]) == 1 then return false end
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

/** An abandoned call can still arrive for as long as TCP retransmits it. */
const markMs = 20 * 60_000

export function createSharedEntries({ store, ...options }: TeamSharesOptions & { readonly store: Store }): EntryStore {
  const retryWait = createRetryWait(store)
  const shares = new TeamShares(options)
  const placeOf = (name: string): string => store.key('idempotency', name)

  /** Retries until the store has confirmed the mark: then a late claim has no effect. */
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

  async function ask(keys: readonly string[], value: Buffer, ttlMs: number): Promise<Occupied | null> {
    const answer = await store.run(claim, keys, [value, ttlMs]).catch((error: unknown) => {
      if (value.length > 0 && (!(error instanceof StoreAway) || error.sent)) void withdrawn(keys, value)
      throw error
    })
    if (answer === null) return null
    const [there, leftMs] = Array.isArray(answer) ? (answer as unknown[]) : []
    if (Buffer.isBuffer(there)) return { value: there, ageMs: ttlMs - Number(leftMs) }
    throw new Error('the store answered a claim with neither nothing nor bytes')
  }

  return {
    get bytes() {
      return shares.bytes
    },
    get fullTeams() {
      return shares.full
    },
    async claim(name, team, value, ttlMs) {
      const room = shares.take(name, team, value.length, ttlMs)
      const keys = [placeOf(name), markOf(placeOf(name), value)]
      try {
        const there = await ask(keys, room === 'full' ? nothing : value, ttlMs)
        if (there !== null && room === 'taken') shares.give(name)
        if (there === null && room === 'full') throw new NoRoom('the team has used its share of the store for keys')
        return there
      } catch (error) {
        if (room === 'taken') shares.give(name)
        throw error
      }
    },
    async replace(name, expected, value) {
      if (!shares.resize(name, value.length)) return false
      return (await store.run(replace, [placeOf(name)], [expected, value])) === 1
    },
    async release(name, expected) {
      await store.run(release, [placeOf(name)], [expected])
      shares.give(name)
    },
    retryWait,
  }
}

const nothing = Buffer.alloc(0)

/** The mark of one claim, in the slot of its place. */
function markOf(place: string, value: Buffer): string {
  return `{${place}}:withdrawn:${createHash('sha256').update(value).digest('base64url')}`
}
