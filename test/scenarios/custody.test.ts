// The keys: they reach the upstream and nobody else. Planted values are searched for in everything that comes back and
// in everything that is written, and what happens to a key that the upstream rejects.

import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, onTestFinished } from 'vitest'
import { expectNowhere } from '../support/planted.ts'
import { openSocket, rawRequest, sendRaw } from '../support/raw-request.ts'
import { startTestGateway, until, usualKeys, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'
import { fieldOf, type Respond } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const key = usualKeys['PAYMENTS_RUNNER_KEY'] ?? ''
const otherKey = usualKeys['ANALYTICS_KEY'] ?? ''
const masked = `cog_${'*'.repeat(key.length - 4)}`

describe('a key that the upstream repeats', () => {
  let running: RunningGateway
  beforeAll(async () => {
    running = await startTestGateway()
  })
  afterAll(() => running.close())
  beforeEach(() => {
    running.logLines.length = 0
  })

  async function alarms(): Promise<number> {
    return running.logLines.filter((line) => line.includes('key-in-answer')).length
  }

  test.each([
    ['a plain field', { etag: `"${key}"` }],
    ['Location', { location: `https://x.example/?token=${key}&a=b` }],
    ['a field of its own', { 'x-devin-debug': `auth=${key}` }],
    ['a link', { link: `<https://x.example/${key}>; rel=next` }],
    ['the media type', { 'content-type': `text/plain; key=${key}` }],
    ['several fields', { etag: key, vary: key, warning: `199 - "${key}"` }],
    ['another key than the one in use', { etag: otherKey }],
  ])('in %s is masked and raises the alarm', async (_name, fields) => {
    running.upstream.respond((_request, response) => response.writeHead(307, fields).end())
    const answer = await running.call(sessions)
    expect(answer.status).toBe(307)
    expectNowhere(JSON.stringify([...answer.headers]), [key, otherKey])
    expect(JSON.stringify([...answer.headers])).toContain('cog_***')
    expect(await alarms()).toBeGreaterThan(0)
  })

  test('in the name of a field does not get through', async () => {
    running.upstream.respond((_request, response) =>
      response.writeHead(200, { [`x-devin-${key}`]: '1', [`x-ratelimit-${key}`]: '1' }).end('{}'),
    )
    const answer = await running.call(sessions)
    expectNowhere(JSON.stringify([...answer.headers]), [key])
  })

  test('in a trailer or a reason phrase does not get through', async () => {
    running.upstream.respond((_request, response) => {
      response.writeHead(200, `OK ${key}`, { trailer: 'etag' })
      response.write('{}')
      response.addTrailers({ etag: key })
      response.end()
    })
    const answer = await sendRaw(
      running.port,
      rawRequest('GET', sessions, [`Authorization: Bearer ${await running.token()}`]),
    )
    expect(answer.status).toBe(200)
    expectNowhere(answer.text, [key])
  })

  test('in an answer to HEAD, a 204 or a 304 does not get through', async () => {
    for (const [method, status] of [
      ['HEAD', 200],
      ['DELETE', 204],
      ['GET', 304],
    ] as const) {
      running.upstream.respond((_request, response) => response.writeHead(status, { etag: `"${key}"` }).end())
      const answer = await running.call(method === 'DELETE' ? `${sessions}/d` : sessions, { method })
      expect(answer.status).toBe(status)
      expectNowhere(JSON.stringify([...answer.headers]), [key])
    }
  })

  test.each([200, 400, 403, 404, 422, 429, 500, 503])('in the body of a %i is masked', async (status) => {
    running.upstream.respond((_request, response) =>
      response
        .writeHead(status, { 'content-type': 'application/json', 'retry-after': '0' })
        .end(`{"detail":"key ${key} is bad"}`),
    )
    const answer = await running.call(sessions)
    expect([answer.status, await answer.text()]).toEqual([status, `{"detail":"key ${masked} is bad"}`])
    expect(await alarms()).toBe(1)
  })

  test('in the body of a 401 never reaches the caller', async () => {
    running.upstream.respond((_request, response) => response.writeHead(401, { etag: key }).end(`bad key ${key}`))
    const answer = await running.call(sessions)
    expect(answer.status).toBe(502)
    expectNowhere(JSON.stringify([...answer.headers]) + (await answer.text()), [key])
    running.upstream.respond((_request, response) => response.writeHead(200).end('{}'))
    await running.call(sessions)
  })

  /** What tools on the way write: an echo of the request, a page of HTML, a dump. */
  const spellings: readonly (readonly [name: string, spell: (value: string) => string])[] = [
    ['base64', (value) => Buffer.from(`Bearer ${value}`).toString('base64')],
    ['base64url of JSON', (value) => Buffer.from(JSON.stringify({ k: value, n: 1 })).toString('base64url')],
    [
      'base64 in lines',
      (value) =>
        (
          Buffer.from(`x${value}`)
            .toString('base64')
            .match(/.{1,19}/g) ?? []
        ).join('\\r\\n'),
    ],
    ['percent encoding', (value) => encodeURIComponent(value).replaceAll('_', '%5F')],
    ['JSON escapes', (value) => value.replaceAll(/[c_0]/g, (each) => `\\u00${each.charCodeAt(0).toString(16)}`)],
    ['entities', (value) => value.replaceAll(/[og_-]/g, (each) => `&#${each.charCodeAt(0)};`)],
    ['hexadecimal', (value) => Buffer.from(value).toString('hex')],
    ['a list of bytes', (value) => JSON.stringify([...Buffer.from(value)])],
    ['lines that go on', (value) => value.replaceAll(/.{9}/g, '$&\\\n')],
  ]

  test.each(spellings)(
    'spelled as %s is masked: in fields, in pieces, compressed, and when it is answered again',
    async (spelling, spell) => {
      const spelled = spell(key)
      // A half of it is none of the bytes that stand around a key in base64, and none of its prefix.
      const expectMasked = (text: string): void => {
        expect(text).not.toContain(spelled.slice(spelled.length / 2, -8))
        expectNowhere(text, [key])
      }
      const body = `{"echo":"${spelled}"}`
      running.upstream.respond((request, response) => {
        const isCompressed = request.url?.includes('compressed') ?? false
        response.writeHead(200, {
          'content-type': 'text/plain',
          'x-devin-debug': spelled.includes('\n') ? key : spelled,
          ...(isCompressed ? { 'content-encoding': 'gzip' } : {}),
        })
        const bytes = isCompressed ? gzipSync(body) : Buffer.from(body)
        response.write(bytes.subarray(0, 20))
        setImmediate(() => response.end(bytes.subarray(20)))
      })
      const name = encodeURIComponent(spelling)
      for (const query of [`?cursor=${name}`, `?cursor=${name}`, `?cursor=compressed-${name}`]) {
        const answer = await running.call(`${sessions}${query}`)
        expect(answer.status).toBe(200)
        expect(answer.headers.get('x-devin-debug')).toHaveLength((spelled.includes('\n') ? key : spelled).length)
        expectMasked(JSON.stringify([...answer.headers]))
        const text = await answer.text()
        expect(text).toHaveLength(body.length)
        expectMasked(text)
      }
      const create = { method: 'POST', body: '{"prompt":"x"}', headers: { 'idempotency-key': `"${name}"` } }
      for (const again of [false, true]) {
        const answer = await running.call(sessions, create)
        expect([answer.status, again]).toEqual([200, again])
        expectMasked(await answer.text())
      }
      expect(await alarms()).toBeGreaterThan(0)
    },
  )

  test('across every border between chunks is masked', async () => {
    const text = `a${key}b${otherKey}${key}`
    for (let cut = 1; cut < text.length; cut += 3) {
      running.upstream.respond((_request, response) => {
        response.writeHead(200, { 'content-type': 'text/plain' })
        response.write(text.slice(0, cut))
        setTimeout(() => response.end(text.slice(cut)), 3)
      })
      const answer = await running.call(sessions)
      expect(await answer.text()).toBe(`a${masked}bcog_${'*'.repeat(otherKey.length - 4)}${masked}`)
    }
  })

  test('byte by byte is masked', async () => {
    running.upstream.respond((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' })
      const bytes = `<${key}>`.split('')
      const next = (): void => {
        const byte = bytes.shift()
        if (byte === undefined) response.end()
        else response.write(byte, () => setImmediate(next))
      }
      next()
    })
    expect(await (await running.call(sessions)).text()).toBe(`<${masked}>`)
  })

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
    ['gzip, gzip', (bytes: Buffer) => gzipSync(gzipSync(bytes))],
  ])('compressed with %s is masked', async (coding, compress) => {
    running.upstream.respond((_request, response) =>
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-encoding': coding })
        .end(compress(Buffer.from(`{"key":"${key}"}`))),
    )
    const answer = await sendRaw(
      running.port,
      rawRequest('GET', sessions, [
        `Authorization: Bearer ${await running.token()}`,
        'Accept-Encoding: gzip, br, deflate',
      ]),
    )
    expect(answer.status).toBe(200)
    expect(answer.body).toContain(`{"key":"${masked}"}`)
    expect(answer.fields['content-encoding']).toBeUndefined()
    expect(await alarms()).toBe(1)
  })

  test.each(['zstd', 'compress', 'unknown', 'aws-chunked'])(
    'in a coding the gateway cannot look into is not passed on: %s',
    async (coding) => {
      running.upstream.respond((_request, response) =>
        response.writeHead(200, { 'content-encoding': coding }).end(gzipSync(`{"key":"${key}"}`)),
      )
      const answer = await running.call(sessions)
      const text = await answer.text()
      if (answer.status !== 200) expect(JSON.parse(text)).toMatchObject({ reason: 'upstream-answer-refused' })
      expectNowhere(text, [key])
      expect(coding === 'zstd' || answer.status === 502).toBe(true)
    },
  )

  test('in the middle of a streamed body of several megabytes is masked', async () => {
    const filler = Buffer.alloc(1_000_000, 'x')
    running.upstream.respond((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' })
      for (let part = 0; part < 8; part++) {
        response.write(filler)
        response.write(key)
      }
      response.end()
    })
    const text = await (await running.call(sessions)).text()
    expect(text.length).toBe(8 * (1_000_000 + key.length))
    expectNowhere(text, [key])
    expect(text.split(masked)).toHaveLength(9)
    expect(await alarms()).toBe(1)
  })

  test('compressed and large is masked', async () => {
    // Random letters, so that several megabytes stay several megabytes.
    const noise = () => Buffer.from(Array.from({ length: 600_000 }, () => 97 + Math.floor(Math.random() * 26)))
    const bytes = Buffer.concat([noise(), noise(), noise(), Buffer.from(key), noise(), noise()])
    running.upstream.respond((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(bytes)),
    )
    const text = await (await running.call(sessions, { headers: { 'accept-encoding': 'gzip' } })).text()
    expect(text.length).toBe(bytes.length)
    expect(text).toContain(masked)
    expectNowhere(text, [key])
  })

  test('of an earlier version is masked still', async () => {
    // Set by the tests of rotation below as well; here the value of the other organization's key.
    running.upstream.respond((_request, response) => response.writeHead(200).end(otherKey))
    expectNowhere(await (await running.call(sessions)).text(), [otherKey])
  })
})

