// A gateway whose process is killed: what it has answered to a write is in its records, though nothing was closed.

import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AccessEntry, DecisionEntry } from '../../src/records/entries.ts'
import { createAuthority } from '../support/certificates.ts'
import { startGatewayProcess } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { openSocket } from '../support/raw-request.ts'
import { createSite, type Site } from '../support/site.ts'
import { paymentsGroups, usualKeys } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'

const json = { 'content-type': 'application/json' }
const sessions = '/v3/organizations/org-payments/sessions'
let upstream: RecordingUpstream
let issuer: Issuer
let token: string
beforeAll(async () => {
  ;[upstream, issuer] = await Promise.all([startUpstream(), startIssuer()])
  token = await issuer.sign({ sub: 'ann', groups: paymentsGroups })
})
afterAll(async () => {
  await Promise.all([upstream.close(), issuer.stop()])
})

async function entriesOf<T>(site: Site, name: string): Promise<T[]> {
  const text = await readFile(join(site.directory, `${name}.ndjson`), 'utf8')
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as T)
}

/** Sends a write to a gateway of its own and kills that as soon as a text has come back; gives all that came back. */
async function killedAfter(
  wanted: string,
  answer: (response: ServerResponse) => void,
): Promise<{ readonly text: string; readonly access: AccessEntry[]; readonly decisions: DecisionEntry[] }> {
  const site = await createSite({ upstream: upstream.origin, issuer })
  const gateway = await startGatewayProcess(site.configFile, { env: usualKeys })
  upstream.respond((_request, response) => answer(response))
  const socket = await openSocket(gateway.port)
  let text = ''
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    if (text.includes(wanted)) gateway.signal('SIGKILL')
  })
  const body = '{"prompt":"x"}'
  socket.write(
    `POST ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  await once(socket, 'close')
  await gateway.ended
  const access = await entriesOf<AccessEntry>(site, 'access')
  const decisions = await entriesOf<DecisionEntry>(site, 'decisions')
  await site.remove()
  return { text, access, decisions }
}

/** The same over HTTP/2: killed as soon as the answer has come so far. */
async function killedAfterOverHttp2(
  wanted: 'head' | 'end',
  method: string,
  path: string,
  answer: (response: ServerResponse) => void,
): Promise<{
  readonly id: string
  readonly status: number
  readonly access: AccessEntry[]
  readonly decisions: DecisionEntry[]
}> {
  const authority = createAuthority('an authority')
  const { cert, key } = authority.issue({ name: 'localhost' })
  const listen = '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: cert.pem, key: key.pem } }'
  const site = await createSite({ upstream: upstream.origin, issuer, listen })
  await Promise.all([
    writeFile(join(site.directory, 'cert.pem'), cert),
    writeFile(join(site.directory, 'key.pem'), key),
  ])
  const gateway = await startGatewayProcess(site.configFile, { env: usualKeys })
  upstream.respond((_request, response) => answer(response))
  const session = connectHttp2(`https://localhost:${gateway.port}`, { ca: authority.ca })
  session.on('error', () => {})
  const stream = session.request({
    ':method': method,
    ':path': path,
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
  })
  const seen = { id: '', status: 0 }
  stream.on('error', () => {})
  stream.on('response', (head) => {
    Object.assign(seen, { id: head['gateway-decision'], status: head[':status'] })
    if (wanted === 'head') gateway.signal('SIGKILL')
  })
  if (wanted === 'end') stream.on('end', () => gateway.signal('SIGKILL'))
  stream.resume()
  stream.end(method === 'DELETE' ? undefined : '{"prompt":"x"}')
  await gateway.ended
  session.destroy()
  const access = await entriesOf<AccessEntry>(site, 'access')
  const decisions = await entriesOf<DecisionEntry>(site, 'decisions')
  await site.remove()
  return { ...seen, access, decisions }
}

function decisionIdIn(text: string): string {
  return /gateway-decision: (\S+)/i.exec(text)?.[1] ?? ''
}

it.each([
  [201, 'forwarded'],
  [422, 'forwarded'],
])('has both records of a write that was answered with %i', async (status, outcome) => {
  const { text, access, decisions } = await killedAfter('"session_id"', (response) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end('{"session_id":"s-1"}'),
  )
  const id = decisionIdIn(text)
  expect(access).toEqual([
    expect.objectContaining({
      decision_id: id,
      operation: 'org.sessions.create',
      status,
      outcome,
      upstream_status: status,
    }),
  ])
  expect(decisions).toEqual([expect.objectContaining({ decision_id: id, subject: 'ann', effect: 'allow' })])
})

it('has both records of a write that failed after it was sent', async () => {
  const { text, access, decisions } = await killedAfter('"decision_id"', (response) => void response.socket?.destroy())
  const id = decisionIdIn(text)
  expect(access).toEqual([expect.objectContaining({ decision_id: id, status: 502, outcome: 'failed' })])
  expect(decisions.map((entry) => entry.decision_id)).toEqual([id])
})

it('has the decision record of a write whose answer comes in pieces, before its head leaves', async () => {
  const { text, access, decisions } = await killedAfter('\r\n\r\n', (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
  })
  expect(access).toEqual([])
  expect(decisions).toEqual([
    expect.objectContaining({
      decision_id: decisionIdIn(text),
      operation: 'org.sessions.create',
      key: 'payments-runner',
    }),
  ])
})

describe('over HTTP/2', () => {
  const one = `${sessions}/devin-1`
  it.each<[string, 'head' | 'end', string, string, number, (response: ServerResponse) => void]>([
    ['without a body', 'head', 'DELETE', one, 204, (response) => response.writeHead(204).end()],
    [
      'of no bytes',
      'head',
      'POST',
      sessions,
      200,
      (response) => response.writeHead(200, { 'content-length': '0' }).end(),
    ],
    [
      'with a body',
      'head',
      'POST',
      sessions,
      201,
      (response) => response.writeHead(201, { ...json, 'content-length': '20' }).end('{"session_id":"s-1"}'),
    ],
    ['of the gateway', 'head', 'POST', sessions, 502, (response) => void response.socket?.destroy()],
    ['that is refused', 'end', 'POST', sessions, 422, (response) => response.writeHead(422, json).end('{}')],
  ])(
    'has both records of a write before the head of an answer %s leaves',
    async (_name, wanted, method, path, status, answer) => {
      const { id, access, decisions, ...seen } = await killedAfterOverHttp2(wanted, method, path, answer)
      expect(seen.status).toBe(status)
      expect(access).toEqual([expect.objectContaining({ decision_id: id, status })])
      expect(decisions.map((entry) => entry.decision_id)).toEqual([id])
    },
  )

  it('has the decision record of a write whose answer comes in pieces', async () => {
    const { id, access, decisions } = await killedAfterOverHttp2('head', 'POST', sessions, (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
    })
    expect(access).toEqual([])
    expect(decisions.map((entry) => entry.decision_id)).toEqual([id])
  })
})
