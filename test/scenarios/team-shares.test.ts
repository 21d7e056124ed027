// One team under attack load beside another: whatever the first holds at the upstream or in the queue, the other is
// served.

import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import { openRequest, protocols } from '../support/both-protocols.ts'
import { openSocket } from '../support/raw-request.ts'
import { startTestGateway, until, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const attachments = '/v3/organizations/org-payments/attachments'
const teamFile = (name: string, limits = '{}'): string => `team: ${name}
members: [{ groups: [${name}] }]
organizations: [org-payments]
grants: [{ id: all, allow: [ViewOrgSessions, ManageOrgSessions, org.attachments.*] }]
cache: { at_most: 0s }
limits: ${limits}
`
const as = (team: string): { claims: Record<string, unknown> } => ({ claims: { groups: [team], sub: team } })

let running: RunningGateway
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await running.close()
})

function start(upstream: string): Promise<RunningGateway> {
  return startTestGateway({
    upstream: `{ origin: "ORIGIN", ${upstream} }`,
    policies: { 'teams/greedy.yaml': teamFile('greedy'), 'teams/other.yaml': teamFile('other') },
  })
}

/** Sends bytes on a connection of its own and leaves it open; what comes back is not read unless `reads`. */
async function hold(bytes: string, reads = true): Promise<Socket> {
  const socket = await openSocket(running.port)
  socket.on('error', () => {})
  sockets.push(socket)
  if (reads) socket.resume()
  socket.write(bytes)
  return socket
}