describe('a key whose end has passed', () => {
  test('is not sent any more, no stronger key takes its place, and a later end puts it back to use', async () => {
    let laterMs = 0
    const keysWith = (expires: number): string =>
      (usualPolicies['keys.yaml'] ?? '')
        .replace('- id: payments-runner\n', `- id: payments-runner\n    expires: ${new Date(expires).toISOString()}\n`)
        .replace(
          'permissions: [ViewAccountMetrics,',
          'serves_organizations: all\n    permissions: [ViewOrgSessions, ManageOrgSessions, ViewAccountMetrics,',
        )
    const running = await startTestGateway({
      policies: { 'keys.yaml': keysWith(Date.now() + 60_000) },
      now: () => Date.now() + laterMs,
    })
    onTestFinished(() => running.close())
    expect((await running.call(sessions)).status).toBe(200)
    expect(running.logLines.join()).toMatch(/payments-runner\S* ends at .*, within a day/)
    laterMs = 61_000
    const refused = await running.call(sessions)
    expect(refused.status).toBe(503)
    expect(await refused.json()).toMatchObject({
      reason: 'key-expired',
      detail: expect.stringContaining('payments-runner'),
    })
    expect(running.upstream.seen).toHaveLength(1)
    expect(await running.everything()).toMatch(/gateway_key_state\{key="payments-runner",state="expired"\} 1/)
    await running.writePolicy('keys.yaml', keysWith(Date.now() + 3_600_000))
    expect((await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })).status).toBe(200)
    expect((await running.call(sessions)).status).toBe(200)
  })
})

