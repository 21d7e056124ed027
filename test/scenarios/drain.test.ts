// The end of a process: SIGTERM lets requests under way finish, sends new ones elsewhere, leaves every record, ends with 0.

import { readFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { auditLines } from '../../src/records/audit/audit-tail.ts'
import { verifyChain } from '../support/chain.ts'
import type { AccessEntry, AuditEntry, DecisionEntry } from '../../src/records/entries.ts'
import { startGatewayProcess, type StartedGateway } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { openSocket, parseAnswer } from '../support/raw-request.ts'
import { createSite, type Site, type SiteOptions } from '../support/site.ts'
import { until, usualKeys } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
/** Long enough for what is asked meanwhile, on a slow machine as well. */
const delay = '2s'

let upstream: RecordingUpstream
let issuer: Issuer
let site: Site
let gateway: StartedGateway
let token: string
beforeEach(async () => {
  upstream = await startUpstream()
  issuer = await startIssuer()
  token = await issuer.sign({ sub: 'ann', groups: ['sso-payments-eng'] })
})
afterEach(async () => {
  await gateway.kill()
  await upstream.close()
  await issuer.stop()
  await site.remove()
})

async function start(options: SiteOptions = {}): Promise<void> {
  site = await createSite({ upstream: upstream.origin, issuer, ...options })
  gateway = await startGatewayProcess(site.configFile, { env: usualKeys })
}

async function entries<T>(name: string): Promise<T[]> {
  const text = await readFile(join(site.directory, `${name}.ndjson`), 'utf8')
  // The gateway's own lines.
  // What stands behind the last line feed is still being written.
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as T)
}

const get = `GET ${sessions} HTTP/1.1\r\nHost: x\r\n`
const request = (): string => `${get}Authorization: Bearer ${token}\r\n\r\n`

interface Talk {
  readonly socket: Socket
  readonly text: string
  readonly closed: boolean
}

async function talk(bytes: string): Promise<Talk> {
  const socket = await openSocket(gateway.port)
  let text = ''
  let closed = false
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.on('error', () => {})
  socket.on('close', () => (closed = true))
  if (bytes !== '') socket.write(bytes)
  return {
    socket,
    get text() {
      return text
    },
    get closed() {
      return closed
    },
  }
}

async function inFlight(): Promise<number> {
  const status = await (await fetch(`http://127.0.0.1:${gateway.adminPort}/api/status`)).json()
  return (status as { in_flight: number }).in_flight
}

function hold(): ServerResponse[] {
  const held: ServerResponse[] = []
  upstream.takeOver((incoming, response) => {
    incoming.resume()
    held.push(response)
  })
  return held
}

/** Whether a connection to the port is refused. */
function refused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(false)
    })
    socket.on('error', () => resolve(true))
  })
}

