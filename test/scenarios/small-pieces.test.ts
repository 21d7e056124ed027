// Bodies in many small pieces: chunks over HTTP/1.1, DATA frames over HTTP/2. Each costs the same, however little it brings.

import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { protocols, type Protocol } from '../support/both-protocols.ts'
import { createAuthority } from '../support/certificates.ts'
import { fieldLines, flags, frame, frameTypes, openHttp2 } from '../support/http2-frames.ts'
import { startTestGateway, until, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const attachments = '/v3/organizations/org-payments/attachments'
const authority = createAuthority('a test authority')
let running: RunningGateway
beforeAll(async () => {
  const { cert, key } = authority.issue({ name: 'localhost' })
  running = await startTestGateway({
    listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: listener.crt, key: listener.key } }',
    files: { 'listener.crt': cert, 'listener.key': key },
    policies: {
      'guardrails.yaml':
        'guardrails:\n  - { id: g, on: [org.sessions.create], teams: all, body: { max_acu_limit: { at_most: 5 } } }\n',
    },
  })
})
afterAll(() => running.close())
beforeEach(() => void (running.upstream.seen.length = 0))

/** Sends a body in these pieces, byte for byte as they are framed, and gives the exchange's record. */
async function sendInPieces(protocol: Protocol, path: string, pieces: readonly string[]) {
  const before = await running.settled()
  const token = await running.token()
  let socket: TLSSocket
  if (protocol === 'HTTP/2') {
    socket = await openHttp2(running.port, authority.ca)
    const head = fieldLines([
      [':method', 'POST'],
      [':scheme', 'https'],
      [':authority', 'localhost'],
      [':path', path],
      ['content-type', 'application/json'],
      ['authorization', `Bearer ${token}`],
    ])
    socket.write(
      Buffer.concat([
        frame(frameTypes.headers, flags.endHeaders, 1, head),
        ...pieces.map((piece) => frame(frameTypes.data, 0, 1, Buffer.from(piece))),
        frame(frameTypes.data, flags.endStream, 1),
      ]),
    )
  } else {
    socket = connectTls({ port: running.port, host: 'localhost', ca: authority.ca })
    socket.on('error', () => {}).resume()
    const head = [
      `POST ${path} HTTP/1.1`,
      'Host: x',
      `Authorization: Bearer ${token}`,
      'Content-Type: application/json',
    ]
    const chunks = pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`)
    socket.write(`${head.join('\r\n')}\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.join('')}0\r\n\r\n`)
  }
  onTestFinished(() => void socket.destroy())
  expect(await running.settled(before + 1)).toBe(before + 1)
  const access = (await running.access()).filter(({ subject }) => subject !== 'gateway').at(-1)
  return { access, socket, sent: running.upstream.seen.at(-1)?.body.toString() }
}

const document = (length: number): string => `{"prompt":"${'x'.repeat(length)}"}`
/** Cut into pieces of these sizes, in turn. */
function cut(text: string, ...sizes: readonly number[]): string[] {
  const pieces: string[] = []
  for (let at = 0, index = 0; at < text.length; index += 1) {
    const size = sizes[index % sizes.length] ?? 1
    pieces.push(text.slice(at, at + size))
    at += size
  }
  return pieces
}

describe.each(protocols)('over %s', (protocol) => {
  test.each([
    ['that is judged, in pieces of one byte', sessions, cut(document(30_000), 1)],
    ['that is judged, in pieces of twenty', sessions, cut(document(60_000), 20)],
    ['that passes, in pieces of one byte', attachments, cut(document(30_000), 1)],
    ['that passes, in pieces of three and thirty', attachments, cut(document(60_000), 3, 30)],
  ])('a body %s is refused', async (_name, path, pieces) => {
    const { access, socket, sent } = await sendInPieces(protocol, path, pieces)
    expect(access).toMatchObject({ status: 400, problem: 'malformed-request', reason: 'body-in-pieces' })
    expect(sent).toBeUndefined()
    if (protocol === 'HTTP/1.1') await until(() => socket.destroyed, 'the connection to be closed')
  })

  test.each([
    ['is judged, in few pieces of one byte', sessions, document(900), [1]],
    ['is judged, in many pieces', sessions, document(50_000), [64, 100]],
    ['passes, in few pieces of one byte', attachments, document(900), [1]],
    ['passes, in many pieces', attachments, document(50_000), [70, 3_000, 1, 200]],
  ])('a body that %s, arrives as it was sent', async (_name, path, text, sizes) => {
    const { access, sent } = await sendInPieces(protocol, path, cut(text, ...sizes))
    expect(access).toMatchObject({ status: 200, outcome: 'forwarded', bytes_in: text.length })
    expect(sent === text).toBe(true)
  })
})
