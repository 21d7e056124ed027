// The way there and back: what the caller sends, what the upstream receives, what the record says.

import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openSocket, parseAnswer, rawRequest, sendRaw } from '../support/raw-request.ts'
import { startTestGateway, until, usualKeys, type RunningGateway } from '../support/start-gateway.ts'
import { fieldOf } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
let running: RunningGateway

beforeAll(async () => {
  running = await startTestGateway()
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
  running.upstream.takeOver(null)
  running.upstream.respond((_request, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"items":[]}'),
  )
})

describe('a request that is allowed', () => {
  test('leaves the id of its trace in the record only where its traceparent is one', async () => {
    const [id, span] = ['a'.repeat(32), 'b'.repeat(16)]
    const forms: readonly (readonly [string, string | null])[] = [
      [`00-${id}-${span}-00`, id],
      [`01-${id}-${span}-01-more`, id],
      [`00-${id}-${span}-01-more`, null],
      [`00-${id}-${span}-01x`, null],
      [`ff-${id}-${span}-01`, null],
      [`00-${'0'.repeat(32)}-${span}-01`, null],
      [`00-${id}-${'0'.repeat(16)}-01`, null],
      [`00-${id.toUpperCase()}-${span}-01`, null],
    ]
    for (const [traceparent, expected] of forms) {
      const answer = await running.call(sessions, { headers: { traceparent } })
      const { access } = await running.recordsOf(answer.headers.get('gateway-decision'))
      expect([traceparent, access.trace_id]).toEqual([traceparent, expected])
    }
  })

  test('reaches the upstream byte for byte with the key instead of the token, and leaves both records', async () => {
    const target = `${sessions}?tags=a&tags=b%2Bc&first=1&after=+/%3D`
    const answer = await running.call(target, {
      headers: {
        'x-request-id': 'my-id.1',
        'user-agent': 'app/1',
        traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
      },
    })
    expect(answer.status).toBe(200)
    expect(await answer.json()).toEqual({ items: [] })
    expect(answer.headers.get('x-request-id')).toBe('my-id.1')
    const [seen] = running.upstream.seen
    expect(seen?.target).toBe(target)
    expect(fieldOf(seen, 'authorization')).toBe(`Bearer ${usualKeys['PAYMENTS_RUNNER_KEY']}`)
    expect(fieldOf(seen, 'user-agent')).toBe('app/1')
    expect(fieldOf(seen, 'traceparent')).toBe(`00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`)
    const { access, decision } = await running.recordsOf('my-id.1')
    expect(access).toMatchObject({
      operation: 'org.sessions.list',
      organization: 'org-payments',
      team: 'payments',
      subject: 'ann',
      key: 'payments-runner',
      status: 200,
      outcome: 'forwarded',
      upstream_status: 200,
      trace_id: 'a'.repeat(32),
    })
    expect(decision).toMatchObject({
      effect: 'allow',
      reason: 'granted',
      grant: 'run-sessions',
      key: 'payments-runner',
      decision_id: answer.headers.get('gateway-decision'),
    })
  })

  test('goes to the impersonating key only when the body acts for somebody else', async () => {
    const body = JSON.stringify({ prompt: 'x', create_as_user_id: 'email|bob' })
    const refused = await running.call(sessions, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    })
    expect(refused.status).toBe(403)
    expect(await refused.json()).toMatchObject({
      reason: 'not-granted',
      detail: expect.stringContaining('create_as_user_id'),
    })
    expect(running.upstream.seen).toHaveLength(0)
    const allowed = await running.call(sessions, {
      method: 'POST',
      body,
      claims: { groups: ['sso-payments-eng', 'payments-leads'] },
      headers: { 'content-type': 'application/json' },
    })
    expect(allowed.status).toBe(200)
    expect(fieldOf(running.upstream.seen[0], 'authorization')).toBe(`Bearer ${usualKeys['PAYMENTS_IMPERSONATOR_KEY']}`)
    expect(running.upstream.seen[0]?.body.toString()).toBe(body)
  })

  test('keeps an unusual body byte for byte', async () => {
    const body = '{ "prompt" : "ümläut \\u00e9", "n": 12345678901234567890, "f": 1.0, "nothing": null }'
    expect(
      (await running.call(sessions, { method: 'POST', body, headers: { 'content-type': 'application/json' } })).status,
    ).toBe(200)
    expect(running.upstream.seen[0]?.body.toString()).toBe(body)
  })

  test.each(['text/plain', 'application/json; charset=x', 'application/', 'multipart/form-data; boundary=b'])(
    'keeps its body under the media type %s',
    async (type) => {
      const answer = await running.call('/v3/organizations/org-payments/attachments', {
        method: 'POST',
        body: 'any bytes',
        headers: { 'content-type': type },
      })
      expect(answer.status).toBe(200)
      expect(running.upstream.seen[0]?.body.toString()).toBe('any bytes')
      expect(fieldOf(running.upstream.seen[0], 'content-type')).toBe(type)
    },
  )

  test('may be a POST without a body and with a JSON media type', async () => {
    const answer = await running.call(`${sessions}/devin-1/archive`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    })
    expect(answer.status).toBe(200)
    expect(running.upstream.seen[0]?.body).toHaveLength(0)
  })

  test('has no body when it is a read: one that comes along is refused unread', async () => {
    const token = await running.token()
    const fields = [`Authorization: Bearer ${token}`, 'Content-Type: application/json', 'Content-Length: 26']
    const answer = await sendRaw(running.port, rawRequest('GET', sessions, fields, '{"org_ids":["org-other"]} '))
    expect([answer.status, JSON.parse(answer.body)]).toEqual([400, expect.objectContaining({ reason: 'body-of-read' })])
    expect(running.upstream.seen).toHaveLength(0)
  })

  test('follows GET for HEAD', async () => {
    const answer = await running.call(sessions, { method: 'HEAD' })
    expect(answer.status).toBe(200)
    expect(running.upstream.seen[0]?.method).toBe('HEAD')
  })
})

