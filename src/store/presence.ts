// Who shares the store: every instance writes its name into a list, again and again, and reads how many there are. It is
// also the probe that says whether the store can do what is needed of it, which is to write. Part of client.ts.

import { script } from './store.ts'

/** An instance that was not heard of for so long is gone. */
export const absentAfterMs = 5000
/** How often an instance tells that it is there; sooner after a failure, so that the store is away or back soon. */
export const beatMs = { usual: 1000, soon: 250 } as const

/**
 * KEYS: the list. ARGV: the instance, how long it counts as present in milliseconds. Answers how many are present. What
 * needs memory is written first: after another write, a full server would let it pass, and the probe would see nothing.
 */
export const present = script(
  'store.present',
  `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])`,
)

/** KEYS: the list. ARGV: the instance, which leaves. */
export const gone = script('store.gone', `return redis.call('ZREM', KEYS[1], ARGV[1])`)

/** The last count, which falls only when a smaller one has held for a while: a store that was emptied knows one at first. */
export class Headcount {
  #count = 1
  #seenAtMs = 0

  get count(): number {
    return this.#count
  }

  saw(count: number, nowMs: number): void {
    if (count < this.#count && nowMs - this.#seenAtMs < absentAfterMs) return
    this.#count = Math.max(1, count)
    this.#seenAtMs = nowMs
  }
}
