// New connections of a server whose event loop is busy.

import { setImmediate as turned, setTimeout as sleep } from 'node:timers/promises'
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
  const accepted: Socket[] = []
  guardConnections(server, (socket, begin) => {
    accepted.push(socket)
    incoming.add(socket, () => {
      begun.push({ port: socket.remotePort ?? 0, turn })
      begin()
    })
  })
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
    accepted,
    async connect(count: number): Promise<Socket[]> {
      const more = await Promise.all(Array.from({ length: count }, () => openSocket(port)))
      sockets.push(...more)
      return more
    },
  }
}

/** The event loop is held for nine milliseconds of ten. A caller is connected already, and so many more have just connected. */
async function openBusy(callers: number) {
  const { incoming, begun, accepted, connect } = await open()
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
  return { incoming, accepted, begun: () => begun.slice(before), first, late: await connect(callers) }
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

  test('wait through gaps of no more than a second in all', async () => {
    const { incoming } = await openBusy(0)
    // What counts the turns keeps the loop busy.
    clearInterval(busy)
    let turn = 0
    const nextTurn = (): void => {
      turn += 1
      if (incoming.waiting > 0) setImmediate(nextTurn)
    }
    const turns: number[] = []
    const order: number[] = []
    for (let count = 0; count < 1_200; count += 1)
      incoming.add(new Socket(), () => {
        turns.push(turn)
        order.push(count)
      })
    nextTurn()
    await expect.poll(() => turns.length).toBe(1_200)
    // A thousand gaps of a millisecond, the least there is, are a second.
    const steps = turns.slice(1).map((each, index) => each - (turns[index] ?? 0))
    expect(new Set(steps)).toEqual(new Set([1]))
    expect(order).toEqual([...order].sort((one, other) => one - other))
  })

  test('begin at once when the event loop has been idle since it was busy', async () => {
    let nowMs = 0
    let utilization = 1
    const measured = () => ({ idle: 0, active: 0, utilization })
    const incoming = new IncomingConnections({ now: () => nowMs, eventLoopUtilization: measured })
    const begins = (): Promise<void> => new Promise((resolve) => incoming.add(new Socket(), resolve))
    for (let looks = 0; looks < 8; looks += 1) {
      nowMs += 50
      await begins()
    }
    utilization = 0
    nowMs += 500
    const begun = begins()
    await turned()
    expect(incoming.waiting).toBe(0)
    await begun
  })

  test('all begin at once when they are told to', async () => {
    const { incoming, begun, accepted, late } = await openBusy(30)
    await expect.poll(() => incoming.waiting + begun().length, { interval: 1 }).toBe(30)
    for (const socket of late) socket.write('GET /early HTTP/1.1\r\nHost: x\r\n\r\n')
    // Two turns, in which what has come could be read.
    await turned()
    await turned()
    const waiting = accepted.filter(({ remotePort }) => !begun().some(({ port }) => port === remotePort)).slice(-5)
    expect(waiting.map(({ bytesRead }) => bytesRead)).toEqual(waiting.map(() => 0))
    incoming.beginAll()
    expect([incoming.waiting, begun().length]).toEqual([0, 30])
    await Promise.all(late.map((socket, index) => answered(socket, `/late-${index}`)))
  })

  test('never begin when they were destroyed', async () => {
    const { incoming, begun, accepted } = await openBusy(30)
    await expect.poll(() => incoming.waiting + begun().length, { interval: 1 }).toBe(30)
    const before = begun().length
    for (const socket of accepted) socket.destroy()
    await expect.poll(() => incoming.waiting).toBe(0)
    expect(begun().length).toBe(before)
  })
})
