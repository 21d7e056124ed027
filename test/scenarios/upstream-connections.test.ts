// Connections to the upstream, and an upstream that misbehaves on them: nothing crosses from one key to another, no write is
// done twice, and what is away is left alone.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts'
import { startTestGateway, until, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const enterprise = '/v3/enterprise/sessions'
const analyst = { claims: { groups: ['sso-analytics'], sub: 'bob' } }

let running: RunningGateway
let upstream: RawUpstream
afterEach(async () => {
  await running.close()
  await upstream.close()
})

async function start(settings = ''): Promise<void> {
  upstream = await startRawUpstream()
  running = await startTestGateway({ upstream: `{ origin: "${upstream.origin}"${settings} }` })
}

function answerOf(body: string, more = ''): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${more}content-length: ${body.length}\r\n\r\n${body}`
}

/** The key that a request came with. */
function keyOf(request: string): string {
  return /authorization: Bearer cog_([a-z-]+)-\d/i.exec(request)?.[1] ?? 'none'
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${running.adminUrl}/metrics`)).text()
  const line = text.split('\n').find((each) => each.startsWith(`${name} `))
  return Number(line?.split(' ')[1] ?? 0)
}

describe('an upstream that answers unasked', () => {
  test.each([
    ['right behind its answer', 0],
    ['a moment later', 1],
    ['two moments later', 2],
  ])('%s: an answer that nobody has asked for never reaches a caller of another key', async (_name, delayMs) => {
    await start(', connections: 4')
    upstream.respond((socket, request) => {
      const key = keyOf(request)
      socket.write(answerOf(`{"key":"${key}"}`))
      const poison = (): void => void socket.write(answerOf(`{"key":"${key}","poison":true}`))
      if (delayMs === 0) setImmediate(poison)
      else setTimeout(poison, delayMs)
    })
    let poisoned = 0
    for (let round = 0; round < 60; round += 1) {
      const [own, other] = await Promise.all([running.call(sessions), running.call(enterprise, analyst)])
      const [first, second] = [await own.text(), await other.text()]
      expect([own.status, other.status]).toEqual([200, 200])
      expect(JSON.parse(first)).toMatchObject({ key: 'payments-runner' })
      expect(JSON.parse(second)).toMatchObject({ key: 'analytics' })
      poisoned += [first, second].filter((text) => text.includes('poison')).length
    }
    expect(poisoned).toBeLessThan(120)
  })

  test.each([
    ['a line break', '\r\n'],
    ['half a status line', 'HTTP/1.1 2'],
    ['anything', '\u0000'],
  ])('on an idle connection with %s: the connection is not used again', async (_name, bytes) => {
    await start()
    const sockets: Socket[] = []
    upstream.respond((socket) => {
      if (!sockets.includes(socket)) sockets.push(socket)
      socket.write(answerOf('{}'))
    })
    await running.call(sessions)
    let closed = false
    sockets[0]?.on('close', () => (closed = true))
    sockets[0]?.write(bytes)
    await until(() => closed, 'the connection to be closed')
    expect((await running.call(sessions)).status).toBe(200)
    expect(sockets).toHaveLength(2)
  })
})

describe('a kept connection that the other side has just closed', () => {
  test.each([
    ['GET', sessions, 200],
    ['HEAD', sessions, 200],
    ['POST', sessions, 502],
    ['DELETE', `${sessions}/devin-1`, 502],
    ['PUT', `${sessions}/devin-1/tags`, 502],
  ])('a read is sent once more on a new one, and a write never: %s', async (method, path, status) => {
    await start(', connections: 1')
    upstream.respond((socket) => {
      socket.write(answerOf('{}'))
      // The second request on a connection meets its end.
      upstream.respond((second) => {
        if (second === socket) second.destroy()
        else second.write(answerOf(''))
      })
    })
    await running.call(sessions)
    const hasBody = method === 'POST' || method === 'PUT'
    const answer = await running.call(path, { method, ...(hasBody ? { body: '{"prompt":"x"}' } : {}) })
    expect(answer.status, await answer.text()).toBe(status)
    expect(upstream.requests).toHaveLength(status === 200 ? 3 : 2)
  })

  test('a read is sent on a new one though others are kept, which may be closing as well', async () => {
    await start()
    const kept: Socket[] = []
    upstream.respond((socket) => {
      kept.push(socket)
      if (kept.length === 3) for (const each of kept) each.write(answerOf('{}'))
    })
    await Promise.all([1, 2, 3].map((call) => running.call(`${sessions}?call=${call}`)))
    upstream.respond((socket) => {
      if (kept.includes(socket)) socket.destroy()
      else socket.write(answerOf('{}'))
    })
    expect((await running.call(sessions)).status).toBe(200)
    expect([upstream.requests.length, upstream.connections]).toEqual([5, 4])
  })

  test('a read is not sent a third time', async () => {
    await start()
    upstream.respond((socket) => {
      socket.write(answerOf('{}'))
      upstream.respond((second) => second.destroy())
    })
    await running.call(sessions)
    expect((await running.call(sessions)).status).toBe(502)
    expect(upstream.requests).toHaveLength(3)
  })

  test('a read whose answer has begun is not sent again', async () => {
    await start()
    upstream.respond((socket) => {
      socket.write(answerOf('{}'))
      upstream.respond((second) => second.end('HTTP/1.1 200 OK\r\ncontent-le'))
    })
    await running.call(sessions)
    const answer = await running.call(sessions)
    expect([answer.status, answer.headers.get('proxy-status')]).toEqual([
      502,
      'devin-gateway; error=http_response_incomplete',
    ])
    expect(await answer.json()).toMatchObject({ type: '/gateway/v1/problems/upstream-answer-refused' })
    expect(upstream.requests).toHaveLength(2)
  })
})

