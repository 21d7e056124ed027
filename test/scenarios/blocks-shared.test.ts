// Blocks on several instances over one real store: four processes, one killed, one paused, one cut off; and a store that is away,
// empty, or back.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createBlockService, BlocksUnavailable, type BlockService } from '../../src/blocks/block-service.ts'
import type { Block } from '../../src/blocks/block.ts'
import { createStore } from '../../src/store/client.ts'
import type { Store } from '../../src/store/store.ts'
import { callCommand, startGatewayProcess } from '../support/command.ts'
import { startInstances, type Instances } from '../support/instances.ts'
import { startRelay, type Relay } from '../support/relay.ts'
import { until } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, storeSettings, type StoreServer } from '../support/valkey.ts'

const sessions = '/v3/organizations/org-payments/sessions'

describeWithValkey('four processes on one store', () => {
  let store: StoreServer
  let relay: Relay
  let gateways: Instances
  beforeAll(async () => {
    store = await startStoreServer()
    relay = await startRelay(store.port)
    gateways = await startInstances({
      count: 4,
      store,
      // The last one reaches the store through the relay.
      configOf: (index, text) =>
        index === 3
          ? `${text.replace(store.address, `valkey://127.0.0.1:${relay.port}`)}budgets: { journal: apart.journal }\n`
          : text,
    })
  })
  afterAll(async () => {
    await gateways.close()
    relay.close()
    await store.close()
  })

  /** A command about the first one. */
  async function command(...args: string[]) {
    const [first = ''] = gateways.configFiles
    const running = join(dirname(first), 'running.yaml')
    const text = await readFile(first, 'utf8')
    await writeFile(
      running,
      text.replace('admin: "127.0.0.1:0"', `admin: "127.0.0.1:${gateways.processes[0]?.adminPort}"`),
    )
    return await callCommand([...args, '--config', running], gateways.env)
  }
  const statusAt = async (instance: number): Promise<number> => {
    const answer = await gateways.call(instance, sessions)
    await answer.arrayBuffer()
    return answer.status
  }

  test('let nobody through who is blocked: not when killed, paused, cut off, restarted, or with an empty store', async () => {
    await until(async () => (await statusAt(0)) === 200, 'the first to serve')
    expect(await Promise.all([0, 1, 2, 3].map(statusAt))).toEqual([200, 200, 200, 200])
    gateways.processes[2]?.child.kill('SIGSTOP')

    const made = await command('block', 'subject', 'ann', '--reason', 'INC-1', '--json')
    expect(made.code).toBe(0)
    expect(JSON.parse(made.out)).toMatchObject({ everywhere: true, instances: 4, unconfirmed: 1, reason: 'INC-1' })
    const asked = gateways.upstream.seen.length
    // Requests wait at the paused one until it goes on.
    const waiting = Array.from({ length: 20 }, () => statusAt(2))
    expect(await Promise.all([0, 1, 3].map(statusAt))).toEqual([403, 403, 403])
    gateways.processes[2]?.child.kill('SIGCONT')
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([403]))

    relay.cut()
    await until(
      async () => (await gateways.admin(3, '/readyz').then((page) => page.text())).includes('are not known here'),
      'it to know',
    )
    expect(await statusAt(3)).toBe(403)

    await gateways.processes[1]?.kill()
    await store.kill()
    await store.restart()
    await until(
      async () => !(await (await gateways.admin(0, '/readyz')).text()).includes('"notes"'),
      'the store to be back',
    )
    expect(await Promise.all([0, 2, 3].map(statusAt))).toEqual([403, 403, 403])
    const again = await startGatewayProcess(gateways.configFiles[1] ?? '', { env: gateways.env })
    const answer = await fetch(`http://127.0.0.1:${again.port}${sessions}`, {
      headers: { authorization: `Bearer ${gateways.token}` },
    })
    expect(answer.status).toBe(403)
    await again.kill()
    expect(gateways.upstream.seen.length).toBe(asked)

    // What is ended while one is cut off ends there, too, as soon as it is back, and is not put into the store again.
    const ended = await command('unblock', 'subject', 'ann', '--json')
    expect(ended.code).toBe(0)
    expect(await statusAt(0)).toBe(200)
    relay.mend()
    await until(async () => (await statusAt(3)) === 200, 'the one that was cut off to hear of it')
    expect(JSON.parse((await command('blocks', '--json')).out)).toEqual([])
  })
})

