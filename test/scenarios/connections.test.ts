// Idle connections are closed, and their number is bounded; slow but active senders and readers are not cut.

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { mostOfClient } from '../../src/admin/access/connection-cap.ts'
import { createAuthority } from '../support/certificates.ts'
import { startGatewayProcess } from '../support/command.ts'
import { fieldLines, flags, frame, frameTypes, openHttp2 } from '../support/http2-frames.ts'
import { startIssuer } from '../support/issuer.ts'
import { openSocket, parseAnswer, rawRequest, sendRaw } from '../support/raw-request.ts'
import { createSite } from '../support/site.ts'
import { startTestGateway, until, usualKeys, type RunningGateway } from '../support/start-gateway.ts'
import { problemOf } from '../support/three-sides.ts'
import { startUpstream } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const authority = createAuthority('a test authority')
const ping = frame(frameTypes.ping, 0, 0, Buffer.alloc(8))
const settings = frame(frameTypes.settings, 0, 0)

let directory: string
let certificate: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-test-connections-'))
  const { cert, key } = authority.issue({ name: 'localhost' })
  await writeFile(join(directory, 'cert.pem'), cert)
  await writeFile(join(directory, 'key.pem'), key)
  certificate = `tls: { cert: "${join(directory, 'cert.pem')}", key: "${join(directory, 'key.pem')}" }`
})
afterAll(() => rm(directory, { recursive: true, force: true }))

/** The value of one series in `/metrics`. */
async function metric(running: RunningGateway, series: string): Promise<number> {
  const text = await (await fetch(`${running.adminUrl}/metrics`)).text()
  const line = text.split('\n').find((each) => each.startsWith(`${series} `))
  if (line === undefined) throw new Error(`no ${series}`)
  return Number(line.slice(series.length + 1))
}

const cut = (cause: string): string => `gateway_connections_cut_total{cause="${cause}"}`

/** Resolves when the other side has closed the connection. */
function closed(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.on('error', () => {})
  return new Promise((resolve) => socket.on('close', () => resolve(text)))
}

/** Writes a piece again and again until the connection is closed. */
async function trickle(socket: Socket, piece: (index: number) => Buffer | string): Promise<string> {
  let index = 0
  const timer = setInterval(() => socket.writable && socket.write(piece(index++)), 40)
  const text = await closed(socket)
  clearInterval(timer)
  return text
}

/** Opens a stream of events at the gateway; `finish` sends the last one. */
function streamEvents(running: RunningGateway): { opened: () => boolean; finish: () => void } {
  let answer: ServerResponse | null = null
  running.upstream.takeOver((request, response) => {
    request.resume()
    answer = response
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: first\n\n')
  })
  return { opened: () => answer !== null, finish: () => void answer?.end('data: last\n\n') }
}

describe('a plain listener', () => {
  let running: RunningGateway
  beforeAll(async () => {
    running = await startTestGateway({
      listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", timeouts: { head: 400ms } }',
    })
  })
  afterEach(() => running.upstream.takeOver(null))
  afterAll(() => running.close())

  test('closes a connection that says nothing, without a record', async () => {
    const [records, cuts] = [await running.settled(), await metric(running, cut('head'))]
    expect(await closed(await openSocket(running.port))).toBe('')
    expect(await metric(running, cut('head'))).toBe(cuts + 1)
    expect(await running.settled()).toBe(records)
  })

  test.each([
    ['the first', ''],
    [
      'one behind an answered request',
      rawRequest('GET', '/gateway/v1/problems/draining').replace('Connection: close\r\n', ''),
    ],
  ])('refuses a head that comes byte by byte: %s', async (_name, before) => {
    const records = await running.settled()
    const socket = await openSocket(running.port)
    if (before !== '') {
      socket.write(before)
      await new Promise((resolve) => socket.once('data', resolve))
    }
    const head = `GET ${sessions} HTTP/1.1\r\nHost: x\r\nX-Slow: `
    const text = await trickle(socket, (index) => head[index] ?? 'x')
    const answer = parseAnswer(text.slice(text.lastIndexOf('HTTP/1.1 ')))
    expect(problemOf(answer)).toMatchObject({ status: 400, reason: 'request-incomplete' })
    expect(answer.fields).toMatchObject({ connection: 'close', 'x-content-type-options': 'nosniff' })
    expect(await running.settled()).toBe(records + (before === '' ? 1 : 2))
    expect((await running.recordsOf(answer.fields['gateway-decision'] ?? '')).access).toMatchObject({
      status: 400,
      reason: 'request-incomplete',
    })
  })

  test('cuts neither a long answer nor a slow upload that began before', async () => {
    const events = streamEvents(running)
    const token = await running.token()
    const download = await openSocket(running.port)
    let answer = ''
    download.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
    download.write(rawRequest('GET', sessions, [`Authorization: Bearer ${token}`]))
    await until(() => answer.includes('data: first'), 'the answer to begin')
    let received = 0
    let complete = false
    running.upstream.takeOver((request, response) => {
      request.on('data', (chunk: Buffer) => (received += chunk.length))
      request.on('end', () => {
        complete = true
        response.end('{}')
      })
    })
    const length = 300_000
    const upload = await openSocket(running.port)
    upload.write(
      rawRequest('PUT', `${sessions}/devin-1/tags`, [`Authorization: Bearer ${token}`, `Content-Length: ${length}`]),
    )
    upload.write(Buffer.alloc(100_000, 'x'))
    const uploaded = closed(upload)
    await until(() => received > 0, 'the upload to begin')
    // The deadline passes twice for others meanwhile.
    for (let round = 0; round < 2; round++) {
      await closed(await openSocket(running.port))
      upload.write(Buffer.alloc(100_000, 'x'))
    }
    await until(() => complete, 'the upload to end')
    expect(parseAnswer(await uploaded).status).toBe(200)
    events.finish()
    await until(() => answer.includes('data: last'), 'the answer to end')
  })
})

