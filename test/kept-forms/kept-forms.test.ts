// What versions before have left on the disk and in the store is read by this one, and what a later version adds to it does not
// stop this one: upgrades and rollbacks. The files of a version are never made anew; a new form gets a folder of its own.

import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readBlockFile, writeBlockFile } from '../../src/blocks/block-file.ts'
import { createBlockService } from '../../src/blocks/block-service.ts'
import type { BudgetStore } from '../../src/budgets/budget-store.ts'
import { createBudgets } from '../../src/budgets/budgets.ts'
import { frameOf, readFrames } from '../../src/budgets/file/frames.ts'
import { createValkeyBudgetStore } from '../../src/budgets/valkey-budget-store.ts'
import { createIdempotencyService, type KeyedRequest } from '../../src/idempotency/idempotency-service.ts'
import { createSharedEntries } from '../../src/idempotency/shared-entries.ts'
import { readJournal } from '../../src/keys/rotation/journal.ts'
import { fingerprintOf } from '../../src/keys/rotation/rotation.ts'
import { openOld } from '../../src/keys/rotation/steps/place.ts'
import { Secret } from '../../src/keys/secret.ts'
import { AuditLog } from '../../src/records/audit/audit-log.ts'
import { auditLines } from '../../src/records/audit/audit-tail.ts'
import { verifyChain } from '../support/chain.ts'
import { createStore } from '../../src/store/client.ts'
import type { Store } from '../../src/store/store.ts'
import { fileStore, folder, noon } from '../budgets/stores.ts'
import { until } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, storeSettings, type StoreServer } from '../support/valkey.ts'

const kept = (name: string): string => join(import.meta.dirname, '0.1.0', name)

/** Two sessions are charged: one runs, and of the other it is not known whether it was started. */
async function expectBudgets(budgetStore: BudgetStore): Promise<void> {
  const accounts = await budgetStore.accounts([
    'team a acus 2026-12-01T08:00Z',
    'team a sessions 2026-12-01T08:00Z',
    'team a open_sessions',
  ])
  expect([...accounts.values()].map(({ reserved, spent }) => [reserved, spent])).toEqual([
    [12_000_000, 0],
    [1, 1],
    [2, 0],
  ])
  expect(await budgetStore.findSession('devin-1')).toMatchObject({ id: 'create-1', state: 'open', bound: 5_000_000 })
  expect(await budgetStore.find('create-2')).toMatchObject({ state: expect.stringMatching(/pending|unclear/) })
}

/** It can also be changed: the session ends, having used a part. */
async function expectSettles(budgetStore: BudgetStore): Promise<void> {
  const service = createBudgets({ budgetStore, now: () => noon })
  const reservation = await budgetStore.findSession('devin-1')
  if (reservation === null) throw new Error('the session is not there')
  const { account, endMs } = reservation.charges[0] ?? { account: '', endMs: null }
  const steps = [{ account, endMs, reserved: -5_000_000, spent: 1_000_000, most: null }]
  const after = { ...reservation, version: reservation.version + 1, state: 'ended' as const, consumed: 1_000_000 }
  expect(await budgetStore.change({ id: after.id, version: reservation.version, after, steps })).toMatchObject({
    result: 'done',
  })
  expect((await budgetStore.accounts([account])).get(account)).toMatchObject({ reserved: 7_000_000, spent: 1_000_000 })
  await service.close()
}

describe('on the disk', () => {
  test('the journal of budgets is read and gone on with', async () => {
    const file = join(await folder(), 'budgets.journal')
    await copyFile(kept('budgets.journal'), file)
    const before = fileStore(file)
    await expectBudgets(before)
    await expectSettles(before)
    await before.close()
    const again = fileStore(file)
    expect(await again.find('create-1')).toMatchObject({ state: 'ended', consumed: 1_000_000 })
    expect(again.troubles).toEqual([])
  })

  test('members that a later version adds to it stop nobody', async () => {
    const file = join(await folder(), 'budgets.journal')
    const { payloads } = readFrames(await readFile(kept('budgets.journal')))
    const later = payloads.map((payload) =>
      payload.replaceAll('"charges":', '"later":{"x":1},"charges":').replace('"form":1', '"form":1,"by":"9.9.9"'),
    )
    expect(later.join('')).toContain('9.9.9')
    await writeFile(file, Buffer.concat(later.map(frameOf)))
    const budgetStore = fileStore(file)
    await expectBudgets(budgetStore)
    await expectSettles(budgetStore)
    expect(budgetStore.troubles).toEqual([])
  })

  test('the audit log holds, and its chain goes on', async () => {
    const file = join(await folder(), 'audit.ndjson')
    await copyFile(kept('audit.ndjson'), file)
    expect(await verifyChain(auditLines(file))).toMatchObject({ ok: true, entries: 3 })
    const log = new AuditLog({ target: file, nowMs: () => noon, onTrouble: () => {}, retryMs: 60_000 })
    expect(await log.write('started', 'gateway', { version: '9.9.9' })).toBe(true)
    await log.close()
    expect(await verifyChain(auditLines(file))).toMatchObject({ ok: true, entries: 4 })
  })
})

