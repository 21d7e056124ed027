// Over the store one instance at a time rotates a key: a lease that is renewed while it works, and aborts its work when it may be lost.

import { script, StoreAway, type Store } from '../../../store/store.ts'
import type { RotationLease } from '../service.ts'

/** The store forgets a lease after so long; its holder counts from before it asked, and stops a little earlier. */
const leaseMs = 20_000
const ownMs = 15_000
const renewMs = 5_000

/** KEYS: the lease. ARGV: the instance, for how long. Answers 1 when it has it, else 0. */
const take = script(
  'rotation.take',
  `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`,
)

/** KEYS: the lease. ARGV: the instance. */
const giveBack = script(
  'rotation.give-back',
  `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1`,
)

/** Takes the lease of a key. Rejects with a sentence where another instance has it, or the store does not say. */
export async function takeLease(
  store: Pick<Store, 'instance' | 'key' | 'run'>,
  key: string,
  monotonic: () => number,
): Promise<RotationLease> {
  const name = store.key(`{rotation ${key}}`, 'lease')
  const asked = monotonic()
  const answer = await store.run(take, [name], [store.instance, leaseMs]).catch((error: unknown) => {
    if (!(error instanceof StoreAway)) throw error
    throw new Error(
      'the shared store is away, so nobody knows whether another instance rotates the key: try again when it is back',
    )
  })
  if (answer !== 1) throw new Error(`another instance rotates key "${key}"`)
  const lost = new AbortController()
  let heldUntilMs = asked + ownMs
  const timer = setInterval(() => {
    const askedAtMs = monotonic()
    store.run(take, [name], [store.instance, leaseMs]).then(
      (renewed) => {
        if (renewed === 1) heldUntilMs = askedAtMs + ownMs
        else lost.abort(new Error('another instance has taken the rotation over'))
      },
      () => {
        if (monotonic() + renewMs >= heldUntilMs)
          lost.abort(
            new Error(
              'the shared store is away, so another instance may rotate the key: take it up when the store is back',
            ),
          )
      },
    )
  }, renewMs).unref()
  return {
    signal: lost.signal,
    async release() {
      clearInterval(timer)
      await store.run(giveBack, [name], [store.instance]).catch(() => {})
    },
  }
}