describe('a listener with TLS', () => {
  let running: RunningGateway
  let honest: ClientHttp2Session
  let token: string
  beforeAll(async () => {
    running = await startTestGateway({
      listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", ${certificate}, timeouts: { head: 400ms, handshake: 400ms } }`,
    })
    token = await running.token()
    honest = connectHttp2(`https://localhost:${running.port}`, { ca: authority.ca })
  })
  afterAll(async () => {
    honest.destroy()
    await running.close()
  })

  /** Something that comes while a stream of events is under way on another session, which goes on. */
  async function beside(act: () => Promise<unknown>): Promise<void> {
    const events = streamEvents(running)
    const stream = honest.request({ ':path': sessions, authorization: `Bearer ${token}` })
    let text = ''
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
    const ended = new Promise((resolve, reject) => {
      stream.on('end', resolve)
      stream.on('error', reject)
    })
    await until(() => text.includes('first'), 'the events to begin')
    running.upstream.takeOver(null)
    await act()
    events.finish()
    await ended
    expect(text).toBe('data: first\n\ndata: last\n\n')
  }

  const http1 = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({
        port: running.port,
        host: 'localhost',
        ca: authority.ca,
        ALPNProtocols: ['http/1.1'],
      })
      socket.once('secureConnect', () => resolve(socket))
      socket.once('error', reject)
    })
  /** A session whose first request is answered. */
  const served = async (): Promise<Socket> => {
    const socket = await openHttp2(running.port, authority.ca)
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.write(head(1, '/gateway/v1/problems/draining'))
    await until(() => text.includes('</html>'), 'the answer')
    return socket
  }
  const head = (stream: number, path: string, fields: readonly (readonly [string, string])[] = []): Buffer =>
    frame(
      frameTypes.headers,
      flags.endHeaders + flags.endStream,
      stream,
      fieldLines([[':method', 'GET'], [':scheme', 'https'], [':authority', 'localhost'], [':path', path], ...fields]),
    )
  const fieldPiece = fieldLines([['x-slow', 'x']])

  test.each<[string, string, () => Promise<unknown>]>([
    ['a connection that begins no handshake', 'handshake', async () => closed(await openSocket(running.port))],
    [
      'a handshake that comes byte by byte',
      'handshake',
      async () => {
        // A ClientHello record that promises more than comes.
        const hello = Buffer.concat([Buffer.from('160301020001000f00', 'hex'), Buffer.alloc(600)])
        await trickle(await openSocket(running.port), (index) => hello.subarray(index, index + 1))
      },
    ],
    ['HTTP/1.1 that says nothing', 'head', async () => closed(await http1())],
    [
      'HTTP/1.1 with a head that comes byte by byte',
      'head',
      async () => {
        const text = await trickle(await http1(), (index) => `GET ${sessions} HTTP/1.1\r\nX-Slow: `[index] ?? 'x')
        expect(problemOf(parseAnswer(text)).reason).toBe('request-incomplete')
      },
    ],
    [
      'HTTP/2 without a preface',
      'head',
      async () => {
        const socket = connectTls({ port: running.port, host: 'localhost', ca: authority.ca, ALPNProtocols: ['h2'] })
        await closed(socket)
      },
    ],
    ['a session that opens nothing', 'head', async () => closed(await openHttp2(running.port, authority.ca))],
    ['a session that only pings', 'head', async () => trickle(await openHttp2(running.port, authority.ca), () => ping)],
    [
      'a session that only changes its settings',
      'head',
      async () => trickle(await openHttp2(running.port, authority.ca), () => settings),
    ],
    [
      'a session with a head that does not end, piece by piece',
      'head',
      async () => {
        const socket = await openHttp2(running.port, authority.ca)
        socket.write(frame(frameTypes.headers, 0, 1, fieldPiece))
        await closed(socket)
      },
    ],
    [
      'a session whose frame of a head comes byte by byte',
      'head',
      async () => {
        const socket = await openHttp2(running.port, authority.ca)
        const bytes = head(1, sessions, [['x-long', 'x'.repeat(10_000)]])
        await trickle(socket, (index) => bytes.subarray(index, index + 1))
      },
    ],
    [
      'a session with a slow head behind an answered request',
      'head',
      async () => {
        const bytes = head(3, sessions, [['x-long', 'x'.repeat(10_000)]])
        await trickle(await served(), (index) => bytes.subarray(index, index + 1))
      },
    ],
    [
      'a flood of pings',
      'flood',
      async () => trickle(await served(), () => Buffer.concat(Array.from({ length: 600 }, () => ping))),
    ],
    [
      'a flood of settings',
      'flood',
      async () => trickle(await served(), () => Buffer.concat(Array.from({ length: 600 }, () => settings))),
    ],
  ])('closes %s, and no stream of events beside it', async (_name, cause, act) => {
    const before = await metric(running, cut(cause))
    await beside(act)
    expect(await metric(running, cut(cause))).toBe(before + 1)
  })

  test('ends a session that resets its streams without end, whoever it is, and no stream of events beside it', async () => {
    const before = await metric(running, cut('protocol'))
    await beside(async () => {
      const socket = await openHttp2(running.port, authority.ca)
      const cancel = Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL])
      const pair = (stream: number): Buffer[] => [
        head(stream, sessions, [['authorization', `Bearer ${token}`]]),
        frame(frameTypes.resetStream, 0, stream, cancel),
      ]
      await trickle(socket, (index) =>
        Buffer.concat(Array.from({ length: 100 }, (_each, place) => pair(2 * (100 * index + place) + 1)).flat()),
      )
    })
    expect(await metric(running, cut('protocol'))).toBe(before + 1)
  })

  test('keeps a session that pings while its request is under way', async () => {
    const events = streamEvents(running)
    const stream = honest.request({ ':path': sessions, authorization: `Bearer ${token}` })
    let text = ''
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
    await until(() => text.includes('first'), 'the events to begin')
    const pings = setInterval(() => honest.ping(() => {}), 40)
    await closed(await openHttp2(running.port, authority.ca))
    clearInterval(pings)
    events.finish()
    await until(() => text.includes('last'), 'the last event')
    expect(honest.closed).toBe(false)
    running.upstream.takeOver(null)
  })

  test('records the request under way on a session that is cut for a flood', async () => {
    const events = streamEvents(running)
    const own = await openHttp2(running.port, authority.ca)
    own.write(
      head(1, sessions, [
        ['authorization', `Bearer ${token}`],
        ['x-request-id', 'in-a-flood'],
      ]),
    )
    await until(events.opened, 'the request to be under way')
    await trickle(own, () => Buffer.concat(Array.from({ length: 100 }, () => settings)))
    expect((await running.recordsOf('in-a-flood')).access.outcome).toMatch(/aborted|failed/)
    running.upstream.takeOver(null)
  })

  test('is not impressed by what is no TLS', async () => {
    const before = await running.settled()
    for (const bytes of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', '\u0016\u0003\u0001', '\u0000'.repeat(100)]) {
      const socket = await openSocket(running.port)
      socket.write(bytes)
      await closed(socket)
    }
    // The first one is an exchange: it is told that this port speaks TLS.
    expect(await running.settled()).toBe(before + 1)
    const stream = honest.request({ ':path': '/gateway/v1/problems/draining' })
    const status = await new Promise((resolve) =>
      stream.on('response', (answer) => resolve(answer[constants.HTTP2_HEADER_STATUS])),
    )
    expect(status).toBe(200)
  })
})

