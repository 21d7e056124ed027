// The simulator as a server: keys and permissions, routing, pages, errors, codings, and what it remembers of requests.

import { once } from 'node:events'
import { request } from 'node:https'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkType } from '../../src/sandbox/simulator/http/bodies.ts'
import { readFilePart } from '../../src/sandbox/simulator/http/multipart.ts'
import { unquote } from '../../src/sandbox/simulator/http/routing.ts'
import type { SeenRequest } from '../../src/sandbox/simulator/server.ts'
import { makeSelfSigned } from '../identity/self-signed.ts'
import { ask, keyOf, startBench, testWorld, type Bench } from './simulator-support.ts'

const SESSIONS = '/v3/organizations/org-payments/sessions'

let bench: Bench
const observed: SeenRequest[] = []
beforeAll(async () => {
  bench = await startBench({ observe: (seen) => observed.push(seen) })
})
afterAll(() => bench.close())

/** The whole answer to bytes on a socket. */
async function raw(request: string): Promise<string> {
  const socket = connect(Number(new URL(bench.origin).port), '127.0.0.1')
  socket.end(request)
  let answer = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    answer += chunk
  })
  await once(socket, 'close')
  return answer
}

function get(target: string, serviceUser = 'payments-runner'): Promise<string> {
  return raw(
    `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${keyOf(serviceUser)}\r\n\r\n`,
  )
}

describe('keys', () => {
  it('answers 403 to a request without a credential and 401 to an unknown one', async () => {
    expect((await bench.ask(null, 'GET /v3/self')).status).toBe(403)
    const unknown = await ask(bench.origin, 'cog_unknown', 'GET /v3/self')
    expect(unknown.status).toBe(401)
    expect(unknown.headers.get('content-type')).toBe('application/problem+json')
    expect(unknown.body).toMatchObject({ title: 'Unauthorized', status: 401, instance: '/v3/self' })
  })

  it('tells each key who it is', async () => {
    const self = async (user: string): Promise<unknown> => (await bench.ask(user, 'GET /v3/self')).body
    const described = {
      principal_type: 'service_user',
      service_user_id: 'payments-runner',
      service_user_name: 'Payments runner',
    }
    expect(await self('payments-runner')).toEqual({ ...described, org_id: 'org-payments' })
    expect(await self('analytics')).toMatchObject({ service_user_id: 'analytics', org_id: null })
  })

  it('works with an issued key until it is revoked, and the other keys of the service user stay', async () => {
    const key = bench.issueKey('payments-runner')
    expect(key).toMatch(/^cog_/)
    expect((await ask(bench.origin, key, 'GET /v3/self')).status).toBe(200)
    bench.revokeKey(key)
    expect((await ask(bench.origin, key, 'GET /v3/self')).status).toBe(401)
    expect((await bench.ask('payments-runner', 'GET /v3/self')).status).toBe(200)
    expect(() => bench.issueKey('nobody')).toThrow('unknown service user nobody')
  })
})

