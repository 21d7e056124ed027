// Instances over a real store: what one drops is dropped by all before it goes on, whatever happens to the store or to one of
// them in between.

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { until } from '../../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, type StoreServer } from '../../support/valkey.ts'
import { startInstance, together, type Instance, type InstanceOptions } from './support.ts'

const things = { tags: ['things'] }
const drop = { names: ['things'], unsettled: false }
let server: StoreServer
const instances: Instance[] = []

async function start(options: InstanceOptions = {}, other: InstanceOptions = {}): Promise<[Instance, Instance]> {
  const started: [Instance, Instance] = [
    startInstance(server, options),
    startInstance(server, { ...options, ...other }),
  ]
  instances.push(...started)
  await together(...started)
  return started
}

/** Digest of all messages so far. */
async function headOf(): Promise<string> {
  return (await server.command('HGET', 'test:{limits}:group', 'head')).split('\r\n')[1] ?? ''
}

function store({ setting }: Instance): void {
  setting.ask('/things', things)
  setting.call.answer(200, {}, 'old')
  expect(setting.cache.stats().entries).toBe(1)
}

describeWithValkey('instances that share a store', () => {
  beforeAll(async () => {
    server = await startStoreServer()
  })
  afterEach(async () => {
    server.thaw()
    await Promise.all(instances.splice(0).map((instance) => instance.close()))
  })
  afterAll(() => server.close())

  it('drop what one of them drops, and answer how many entries they had', async () => {
    const [one, other] = await start()
    const [third] = await start()
    store(other)
    store(third)
    expect(await one.setting.cache.invalidate(['things'])).toEqual({
      dropped: 2,
      instances: 4,
      silent: 0,
      reached: true,
    })
    expect(other.setting.cache.stats().entries + third.setting.cache.stats().entries).toBe(0)
  })

  it('have dropped what a write makes stale when its caller gets the answer, and not only then', async () => {
    const [one, other] = await start()
    store(other)
    const caller = one.setting.ask('/x', { method: 'POST', tags: ['things'] })
    let left = -1
    const head = caller.head.bind(caller)
    caller.head = (given) => {
      left = other.setting.cache.stats().entries
      head(given)
    }
    one.setting.call.head(201, {}, 4)
    expect(one.setting.call.sink.data(Buffer.from('bo'))).toBe(false)
    one.setting.call.sink.end(Buffer.from('dy'))
    expect(caller.isWaiting).toBe(true)
    await until(() => caller.ended, 'the answer to the write')
    expect([left, caller.status, caller.body]).toEqual([0, 201, 'body'])
    expect(caller.fields['cache-status']).toBe('devin-gateway; fwd=method; fwd-status=201')
  })

  it.each<[string, (call: Instance['setting']['call']) => void]>([
    ['is cut off', (call) => call.fail('upstream-unreachable')],
    ['fails half way', (call) => call.answer(504)],
  ])('keep nothing of a write for a while that %s', async (_name, end) => {
    const [one, other] = await start()
    store(other)
    const caller = one.setting.ask('/x', { method: 'POST', tags: ['things'] })
    end(one.setting.call)
    await until(() => !caller.isWaiting, 'the end of the write')
    expect(other.setting.cache.stats().entries).toBe(0)
    other.setting.ask('/things', things)
    other.setting.call.answer(200)
    expect(other.setting.cache.stats().entries).toBe(0)
  })

  it('answer a read that was under way, do not keep it, and let nobody join it', async () => {
    const [one, other] = await start()
    const early = other.setting.ask('/things', things)
    const parsed = other.setting.call
    await one.group.broadcast(drop)
    const late = other.setting.ask('/things', things)
    parsed.answer(200, {}, 'old')
    expect([early.body, early.fields['cache-status']]).toEqual(['old', expect.stringContaining('detail=superseded')])
    other.setting.call.answer(200, {}, 'new')
    expect(late.body).toBe('new')
    expect(other.setting.ask('/things', things).body).toBe('new')
  })

  it('do not wait for one that has left, and keep answers as long as before', async () => {
    const [one, other] = await start()
    await other.close()
    instances.splice(instances.indexOf(other), 1)
    expect(await one.group.broadcast(drop)).toMatchObject({ instances: 1, silent: 0 })
    expect(one.group.state).toMatchObject({ standing: 'together', missing: 0 })
  })

  it('drop everything when one crashes, as it may be cut off and writing, and keep answers shortly after that', async () => {
    await server.command('ACL', 'SETUSER', 'crashing', 'on', 'nopass', '~*', '&*', '+@all')
    const [one] = await start({ prefix: 'crash' }, { user: 'crashing' })
    store(one)
    // Its connections end, and it has not taken leave.
    await server.command('ACL', 'DELUSER', 'crashing')
    await until(() => one.group.state.standing === 'cautious', 'the crash to be noticed')
    expect(one.setting.cache.stats().entries).toBe(0)
    const rule = { kind: 'class', ttlMs: 3_600_000, alwaysCollapsed: false } as const
    one.setting.ask('/things', { rule })
    one.setting.call.answer(200)
    expect(one.setting.ask('/things', { rule }).fields['cache-status']).toBe('devin-gateway; hit; ttl=30')
    // What is about a time that is over does not change.
    const over = { ...rule, ttlMs: 86_400_000 }
    one.setting.ask('/over', { rule: over })
    one.setting.call.answer(200)
    expect(one.setting.ask('/over', { rule: over }).fields['cache-status']).toBe('devin-gateway; hit; ttl=86400')
    expect(await one.group.broadcast(drop)).toMatchObject({ instances: 1, silent: 0, reached: true })
  })

  it('are careful for half a minute only, and wait for nothing, when one has ended for certain', async () => {
    await server.command('ACL', 'SETUSER', 'killed', 'on', 'nopass', '~*', '&*', '+@all')
    const [one, other] = await start({ prefix: 'buried' }, { user: 'killed' })
    store(one)
    await server.command('ACL', 'DELUSER', 'killed')
    await one.store.membership.remove(other.store.instance)
    await one.store.membership.remove(other.store.instance)
    await until(() => one.group.state.standing === 'cautious', 'the end to be known')
    expect(one.setting.cache.stats().entries).toBe(0)
    expect(await one.group.broadcast(drop)).toMatchObject({ instances: 1, silent: 0, reached: true })
    const [, , , , score] = (await server.command('ZRANGE', 'buried:{limits}:missing', '0', '-1', 'WITHSCORES')).split(
      '\r\n',
    )
    expect(Number(score) + 600_000).toBeLessThanOrEqual(Date.now() + 30_000)
    // As if that time had passed.
    await server.command('DEL', 'buried:{limits}:missing')
    await together(one)
  })

  it('continue without an answer of one that receives nothing: by then it has dropped everything by itself', async () => {
    const [one, other] = await start()
    store(other)
    // Every subscription is cut, so nobody hears the message, and no answer is heard.
    await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    expect((await one.group.broadcast(drop)).reached).toBe(true)
    other.group.check()
    expect(other.setting.cache.stats().entries).toBe(0)
    await together(one, other)
    expect(await one.group.broadcast(drop)).toMatchObject({ instances: 2, silent: 0 })
  })

  it('are told of what was written in a short cut of one of them: they have not noticed it, and keep what they have', async () => {
    await server.command('ACL', 'SETUSER', 'cut', 'on', 'nopass', '~*', '&*', '+@all')
    let aheadMs = 0
    const [one, other] = await start({}, { user: 'cut', ahead: () => aheadMs })
    store(one)
    await server.command('ACL', 'DELUSER', 'cut')
    await until(() => other.store.away, 'the cut')
    const told = other.group.broadcast(drop)
    // The lease of the one that is cut off ends, and the store takes it for a member still.
    aheadMs = 1_400
    other.group.check()
    expect(other.group.state.standing).toBe('alone')
    await server.command('ACL', 'SETUSER', 'cut', 'on', 'nopass', '~*', '&*', '+@all')
    expect(await told).toMatchObject({ reached: true, instances: 2, silent: 0 })
    expect(one.setting.cache.stats().entries).toBe(0)
  })

  it('serve nothing stored once their own clock says that they were away too long', async () => {
    let aheadMs = 0
    const [, other] = await start({}, { ahead: () => aheadMs })
    store(other)
    aheadMs = 60_000
    expect(other.setting.ask('/things', things).isWaiting).toBe(true)
    expect(other.group.state).toMatchObject({ standing: 'alone', lapses: 1 })
    await together(other)
  })

  it.each<[string, (heads: string) => Promise<unknown>]>([
    ['is no message', () => server.command('PUBLISH', 'test:members', 'rubbish')],
    [
      'nobody of them has sent',
      (head) =>
        server.command('PUBLISH', 'test:members', `${head} {"drop":[],"unsettled":false,"from":"nobody","call":1}`),
    ],
    [
      'has been sent before',
      () => server.command('PUBLISH', 'test:members', `${'0'.repeat(40)} {"joined":"somebody"}`),
    ],
  ])('drop everything and begin anew when something comes that %s', async (_name, disturb) => {
    const [one, other] = await start()
    store(other)
    await disturb(await headOf())
    await one.group.broadcast(drop)
    expect(other.setting.cache.stats().entries).toBe(0)
    await until(() => one.group.state.lapses > 0 && other.group.state.lapses > 0, 'both to begin anew')
    await together(one, other)
    expect(await one.group.broadcast(drop)).toMatchObject({ instances: 2, silent: 0 })
  })

  it('begin anew when the store has gone back in time, or forgotten everything', async () => {
    const [one, other] = await start()
    const before = await headOf()
    await one.group.broadcast(drop)
    await server.command('HSET', 'test:{limits}:group', 'head', before)
    store(other)
    await one.group.broadcast(drop)
    expect(other.setting.cache.stats().entries).toBe(0)
    await until(() => other.group.state.lapses === 1, 'the gap to be seen')
    await together(one, other)
    store(other)
    await server.command('FLUSHALL')
    // What was promised before is waited out: the other one is not known any more, and hears it all the same.
    await one.group.broadcast(drop)
    expect(other.setting.cache.stats().entries).toBe(0)
    await together(one, other)
    expect(await one.group.broadcast(drop)).toMatchObject({ instances: 2 })
  })

  it('do not wait long for a clock of the store that was set back', async () => {
    const [one, other] = await start()
    const future = String(Date.now() + 3_600_000)
    await server.command('HSET', 'test:{limits}:group', 'since', future)
    await server.command('ZADD', 'test:{limits}:members', future, 'somebody-who-crashed')
    store(other)
    expect(await one.group.broadcast(drop)).toMatchObject({ instances: 2, silent: 0 })
    expect(other.setting.cache.stats().entries).toBe(0)
    await server.command('HSET', 'test:{limits}:group', 'since', '0')
    await server.command('DEL', 'test:{limits}:missing')
    await together(one, other)
  })

  it('begin anew with a store that was started again', async () => {
    const [one, other] = await start()
    store(other)
    await server.kill()
    await server.restart()
    await until(() => one.group.state.lapses > 0 && other.group.state.lapses > 0, 'both to begin anew')
    await together(one, other)
    expect(other.setting.cache.stats().entries).toBe(0)
    expect(await one.group.broadcast(drop)).toMatchObject({ instances: 2, silent: 0, reached: true })
  })

  it('drop everything when the store hangs, and a write waits for that', async () => {
    const [one, other] = await start()
    store(one)
    store(other)
    server.freeze()
    const result = await one.group.broadcast(drop)
    other.group.check()
    expect(result).toMatchObject({ reached: false })
    expect(one.setting.cache.stats().entries + other.setting.cache.stats().entries).toBe(0)
    expect([one.group.state.standing, other.group.state.standing]).toEqual(['alone', 'alone'])
    // From then on nobody waits: all others have noticed, and keep answers shortly.
    expect(
      await Promise.race([one.group.broadcast(drop), new Promise((resolve) => setTimeout(resolve, 3_000))]),
    ).toBeDefined()
    const rule = { kind: 'class', ttlMs: 3_600_000, alwaysCollapsed: false } as const
    other.setting.ask('/things', { ...things, rule })
    other.setting.call.answer(200)
    const hit = other.setting.ask('/things', { ...things, rule })
    expect(hit.fields['cache-status']).toBe('devin-gateway; hit; ttl=30')
    server.thaw()
    await together(one, other)
    // Nothing of that time is kept either: no writes were broadcast.
    expect(other.setting.cache.stats().entries).toBe(0)
    // A slow machine may lapse once more right after the store has come back.
    await until(async () => {
      const { instances: heard, silent, reached } = await one.group.broadcast(drop)
      return heard === 2 && silent === 0 && reached
    }, 'both to hear each other')
    expect(other.changes.map(({ standing }) => standing)).toEqual(expect.arrayContaining(['alone']))
  })
})
