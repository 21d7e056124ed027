// Callers who leave their requests over HTTP/1.1 and HTTP/2: each exchange ends and is recorded, and its slot is free again when
// the call to Devin is over.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { connect, type ClientHttp2Session } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openRequest, protocols, type Head, type Protocol } from '../support/both-protocols.ts'
import { createAuthority } from '../support/certificates.ts'
import { startTestGateway, until, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const home = '/v3/organizations/org-payments'
const sessions = `${home}/sessions`
const json = { 'content-type': 'application/json' }
let directory: string
let tls: string
let running: RunningGateway
const calls: ServerResponse[] = []
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-test-abandoned-'))
  const { cert, key } = createAuthority('a test authority').issue({ name: 'localhost' })
  await writeFile(join(directory, 'cert.pem'), cert)
  await writeFile(join(directory, 'key.pem'), key)
  tls = `tls: { cert: "${join(directory, 'cert.pem')}", key: "${join(directory, 'key.pem')}" }`
})
afterAll(() => rm(directory, { recursive: true, force: true }))
afterEach(async () => {
  for (const call of calls.splice(0)) call.destroy()
  await running.close()
})

/** With an upstream that answers when the test says so. */
async function start({ limits = '', cached = false, listen = '' } = {}): Promise<void> {
  const team = usualPolicies['teams/payments.yaml'] ?? ''
  running = await startTestGateway({
    listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", ${tls}${listen} }`,
    policies: {
      'teams/payments.yaml': `${cached ? team.replace('cache: { at_most: 0s }\n', '') : team}${limits}`,
      'guardrails.yaml':
        'guardrails:\n  - { id: g, on: [org.sessions.create], teams: all, body: { tags: { max_items: 5 } } }\n',
    },
  })
  running.upstream.respond((_request, response) => void calls.push(response))
}

async function open(protocol: Protocol, head: Omit<Head, 'token'>, length: number) {
  return openRequest(protocol, running.port, { ...head, token: await running.token() }, length)
}

/** Leaves when the request is at the upstream; its request id. */
async function leave(protocol: Protocol, method: string, path: string, body = ''): Promise<string> {
  const before = running.upstream.seen.length
  const id = `left-${before}`
  const request = await open(protocol, { method, path, fields: { 'x-request-id': id, ...json } }, body.length)
  request.end(body)
  await until(() => running.upstream.seen.length > before, `${method} ${path} at the upstream`)
  request.leave()
  return id
}

async function inFlight(): Promise<number> {
  const text = await (await fetch(`${running.adminUrl}/metrics`)).text()
  return Number(/^gateway_in_flight (\d+)$/m.exec(text)?.[1])
}

describe.each(protocols)('over %s', (protocol) => {
  test.each<[string, string, string, string]>([
    ['a create', 'POST', sessions, '{"prompt":"x"}'],
    ['a deletion', 'DELETE', `${sessions}/s-1`, ''],
    ['a replacement of tags', 'PUT', `${sessions}/s-1/tags`, '{"tags":[]}'],
    ['an upload', 'POST', `${home}/attachments`, 'x'.repeat(100)],
  ])(
    'the slot of %s lives as long as the call, and the records say how it was answered',
    async (_name, method, path, body) => {
      await start({ limits: 'limits: { concurrent: 2 }\n' })
      const ids = [await leave(protocol, method, path, body), await leave(protocol, method, path, body)]
      const last = protocol === 'HTTP/1.1' ? { connection: 'close' } : {}
      const refused = await open(protocol, { method, path, fields: { ...json, ...last } }, body.length)
      refused.end(body)
      expect((await refused.over).body).toContain('concurrency-exceeded')
      calls[0]?.writeHead(409, json).end('{}')
      calls[1]?.destroy()
      const [answered, broken] = [await running.recordsOf(ids[0] ?? ''), await running.recordsOf(ids[1] ?? '')]
      expect(answered.access).toMatchObject({ outcome: 'aborted', upstream_status: 409 })
      expect(broken.access).toMatchObject({ outcome: 'aborted', upstream_status: null })
      for (const { decision } of [answered, broken])
        expect(decision).toMatchObject({ ended: { how: 'aborted', sent: true } })
      await until(async () => (await inFlight()) === 0, 'all to be over')
    },
  )

  test.each(['GET', 'HEAD'])('a %s ends when its caller leaves, before Devin has answered', async (method) => {
    await start()
    const id = await leave(protocol, method, `${sessions}/s-1/messages`)
    expect((await running.recordsOf(id)).access).toMatchObject({ method, outcome: 'aborted', status: null })
    await until(async () => (await inFlight()) === 0, 'it to be over')
  })

  test.each([
    ['are not cached', false],
    ['are', true],
  ])('callers who leave reads that %s have no more calls at Devin than slots', async (_name, cached) => {
    await start({ limits: 'limits: { concurrent: 2 }\n', cached })
    let underWay = 0
    let most = 0
    running.upstream.respond((_request, response) => {
      most = Math.max(most, (underWay += 1))
      response.on('close', () => (underWay -= 1))
      calls.push(response)
    })
    for (let index = 0; index < 15; index += 1) {
      const before = running.upstream.seen.length
      const request = await open(protocol, { method: 'GET', path: `${sessions}?limit=${index + 1}` }, 0)
      request.end('')
      await Promise.race([request.over, until(() => running.upstream.seen.length > before, 'the read at Devin')])
      request.leave()
    }
    expect(most).toBeLessThanOrEqual(2)
  })

  test.each<[string, string, string]>([
    ['an own page', 'POST', '/gateway/v1/me'],
    ['an unknown address', 'PUT', '/nowhere'],
    ['an operation that is not granted', 'POST', `${home}/secrets`],
    ['a create', 'POST', sessions],
  ])('%s whose body never comes is over after its deadline', async (_name, method, path) => {
    await start({ listen: ', timeouts: { body: 200ms }' })
    const request = await open(protocol, { method, path, fields: json }, 100_000)
    request.write('x')
    expect((await request.over).status).toBeGreaterThanOrEqual(200)
    await until(async () => (await inFlight()) === 0, 'nothing to be under way')
    expect(await running.settled()).toBe(1)
  })
})

test('answers that nobody reads end with their HTTP/2 session', async () => {
  await start()
  running.upstream.respond((_request, response) => void response.writeHead(200, json).end('x'.repeat(400_000)))
  const token = await running.token()
  const session: ClientHttp2Session = connect(`https://127.0.0.1:${running.port}`, { rejectUnauthorized: false })
  session.on('error', () => {})
  const begun = Array.from({ length: 8 }, async (_, index) => {
    const stream = session.request({ ':path': `${sessions}/s-${index}/messages`, authorization: `Bearer ${token}` })
    stream.on('error', () => {})
    await new Promise((resolve) => stream.once('response', resolve))
  })
  await Promise.all(begun)
  session.destroy()
  await until(async () => (await inFlight()) === 0, 'all to be over')
  expect(await running.settled()).toBe(8)
})
