// A body that is sent as it comes, from a real server's request: when it may take a connection, and what it holds until then.

import { createServer, type IncomingMessage, type Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { Transform } from 'node:stream'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { createBodyMemory, type BodyMemory } from '../../../src/gateway/bodies/memory.ts'
import { Upload, type UploadOptions } from '../../../src/gateway/upstream/upload.ts'
import type { Problem } from '../../../src/problems.ts'
import { until } from '../../support/start-gateway.ts'

let server: Server
let socket: Socket
let memory: BodyMemory
let events: string[]
let upload: Upload | null
let hasRoom: boolean
let nowMs: number

beforeEach(async () => {
  memory = createBodyMemory(200_000)
  events = []
  upload = null
  hasRoom = true
  nowMs = 0
  server = createServer()
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
})
afterEach(async () => {
  socket.destroy()
  // A connection that is not read does not learn that its caller has left.
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

/** Sends a head and a first part, and lets an upload take it. */
async function begin(head: string, part: string, timeoutMs = 60_000): Promise<void> {
  const arrived = new Promise<IncomingMessage>((resolve) => server.once('request', resolve))
  const address = server.address()
  socket = connect(typeof address === 'object' && address !== null ? address.port : 0, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(`POST / HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n${part}`)
  const request = await arrived
  const length = request.headers['content-length']
  // Of an exchange it counts the bytes alone.
  const context = { bytesIn: 0 } as UploadOptions['context']
  upload = new Upload({
    context,
    request,
    declared: length === undefined ? null : Number(length),
    maxBytes: 1_000_000,
    memory,
    team: 'team',
    hasRoom: () => hasRoom,
    now: () => nowMs,
    timeoutMs,
    onReady: () => events.push('ready'),
    onRefused: ({ kind, reason }: Problem) => events.push(`${kind} ${reason}`),
  })
  await until(() => context.bytesIn > 0 || request.complete, 'the first part')
}

describe('an upload', () => {
  test.each([
    ['64 KiB of more', 'Content-Length: 200000', 'x'.repeat(64 * 1024)],
    ['all of a small one', 'Content-Length: 5', 'hello'],
    ['all of one in chunks', 'Transfer-Encoding: chunked', '5\r\nhello\r\n0\r\n\r\n'],
    ['an empty one in chunks', 'Transfer-Encoding: chunked', '0\r\n\r\n'],
  ])('is ready with %s', async (_name, head, part) => {
    hasRoom = false
    await begin(head, part)
    await until(() => events.length > 0, 'it to be ready')
    expect(events).toEqual(['ready'])
  })

  test('is ready with a few bytes while there is room, and not without', async () => {
    await begin('Content-Length: 200000', 'x'.repeat(100))
    expect(events).toEqual(['ready'])
    socket.destroy()
    events.length = 0
    hasRoom = false
    await begin('Content-Length: 200000', 'x'.repeat(100))
    expect(events).toEqual([])
  })

  test('of single bytes is not ready, nor one that falls behind the least rate', async () => {
    await begin('Content-Length: 200000', 'x')
    expect(events).toEqual([])
    nowMs = 10_000
    socket.write('x'.repeat(1000))
    await until(() => memory.heldBytes === 1001, 'the second part')
    expect(events).toEqual([])
  })

  test('counts what it holds, and gives it back when it is over', async () => {
    hasRoom = false
    await begin('Content-Length: 200000', 'x'.repeat(1000))
    expect(memory.heldBytes).toBe(1000)
    socket.destroy()
    await until(() => memory.heldBytes === 0, 'the memory to be given back')
    expect(upload?.destroyed).toBe(true)
  })

  test('for which there is no memory is refused', async () => {
    hasRoom = false
    memory = createBodyMemory(1_500)
    await begin('Content-Length: 200000', 'x'.repeat(1000))
    await until(() => events.length > 0, 'the refusal')
    expect(events).toEqual(['overloaded body-memory'])
    expect(memory.heldBytes).toBe(0)
  })

  test('that does not come in time is refused, and holds nothing', async () => {
    hasRoom = false
    await begin('Content-Length: 200000', 'x'.repeat(100), 50)
    await until(() => events.length > 0, 'the refusal')
    expect(events).toEqual(['malformed-request request-incomplete'])
    await until(() => memory.heldBytes === 0, 'the memory to be given back')
  })

  test('that is too large is refused where its length was not announced', async () => {
    await begin('Transfer-Encoding: chunked', `${(100_000).toString(16)}\r\n${'x'.repeat(100_000)}\r\n`)
    upload?.resume()
    for (let part = 0; part < 10; part += 1) socket.write(`${(100_000).toString(16)}\r\n${'x'.repeat(100_000)}\r\n`)
    await until(() => events.length > 1, 'the refusal')
    expect(events).toEqual(['ready', 'body-too-large body-too-large'])
  })

  describe('in small pieces', () => {
    /** Lengths of what it passes on. */
    let written: number[]
    beforeEach(() => {
      written = []
      const { write } = Transform.prototype
      vi.spyOn(Upload.prototype, 'write').mockImplementation(function (this: Upload, chunk: Buffer) {
        written.push(chunk.length)
        return Boolean(Reflect.apply(write, this, [chunk]))
      } as Upload['write'])
    })
    afterEach(() => void vi.restoreAllMocks())

    test('that come in one read passes them on as one', async () => {
      await begin('Transfer-Encoding: chunked', '5\r\nhello\r\n'.repeat(100))
      expect(written).toEqual([500])
    })

    test('that come in one turn passes on what makes 16 KiB, and the rest behind it', async () => {
      const arrived = new Promise<IncomingMessage>((resolve) => server.once('request', resolve))
      await begin('Transfer-Encoding: chunked', '5\r\nhello\r\n')
      const request = await arrived
      for (let piece = 0; piece < 50; piece += 1) request.emit('data', Buffer.alloc(500))
      await until(() => written.length === 3, 'the rest')
      expect(written).toEqual([5, 16_500, 8_500])
    })
  })

  test('whose caller leaves ends with an error that it handles itself', async () => {
    await begin('Content-Length: 200000', 'x'.repeat(70_000))
    socket.destroy()
    await until(() => upload?.destroyed === true, 'it to end')
    expect(events).toEqual(['ready'])
  })
})

test.each([
  ['its caller has left', () => void socket.destroy()],
  [
    'its caller has left behind the answer of Devin',
    async () => {
      upload?.destroy()
      await until(() => upload?.closed === true, 'the upload to be over')
      socket.destroy()
    },
  ],
  ['all of it has come', () => void socket.write('x'.repeat(100_000))],
])('nothing goes on for an upload when %s', async (_name, end) => {
  const timeoutMs = 54_321
  const started = vi.spyOn(globalThis, 'setInterval')
  const stopped = vi.spyOn(globalThis, 'clearInterval')
  onTestFinished(() => void vi.restoreAllMocks())
  await begin('Content-Length: 200000', 'x'.repeat(100_000), timeoutMs)
  upload?.resume()
  await end()
  await until(() => upload?.closed === true, 'the upload to be over')
  const timers = (): unknown[] =>
    started.mock.results
      .filter((_result, index) => started.mock.calls[index]?.[1] === timeoutMs)
      .map(({ value }) => value as unknown)
  await until(() => timers().every((timer) => stopped.mock.calls.some(([one]) => one === timer)), 'its timers to end')
})