describe('permissions', () => {
  it.each([
    ['an organization key reads its own organization', 'payments-reader', `GET ${SESSIONS}`, 200],
    ['and no other', 'payments-reader', 'GET /v3/organizations/org-platform/sessions', 403],
    ['and none that does not exist', 'payments-reader', 'GET /v3/organizations/org-none/sessions', 403],
    [
      'even where any key of its own would do',
      'payments-reader',
      'GET /v3beta1/organizations/org-platform/searches',
      403,
    ],
    ['and not the enterprise', 'payments-reader', 'GET /v3/enterprise/sessions', 403],
    ['a key without the permission is refused', 'payments-knowledge', `GET ${SESSIONS}`, 403],
    ['the documented pair gives every organization', 'analytics', 'GET /v3/organizations/org-research/sessions', 200],
    ['an inferred pair does too', 'analytics', 'GET /v3/organizations/org-research/consumption/daily', 200],
    ['reading sessions of an organization gives no right to start one', 'analytics', `POST ${SESSIONS}`, 403],
    [
      'an enterprise key sees that an organization is unknown',
      'analytics',
      'GET /v3/organizations/org-none/sessions',
      404,
    ],
    [
      'enterprise routes below an organization check the enterprise',
      'auditor',
      'GET /v3/enterprise/organizations/org-payments/tags',
      200,
    ],
    ['and refuse the organization key', 'payments-runner', 'GET /v3/enterprise/organizations/org-payments/tags', 403],
    [
      'an alternative name of a disputed operation suffices',
      'payments-knowledge',
      'GET /v3/organizations/org-payments/playbooks',
      200,
    ],
  ])('%s', async (_, user, target, status) => {
    expect((await bench.ask(user, target)).status).toBe(status)
  })

  it('asks for a further permission when the body acts for somebody', async () => {
    const body = { prompt: 'x', create_as_user_id: 'email|65f0a1' }
    const refused = await bench.ask('payments-runner', `POST ${SESSIONS}`, { body })
    expect([refused.status, refused.body.detail]).toEqual([403, 'Missing permission: ImpersonateOrgSessions'])
    const allowed = await bench.ask('payments-impersonator', `POST ${SESSIONS}`, { body })
    expect(allowed.body).toMatchObject({ user_id: 'email|65f0a1', service_user_id: 'payments-impersonator' })
    const stranger = { prompt: 'x', create_as_user_id: 'email|65f0a7' }
    expect((await bench.ask('payments-impersonator', `POST ${SESSIONS}`, { body: stranger })).status).toBe(403)
    const absent = { prompt: 'x', create_as_user_id: null }
    expect((await bench.ask('payments-runner', `POST ${SESSIONS}`, { body: absent })).status).toBe(200)
  })

  it('asks for a further permission when the body lacks what would narrow it', async () => {
    const world = testWorld()
    const permissions = ['ManageRepoBlueprints']
    const narrow = {
      id: 'narrow',
      name: 'Narrow',
      scope: 'organization',
      organization: 'org-payments',
      permissions,
      keys: [keyOf('narrow')],
    } as const
    const own = await startBench({ world: { ...world, serviceUsers: [narrow] } })
    const target = 'POST /v3beta1/organizations/org-payments/snapshot-setup/blueprints'
    expect((await own.ask('narrow', target, { body: { repo_name: 'corp/ledger' } })).body.type).toBe('repo')
    const wide = await own.ask('narrow', target, { body: {} })
    expect([wide.status, wide.body.detail]).toEqual([403, 'Missing permission: ManageOrgSnapshots'])
    await own.close()
  })
})

