// A gateway whose process is killed, or halted in the same moment: what it has answered to a write is in its records, though
// nothing was closed.

import { execFileSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AccessEntry, DecisionEntry } from '../../src/records/entries.ts'
import { createAuthority } from '../support/certificates.ts'
import { startGatewayProcess, type StartedGateway } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { openSocket } from '../support/raw-request.ts'
import { createSite, type Site } from '../support/site.ts'
import { paymentsGroups, until, usualKeys } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'

const json = { 'content-type': 'application/json' }
const sessions = '/v3/organizations/org-payments/sessions'
let upstream: RecordingUpstream
let issuer: Issuer
let token: string
let plain: Started
let secure: Started
const authority = createAuthority('an authority')

interface Started {
  readonly site: Site
  readonly gateway: StartedGateway
}

async function start(listen?: string): Promise<Started> {
  const { cert, key } = authority.issue({ name: 'localhost' })
  const site = await createSite({ upstream: upstream.origin, issuer, ...(listen === undefined ? {} : { listen }) })
  await Promise.all([
    writeFile(join(site.directory, 'cert.pem'), cert),
    writeFile(join(site.directory, 'key.pem'), key),
  ])
  return { site, gateway: await startGatewayProcess(site.configFile, { env: usualKeys }) }
}

beforeAll(async () => {
  ;[upstream, issuer] = await Promise.all([startUpstream(), startIssuer()])
  token = await issuer.sign({ sub: 'ann', groups: paymentsGroups })
  ;[plain, secure] = await Promise.all([
    start(),
    start('{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: cert.pem, key: key.pem } }'),
  ])
})
afterAll(async () => {
  for (const { gateway, site } of [plain, secure]) {
    await gateway.kill()
    await site.remove()
  }
  await Promise.all([upstream.close(), issuer.stop()])
})

interface Records {
  readonly access: readonly AccessEntry[]
  readonly decisions: readonly DecisionEntry[]
}

/** The records of one exchange, read while its gateway stands still or has ended. */
async function recordsOf({ site }: Started, id: string): Promise<Records> {
  const read = async <T extends { readonly decision_id: string }>(name: string): Promise<readonly T[]> => {
    const text = await readFile(join(site.directory, `${name}.ndjson`), 'utf8')
    const entries = text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as T)
    return entries.filter(({ decision_id }) => decision_id === id)
  }
  return { access: await read('access'), decisions: await read('decisions') }
}

/**
 * Ends the process, or has it stand still: to both signals no instruction of it follows, and a process that only stands still can
 * go on for the next test.
 */
async function halted({ gateway }: Started, signal: Halt): Promise<void> {
  if (signal === 'SIGKILL') await gateway.ended
  else await until(() => isStopped(gateway.pid), 'the process to stand still')
}

/** Until the exchange is over and written: what is written for one must not take along what the next one has not written yet. */
async function goOn(started: Started, id: string, answered: ServerResponse | null): Promise<void> {
  started.gateway.signal('SIGCONT')
  answered?.end()
  await until(async () => (await recordsOf(started, id)).access.length === 1, 'the record of the exchange')
}

const isStopped = (pid: number): boolean =>
  execFileSync('ps', ['-o', 'state=', '-p', String(pid)], { encoding: 'utf8' }).startsWith('T')

type Halt = 'SIGSTOP' | 'SIGKILL'