describe('a key that the upstream rejects', () => {
  let running: RunningGateway
  let file: string
  const first = 'cog_first-0123456789abcdef0123456789'
  const second = 'cog_second-0123456789abcdef0123456789'
  let valid: Set<string>

  beforeEach(async () => {
    valid = new Set([first, usualKeys['PAYMENTS_IMPERSONATOR_KEY'] ?? '', otherKey])
    const directory = await mkdtemp(join(tmpdir(), 'gateway-test-secret-'))
    file = join(directory, 'payments')
    await writeFile(file, `${first}\n`)
    running = await startTestGateway({
      policies: {
        'keys.yaml': (usualPolicies['keys.yaml'] ?? '')
          .replace('secret: { env: PAYMENTS_RUNNER_KEY }', `secret: { file: ${file} }`)
          .replace(
            'permissions: [ViewAccountMetrics,',
            'serves_organizations: all\n    permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions, ImpersonateOrgSessions, ViewAccountMetrics,',
          ),
      },
    })
    running.upstream.respond((request, response) => {
      const bearer = request.headers.authorization?.replace('Bearer ', '') ?? ''
      if (valid.has(bearer)) response.writeHead(200).end('{}')
      else response.writeHead(401, { 'www-authenticate': 'Bearer' }).end(`{"detail":"${bearer} is unknown"}`)
    })
  })
  afterEach(() => running.close())

  test('is answered with 502 once when its file was rotated, and the next request uses the new value', async () => {
    expect((await running.call(sessions)).status).toBe(200)
    valid.delete(first)
    valid.add(second)
    await writeFile(file, second)
    const refused = await running.call(sessions)
    // The watcher may have been quicker than the rejection.
    expect([502, 200]).toContain(refused.status)
    const text = await refused.text()
    if (refused.status === 502) {
      expect(JSON.parse(text)).toMatchObject({ type: '/gateway/v1/problems/upstream-credential-rejected' })
      expect(refused.headers.get('retry-after')).toBe('1')
      expect(refused.headers.get('www-authenticate')).toBeNull()
    }
    expect((await running.call(sessions)).status).toBe(200)
    expect(fieldOf(running.upstream.seen.at(-1), 'authorization')).toBe(`Bearer ${second}`)
    expect((await running.access()).every((entry) => entry.key === 'payments-runner')).toBe(true)
    await until(async () => (await running.access()).at(-1)?.key_version === 2, 'the record of the new version')
    expect(await running.auditText()).toContain('key-version')
    expectNowhere((await running.everything()) + text, [first, second])
    // The old value is guarded still.
    running.upstream.respond((_request, response) => response.writeHead(200).end(`old ${first}`))
    expectNowhere(await (await running.call(sessions)).text(), [first])
  })

  test('is set aside after three rejections, and no stronger key takes its place', async () => {
    valid.delete(first)
    for (let index = 0; index < 3; index++) expect((await running.call(sessions)).status).toBe(502)
    running.upstream.seen.length = 0
    const answer = await running.call(sessions)
    expect(answer.status).toBe(503)
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await answer.json()).toMatchObject({ type: '/gateway/v1/problems/key-unavailable' })
    expect(running.upstream.seen).toEqual([])
    const states = (await (await fetch(`${running.adminUrl}/api/keys`)).json()) as { id: string; state: string }[]
    expect(states.find(({ id }) => id === 'payments-runner')?.state).toBe('set-aside')
    expect(await running.auditText()).toContain('key-set-aside')
    expectNowhere(await running.everything(), [first])
  })

  test('counts anew when it is accepted in between', async () => {
    for (let round = 0; round < 4; round++) {
      valid.delete(first)
      expect((await running.call(sessions)).status).toBe(502)
      expect((await running.call(sessions)).status).toBe(502)
      valid.add(first)
      expect((await running.call(sessions)).status).toBe(200)
    }
  })

  test('and is rotated while set aside works at once', async () => {
    valid.delete(first)
    for (let index = 0; index < 3; index++) await running.call(sessions)
    expect((await running.call(sessions)).status).toBe(503)
    valid.add(second)
    await writeFile(file, second)
    await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
    expect((await running.call(sessions)).status).toBe(200)
  })

  test('in many requests at once is read again once, and counts once for each', async () => {
    valid.delete(first)
    const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await running.call(sessions)).status))
    for (const status of statuses) expect([502, 503]).toContain(status)
    valid.add(second)
    await writeFile(file, second)
    await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
    expect((await running.call(sessions)).status).toBe(200)
  })
})

