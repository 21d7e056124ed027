// What only the operating system or a stall of the event loop can cause.

import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { expect, test } from 'vitest'
import { watchConnections, type ConnectionOptions } from '../../../src/gateway/listener/connections.ts'
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
