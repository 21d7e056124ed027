// Callers who leave together, in every state a body can be in, in front of a gateway that is a process of its own: it goes
// on serving.

import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGatewayProcess, type StartedGateway } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { openSocket } from '../support/raw-request.ts'
import { createSite, type Site } from '../support/site.ts'
import { until, usualKeys } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const attachments = '/v3/organizations/org-payments/attachments'
const connections = 4

let upstream: RecordingUpstream
let issuer: Issuer
let site: Site
let gateway: StartedGateway
let token: string
beforeAll(async () => {
  upstream = await startUpstream()
  issuer = await startIssuer()
  site = await createSite({ upstream: upstream.origin, upstreamSettings: `connections: ${connections}`, issuer })
  gateway = await startGatewayProcess(site.configFile, { env: usualKeys })
  token = await issuer.sign({ groups: ['sso-payments-eng'] })
})
afterAll(async () => {
  await gateway.kill()
  await upstream.close()
  await issuer.stop()
  await site.remove()
})

async function send(head: readonly string[], body = ''): Promise<Socket> {
  const socket = await openSocket(gateway.port)
  socket.on('error', () => {})
  socket.resume()
  socket.write(`${[...head, 'Host: x', `Authorization: Bearer ${token}`].join('\r\n')}\r\n\r\n${body}`)
  return socket
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${gateway.adminPort}/metrics`)).text()
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
}

const half = 'x'.repeat(100_000)
const uploads: readonly (readonly [string, readonly string[], string])[] = [
  ['half of a body of announced length', [`POST ${attachments} HTTP/1.1`, 'Content-Length: 1000000'], half],
  [
    'half of a body in chunks',
    [`POST ${attachments} HTTP/1.1`, 'Transfer-Encoding: chunked'],
    `${half.length.toString(16)}\r\n${half}\r\n`,
  ],
  ['nothing of a large body', [`POST ${attachments} HTTP/1.1`, 'Content-Length: 1000000'], ''],
  ['half of a small body', [`POST ${attachments} HTTP/1.1`, 'Content-Length: 1000'], half.slice(0, 500)],
]

describe.each(['destroy', 'resetAndDestroy', 'end'] as const)('callers who %s their connections at once', (how) => {
  test.each(uploads)('while they wait, having sent %s', async (_name, head, body) => {
    upstream.takeOver((request) => void request.resume())
    const sockets: Socket[] = []
    for (let index = 0; index < connections; index += 1) sockets.push(await send([`GET ${sessions} HTTP/1.1`]))
    // One team leaves some to the others.
    await until(() => upstream.sockets.size >= connections - 1, 'its connections to be held')
    for (let index = 0; index < 24; index += 1) sockets.push(await send(head, body))
    await until(async () => (await metric('gateway_in_flight')) >= 28, 'all callers to have come')
    for (const socket of sockets) socket[how]()
    await until(async () => (await metric('gateway_in_flight')) === 0, 'all exchanges to be over')
    upstream.takeOver(null)
    const answer = await fetch(`http://127.0.0.1:${gateway.port}${sessions}`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect(answer.status).toBe(200)
    expect(gateway.child.exitCode).toBe(null)
    for (const socket of sockets) socket.destroy()
  })
})
