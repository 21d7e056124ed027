// Several requests on one connection before the first answer: one is begun when the one before it is answered, nothing is
// done behind an answer that ends the connection, and nobody takes the turn of others or more memory than a few of them.

import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { mostInOneRead, mostWaiting } from '../../src/gateway/listener/pipelines.ts'
import { openSocket } from '../support/raw-request.ts'
import { startTestGateway, until, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const page = 'GET /gateway/v1/problems/guardrail HTTP/1.1\r\nHost: x\r\n\r\n'
let running: RunningGateway
let token: string

beforeAll(async () => {
  running = await startTestGateway({ config: 'bodies: { max_judged_size: 1KiB }' })
  token = await running.token()
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
  running.upstream.takeOver(null)
})

function request(method: string, target: string, fields = '', body = ''): string {
  return `${method} ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n${fields}\r\n${body}`
}

const create = (): string => request('POST', sessions, 'Content-Length: 14\r\n', '{"prompt":"x"}')

interface Talk {
  readonly socket: Socket
  /** The statuses that have come so far. */
  statuses(): number[]
}

async function talk(bytes: string): Promise<Talk> {
  const socket = await openSocket(running.port)
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.on('error', () => {})
  socket.write(bytes)
  return { socket, statuses: () => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status)) }
}

/** Holds every request at the upstream. */
function hold(): ServerResponse[] {
  const held: ServerResponse[] = []
  running.upstream.takeOver((incoming, response) => {
    incoming.resume()
    held.push(response)
  })
  return held
}

/** The value of a series of `/metrics`. */
async function metric(series: string): Promise<number> {
  const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text()
  return Number(
    metrics
      .split('\n')
      .find((line) => line.startsWith(`${series} `))
      ?.slice(series.length + 1),
  )
}

const sentAhead = (): Promise<number> => metric('gateway_requests_sent_ahead')

test('a request is begun when the one before it is answered', async () => {
  const held = hold()
  const { socket, statuses } = await talk(`${request('GET', sessions)}${create()}${page}`)
  await until(() => held.length === 1, 'the first request at the upstream')
  await running.call('/gateway/v1/me')
  expect(running.upstream.seen.map(({ method }) => method)).toEqual(['GET'])
  held[0]?.end('{}')
  await until(() => held.length === 2, 'the second')
  expect(statuses()).toEqual([200])
  held[1]?.writeHead(201).end('{}')
  await until(() => statuses().length === 3, 'all answers')
  expect(statuses()).toEqual([200, 201, 200])
  socket.destroy()
})

test.each([
  ['a body that is too large', () => request('POST', sessions, 'Content-Length: 2000\r\n', 'x'.repeat(2000)), [413]],
  [
    'a refusal that leaves no room for the body',
    () => request('POST', '/v4', 'Expect: 100-continue\r\nContent-Length: 5\r\n', 'hello'),
    [403],
  ],
  ['an answer that breaks off', () => request('GET', `${sessions}?broken`), [200]],
])('a create behind %s is not done, and both leave their records', async (_name, first, expected) => {
  running.upstream.respond((incoming, response) => {
    response.writeHead(200, { 'content-length': '10' }).write('half')
    if (incoming.url?.endsWith('?broken') === true) setImmediate(() => response.destroy())
    else response.end(' whole')
  })
  const before = await running.settled()
  const { socket, statuses } = await talk(`${first()}${create()}`)
  await new Promise((resolve) => socket.on('close', resolve))
  expect(statuses()).toEqual(expected)
  expect(await running.settled()).toBe(before + 2)
  expect((await running.access()).slice(before).map(({ outcome }) => outcome)).toContain('aborted')
  expect(running.upstream.seen.filter(({ method }) => method === 'POST')).toEqual([])
})

test('CONNECT is refused behind the answers before it', async () => {
  const held = hold()
  const { socket, statuses } = await talk(
    `${request('GET', sessions)}CONNECT internal.example:443 HTTP/1.1\r\nHost: internal.example:443\r\n\r\n`,
  )
  await until(() => held.length === 1, 'the first request at the upstream')
  await running.call('/gateway/v1/me')
  expect(statuses()).toEqual([])
  held[0]?.end('{}')
  await new Promise((resolve) => socket.on('close', resolve))
  expect(statuses()).toEqual([200, 401])
})

test('a caller that leaves with a request under way and others behind it takes all of them along', async () => {
  const held = hold()
  const before = await running.settled()
  const { socket } = await talk(`${request('GET', sessions)}${create()}${create()}`)
  await until(() => held.length === 1, 'the first request at the upstream')
  const gone = new Promise((resolve) => held[0]?.on('close', resolve))
  socket.destroy()
  await gone
  expect(await running.settled()).toBe(before + 3)
  expect(held).toHaveLength(1)
})

test('other callers have their turn in the middle of it', async () => {
  const { socket, statuses } = await talk(page.repeat(3000))
  const other = await talk(page)
  const answered = new Promise<number>((resolve) => {
    other.socket.once('data', () => resolve(statuses().length))
  })
  expect(await answered).toBeLessThan(3000)
  await until(() => statuses().length === 3000, 'all answers')
  expect(new Set(statuses())).toEqual(new Set([200]))
  for (const each of [socket, other.socket]) each.destroy()
})

const tiny = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

test('a few of a stranger are parsed before their time, no more, and all are answered', async () => {
  const held = hold()
  const before = await running.settled()
  const { socket, statuses } = await talk(`${request('GET', sessions)}${tiny.repeat(2000)}`)
  await until(() => held.length === 1, 'the first request at the upstream')
  await until(async () => (await sentAhead()) > 0, 'requests to wait')
  for (let looks = 0; looks < 10; looks++) expect(await sentAhead()).toBe(8)
  expect(await metric('gateway_in_flight')).toBe(1)
  held[0]?.end('{}')
  await until(() => statuses().length === 2001, 'all answers')
  expect(new Set(statuses().slice(1))).toEqual(new Set([401]))
  socket.destroy()
  expect(await running.settled()).toBe(before + 2001)
})