async function request(line: string, fields: readonly string[] = [], team = 'greedy'): Promise<string> {
  const token = await running.token(as(team).claims)
  return `${[line, 'Host: x', `Authorization: Bearer ${token}`, ...fields].join('\r\n')}\r\n\r\n`
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${running.adminUrl}/metrics`)).text()
  const line = text.split('\n').find((each) => each.startsWith(`${name} `))
  return Number(line?.split(' ')[1] ?? 0)
}

/** Hangs what has `hang` in its query, and answers the rest. */
function hangSome(): void {
  running.upstream.takeOver((incoming, response) => {
    incoming.resume()
    if ((incoming.url ?? '').includes('hang')) return
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
}

async function expectServed(count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    const answer = await running.call(`${sessions}?n=${index}`, as('other'))
    expect(answer.status, await answer.text()).toBe(200)
  }
}

describe.each([4, 16])('with %i connections', (connections) => {
  test('calls of one team that hang leave room for those of another', async () => {
    running = await start(`connections: ${connections}`)
    hangSome()
    const line = await request(`GET ${sessions}?hang HTTP/1.1`)
    for (let index = 0; index < 60; index += 1) await hold(line)
    await until(async () => (await metric('gateway_in_flight')) >= 60, 'all to have come')
    await expectServed(20)
    const held = running.upstream.seen.filter(({ target }) => target.includes('hang')).length
    expect(held).toBeLessThan(connections)
    expect(held).toBeGreaterThanOrEqual(connections / 2)
    expect(await metric('gateway_share_reached_total{team="greedy",of="connections"}')).toBeGreaterThan(0)
  })

  test('answers that one team leaves unread leave room for those of another', async () => {
    running = await start(`connections: ${connections}`)
    running.upstream.respond((incoming, response) => {
      const isBig = (incoming.url ?? '').includes('big')
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(isBig ? Buffer.alloc(8 * 1024 * 1024, 0x20) : '{}')
    })
    for (let index = 0; index < 60; index += 1)
      await hold(await request(`GET ${sessions}?big=${index} HTTP/1.1`), false)
    await until(async () => (await metric('gateway_in_flight')) >= 60, 'all to have come')
    await expectServed(20)
  })

  test('uploads of one byte now and then hold no connection', async () => {
    running = await start(`connections: ${connections}`)
    hangSome()
    const chunked = await request(`POST ${attachments}?drip HTTP/1.1`, ['Transfer-Encoding: chunked'])
    const declared = await request(`POST ${attachments}?drip HTTP/1.1`, ['Content-Length: 1000000'])
    for (let index = 0; index < 30; index += 1) {
      await hold(`${chunked}1\r\nx\r\n`)
      await hold(`${declared}x`)
    }
    await until(async () => (await metric('gateway_in_flight')) >= 60, 'all to have come')
    for (const [index, socket] of sockets.entries()) socket.write(index % 2 === 0 ? '1\r\nx\r\n' : 'x')
    await expectServed(20)
    expect(running.upstream.seen.filter(({ target }) => target.includes('drip'))).toEqual([])
  })
})

test('an upload that stalls after a good start gives its connection back, and is refused with the reason', async () => {
  running = await startTestGateway({
    upstream: '{ origin: "ORIGIN", connections: 4 }',
    listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", timeouts: { body: 1s } }',
    policies: { 'teams/greedy.yaml': teamFile('greedy') },
  })
  let cut = 0
  running.upstream.takeOver((incoming) => {
    incoming.resume()
    incoming.on('error', () => (cut += 1))
  })
  const socket = await hold(
    `${await request(`POST ${attachments} HTTP/1.1`, ['Content-Length: 10000000'])}${'x'.repeat(100_000)}`,
    false,
  )
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  await until(() => cut === 1, 'the upstream to be let go')
  await until(() => text.includes('\r\n\r\n{'), 'the answer')
  expect(text).toContain('HTTP/1.1 400')
  expect(text).toContain('"reason":"request-incomplete"')
  expect(text.toLowerCase()).toContain('connection: close')
})

describe.each(protocols)('what comes over %s of an upload behind the answer of Devin', (protocol) => {
  const authority = createAuthority('a test authority')
  const { cert, key } = authority.issue({ name: 'localhost' })

  /** The upstream answers when a part has come; `more` is what comes behind it, again and again. */
  async function answeredEarly(more: string | null): Promise<{ status: number }> {
    running = await startTestGateway({
      listen:
        '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: listener.crt, key: listener.key }, timeouts: { body: 600ms } }',
      files: { 'listener.crt': cert, 'listener.key': key },
      config: 'bodies: { max_size: 2MiB, max_judged_size: 1MiB }',
      policies: { 'teams/greedy.yaml': teamFile('greedy') },
    })
    running.upstream.takeOver((incoming, response) => {
      incoming.on('error', () => {}).resume()
      response.writeHead(413, { 'content-type': 'application/json' }).end('{}')
    })
    const token = await running.token(as('greedy').claims)
    const request = openRequest(protocol, running.port, { method: 'POST', path: attachments, token }, null)
    request.write('x'.repeat(100_000))
    await until(async () => (await metric('gateway_in_flight')) === 0, 'the exchange to be over')
    const timer = more === null ? undefined : setInterval(() => request.write(more), 10)
    const answer = await request.over
    clearInterval(timer)
    return answer
  }

  test.each([
    ['stops', null],
    ['is too slow', 'x'],
    ['is more than a body may have', 'x'.repeat(20_000)],
  ])('is dropped, and ends with its connection or stream when it %s', async (_name, more) => {
    expect((await answeredEarly(more)).status).toBe(413)
  })
})

test('an upload whose upstream is slow to read is not the one that stalls', async () => {
  running = await startTestGateway({
    upstream: '{ origin: "ORIGIN", connections: 4 }',
    listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", timeouts: { body: 1s } }',
    policies: { 'teams/greedy.yaml': teamFile('greedy') },
  })
  let received = 0
  running.upstream.takeOver((incoming, response) => {
    // Three stretches of the time a caller may stall.
    setTimeout(() => {
      incoming.on('data', (chunk: Buffer) => (received += chunk.length))
      incoming.on('end', () => response.writeHead(201).end('{}'))
    }, 1_200)
  })
  const body = Buffer.alloc(16 * 1024 * 1024, 'x')
  const answer = await running.call(attachments, { ...as('greedy'), method: 'POST', body })
  expect([answer.status, received]).toEqual([201, body.length])
})

test('a queue that one team has filled still takes the requests of another', async () => {
  running = await start('connections: 4, max_waiting: 16')
  hangSome()
  const line = await request(`GET ${sessions}?hang HTTP/1.1`)
  for (let index = 0; index < 40; index += 1) await hold(line)
  await until(async () => (await metric('gateway_share_reached_total{team="greedy",of="queue"}')) > 0, 'refusals')
  const refused = await running.call(`${sessions}?hang`, as('greedy'))
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toBe('1')
  expect(await refused.json()).toMatchObject({
    type: '/gateway/v1/problems/overloaded',
    reason: 'team-share-reached',
    detail: expect.stringContaining('Your team'),
  })
  // The other team's first takes what is left of the connections, and its next ones wait for it.
  const first = running.call(`${sessions}?hang=other`, as('other')).catch(() => null)
  await until(() => running.upstream.seen.some(({ target }) => target.includes('other')), 'the first to be sent')
  const before = await metric('gateway_waiting')
  const second = running.call(`${sessions}?second`, as('other')).catch(() => null)
  await until(async () => (await metric('gateway_waiting')) === before + 1, 'the second to wait')
  for (const socket of sockets) socket.destroy()
  expect((await second)?.status).toBe(200)
  void first
})

describe('over one HTTP/2 connection', () => {
  const authority = createAuthority('a test authority')
  const { cert, key } = authority.issue({ name: 'localhost' })
  let session: ClientHttp2Session
  afterEach(() => session.destroy())

  async function startTls(): Promise<(team: string, path: string, body?: string) => Promise<number>> {
    running = await startTestGateway({
      upstream: '{ origin: "ORIGIN", connections: 8 }',
      listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: listener.crt, key: listener.key } }',
      files: { 'listener.crt': cert, 'listener.key': key },
      policies: { 'teams/greedy.yaml': teamFile('greedy'), 'teams/other.yaml': teamFile('other') },
    })
    session = connectHttp2(`https://localhost:${running.port}`, { ca: authority.ca })
    session.on('error', () => {})
    const tokens = new Map<string, string>()
    for (const team of ['greedy', 'other']) tokens.set(team, await running.token(as(team).claims))
    // A body is left open behind what is sent of it.
    return (team, path, body) =>
      new Promise((resolve) => {
        const stream = session.request(
          {
            ':method': body === undefined ? 'GET' : 'POST',
            ':path': path,
            authorization: `Bearer ${tokens.get(team)}`,
          },
          { endStream: body === undefined },
        )
        if (body !== undefined) stream.write(body)
        stream.on('error', () => {})
        stream.on('response', (fields) => resolve(Number(fields[':status'])))
        stream.resume()
      })
  }

  test('calls that hang leave room for another team', async () => {
    const ask = await startTls()
    hangSome()
    for (let index = 0; index < 60; index += 1) void ask('greedy', `${sessions}?hang`)
    await until(async () => (await metric('gateway_in_flight')) >= 60, 'all to have come')
    for (let index = 0; index < 10; index += 1) expect(await ask('other', `${sessions}?n=${index}`)).toBe(200)
  })

  test('uploads of one byte hold no connection', async () => {
    const ask = await startTls()
    hangSome()
    for (let index = 0; index < 60; index += 1) void ask('greedy', `${attachments}?drip`, 'x')
    await until(async () => (await metric('gateway_in_flight')) >= 60, 'all to have come')
    for (let index = 0; index < 10; index += 1) expect(await ask('other', `${sessions}?n=${index}`)).toBe(200)
    expect(running.upstream.seen.filter(({ target }) => target.includes('drip'))).toEqual([])
  })
})
