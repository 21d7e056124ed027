// Callers who ask and do not read must not keep what others need.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { openSocket } from '../support/raw-request.ts'
import { startTestGateway, until, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
let running: RunningGateway

beforeAll(async () => {
  running = await startTestGateway({ upstream: '{ origin: "ORIGIN", connections: 2, timeouts: { body_idle: 1s } }' })
})
afterAll(() => running.close())

test('a caller who does not read is cut after the idle time, and the connection it held serves others', async () => {
  running.upstream.respond((request, response) => {
    if (!(request.url ?? '').includes('big')) response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    else response.writeHead(200, { 'content-type': 'application/json' }).end(Buffer.alloc(64 * 1024 * 1024, 0x20))
  })
  const token = await running.token()
  const sockets = await Promise.all(Array.from({ length: 2 }, () => openSocket(running.port)))
  for (const [index, socket] of sockets.entries()) {
    socket.pause()
    socket.on('error', () => {})
    socket.write(`GET ${sessions}?big=${index} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  }
  await until(() => running.upstream.seen.length === 2, 'both connections to be held')
  const before = (await running.access()).length
  expect((await running.call(sessions, { token })).status).toBe(200)
  await until(async () => (await running.access()).length >= before + 3, 'the records of all three')
  const cut = (await running.access()).filter(({ outcome }) => outcome === 'aborted')
  expect(cut).toHaveLength(2)
  for (const socket of sockets) socket.destroy()
})