describe('a stop signal', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s fails readiness at once, lets requests under way finish, takes no new ones, and ends with 0',
    async (name) => {
      await start({ shutdown: `{ delay: ${delay}, deadline: 30s }` })
      const held = hold()
      const underWay = await talk(request())
      await until(() => held.length === 1, 'a request under way')
      const idle = await talk('')
      gateway.signal(name)
      await until(async () => (await fetch(`http://127.0.0.1:${gateway.adminPort}/readyz`)).status === 503, 'readiness')
      // A slow machine adds notes.
      expect(await (await fetch(`http://127.0.0.1:${gateway.adminPort}/readyz`)).json()).toMatchObject({
        ready: false,
        reasons: ['the instance is shutting down'],
      })
      expect((await fetch(`http://127.0.0.1:${gateway.adminPort}/livez`)).status).toBe(200)
      expect(await (await fetch(`http://127.0.0.1:${gateway.adminPort}/api/status`)).json()).toMatchObject({
        draining: true,
        in_flight: 1,
      })
      // Balancers have not noticed yet: it still serves, and has every caller connect anew.
      const late = await talk(request())
      await until(() => held.length === 2, 'the late request')
      held[1]?.writeHead(200).end('late')
      await until(() => late.closed, 'the late answer')
      expect(parseAnswer(late.text)).toMatchObject({ status: 200, fields: { connection: 'close' } })
      await until(() => refused(gateway.port), 'the port to be closed')
      expect(gateway.child.exitCode).toBeNull()
      held[0]?.writeHead(200, { 'content-length': '8' }).end('underway')
      await until(() => underWay.closed, 'the answer')
      expect(parseAnswer(underWay.text)).toMatchObject({ status: 200, body: 'underway' })
      idle.socket.destroy()
      expect(await gateway.ended).toMatchObject({ code: 0, signal: null })
      expect((await entries<AccessEntry>('access')).map(({ status, outcome }) => [status, outcome])).toEqual([
        [200, 'forwarded'],
        [200, 'forwarded'],
      ])
      expect(await entries<DecisionEntry>('decisions')).toHaveLength(2)
      expect((await entries<AuditEntry>('audit')).map((entry) => entry.event)).toEqual(['started', 'stopped'])
      expect(await verifyChain(auditLines(join(site.directory, 'audit.ndjson')))).toMatchObject({ ok: true })
    },
  )

  test('finds uploads and downloads under way and lets both come to their end', async () => {
    await start()
    let received = 0
    upstream.takeOver((incoming, response) => {
      if (incoming.method === 'GET') {
        response.writeHead(200, { 'content-length': '400000' }).write('x'.repeat(200_000))
        setTimeout(() => response.end('x'.repeat(200_000)), 300)
        return
      }
      incoming.on('data', (chunk: Buffer) => (received += chunk.length))
      incoming.on('end', () => response.writeHead(200, { 'content-length': '2' }).end('ok'))
    })
    const download = await talk(request())
    const upload = await talk(
      `PUT ${sessions}/devin-1/tags HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 400000\r\n\r\n${'x'.repeat(200_000)}`,
    )
    await until(() => received === 200_000 && download.text.length > 200_000, 'both under way')
    gateway.signal('SIGTERM')
    await until(() => refused(gateway.port), 'the port to be closed')
    upload.socket.write('x'.repeat(200_000))
    await until(() => upload.closed && download.closed, 'both ends')
    expect(parseAnswer(upload.text)).toMatchObject({ status: 200, body: 'ok' })
    expect(parseAnswer(download.text).body).toHaveLength(400_000)
    expect(received).toBe(400_000)
    expect(await gateway.ended).toMatchObject({ code: 0 })
    expect((await entries<AccessEntry>('access')).map((entry) => entry.outcome)).toEqual(['forwarded', 'forwarded'])
  })

  test('refuses what arrives on a connection it knows while it drains, with 503 and the word draining', async () => {
    await start()
    const half = await talk(get)
    await until(() => half.socket.bytesWritten > 0, 'half a request')
    const held = hold()
    const busy = await talk(request())
    await until(() => held.length === 1, 'a request under way')
    gateway.signal('SIGTERM')
    await until(() => refused(gateway.port), 'the port to be closed')
    // Behind an answer that closes the connection nothing is done: the caller knows that it has to ask again. The gateway has
    // read this when it answers what is written after it.
    busy.socket.write(request())
    half.socket.write(`Authorization: Bearer ${token}\r\n\r\n`)
    await until(() => half.closed, 'the refusal')
    expect(parseAnswer(half.text)).toMatchObject({ status: 503, fields: { 'retry-after': '1', connection: 'close' } })
    expect(half.text).toContain('/gateway/v1/problems/draining')
    held[0]?.writeHead(200, { 'content-length': '5' }).end('first')
    await until(() => busy.closed, 'the end')
    expect(parseAnswer(busy.text)).toMatchObject({ status: 200, body: 'first', fields: { connection: 'close' } })
    expect(held).toHaveLength(1)
    expect(await gateway.ended).toMatchObject({ code: 0 })
    const access = await entries<AccessEntry>('access')
    expect(access.length).toBe((await entries<DecisionEntry>('decisions')).length)
    expect(access.map((entry) => entry.problem ?? entry.outcome)).toEqual(
      expect.arrayContaining(['draining', 'forwarded']),
    )
    expect(access.filter(({ outcome }) => outcome === 'forwarded')).toHaveLength(1)
  })

  test('under load costs no request that was accepted, and leaves a record of each of them', async () => {
    await start({ shutdown: `{ delay: ${delay}, deadline: 30s }` })
    upstream.respond((_request, response) => {
      setTimeout(() => response.writeHead(200, { 'content-length': '2' }).end('ok'), 5)
    })
    const balancer = { sends: true }
    const answers: number[] = []
    const broken: string[] = []
    const client = async (): Promise<void> => {
      // As a balancer does it: new connections only while readiness holds.
      while (balancer.sends) {
        const line = await talk('')
        while (!line.closed) {
          const before = line.text.length
          line.socket.write(request())
          await until(() => line.text.slice(before).includes('\r\n\r\nok') || line.closed, 'an answer')
          const answer = parseAnswer(line.text.slice(before))
          if (answer.body === 'ok') answers.push(answer.status)
          else broken.push(line.text.slice(before))
          if (answer.fields['connection'] === 'close') break
        }
        line.socket.destroy()
      }
    }
    const clients = Promise.all(Array.from({ length: 16 }, client))
    clients.catch(() => {})
    await until(() => answers.length > 200, 'the load')
    gateway.signal('SIGTERM')
    await until(async () => (await fetch(`http://127.0.0.1:${gateway.adminPort}/readyz`)).status === 503, 'readiness')
    const atSignal = answers.length
    await until(() => answers.length > atSignal + 50, 'requests that are served meanwhile')
    balancer.sends = false
    await clients
    expect(broken).toEqual([])
    expect(new Set(answers)).toEqual(new Set([200]))
    expect(await gateway.ended).toMatchObject({ code: 0 })
    const access = await entries<AccessEntry>('access')
    const decisions = await entries<DecisionEntry>('decisions')
    expect([access.length, decisions.length, upstream.seen.length]).toEqual([
      answers.length,
      answers.length,
      answers.length,
    ])
    expect(new Set(decisions.map((entry) => entry.decision_id)).size).toBe(answers.length)
    expect(access.every((entry) => entry.outcome === 'forwarded')).toBe(true)
  })
})