describe('fields', () => {
  test('of the caller that carry identity or routing stay here', async () => {
    await running.call(sessions, {
      headers: {
        cookie: 'a=b',
        'x-forwarded-for': '1.2.3.4',
        forwarded: 'for=1.2.3.4',
        'x-forwarded-user': 'root',
        'proxy-authorization': 'Basic x',
        'x-http-method-override': 'DELETE',
        'x-original-url': '/v3/self',
        te: 'trailers',
      },
    })
    const names =
      running.upstream.seen[0]?.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()) ?? []
    for (const name of [
      'cookie',
      'x-forwarded-for',
      'forwarded',
      'x-forwarded-user',
      'proxy-authorization',
      'x-http-method-override',
      'x-original-url',
      'te',
    ])
      expect(names).not.toContain(name)
  })

  test('of the upstream that are its own business stay there', async () => {
    running.upstream.respond((_request, response) =>
      response
        .writeHead(200, {
          'content-type': 'application/json',
          server: 'x',
          'set-cookie': 'a=b',
          'access-control-allow-origin': '*',
          'x-internal': '1',
          etag: '"1"',
          'retry-after': '3',
        })
        .end('{}'),
    )
    const answer = await running.call(sessions)
    for (const name of ['server', 'set-cookie', 'access-control-allow-origin', 'x-internal'])
      expect(answer.headers.get(name)).toBeNull()
    expect(answer.headers.get('etag')).toBe('"1"')
    expect(answer.headers.get('retry-after')).toBe('3')
  })

  test("that ask for a compressed answer get one, and its bytes are the upstream's", async () => {
    const coded = gzipSync('{"items":[1]}')
    running.upstream.respond((_request, response) =>
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(coded),
    )
    const answer = await running.call(sessions, { headers: { 'accept-encoding': 'gzip' } })
    expect(answer.headers.get('content-encoding')).toBe('gzip')
    expect(await answer.json()).toEqual({ items: [1] })
    expect(fieldOf(running.upstream.seen[0], 'accept-encoding')).toBe('gzip')
  })

  test('that are not cached have their own coding, which the gateway does not take off', async () => {
    const coded = brotliCompressSync('{"items":[1]}')
    running.upstream.respond((_request, response) =>
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'br' }).end(coded),
    )
    const headers = { 'accept-encoding': 'br', 'cache-control': 'no-store' }
    const answer = await running.call(sessions, { headers })
    expect(answer.headers.get('content-encoding')).toBe('br')
    expect(await answer.json()).toEqual({ items: [1] })
    expect(fieldOf(running.upstream.seen[0], 'accept-encoding')).toBe('br')
  })
})

