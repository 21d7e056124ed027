// Everything that can go wrong between gateway and upstream: the right status and kind with Proxy-Status, no inner
// address in an answer, nothing sent twice, one record of each.

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openSocket, parseAnswer } from '../support/raw-request.ts'
import { startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts'
import { startTestGateway, until, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
let running: RunningGateway | null = null
let upstream: RawUpstream
afterEach(async () => {
  await running?.close()
  running = null
  await upstream?.close()
})
beforeAll(async () => {
  upstream = await startRawUpstream()
})

const timeouts = 'timeouts: { connect: 300ms, headers: 300ms, body_idle: 300ms }'

async function start(settings = ''): Promise<RunningGateway> {
  upstream = await startRawUpstream()
  running = await startTestGateway({ upstream: `{ origin: "${upstream.origin}", ${timeouts}${settings} }` })
  return running
}

async function expectFailure(
  gateway: RunningGateway,
  expected: { status: number; kind: string; error: string; method?: string; path?: string; body?: string },
): Promise<void> {
  const { status, kind, error, method = 'GET', path = sessions, body } = expected
  const answer = await gateway.call(path, { method, ...(body === undefined ? {} : { body }) })
  const text = await answer.text()
  expect(answer.status, text).toBe(status)
  expect(answer.headers.get('proxy-status')).toBe(`devin-gateway; error=${error}`)
  expect(JSON.parse(text)).toMatchObject({ type: `/gateway/v1/problems/${kind}`, status, reason: kind })
  expect(text).not.toMatch(/127\.0\.0\.1|localhost|ECONN|ENOTFOUND|UND_ERR|HPE_|socket|\.invalid/)
  const { access, decision } = await gateway.recorded(1)
  expect(await gateway.access()).toHaveLength(1)
  expect(await gateway.decisions()).toHaveLength(1)
  expect(access).toMatchObject({ status, outcome: 'failed', problem: kind, decision_id: JSON.parse(text).decision_id })
  expect(decision).toMatchObject({ effect: 'allow', key: 'payments-runner' })
}

describe('an upstream that cannot be reached', () => {
  test('because nobody listens', async () => {
    const gateway = await start()
    await upstream.close()
    await expectFailure(gateway, { status: 502, kind: 'upstream-unreachable', error: 'connection_refused' })
  })

  test('because its name cannot be resolved', async () => {
    running = await startTestGateway({ upstream: `{ origin: "https://devin.invalid", ${timeouts} }` })
    await expectFailure(running, { status: 502, kind: 'upstream-unreachable', error: 'dns_error' })
  })

  test('because it does not take the connection in time', async () => {
    // TEST-NET-1 (RFC 5737) is routed nowhere; where a machine says so at once, that is an answer as well.
    running = await startTestGateway({ upstream: `{ origin: "https://192.0.2.1", ${timeouts} }` })
    const answer = await running.call(sessions)
    expect([502, 504]).toContain(answer.status)
    expect(await answer.text()).not.toContain('192.0.2.1')
    expect((await running.recorded(1)).access).toMatchObject({ outcome: 'failed', upstream_status: null })
  })
})

describe('an upstream that fails a request', () => {
  test.each(['GET', 'POST', 'DELETE'])('by silence is timed out, and %s is not sent again', async (method) => {
    const gateway = await start()
    upstream.respond(() => {})
    await expectFailure(gateway, {
      status: 504,
      kind: 'upstream-timeout',
      error: 'http_response_timeout',
      method,
      path: method === 'GET' || method === 'POST' ? sessions : `${sessions}/devin-1`,
      ...(method === 'POST' ? { body: '{"prompt":"x"}' } : {}),
    })
    expect(upstream.requests).toHaveLength(1)
  })

  test.each(['GET', 'PUT', 'POST', 'DELETE'])(
    'by closing before an answer, and %s is not sent again',
    async (method) => {
      const gateway = await start()
      upstream.respond((socket) => socket.destroy())
      await expectFailure(gateway, {
        status: 502,
        kind: 'upstream-unreachable',
        error: 'connection_terminated',
        method,
        path: method === 'PUT' ? `${sessions}/devin-1/tags` : method === 'DELETE' ? `${sessions}/devin-1` : sessions,
        ...(method === 'POST' || method === 'PUT' ? { body: '{"prompt":"x"}' } : {}),
      })
      await gateway.settled()
      expect(upstream.requests).toHaveLength(1)
    },
  )

  test('by a reset before an answer', async () => {
    const gateway = await start()
    upstream.respond((socket) => socket.resetAndDestroy())
    await expectFailure(gateway, { status: 502, kind: 'upstream-unreachable', error: 'connection_terminated' })
    expect(upstream.requests).toHaveLength(1)
  })

  test('says of a write that it may have happened, of a read that it can be sent again, and of a rejected key neither', async () => {
    const gateway = await start()
    const write = 'A write may have happened: read back before you repeat it.'
    const read = 'Nothing was changed: send the request again.'
    const plain = 'Ask for it with Accept-Encoding: identity and Cache-Control: no-store.'
    const coded = 'HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nflat'
    const cases: [string, (socket: Socket) => unknown, forRead: string, forWrite: string][] = [
      ['reset', (socket) => socket.resetAndDestroy(), read, write],
      ['garbage', (socket) => socket.write('hello\r\n\r\n'), read, write],
      ['status', (socket) => socket.write('HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n'), read, write],
      ['silence', () => {}, read, write],
      ['coding', (socket) => socket.write(coded), plain, write],
      ['key', (socket) => socket.write('HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n'), 'Retry-After.', 'Retry-After.'],
    ]
    for (const [name, respond, forRead, forWrite] of cases) {
      upstream.respond(respond)
      for (const method of ['GET', 'POST', 'PUT', 'HEAD']) {
        const path = method === 'PUT' ? `${sessions}/devin-1/tags` : sessions
        const answer = await gateway.call(path, { method, ...(method === 'PUT' ? { body: '{"tags":[]}' } : {}) })
        const isWrite = method === 'POST' || method === 'PUT'
        const mayBeDone = isWrite && name !== 'key'
        expect([name, method, answer.headers.get('x-should-retry')]).toEqual([
          name,
          method,
          mayBeDone && method === 'POST' ? 'false' : null,
        ])
        const text = await answer.text()
        if (method === 'HEAD') continue
        const { detail } = JSON.parse(text) as { detail: string }
        expect([name, method, detail.endsWith(isWrite ? forWrite : forRead)], detail).toEqual([name, method, true])
        expect(detail.includes(write)).toBe(mayBeDone)
      }
    }
  })

  test.each([
    ['no HTTP at all', 'hello\r\n\r\n'],
    ['HTTP/2 frames', '\u0000\u0000\u0012\u0004\u0000\u0000\u0000\u0000\u0000'],
    ['a status that is no number', 'HTTP/1.1 abc OK\r\n\r\n'],
    ['two different lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x'],
    ['a length that is no number', 'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}'],
    [
      'a length and chunks',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    ],
    ['a field without a name', 'HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n'],
    ['a field with a NUL', 'HTTP/1.1 200 OK\r\na: b\u0000\r\nContent-Length: 0\r\n\r\n'],
    ['fields of a megabyte', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(1_000_000)}\r\nContent-Length: 0\r\n\r\n`],
    ['an unasked switch of protocols', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
  ])('by an answer that is not well-formed: %s', async (_name, bytes) => {
    const gateway = await start()
    upstream.respond((socket) => socket.write(Buffer.from(bytes, 'latin1')))
    const answer = await gateway.call(sessions)
    const text = await answer.text()
    expect(answer.status, text).toBe(502)
    expect(JSON.parse(text)).toMatchObject({ type: expect.stringMatching(/upstream-(?:answer-refused|unreachable)$/) })
    expect(answer.headers.get('proxy-status')).toMatch(/^devin-gateway; error=/)
    expect((await gateway.recorded(1)).access).toMatchObject({ outcome: 'failed', status: 502 })
    expect(upstream.requests).toHaveLength(1)
    // The connection it came on is not used again.
    upstream.respond((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood'))
    expect(await (await gateway.call(sessions)).text()).toBe('good')
  })

  test.each([
    ['a reset', 'resetAndDestroy' as const],
    ['a close', 'destroy' as const],
  ])("by %s in the middle of an answer: the caller's answer breaks off, too", async (_name, how) => {
    const gateway = await start()
    upstream.respond((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf')
      setTimeout(() => socket[how](), 20)
    })
    const answer = await gateway.call(sessions)
    expect(answer.status).toBe(200)
    await expect(answer.text()).rejects.toThrow()
    expect((await gateway.recorded(1)).access).toMatchObject({ outcome: 'failed', problem: 'upstream-unreachable' })
    expect(upstream.requests).toHaveLength(1)
  })

  test("by a close inside chunks: the caller's answer has no end", async () => {
    const gateway = await start()
    upstream.respond((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n')
      setTimeout(() => socket.destroy(), 20)
    })
    const socket = await openSocket(gateway.port)
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.on('error', () => {})
    socket.write(`GET ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await gateway.token()}\r\n\r\n`)
    await new Promise((resolve) => socket.on('close', resolve))
    expect(text).toContain('half')
    expect(text).not.toContain('0\r\n\r\n')
    expect((await gateway.recorded(1)).access).toMatchObject({ outcome: 'failed' })
  })

  test('by silence in the middle of an answer: it breaks off', async () => {
    const gateway = await start()
    upstream.respond((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf'))
    const answer = await gateway.call(sessions)
    await expect(answer.text()).rejects.toThrow()
    expect((await gateway.recorded(1)).access).toMatchObject({ outcome: 'failed', problem: 'upstream-timeout' })
  })
})

describe('a connection of the pool', () => {
  test('on which an unasked second answer waits is not used again (CVE-2026-48931)', async () => {
    const gateway = await start(', connections: 1')
    let answered = 0
    let poison = (): void => {}
    let closed: Promise<unknown> = Promise.resolve()
    upstream.respond((socket) => {
      answered += 1
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nown-${answered}`)
      if (answered > 1) return
      closed = once(socket, 'close')
      poison = () => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison')
    })
    expect(await (await gateway.call(sessions)).text()).toBe('own-1')
    await gateway.settled()
    // The connection is idle now.
    poison()
    await closed
    for (let index = 2; index < 5; index++) expect(await (await gateway.call(sessions)).text()).toBe(`own-${index}`)
  })

  test('that carries a second answer glued to the first gives it to nobody, also under load', async () => {
    const gateway = await start(', connections: 1')
    let answered = 0
    upstream.respond((socket) => {
      answered += 1
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nownHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison')
    })
    const answers = await Promise.all(Array.from({ length: 10 }, () => gateway.call(sessions)))
    const texts = await Promise.all(answers.map((answer) => answer.text()))
    for (const text of texts) expect(text).not.toContain('poison')
    expect(answered).toBeLessThanOrEqual(10)
  })

  test('whose answer to HEAD or 204 has a body is not used again', async () => {
    const gateway = await start(', connections: 1')
    upstream.respond((socket, request) =>
      socket.write(
        request.startsWith('HEAD')
          ? 'HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nHTTP/1.1 200 poison\r\n\r\n'
          : request.startsWith('DELETE')
            ? 'HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison'
            : 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nown',
      ),
    )
    for (const [method, path] of [
      ['HEAD', sessions],
      ['DELETE', `${sessions}/devin-1`],
    ] as const) {
      await gateway.call(path, { method })
      const next = await gateway.call(sessions)
      expect([next.status, await next.text()]).toEqual([200, 'own'])
    }
  })

  test('takes interim answers for what they are', async () => {
    const gateway = await start()
    upstream.respond((socket) =>
      socket.write(
        'HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nown',
      ),
    )
    const answer = await gateway.call(sessions)
    expect([answer.status, await answer.text()]).toEqual([200, 'own'])
  })

  test('that is closed while idle costs nobody a request', async () => {
    const gateway = await start()
    const sockets: Socket[] = []
    upstream.respond((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nown')
      sockets.push(socket)
    })
    for (let index = 0; index < 10; index++) {
      expect((await gateway.call(sessions)).status).toBe(200)
      await gateway.settled()
      const idle = sockets.at(-1)
      idle?.end()
      if (idle !== undefined && !idle.destroyed) await once(idle, 'close')
    }
  })
})