describeWithValkey('the blocks of instances', () => {
  let server: StoreServer
  let folder: string
  const open: { service: BlockService; store: Store }[] = []
  beforeAll(async () => {
    server = await startStoreServer()
    folder = await mkdtemp(join(tmpdir(), 'gateway-blocks-'))
  })
  afterAll(async () => {
    for (const { service, store } of open) {
      await service.close()
      await store.close()
    }
    await server.close()
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  const clocks = { now: Date.now, monotonic: () => performance.now() }
  const wanted = { reason: 'r', note: null, by: 'test', forMs: null }

  async function instance(
    name: string,
    prefix: string,
  ): Promise<{ service: BlockService; store: Store; added: Block[] }> {
    const store = createStore({ settings: storeSettings(server, { prefix }), ...clocks })
    const added: Block[] = []
    const service = createBlockService({
      file: join(folder, `${prefix}-${name}.json`),
      store,
      ...clocks,
      onBlocked: (blocks) => added.push(...blocks),
      onOver: () => {},
      onTrouble: (text) => {
        throw new Error(text)
      },
    })
    open.push({ service, store })
    await until(() => !store.away, 'the store to answer')
    await service.start()
    return { service, store, added }
  }
  const has = ({ service }: { service: BlockService }, value: string): boolean =>
    service.list.get('app', value) !== null

  test('are confirmed by all before they are answered, each told of once', async () => {
    const [one, two] = [await instance('one', 'a'), await instance('two', 'a')]
    await until(async () => (await one.service.block({ ...wanted, kind: 'app', value: 'x' })).instances === 2, 'both')
    expect(await one.service.block({ ...wanted, kind: 'app', value: 'y' })).toMatchObject({
      instances: 2,
      unconfirmed: 0,
      everywhere: true,
      kept: true,
    })
    expect(has(two, 'y')).toBe(true)
    expect(two.added.map(({ value }) => value)).toEqual(['x', 'y'])
    await two.service.unblock('app', 'y')
    expect([has(one, 'y'), has(two, 'y')]).toEqual([false, false])
    expect(await two.service.find('app', 'y')).toBe(null)
  })

  test('are read whole by one that starts, and those it has in its copy and the store has ended are not put back', async () => {
    const one = await instance('one', 'b')
    await one.service.block({ ...wanted, kind: 'app', value: 'x' })
    await one.service.block({ ...wanted, kind: 'app', value: 'z', forMs: 3_600_000 })
    const two = await instance('two', 'b')
    expect([has(two, 'x'), has(two, 'z')]).toEqual([true, true])
    await two.service.close()
    await two.store.close()
    await one.service.unblock('app', 'x')
    const again = await instance('two', 'b')
    await until(() => !has(again, 'x'), 'the ended one to end')
    expect(await again.service.find('app', 'x')).toBe(null)
    expect(has(one, 'x')).toBe(false)
    expect(has(again, 'z')).toBe(true)
  })

  test('do not matter to messages that are lost: they are read again', async () => {
    const one = await instance('one', 'c')
    // As another instance would write it, without a word.
    const block = { kind: 'app', value: 'silent', reason: 'r', note: null, by: 'b', since: Date.now(), until: null }
    await server.command('HSET', 'c:{limits}:blocks', 'app silent', JSON.stringify(block), 'version', 'other')
    await until(() => has(one, 'silent'), 'it to be read')
  })

  test('survive a store that was emptied, and entries that nobody can read block nobody', async () => {
    const store = createStore({ settings: storeSettings(server, { prefix: 'd' }), ...clocks })
    const troubles: string[] = []
    const service = createBlockService({
      file: join(folder, 'd.json'),
      store,
      ...clocks,
      onBlocked: () => {},
      onOver: () => {},
      onTrouble: (text) => troubles.push(text),
    })
    open.push({ service, store })
    await until(() => !store.away, 'the store to answer')
    await service.start()
    await service.block({ ...wanted, kind: 'app', value: 'x' })
    await server.command('DEL', 'd:{limits}:blocks')
    await until(async () => (await server.command('HGET', 'd:{limits}:blocks', 'app x')).includes('"value":"x"'), 'x')
    await server.command(
      'HSET',
      'd:{limits}:blocks',
      'app odd',
      '{"kind":"app"}',
      'subject q',
      'nonsense',
      'version',
      'o',
    )
    await until(() => troubles.length > 0, 'it to be told')
    expect(troubles[0]).toMatch(/entries of the blocked callers .*: 2$/)
    expect(service.list.all.map(({ value }) => value)).toEqual(['x'])
  })

  test('are made while the store is away, and told when it is back; they are ended only when it is', async () => {
    const [one, two] = [await instance('one', 'e'), await instance('two', 'e')]
    await one.service.block({ ...wanted, kind: 'app', value: 'before' })
    server.freeze()
    await until(() => one.store.away && two.store.away, 'both to notice')
    expect(one.service.whenRecent()).toBe(null)
    expect(await one.service.block({ ...wanted, kind: 'app', value: 'meanwhile' })).toMatchObject({
      everywhere: false,
      kept: true,
    })
    expect([has(one, 'meanwhile'), has(two, 'meanwhile'), has(two, 'before')]).toEqual([true, false, true])
    await expect(one.service.find('app', 'before')).rejects.toThrow(BlocksUnavailable)
    await expect(one.service.unblock('app', 'before')).rejects.toThrow(BlocksUnavailable)
    expect(has(one, 'before')).toBe(true)
    server.thaw()
    await until(() => has(two, 'meanwhile'), 'the other one to hear of it')
    await until(async () => !(await readFile(join(folder, 'e-one.json'), 'utf8')).includes('unsent'), 'it to be noted')
  })
})
