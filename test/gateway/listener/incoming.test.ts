// New connections of a server whose event loop is busy.

import { setTimeout as sleep } from 'node:timers/promises'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { Socket, type AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { guardConnections } from '../../../src/http/client-address.ts'
import { IncomingConnections } from '../../../src/gateway/listener/incoming.ts'
import { openSocket } from '../../support/raw-request.ts'

const opened: { server: Server; sockets: Socket[] }[] = []
let busy: NodeJS.Timeout | undefined
afterEach(() => {
  clearInterval(busy)
  for (const { server, sockets } of opened.splice(0)) {
    for (const socket of sockets) socket.destroy()
    server.closeAllConnections()
    server.close()
  }
})

async function open() {
  const server = createServer((request, response) => response.end(request.url))
  const incoming = new IncomingConnections()
  const begun: { port: number; turn: number }[] = []
  guardConnections(server, (socket, begin) =>
    incoming.add(socket, () => {
      begun.push({ port: socket.remotePort ?? 0, turn })
      begin()
    }),
  )
  let turn = 0
  const nextTurn = (): void => {
    turn += 1
    if (server.listening) setImmediate(nextTurn)
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  nextTurn()
  const { port } = server.address() as AddressInfo
  const sockets: Socket[] = []
  opened.push({ server, sockets })
  return {
    incoming,
    begun,
    async connect(count: number): Promise<Socket[]> {
      const more = await Promise.all(Array.from({ length: count }, () => openSocket(port)))
      sockets.push(...more)
      return more
    },
  }
}

/** The event loop is held for nine milliseconds of ten. A caller is connected already, and so many more have just connected. */
async function openBusy(callers: number) {
  const { incoming, begun, connect } = await open()
  const [first] = await connect(1)
  if (first === undefined) throw new Error('not connected')
  await answered(first, '/first')
  busy = setInterval(() => {
    const end = performance.now() + 9
    while (performance.now() < end);
  }, 1)
  // Each look makes the gap longer.
  while (begun.length < 12) {
    await connect(1)
    await sleep(60)
  }
  const before = begun.length
  return { incoming, begun: () => begun.slice(before), first, late: await connect(callers) }
}

async function answered(socket: Socket, path: string): Promise<void> {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
  let text = ''
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    text += chunk.toString()
    if (text.endsWith(path)) return
  }
  throw new Error('closed without an answer')
}

describe('new connections', () => {
  test('begin one a turn in the order in which they came', async () => {
    const { begun, connect } = await open()
    const callers = await connect(30)
    await Promise.all(callers.map((socket, index) => answered(socket, `/${index}`)))
    expect(begun.map(({ port }) => port)).toEqual(callers.map(({ localPort }) => localPort))
    expect(new Set(begun.map(({ turn }) => turn)).size).toBe(30)
  })

  test('wait behind requests on open connections while the event loop is busy', async () => {
    const { incoming, begun, first, late } = await openBusy(30)
    const lastAnswers = late.map((socket, index) => answered(socket, `/late-${index}`))
    await answered(first, '/between')
    expect(incoming.waiting).toBeGreaterThan(0)
    await Promise.all(lastAnswers)
    expect(incoming.waiting).toBe(0)
    // Turns in which none began.
    const turns = begun().map((each) => each.turn)
    const between = turns.slice(1).map((each, index) => each - (turns[index] ?? 0) - 1)
    expect(between.filter((count) => count > 0).length).toBeGreaterThan(15)
  })

  test('wait no longer than a second when there are very many', async () => {
    const { incoming } = await openBusy(1)
    let turn = 0
    const nextTurn = (): void => {
      turn += 1
      if (incoming.waiting > 0) setImmediate(nextTurn)
    }
    const turns: number[] = []
    for (let count = 0; count < 1_200; count += 1) incoming.add(new Socket(), () => void turns.push(turn))
    nextTurn()
    await expect.poll(() => turns.length).toBeGreaterThan(160)
    // None has a gap before it while a thousand wait.
    const first = turns.slice(1, 150).map((each, index) => each - (turns[index] ?? 0))
    expect(new Set(first)).toEqual(new Set([1]))
    incoming.destroyAll()
  })

  test('all begin at once when they are told to', async () => {
    const { incoming, begun, late } = await openBusy(30)
    await expect.poll(() => incoming.waiting + begun().length, { interval: 1 }).toBe(30)
    incoming.beginAll()
    expect([incoming.waiting, begun().length]).toEqual([0, 30])
    await Promise.all(late.map((socket, index) => answered(socket, `/late-${index}`)))
  })

  test('never begin when they were destroyed', async () => {
    const { incoming, begun, late } = await openBusy(30)
    await expect.poll(() => incoming.waiting + begun().length, { interval: 1 }).toBe(30)
    const lost = late.slice(begun().length)
    const closed = Promise.all(lost.map((socket) => once(socket, 'close')))
    incoming.destroyAll()
    for (const socket of lost) socket.on('error', () => {}).resume()
    await closed
    expect([incoming.waiting, begun().length]).toEqual([0, 30 - lost.length])
  })
})