describe('the deadline', () => {
  test('ends what hangs at the upstream, records it, and the process still ends with 0', async () => {
    await start({ shutdown: '{ delay: 0s, deadline: 300ms }' })
    const held = hold()
    const hanging = await talk(request())
    const slow = await talk(
      `POST ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 100\r\n\r\n{`,
    )
    await until(() => held.length === 1, 'a request that hangs')
    gateway.signal('SIGTERM')
    expect(await gateway.ended).toMatchObject({ code: 0, signal: null })
    await until(() => hanging.closed && slow.closed, 'the connections')
    const access = await entries<AccessEntry>('access')
    expect(access).toHaveLength(2)
    expect(await entries<DecisionEntry>('decisions')).toHaveLength(2)
    for (const entry of access)
      expect(entry).toMatchObject({ outcome: 'failed', problem: 'draining', reason: 'draining', status: null })
    expect((await entries<AuditEntry>('audit')).at(-1)?.event).toBe('stopped')
    expect(gateway.err.trim().split('\n').at(-1)).toContain('"event":"stopped"')
  })

  test('is not waited for when nothing is under way, whatever idle connections there are', async () => {
    await start({ shutdown: '{ delay: 0s, deadline: 10m }' })
    const idle = await Promise.all(Array.from({ length: 5 }, () => talk('')))
    const kept = await talk(request())
    await until(() => kept.text.includes('HTTP/1.1 200'), 'an answer on a connection that is kept')
    gateway.signal('SIGTERM')
    expect(await gateway.ended).toMatchObject({ code: 0 })
    for (const { socket } of idle) socket.destroy()
  })
})

describe('a second signal', () => {
  test.each([
    ['SIGTERM', 'SIGINT'],
    ['SIGINT', 'SIGTERM'],
  ] as const)(
    'ends the process at once with 1, and leaves a record of every request: %s, %s',
    async (first, second) => {
      await start({ shutdown: '{ delay: 0s, deadline: 10m }' })
      expect((await fetch(`http://127.0.0.1:${gateway.port}/gateway/v1/me`)).status).toBe(401)
      const held = hold()
      await talk(`${request()}${request()}`)
      await until(() => held.length === 1, 'a request that hangs')
      // Its answer has begun; another one's body has not ended; a third waits behind the first.
      const begun = await talk(request())
      await until(() => held.length === 2, 'a second request')
      held[1]?.writeHead(200, { 'content-length': '10' }).write('begun')
      await until(() => begun.text.includes('begun'), 'the answer to begin')
      const slow = await talk(
        `PUT ${sessions}/devin-1/tags HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 100\r\n\r\n{`,
      )
      await until(async () => (await inFlight()) === 3, 'three requests under way')
      gateway.signal(first)
      await until(() => refused(gateway.port), 'the drain')
      gateway.signal(second)
      expect(await gateway.ended).toMatchObject({ code: 1, signal: null })
      await until(() => slow.closed, 'the connection to be cut')
      const access = await entries<AccessEntry>('access')
      expect(access[0]).toMatchObject({ problem: 'token-missing' })
      const cut = access.slice(1)
      expect(cut).toHaveLength(4)
      for (const entry of cut)
        expect(entry).toMatchObject({ outcome: 'failed', problem: 'draining', reason: 'draining' })
      expect(cut.filter(({ status }) => status === 200)).toHaveLength(1)
      expect(cut.filter(({ status }) => status === null)).toHaveLength(3)
      const decisions = await entries<DecisionEntry>('decisions')
      expect(decisions.slice(1).map(({ ended }) => ended?.how)).toEqual(Array(4).fill('failed'))
      // The right to the operation is another matter.
      expect(decisions.filter(({ effect }) => effect === 'allow').length).toBeGreaterThan(1)
      const ids = (list: readonly { decision_id: string }[]): string[] =>
        list.map((entry) => entry.decision_id).toSorted()
      expect(ids(await entries<DecisionEntry>('decisions'))).toEqual(ids(access))
      expect((await entries<AuditEntry>('audit')).map((entry) => entry.event)[0]).toBe('started')
      expect(await verifyChain(auditLines(join(site.directory, 'audit.ndjson')))).toMatchObject({ ok: true })
    },
  )
})