/** Sends a write and halts the gateway as soon as a text has come back; gives all that came back. */
async function haltedAfter(
  wanted: string,
  answer: (response: ServerResponse) => void,
  signal: Halt = 'SIGSTOP',
): Promise<Records & { readonly text: string }> {
  const { gateway } = plain
  let answered: ServerResponse | null = null
  upstream.respond((_request, response) => {
    answered = response
    answer(response)
  })
  const socket = await openSocket(gateway.port)
  let text = ''
  socket.on('error', () => {})
  const arrived = new Promise<void>((resolve) =>
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (!text.includes(wanted)) return
      gateway.signal(signal)
      resolve()
    }),
  )
  const body = '{"prompt":"x"}'
  socket.write(
    `POST ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  await arrived
  await halted(plain, signal)
  const records = await recordsOf(plain, decisionIdIn(text))
  socket.destroy()
  if (signal === 'SIGSTOP') await goOn(plain, decisionIdIn(text), answered)
  return { text, ...records }
}

/** The same over HTTP/2: halted as soon as the answer has come so far. */
async function haltedAfterOverHttp2(
  wanted: 'head' | 'end',
  method: string,
  path: string,
  answer: (response: ServerResponse) => void,
  signal: Halt = 'SIGSTOP',
): Promise<Records & { readonly id: string; readonly status: number }> {
  const { gateway } = secure
  let answered: ServerResponse | null = null
  upstream.respond((_request, response) => {
    answered = response
    answer(response)
  })
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
  const arrived = new Promise<void>((resolve) => {
    const halt = (): void => {
      gateway.signal(signal)
      resolve()
    }
    stream.on('response', (head) => {
      Object.assign(seen, { id: head['gateway-decision'], status: head[':status'] })
      if (wanted === 'head') halt()
    })
    if (wanted === 'end') stream.on('end', halt)
  })
  stream.resume()
  stream.end(method === 'DELETE' ? undefined : '{"prompt":"x"}')
  await arrived
  await halted(secure, signal)
  const records = await recordsOf(secure, seen.id)
  session.destroy()
  if (signal === 'SIGSTOP') await goOn(secure, seen.id, answered)
  return { ...seen, ...records }
}

function decisionIdIn(text: string): string {
  return /gateway-decision: (\S+)/i.exec(text)?.[1] ?? ''
}

it('has both records of a write that failed after it was sent', async () => {
  const { text, access, decisions } = await haltedAfter('"decision_id"', (response) => void response.socket?.destroy())
  const id = decisionIdIn(text)
  expect(access).toEqual([expect.objectContaining({ decision_id: id, status: 502, outcome: 'failed' })])
  expect(decisions.map((entry) => entry.decision_id)).toEqual([id])
})

it('has the decision record of a write whose answer comes in pieces, before its head leaves', async () => {
  const { text, access, decisions } = await haltedAfter('\r\n\r\n', (response) => {
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

it.each<[number, string, Halt]>([
  [422, 'forwarded', 'SIGSTOP'],
  [201, 'forwarded', 'SIGKILL'],
])('has both records of a write that was answered with %i', async (status, outcome, signal) => {
  const answer = (response: ServerResponse): void =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end('{"session_id":"s-1"}')
  const { text, access, decisions } = await haltedAfter('"session_id"', answer, signal)
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

describe('over HTTP/2', () => {
  const one = `${sessions}/devin-1`
  it('has the decision record of a write whose answer comes in pieces', async () => {
    const { id, access, decisions } = await haltedAfterOverHttp2('head', 'POST', sessions, (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
    })
    expect(access).toEqual([])
    expect(decisions.map((entry) => entry.decision_id)).toEqual([id])
  })

  it.each<[string, 'head' | 'end', string, string, number, (response: ServerResponse) => void, Halt?]>([
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
    ['that is refused', 'end', 'POST', sessions, 422, (response) => response.writeHead(422, json).end('{}'), 'SIGKILL'],
  ])(
    'has both records of a write before the head of an answer %s leaves',
    async (_name, wanted, method, path, status, answer, signal) => {
      const { id, access, decisions, ...seen } = await haltedAfterOverHttp2(wanted, method, path, answer, signal)
      expect(seen.status).toBe(status)
      expect(access).toEqual([expect.objectContaining({ decision_id: id, status })])
      expect(decisions.map((entry) => entry.decision_id)).toEqual([id])
    },
  )
})
