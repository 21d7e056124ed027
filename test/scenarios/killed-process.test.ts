// A gateway whose process is killed: what it has answered to a write is in its records, though nothing was closed.

import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { AccessEntry, DecisionEntry } from '../../src/records/entries.ts'
import { startGatewayProcess } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { openSocket } from '../support/raw-request.ts'
import { createSite, type Site } from '../support/site.ts'
import { paymentsGroups, usualKeys } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'

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
