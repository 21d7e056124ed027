// The connection to the shared store, against a real one: deadlines, the breaker, recovery, presence, messages.

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createStore } from '../../src/store/client.ts'
import type { StoreSettings } from '../../src/store/connection.ts'
import { script, StoreAway, type Store } from '../../src/store/store.ts'
import { startRelay } from '../support/relay.ts'
import { until } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, storeSettings, type StoreServer } from '../support/valkey.ts'

const add = script('test.add', `return redis.call('INCRBY', KEYS[1], ARGV[1])`)
const echo = script('test.echo', `return { ARGV[1], 7 }`, 'binary')

let server: StoreServer
const opened: Store[] = []

function open(more: Partial<StoreSettings> = {}): Store {
  const store = createStore({
    settings: storeSettings(server, more),
    now: Date.now,
    monotonic: () => performance.now(),
  })
  opened.push(store)
  return store
}

const here = (store: Store): Promise<void> => until(() => !store.away, 'the store')
const gone = (store: Store): Promise<void> => until(() => store.away, 'the store to be away')

describeWithValkey('the shared store', () => {
  beforeAll(async () => {
    server = await startStoreServer()
  })
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()))
  })
  afterAll(() => server.close())

  test('runs a script it has never seen, and one it knows', async () => {
    const store = open()
    await here(store)
    await server.command('SCRIPT', 'FLUSH')
    const key = store.key('{a}', 'sum')
    expect(await store.run(add, [key], [2])).toBe(2)
    expect(await store.run(add, [key], [3])).toBe(5)
    expect(await server.command('GET', 'test:{a}:sum')).toBe('$1\r\n5\r\n')
  })

  test('takes and gives bytes as they are', async () => {
    const store = open()
    await here(store)
    const bytes = Buffer.from([0, 255, 13, 10, 128])
    expect(await store.run(echo, [], [bytes])).toEqual([bytes, 7])
  })

  test('is away while nobody answers, says why, refuses at once, and is back by itself', async () => {
    const store = open()
    const changes: boolean[] = []
    store.onChange((away) => changes.push(away))
    expect(store.state).toMatchObject({ away: true, reason: 'the store has not answered yet' })
    await here(store)
    await server.kill()
    await gone(store)
    const { spared } = store.state.calls
    await expect(store.run(add, ['x'], [1])).rejects.toThrow(StoreAway)
    expect(store.state.calls.spared).toBe(spared + 1)
    await until(() => store.state.reason?.includes('ECONNREFUSED') === true, 'the reason')
    await server.restart()
    await here(store)
    expect(await store.run(add, [store.key('{b}')], [1])).toBe(1)
    expect(store.state.reason).toBeNull()
    expect(changes).toEqual([false, true, false])
  })

  test('that hangs is the same as a dead one: every call ends by its deadline, and a late answer is delivered', async () => {
    const store = open({ timeoutMs: 50 })
    await here(store)
    server.freeze()
    let late: unknown = null
    const first = store.run(add, [store.key('{late}')], [1], (answer) => (late = answer))
    await expect(first).rejects.toThrow('the store did not answer within 50 ms')
    await gone(store)
    await expect(store.run(add, ['x'], [1])).rejects.toThrow(/the store (did|does) not answer/)
    server.thaw()
    await here(store)
    await until(() => late === 1, 'the late answer')
  })

  test('that hangs while it is connected to is found again', async () => {
    server.freeze()
    const store = open({ timeoutMs: 50 })
    await until(() => store.state.calls.failed > 3, 'some probes')
    expect(store.away).toBe(true)
    server.thaw()
    await here(store)
  })

  test('whose memory is full is away until there is room', async () => {
    const store = open()
    await here(store)
    await server.command('CONFIG', 'SET', 'maxmemory', '1')
    await gone(store)
    expect(store.state.reason).toContain('OOM')
    await server.command('CONFIG', 'SET', 'maxmemory', '0')
    await here(store)
  })

  test('knows how many share it, and forgets who leaves', async () => {
    const first = open()
    await here(first)
    const second = open()
    await here(second)
    await until(() => first.state.instances === 2, 'the second instance')
    expect(second.state.instances).toBe(2)
    await second.close()
    expect(await server.command('ZCARD', 'test:{limits}:instances')).toBe(':1\r\n')
  })

  test('passes messages between instances, and says when some may have been missed', async () => {
    const [one, other] = [open(), open()]
    await here(one)
    const heard: string[] = []
    other.subscribe(other.key('news'), {
      message: (text) => heard.push(text.toString()),
      lost: () => heard.push('lost'),
      restored: () => heard.push('restored'),
    })
    await until(() => heard.includes('restored'), 'the subscription')
    await one.publish(one.key('news'), 'first')
    await until(() => heard.includes('first'), 'the message')
    await server.kill()
    await until(() => heard.includes('lost'), 'the gap')
    await gone(one)
    await server.restart()
    await here(one)
    await until(() => heard.at(-1) === 'restored', 'the subscription to be back')
    await one.publish(one.key('news'), 'second')
    await until(() => heard.includes('second'), 'the message')
    // A listener that came while the connection was made is told twice that nothing is missed from here on.
    const changes = heard.filter((each, index) => each !== heard[index - 1])
    expect(changes.slice(changes.indexOf('restored'))).toEqual(['restored', 'first', 'lost', 'restored', 'second'])
  })

  test('that hangs is a gap in the messages as well', async () => {
    const store = open({ timeoutMs: 50 })
    const heard: string[] = []
    const listener = { message: () => {}, lost: () => heard.push('lost'), restored: () => heard.push('restored') }
    store.subscribe(store.key('news'), listener)
    await until(() => heard.includes('restored'), 'the subscription')
    server.freeze()
    await until(() => heard.includes('lost'), 'the gap')
    server.thaw()
    await until(() => heard.at(-1) === 'restored', 'the subscription to be back')
  })

  test.each([
    ['nothing that was asked for', '_\r\n'],
    ['a message of nothing', '>1\r\n_\r\n'],
    ['a message without a channel', '>1\r\n$7\r\nmessage\r\n'],
    ['a message without a text', '>3\r\n$7\r\nmessage\r\n$9\r\ntest:news\r\n_\r\n'],
    ['a subscription to nothing', '>3\r\n$9\r\nsubscribe\r\n_\r\n_\r\n'],
    ['a list that no memory holds', '*4294967296\r\n'],
    ['lists in lists', '*1\r\n'.repeat(100_000)],
    ['another protocol', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
  ])('that sends %s is a broken connection, and ends no process', async (_what, text) => {
    const relay = await startRelay(server.port)
    const store = open({ nodes: [{ host: '127.0.0.1', port: relay.port }] })
    const heard: string[] = []
    store.subscribe(store.key('news'), {
      // What a listener makes of a message that is none.
      message: (message) => heard.push(message.toString()),
      lost: () => heard.push('lost'),
      restored: () => heard.push('restored'),
    })
    await until(() => heard.includes('restored') && !store.away, 'the store')
    // Vitest fails the run for what nobody catches.
    relay.say(Buffer.from(text))
    await until(() => heard.filter((each) => each === 'restored').length > 1, 'a new connection')
    await here(store)
    relay.close()
  })

  test('that sends a reply without an end is cut off before it fills the memory', async () => {
    const relay = await startRelay(server.port)
    const store = open({ nodes: [{ host: '127.0.0.1', port: relay.port }] })
    await here(store)
    const { accepted } = relay
    relay.say(Buffer.from('$4294967296\r\n'))
    const piece = Buffer.alloc(4 * 1024 * 1024)
    for (let sent = 0; sent < 64 * 1024 * 1024; sent += piece.length) relay.say(piece)
    await until(() => relay.accepted > accepted, 'a new connection')
    await here(store)
    relay.close()
  })
})
