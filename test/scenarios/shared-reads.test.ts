// What is not in the cache's key cannot shape an answer that others get: an upstream that reflects whatever it is sent, callers
// who send whatever may be sent, over HTTP/1.1 and HTTP/2.

import { writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { connect, constants, type ClientHttp2Session } from 'node:http2'
import { request as requestTls } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import { startTestGateway, until, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'
import { fieldOf, type Seen } from '../support/upstream.ts'

type Fields = Readonly<Record<string, string>>
interface Answer {
  readonly status: number
  readonly fields: Readonly<Record<string, unknown>>
  readonly body: string
}

const authority = createAuthority('a test authority')
const { cert, key } = authority.issue({ name: 'localhost' })
const extension = `operations:
  - { id: ext.things.get, method: GET, path: "/v3/things/{id}", scope: any, cache: rfc9111 }
  - { id: ext.things.list, method: GET, path: "/v3/things", scope: any, cache: rfc9111 }
`
const keys = (id: string, secret: string): string => `keys:
  - id: ${id}
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgPlaybooks, ManageAccountPlaybooks]
    secret: { env: ${secret} }
`
let running: RunningGateway
let session: ClientHttp2Session
let fresh = 0

/** Paths that nobody has asked for before: of a class, and where the upstream's fields decide. */
const kinds: Readonly<Record<string, () => string>> = {
  'a class': () => `/v3/organizations/org-payments/playbooks/playbook-${(fresh += 1)}`,
  "the upstream's own fields": () => `/v3/things/thing-${(fresh += 1)}`,
}

beforeAll(async () => {
  const base = join(tmpdir(), `gateway-test-shared-reads-${process.pid}`)
  await writeFile(`${base}.crt`, cert)
  await writeFile(`${base}.key`, key)
  running = await startTestGateway({
    listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: "${base}.crt", key: "${base}.key" } }`,
    policies: {
      'teams/payments.yaml': (usualPolicies['teams/payments.yaml'] ?? '')
        .replace('cache: { at_most: 0s }\n', '')
        .replace('org.attachments.*', 'org.attachments.*, org.playbooks.*, ext.things.*'),
      'keys.yaml': keys('first', 'PAYMENTS_RUNNER_KEY'),
    },
    files: { 'things.yaml': extension },
    config: 'catalogue: { files: [things.yaml] }',
  })
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
  running.upstream.takeOver(null)
  running.upstream.respond(({ rawHeaders }, response) => reflect(response, rawHeaders))
  session = connect(`https://localhost:${running.port}`, { ca: authority.ca })
  session.on('error', () => {})
})
afterEach(() => session.destroy())

/** Everything that was sent comes back, in the body and in fields. */
function reflect(response: ServerResponse, rawHeaders: readonly string[], status = 200, more: Fields = {}): void {
  const fields = {
    'content-type': 'application/json',
    'cache-control': 'max-age=60',
    'x-devin-echo': rawHeaders.join(' '),
  }
  response.writeHead(status, { ...fields, ...more }).end(JSON.stringify(rawHeaders))
}

async function send(version: string, path: string, fields: Fields = {}, sub = 'ann', method = 'GET'): Promise<Answer> {
  const headers = { authorization: `Bearer ${await running.token({ sub })}`, ...fields }
  return version === 'HTTP/2' ? await over2(path, headers, method) : await over1(path, headers, method)
}

function over1(path: string, headers: Fields, method: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: 'localhost', port: running.port, ca: authority.ca, path, headers, method, agent: false }
    const request = requestTls(options, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, fields: response.headers, body }))
    })
    request.on('error', reject)
    request.end()
  })
}

function over2(path: string, headers: Fields, method: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': path, ':method': method, ...headers })
    let fields: Answer['fields'] = {}
    let body = ''
    stream.on('response', (head) => (fields = head))
    stream.on('data', (chunk: Buffer) => (body += chunk.toString()))
    stream.on('error', reject)
    stream.on('close', () => resolve({ status: Number(fields[constants.HTTP2_HEADER_STATUS]), fields, body }))
  })
}