describe('the journal of a rotation', () => {
  const value = (text: string): Secret => new Secret(`cog_${text}-value-0123456789abcdef`, 'https://api.devin.example')
  const [old, fresh] = [value('old'), value('new')]

  async function expectTakenUp(directory: string): Promise<void> {
    const rotation = await readJournal(directory, 'payments-runner')
    if (rotation === null) throw new Error('there is no journal')
    const { created, phase } = rotation
    expect([phase, rotation.old.fingerprint]).toEqual(['trying', fingerprintOf(old, rotation)])
    expect(created.map(({ fingerprint }) => fingerprint)).toEqual([fingerprintOf(fresh, rotation)])
    expect(created.map((each) => openOld(each, fresh, rotation))).toEqual(['cog_old-value-0123456789abcdef'])
    expect(created.map((each) => openOld(each, old, rotation))).toEqual([null])
  }

  test('is taken up, and the old value comes back by the new one alone', async () => {
    await expectTakenUp(dirname(kept('payments-runner.rotation.json')))
  })

  test('with members that a later version adds is taken up as well', async () => {
    const directory = await folder()
    const text = await readFile(kept('payments-runner.rotation.json'), 'utf8')
    await writeFile(join(directory, 'payments-runner.rotation.json'), text.replace('{', '{ "later": [1],'))
    await expectTakenUp(directory)
  })
})

describe('the file of blocks', () => {
  const blocked = [
    ['subject ann@corp.example', { reason: 'INC-1: your token leaked', note: 'called in', by: 'ops', untilMs: null }],
    ['key payments-runner', { reason: 'INC-2', note: null, untilMs: 7_258_118_400_000 }],
    ['app bot', { reason: 'INC-3', sinceMs: 1_795_953_600_000 }],
  ]

  test('is read, and written again as it was', async () => {
    const found = await readBlockFile(kept('blocks.json'))
    if (found === null) throw new Error('there is no file')
    expect([...found.blocks]).toMatchObject(blocked)
    expect([...found.unsent]).toEqual(['app bot'])
    const file = join(await folder(), 'blocks.json')
    await writeBlockFile(file, found)
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(JSON.parse(await readFile(kept('blocks.json'), 'utf8')))
  })

  test('with members that a later version adds blocks the same callers', async () => {
    const file = join(await folder(), 'blocks.json')
    const text = await readFile(kept('blocks.json'), 'utf8')
    await writeFile(file, text.replace('"form": 1', '"form": 1, "x": {}').replaceAll('"kind"', '"later": [1], "kind"'))
    expect([...((await readBlockFile(file))?.blocks ?? [])]).toMatchObject(blocked)
  })
})

describeWithValkey('in the store', () => {
  let server: StoreServer
  let store: Store
  beforeAll(async () => {
    server = await startStoreServer()
    const content = JSON.parse(await readFile(kept('store.json'), 'utf8')) as Record<string, Record<string, string>>
    const redis = new Redis(server.port)
    for (const [key, { base64, ...fields }] of Object.entries(content))
      await (base64 === undefined ? redis.hset(key, fields) : redis.set(key, Buffer.from(base64, 'base64')))
    redis.disconnect()
    store = createStore({
      settings: storeSettings(server, { prefix: 'devin-gateway' }),
      now: Date.now,
      monotonic: () => performance.now(),
    })
    await until(() => !store.away, 'the store')
  })
  afterAll(async () => {
    await store.close()
    await server.close()
  })

  test('budgets are read and settled', async () => {
    const budgetStore = createValkeyBudgetStore(store)
    await expectBudgets(budgetStore)
    await expectSettles(budgetStore)
  })

  test('blocks are read, ended ones stay ended, and one that was made apart is told', async () => {
    const file = join(await folder(), 'blocks.json')
    const troubles: string[] = []
    const options = {
      file,
      store,
      now: Date.now,
      monotonic: () => performance.now(),
      onBlocked: () => {},
      onOver: () => {},
      onTrouble: (text: string) => troubles.push(text),
    }
    const service = createBlockService(options)
    await service.start()
    expect(service.list.all.map(({ kind, value }) => [kind, value])).toEqual([
      ['subject', 'ann@corp.example'],
      ['key', 'payments-runner'],
    ])
    expect(service.list.get('key', 'payments-runner')).toMatchObject({ untilMs: 7_258_118_400_000, note: null })
    await service.unblock('subject', 'ann@corp.example')
    expect(await service.find('subject', 'ann@corp.example')).toBe(null)
    await service.close()
    // Its copy holds a block that the store has not heard of.
    await copyFile(kept('blocks.json'), file)
    const apart = createBlockService(options)
    await apart.start()
    expect(apart.list.all.map(({ value }) => value).toSorted()).toEqual(['bot', 'payments-runner'])
    expect(await server.command('HGET', 'devin-gateway:{limits}:blocks', 'app bot')).toContain('"reason":"INC-3"')
    expect(troubles).toEqual([])
    await apart.close()
  })

  test('idempotency keys are found: the kept answer comes again, and what is unclear is not sent', async () => {
    const service = createIdempotencyService({
      store: createSharedEntries({ store, monotonic: () => performance.now(), maxBytes: 1_000_000 }),
      secret: Buffer.alloc(32, 7),
      keepMs: 86_400_000,
      maxRunMs: 60_000,
      onEvent: () => {},
      onAsked: () => {},
    })
    const request = (key: string): KeyedRequest => ({
      caller: { issuer: 'https://sso.test', subject: 'ann', team: 'a', app: '' },
      key,
      method: 'POST',
      target: '/v3/organizations/org-a/sessions',
      body: Buffer.from('{"prompt":"x"}'),
    })
    const { kind, ...repeated } = await service.begin(request('answered'))
    expect([kind, repeated]).toEqual([
      'repeated',
      {
        answer: {
          status: 200,
          fields: ['content-type', 'application/json'],
          body: Buffer.from('{"session_id":"devin-1"}'),
        },
      },
    ])
    await expect(service.begin(request('unclear'))).rejects.toMatchObject({ kind: 'idempotency-unclear' })
  })
})
