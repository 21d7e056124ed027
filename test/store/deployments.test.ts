// The shared store as it is deployed: a cluster, behind sentinels, over TLS, with a user that may do only what is needed.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Limit } from '../../src/limits/limiter.ts'
import { createSharedLimiter } from '../../src/limits/shared/shared-limiter.ts'
import { createStore } from '../../src/store/client.ts'
import type { StoreSettings } from '../../src/store/connection.ts'
import { script, type Store } from '../../src/store/store.ts'
import { createAuthority } from '../support/certificates.ts'
import { until } from '../support/start-gateway.ts'
import {
  describeWithValkey,
  startCluster,
  startStoreServer,
  storeSettings,
  type StoreCluster,
  type StoreServer,
} from '../support/valkey.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

function open(server: StoreServer, more: Partial<StoreSettings> = {}): Store {
  const store = createStore({
    settings: storeSettings(server, more),
    now: Date.now,
    monotonic: () => performance.now(),
  })
  closing.push(() => store.close())
  return store
}

async function started(server: Promise<StoreServer>): Promise<StoreServer> {
  const running = await server
  closing.push(() => running.close())
  return running
}

const here = (store: Store): Promise<void> => until(() => !store.away, 'the store')
const gone = (store: Store): Promise<void> => until(() => store.away, 'the store to be away')

const limit = (meter: string, amount: number): Limit => ({
  meter,
  name: meter,
  kind: 'rate',
  scope: 'team',
  quota: { amount, perMs: 3_600_000, calendar: null, burst: null, timeZone: 'UTC' },
  most: 0,
  shadow: false,
})

/** Keeps a value and gives it back. */
const keep = script(
  'test.keep',
  `redis.call('SET', KEYS[1], ARGV[1], 'PX', 10000)
return redis.call('GET', KEYS[1])`,
)

/** Everything that the gateway asks of a store, once. */
async function useAll(store: Store): Promise<void> {
  const limiter = createSharedLimiter({
    store,
    now: Date.now,
    monotonic: () => performance.now(),
    budgetsWhenAway: 'refuse',
  })
  const limits = [limit('one', 2), limit('two', 1)]
  expect(await limiter.take(limits)).toMatchObject({ granted: true, storeAway: false })
  expect(await limiter.take(limits)).toMatchObject({ granted: false, exceeded: { name: 'two' } })
  await limiter.close()
  expect(await store.run(keep, [store.key('value')], ['kept'])).toBe('kept')
  const heard: string[] = []
  store.subscribe(store.key('news'), {
    message: (text) => heard.push(text.toString()),
    lost: () => {},
    restored: () => heard.push('restored'),
  })
  await until(() => heard.includes('restored'), 'the subscription')
  await store.publish(store.key('news'), 'heard')
  await until(() => heard.includes('heard'), 'the message')
}

describeWithValkey('a store of one node', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gateway-tls-'))
  const authority = createAuthority('store authority')
  const { cert, key } = authority.issue({ name: '127.0.0.1' })
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  test('over TLS is used when its certificate is of the authority, and never otherwise', async () => {
    const tls = ['--tls-cert-file', file('cert', cert), '--tls-key-file', file('key', key), '--tls-auth-clients', 'no']
    const server = await started(
      startStoreServer({ secure: true, settings: ['--port', '0', '--tls-port', 'PORT', ...tls] }),
    )
    const trusting = open(server, { tls: { ca: authority.ca } })
    await here(trusting)
    await useAll(trusting)
    const strict = open(server, { tls: { ca: createAuthority('another').ca } })
    await until(() => strict.state.reason?.includes('certificate') === true, 'the certificate to be refused')
    expect(strict.away).toBe(true)
    const plain = open(server)
    await until(() => plain.state.calls.failed > 2, 'some probes')
    expect(plain.away).toBe(true)
  })

  test('over TLS that is not trusted never ends the process, whenever its connections are torn down', async () => {
    const tls = ['--tls-cert-file', file('cert', cert), '--tls-key-file', file('key', key), '--tls-auth-clients', 'no']
    const server = await started(
      startStoreServer({ secure: true, settings: ['--port', '0', '--tls-port', 'PORT', ...tls] }),
    )
    const { ca } = createAuthority('another')
    const heard: unknown[] = []
    const hear = (error: unknown): void => void heard.push(error)
    process.on('uncaughtException', hear)
    for (let pauseMs = 0; pauseMs < 60; pauseMs += 3) {
      const stores = [1, 2, 3].map(() => open(server, { tls: { ca } }))
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
      await Promise.all(stores.map((store) => store.close()))
    }
    process.off('uncaughtException', hear)
    expect(heard).toEqual([])
  })

  test('needs of its user what the documentation says, and says why a login failed', async () => {
    // The line of the documentation is the one that is tried.
    const documentation = readFileSync(join(import.meta.dirname, '../../docs/deployment.md'), 'utf8')
    const rules = /^ACL SETUSER devin-gateway on >\S+ (.*)$/m.exec(documentation)?.[1]?.split(' ') ?? []
    expect(rules.length).toBeGreaterThan(3)
    const server = await started(
      startStoreServer({
        settings: ['--user', 'devin-gateway', 'on', '>secret', ...rules, '--user', 'default', 'off'],
      }),
    )
    const login = { user: 'devin-gateway', password: () => 'secret', prefix: 'devin-gateway' }
    const store = open(server, login)
    await here(store)
    await useAll(store)
    await expect(store.run(keep, ['another:prefix'], [''])).rejects.toThrow('NOPERM')
    await expect(store.run(script('test.flush', `return redis.call('FLUSHALL')`), [], [])).rejects.toThrow('ACL')
    const stranger = open(server, { ...login, password: () => 'wrong' })
    await until(() => stranger.state.reason?.startsWith('WRONGPASS') === true, 'the login to be refused')
  })
})

