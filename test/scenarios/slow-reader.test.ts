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
  expect((await running.call(sessions, { token })).status).toBe(200)
  await running.recorded(3)
  const cut = (await running.access()).filter(({ outcome }) => outcome === 'aborted')
  expect(cut).toHaveLength(2)
  for (const socket of sockets) socket.destroy()
})

test('a caller who reads a little now and then does not keep its connection either', async () => {
  running.upstream.respond((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(Buffer.alloc(64 * 1024 * 1024, 0x20))
  })
  const socket = await openSocket(running.port)
  socket.on('error', () => {})
  socket.pause()
  const before = await running.settled()
  socket.write(`GET ${sessions}?dripping HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await running.token()}\r\n\r\n`)
  const timer = setInterval(() => void socket.read(100), 50)
  await until(async () => (await running.access()).length > before, 'the reader to be cut')
  clearInterval(timer)
  expect((await running.access()).at(-1)).toMatchObject({ outcome: 'aborted', status: 200 })
  socket.destroy()
})

test('a caller who reads with many pauses gets everything, and each pause leaves nothing behind', async () => {
  const bytes = 32 * 1024 * 1024
  running.upstream.respond((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(Buffer.alloc(bytes, 0x20))
  })
  const warnings: string[] = []
  const note = (warning: Error): void => void warnings.push(`${warning.name}: ${warning.message}`)
  process.on('warning', note)
  const socket = await openSocket(running.port)
  socket.write(
    `GET ${sessions}?slowly HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${await running.token()}\r\n\r\n`,
  )
  let received = 0
  for await (const chunk of socket) {
    received += (chunk as Buffer).length
    await new Promise((resolve) => setImmediate(resolve))
  }
  process.off('warning', note)
  expect(received).toBeGreaterThan(bytes)
  expect(warnings).toEqual([])
})
