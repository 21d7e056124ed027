// The operators' listener: what it shows, byte for byte where programs read it, whom it lets in, and what it never holds.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { devinApi } from '../../src/catalogue/data.ts'
import { rawRequest, sendRaw, type RawAnswer } from '../support/raw-request.ts'
import { startTestGateway, until, usualKeys, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const isoTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

let running: RunningGateway
let adminPort: number
beforeAll(async () => {
  running = await startTestGateway()
  adminPort = running.gateway.admin.port
  await running.call(sessions)
  await running.call('/v3/organizations/org-other/sessions')
  await running.call('/planted-in-a-path-8442', { token: null })
  await running.recorded(3)
})
afterAll(() => running.close())

const ask = (method: string, target: string, fields: readonly string[] = [], body = ''): Promise<RawAnswer> =>
  sendRaw(
    adminPort,
    rawRequest(
      method,
      target,
      fields.some((field) => /^host:/i.test(field)) ? fields : [`Host: 127.0.0.1:${adminPort}`, ...fields],
      body,
    ),
  )

describe('what it shows', () => {
  test('/livez says ok', async () => {
    const { status, body, fields } = await ask('GET', '/livez')
    expect([status, body]).toEqual([200, 'ok\n'])
    expect(fields['content-type']).toMatch(/^text\/plain/)
  })

  test('/readyz says ready, with no reasons against it', async () => {
    const { status, body, fields } = await ask('GET', '/readyz')
    expect([status, JSON.parse(body)]).toEqual([200, { ready: true, reasons: [] }])
    expect(fields['content-type']).toMatch(/^application\/json/)
  })

  test('probes that send HEAD or name the instance are answered', async () => {
    expect((await ask('HEAD', '/livez')).status).toBe(200)
    expect((await ask('HEAD', '/readyz')).status).toBe(200)
    for (const path of ['/livez', '/readyz', '/metrics'])
      expect((await ask('GET', path, ['Host: gateway-7.pods.cluster.local:9090'])).status).toBe(200)
    expect((await sendRaw(adminPort, 'GET /livez HTTP/1.0\r\n\r\n')).status).toBe(200)
  })

  test('/metrics is Prometheus text, in which nothing that callers choose is a label', async () => {
    const { status, body, fields } = await ask('GET', '/metrics')
    expect(status).toBe(200)
    expect(fields['content-type']).toMatch(/^text\/plain; version=0\.0\.4/)
    for (const line of body.split('\n').filter((each) => each !== ''))
      expect(line).toMatch(
        /^(?:# (?:HELP|TYPE) [a-z_:][a-z0-9_:]* .+|[a-z_:][a-z0-9_:]*(?:\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})? (?:[0-9.e+-]+|[Nn]a[Nn]|\+Inf))$/,
      )
    expect(body).toContain('team="payments"')
    expect(body).toContain('operation="org.sessions.list"')
    expect(body).not.toMatch(/\bann\b|corp\.example|org-other|planted-in-a-path/)
  })

  test('/api/status has exactly these members', async () => {
    const { status, body } = await ask('GET', '/api/status')
    expect(status).toBe(200)
    expect(JSON.parse(body)).toEqual({
      version: 'test',
      ready: { ready: true, reasons: [] },
      draining: false,
      in_flight: 0,
      configuration: { file: expect.stringMatching(/gateway\.yaml$/), notes: [] },
      policies: {
        revision: expect.stringMatching(/^[0-9a-f]{12}$/),
        loaded_at: isoTime,
        teams: 2,
        keys: 3,
        last_refusal: null,
      },
      catalogue: { operations: devinApi.operations.length, served: expect.any(Number) },
      issuers: [{ issuer: running.issuer.issuer, keys: 1, fetched_at: isoTime, last_error: null }],
      records: ['access', 'decisions', 'audit'].map((stream) => ({ stream, healthy: true, lost: 0, error: null })),
      cache: { bytes: expect.any(Number), entries: expect.any(Number) },
      store: { kind: 'memory' },
      checkpoints: null,
      upstream: { origin: running.upstream.origin, in_flight: 0, waiting: 0 },
    })
  })

  test('/api/keys is the inventory by its powers', async () => {
    const { status, body } = await ask('GET', '/api/keys')
    expect(status).toBe(200)
    const keys = JSON.parse(body) as Record<string, unknown>[]
    expect(keys.map((key) => key['id'])).toEqual(['payments-runner', 'payments-impersonator', 'analytics'])
    expect(keys[0]).toEqual({
      id: 'payments-runner',
      scope: 'organization',
      organization: 'org-payments',
      serves_organizations: 'none',
      permissions: ['IndexOrgRepositories', 'ManageOrgSessions', 'Read', 'UseDevinSessions', 'ViewOrgSessions'],
      unused_permissions: ['IndexOrgRepositories', 'ManageOrgSessions', 'Read', 'UseDevinSessions'],
      state: 'ready',
      version: 1,
      loaded_at: isoTime,
      last_used_at: isoTime,
      expires_at: null,
      source: expect.stringMatching(/policies\/keys\.yaml:2$/),
      source_error: null,
      source_version: null,
      value_age_seconds: null,
      same_value_as: null,
      foreign_uses: null,
      identity: {
        service_user: null,
        name: null,
        organization: null,
        checked_at: null,
        fault: null,
        action: null,
        changed_from: null,
        last_error: 'Devin answered GET /v3/self with 404',
        ends_at: null,
        roles: null,
      },
    })
    expect(keys[2]).toMatchObject({ organization: null, last_used_at: null, scope: 'enterprise' })
  })

  test('POST /api/reload says what came of it, however it is sent', async () => {
    for (const fields of [
      [],
      ['Content-Length: 0'],
      ['Content-Type: application/json', 'Content-Length: 0'],
      // As `curl -X POST -d ''` sends it.
      ['Content-Type: application/x-www-form-urlencoded', 'Content-Length: 0'],
    ]) {
      const { status, body } = await ask('POST', '/api/reload', fields)
      expect([fields, status, body]).toEqual([fields, 200, '{"result":"unchanged","diagnostics":[]}'])
    }
  })

  test('no answer may be kept or guessed at', async () => {
    for (const path of ['/livez', '/readyz', '/metrics', '/api/status', '/api/keys', '/nothing'])
      expect((await ask('GET', path)).fields).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      })
  })
})

