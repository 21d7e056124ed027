// Callers and keys that operators block while the gateway runs: who is refused, what is cut, what is recorded, what outlives a restart.

import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { request as send } from 'node:http'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/records/log.ts'
import { startGateway } from '../../src/runtime.ts'
import { startTestGateway, until, usualKeys, type RunningGateway, type StartOptions } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const clockedAt = Date.parse('2026-11-29T12:00:00Z')

interface Changed {
  readonly error?: string
  readonly until: string | null
  readonly kept: boolean
  readonly everywhere: boolean
  readonly notes: readonly string[]
}

interface ProblemBody {
  readonly type: string
  readonly detail: string
  readonly reason: string
  readonly blocked?: { readonly kind: string; readonly reason: string; readonly until: string | null }
}

async function change(
  gateway: RunningGateway,
  method: 'POST' | 'DELETE',
  fields: Readonly<Record<string, unknown>>,
): Promise<{ status: number; body: Changed }> {
  const response = await fetch(`${gateway.adminUrl}/api/blocks`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(fields),
  })
  return { status: response.status, body: (await response.json()) as Changed }
}

const block = (gateway: RunningGateway, kind: string, value: string, more: Readonly<Record<string, unknown>> = {}) =>
  change(gateway, 'POST', { kind, value, reason: 'INC-4711: the token leaked', ...more })
const unblock = (gateway: RunningGateway, kind: string, value: string) => change(gateway, 'DELETE', { kind, value })

async function blocksOf(gateway: RunningGateway): Promise<readonly Readonly<Record<string, unknown>>[]> {
  return (await (await fetch(`${gateway.adminUrl}/api/blocks`)).json()) as readonly Readonly<Record<string, unknown>>[]
}

const problemOf = async (answer: Response): Promise<ProblemBody> => (await answer.json()) as ProblemBody

