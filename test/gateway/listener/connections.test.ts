// What only the operating system or a stall of the event loop can cause.

import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { watchConnections, type ConnectionOptions } from '../../../src/gateway/listener/connections.ts'
import { createAuthority } from '../../support/certificates.ts'
import { openSocket } from '../../support/raw-request.ts'

function watch(server: Server, options: Partial<ConnectionOptions>): ReturnType<typeof watchConnections> {
  return watchConnections(server, {
    maxConnections: 10,
    maxConnectionsPerAddress: 0,
    isProxy: () => false,
    maxDescriptors: 1000,
    headMs: 10_000,
    now: () => performance.now(),
    input: { mayRead: () => true, isKnown: () => false },
    isBusy: () => false,
    onRefused: () => {},
    onCut: () => {},
    beforeAllAreCut: () => {},
    ...options,
  })
}

test.each(['EMFILE', 'ENFILE', 'ENOBUFS'])(
  'a connection that could not be accepted for %s is only logged',
  async (code) => {
    const server = createServer()
    const refused: string[] = []
    const connections = watch(server, { onRefused: (reason) => refused.push(reason) })
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    server.emit('error', Object.assign(new Error('accept'), { code }))
    expect(refused).toEqual(['not-accepted'])
    await connections.close(0)
  },
)

test('a request that has arrived and was not read when the close begins is answered', async () => {
  const busy = new Set<Socket>()
  const server = createServer((request, response) => {
    busy.add(request.socket)
    response.once('close', () => busy.delete(request.socket))
    response.end('answer')
  })
  const connections = watch(server, { isBusy: (socket) => busy.has(socket) })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const caller = await openSocket((server.address() as AddressInfo).port)
  let text = ''
  caller.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const ended = new Promise((resolve) => caller.once('close', resolve))
  const ask = (): boolean => caller.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  ask()
  await expect.poll(() => text).toContain('answer')
  // The loop does not turn in between, as after a stall.
  ask()
  await connections.close(5_000)
  await ended
  expect(text.match(/answer/g)).toHaveLength(2)
})

test('requests that the system has accepted and Node has not are answered when the close begins', async () => {
  const busy = new Set<Socket>()
  const server = createServer((request, response) => {
    busy.add(request.socket)
    response.once('close', () => busy.delete(request.socket))
    response.end('answer')
  })
  const connections = watch(server, { maxConnections: 13, isBusy: (socket) => busy.has(socket) })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const waiting: number[] = []
  server.on('connection', () => waiting.push(connections.waiting))
  // The event loop is busy, so that those have to wait that come next.
  for (let count = 0; count < 4; count += 1) {
    const end = performance.now() + 60
    while (performance.now() < end);
    await openSocket(port)
  }
  const ask = (): Promise<string[]> => {
    const caller = connect(port, '127.0.0.1').setEncoding('utf8')
    caller.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    return caller.toArray()
  }
  const texts = Array.from({ length: 8 }, ask)
  // A parent of workers has not handed this one over yet. The timer comes before each that the close starts.
  setTimeout(() => texts.push(ask()), 1)
  // They connect in this tick; the loop does not turn.
  await new Promise<void>((resolve) => process.nextTick(resolve))
  await connections.close(5_000)
  expect((await Promise.all(texts)).map((text) => text.join('').includes('answer'))).toEqual(Array(9).fill(true))
  expect(waiting).toHaveLength(13)
  expect(waiting).not.toContain(0)
  expect(connections.waiting).toBe(0)
})

describe('a TLS handshake that does not end', () => {
  const authority = createAuthority('a test authority')

  test.each([
    ['is cut at the deadline', Buffer.from([22, 3, 1, 2, 0]), 1],
    ['is not waited for when nothing has come', null, 60_000],
  ])('%s', async (_name, bytes, deadlineMs) => {
    const server = createTlsServer({ ...authority.issue({ name: 'localhost' }), handshakeTimeout: 120_000 })
    const connections = watch(server, {})
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    const caller = await openSocket((server.address() as AddressInfo).port)
    const ended = caller
      .on('error', () => {})
      .toArray()
      .catch(() => [])
    if (bytes !== null) caller.write(bytes)
    await expect.poll(() => [connections.open, connections.waiting]).toEqual([1, 0])
    await connections.close(deadlineMs)
    await ended
    await expect.poll(() => connections.open).toBe(0)
  })
})
