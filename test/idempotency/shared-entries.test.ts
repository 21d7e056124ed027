// Idempotency keys in a real store: one claim for all instances, changed only by who knows what is there, gone in time.

import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { NoRoom, type EntryStore, type Occupied } from '../../src/idempotency/entry-store.ts'
import { createSharedEntries } from '../../src/idempotency/shared-entries.ts'
import { createStore } from '../../src/store/client.ts'
import type { StoreSettings } from '../../src/store/connection.ts'
import { StoreAway, type Store } from '../../src/store/store.ts'
import { until } from '../support/start-gateway.ts'
import { describeWithValkey, startCluster, startStoreServer, type StoreServer } from '../support/valkey.ts'

const value = (text: string): Buffer => Buffer.from(text)

function settingsOf(kind: StoreSettings['kind'], ports: readonly number[]): StoreSettings {
  const nodes = ports.map((port) => ({ host: '127.0.0.1', port }))
  return {
    kind,
    nodes,
    tls: null,
    sentinel: null,
    user: null,
    password: null,
    database: 0,
    prefix: 'test',
    timeoutMs: 500,
  }
}

function entriesOf(store: Store, maxBytes = 1_000_000): EntryStore {
  return createSharedEntries({ store, monotonic: () => performance.now(), maxBytes })
}

/** Connections of this process to the store's server. */
const sockets: Socket[] = []
subscribe('net.client.socket', (message) => sockets.push((message as { socket: Socket }).socket))

async function connected(settings: StoreSettings): Promise<Store> {
  const store = createStore({ settings, now: Date.now, monotonic: () => performance.now() })
  await until(() => !store.away, 'the store')
  return store
}

