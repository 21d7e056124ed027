// Whatever arrives on the listener is one exchange: one answer of the gateway's own, one access record, one decision record,
// with a token and without. Lists methods, targets, versions and fields, byte for byte, over every protocol.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectHttp2, constants, type OutgoingHttpHeaders } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import { fieldLines, flags, frame, frameTypes, openHttp2 } from '../support/http2-frames.ts'
import { parseAnswer } from '../support/raw-request.ts'
import { startTestGateway, until, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const ownPage = '/gateway/v1/problems/not-granted'
const authority = createAuthority('a test authority')

let directory: string
let plain: RunningGateway
let secure: RunningGateway
let token: { readonly plain: string; readonly secure: string }
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-test-requests-'))
  const { cert, key } = authority.issue({ name: 'localhost' })
  await writeFile(join(directory, 'cert.pem'), cert)
  await writeFile(join(directory, 'key.pem'), key)
  plain = await startTestGateway()
  secure = await startTestGateway({
    listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: "${join(directory, 'cert.pem')}", key: "${join(directory, 'key.pem')}" } }`,
  })
  token = { plain: await plain.token(), secure: await secure.token() }
})
afterAll(async () => {
  await Promise.all([plain.close(), secure.close()])
  await rm(directory, { recursive: true, force: true })
})

interface Answer {
  readonly status: number
  readonly fields: Readonly<Record<string, string>>
  readonly body: string
}

/** What it may come to, without a token and with one; a status of 200 is an own page or the upstream's answer. */
interface Expected {
  readonly without: readonly number[]
  readonly with: readonly number[]
}
const malformed: Expected = { without: [400], with: [400] }
const unknown: Expected = { without: [401], with: [403] }
const known: Expected = { without: [401], with: [200] }

/** How many exchanges each gateway has had. */
const counts = new Map<RunningGateway, number>()
async function settled(running: RunningGateway, atLeast?: number): Promise<number> {
  const count = await running.settled(atLeast)
  counts.set(running, count)
  return count
}

interface Exchange {
  readonly ask: () => Promise<Answer>
  readonly statuses: readonly number[]
  readonly head?: boolean
  /** Whether it names somebody; where it does not, nobody is recorded. */
  readonly subject: boolean
}

/** Makes exchanges one after the other, and checks everything that is promised of any. Waits once for what they leave. */
async function areExchanges(running: RunningGateway, exchanges: readonly Exchange[]): Promise<void> {
  const before = counts.get(running) ?? (await settled(running))
  const made: { readonly id: string; readonly status: number; readonly subject: boolean }[] = []
  for (const { ask, statuses, head, subject } of exchanges) {
    const { status, fields, body } = await ask()
    expect(statuses, `${status} ${body}`).toContain(status)
    const id = fields['gateway-decision'] ?? ''
    expect(id).toMatch(/^[0-9a-f-]{36}$/)
    expect(fields['x-content-type-options']).toBe(
      status === 200 && fields['content-type'] === 'application/json' ? fields['x-content-type-options'] : 'nosniff',
    )
    if (status >= 400) {
      expect(fields['content-type']).toBe('application/problem+json')
      if (head !== true) {
        expect(JSON.parse(body)).toMatchObject({ status, instance: `urn:uuid:${id}`, decision_id: id })
        expect(JSON.parse(body)).not.toHaveProperty('statusCode')
      }
    }
    made.push({ id, status, subject })
  }
  const after = before + exchanges.length
  expect(await settled(running, after)).toBe(after)
  let forwarded = 0
  for (const { id, status, subject } of made) {
    const { access, decision } = await running.recordsOf(id)
    expect(access.status).toBe(status)
    expect(decision.effect).toBe(status < 400 ? 'allow' : 'deny')
    if (status === 403) expect(access.subject).toBe('ann')
    if (!subject) expect(access.subject).toBeNull()
    if (access.outcome === 'forwarded') forwarded += 1
    if (status !== 200) expect(access.outcome).not.toBe('forwarded')
  }
  expect(running.upstream.seen).toHaveLength(forwarded)
  running.upstream.seen.length = 0
}

const methods: [string, Expected][] = [
  ['GET', known],
  ['HEAD', known],
  ['POST', { without: [401], with: [200] }],
  ...['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'M-SEARCH', 'QUERY', 'LINK', 'PURGE', 'SUBSCRIBE'].map(
    (method): [string, Expected] => [method, unknown],
  ),
]

describe.each(['plain', 'TLS'] as const)('HTTP/1.1, %s', (kind) => {
  const gateway = (): RunningGateway => (kind === 'plain' ? plain : secure)
  const bearer = (): string => `Authorization: Bearer ${kind === 'plain' ? token.plain : token.secure}\r\n`
  const open = (): Socket =>
    kind === 'plain'
      ? connectTcp(gateway().port, '127.0.0.1')
      : connectTls({ port: gateway().port, host: 'localhost', ca: authority.ca, ALPNProtocols: ['http/1.1'] })

  const send = (bytes: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const socket = open()
      let text = ''
      socket.on(kind === 'plain' ? 'connect' : 'secureConnect', () => socket.write(Buffer.from(bytes, 'latin1')))
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
      socket.on('error', reject)
      socket.on('close', () => {
        // Nothing of Node's own comes before, behind or beside the answer.
        expect(text.match(/^HTTP\/1\.[01] /gm)?.length, text).toBe(1)
        resolve(parseAnswer(text))
      })
    })
  const twice = (bytes: (bearer: string) => string, expected: Expected, head = false): readonly Exchange[] => [
    { ask: () => send(bytes('')), statuses: expected.without, head, subject: false },
    { ask: () => send(bytes(bearer())), statuses: expected.with, head, subject: true },
  ]
  const both = (...given: Parameters<typeof twice>): Promise<void> => areExchanges(gateway(), twice(...given))
  const close = 'Host: gateway.example\r\nConnection: close\r\n'
  const body = (method: string): string =>
    method === 'POST' ? 'Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{"prompt":"x"}' : '\r\n'

  test.each([...methods, ['CONNECT', unknown]] as [string, Expected][])('method %s', async (method, expected) => {
    await both(
      (auth) => `${method} ${sessions} HTTP/1.1\r\n${close}${auth}${body(method)}`,
      expected,
      method === 'HEAD',
    )
  })

  test.each(['FOO', 'get', 'Get', 'PRI', 'X'.repeat(300), 'G@T', 'GET\u0000', '', ' GET', '__proto__'])(
    'a method that the parser does not know: %s',
    async (method) => {
      await both((auth) => `${method} ${sessions} HTTP/1.1\r\n${close}${auth}\r\n`, malformed)
    },
  )

  const targets: [string, Expected, Expected][] = [
    ['*', malformed, unknown],
    ['gateway.example:443', malformed, unknown],
    ['gateway.example', malformed, unknown],
    ['http://gateway.example/v3/self', known, unknown],
    ['http://other.example/v3/self', malformed, unknown],
    ['https://gateway.example', unknown, unknown],
    ['ftp://gateway.example/v3/self', malformed, unknown],
    ['/', unknown, unknown],
    ['/nowhere', unknown, unknown],
    ['/gateway', unknown, unknown],
    ['/gateway/v1/me', known, unknown],
    ['/gateway/v2/me', unknown, unknown],
    ['//v3/self', malformed, unknown],
    ['/v3/../v3/self', malformed, unknown],
    ['/%zz', malformed, unknown],
    ['/v3/self?%zz', { without: [401, 400], with: [200, 400] }, unknown],
    ['/\u00e9', malformed, unknown],
    [`/${'a'.repeat(20_000)}`, unknown, unknown],
    [`/v3/self?q=${'a'.repeat(10_000)}`, known, unknown],
  ]
  test.each(targets)('target %s', async (target, ofGet, ofConnect) => {
    const parsed = /^[!-~]+$/.test(target) ? ofConnect : malformed
    await areExchanges(gateway(), [
      ...twice((auth) => `GET ${target} HTTP/1.1\r\n${close}${auth}\r\n`, ofGet),
      // What CONNECT may name the parser knows as well: an authority, and what looks like one.
      ...twice((auth) => `CONNECT ${target} HTTP/1.1\r\n${close}${auth}\r\n`, {
        without: [...parsed.without, 400],
        with: [...parsed.with, 400],
      }),
    ])
  })

  test('a problem page is for everybody', async () => {
    const everybody: Expected = { without: [200], with: [200] }
    await areExchanges(gateway(), [
      ...twice((auth) => `GET ${ownPage} HTTP/1.1\r\n${close}${auth}\r\n`, everybody),
      ...twice((auth) => `HEAD ${ownPage} HTTP/1.0\r\n${close}${auth}\r\n`, everybody, true),
    ])
  })

  test.each<[string, Expected]>([
    [' HTTP/1.1', known],
    [' HTTP/1.0', known],
    [' HTTP/0.9', malformed],
    [' HTTP/1.2', malformed],
    [' HTTP/2.0', malformed],
    [' HTTP/3.0', malformed],
    [' HTTP/1.10', malformed],
    [' HTTP/11', malformed],
    [' HTTP/', malformed],
    [' http/1.1', malformed],
    [' HTTPS/1.1', malformed],
    [' ICE/1.0', malformed],
    // The parser takes it, and does not tell it from HTTP.
    [' RTSP/1.0', { without: [400, 401], with: [400, 200] }],
    [' HTTP/1.1 HTTP/1.1', malformed],
    ['', malformed],
  ])('version "%s"', async (version, expected) => {
    await both((auth) => `GET ${sessions}${version}\r\n${close}${auth}\r\n`, expected)
  })

  test.each<[string, string, Expected]>([
    ['an upgrade to WebSocket', 'Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n', known],
    ['an upgrade to h2c', 'Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n', known],
    ['an upgrade to TLS', 'Connection: upgrade\r\nUpgrade: TLS/1.0\r\n', known],
    ['an expectation that nobody knows', 'Expect: a-miracle\r\n', { without: [400, 401], with: [400, 200] }],
    ['an announced body that is expected to be wanted', 'Expect: 100-continue\r\n', known],
    ['no Host', '', { without: [400, 401], with: [400, 200] }],
    ['two Hosts', 'Host: a\r\nHost: b\r\n', malformed],
    ['two lengths', 'Content-Length: 1\r\nContent-Length: 2\r\n', malformed],
    ['a length and a coding', 'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n', malformed],
    ['a coding that is not known', 'Transfer-Encoding: gzip\r\n', malformed],
    ['a negative length', 'Content-Length: -1\r\n', malformed],
    ['a field without a name', ': x\r\n', malformed],
    ['a folded field', 'X: a\r\n b\r\n', malformed],
    ['a space before the colon', 'X : a\r\n', malformed],
    ['a control byte', 'X: \u0001\r\n', malformed],
    ['fields that are too large', `X: ${'x'.repeat(40_000)}\r\n`, malformed],
    ['many fields that are too large', 'X: y\r\n'.repeat(20_000), malformed],
    ['three thousand fields before those that count', 'X: y\r\n'.repeat(3000), known],
  ])('%s', async (name, fields, expected) => {
    const host = /Host/i.test(name) ? '' : 'Host: gateway.example\r\n'
    const isUpgrade = name.startsWith('an upgrade')
    await both(
      (auth) =>
        `GET ${sessions} HTTP/1.1\r\n${host}${isUpgrade ? '' : 'Connection: close\r\n'}${fields}${auth}${isUpgrade ? 'Connection: close\r\n' : ''}\r\n`,
      expected,
    )
  })

  test('only HTTP/1.1 has to name a Host', async () => {
    await both((auth) => `GET ${sessions} HTTP/1.0\r\n${auth}\r\n`, known)
    await both((auth) => `GET http://gateway.example${sessions} HTTP/1.0\r\n${auth}\r\n`, malformed)
    await both((auth) => `GET ${sessions} HTTP/1.1\r\nConnection: close\r\n${auth}\r\n`, malformed)
  })

  test('a length that stands behind three thousand fields counts', async () => {
    const filler = 'X: y\r\n'.repeat(3000)
    await both((auth) => `GET ${sessions} HTTP/1.1\r\n${close}${filler}${auth}Content-Length: 4\r\n\r\nbody`, malformed)
  })

  test.each([
    ['a head', 'this is no request\r\n\r\n', [400]],
    [
      'a body',
      `POST ${sessions} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAUTH\r\nno chunk\r\n`,
      // Whichever is seen first: that the body is none, or that nobody is authorized.
      [400, 401],
    ],
  ])('what goes on arriving behind %s that cannot be read is no further request', async (_name, first, statuses) => {
    const asking = (auth: string) => (): Promise<Answer> =>
      new Promise((resolve) => {
        const head = first.replace('AUTH\r\n', auth === '' ? '\r\n' : `${auth}\r\n`)
        const socket = open()
        let text = ''
        socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
        socket.on('error', () => {})
        socket.on(kind === 'plain' ? 'connect' : 'secureConnect', () => {
          socket.write(head)
          const more = setInterval(() => socket.writable && socket.write('and this\r\n\r\nis none either\r\n\r\n'), 2)
          socket.on('close', () => {
            clearInterval(more)
            expect(text.match(/^HTTP\/1\.[01] /gm)?.length, text).toBe(1)
            resolve(parseAnswer(text))
          })
        })
      })
    await areExchanges(
      gateway(),
      ['', bearer()].map((auth) => ({ ask: asking(auth), statuses, subject: auth !== '' })),
    )
  })

  test('a tunnel behind a request: each is an exchange of its own, in order', async () => {
    const running = gateway()
    const before = await settled(running)
    const text = await new Promise<string>((resolve, reject) => {
      const socket = open()
      let all = ''
      socket.on('error', reject)
      socket.on('data', (chunk: Buffer) => (all += chunk.toString('latin1')))
      socket.on('close', () => resolve(all))
      socket.on(kind === 'plain' ? 'connect' : 'secureConnect', () =>
        socket.write(
          `GET ${sessions} HTTP/1.1\r\nHost: x\r\n${bearer()}\r\nCONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n${bearer()}\r\nGET ${sessions} HTTP/1.1\r\nHost: x\r\n\r\n`,
        ),
      )
    })
    expect([...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status)).toEqual(['200', '403'])
    expect(await settled(running, before + 2)).toBe(before + 2)
    running.upstream.seen.length = 0
  })
})