describe('routing', () => {
  it('decodes the path before it matches, like a Python server', async () => {
    const answer = await get('/v3/organizations/org%2Dpayments%2Fsessions')
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(await get('/v3/%73elf')).toContain('payments-runner')
  })

  it('leaves malformed escapes as they are', async () => {
    expect(await get('/v3/self%zz')).toContain('{"detail":"Not Found"}')
  })

  it('does not tidy paths up', async () => {
    for (const path of ['/v3//self', '/v3/self/', '/v3/x/../self', '/v3/x/%2e%2e/self', '/V3/self', '/v3/self;a=b']) {
      expect(await get(path), path).toMatch(/^HTTP\/1\.1 404 /)
    }
  })

  it('prefers a literal to a parameter', async () => {
    const list = await bench.ask('payments-reader', `GET ${SESSIONS}/insights`)
    expect(list.body.items[0]).toHaveProperty('session_size')
  })

  it('lets slashes into the parameters that may hold them, escaped or not', async () => {
    const path = '/v3beta1/organizations/org-platform/repositories'
    for (const name of ['corp/infra', 'corp%2Finfra']) {
      const { body } = await bench.ask('platform-builder', `GET ${path}/${name}/indexing`)
      expect(body, name).toMatchObject({ indexing_enabled: true })
    }
    const group = await bench.ask(
      'directory',
      `GET /v3/enterprise/members/idp-groups/${encodeURIComponent('Corp/Platform Engineering')}`,
    )
    expect(group.body.idp_group_name).toBe('Corp/Platform Engineering')
  })

  it('takes user ids with a pipe, raw or escaped', async () => {
    expect(await get('/v3/enterprise/members/users/okta|Corp|00u1c3', 'directory')).toContain('chen.wei@corp.example')
    const escaped = await bench.ask('directory', 'GET /v3/enterprise/members/users/okta%7CCorp%7C00u1c3')
    expect(escaped.body.email).toBe('chen.wei@corp.example')
  })

  it('answers an unknown path 404, a wrong method 405 with Allow, and HEAD like GET without a body', async () => {
    const unknown = await bench.ask('payments-runner', 'GET /v3/nothing')
    expect([unknown.status, unknown.body]).toEqual([404, { detail: 'Not Found' }])
    const wrong = await bench.ask('payments-runner', `PATCH ${SESSIONS}`)
    expect([wrong.status, wrong.body]).toEqual([405, { detail: 'Method Not Allowed' }])
    expect(wrong.headers.get('allow')).toBe('POST, GET')
    const head = await bench.ask('payments-runner', `HEAD ${SESSIONS}`)
    expect([head.status, head.body]).toEqual([200, ''])
    expect(Number(head.headers.get('content-length'))).toBeGreaterThan(100)
  })

  it('reads the absolute form of a target', async () => {
    expect(await get('http://api.devin.ai/v3/self')).toContain('payments-runner')
  })

  it('undoes every percent-encoding of well-formed text', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => unquote(encodeURIComponent(text)) === text))
  })
})

describe('pages', () => {
  it('pages through a list whatever the page size, each object once', async () => {
    const whole = await bench.ask('directory', 'GET /v3/enterprise/members/users?first=200')
    for (const first of [1, 5, 200]) {
      const seen: string[] = []
      let after = ''
      for (;;) {
        const { body } = await bench.ask('directory', `GET /v3/enterprise/members/users?first=${first}${after}`)
        seen.push(...body.items.map((user: { user_id: string }) => user.user_id))
        expect(body.total).toBe(12)
        if (body.has_next_page !== true) break
        after = `&after=${encodeURIComponent(body.end_cursor)}`
      }
      expect(seen).toEqual(whole.body.items.map((user: { user_id: string }) => user.user_id))
    }
  })

  it('gives cursors that hold + / and =, and refuses them unescaped, foreign or broken', async () => {
    const { body } = await bench.ask('payments-reader', `GET ${SESSIONS}?first=1`)
    expect(body.end_cursor).toMatch(/^\+\/\+\/.*=$/)
    const escaped = encodeURIComponent(body.end_cursor)
    expect((await bench.ask('payments-reader', `GET ${SESSIONS}?first=1&after=${escaped}`)).status).toBe(200)
    for (const after of [body.end_cursor, `${escaped}&tags=a`, 'x']) {
      expect((await bench.ask('payments-reader', `GET ${SESSIONS}?after=${after}`)).status, after).toBe(400)
    }
  })

  it('goes on behind the last object seen when others came in front meanwhile', async () => {
    const first = await bench.ask('payments-runner', `GET ${SESSIONS}?first=2`)
    const rest = `GET ${SESSIONS}?first=2&after=${encodeURIComponent(first.body.end_cursor)}`
    const expected = await bench.ask('payments-runner', rest)
    bench.pass(1)
    await bench.ask('payments-runner', `POST ${SESSIONS}`, { body: { prompt: 'in front' } })
    const ids = (answer: { body: { items: { session_id: string }[] } }): string[] =>
      answer.body.items.map((item) => item.session_id)
    expect(ids(await bench.ask('payments-runner', rest))).toEqual(ids(expected))
  })

  it('takes 1 to 200 per page, and 1 to 100 for the repositories of a connection', async () => {
    for (const first of ['0', '201', 'ten', '-1', '1.5']) {
      const { status, body } = await bench.ask('payments-reader', `GET ${SESSIONS}?first=${first}`)
      expect([status, body.errors[0].loc], first).toEqual([422, ['query', 'first']])
    }
    const repositories = 'GET /v3/enterprise/git-providers/connections/git-connection-github/repositories'
    expect((await bench.ask('fleet', `${repositories}?first=100`)).status).toBe(200)
    expect((await bench.ask('fleet', `${repositories}?first=101`)).status).toBe(422)
  })
})