describeWithValkey('keys in a shared store', () => {
  let server: StoreServer
  let stores: Store[]
  let one: EntryStore
  let other: EntryStore
  beforeAll(async () => {
    server = await startStoreServer()
    const [first, second] = [
      await connected(settingsOf('single', [server.port])),
      await connected(settingsOf('single', [server.port])),
    ]
    stores = [first, second]
    one = entriesOf(first)
    other = entriesOf(second)
  })
  afterAll(async () => {
    await Promise.all(stores.map((store) => store.close()))
    await server.close()
  })

  it('are claimed by one of many on all instances, and the others see what is there', async () => {
    const claims = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        (index % 2 === 0 ? one : other).claim('contested', 'team', value(`v${index}`), 60_000),
      ),
    )
    expect(claims.filter((there) => there === null)).toHaveLength(1)
    const winner = value(`v${claims.indexOf(null)}`)
    for (const there of claims) if (there !== null) expect(there.value).toEqual(winner)
  })

  it('change only where what is there is what it is thought to be, and keep bytes as they are', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
    expect(await one.claim('bytes', 'team', bytes, 60_000)).toBeNull()
    expect(await other.claim('bytes', 'team', value('x'), 60_000)).toMatchObject({ value: bytes })
    expect(await other.replace('bytes', value('x'), value('y'))).toBe(false)
    expect(await other.replace('bytes', bytes, value('y'))).toBe(true)
    // Once more is no harm: the answer to the first may have been lost.
    expect(await other.replace('bytes', bytes, value('y'))).toBe(true)
    await one.release('bytes', bytes)
    expect(await one.claim('bytes', 'team', value('z'), 60_000)).toMatchObject({ value: value('y') })
    await one.release('bytes', value('y'))
    expect(await one.claim('bytes', 'team', value('z'), 60_000)).toBeNull()
    expect(await one.replace('nowhere', value('a'), value('b'))).toBe(false)
  })

  it('are refused to a team that has given the store its share, and to no other', async () => {
    const [store] = stores
    if (store === undefined) throw new Error('no store')
    const narrow = entriesOf(store, 10_000)
    const refused: unknown[] = []
    for (let count = 0; refused.length === 0; count++)
      await narrow.claim(`greedy-${count}`, 'greedy', value('a'), 60_000).catch((error: unknown) => refused.push(error))
    expect(refused[0]).toBeInstanceOf(NoRoom)
    expect(narrow.fullTeams).toEqual(['greedy'])
    // What others have claimed is seen all the same.
    await other.claim('elsewhere', 'greedy', value('b'), 60_000)
    expect(await narrow.claim('elsewhere', 'greedy', value('c'), 60_000)).toMatchObject({ value: value('b') })
    expect(await narrow.claim('modest', 'modest', value('a'), 60_000)).toBeNull()
    for (const name of ['greedy-0', 'greedy-1', 'greedy-2']) await narrow.release(name, value('a'))
    expect(await narrow.claim('greedy-again', 'greedy', value('a'), 60_000)).toBeNull()
  })

  it('say how long ago they were claimed, by the clock of the store', async () => {
    await one.claim('aged', 'team', value('a'), 60_000)
    await server.command('PEXPIRE', 'test:idempotency:aged', '20000')
    const there = await other.claim('aged', 'team', value('b'), 60_000)
    expect(there?.ageMs).toBeGreaterThanOrEqual(40_000)
    expect(there?.ageMs).toBeLessThan(60_000)
  })

  it('expire, counted from the claim', async () => {
    await one.claim('expiring', 'team', value('a'), 60_000)
    await one.replace('expiring', value('a'), value('b'))
    const left = Number((await server.command('PTTL', 'test:idempotency:expiring')).slice(1))
    expect(left).toBeGreaterThan(0)
    expect(left).toBeLessThanOrEqual(60_000)
  })

  it('that were claimed after the call was given up are free again', async () => {
    server.freeze()
    await expect(one.claim('late', 'team', value('a'), 60_000)).rejects.toThrow('did not answer')
    server.thaw()
    await until(() => stores.every((store) => !store.away), 'the store to be back')
    await until(
      async () => (await server.command('EXISTS', 'test:idempotency:late')) === ':0\r\n',
      'the place to be free',
    )
  })

  it('that a frozen store gets to after it was given up on are free, however long it was frozen', async () => {
    const before = sockets.filter(({ destroyed, remotePort }) => !destroyed && remotePort === server.port)
    server.freeze()
    await expect(one.claim('frozen', 'team', value('a'), 60_000)).rejects.toThrow('did not answer')
    // What was written to the connection is still there for the server to read when the connection is given up.
    await until(() => stores[0]?.state.reason !== null, 'the outage')
    await until(() => before.every(({ destroyed }) => destroyed), 'the connections to be given up')
    server.thaw()
    await until(() => stores.every((store) => !store.away), 'the store to be back')
    await until(async () => (await one.claim('frozen', 'team', value('b'), 60_000)) === null, 'the place to be free')
  })

  it('whose claim arrives after it was withdrawn do not stand', async () => {
    let arrive = (): Promise<unknown> => Promise.resolve()
    const [first] = stores
    if (first === undefined) throw new Error('no store')
    // A network that delivers one call only after it was given up, and all others at once.
    const slow = entriesOf({
      ...first,
      run(what, keys, values) {
        if (what.name !== 'idempotency.claim') return first.run(what, keys, values)
        arrive = () => first.run(what, keys, values)
        return Promise.reject(new StoreAway('the store did not answer in time'))
      },
    })
    await expect(slow.claim('delayed', 'team', value('a'), 60_000)).rejects.toThrow('did not answer')
    const marked = async (): Promise<boolean> =>
      (await server.command('KEYS', '{test:idempotency:delayed}:withdrawn:*')).startsWith('*1')
    await until(marked, 'the claim to be withdrawn')
    await arrive()
    expect(await other.claim('delayed', 'team', value('b'), 60_000)).toBeNull()
  })

  it('are refused by a store that is away', async () => {
    await server.kill()
    await expect(one.claim('away', 'team', value('a'), 60_000)).rejects.toThrow()
    await server.restart()
    const claim = (): Promise<Occupied | null | undefined> =>
      one.claim('away', 'team', value('a'), 60_000).catch(() => undefined)
    await until(async () => (await claim()) === null, 'the store to be back')
  })

  it('work on a cluster, wherever they come to lie', async () => {
    const cluster = await startCluster()
    const store = await connected(
      settingsOf(
        'cluster',
        cluster.nodes.map(({ port }) => port),
      ),
    )
    const entries = entriesOf(store)
    for (let index = 0; index < 20; index++) {
      expect(await entries.claim(`key-${index}`, 'team', value('a'), 60_000)).toBeNull()
      expect(await entries.replace(`key-${index}`, value('a'), value('b'))).toBe(true)
      expect(await entries.claim(`key-${index}`, 'team', value('c'), 60_000)).toMatchObject({ value: value('b') })
    }
    await store.close()
    await cluster.close()
  })
})