/** What a caller may send by itself; each value holds the mark by which it would be known again. */
const marked: Fields = {
  'user-agent': 'mark-agent',
  'x-request-id': 'mark-request',
  traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`,
  tracestate: 'mark=state',
  pragma: 'mark-pragma',
  'cache-control': 'max-stale=0, mark-directive',
  'accept-encoding': 'gzip;q=0.123, br;q=0, mark-coding, identity;q=0.5',
  'if-none-match': '"mark-etag"',
  'if-modified-since': 'Mon, 06 Nov 1989 08:49:37 GMT',
  range: 'bytes=0-1999',
  'if-range': '"mark-range"',
  via: '1.0 mark-via',
  forwarded: 'for=mark-forwarded',
  'x-forwarded-for': 'mark-for',
  'x-forwarded-host': 'mark-host',
  'x-original-url': '/mark-url',
  'x-http-method-override': 'mark-method',
  cookie: 'mark=cookie',
  origin: 'https://mark.example',
  referer: 'https://mark.example/',
  from: 'mark@example',
  'max-forwards': '9',
  'x-devin-anything': 'mark-devin',
}
// Ids are made anew and hold any digits, so digits alone are no trace.
const traces = /mark|abababab|cdcdcdcd|q=0\.123|Nov 1989|0-1999/i

describe.each(['HTTP/1.1', 'HTTP/2'])('a read that others may share, over %s', (version) => {
  test.each(Object.keys(kinds))(
    'goes upstream without anything of its caller that is not in the key: %s',
    async (kind) => {
      for (const method of ['GET', 'HEAD']) {
        running.upstream.seen.length = 0
        const path = kinds[kind]?.() ?? ''
        const answer = await send(version, path, marked, 'mark', method)
        expect(answer.status).toBe(200)
        expect(answer.fields['x-request-id']).toBe('mark-request')
        expect(running.upstream.seen[0]?.rawHeaders.join('\n')).not.toMatch(traces)
        const other = await send(version, path, {}, 'bob')
        expect(other.body + JSON.stringify(other.fields)).not.toMatch(traces)
        if (method === 'GET') expect(other.fields['cache-status']).toContain('; hit')
        // What the other one would have sent is the same, but for ids that are new each time.
        await send(version, kinds[kind]?.() ?? '', {}, 'bob', method)
        expect(withoutIds(running.upstream.seen[0])).toEqual(withoutIds(running.upstream.seen.at(-1)))
      }
    },
  )

  test('has ids of its own, which its record holds', async () => {
    const path = kinds['a class']?.() ?? ''
    await send(version, path, { 'x-request-id': `own-${version.replace('/', '-')}` })
    const id = fieldOf(running.upstream.seen[0], 'x-request-id') ?? ''
    expect(id).toMatch(/^[0-9a-f-]{36}$/)
    expect(fieldOf(running.upstream.seen[0], 'traceparent')).toMatch(
      new RegExp(`^00-${id.replaceAll('-', '')}-[0-9a-f]{16}-00$`),
    )
    const { access } = await running.recordsOf(`own-${version.replace('/', '-')}`)
    expect(access).toMatchObject({ upstream_request_id: id })
  })

  test('keeps what is said to others only in fields that do not cross to itself', async () => {
    for (const [name, value] of [
      ['set-cookie', 'a=b'],
      ['pragma', 'no-cache'],
      ['connection', 'cache-control'],
    ]) {
      const path = kinds['a class']?.() ?? ''
      running.upstream.respond((_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', [name ?? '']: value }).end('{}')
      })
      expect((await send(version, path)).fields['set-cookie']).toBeUndefined()
      await send(version, path)
      expect([name, running.upstream.seen.length]).toEqual([name, 2])
      running.upstream.seen.length = 0
    }
  })
})

/** Fields as they were sent, but for ids, which are new each time. */
function withoutIds(seen: Seen | undefined): string[] {
  const fields: string[] = []
  const raw = seen?.rawHeaders ?? []
  for (let index = 0; index < raw.length; index += 2) {
    const name = (raw[index] ?? '').toLowerCase()
    if (name !== 'x-request-id' && name !== 'traceparent') fields.push(`${name}: ${raw[index + 1]}`)
  }
  return fields
}

test.each([
  ['?a=1', '?a=1&'],
  ['?a=%41', '?a=A'],
  ['?a=1&a=2', '?a=2&a=1'],
  ['?a', '?a='],
  ['?a=b+c', '?a=b%20c'],
  ['?a=%e4%bd%a0', '?a=%E4%BD%A0'],
  ['?A=1', '?a=1'],
  ['?a[]=1&a[]=2', '?a[]=2&a[]=1'],
  ['?a.b=1&a_b=2', '?a_b=2&a.b=1'],
  ['?%61=1&a=2', '?a=2&%61=1'],
  ['', '?'],
])('who asks for a thing with %s and who asks with %s get what was sent for each', async (one, other) => {
  running.upstream.respond((request, response) => reflect(response, [request.url ?? '']))
  const path = kinds['a class']?.() ?? ''
  await send('HTTP/1.1', path + one)
  const answer = await send('HTTP/2', path + other, {}, 'bob')
  // A question mark with nothing behind it is not sent, so that those two are one.
  expect(JSON.parse(answer.body)).toEqual([path + (other === '?' ? '' : other)])
  expect(answer.fields['cache-status']).toContain(other === '?' ? '; hit' : 'fwd=uri-miss')
})

describe('the coding of a read that others may share', () => {
  test.each(['br', 'zstd', 'gzip', 'deflate, mark', '', 'identity;q=0', '*;q=0', '*', 'gzip;q=0, br'])(
    'is asked for the same whoever asks, here with Accept-Encoding: %s',
    async (coding) => {
      for (const path of Object.values(kinds)) {
        const target = path()
        running.upstream.seen.length = 0
        await send('HTTP/1.1', target, { 'accept-encoding': coding })
        const other = await send('HTTP/2', target, {}, 'bob')
        expect(other.fields['cache-status']).toContain('; hit')
        await send('HTTP/2', path(), {}, 'bob')
        expect(withoutIds(running.upstream.seen[0])).toEqual(withoutIds(running.upstream.seen[1]))
        expect(other.body).toContain('"gzip"')
      }
    },
  )

  test.each(['max-age=60', 'no-store', 'max-age=60, private'])(
    'reaches nobody who does not take it, however it comes, with Cache-Control: %s',
    async (cacheControl) => {
      const plain = JSON.stringify({ text: 'x'.repeat(500) })
      running.upstream.respond((_request, response) =>
        response
          .writeHead(200, {
            'content-type': 'application/json',
            'content-encoding': 'gzip',
            'cache-control': cacheControl,
            etag: '"v1"',
            'repr-digest': 'sha-256=:x:',
          })
          .end(gzipSync(plain)),
      )
      for (const path of Object.values(kinds))
        for (const version of ['HTTP/1.1', 'HTTP/2'])
          for (const coding of [undefined, 'identity', 'br', 'gzip;q=0, *']) {
            const target = path()
            const fields: Fields = coding === undefined ? {} : { 'accept-encoding': coding }
            for (const method of ['HEAD', 'GET', 'GET', 'HEAD']) {
              const answer = await send(version, target, fields, 'ann', method)
              const label = `${target} ${version} ${coding} ${method} ${String(answer.fields['cache-status'])}`
              expect([answer.status, answer.body], label).toEqual([200, method === 'GET' ? plain : ''])
              expect(answer.fields, label).toMatchObject({ etag: 'W/"v1"' })
              expect(answer.fields['content-encoding'], label).toBeUndefined()
              expect(answer.fields['repr-digest'], label).toBeUndefined()
            }
            const taken = await send(version, target, { 'accept-encoding': 'gzip' }, 'bob', 'HEAD')
            expect(taken.fields).toMatchObject({ etag: '"v1"', 'content-encoding': 'gzip' })
          }
    },
  )
})

describe('what goes upstream', () => {
  const text = fc.constantFrom('a', 'b', 'a, b', 'a,b', 'B', '*/*', '*', 'x;q=0.5')
  const names = ['accept', 'accept-language', 'prefer', 'last-event-id', 'content-language', ...Object.keys(marked)]
  const caller = fc.dictionary(fc.constantFrom(...names), text, { maxKeys: 5 })

  test('is the same for two callers whenever the answer to one is given to the other', async () => {
    const purge = (resource: string): Promise<Response> =>
      fetch(`${running.adminUrl}/api/purge?resource=${resource}`, { method: 'POST' })
    let shared = 0
    await fc.assert(
      fc.asyncProperty(caller, caller, fc.constantFrom('HTTP/1.1', 'HTTP/2'), async (one, other, version) => {
        const path = kinds['a class']?.() ?? ''
        running.upstream.seen.length = 0
        await send('HTTP/1.1', path, { ...one, 'cache-control': 'max-stale' })
        const second = await send(version, path, { ...other, 'cache-control': 'max-stale' }, 'bob')
        if (running.upstream.seen.length !== 1 || second.status >= 400) return
        shared += 1
        await purge(path.split('/').at(-1) ?? '')
        await send(version, path, { ...other, 'cache-control': 'max-stale' }, 'bob')
        expect(withoutIds(running.upstream.seen[1])).toEqual(withoutIds(running.upstream.seen[0]))
      }),
      { numRuns: 60 },
    )
    expect(shared).toBeGreaterThan(0)
  })
})

async function underWay(): Promise<number> {
  const status = (await (await fetch(`${running.adminUrl}/api/status`)).json()) as { in_flight: number }
  return status.in_flight
}

describe('an error that one caller meets', () => {
  const statuses = [206, 301, 400, 401, 403, 405, 413, 414, 416, 421, 425, 431, 451, 500, 503]

  test.each(statuses)('%i is not stored, and whoever waited for the same asks for itself', async (status) => {
    for (const kind of Object.keys(kinds)) {
      const path = kinds[kind]?.() ?? ''
      running.upstream.seen.length = 0
      const held: (() => void)[] = []
      running.upstream.takeOver((request, response) => {
        const mine = held.length === 0 ? status : 200
        const said = kind === 'a class' || mine === 200 ? 'public, max-age=60' : 'public'
        held.push(() => reflect(response, request.rawHeaders, mine, { 'cache-control': said }))
      })
      const first = send('HTTP/1.1', path)
      await until(() => held.length === 1, 'the first call')
      const others = ['bob', 'eve', 'joe'].map((sub) => send('HTTP/2', path, {}, sub))
      await until(async () => (await underWay()) === 4, 'the others to wait')
      held[0]?.()
      // The rejected key is the gateway's own; its secret is read again before anybody else asks.
      expect((await first).status).toBe(status === 401 ? 502 : status)
      let answered = 1
      const rest = Promise.all(others)
      const all = setInterval(() => {
        while (answered < held.length) held[answered++]?.()
      }, 1)
      expect((await rest).map((answer) => answer.status)).toEqual([200, 200, 200])
      clearInterval(all)
      expect((await send('HTTP/1.1', path)).status).toBe(200)
    }
  })

  test('404 is an answer where there is one thing to be absent, and not of a list', async () => {
    running.upstream.respond(({ rawHeaders }, response) => reflect(response, rawHeaders, 404))
    const [thing, list] = [kinds['a class']?.() ?? '', '/v3/organizations/org-payments/playbooks?first=7']
    for (const path of [thing, list]) for (const _ of [1, 2]) await send('HTTP/1.1', path)
    expect(running.upstream.seen.map(({ target }) => target)).toEqual([thing, list, list])
  })
})

describe('after a reload by which another key serves an operation', () => {
  test('nobody gets what the key before had fetched', async () => {
    for (const kind of Object.keys(kinds)) {
      await running.writePolicy('keys.yaml', keys('first', 'PAYMENTS_RUNNER_KEY'))
      await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
      running.upstream.seen.length = 0
      const path = kinds[kind]?.() ?? ''
      await send('HTTP/1.1', path)
      expect((await send('HTTP/1.1', path)).fields['cache-status']).toContain('; hit')
      await running.writePolicy('keys.yaml', keys('second', 'PAYMENTS_IMPERSONATOR_KEY'))
      const reloaded = await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
      expect(reloaded.status).toBe(200)
      expect((await send('HTTP/1.1', path)).fields['cache-status']).not.toContain('; hit')
      expect(running.upstream.seen.map((seen) => fieldOf(seen, 'authorization'))).toEqual([
        'Bearer cog_payments-runner-0123456789abcdef',
        'Bearer cog_payments-impersonator-0123456789abcdef',
      ])
    }
  })
})
