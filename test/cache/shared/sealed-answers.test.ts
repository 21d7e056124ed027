// The second level over a real store: what one instance fetched, the others have; and whoever reads or writes the store can
// neither read an answer, nor plant one, nor pass one off for another, nor bring one back.

import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { readQuestion } from '../../../src/cache/reading.ts'
import type { SealedAnswersCounts } from '../../../src/cache/shared/sealed-answers.ts'
import { until } from '../../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, type StoreServer } from '../../support/valkey.ts'
import type { Ask, Caller } from '../support.ts'
import { startInstance, together, type Instance, type InstanceOptions } from './support.ts'

const things: Ask = { tags: ['things'], partition: 'key-of-payments' }
let server: StoreServer
const instances: Instance[] = []

async function start(other: InstanceOptions = {}): Promise<[Instance, Instance]> {
  const started: [Instance, Instance] = [
    startInstance(server, { shared: true }),
    startInstance(server, { shared: true, ...other }),
  ]
  instances.push(...started)
  await together(...started)
  return started
}

/** Asks, waits until the store has been asked, and answers the upstream's call if there is one. */
async function ask({ setting }: Instance, target: string, body: string, given: Ask = things): Promise<Caller> {
  const calls = setting.calls.length
  const caller = setting.ask(target, given)
  await until(() => !caller.isWaiting || setting.calls.length > calls, 'an answer or a call')
  if (caller.isWaiting) setting.call.answer(200, { 'x-kind': 'answer' }, body)
  return caller
}

async function kept(instance: Instance, target: string, body: string, given: Ask = things): Promise<void> {
  const before = instance.answers?.counts.kept ?? 0
  await ask(instance, target, body, given)
  await until(() => (instance.answers?.counts.kept ?? 0) > before, 'the answer to be in the store')
}

function counts({ answers }: Instance): SealedAnswersCounts {
  if (answers === null) throw new Error('this instance shares no answers')
  return answers.counts
}

async function storedKeys(): Promise<string[]> {
  const answer = await server.command('KEYS', 'test:answer:*')
  return answer.split('\r\n').filter((line) => line.startsWith('test:'))
}