describe('a blocked caller', () => {
  let gateway: RunningGateway
  beforeAll(async () => {
    gateway = await startTestGateway({
      policies: {
        'teams/research.yaml': `team: research
members: [{ groups: [sso-research] }]
organizations: [org-payments]
grants: [{ id: read-sessions, allow: [org.sessions.list] }]
cache: { at_most: 0s }
`,
      },
    })
  })
  afterAll(() => gateway.close())
  afterEach(async () => {
    for (const { kind, value } of await blocksOf(gateway)) await unblock(gateway, String(kind), String(value))
  })

  const bot = { sub: 'bot', azp: 'payments-bot', jti: 'token-7' }
  const delegated = { sub: 'ann', act: { sub: 'agent-1', act: { sub: 'agent-0' } } }

  test.each<[string, string, Record<string, unknown>, string]>([
    ['subject', 'bot', bot, 'the subject bot'],
    ['app', 'payments-bot', bot, 'the app payments-bot'],
    ['jti', 'token-7', bot, 'this token'],
    ['issuer', '', bot, 'the issuer http://127.0.0.1'],
    ['team', 'payments', bot, 'team payments'],
    ['subject', 'agent-1', delegated, 'the subject agent-1'],
    ['subject', 'agent-0', delegated, 'the subject agent-0'],
  ])('%s %s is refused with 403, and let in again when the block ends', async (kind, name, claims, who) => {
    const value = name === '' ? gateway.issuer.issuer : name
    expect((await gateway.call(sessions, { claims })).status).toBe(200)
    const asked = gateway.upstream.seen.length
    expect((await block(gateway, kind, value, { note: 'called in by SOC' })).body).toMatchObject({
      kept: true,
      everywhere: true,
      notes: [],
    })
    const answer = await gateway.call(sessions, { claims })
    expect(answer.status).toBe(403)
    const problem = await problemOf(answer)
    expect(problem.type).toBe('/gateway/v1/problems/blocked')
    expect(problem.detail).toContain(who)
    expect(problem.detail).toContain('INC-4711: the token leaked')
    expect(JSON.stringify(problem)).not.toContain('SOC')
    const { decision, access } = await gateway.recordsOf(answer.headers.get('gateway-decision'))
    expect(decision).toMatchObject({ effect: 'deny', reason: 'blocked', subject: claims['sub'] })
    expect(decision.ended).toEqual({
      how: 'refused',
      stage: kind === 'team' ? 'authorize' : 'check-blocks',
      sent: false,
    })
    expect(access).toMatchObject({ status: 403, problem: 'blocked' })
    for (const page of ['/gateway/v1/me', '/gateway/v1/explain?method=GET&path=/v3/self']) {
      const shown = await (await gateway.call(page, { claims })).text()
      expect(shown).toContain('INC-4711')
    }
    expect(gateway.upstream.seen.length).toBe(asked)
    // Others are not concerned.
    const others = { sub: 'carl', groups: ['sso-research'] }
    expect((await gateway.call(sessions, { claims: others })).status).toBe(kind === 'issuer' ? 403 : 200)
    expect((await unblock(gateway, kind, value)).status).toBe(200)
    expect((await gateway.call(sessions, { claims })).status).toBe(200)
    const audit = await gateway.auditText()
    expect(audit).toContain('"event":"blocked"')
    expect(audit).toContain('called in by SOC')
    expect(audit).toContain('"event":"unblocked"')
  })

  test('of two teams keeps what the other one grants', async () => {
    const both = { sub: 'dora', groups: ['sso-payments-eng', 'sso-research'] }
    const create = (): Promise<Response> =>
      gateway.call(sessions, {
        claims: both,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"prompt":"x"}',
      })
    expect((await create()).status).toBe(200)
    await block(gateway, 'team', 'payments')
    const read = await gateway.call(sessions, { claims: both })
    expect(read.status).toBe(200)
    const { decision } = await gateway.recordsOf(read.headers.get('gateway-decision'))
    expect(decision).toMatchObject({ team: 'research', teams: ['research'] })
    const refused = await create()
    expect(refused.status).toBe(403)
    expect((await problemOf(refused)).type).toContain('blocked')
    // What no team of the caller grants is refused as it was.
    const other = await gateway.call('/v3/organizations/org-payments/secrets', { claims: both })
    expect((await problemOf(other)).reason).toBe('not-granted')
    const me = (await (await gateway.call('/gateway/v1/me', { claims: both })).json()) as {
      teams: { team: string }[]
      blocked_teams: { team: string; reason: string }[]
    }
    expect(me.teams.map(({ team }) => team)).toEqual(['research'])
    expect(me.blocked_teams).toEqual([{ team: 'payments', reason: 'INC-4711: the token leaked', until: null }])
    const explained = await gateway.call('/gateway/v1/explain?method=POST&path=' + encodeURIComponent(sessions), {
      claims: both,
    })
    expect(await explained.text()).toContain('team payments is blocked')
  })

  test('is told of with what it matches, and the block is in force where it matches nothing', async () => {
    const unknown = await block(gateway, 'team', 'paymnts')
    expect(unknown.status).toBe(200)
    expect(unknown.body.notes).toEqual(['there is no team "paymnts" here; did you mean "payments"?'])
    expect((await block(gateway, 'jti', 'never-seen')).body.notes[0]).toContain('knows no token of the jti')
    expect(await blocksOf(gateway)).toMatchObject([
      { kind: 'team', value: 'paymnts', by: "operators' listener", until: null },
      { kind: 'jti', value: 'never-seen' },
    ])
    const again = await block(gateway, 'jti', 'never-seen', { reason: 'other', for: '1h' })
    expect(again.body.notes[1]).toContain('it replaces a block of')
    expect((await blocksOf(gateway)).map(({ reason }) => reason)).toEqual(['INC-4711: the token leaked', 'other'])
  })

  test.each<[Record<string, unknown>, string]>([
    [{ kind: 'sbject', value: 'x', reason: 'r' }, 'did you mean "subject"?'],
    [{ kind: 'App', value: 'x', reason: 'r' }, 'did you mean "app"?'],
    [{ value: 'x', reason: 'r' }, 'say what kind'],
    [{ kind: 'app', reason: 'r' }, 'value: say which app'],
    [{ kind: 'app', value: 7, reason: 'r' }, 'value: say which app'],
    [{ kind: 'app', value: 'x' }, 'reason: say why'],
    [{ kind: 'app', value: 'x', reason: '  ' }, 'reason: say why'],
    [{ kind: 'app', value: 'x', reason: 'a\nb' }, 'reason: it is one line'],
    [{ kind: 'app', value: 'x', reason: 'r', for: '10' }, 'for: "10"'],
    [{ kind: 'app', value: 'x', reason: 'r', for: 10 }, 'for: "10"'],
    [{ kind: 'app', value: 'x', reason: 'r', for: '1ms' }, 'from 1s to 366d'],
    [{ kind: 'app', value: 'x', reason: 'r', resaon: 'x' }, 'did you mean "reason"?'],
  ])('%j is refused with a sentence', async (fields, text) => {
    const { status, body } = await change(gateway, 'POST', fields)
    expect(status).toBe(400)
    expect(body.error).toContain(text)
    expect(await blocksOf(gateway)).toEqual([])
  })

  test('that is not blocked cannot be let in', async () => {
    await block(gateway, 'app', 'payments-bot')
    const { status, body } = await unblock(gateway, 'app', 'payment-bot')
    expect(status).toBe(404)
    expect(body.error).toContain('is not blocked; did you mean "payments-bot"?')
    expect((await change(gateway, 'DELETE', { kind: 'apq', value: 'x' })).status).toBe(400)
  })

  test('takes parameters of the query as well', async () => {
    const query = new URLSearchParams({ kind: 'app', value: 'payments-bot', reason: 'r', for: '5m' }).toString()
    expect((await fetch(`${gateway.adminUrl}/api/blocks?${query}`, { method: 'POST' })).status).toBe(200)
    expect(
      (await fetch(`${gateway.adminUrl}/api/blocks?kind=app&value=payments-bot`, { method: 'DELETE' })).status,
    ).toBe(200)
  })

  test('is blocked by what was said once, in JSON that cannot be read differently', async () => {
    const asked = async (body: string, query = '', route = 'blocks'): Promise<string> => {
      const response = await fetch(`${gateway.adminUrl}/api/${route}${query}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
      expect(response.status, body).toBe(400)
      return ((await response.json()) as { error: string }).error
    }
    const rest = '"value":"payments-bot","reason":"r"'
    expect(await asked(`{"kind":"subject","kind":"app",${rest}}`)).toContain('the body cannot be read: ')
    expect(await asked(`{"kind":"app",${rest}`)).toContain('the body cannot be read: ')
    expect(await asked('["app"]')).toContain('the body is no object in JSON')
    expect(await asked(`{"kind":"app",${rest}}`, '?value=somebody-else')).toContain('value: say it once')
    expect((await blocksOf(gateway)).map(({ kind }) => kind)).not.toContain('app')
    // Rotations are asked for in the same way.
    expect(await asked('{"key":"a","key":"payments-runner"}', '', 'rotations')).toContain('the body cannot be read: ')
    expect(await asked('{"key":"payments-runner"}', '?key=other', 'rotations')).toContain('key: say it once')
    // An empty name would drop nothing and say that all is well.
    for (const query of ['?organization=', '?resource=', ''])
      expect((await fetch(`${gateway.adminUrl}/api/purge${query}`, { method: 'POST' })).status, query).toBe(400)
  })

  test('with a blocked key gets 503, and no stronger key takes its place', async () => {
    await block(gateway, 'key', 'payments-runner')
    const asked = gateway.upstream.seen.length
    const answer = await gateway.call(sessions)
    expect(answer.status).toBe(503)
    const problem = await problemOf(answer)
    expect(problem).toMatchObject({ type: '/gateway/v1/problems/key-unavailable', reason: 'key-blocked' })
    expect(problem.detail).toContain('No stronger key takes its place')
    expect(gateway.upstream.seen.length).toBe(asked)
    const keys = (await (await fetch(`${gateway.adminUrl}/api/keys`)).json()) as { id: string; state: string }[]
    expect(keys.find(({ id }) => id === 'payments-runner')?.state).toBe('blocked')
    expect((await unblock(gateway, 'key', 'payments-runner')).status).toBe(200)
    expect((await gateway.call(sessions)).status).toBe(200)
  })
})

describe('what is under way for a blocked caller', () => {
  let gateway: RunningGateway
  beforeAll(async () => {
    gateway = await startTestGateway({ upstream: '{ origin: "ORIGIN", connections: 4 }' })
  })
  afterAll(() => gateway.close())
  afterEach(async () => {
    for (const { kind, value } of await blocksOf(gateway)) await unblock(gateway, String(kind), String(value))
    gateway.upstream.takeOver(null)
    await gateway.settled()
  })
  const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"prompt":"x"}' }
  /** The upstream has the request, and does not answer. */
  async function hang(call: () => Promise<Response>): Promise<{ answer: Promise<Response> }> {
    const before = gateway.upstream.seen.length
    gateway.upstream.respond(() => {})
    const answer = call()
    answer.catch(() => {})
    await until(() => gateway.upstream.seen.length > before, 'the request to be at the upstream')
    return { answer }
  }

  test.each([
    ['subject', 'ann'],
    ['team', 'payments'],
  ])('%s: reads that wait for Devin, and those in the queue, are refused', async (kind, value) => {
    gateway.upstream.respond(() => {})
    const before = gateway.upstream.seen.length
    const calls = Array.from({ length: 8 }, (_, index) => gateway.call(`${sessions}?first=${index + 1}`))
    const metrics = async (): Promise<string> => (await fetch(`${gateway.adminUrl}/metrics`)).text()
    await until(async () => {
      const waiting = Number(/^gateway_waiting (\d+)$/m.exec(await metrics())?.[1])
      return waiting > 0 && gateway.upstream.seen.length - before + waiting === 8
    }, 'each to be at Devin or in the queue')
    const asked = gateway.upstream.seen.length
    await block(gateway, kind, value)
    for (const answer of await Promise.all(calls)) {
      expect(answer.status).toBe(403)
      const { decision } = await gateway.recordsOf(answer.headers.get('gateway-decision'))
      expect(decision).toMatchObject({ effect: 'deny', reason: 'blocked' })
    }
    expect(gateway.upstream.seen.length).toBe(asked)
  })

  test('a write that was sent is refused, and recorded as sent', async () => {
    const { answer } = await hang(() => gateway.call(sessions, post))
    await block(gateway, 'app', 'other')
    await block(gateway, 'subject', 'ann')
    const refused = await answer
    expect(refused.status).toBe(403)
    expect(refused.headers.get('x-should-retry')).toBe('false')
    expect(await refused.json()).toMatchObject({
      detail: expect.stringMatching(/A write may have happened: read back before you repeat it\.$/),
    })
    const { access, decision } = await gateway.recordsOf(refused.headers.get('gateway-decision'))
    expect(decision).toMatchObject({
      effect: 'deny',
      reason: 'blocked',
      operation: 'org.sessions.create',
      ended: { how: 'refused', stage: 'forward', sent: true },
    })
    expect(access).toMatchObject({ problem: 'blocked', key: 'payments-runner' })
  })

  test('an answer that streams is broken off', async () => {
    let closed = false
    gateway.upstream.respond((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"items":[')
      response.once('close', () => (closed = true))
    })
    const answer = await gateway.call(sessions)
    expect(answer.status).toBe(200)
    await block(gateway, 'subject', 'ann')
    await expect(answer.text()).rejects.toThrow()
    await until(() => closed, 'the call to be given up')
    const { decision, access } = await gateway.recordsOf(answer.headers.get('gateway-decision'))
    expect(decision).toMatchObject({ effect: 'deny', reason: 'blocked', ended: { how: 'failed', sent: true } })
    expect(access.problem).toBe('blocked')
  })

  test('an upload is cut, towards Devin as well', async () => {
    let cut = false
    gateway.upstream.takeOver((request) => {
      request.resume()
      request.once('close', () => (cut = true))
      request.on('error', () => {})
    })
    const before = gateway.upstream.seen.length
    const asking = send({
      host: '127.0.0.1',
      port: gateway.port,
      method: 'POST',
      path: '/v3/organizations/org-payments/attachments',
      agent: false,
      headers: {
        authorization: `Bearer ${await gateway.token()}`,
        'content-type': 'multipart/form-data; boundary=b',
        'content-length': 4_000_000,
      },
    })
    asking.on('error', () => {})
    const answered = once(asking, 'response') as Promise<[{ statusCode: number; resume(): void }]>
    asking.write(Buffer.alloc(500_000, 0x61))
    await until(() => gateway.upstream.seen.length > before, 'the upload to have begun')
    await block(gateway, 'subject', 'ann')
    const [answer] = await answered
    answer.resume()
    expect(answer.statusCode).toBe(403)
    await until(() => cut, 'the upload to be cut')
    asking.destroy()
  })

  test('with a blocked key, calls that use it are cut, and no others', async () => {
    const { answer } = await hang(() => gateway.call(sessions))
    const analytics = await hang(() =>
      gateway.call('/v3/enterprise/sessions', { claims: { sub: 'eve', groups: ['sso-analytics'] } }),
    )
    await block(gateway, 'key', 'payments-runner')
    const refused = await answer
    expect(refused.status).toBe(503)
    expect((await problemOf(refused)).reason).toBe('key-blocked')
    await block(gateway, 'key', 'analytics')
    expect((await analytics.answer).status).toBe(503)
  })
})

describe('blocks', () => {
  let running: RunningGateway | null = null
  afterEach(async () => {
    await running?.close()
    running = null
  })
  const start = async (options: StartOptions = {}): Promise<RunningGateway> =>
    (running = await startTestGateway(options))

  test('end by themselves, for teams as well', async () => {
    let nowMs = clockedAt
    const gateway = await start({ now: () => nowMs })
    const claims = { iat: clockedAt / 1000, exp: clockedAt / 1000 + 7_200 }
    const call = (): Promise<Response> => gateway.call(sessions, { claims })
    for (const [kind, value] of [
      ['subject', 'ann'],
      ['team', 'payments'],
    ] as const) {
      const { body } = await block(gateway, kind, value, { for: '10m' })
      expect(body.until).toBe(new Date(nowMs + 600_000).toISOString())
      nowMs += 599_000
      const refused = await call()
      expect(refused.status).toBe(403)
      expect((await problemOf(refused)).detail).toContain(`until ${body.until}`)
      nowMs += 1_000
      await until(async () => (await call()).status === 200, 'the block to end')
      await until(async () => (await blocksOf(gateway)).length === 0, 'the list to be empty')
    }
  })

  test('outlive a restart in a file beside the journal of budgets; a broken one refuses the start', async () => {
    const gateway = await start()
    await block(gateway, 'subject', 'ann', { note: 'n' })
    await block(gateway, 'key', 'analytics', { for: '1h' })
    const file = join(gateway.directory, 'blocks.json')
    const configFile = join(gateway.directory, 'gateway.yaml')
    const again = async (): Promise<Awaited<ReturnType<typeof startGateway>>> => {
      const { config } = await loadConfig(configFile, usualKeys)
      const log = createLog({ level: 'silent' })
      return await startGateway({ config, env: usualKeys, log, version: 'test' })
    }
    await gateway.gateway.drain()
    const second = await again()
    const answer = await fetch(`http://127.0.0.1:${second.gateway.port}${sessions}`, {
      headers: { authorization: `Bearer ${await gateway.token()}` },
    })
    expect(answer.status).toBe(403)
    const listed = (await (await fetch(`http://127.0.0.1:${second.admin.port}/api/blocks`)).json()) as unknown[]
    expect(listed).toMatchObject([
      { kind: 'subject', value: 'ann', note: 'n', until: null },
      { kind: 'key', value: 'analytics' },
    ])
    await second.drain()
    const text = await readFile(file, 'utf8')
    for (const [broken, why] of [
      [text.slice(0, -20), 'is not a file of blocks'],
      [text.replace('"subject"', '"sbject"'), 'entry 1 is no block'],
      [text.replace('"form": 1', '"form": 2'), 'that this version can read'],
      ['', 'is not a file of blocks'],
    ] as const) {
      await writeFile(file, broken)
      await expect(again()).rejects.toThrow(`blocks.json: the blocked callers cannot be read: `)
      await expect(again()).rejects.toThrow(why)
    }
  })
})