describe('answers', () => {
  test('of 307 pass with their Location and are not followed', async () => {
    running.upstream.respond((_request, response) =>
      response.writeHead(307, { location: 'https://bucket.example/x?sig=1' }).end(),
    )
    const answer = await running.call('/v3/organizations/org-payments/attachments/u1/a%20b.txt')
    expect(answer.status).toBe(307)
    expect(answer.headers.get('location')).toBe('https://bucket.example/x?sig=1')
    expect(running.upstream.seen).toHaveLength(1)
  })

  test('of 204 have no body and no media type', async () => {
    running.upstream.respond((_request, response) => response.writeHead(204).end())
    const answer = await running.call(`${sessions}/devin-1`, { method: 'DELETE' })
    expect(answer.status).toBe(204)
    expect(await answer.text()).toBe('')
    expect(answer.headers.get('content-type')).toBeNull()
  })

  test('of 401 become a 502 and never reach the caller as his own', async () => {
    running.upstream.respond((_request, response) =>
      response
        .writeHead(401, { 'www-authenticate': 'Bearer', 'content-type': 'application/json' })
        .end('{"detail":"bad key"}'),
    )
    const answer = await running.call(sessions)
    expect(answer.status).toBe(502)
    expect(answer.headers.get('www-authenticate')).toBeNull()
    expect(await answer.json()).toMatchObject({ type: '/gateway/v1/problems/upstream-credential-rejected' })
    running.upstream.respond((_request, response) => response.writeHead(200).end('{}'))
    expect((await running.call(sessions)).status).toBe(200)
  })

  test('of 503 are passed on and not repeated', async () => {
    running.upstream.respond((_request, response) => response.writeHead(503, { 'retry-after': '30' }).end('busy'))
    const answer = await running.call(sessions)
    expect(answer.status).toBe(503)
    expect(await answer.text()).toBe('busy')
    expect(running.upstream.seen).toHaveLength(1)
  })

  test('that break off half way break off for the caller, too', async () => {
    running.upstream.respond((_request, response) => {
      response.writeHead(200, { 'content-length': '1000' })
      response.write('half')
      setTimeout(() => response.destroy(), 20)
    })
    const answer = await running.call(sessions)
    await expect(answer.text()).rejects.toThrow()
    expect((await running.recordsOf(answer.headers.get('gateway-decision'))).access).toMatchObject({
      outcome: 'failed',
      problem: 'upstream-unreachable',
    })
  })
})

describe('a caller that leaves', () => {
  test('takes the upstream request with it', async () => {
    let closed = false
    running.upstream.takeOver((request) => {
      request.on('close', () => {
        closed = true
      })
    })
    const socket = await openSocket(running.port)
    socket.write(
      `GET ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await running.token()}\r\nX-Request-Id: leaves\r\n\r\n`,
    )
    await until(() => running.upstream.seen.length === 1, 'the upstream to see it')
    socket.destroy()
    await until(() => closed, 'the upstream to be let go')
    expect((await running.recordsOf('leaves')).access).toMatchObject({ outcome: 'aborted', status: null })
  })
})

describe('Expect: 100-continue', () => {
  test('is answered with 100 once the request is allowed', async () => {
    const socket = await openSocket(running.port)
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    socket.write(
      `POST ${sessions} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 14\r\nAuthorization: Bearer ${await running.token()}\r\n\r\n`,
    )
    await until(() => text.startsWith('HTTP/1.1 100'), 'the interim answer')
    socket.write('{"prompt":"x"}')
    await until(() => text.includes('HTTP/1.1 200'), 'the answer')
    expect(running.upstream.seen[0]?.body.toString()).toBe('{"prompt":"x"}')
    socket.destroy()
  })

  test('is refused at once when the request is', async () => {
    const socket = await openSocket(running.port)
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    socket.write(
      `POST /v3/organizations/org-other/sessions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 14\r\nAuthorization: Bearer ${await running.token()}\r\n\r\n`,
    )
    await until(() => text.includes('\r\n\r\n'), 'the answer')
    expect(parseAnswer(text).status).toBe(403)
    socket.destroy()
  })
})