describe('an answer that is none', () => {
  test.each([
    ['a status above 599', 'HTTP/1.1 600 X\r\ncontent-length: 2\r\n\r\n{}'],
    ['a status of 999', 'HTTP/1.1 999 X\r\ncontent-length: 2\r\n\r\n{}'],
    ['a status below 100', 'HTTP/1.1 099 X\r\ncontent-length: 2\r\n\r\n{}'],
    ['a status of 000', 'HTTP/1.1 000 X\r\ncontent-length: 2\r\n\r\n{}'],
    ['no HTTP', 'hello\r\n\r\n'],
    ['a switch of protocols', 'HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'],
    ['a head without end', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(300_000)}`],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x'],
    ['a chunk without a size', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\n{}'],
    ['a length below zero', 'HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}'],
    ['a field with a NUL', 'HTTP/1.1 200 OK\r\nx: a\u0000b\r\ncontent-length: 2\r\n\r\n{}'],
    ['a field without a colon', 'HTTP/1.1 200 OK\r\nnothing\r\ncontent-length: 2\r\n\r\n{}'],
    ['TLS', '\u0015\u0003\u0001\u0000\u0002\u0002\u0016'],
    ['interim answers without end', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)],
  ])('%s: 502 upstream-answer-refused', async (_name, bytes) => {
    await start()
    upstream.respond((socket) => socket.write(Buffer.from(bytes, 'latin1')))
    const answer = await running.call(sessions, { method: 'POST', body: '{"prompt":"x"}' }).catch(() => null)
    // What breaks in its body after its head has passed can only be broken off.
    if (answer !== null && answer.status !== 200) {
      expect(answer.status).toBe(502)
      expect(await answer.json()).toMatchObject({ type: '/gateway/v1/problems/upstream-answer-refused' })
    }
    expect((await running.recorded(1)).access).toMatchObject({ outcome: 'failed', problem: 'upstream-answer-refused' })
    expect(upstream.requests).toHaveLength(1)
  })

  test.each([
    ['an unasked 100', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['a 100 with fields', 'HTTP/1.1 100 Continue\r\nserver: x\r\n\r\n'],
    ['a 100 that speaks of the connection', 'HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n'],
    ['a 103 that speaks of its body', 'HTTP/1.1 103 X\r\ncontent-length: 9\r\nconnection: close\r\n\r\n'],
    ['a 102 with an offer', 'HTTP/1.1 102 X\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n'],
    ['a 100 of HTTP/1.0', 'HTTP/1.0 100 Continue\r\n\r\n'],
    ['a 103 of HTTP/1.0', 'HTTP/1.0 103 X\r\nlink: </x>\r\n\r\n'],
    [
      'several, mixed',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n',
    ],
  ])('%s before it does not turn a created session into a failure', async (_name, interim) => {
    await start(', connections: 1')
    upstream.respond((socket) => {
      // One byte after another, so that it is cut everywhere.
      const bytes = `${interim}${answerOf('{"session_id":"devin-1"}')}`
      const send = (at: number): void => {
        if (at >= bytes.length) return
        socket.write(bytes.slice(at, at + 7))
        setImmediate(send, at + 7)
      }
      send(0)
    })
    for (let round = 0; round < 3; round += 1) {
      const answer = await running.call(sessions, { method: 'POST', body: '{"prompt":"x"}' })
      expect([answer.status, await answer.text()]).toEqual([200, '{"session_id":"devin-1"}'])
    }
    expect(upstream.connections).toBe(1)
  })
})

describe('an upstream that is away', () => {
  const problemOf = async (answer: Response): Promise<unknown> => {
    const problem: unknown = await answer.json()
    return Reflect.get(Object(problem), 'reason')
  }

  test.each([
    ['takes no connection', null],
    ['closes each connection', (socket: Socket): void => void socket.destroy()],
    ['is silent', (): void => {}],
  ])('because it %s is not asked by every call, and is asked again when it is back', async (_name, respond) => {
    await start(', timeouts: { connect: 100ms, headers: 100ms }')
    if (respond === null) await upstream.close()
    else upstream.respond(respond)
    const reasons: unknown[] = []
    const refused: unknown[] = []
    for (let call = 0; call < 20; call += 1) {
      const answer = await running.call(sessions)
      const reason = await problemOf(answer)
      reasons.push(reason)
      if (reason === 'upstream-silent') refused.push([answer.status, Number(answer.headers.get('retry-after')) >= 1])
    }
    expect(reasons.slice(0, 5)).not.toContain('upstream-silent')
    // On a slow machine a pause of the breaker ends among the calls, and one of them is a probe.
    expect(refused.length).toBeGreaterThan(4)
    expect(refused).toEqual(refused.map(() => [502, true]))
    expect(await metric('gateway_upstream_breaker_total{key="payments-runner",event="opened"}')).toBeGreaterThan(0)
    expect(await metric('gateway_upstream_breaker_total{key="payments-runner",event="refused"}')).toBe(refused.length)
    // Another key has a breaker of its own.
    expect(await problemOf(await running.call(enterprise, analyst))).not.toBe('upstream-silent')
    if (respond === null) {
      await running.close()
      return
    }
    upstream.respond((socket) => socket.write(answerOf('{}')))
    await until(async () => (await running.call(sessions)).status === 200, 'it to be asked again')
    expect(await metric('gateway_upstream_breaker_total{key="payments-runner",event="closed"}')).toBeGreaterThan(0)
  })

  test('only for the requests of one caller leaves the others alone', async () => {
    await start()
    upstream.respond((socket, request) => {
      if (request.includes('bad')) socket.destroy()
      else socket.write(answerOf('{}'))
    })
    for (let call = 0; call < 12; call += 1) await running.call(`${sessions}?bad`, { claims: { sub: 'mallory' } })
    expect((await running.call(sessions, { claims: { sub: 'ann' } })).status).toBe(200)
    expect((await running.call(`${sessions}?n`, { claims: { sub: 'carl' } })).status).toBe(200)
  })

  test('is not what answers of 500 and callers who leave say', async () => {
    await start()
    upstream.respond((socket) => socket.write('HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n'))
    for (let call = 0; call < 12; call += 1) expect((await running.call(sessions)).status).toBe(500)
    upstream.respond(() => {})
    for (let call = 0; call < 12; call += 1) {
      const leave = new AbortController()
      const before = upstream.requests.length
      const left = running.call(sessions, { signal: leave.signal }).catch(() => null)
      await until(() => upstream.requests.length > before, 'the upstream to be asked')
      leave.abort()
      await left
    }
    upstream.respond((socket) => socket.write(answerOf('{}')))
    expect((await running.call(sessions)).status).toBe(200)
  })
})

test('a connection that has carried one key, or one value of a key, never carries another', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'gateway-test-secret-'))
  const file = join(directory, 'payments')
  await writeFile(file, 'cog_first-0123456789abcdef')
  upstream = await startRawUpstream()
  running = await startTestGateway({
    upstream: `{ origin: "${upstream.origin}" }`,
    policies: {
      'keys.yaml': (usualPolicies['keys.yaml'] ?? '').replace(
        'secret: { env: PAYMENTS_RUNNER_KEY }',
        `secret: { file: ${file} }`,
      ),
    },
  })
  const bySocket = new Map<Socket, Set<string>>()
  upstream.respond((socket, request) => {
    const keys = bySocket.get(socket) ?? new Set()
    keys.add(/authorization: \S+ (\S+)/i.exec(request)?.[1] ?? '')
    bySocket.set(socket, keys)
    socket.write(answerOf('{}'))
  })
  for (const value of ['cog_first-0123456789abcdef', 'cog_second-0123456789abcdef', 'cog_third-0123456789abcdef']) {
    await writeFile(file, value)
    expect((await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })).status).toBe(200)
    for (let round = 0; round < 3; round += 1)
      await Promise.all([running.call(sessions), running.call(`${sessions}?two`), running.call(enterprise, analyst)])
  }
  expect(new Set([...bySocket.values()].flatMap((keys) => [...keys])).size).toBe(4)
  for (const keys of bySocket.values()) expect([...keys]).toHaveLength(1)
  await rm(directory, { recursive: true })
})

describe("the upstream's clock", () => {
  test.each([
    ['an hour ahead', 3600],
    ['an hour behind', -3600],
  ])('%s is a metric', async (_name, seconds) => {
    await start()
    upstream.respond((socket) =>
      socket.write(answerOf('{}', `date: ${new Date(Date.now() + seconds * 1000).toUTCString()}\r\n`)),
    )
    await running.call(sessions)
    const skew = await metric('gateway_clock_skew_seconds{peer="upstream"}')
    expect(Math.abs(skew - seconds)).toBeLessThan(30)
  })

  test('is not read from answers that a cache on the way has kept', async () => {
    await start()
    upstream.respond((socket) =>
      socket.write(answerOf('{}', `age: 3600\r\ndate: ${new Date(Date.now() - 3_600_000).toUTCString()}\r\n`)),
    )
    await running.call(sessions)
    const text = await (await fetch(`${running.adminUrl}/metrics`)).text()
    expect(text).not.toContain('peer="upstream"')
  })
})