describe('more than the pool can take', () => {
  test('is refused as overloaded, and the others are served', async () => {
    const gateway = await start(', connections: 1, max_waiting: 2')
    const waiting: (() => void)[] = []
    upstream.respond((socket) => {
      waiting.push(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'))
    })
    const calls = Array.from({ length: 6 }, () => gateway.call(sessions))
    const first = await Promise.race(calls)
    expect(first.status).toBe(503)
    expect(first.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await first.json()).toMatchObject({ type: '/gateway/v1/problems/overloaded' })
    // All six have arrived when three were refused; an earlier answer would make room for one that is still on its way.
    let refused = 0
    for (const call of calls) void call.then(({ status }) => (refused += status === 503 ? 1 : 0))
    await until(() => refused === 3, 'three refusals')
    const pump = setInterval(() => waiting.splice(0).forEach((answer) => answer()), 5)
    const statuses = (await Promise.all(calls)).map((answer) => answer.status)
    clearInterval(pump)
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 200, 200, 503, 503, 503])
  })
})

describe('an answer that comes early', () => {
  test('of 413 in the middle of an upload reaches the caller', async () => {
    const gateway = await start()
    upstream.respond((socket) => {
      socket.write('HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig')
      setTimeout(() => socket.destroy(), 20)
    })
    const socket = await openSocket(gateway.port)
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.on('error', () => {})
    socket.write(
      `POST ${sessions}/devin-1/tags HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await gateway.token()}\r\nContent-Length: 10000000\r\n\r\n${'x'.repeat(100_000)}`,
    )
    await until(() => text.includes('\r\n\r\nbig'), 'the early answer')
    expect(parseAnswer(text).status).toBe(413)
    expect((await gateway.recorded(1)).access).toMatchObject({ status: 413 })
    expect((await gateway.access()).length).toBe(1)
    socket.destroy()
    expect(upstream.requests).toHaveLength(1)
  })
})