describe('the caps on connections', () => {
  let running: RunningGateway
  const open: Socket[] = []
  afterEach(async () => {
    for (const socket of open.splice(0)) socket.destroy()
    await running.close()
  })

  /** From an address of this machine's own, all of which are its loopback. */
  function from(localAddress: string): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port: running.port, host: '127.0.0.1', localAddress }, () => resolve(socket))
      socket.once('error', reject)
      open.push(socket)
    })
  }
  const request = rawRequest('GET', '/gateway/v1/problems/draining')
  /** The answer to one more connection. */
  async function oneMore(localAddress = '127.0.0.1'): Promise<{ status: number; reason: string | null }> {
    const socket = await from(localAddress)
    const text = closed(socket)
    socket.write(request)
    const answer = parseAnswer(await text)
    if (answer.status !== 503) return { status: answer.status, reason: null }
    expect(answer.fields).toMatchObject({
      'retry-after': '1',
      connection: 'close',
      'x-content-type-options': 'nosniff',
    })
    const { reason, decision_id: id } = problemOf(answer)
    const { access, decision } = await running.recordsOf(id)
    expect([access.problem, access.reason, decision.effect]).toEqual(['overloaded', reason, 'deny'])
    return { status: 503, reason }
  }
  const refused = (reason: string): string => `gateway_connections_refused_total{reason="${reason}"}`

  test('in all: one more is refused with 503, and taken when another has left', async () => {
    running = await startTestGateway({ listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", max_connections: 3 }' })
    for (let count = 0; count < 3; count++) await from('127.0.0.1')
    expect(await oneMore('127.0.0.2')).toEqual({ status: 503, reason: 'connections-too-many' })
    expect(await metric(running, 'gateway_connections')).toBe(3)
    expect(await metric(running, refused('too-many'))).toBe(1)
    expect(running.logLines.filter((line) => line.includes('connections-refused'))).toHaveLength(1)
    open[0]?.destroy()
    await until(async () => (await metric(running, 'gateway_connections')) === 2, 'the place to be free')
    expect(await oneMore()).toEqual({ status: 200, reason: null })
  })

  test('of one address: another address has its own', async () => {
    running = await startTestGateway({
      listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", max_connections_per_address: 2 }',
    })
    for (let count = 0; count < 2; count++) await from('127.0.0.1')
    expect(await oneMore()).toEqual({ status: 503, reason: 'connections-too-many-of-address' })
    expect(await oneMore('127.0.0.2')).toEqual({ status: 200, reason: null })
    expect(await metric(running, refused('too-many-of-address'))).toBe(1)
  })

  test('new connections beyond the cap are refused, and open ones are served', async () => {
    running = await startTestGateway({ listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", max_connections: 2 }' })
    const inside = await from('127.0.0.1')
    await from('127.0.0.1')
    const crowd = await Promise.all(Array.from({ length: 200 }, () => from('127.0.0.1')))
    // None of them says or closes anything by itself.
    const [answered, wordless] = [0, 0].map(() => [] as string[])
    await Promise.all(
      crowd.map(async (socket) => {
        const text = await closed(socket)
        ;(text === '' ? wordless : answered)?.push(text)
      }),
    )
    expect(answered?.length).toBeGreaterThan(0)
    expect(answered?.every((text) => parseAnswer(text).status === 503)).toBe(true)
    expect(await metric(running, refused('too-many'))).toBe(200)
    const answer = closed(inside)
    inside.write(request)
    expect(parseAnswer(await answer).status).toBe(200)
  })

  test('handshakes that do not end count, in all and for their address', async () => {
    running = await startTestGateway({
      listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", ${certificate}, max_connections: 3, max_connections_per_address: 2 }`,
    })
    for (let count = 0; count < 2; count++) await from('127.0.0.2')
    await until(async () => (await metric(running, 'gateway_connections')) === 2, 'two without a handshake')
    expect(await closed(await from('127.0.0.2'))).toBe('')
    await from('127.0.0.3')
    expect(await closed(await from('127.0.0.4'))).toBe('')
    expect(await metric(running, refused('too-many-of-address'))).toBe(1)
    expect(await metric(running, refused('too-many'))).toBe(1)
  })

  test('with TLS nothing can be said before the handshake: the connection is closed', async () => {
    running = await startTestGateway({
      listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", ${certificate}, max_connections: 1 }`,
    })
    const first = connectHttp2(`https://localhost:${running.port}`, { ca: authority.ca })
    await new Promise((resolve) => first.once('connect', resolve))
    expect(await closed(await from('127.0.0.1'))).toBe('')
    expect(await metric(running, refused('too-many'))).toBe(1)
    first.destroy()
    await until(async () => (await metric(running, 'gateway_connections')) === 0, 'the place to be free')
  })
})

test('the listeners of operators and of health have caps of their own, and serve others meanwhile', async () => {
  const running = await startTestGateway({
    listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0" }',
  })
  const sockets: Socket[] = []
  const from = (port: number, localAddress: string): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', localAddress }, () => resolve(socket))
      socket.once('error', reject)
      sockets.push(socket)
    })
  try {
    for (const port of [running.gateway.admin.port, running.gateway.health?.port ?? 0]) {
      await Promise.all(Array.from({ length: mostOfClient }, () => from(port, '127.0.0.2')))
      expect(await closed(await from(port, '127.0.0.2'))).toBe('')
      const other = await from(port, '127.0.0.3')
      const answer = closed(other)
      other.write(rawRequest('GET', '/livez'))
      expect(parseAnswer(await answer).status).toBe(200)
    }
    expect(await metric(running, 'gateway_connections_refused_total{reason="operators-too-many-of-address"}')).toBe(2)
    expect(running.logLines.filter((line) => line.includes('connections-refused'))).toHaveLength(1)
  } finally {
    for (const socket of sockets) socket.destroy()
    await running.close()
  }
})