describeWithValkey('a store behind sentinels', () => {
  test('is found, and found again after it has moved', async () => {
    const first = await started(startStoreServer())
    const replica = ['--replicaof', '127.0.0.1', String(first.port)]
    const second = await started(startStoreServer({ settings: replica }))
    await until(
      async () => (await second.command('INFO', 'replication')).includes('master_link_status:up'),
      'the replica',
    )
    const sentinel = await started(startStoreServer({ sentinel: true }))
    // It looks around every ten seconds otherwise.
    await sentinel.command('SENTINEL', 'DEBUG', 'info-period', '200', 'publish-period', '200')
    await sentinel.command('SENTINEL', 'MONITOR', 'main', '127.0.0.1', String(first.port), '1')
    const store = open(sentinel, { kind: 'sentinel', sentinel: 'main' })
    await here(store)
    await useAll(store)
    await until(
      async () => (await sentinel.command('SENTINEL', 'REPLICAS', 'main')).includes(String(second.port)),
      'it',
    )
    await until(async () => (await sentinel.command('SENTINEL', 'FAILOVER', 'main')).startsWith('+OK'), 'the failover')
    await until(async () => (await second.command('ROLE')).includes('master'), 'the other to be the primary')
    await until(
      async () => (await second.command('ZCARD', 'test:{limits}:instances')) === ':1\r\n',
      'the instance there',
    )
    await until(async () => (await first.command('ROLE')).includes('slave'), 'the first to follow')
    const isKept = (): Promise<boolean> =>
      store.run(keep, [store.key('value')], ['moved']).then(
        () => true,
        () => false,
      )
    await until(isKept, 'the store')
    expect(await second.command('GET', 'test:value')).toContain('moved')
  })
})

describeWithValkey('a cluster of three', () => {
  let cluster: StoreCluster
  beforeAll(async () => {
    cluster = await startCluster()
  })
  afterAll(() => cluster.close())

  const one = (): StoreServer => {
    const [node] = cluster.nodes
    if (node === undefined) throw new Error('no node')
    return node
  }

  test('is one store, whichever node is named, with messages between all of them', async () => {
    const [, second] = cluster.nodes
    const store = open(one(), { kind: 'cluster' })
    const other = open(second ?? one(), { kind: 'cluster' })
    await here(store)
    await here(other)
    await useAll(store)
    await until(() => store.state.instances === 2, 'both instances')
    const limiters = [store, other].map((each) =>
      createSharedLimiter({
        store: each,
        now: Date.now,
        monotonic: () => performance.now(),
        budgetsWhenAway: 'refuse',
      }),
    )
    const limits = [limit('team', 30), limit('gateway', 20)]
    const taken = await Promise.all(
      limiters.flatMap((each) => Array.from({ length: 20 }, async () => await each.take(limits))),
    )
    expect(taken.filter(({ granted }) => granted)).toHaveLength(20)
    await Promise.all(limiters.map((each) => each.close()))
  })

  test('is away when the node of the limits is, and back with it', async () => {
    const store = open(one(), { kind: 'cluster' })
    await here(store)
    const slot = Number((await one().command('CLUSTER', 'KEYSLOT', 'test:{limits}:x')).slice(1))
    const node = cluster.nodes[slot < 5461 ? 0 : slot < 10_923 ? 1 : 2]
    await node?.kill()
    await gone(store)
    await node?.restart()
    await cluster.whole()
    await here(store)
    await useAll(store)
    node?.freeze()
    await gone(store)
    node?.thaw()
    await here(store)
  })
})