describe('answers', () => {
  it('lists every breach of a body in detail and errors', async () => {
    const body = {
      tags: 'blue',
      max_acu_limit: 1.5,
      devin_mode: 'slow',
      session_secrets: [{ key: '' }],
      attachment_urls: ['x'.repeat(2084)],
    }
    const answer = await bench.ask('payments-runner', `POST ${SESSIONS}`, { body })
    expect(answer.status).toBe(422)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(answer.body.detail).toEqual(answer.body.errors)
    const places = answer.body.detail.map(
      (issue: { loc: string[]; type: string }) => `${issue.loc.join('.')} ${issue.type}`,
    )
    expect(places.sort()).toEqual([
      'body.attachment_urls.0 string_too_long',
      'body.devin_mode enum',
      'body.max_acu_limit int_type',
      'body.prompt missing',
      'body.session_secrets.0.key string_too_short',
      'body.session_secrets.0.value missing',
      'body.tags list_type',
    ])
  })

  it('refuses what is no JSON object', async () => {
    for (const body of ['{', '[]', '"text"', '']) {
      const response = await fetch(bench.origin + SESSIONS, {
        method: 'POST',
        headers: { authorization: `Bearer ${keyOf('payments-runner')}`, 'content-type': 'application/json' },
        body,
      })
      expect(response.status, body).toBe(422)
    }
  })

  it('reads a documented type as it is written', () => {
    const ok = (type: string, value: unknown): boolean => checkType(type, value, []).length === 0
    expect(ok('string[] (max 2)', ['a', 'b'])).toBe(true)
    expect(ok('string[] (max 2)', ['a', 'b', 'c'])).toBe(false)
    expect(ok('integer (1..31536000)', 0)).toBe(false)
    expect(ok('enum(security|performance|...)=security', 'other')).toBe(true)
    expect(ok('object|null (JSON Schema draft 7, <=64 KB)', { a: 'x'.repeat(70_000) })).toBe(false)
    expect(
      ok('{repository_path:string,branch_names:string[]}[]', [{ repository_path: 'a/b', branch_names: ['main'] }]),
    ).toBe(true)
    expect(ok('{repository_path:string,branch_names:string[]}[]', [{ repository_path: 'a/b' }])).toBe(false)
  })

  it('takes a JSON content type without a body on POST and DELETE', async () => {
    const created = await bench.ask('payments-runner', `POST ${SESSIONS}`, { body: { prompt: 'x' } })
    const path = `${SESSIONS}/${created.body.session_id}`
    const headers = { 'content-type': 'application/json' }
    expect((await bench.ask('payments-runner', `DELETE ${path}`, { headers })).status).toBe(200)
    expect((await bench.ask('payments-runner', `POST ${path}/archive`, { headers })).status).toBe(200)
  })

  it.each([
    ['gzip', gunzipSync],
    ['br', brotliDecompressSync],
    ['deflate', inflateSync],
  ])('compresses with %s when asked to', async (coding, decode) => {
    const answer = await raw(
      `GET /v3/self HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: ${coding}\r\nAuthorization: Bearer ${keyOf('auditor')}\r\n\r\n`,
    )
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    expect(head.toLowerCase()).toContain(`content-encoding: ${coding}`)
    expect(JSON.parse(decode(Buffer.from(body, 'latin1')).toString())).toMatchObject({ service_user_id: 'auditor' })
  })

  it('sends plain JSON to a client that asks for no coding or forbids it', async () => {
    expect((await get('/v3/self')).toLowerCase()).not.toContain('content-encoding')
    const refused = await bench.ask('auditor', 'GET /v3/self', { headers: { 'accept-encoding': 'br;q=0, identity' } })
    expect(refused.headers.get('content-encoding')).toBeNull()
  })

  it('names each request, and keeps the name it came with', async () => {
    expect((await bench.ask('auditor', 'GET /v3/self')).headers.get('x-request-id')).toMatch(/^req-/)
    const named = await bench.ask('auditor', 'GET /v3/self', { headers: { 'x-request-id': 'mine' } })
    expect(named.headers.get('x-request-id')).toBe('mine')
  })
})

