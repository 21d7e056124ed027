// Callers who ask and do not read must not keep what others need.

import { connect as connectHttp2, constants } from 'node:http2'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import { fieldLines, flags, frame, frameTypes, openHttp2 } from '../support/http2-frames.ts'
import { openSocket } from '../support/raw-request.ts'
import { startTestGateway, until, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const authority = createAuthority('a test authority')
const { cert, key } = authority.issue({ name: 'localhost' })
let running: RunningGateway
let secure: RunningGateway

beforeAll(async () => {
  const upstream = '{ origin: "ORIGIN", connections: 2, timeouts: { body_idle: 1s } }'
  running = await startTestGateway({ upstream })
  secure = await startTestGateway({
    upstream,
    listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: listener.crt, key: listener.key } }',
    files: { 'listener.crt': cert, 'listener.key': key },
  })
})
afterAll(() => Promise.all([running.close(), secure.close()]))

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

describe('an answer of the gateway itself that its caller does not read', () => {
  test('does not keep the connection', async () => {
    const before = await running.settled()
    const socket = await openSocket(running.port)
    socket.on('error', () => {})
    socket.pause()
    const head = `GET /gateway/v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await running.token()}\r\n\r\n`
    // More than the buffers of both systems take.
    const send = (): void => {
      while (socket.writable && socket.write(head.repeat(200)));
    }
    socket.on('drain', send)
    send()
    await until(() => socket.destroyed, 'the connection to be closed')
    await running.settled(before + 1)
    expect((await running.access()).some(({ outcome, status }) => outcome === 'aborted' && status !== null)).toBe(true)
  })

  test('does not keep the stream, whatever it is', async () => {
    const before = await secure.settled()
    const settings = { initialWindowSize: 0 }
    const session = connectHttp2(`https://localhost:${secure.port}`, { ca: authority.ca, settings })
    onTestFinished(() => session.destroy())
    session.on('error', () => {})
    const cases = ['/gateway/v1/problems', '/gateway/v1/me', '/nowhere', sessions].flatMap((path) =>
      ['GET', 'DELETE', 'FOO'].flatMap((method) => [null, 'ann'].map((caller) => ({ path, method, caller }))),
    )
    const token = await secure.token()
    const ends = cases.map(({ path, method, caller }) => {
      const authorization = caller === null ? {} : { authorization: `Bearer ${token}` }
      const stream = session.request({ ':path': path, ':method': method, ...authorization }, { endStream: true })
      stream.on('error', () => {})
      return new Promise((resolve) => stream.on('close', () => resolve(stream.rstCode)))
    })
    expect(new Set(await Promise.all(ends))).toEqual(new Set([constants.NGHTTP2_INTERNAL_ERROR]))
    expect(await secure.settled(before + cases.length)).toBe(before + cases.length)
    const ended = (await secure.access()).slice(before)
    expect(ended.filter(({ outcome, status }) => outcome !== 'aborted' || status === null)).toEqual([])
  })
})

describe('a stream that its caller resets', () => {
  const noWindow = frame(frameTypes.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]))
  const goAway = frame(7, 0, 0, Buffer.alloc(8))
  const reset = (code: number): Buffer => frame(frameTypes.resetStream, 0, 1, Buffer.from([0, 0, 0, code]))

  /** Sends a request whose answer cannot be sent, and `last` when `wait` says so. */
  async function resetOne(
    method: string,
    path: string,
    wait: (types: readonly number[]) => boolean,
    last: Buffer,
  ): Promise<void> {
    const socket = await openHttp2(secure.port, authority.ca, noWindow)
    onTestFinished(() => void socket.destroy())
    let pending = Buffer.alloc(0)
    const types: number[] = []
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 9 && pending.length >= 9 + pending.readUIntBE(0, 3)) {
        types.push(pending.readUInt8(3))
        pending = pending.subarray(9 + pending.readUIntBE(0, 3))
      }
    })
    const isRead = method !== 'POST'
    const fields = fieldLines([
      [':method', method],
      [':scheme', 'https'],
      [':authority', 'localhost'],
      [':path', path],
      ['authorization', `Bearer ${await secure.token()}`],
    ])
    socket.write(frame(frameTypes.headers, flags.endHeaders + (isRead ? flags.endStream : 0), 1, fields))
    await until(() => wait(types), 'the moment to leave')
    socket.write(last)
    // With it a session whose connection is gone has to end as well.
    if (last.includes(goAway)) socket.end()
  }
  const isAnswered = (types: readonly number[]): boolean => types.includes(frameTypes.headers)

  test('ends, and its exchange with it, also when the connection is gone', async () => {
    secure.upstream.respond((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"items":[]}')
    })
    const before = await secure.settled()
    const cases = [constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_CANCEL].flatMap((code) =>
      [reset(code), Buffer.concat([reset(code), goAway])].flatMap((last) => [
        resetOne('GET', '/nowhere', isAnswered, last),
        resetOne('GET', sessions, isAnswered, last),
        resetOne('POST', '/nowhere', isAnswered, last),
      ]),
    )
    await Promise.all(cases)
    expect(await secure.settled(before + cases.length)).toBe(before + cases.length)
    const ended = (await secure.access()).slice(before)
    expect(ended.filter(({ outcome, status }) => outcome !== 'aborted' || status === null)).toEqual([])
  })

  test.each(['GET', 'HEAD'])('without an error before there is an answer is gone in the record: %s', async (method) => {
    const [before, seen] = [await secure.settled(), secure.upstream.seen.length]
    secure.upstream.takeOver(() => {})
    const isSent = (): boolean => secure.upstream.seen.length > seen
    await resetOne(method, sessions, isSent, reset(constants.NGHTTP2_NO_ERROR))
    await secure.settled(before + 1)
    secure.upstream.takeOver(null)
    expect((await secure.access()).at(-1)).toMatchObject({ outcome: 'aborted', status: null })
  })
})