test('HTTP/2 without TLS is no HTTP/1.1', async () => {
  const bytes = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  const ask = (): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const socket = connectTcp(plain.port, '127.0.0.1', () => socket.write(bytes))
      let text = ''
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
      socket.on('error', reject)
      socket.on('close', () => resolve(parseAnswer(text)))
    })
  await areExchanges(plain, [{ ask, statuses: [400], subject: false }])
})

describe('HTTP/2', () => {
  const send = (headers: OutgoingHttpHeaders, body: string | null = null): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const session = connectHttp2(`https://localhost:${secure.port}`, {
        ca: authority.ca,
        maxSendHeaderBlockLength: 1024 * 1024,
      })
      session.on('error', reject)
      const stream = session.request(headers, { endStream: body === null })
      let text = ''
      let status = 0
      let fields: Record<string, string> = {}
      stream.on('response', (answer) => {
        status = Number(answer[constants.HTTP2_HEADER_STATUS])
        fields = Object.fromEntries(Object.entries(answer).map(([name, value]) => [name, String(value)]))
      })
      stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
      stream.on('error', reject)
      stream.on('close', () => {
        session.destroy()
        resolve({ status, fields, body: text })
      })
      if (body !== null) stream.end(body)
    })
  const twice = (headers: OutgoingHttpHeaders, expected: Expected, body: string | null = null): readonly Exchange[] => {
    const head = headers[':method'] === 'HEAD'
    const authorized = { ...headers, authorization: `Bearer ${token.secure}` }
    return [
      { ask: () => send(headers, body), statuses: expected.without, head, subject: false },
      { ask: () => send(authorized, body), statuses: expected.with, head, subject: true },
    ]
  }
  const both = (...given: Parameters<typeof twice>): Promise<void> => areExchanges(secure, twice(...given))

  test.each<[string, Expected]>([
    ...methods,
    ...['FOO', 'get', 'Get', 'PRI', 'X'.repeat(300), '__proto__', 'constructor', 'toString'].map(
      (method): [string, Expected] => [method, unknown],
    ),
  ])('method %s', async (method, expected) => {
    await areExchanges(secure, [
      ...twice({ ':method': method, ':path': sessions }, expected, method === 'POST' ? '{"prompt":"x"}' : null),
      ...twice({ ':method': method, ':path': '/gateway/v1/me' }, ['GET', 'HEAD'].includes(method) ? known : unknown),
      ...twice({ ':method': method, ':path': '/nowhere' }, unknown),
    ])
  })

  test('CONNECT', async () => {
    await both({ ':method': 'CONNECT', ':authority': 'x.example:443' }, unknown)
  })

  test('OPTIONS *', async () => {
    await both({ ':method': 'OPTIONS', ':path': '*' }, malformed)
  })

  test.each<[string, Expected]>([
    ['/', unknown],
    ['/nowhere', unknown],
    ['/gateway', unknown],
    ['/gateway/v1/me', known],
    ['//v3/self', malformed],
    ['/v3/../v3/self', malformed],
    ['/%zz', malformed],
    [`/${'a'.repeat(20_000)}`, unknown],
    [`/${'a'.repeat(40_000)}`, malformed],
  ])('target %s', async (target, expected) => {
    await areExchanges(secure, [
      ...twice({ ':path': target }, expected),
      ...twice({ ':path': target, ':method': 'FOO' }, { without: [400, 401], with: [400, 403] }),
    ])
  })

  test.each<[string, OutgoingHttpHeaders, Expected]>([
    ['fields that are too large', { 'x-large': 'x'.repeat(33_000) }, malformed],
    ['three that are much larger', { a: 'x'.repeat(30_000), b: 'x'.repeat(30_000), c: 'x'.repeat(30_000) }, malformed],
    [
      'many fields that are too large together',
      Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`x-field-${index}`, 'x'.repeat(40)])),
      malformed,
    ],
    [
      'many fields that are not',
      Object.fromEntries(Array.from({ length: 800 }, (_, index) => [`x-${index}`, 'y'])),
      known,
    ],
    ['an expectation', { expect: '100-continue' }, known],
    ['an expectation that nobody knows', { expect: 'a-miracle' }, { without: [400, 401], with: [400, 200] }],
  ])('%s', async (_name, fields, expected) => {
    await both({ ':path': sessions, ...fields }, expected)
  })

  const pseudo = (path: string): readonly (readonly [string, string])[] => [
    [':method', 'GET'],
    [':scheme', 'https'],
    [':authority', 'localhost'],
    [':path', path],
  ]
  test.each<[string, readonly (readonly [string, string])[]]>([
    ['no target', pseudo('/').slice(0, 3)],
    ['an empty target', pseudo('')],
    ['no method', pseudo('/').slice(1)],
    ['an asterisk', pseudo('*')],
    ['an authority as its target', pseudo('gateway.example:443')],
    ['a target without a slash', pseudo('v3/self')],
    ['an absolute target', pseudo('https://other.example/v3/self')],
    ['a tunnel with a target', [[':method', 'CONNECT'], ...pseudo('/').slice(1)]],
    ['an upper-case field', [...pseudo('/'), ['X-Upper', 'x']]],
    ['a field of the connection', [...pseudo('/'), ['connection', 'close']]],
    ['a line break in a value', [...pseudo('/'), ['x', 'a\r\nb: c']]],
    ['a pseudo field that is not known', [[':protocol', 'websocket'], ...pseudo('/')]],
    [
      'fields beyond every bound',
      [...pseudo('/'), ...Array.from({ length: 8 }, (): [string, string] => ['x', 'x'.repeat(2000)])],
    ],
  ])('%s is answered, or is no request by HTTP/2 itself and resets the stream', async (_name, fields) => {
    const before = await settled(secure)
    const socket = await openHttp2(secure.port, authority.ca)
    const types: number[] = []
    let pending = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 9 && pending.length >= 9 + pending.readUIntBE(0, 3)) {
        types.push(pending.readUInt8(3))
        pending = pending.subarray(9 + pending.readUIntBE(0, 3))
      }
    })
    socket.write(frame(frameTypes.headers, flags.endHeaders + flags.endStream, 1, fieldLines(fields)))
    const [reset, goAway] = [3, 7]
    const ends: readonly number[] = [frameTypes.headers, reset, goAway]
    const ended = (): boolean => types.some((type) => ends.includes(type))
    await until(ended, 'an answer, or the end of the stream or the session')
    const answered = types.includes(frameTypes.headers)
    socket.destroy()
    expect(await settled(secure)).toBe(answered ? before + 1 : before)
  })
})

test.each([
  ['without a token', ''],
  ['with one', 'Authorization: Bearer needle\r\n'],
])('a request without TLS to the port that speaks TLS, %s, is refused in words that it can read', async (_, field) => {
  const answer = (): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const socket = connectTcp(secure.port, '127.0.0.1')
      let text = ''
      socket.on('connect', () => socket.write(`GET ${sessions} HTTP/1.1\r\nHost: gateway.example\r\n${field}\r\n`))
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
      socket.on('error', reject)
      socket.on('close', () => resolve(parseAnswer(text)))
    })
  let said = ''
  const ask = async (): Promise<Answer> => {
    const found = await answer()
    said = found.body
    return found
  }
  await areExchanges(secure, [{ ask, statuses: [400], subject: false }])
  expect(JSON.parse(said)).toMatchObject({
    type: '/gateway/v1/problems/malformed-request',
    reason: 'plain-http',
    detail:
      'This port speaks TLS, and the request came without it. Begin the address with https:// and replace the token: it went over the network in plain text.',
  })
  expect(said).not.toContain('needle')
})
