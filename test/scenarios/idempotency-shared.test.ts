// Creates with an Idempotency-Key over two gateways, each a process of its own, and a real store: one create upstream,
// whatever crashes in between.

import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { startGatewayProcess, type StartedGateway } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { createSite, type Site } from '../support/site.ts'
import { paymentsGroups, until, usualKeys, usualPolicies } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'
import { describeWithValkey, startStoreServer, type StoreServer } from '../support/valkey.ts'

const sessions = '/v3/organizations/org-payments/sessions'

describeWithValkey('two gateways with one store', () => {
  let store: StoreServer
  let upstream: RecordingUpstream
  let issuer: Issuer
  let site: Site
  let token: string
  let gateways: StartedGateway[]
  let created: number

  const start = (): Promise<StartedGateway> => startGatewayProcess(site.configFile, { env: usualKeys })
  beforeAll(async () => {
    ;[store, upstream, issuer] = await Promise.all([startStoreServer(), startUpstream(), startIssuer()])
    site = await createSite({
      upstream: upstream.origin,
      upstreamSettings: 'timeouts: { connect: 500ms, headers: 1s, body_idle: 500ms }',
      issuer,
      policies: {
        'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}limits: { attempts: 100000/min }\n`,
      },
      config: `store: { nodes: "${store.address}", timeout: 1s }`,
    })
    token = await issuer.sign({ sub: 'ann', email: 'ann@corp.example', groups: paymentsGroups })
    gateways = await Promise.all([start(), start()])
  })
  afterAll(async () => {
    await Promise.all(gateways.map((gateway) => gateway.kill()))
    await Promise.all([store.close(), upstream.close(), issuer.stop(), site.remove()])
  })
  beforeEach(() => {
    created = 0
    upstream.seen.length = 0
    upstream.respond((_request, response) => {
      created += 1
      response.writeHead(201, { 'content-type': 'application/json' }).end(`{"session_id":"s-${created}"}`)
    })
  })

  function create(at: number, key: string | null, signal?: AbortSignal): Promise<Response> {
    return fetch(`http://127.0.0.1:${gateways[at]?.port}${sessions}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, ...(key === null ? {} : { 'idempotency-key': key }) },
      body: '{"prompt":"x"}',
      ...(signal === undefined ? {} : { signal }),
    })
  }

  async function kindOf(response: Response): Promise<string> {
    return ((await response.json()) as { type: string }).type.replace('/gateway/v1/problems/', '')
  }

  it('200 creates under one key reach Devin once, and all get the same answer or a 409', async () => {
    let finish = (): void => {}
    upstream.respond((_request, response) => {
      created += 1
      finish = () => void response.writeHead(201).end('{"session_id":"the-one"}')
    })
    const asked = Array.from({ length: 200 }, (_, index) => create(index % 2, 'contested'))
    await until(() => created === 1, 'the create to arrive')
    // A 409 shows that the others have arrived while the first is under way.
    await Promise.any(asked.map(async (each) => ((await each).status === 409 ? null : Promise.reject(new Error('no')))))
    finish()
    const answers = await Promise.all(
      asked.map(async (each) => ({ response: await each, text: await (await each).text() })),
    )
    for (const { response, text } of answers) {
      if (response.status === 201) expect(text).toBe('{"session_id":"the-one"}')
      else expect([response.status, text]).toEqual([409, expect.stringContaining('idempotency-in-progress')])
    }
    for (const at of [0, 1]) {
      const again = await create(at, 'contested')
      expect([again.status, await again.text()]).toEqual([201, '{"session_id":"the-one"}'])
      expect(again.headers.get('idempotency-replayed')).toBe('true')
    }
    expect(upstream.seen).toHaveLength(1)
  })

  it('a refusal at one frees the key at the other', async () => {
    upstream.respond((_request, response) => void response.writeHead(422).end('{"detail":"no"}'))
    expect((await create(0, 'refused')).status).toBe(422)
    upstream.respond((_request, response) => void response.writeHead(201).end('{}'))
    expect((await create(1, 'refused')).status).toBe(201)
  })

  it('the store holds nothing that can be read: no key, no caller, no answer', async () => {
    upstream.respond((_request, response) => void response.writeHead(201).end('{"id":"a-planted-answer"}'))
    await create(0, 'a-planted-key')
    const names = (await store.command('KEYS', 'devin-gateway:idempotency:*'))
      .split('\r\n')
      .filter((line) => line.startsWith('devin'))
    expect(names.length).toBeGreaterThan(0)
    for (const name of names) {
      const held = name + (await store.command('GET', name))
      for (const text of ['planted', 'ann', 'payments', 'answered']) expect(held).not.toContain(text)
    }
  })

  it('a gateway that dies while a create is under way leaves the key unclear at the other, and the create is not sent again', async () => {
    upstream.respond(() => {})
    const lost = create(0, 'crash').catch(() => null)
    await until(() => upstream.seen.length === 1, 'the create to arrive')
    gateways[0]?.signal('SIGKILL')
    await lost
    const meanwhile = await create(1, 'crash')
    expect([meanwhile.status, await kindOf(meanwhile)]).toEqual([409, 'idempotency-in-progress'])
    await until(async () => (await kindOf(await create(1, 'crash'))) === 'idempotency-unclear', 'its time to be over')
    gateways[0] = await start()
    expect(await kindOf(await create(0, 'crash'))).toBe('idempotency-unclear')
    expect(upstream.seen).toHaveLength(1)
  })

  it('a gateway that gets a stop signal stores the answer of a create whose caller has left', async () => {
    let finish = (): void => {}
    upstream.respond((_request, response) => {
      finish = () => void response.writeHead(201).end('{"session_id":"kept"}')
    })
    const leave = new AbortController()
    const left = create(0, 'drained', leave.signal).catch(() => null)
    await until(() => upstream.seen.length === 1, 'the create to arrive')
    leave.abort()
    await left
    gateways[0]?.signal('SIGTERM')
    await until(() => gateways[0]?.err.includes('"event":"draining"') === true, 'it to drain')
    finish()
    expect((await gateways[0]?.ended)?.code).toBe(0)
    const again = await create(1, 'drained')
    expect([again.status, await again.text()]).toEqual([201, '{"session_id":"kept"}'])
    expect(upstream.seen).toHaveLength(1)
    gateways[0] = await start()
  })

  it('while the store is away creates with a key are refused unsent, those without go on, and the key works later', async () => {
    await store.kill()
    const refused = await create(0, 'away')
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
    expect(await kindOf(refused)).toBe('idempotency-unavailable')
    expect(created).toBe(0)
    expect((await create(0, null)).status).toBe(201)
    await store.restart()
    await until(async () => (await create(0, 'away')).status === 201, 'the store to be back')
    await until(async () => (await create(1, 'away')).status === 201, 'the store to be back at the other')
    expect(created).toBe(2)
  })

  it('an outage of the store is one line in the log, and one with the count when it is over', async () => {
    const reports = (): { level: string; count?: number }[] =>
      (gateways[0]?.err ?? '')
        .split('\n')
        .filter((line) => line.includes('"event":"idempotency"'))
        .map((line) => JSON.parse(line) as { level: string; count?: number })
    const before = reports().length
    await store.kill()
    for (let round = 0; round < 12; round += 1) expect((await create(0, `outage-${round}`)).status).toBe(503)
    expect(reports().slice(before)).toHaveLength(1)
    await store.restart()
    await until(async () => (await create(0, 'outage')).status === 201, 'the store to be back')
    const [begun, over, ...more] = reports().slice(before)
    expect([begun?.level, over?.level, more]).toEqual(['error', 'info', []])
    expect(over?.count).toBeGreaterThanOrEqual(12)
  })

  it('a key that was refused while the store was frozen works when the store goes on', async () => {
    store.freeze()
    const refused = await create(0, 'frozen')
    expect([refused.status, await kindOf(refused)]).toEqual([503, 'idempotency-unavailable'])
    store.thaw()
    await until(async () => (await create(1, 'frozen')).status === 201, 'the key to be free')
    expect(created).toBe(1)
  })
})