test('a process without file descriptors for more connections says so, on either side, serves those it has, and recovers', async () => {
  const upstream = await startUpstream()
  const issuer = await startIssuer()
  const token = await issuer.sign({ sub: 'ann', groups: ['sso-payments-eng'] })
  const site = await createSite({ upstream: upstream.origin, issuer })
  const mostDescriptors = 120
  const node = join(directory, 'node-with-few-descriptors')
  await writeFile(node, `#!/bin/sh\nulimit -n ${mostDescriptors}\nexec "${process.execPath}" "$@"\n`, { mode: 0o755 })
  const gateway = await startGatewayProcess(site.configFile, { env: usualKeys, node })
  try {
    const descriptors = async () => (await readdir(`/proc/${gateway.child.pid}/fd`)).length
    const idle = await descriptors()
    const kept = await openSocket(gateway.port)
    let text = ''
    kept.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    const crowd = await Promise.all(Array.from({ length: 300 }, () => openSocket(gateway.port)))
    const ends = crowd.map(closed)
    await until(() => gateway.err.includes('"reason":"no-descriptors"'), 'the log to say so')
    kept.write(`GET ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`)
    await until(() => text.includes('"has_next_page":false'), 'the answer to one that was there before')
    for (const socket of crowd) socket.end()
    const crowded = (await Promise.all(ends)).filter((each) => each !== '').map(parseAnswer)
    expect(crowded.map((answer) => [answer.status, problemOf(answer).reason])).toContainEqual([
      503,
      'connections-no-descriptors',
    ])
    await until(
      async () => (await sendRaw(gateway.port, rawRequest('GET', '/v3/self'))).status === 401,
      'room for others',
    )
    expect(gateway.err.match(/"reason":"no-descriptors"/g)).toHaveLength(1)

    // All callers are accepted before the upstream is asked, which then has too few for all of them.
    const held: ServerResponse[] = []
    upstream.takeOver((_request, response) => held.push(response))
    const body = '{"prompt":"x"}'
    const fields = [
      `Authorization: Bearer ${token}`,
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
    ]
    const count = Math.floor((2 / 3) * (mostDescriptors - idle))
    const callers = await Promise.all(Array.from({ length: count }, () => openSocket(gateway.port)))
    await until(async () => (await descriptors()) >= idle + count, 'the callers to be accepted')
    let refusals = 0
    const answers = callers.map(async (socket) => {
      const answer = parseAnswer(await closed(socket))
      if (answer.status !== 200) refusals += 1
      return answer
    })
    for (const socket of callers) socket.write(rawRequest('POST', sessions, fields, body))
    await until(() => refusals + held.length === callers.length, 'each create to be held or refused')
    expect(refusals).toBeGreaterThan(0)
    for (const response of held) response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    const refused = (await Promise.all(answers)).filter(({ status }) => status !== 200)
    const ofUpstream = refused.filter((answer) => problemOf(answer).reason === 'upstream-no-descriptors')
    expect(ofUpstream).not.toEqual([])
    for (const answer of ofUpstream) expect(problemOf(answer).detail).toContain('Nothing was sent')
    for (const answer of refused)
      expect([answer.status, problemOf(answer).reason]).toEqual([
        503,
        expect.stringMatching(/^(?:upstream|connections)-no-descriptors$/),
      ])
    upstream.takeOver(null)
    const after = await sendRaw(gateway.port, rawRequest('POST', sessions, fields, body))
    expect(after.status).toBe(200)
    expect(gateway.child.exitCode).toBeNull()
  } finally {
    await gateway.kill()
    await Promise.all([upstream.close(), issuer.stop(), site.remove()])
  }
})
