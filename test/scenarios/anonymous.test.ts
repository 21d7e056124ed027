// Floods of requests without a valid token, with honest callers beside them: from the same address, from others, behind a proxy.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { streamsAfterRefusal } from '../../src/gateway/load/anonymous-requests.ts'
import { createAuthority } from '../support/certificates.ts'
import { parseAnswer, type RawAnswer } from '../support/raw-request.ts'
import { startTestGateway, until, type RunningGateway } from '../support/start-gateway.ts'
import { problemOf } from '../support/three-sides.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const authority = createAuthority('a test authority')
let running: RunningGateway
let directory: string
let tls: string
const open: Socket[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-test-anonymous-'))
  const { cert, key } = authority.issue({ name: 'localhost' })
  await writeFile(join(directory, 'cert.pem'), cert)
  await writeFile(join(directory, 'key.pem'), key)
  tls = `tls: { cert: "${join(directory, 'cert.pem')}", key: "${join(directory, 'key.pem')}" }`
})
afterAll(() => rm(directory, { recursive: true, force: true }))
afterEach(async () => {
  for (const socket of open.splice(0)) socket.destroy()
  await running.close()
})

const start = async (listen: string): Promise<void> => {
  running = await startTestGateway({ listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", ${listen} }` })
}

async function metric(series: string): Promise<number> {
  const text = await (await fetch(`${running.adminUrl}/metrics`)).text()
  const line = text.split('\n').find((each) => each.startsWith(`${series} `))
  return Number(line?.slice(series.length + 1))
}
const refused = (bound: string): Promise<number> => metric(`gateway_anonymous_refused_total{bound="${bound}"}`)
const checked = (): Promise<number> => metric('gateway_tokens_verified_total{result="rejected"}')

/** A connection from an address of this machine's own, all of which are its loopback; one request after the other. */
async function caller(localAddress: string): Promise<(token: string, fields?: string) => Promise<RawAnswer>> {
  const socket = connect({ port: running.port, host: '127.0.0.1', localAddress })
  open.push(socket)
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.on('error', () => {})
  return async (token, fields = '') => {
    text = ''
    socket.write(`GET ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n${fields}\r\n`)
    await until(() => /\r\n\r\n[^]*[}\n]\n?$/.test(text), 'an answer')
    return parseAnswer(text)
  }
}

let sent = 0
/** A token that nobody has signed, each time another one. */
function junk(token: string): string {
  const [head = '', payload = '', signature = ''] = token.split('.')
  const mark = (sent += 1).toString(36).padStart(6, 'A')
  return `${head}.${payload}.${mark}${signature.slice(mark.length)}`
}

/** Sends junk on a connection until it is refused unread. */
async function flood(address: string, token: string, fields = ''): Promise<{ rejected: number; last: RawAnswer }> {
  const send = await caller(address)
  for (let rejected = 0; ; rejected += 1) {
    const last = await send(junk(token), fields)
    if (last.status !== 401) return { rejected, last }
  }
}

test('junk from one address is checked up to its bound, and honest callers beside it pass', async () => {
  await start('max_anonymous_per_address: 80')
  const [known, renewed, newcomer, elsewhere] = await Promise.all(
    ['known', 'renewed', 'newcomer', 'elsewhere'].map((sub) => running.token({ sub })),
  )
  const honest = await caller('127.0.0.1')
  expect((await honest(known ?? '')).status).toBe(200)
  const floods = await Promise.all(Array.from({ length: 8 }, () => flood('127.0.0.1', known ?? '')))
  for (const { last } of floods) {
    expect(problemOf(last)).toMatchObject({
      status: 429,
      type: '/gateway/v1/problems/too-many-anonymous',
      reason: 'anonymous-of-address',
    })
    expect(last.fields).toMatchObject({ 'retry-after': '1', 'x-content-type-options': 'nosniff' })
  }
  expect(floods.reduce((sum, { rejected }) => sum + rejected, 0)).toBeLessThan(80)
  expect(await checked()).toBeLessThan(80)
  // A token that is remembered passes on any connection, a new one where a valid one came before, a newcomer on its own.
  expect((await (await caller('127.0.0.1'))(known ?? '')).status).toBe(200)
  expect((await honest(renewed ?? '')).status).toBe(200)
  expect((await (await caller('127.0.0.1'))(newcomer ?? '')).status).toBe(200)
  expect((await (await caller('127.0.0.2'))(elsewhere ?? '')).status).toBe(200)
  // What was refused unread leaves no record, and one line in the log.
  const accesses = await running.access()
  expect(accesses.filter(({ status }) => status === 429)).toEqual([])
  expect(await refused('address')).toBe(8)
  const lines = running.logLines.filter((line) => line.includes('anonymous-refused'))
  expect(lines).toHaveLength(1)
  expect(lines[0]).toContain('"address":"127.0.0.1"')
})

test('what comes without a token, or is refused before it is read, counts like a wrong one', async () => {
  await start('max_anonymous_per_address: 20')
  const requests = [
    ['no token', '', sessions],
    ['what is no token', 'Authorization: Bearer junk\r\n', sessions],
    ['two tokens', 'Authorization: Bearer a\r\nAuthorization: Bearer b\r\n', sessions],
    ['an ambiguous path', '', '/v3/%2e%2e/x'],
    ['a page that needs no token', '', '/gateway/v1/problems/draining'],
  ] as const
  const answers = requests.map(async ([name, fields, path], index) => {
    const socket = connect({ port: running.port, host: '127.0.0.1', localAddress: `127.0.3.${index + 1}` })
    open.push(socket)
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`.repeat(30))
    await until(() => text.includes('HTTP/1.1 429 '), `a refusal: ${name}`)
    return text.match(/HTTP\/1\.1 /g)?.length
  })
  for (const count of await Promise.all(answers)) expect(count).toBeLessThan(20)
})

test('junk from many addresses is bounded in all, and what is known passes', async () => {
  await start('max_anonymous: 60, max_anonymous_per_address: 40')
  const token = await running.token()
  const honest = await caller('127.0.0.1')
  expect((await honest(token)).status).toBe(200)
  const floods = await Promise.all(Array.from({ length: 6 }, (_each, index) => flood(`127.0.1.${index + 1}`, token)))
  expect(new Set(floods.map(({ last }) => problemOf(last).reason))).toEqual(new Set(['anonymous-of-all']))
  expect(await checked()).toBeLessThan(60)
  expect(await refused('all')).toBe(6)
  expect((await honest(await running.token({ sub: 'bob' }))).status).toBe(200)
  expect((await (await caller('127.0.2.1'))(token)).status).toBe(200)
})

test('over HTTP/2 a flood has fewer streams from its first refusal on, and a session beside it goes on', async () => {
  await start(`${tls}, max_anonymous_per_address: 40`)
  const token = await running.token()
  const session = (): ClientHttp2Session => connectHttp2(`https://localhost:${running.port}`, { ca: authority.ca })
  const get = (on: ClientHttp2Session, bearer: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const stream = on.request({ ':path': sessions, authorization: `Bearer ${bearer}` })
      stream.on('response', (fields) => resolve(Number(fields[':status'])))
      stream.on('error', reject)
      stream.resume()
    })
  const [honest, hostile] = [session(), session()]
  try {
    expect(await get(honest, token)).toBe(200)
    const first = await Promise.all(Array.from({ length: 60 }, () => get(hostile, junk(token))))
    expect(new Set(first)).toEqual(new Set([401]))
    const second = Promise.all(Array.from({ length: 8 }, () => get(hostile, junk(token))))
    await until(() => hostile.remoteSettings.maxConcurrentStreams === streamsAfterRefusal, 'fewer streams')
    expect(await get(honest, await running.token({ sub: 'bob' }))).toBe(200)
    expect(new Set(await second)).toEqual(new Set([429]))
    expect(await checked()).toBeLessThan(40 + 100)
  } finally {
    honest.destroy()
    hostile.destroy()
  }
})

test('behind a trusted proxy the address is the one that it names, and the connection serves the others', async () => {
  await start(
    'max_anonymous_per_address: 20, max_connections_per_address: 1, trusted_proxies: [127.0.0.0/30, "10.0.0.0/8"]',
  )
  const token = await running.token()
  const proxy = await caller('127.0.0.1')
  // Not counted: a proxy is one address.
  const other = await caller('127.0.0.1')
  expect((await other(token, 'X-Forwarded-For: 203.0.113.9\r\n')).status).toBe(200)
  const of = (hops: string): string => `X-Forwarded-For: ${hops}\r\n`
  let last = await proxy(junk(token), of('198.51.100.7, 203.0.113.9, 10.1.2.3'))
  for (let count = 0; count < 30 && last.status === 401; count += 1)
    last = await proxy(junk(token), of(`198.51.100.${count}, 203.0.113.9:4711, 10.1.2.3`))
  expect(problemOf(last)).toMatchObject({ status: 429, reason: 'anonymous-of-address' })
  expect(last.fields['connection']).not.toBe('close')
  expect(running.logLines.find((line) => line.includes('anonymous-refused'))).toContain('"address":"203.0.113.9"')
  expect((await proxy(token, of('203.0.113.9'))).status).toBe(200)
  expect((await proxy(await running.token({ sub: 'bob' }), of('203.0.113.10'))).status).toBe(200)
  expect((await other(junk(token), of('"unknown"'))).status).toBe(401)
  // Who is no proxy names nobody else.
  expect((await flood('127.0.0.9', token, of('203.0.113.77'))).rejected).toBeLessThan(20)
  expect(running.logLines.filter((line) => line.includes('203.0.113.77'))).toEqual([])
  expect(await refused('address')).toBe(2)
})