describe('a stream of events', () => {
  test('passes event by event', async () => {
    const gateway = await start()
    let open: ((text: string) => void) | null = null
    upstream.respond((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n')
      open = (text) => socket.write(`${text.length.toString(16)}\r\n${text}\r\n`)
    })
    const answering = gateway.call(sessions)
    await until(() => open !== null, 'the stream to open')
    // The first event may be what carries the head.
    ;(open as unknown as (text: string) => void)('data: 1\n\n')
    const reader = (await answering).body?.getReader()
    for (let event = 1; event < 5; event++) {
      const { value } = (await reader?.read()) ?? {}
      expect(Buffer.from(value ?? []).toString()).toBe(`data: ${event}\n\n`)
      ;(open as unknown as (text: string) => void)(`data: ${event + 1}\n\n`)
    }
    await reader?.cancel()
    expect((await gateway.recorded(1)).access).toMatchObject({ outcome: 'aborted', status: 200 })
  })

  test('has its head passed on before the first event', async () => {
    const gateway = await start()
    upstream.respond((socket) =>
      socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n'),
    )
    const socket = await openSocket(gateway.port)
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.on('error', () => {})
    socket.write(`GET ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await gateway.token()}\r\n\r\n`)
    await until(() => upstream.requests.length === 1, 'the upstream to be asked')
    await Promise.race([
      until(() => text.includes('text/event-stream'), 'the head'),
      new Promise((resolve) => socket.on('close', resolve)),
    ])
    expect(text.slice(0, 12)).toBe('HTTP/1.1 200')
    socket.destroy()
  })
})

describe('a caller that leaves', () => {
  test.each([
    ['before the head', ''],
    ['after the head', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf'],
  ])('%s stops the upstream and leaves one record of each', async (_name, bytes) => {
    const gateway = await start()
    let closed = false
    upstream.respond((socket) => {
      if (bytes !== '') socket.write(bytes)
      socket.on('close', () => (closed = true))
    })
    const socket = await openSocket(gateway.port)
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.on('error', () => {})
    socket.write(`GET ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await gateway.token()}\r\n\r\n`)
    await until(() => upstream.requests.length === 1 && (bytes === '' || text.includes('half')), 'the upstream')
    socket.resetAndDestroy()
    await until(() => closed, 'the upstream to be let go')
    expect((await gateway.recorded(1)).access).toMatchObject({
      outcome: 'aborted',
      status: bytes === '' ? null : 200,
    })
    expect(await gateway.access()).toHaveLength(1)
    expect(await gateway.decisions()).toHaveLength(1)
    expect(gateway.gateway.readiness().ready).toBe(true)
  })
})
