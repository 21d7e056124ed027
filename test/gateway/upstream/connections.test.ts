// The pools of connections, in front of a real server: kept apart by credential, bounded over all, and none too old.

import { createServer, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Call, type AnswerReceiver, type Asker } from '../../../src/gateway/upstream/call.ts'
import type { Breakers, CallResult } from '../../../src/gateway/upstream/breakers.ts'
import { createConnections, type Connections } from '../../../src/gateway/upstream/connections.ts'
import { createUpstreamQueue, type UpstreamQueue } from '../../../src/gateway/upstream/queue.ts'
import type { KeyHandle } from '../../../src/keys/key.ts'
import type { Precedence } from '../../../src/limits/precedence.ts'
import { Secret } from '../../../src/keys/secret.ts'
import { until } from '../../support/start-gateway.ts'

let nowMs = 0
let connections: Connections
let queue: UpstreamQueue
let sockets: Socket[]
let close: () => Promise<void>

beforeEach(async () => {
  nowMs = 0
  sockets = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  connections = createConnections({
    origin: `http://127.0.0.1:${port}`,
    ca: null,
    connections: 3,
    timeouts: { connectMs: 1000, headersMs: 1000, bodyIdleMs: 1000 },
    now: () => nowMs,
    onDefect: (error) => {
      throw error
    },
  })
  queue = createUpstreamQueue({
    capacity: 8,
    maxWaiting: 0,
    maxWaitMs: 0,
    now: () => nowMs,
    onHeld() {},
    onShareReached() {},
  })
  close = async () => {
    await connections.close()
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
})
afterEach(() => close())

const credentials = new Map<string, Secret>()

function credentialOf(name: string): Secret {
  const known = credentials.get(name) ?? new Secret(`cog_${name}`, '')
  credentials.set(name, known)
  return known
}

const receiver: AnswerReceiver = { started() {}, head() {}, data: () => true, end() {}, failed() {} }
const precedence: Precedence = { team: 'payments', priority: 'normal', weight: 1, maxRestMs: 0 }

const aRead: Dispatcher.DispatchOptions = { path: '/', method: 'GET' }

/** A call with a credential, in a queue with room for all; `onEnded` hears what became of it. */
function callWith(name: string, onEnded: (result: CallResult) => void, request = aRead): Call {
  const handle: KeyHandle = {
    id: name,
    scope: 'enterprise',
    organization: null,
    permissions: new Set(),
    serves: 'none',
    secret: { env: 'KEY' },
    serviceUser: null,
    watch: false,
    expiresAtMs: null,
    rotate: null,
    source: { file: 'keys.yaml', line: 1 },
  }
  const asker: Asker = {
    version: { handle, secret: credentialOf(name), version: 1 },
    precedence,
    caller: 'somebody',
    isAccepted: true,
    request: () => request,
    refuse() {},
    waited() {},
  }
  const breakers: Breakers = {
    troubled: true,
    open: [],
    refusalMs: () => null,
    begin: () => 'pass',
    ended: (_key, _caller, _passage, result) => onEnded(result),
  }
  return new Call({ connections, queue, breakers, onBroken() {} }, asker, receiver)
}

/** A request with a credential: what became of it, and the connection of the server that it came on. */
function ask(name: string, request = aRead): Promise<{ result: CallResult; connection: number }> {
  return new Promise((resolve) => {
    const before = sockets.map((socket) => socket.bytesRead)
    const onEnded = (result: CallResult): void =>
      resolve({ result, connection: sockets.findIndex((socket, index) => socket.bytesRead !== (before[index] ?? 0)) })
    callWith(name, onEnded, request).enter()
  })
}

describe('a connection', () => {
  test('serves its own credential again, and no other', async () => {
    const first = await ask('a')
    expect(first).toEqual({ result: 'answered', connection: 0 })
    expect((await ask('a')).connection).toBe(0)
    expect((await ask('b')).connection).toBe(1)
    expect((await ask('a')).connection).toBe(0)
    expect((await ask('b')).connection).toBe(1)
  })

  test('serves no new request after 25 seconds, however busy it is', async () => {
    await ask('a')
    for (let step = 0; step < 5; step += 1) {
      nowMs += 4_999
      expect((await ask('a')).connection).toBe(0)
    }
    nowMs += 10
    expect((await ask('a')).connection).toBe(1)
    await until(() => sockets[0]?.destroyed === true, 'the old one to be closed')
    expect((await ask('a')).connection).toBe(1)
  })

  test('closes the one that was idle for longest when there are as many as allowed', async () => {
    for (const credential of ['a', 'b', 'c', 'a']) await ask(credential)
    expect((await ask('d')).connection).toBe(3)
    await until(() => sockets[1]?.destroyed === true, 'the one of b to be closed')
    expect(connections.size).toBe(3)
    expect((await ask('a')).connection).toBe(0)
    expect((await ask('b')).connection).toBe(4)
    expect(connections.size).toBe(3)
  })

  test('that the other side closes while it is idle is forgotten', async () => {
    await ask('a')
    sockets[0]?.destroy()
    await until(() => connections.size === 0, 'it to be forgotten')
    expect((await ask('a')).connection).toBe(1)
  })
})

describe('a kept connection that is reset before a request is sent', () => {
  /** At once: `resetAndDestroy` sends what is left first, some turns later. */
  function reset(socket: Socket): void {
    const handle: unknown = Reflect.get(socket, '_handle')
    if (typeof handle === 'object' && handle !== null && 'reset' in handle && typeof handle.reset === 'function')
      handle.reset(() => {})
  }

  // undici waits a turn before it writes. The request begins behind the input of a turn, and the turn lasts until the
  // system has surely delivered what the other side did: undici reads that first.
  async function endBefore(
    request: Dispatcher.DispatchOptions,
    end: (socket: Socket) => unknown = reset,
  ): Promise<{ result: CallResult; connection: number }> {
    await ask('a')
    await new Promise(setImmediate)
    const asked = ask('a', request)
    for (const socket of sockets) end(socket)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 25)
    return asked
  }

  test.each<[Dispatcher.HttpMethod, string | null]>([
    ['GET', null],
    ['POST', '{}'],
    ['DELETE', null],
  ])('has it sent on a new one, whatever it is: %s', async (method, body) => {
    const request = { path: '/', method, body: body === null ? null : Buffer.from(body) }
    expect((await endBefore(request)).result).toBe('answered')
    expect(sockets).toHaveLength(2)
  })

  test.each(['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}', 'HTTP/1.1 4', '\r\n', '\u0000'])(
    'is as good as one on which something comes unasked: %j',
    async (bytes) => {
      const request = { path: '/', method: 'POST', body: Buffer.from('{}') } as const
      expect(await endBefore(request, (socket) => socket.write(bytes))).toEqual({ result: 'answered', connection: 1 })
    },
  )

  test('ends one whose body streams', async () => {
    expect(await endBefore({ path: '/', method: 'POST', body: Readable.from(['{}']) })).toMatchObject({
      result: 'unsent',
    })
    expect(sockets).toHaveLength(1)
  })
})

describe('a call that is given up', () => {
  test('before its connection is open leaves no connection and no request behind', async () => {
    const results: CallResult[] = []
    const call = callWith('a', (result) => results.push(result))
    call.enter()
    call.abandon(new Error('the caller left'))
    call.abandon(new Error('again'))
    expect(results).toEqual(['abandoned'])
    expect(connections.size).toBe(0)
    await ask('b')
    expect(sockets.map((socket) => socket.bytesRead > 0).filter(Boolean)).toHaveLength(1)
  })

  test('before it begins never begins', () => {
    const results: CallResult[] = []
    const call = callWith('a', (result) => results.push(result))
    call.abandon(new Error('the caller left'))
    call.enter()
    expect([results, connections.size, queue.active]).toEqual([[], 0, 0])
  })
})