describe('TLS', () => {
  it('speaks it when given a certificate, also in the addresses it hands out', async () => {
    const certificate = makeSelfSigned('localhost')
    const secure = await startBench({ https: certificate })
    expect(secure.origin).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
    const headers = { authorization: `Bearer ${keyOf('auditor')}` }
    const trusting = {
      ca: certificate.cert,
      servername: 'localhost',
      checkServerIdentity: () => undefined,
      agent: false as const,
    }
    const [response] = await once(request(`${secure.origin}/v3/self`, { ...trusting, headers }).end(), 'response')
    expect(response.statusCode).toBe(200)
    expect(await text(response)).toContain('"auditor"')
    await secure.close()
  })
})

describe('what was seen', () => {
  it('keeps target and fields byte for byte, with the service user and the status', async () => {
    await raw(
      `GET /v3/%73elf?a=%2B&b=+ HTTP/1.1\r\nHOST: x\r\nX-One: 1\r\nx-one: 2\r\nConnection: close\r\nAuthorization: Bearer ${keyOf('auditor')}\r\n\r\n`,
    )
    const seen = bench.requests.at(-1)
    expect(seen).toMatchObject({ method: 'GET', target: '/v3/%73elf?a=%2B&b=+', serviceUser: 'auditor', status: 200 })
    expect(seen?.rawHeaders.slice(0, 6)).toEqual(['HOST', 'x', 'X-One', '1', 'x-one', '2'])
    expect(observed.at(-1)).toEqual(seen)
  })

  it('records refused requests too, without a service user when the key is bad', async () => {
    await ask(bench.origin, 'cog_bad', 'DELETE /v3/self')
    expect(bench.requests.at(-1)).toMatchObject({ method: 'DELETE', serviceUser: null, status: 405 })
    await ask(bench.origin, 'cog_bad', 'GET /v3/self')
    expect(bench.requests.at(-1)).toMatchObject({ serviceUser: null, status: 401 })
  })

  it('keeps a thousand requests at most', async () => {
    for (let sent = 0; sent < 1010; sent += 1) await bench.ask(null, `GET /v3/${sent}`)
    expect(bench.requests).toHaveLength(1000)
    expect(bench.requests.at(-1)?.target).toBe('/v3/1009')
  })
})

describe('uploads', () => {
  it('finds the file however the bytes are cut', async () => {
    const property = fc.asyncProperty(
      fc.uint8Array({ maxLength: 300 }),
      fc.integer({ min: 1, max: 40 }),
      async (bytes, size) => {
        const head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\nContent-Type: x/y\r\n\r\n'
        const body = Buffer.concat([Buffer.from(head), bytes, Buffer.from('\r\n--b--\r\n')])
        async function* cut(): AsyncGenerator<Buffer> {
          for (let at = 0; at < body.length; at += size) yield body.subarray(at, at + size)
        }
        const part = await readFilePart(cut(), 'multipart/form-data; boundary=b')
        const found: Buffer[] = []
        for await (const chunk of part.chunks) found.push(chunk)
        expect([part.name, part.contentType]).toEqual(['a.bin', 'x/y'])
        expect(Buffer.concat(found)).toEqual(Buffer.from(bytes))
      },
    )
    await fc.assert(property)
  })
})
