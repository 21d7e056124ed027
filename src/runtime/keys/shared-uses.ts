// The writes of all instances in the store, so that each of them knows what the others have done with the keys.

import { script, type Store } from '../../store/store.ts'
import type { OwnUse } from '../../keys/copies/foreign-uses.ts'

/** A little longer than lines are judged. */
const keptMs = 26 * 3_600_000
const mostAtOnce = 500

/** KEYS: the uses, by the time at which the store heard of them. ARGV: their JSON. */
const add = script(
  'key-uses.add',
  `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for place = 1, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[place]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ${keptMs})
redis.call('PEXPIRE', KEYS[1], ${keptMs})
return 1`,
)

/** ARGV: how far to look back, milliseconds. */
const readBack = script(
  'key-uses.read',
  `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[1], '+inf')`,
)

export class SharedUses {
  readonly #store: Store
  readonly #name: string
  #unsent: string[] = []

  constructor(store: Store) {
    this.#store = store
    this.#name = store.key('{key-uses}')
  }

  add(use: OwnUse): void {
    this.#unsent.push(JSON.stringify(use))
  }

  /** Tells what is not told yet; what fails is told next time. */
  async send(): Promise<void> {
    while (this.#unsent.length > 0) {
      const some = this.#unsent.slice(0, mostAtOnce)
      // A call that failed may have been done; a use that is added twice is one.
      await this.#store.run(add, [this.#name], some)
      this.#unsent = this.#unsent.slice(some.length)
    }
  }

  /** What all instances have told in the last time. Rejects with `StoreAway`. */
  async read(backMs: number): Promise<readonly OwnUse[]> {
    const texts = await this.#store.run(readBack, [this.#name], [backMs])
    return Array.isArray(texts) ? texts.map((text) => JSON.parse(String(text)) as OwnUse) : []
  }
}
