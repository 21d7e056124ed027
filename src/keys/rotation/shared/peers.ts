// Over the store each instance says which value of a key it uses, while the key is rotated: by a fingerprint that reveals nothing.

import { counted } from '../../../config/plural.ts'
import { script, type Store } from '../../../store/store.ts'
import type { KeyPeers } from '../fleet.ts'

/** What is left in the store by an instance that has ended is forgotten after so long. */
const keptForMs = 3_600_000

const begin = `
local wanted, used, instances = unpack(KEYS)
`

/** ARGV: the channel, the key, the fingerprint. */
const announce = script(
  'rotation.announce',
  `${begin}
redis.call('HSET', wanted, ARGV[2], ARGV[3])
redis.call('PEXPIRE', wanted, ${keptForMs})
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1`,
)

/** ARGV: the key. */
const withdraw = script(
  'rotation.withdraw',
  `${begin}
redis.call('HDEL', wanted, ARGV[1])
for _, field in ipairs(redis.call('HKEYS', used)) do
  if string.sub(field, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then redis.call('HDEL', used, field) end
end
return 1`,
)

/** Answers keys and fingerprints by turns. */
const read = script('rotation.read', `${begin}return redis.call('HGETALL', wanted)`)

/** ARGV: the key, the instance, the fingerprint. */
const report = script(
  'rotation.report',
  `${begin}
redis.call('HSET', used, ARGV[1] .. ' ' .. ARGV[2], ARGV[3])
redis.call('PEXPIRE', used, ${keptForMs})
return 1`,
)

/** ARGV: the key, the fingerprint. Answers how many instances there are, and how many use it. A store that was emptied is told again. */
const progress = script(
  'rotation.progress',
  `${begin}
local there, done = redis.call('ZRANGE', instances, 0, -1), 0
for _, id in ipairs(there) do
  if redis.call('HGET', used, ARGV[1] .. ' ' .. id) == ARGV[2] then done = done + 1 end
end
redis.call('HSET', wanted, ARGV[1], ARGV[2])
redis.call('PEXPIRE', wanted, ${keptForMs})
return { #there, done }`,
)

export interface SharedPeersOptions {
  readonly store: Pick<Store, 'away' | 'instance' | 'key' | 'membership' | 'run' | 'subscribe'>
  /** Whether this instance uses the value and nothing else; reads the source again where it does not. */
  readonly follow: (key: string, fingerprint: string) => Promise<boolean>
}

/** How often it looks by itself, because messages can be missed. */
const lookEveryMs = 2_000
const whileAskedMs = 250

/** Tells the others, and answers when another one asks. */
export function createSharedPeers({ store, follow }: SharedPeersOptions) {
  const keys = [
    store.key('{limits}', 'key-values'),
    store.key('{limits}', 'key-values-used'),
    // Membership keeps it beside the limits.
    store.membership.keys.instances,
  ]
  const channel = store.key('key-values')
  let timer: NodeJS.Timeout | undefined
  let isClosed = false
  let looking: Promise<void> | null = null

  /** Reports every value that is asked for and in use here. */
  async function look(): Promise<void> {
    const found = (await store.run(read, keys, [])) as string[]
    let isAsked = false
    for (let index = 0; index < found.length; index += 2) {
      const [key = '', fingerprint = ''] = [found[index], found[index + 1]]
      const said = (await follow(key, fingerprint)) ? fingerprint : ''
      await store.run(report, keys, [key, store.instance, said])
      isAsked = true
    }
    soon(isAsked ? whileAskedMs : lookEveryMs)
  }

  function soon(afterMs: number): void {
    clearTimeout(timer)
    if (isClosed) return
    timer = setTimeout(lookNow, afterMs).unref()
  }

  function lookNow(): void {
    if (store.away) soon(lookEveryMs)
    else
      looking ??= look()
        .catch(() => soon(lookEveryMs))
        .finally(() => (looking = null))
  }

  const peers: KeyPeers = {
    async announce(key, fingerprint) {
      await store.run(announce, keys, [channel, key, fingerprint])
    },
    async waitFor(key, fingerprint) {
      if (store.away) return 'the shared store is away, so nobody knows which value the other instances use'
      const { missing } = store.membership.state
      if (missing > 0)
        return `${counted(missing, 'instance was', 'instances were')} not heard of any more in the last ten minutes, and may still use the other value`
      const [count, done] = (await store.run(progress, keys, [key, fingerprint])) as [number, number]
      const expected = Math.max(count, store.membership.instances)
      return done >= expected
        ? null
        : `instances that do not say yet that they use only this value: ${expected - done} of ${expected}`
    },
    withdraw(key) {
      void store.run(withdraw, keys, [key]).catch(() => {})
    },
  }
  return {
    ...peers,
    start(): void {
      store.subscribe(channel, { message: lookNow, lost: () => undefined, restored: lookNow })
      soon(lookEveryMs)
    },
    close(): void {
      isClosed = true
      clearTimeout(timer)
    },
  }
}