test.each([
  ['line breaks before them', '\r\n\r\n'.repeat(20) + tiny.repeat(500), 500],
  [
    'bodies that look like the ends of heads',
    request('POST', '/v4', 'Content-Length: 400\r\n', '\r\n\r\n'.repeat(100)).repeat(20),
    20,
  ],
  ['chunks', request('POST', '/v4', 'Transfer-Encoding: chunked\r\n', '4\r\n\r\n\r\n\r\n0\r\n\r\n').repeat(20), 20],
])('requests of a stranger with %s are parsed in the same way', async (_name, bytes, count) => {
  const held = hold()
  const { socket, statuses } = await talk(`${request('GET', sessions)}${bytes}`)
  await until(() => held.length === 1, 'the first request at the upstream')
  await until(async () => (await sentAhead()) > 0, 'requests to wait')
  for (let looks = 0; looks < 5; looks++) expect(await sentAhead()).toBe(8)
  held[0]?.end('{}')
  await until(() => statuses().length === count + 1, 'all answers')
  socket.destroy()
})

test('a body in pieces, a pipeline over their borders and one behind a known caller are read like any other', async () => {
  const bodies: string[] = []
  running.upstream.takeOver((incoming, response) => {
    let text = ''
    incoming.on('data', (chunk: Buffer) => (text += chunk.toString()))
    incoming.on('end', () => {
      bodies.push(text)
      response.end('{}')
    })
  })
  const body = Array.from({ length: 30_000 }, (_each, index) => String(index)).join(' ')
  const upload = request('POST', `${sessions}/devin-1/tags`, `Content-Length: ${body.length}\r\n`, body)
  const all = `${request('PUT', `${sessions}/devin-1/tags`, `Content-Length: ${body.length}\r\n`, body)}${page}`
  const { socket, statuses } = await talk(all.repeat(2))
  await until(() => statuses().length === 4, 'the answers')
  socket.write(`${all}${upload}${request('GET', sessions)}`)
  await until(() => statuses().length === 8, 'the answers on a known connection')
  expect(bodies.filter((text) => text !== '')).toEqual(
    Array.from({ length: bodies.filter((text) => text !== '').length }, () => body),
  )
  expect(bodies.length).toBeGreaterThan(3)
  socket.destroy()
})

/** Opens a connection whose caller is known from then on. */
async function known(): Promise<Talk> {
  const opened = await talk(request('GET', sessions))
  await until(() => opened.statuses().length === 1, 'the first answer')
  return opened
}

const cuts = (): Promise<number> => metric('gateway_connections_cut_total{cause="pipeline"}')

test('a known caller who sends more ahead than heads with tokens can be is answered up to there, and no further', async () => {
  const before = await running.settled()
  const cutBefore = await cuts()
  const { socket, statuses } = await known()
  const held = hold()
  // The read that brings this one is the last one in pieces.
  socket.write(request('GET', sessions))
  await until(() => held.length === 1, 'the first request at the upstream')
  socket.write(tiny.repeat(4000))
  await until(async () => (await sentAhead()) > 0, 'requests to wait')
  expect(await sentAhead()).toBe(mostInOneRead)
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  const ended = new Promise((resolve) => socket.once('end', resolve))
  held[0]?.end('{}')
  await ended
  expect(statuses()).toHaveLength(2 + mostInOneRead)
  expect(text.match(/^connection: close/gim)).toHaveLength(1)
  expect(text.lastIndexOf('HTTP/1.1 ')).toBeLessThan(text.search(/^connection: close/im))
  socket.destroy()
  expect(await running.settled()).toBe(before + 2 + mostInOneRead)
  expect(await cuts()).toBe(cutBefore + 1)
})

test('a known caller who sends as many ahead as fit with their tokens gets all answers, time and again', async () => {
  const { socket, statuses } = await known()
  for (let round = 1; round <= 3; round += 1) {
    socket.write(request('GET', sessions).repeat(100))
    await until(() => statuses().length === 1 + 100 * round, 'the answers')
  }
  expect(new Set(statuses())).toEqual(new Set([200]))
  socket.destroy()
})

test('when too many are sent ahead by all together, who sends many ahead is closed behind them, and nobody else', async () => {
  const honest = await known()
  const each = mostInOneRead - 1
  const greedy = await Promise.all(Array.from({ length: mostWaiting / each + 1 }, known))
  const held = hold()
  const before = await running.settled()
  const cutBefore = await cuts()
  for (const { socket } of [honest, ...greedy]) socket.write(request('GET', sessions))
  await until(() => held.length === greedy.length + 1, 'a request of each at the upstream')
  honest.socket.write(page.repeat(20))
  for (const { socket } of greedy) socket.write(tiny.repeat(each))
  await until(async () => (await cuts()) > cutBefore, 'one to be closed')
  expect(await sentAhead()).toBeLessThan(mostWaiting + each)
  for (const response of held) response.end('{}')
  await until(() => honest.statuses().length === 22, 'the answers to the honest caller')
  for (const { socket } of [honest, ...greedy]) socket.destroy()
  await running.settled()
  const dropped = await metric('gateway_requests_dropped_total')
  expect(dropped).toBeGreaterThan(1000)
  expect((await running.settled()) - before).toBeLessThan(greedy.length * (1 + each) + 21 - dropped + 1)
  expect(await sentAhead()).toBe(0)
})