describe('after a long scenario', () => {
  test('no key and no token is written down anywhere', async () => {
    const running = await startTestGateway({
      upstream: '{ origin: "ORIGIN", timeouts: { connect: 200ms, headers: 200ms, body_idle: 200ms } }',
    })
    const tokens: string[] = []
    const foreign = 'cog_callers-own-key-0123456789abcdef'
    const token = async (claims = {}): Promise<string> => {
      const made = await running.token(claims)
      tokens.push(made)
      return made
    }
    let bodies = ''
    const call = async (path: string, init: Parameters<RunningGateway['call']>[1] = {}): Promise<void> => {
      const bearer = init.token === undefined ? await token() : init.token
      const answer = await running.call(path, { ...init, token: bearer }).catch(() => null)
      if (answer !== null) bodies += JSON.stringify([...answer.headers]) + (await answer.text().catch(() => ''))
    }

    await call(sessions)
    await call(sessions, { token: null })
    await call(sessions, { token: foreign })
    await call(sessions, { token: 'not-a-token' })
    await call(sessions, { token: (await token()).slice(0, -4) })
    await call(`${sessions}?access_token=${await token()}`)
    const same = await token()
    await call(`${sessions}?access_token=${same}`, { token: same })
    // People paste credentials into addresses, identifiers and fields.
    await call(`/v3/organizations/${foreign}/sessions`)
    await call(`/v3/organizations/${await token()}/sessions`)
    await call(`${sessions}?org_id=${foreign}`)
    await call(`/v4/${await token()}`)
    await call(`/v4/x/${foreign}`)
    await call(`/v3/organizations/a%2f${foreign}/sessions`)
    await call(`${sessions}/${await token()}`)
    await call(sessions, { headers: { 'x-request-id': foreign } })
    await call(sessions, { headers: { 'x-request-id': (await token()).slice(0, 120) } })
    await call(sessions, { headers: { 'user-agent': await token(), traceparent: await token() } })
    await call(sessions, { method: 'POST', body: `{"prompt":"${await token()} ${foreign}","prompt":1}` })
    await call(sessions, { method: 'POST', body: `{"create_as_user_id":"${await token()}"}` })
    await call(sessions, { method: 'POST', body: foreign })
    await call('/gateway/v1/me')
    await call(`/gateway/v1/explain?method=GET&path=${encodeURIComponent(sessions)}`)
    await call(`/gateway/v1/explain?method=GET&path=${encodeURIComponent(`/v3/organizations/${foreign}/sessions`)}`)
    await call(`/gateway/v1/${foreign}`)
    await call(sessions, { token: await token({ groups: ['nobody'] }) })
    await call(sessions, { token: await token({ exp: 1 }) })
    const failures: readonly Respond[] = [
      (_, response) => response.destroy(),
      (_, response) => response.writeHead(401).end(key),
      (_, response) => response.writeHead(500, { etag: key }).end(key),
      () => {},
      (_, response) => {
        response.writeHead(200, { 'content-length': '1000' }).write(key)
        setTimeout(() => response.destroy(), 10)
      },
      (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(key),
    ]
    for (const respond of failures) {
      running.upstream.respond(respond)
      await call(sessions)
    }
    running.upstream.respond((_request, response) => response.writeHead(200).end('{}'))
    await running.writePolicy('teams/broken.yaml', `team: ${foreign}\nmembers: ${tokens[0] ?? ''}\n`)
    bodies += await (await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })).text()
    await running.writePolicy('keys-2.yaml', `keys:\n  - id: x\n    secret: ${foreign}\n`)
    bodies += await (await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })).text()
    // Raw bytes that are no request.
    await sendRaw(
      running.port,
      `GET /${foreign} HTTP/1.1\r\nAuthorization: Bearer ${tokens[0] ?? ''}\r\nbad line\r\n\r\n`,
    )
    const socket = await openSocket(running.port)
    socket.on('error', () => {})
    socket.write(`GET /${tokens[1] ?? ''} HTTP/1.1\r\nAuthorization: Bearer ${tokens[0] ?? ''}\r\n`)
    socket.destroy()
    await (await running.call('/gateway/v1/me', { headers: { 'x-request-id': 'last' } })).text()
    await until(async () => (await running.access()).at(-1)?.request_id === 'last', 'the last record')

    const written = await running.everything()
    const ownKeys = Object.values(usualKeys)
    expectNowhere(bodies, ownKeys)
    expectNowhere(written, ownKeys)
    // The signature is what makes a token usable.
    const signatures = tokens.map((made) => made.split('.')[2] ?? made)
    expect(signatures.length).toBeGreaterThan(20)
    expectNowhere(written, [foreign])
    expectNowhere(written, signatures)
    expectNowhere(bodies, signatures)
    const audit = await readFile(join(running.directory, 'audit.ndjson'), 'utf8')
    expect(audit).toContain('policies-refused')
    await running.close()
  })
})