describeWithValkey('answers in the store', () => {
  beforeAll(async () => {
    server = await startStoreServer()
  })
  afterEach(async () => {
    server.thaw()
    await Promise.all(instances.splice(0).map((instance) => instance.close()))
    for (const key of await storedKeys()) await server.command('DEL', key)
  })
  afterAll(() => server.close())

  it('spare the other instances a call, and say so', async () => {
    const [one, other] = await start()
    await kept(one, '/things?a=1', 'an answer')
    other.setting.pass(5)
    const waiting = [other.setting.ask('/things?a=1', things), other.setting.ask('/things?a=1', things)]
    await until(() => waiting.every((caller) => caller.ended), 'both answers')
    expect(other.setting.calls).toHaveLength(0)
    for (const { body, fields, result } of waiting) {
      expect([body, result, fields['x-kind'], fields['age']]).toEqual(['an answer', 'hit', 'answer', '5'])
      expect(fields['cache-status']).toBe('devin-gateway; hit; ttl=25; detail=second-level')
    }
    expect(other.setting.ask('/things?a=1', things).fields['cache-status']).toBe('devin-gateway; hit; ttl=25')
  })

  it('are not taken by who asks for something fresher, in another partition, or for something else', async () => {
    const [one, other] = await start()
    await kept(one, '/things', 'an answer')
    other.setting.pass(10)
    for (const given of [
      { ...things, partition: 'key-of-others' },
      { ...things, atMostMs: 5_000 },
      { ...things, fields: { accept: 'text/plain' } },
    ])
      expect((await ask(other, '/things', 'another', given)).body).toBe('another')
    expect((await ask(other, '/things/1', 'another')).body).toBe('another')
  })

  it('show nothing of a question or an answer, and last no longer than they may be used', async () => {
    const [one] = await start()
    await kept(one, '/things/very-private-name', 'a very private answer')
    const [key = ''] = await storedKeys()
    const value = await server.command('GET', key)
    for (const text of ['private', 'things', 'payments', 'x-kind']) expect(`${key}${value}`).not.toContain(text)
    const leftMs = Number((await server.command('PTTL', key)).slice(1))
    expect(leftMs).toBeGreaterThan(0)
    expect(leftMs).toBeLessThanOrEqual(30_000)
  })

  it('are bounded in size, and as old as their age where clocks differ', async () => {
    const [one, other] = await start()
    await kept(one, '/things', 'an answer')
    const place = { key: readQuestion(one.setting.question('/things', things)).key, names: ['things', '/things'] }
    const entry = await other.answers?.find(place)
    if (entry === null || entry === undefined) throw new Error('there is no such answer')
    const position = one.answers?.position() ?? ''
    one.answers?.keep({ key: 'large', names: [] }, { ...entry, body: Buffer.alloc(257 * 1024) }, position)
    one.answers?.keep({ key: 'brief', names: [] }, { ...entry, freshUntilMs: one.setting.nowMs + 500 }, position)
    // Their clock is a minute ahead of this one.
    other.setting.pass(-60)
    expect(await other.answers?.find(place)).toMatchObject({
      receivedAtMs: other.setting.nowMs,
      freshUntilMs: other.setting.nowMs + 30_000,
    })
    expect(await storedKeys()).toHaveLength(1)
  })

  it('are never waited for longer than the store may take', async () => {
    const [, other] = await start()
    server.freeze()
    expect((await ask(other, '/large', 'new')).body).toBe('new')
    expect(counts(other).failed).toBeGreaterThan(0)
  })

  it('that were planted, swapped or damaged are not used', async () => {
    const [one, other] = await start()
    await kept(one, '/things/1', 'one')
    const [first = ''] = await storedKeys()
    await kept(one, '/things/2', 'two')
    const second = (await storedKeys()).find((key) => key !== first) ?? ''
    // Swapped.
    await server.command('COPY', first, second, 'REPLACE')
    expect((await ask(other, '/things/2', 'true two')).body).toBe('true two')
    // Damaged, and planted.
    await server.command('SETRANGE', first, '40', 'damage')
    expect((await ask(other, '/things/1', 'true one')).body).toBe('true one')
    expect(counts(other).rejected).toBe(2)
    await server.command('SET', first, '{"position":"x"}\nplanted')
    await one.group.tell({ names: ['things'], unsettled: false })
    expect((await ask(other, '/things/1', 'truer one')).body).toBe('truer one')
  })

  it('that another secret has sealed are neither found nor replaced', async () => {
    const [one, stranger] = await start({ secret: randomBytes(32) })
    await kept(one, '/things/1', 'one')
    await kept(stranger, '/things/1', 'own')
    expect(await storedKeys()).toHaveLength(2)
  })

  it('that a write has dropped do not come back, whoever puts them back', async () => {
    const [one, other] = await start()
    await kept(one, '/things', 'old')
    const [key = ''] = await storedKeys()
    await server.command('COPY', key, 'recorded')
    await one.group.tell({ names: ['things'], unsettled: false })
    // As it was left there, and as who recorded it would put it back.
    for (const back of [false, true]) {
      if (back) await server.command('COPY', 'recorded', key, 'REPLACE')
      expect((await ask(other, '/things', 'new', { ...things, partition: things.partition ?? '' })).body).toBe('new')
      await other.setting.cache.invalidate(['/things'])
    }
    expect(counts(other).outdated).toBe(2)
    expect((await ask(one, '/things', 'new')).body).toBe('new')
  })

  it('that come late, after the write, are of no use either', async () => {
    const [one, other] = await start()
    const position = one.answers?.position() ?? ''
    one.setting.ask('/things', things)
    await until(() => one.setting.calls.length === 1, 'the call')
    await other.group.tell({ names: ['things'], unsettled: false })
    one.setting.call.answer(200, {}, 'old')
    expect(await storedKeys()).toEqual([])
    // A writer that has not heard of it yet.
    await kept(one, '/others', 'old', { tags: ['others'] })
    expect(one.group.allows(position, ['things'])).toBe(false)
    expect(other.group.allows(position, ['things'])).toBe(false)
  })

  it('from before an instance joined are not used by it, not even if the store is turned back', async () => {
    const [one] = await start()
    await kept(one, '/things', 'old')
    const heads = await server.command('HGET', 'test:{cache}:group', 'head')
    const [late] = await start()
    expect((await ask(late, '/things', 'new')).body).toBe('new')
    await server.command('HSET', 'test:{cache}:group', 'head', heads.split('\r\n')[1] ?? '')
    await late.group.tell({ names: [], unsettled: false })
    await together(late)
    expect((await ask(late, '/things', 'newer')).body).toBe('newer')
  })
})
