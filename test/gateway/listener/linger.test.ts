// Over real connections: what a caller goes on sending after its refusal.

import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { leaveUnread } from '../../../src/gateway/listener/http-versions.ts'
import { lingerMs, mostLingering, mostLingeringBytes } from '../../../src/gateway/listener/linger.ts'
import { createAuthority } from '../../support/certificates.ts'

const authority = createAuthority('Linger CA')
let server: Server
let client: Socket
afterEach(() => {
  vi.useRealTimers()
  client.destroy()
  server.closeAllConnections()
  server.close()
})

/** A server that refuses each request unread, and a caller that has sent a head and some of its body. */
async function refuse(
  isTls: boolean,
  sent: Buffer,
): Promise<{ readonly accepted: Socket; readonly answer: Promise<string> }> {
  const accepted = Promise.withResolvers<Socket>()
  const listener: RequestListener = (request, response) => {
    accepted.resolve(request.socket)
    leaveUnread(request, response)
    response.writeHead(403, { 'content-length': '2' }).end('no')
  }
  server = isTls ? createTlsServer(authority.issue({ name: '127.0.0.1' }), listener) : createServer(listener)
  // As the gateway does: the input ends in the middle of a body.
  server.on('clientError', (_error, socket) => socket.destroy())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const to = { port, host: '127.0.0.1', allowHalfOpen: true }
  client = isTls ? connectTls({ ...to, ca: authority.ca }) : connect(to)
  client.on('error', () => {})
  const answer = new Promise<string>((resolve) => {
    let text = ''
    client.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.endsWith('no')) resolve(text)
    })
  })
  client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n')
  client.write(sent)
  return { accepted: await accepted.promise, answer }
}

describe.each([
  ['HTTP/1.1', false],
  ['HTTP/1.1 over TLS', true],
])('%s: a caller that goes on sending', (_name, isTls) => {
  test('gets its answer, is read no further than the bound, holds nothing of it, and is closed after a while', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { accepted, answer } = await refuse(isTls, Buffer.alloc(30_000_000, 'x'))
    expect(await answer).toMatch(/^HTTP\/1\.1 403 /)
    let bytesRead = -1
    while (!accepted.writableEnded || accepted.bytesRead > bytesRead) {
      ;({ bytesRead } = accepted)
      for (let turns = 0; turns < 50; turns += 1) await setImmediate()
    }
    // Node reads 64 KiB at once: some before the answer, and one piece behind it.
    expect(bytesRead).toBeLessThan(256 * 1024)
    vi.advanceTimersByTime(lingerMs - 1)
    expect([accepted.bytesRead, accepted.readableLength, accepted.destroyed]).toEqual([bytesRead, 0, false])
    vi.advanceTimersByTime(1)
    expect(accepted.destroyed).toBe(true)
  })

  test('and then ends, is closed at once', async () => {
    const { accepted, answer } = await refuse(isTls, Buffer.alloc(1000, 'x'))
    await answer
    const closed = once(accepted, 'close')
    client.end(Buffer.alloc(mostLingeringBytes / 2, 'x'))
    await closed
  })
})

test('of more connections than may stay open so, the oldest are closed', async () => {
  const accepted: Socket[] = []
  const clients: Socket[] = []
  server = createServer((request, response) => {
    accepted.push(request.socket)
    leaveUnread(request, response)
    response.writeHead(403, { 'content-length': '2' }).end('no')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const beyond = 3
  for (let count = 0; count < mostLingering + beyond; count += 1) {
    client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    client.on('error', () => {})
    client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nx')
    clients.push(client)
    await once(client, 'data')
  }
  expect(accepted.map(({ destroyed }) => destroyed)).toEqual(accepted.map((_socket, index) => index < beyond))
  for (const each of clients) each.destroy()
})