describe('whom it lets in', () => {
  test.each([
    ['a name', 'evil.example'],
    ['a name with the port', 'evil.example:9090'],
    ['a name that begins like an address', '127.0.0.1.evil.example'],
    ['a name that ends like one', 'evil.127.0.0.1'],
    ['a name that begins like localhost', 'localhost.evil.example'],
    ['an empty host', ''],
    ['an address of another form', '2130706433'],
  ])('the API is not reached by %s (DNS rebinding)', async (_name, host) => {
    for (const [method, path] of [
      ['GET', '/api/status'],
      ['GET', '/api/keys'],
      ['GET', '/api/status?x=/livez'],
      ['POST', '/api/reload'],
    ] as const) {
      const { status, body } = await ask(method, path, [`Host: ${host}`, 'Content-Length: 0'])
      expect([path, status]).toEqual([path, 403])
      expect(body).not.toMatch(/payments|revision/)
    }
  })

  test.each([
    '/%61pi/keys',
    '/api%2fkeys',
    '//api/keys',
    '/livez/../api/keys',
    '/api/./keys',
    'http://evil.example/api/keys',
    '/API/keys',
    '/api/keys/',
  ])('nor is it by a name and another spelling of its path: %s', async (target) => {
    const { status, body } = await ask('GET', target, ['Host: evil.example'])
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
    expect(body).not.toContain('payments-runner')
  })

  const deceiving: readonly (readonly [name: string, head: string])[] = [
    ['two Host fields', 'HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example'],
    ['two equal Host fields', 'HTTP/1.1\r\nHost: 127.0.0.1\r\nhost: 127.0.0.1'],
    ['two Host fields by HTTP/1.0', 'HTTP/1.0\r\nHost: 127.0.0.1\r\nHost: evil.example'],
    [
      'a second Host behind very many fields',
      `HTTP/1.1\r\nHost: 127.0.0.1\r\n${'a:\r\n'.repeat(2500)}Host: evil.example`,
    ],
    ['no Host', 'HTTP/1.1\r\nX: y'],
    ['a Host with user information', 'HTTP/1.1\r\nHost: 127.0.0.1@evil.example'],
    ['a Host with a path', 'HTTP/1.1\r\nHost: 127.0.0.1/evil.example'],
    ['a list of hosts', 'HTTP/1.1\r\nHost: 127.0.0.1, evil.example'],
    ['a Host with a space', 'HTTP/1.1\r\nHost: 127.0.0.1 evil.example'],
    ['a port that is none', 'HTTP/1.1\r\nHost: 127.0.0.1:evil'],
  ]
  test.each(deceiving)(
    '%s: 400 for every page, by whatever it is asked (RFC 9112 section 3.2)',
    async (_name, head) => {
      for (const target of ['/livez', '/metrics', '/api/keys', '/api/reload', '/console/', '/nothing'])
        for (const accept of ['*/*', 'text/html']) {
          const method = target === '/api/reload' ? 'POST' : 'GET'
          const answer = await sendRaw(
            adminPort,
            `${method} ${target} ${head}\r\nAccept: ${accept}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
          )
          expect([target, answer.status]).toEqual([target, 400])
          expect(answer.fields['content-type']).toMatch(/^application\/problem\+json/)
          expect(JSON.parse(answer.body)).toMatchObject({ type: '/gateway/v1/problems/malformed-request', status: 400 })
        }
    },
  )

  test('an absolute address counts by its own host, which Host has to name as well', async () => {
    const host = [`Host: 127.0.0.1:${adminPort}`]
    expect((await ask('GET', `http://127.0.0.1:${adminPort}/api/status`, host)).status).toBe(200)
    expect((await ask('GET', `http://127.0.0.1:${adminPort}/console/`, host)).status).toBe(200)
    for (const target of ['http://evil.example/api/status', 'HTTP://evil.example/livez', 'https://evil.example'])
      expect([target, (await ask('GET', target, host)).status]).toEqual([target, 400])
  })

  test.each(['localhost', 'localhost:9090', '127.0.0.1', '10.1.2.3:9090', '[::1]:9090', '[::1]', 'LocalHost:9090'])(
    'it is by %s',
    async (host) => {
      expect((await ask('GET', '/api/status', [`Host: ${host}`])).status).toBe(200)
    },
  )

  test('a page of another site cannot have it reload', async () => {
    for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1:1', `http://localhost:${adminPort}`])
      expect((await ask('POST', '/api/reload', [`Origin: ${origin}`, 'Content-Length: 0'])).status, origin).toBe(403)
    const same = await ask('POST', '/api/reload', [`Origin: http://127.0.0.1:${adminPort}`, 'Content-Length: 0'])
    expect(same.status).toBe(200)
  })
})

describe('everything else there', () => {
  test.each([
    ['GET', '/'],
    ['GET', '/nothing'],
    ['GET', '/api'],
    ['GET', '/api/nothing'],
    ['GET', '/api/reload'],
    ['POST', '/api/status'],
    ['DELETE', '/api/keys'],
    ['POST', '/livez'],
    ['GET', '/metrics/'],
    ['GET', '/v3/self'],
    ['GET', '/gateway/v1/me'],
    ['OPTIONS', '/api/status'],
  ])('%s %s is 404 and says what there is', async (method, target) => {
    const { status, body } = await ask(method, target, ['Content-Length: 0'])
    expect([status, JSON.parse(body)]).toEqual([
      404,
      {
        error: expect.stringMatching(
          /^There are \/livez, .*\/api\/decisions, .* here\. docs\/admin-api\.yaml describes them\.$/,
        ),
      },
    ])
  })

  test.each([
    ['a malformed escape', 'GET', '/api/%zz', [], ''],
    [
      'a body of a kind nobody asked for',
      'POST',
      '/api/reload',
      ['Content-Type: text/csv', 'Content-Length: 3'],
      'a,b',
    ],
    ['a body that is no JSON', 'POST', '/api/reload', ['Content-Type: application/json', 'Content-Length: 1'], '{'],
    [
      'a body of two megabytes',
      'POST',
      '/api/reload',
      ['Content-Type: application/json', 'Content-Length: 2000000'],
      ' '.repeat(2_000_000),
    ],
  ])('%s is the asker’s mistake and no failure of the gateway', async (_name, method, target, fields, body) => {
    const answer = await ask(method, target, fields, body).catch(() => null)
    if (answer === null) return
    // A reload takes no body; ignoring one is as good as refusing it.
    expect(answer.status === 200 || (answer.status >= 400 && answer.status < 500), String(answer.status)).toBe(true)
  })

  test('rubbish is answered with 400 and ends its connection', async () => {
    expect((await sendRaw(adminPort, 'rubbish\r\n\r\n')).status).toBe(400)
    expect((await ask('GET', '/livez')).status).toBe(200)
  })

  test.each(['/livez', '/readyz', '/metrics', '/api/status', '/api/keys', '/console'])(
    '%s is not on the callers’ listener',
    async (path) => {
      const without = await running.call(path, { token: null })
      expect(without.status).toBe(401)
      const answer = await running.call(path)
      expect([answer.status, await answer.json()]).toMatchObject([
        403,
        { type: '/gateway/v1/problems/unknown-operation' },
      ])
    },
  )
})

test('no page holds a key, a token or anything of a caller', async () => {
  const token = await running.token()
  await running.call(sessions, { token })
  await until(async () => (await running.access()).length > 3, 'the records')
  const pages = await Promise.all(
    ['/livez', '/readyz', '/metrics', '/api/status', '/api/keys', '/nothing'].map(
      async (path) => (await ask('GET', path)).text,
    ),
  )
  const all = pages.join('\n')
  for (const secret of [...Object.values(usualKeys), token, token.split('.')[1] ?? '', 'ann@corp.example', '_KEY'])
    expect(all.includes(secret), secret.slice(0, 8)).toBe(false)
  expect(all).not.toMatch(/cog_|eyJ/)
})
