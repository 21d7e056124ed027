// The cache between real sockets: callers that read slowly or leave, upstreams that are slow, large or break off.

import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Pool, type Dispatcher } from 'undici'
import { afterEach, describe, expect, it } from 'vitest'
import type { ResponseHead, ResponseSink, ResponseSource } from '../../src/cache/response-stream.ts'
import { followAcquired, type AskUpstream } from '../../src/cache/acquired.ts'
import type { CacheSink } from '../../src/cache/cache-request.ts'
import { createResponseCache } from '../../src/cache/response-cache.ts'
import { Problem } from '../../src/problems.ts'
import { until } from '../support/start-gateway.ts'
import { classRule, rfc9111 } from './support.ts'

const closing: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** Writes what the cache gives to a response. */
class ResponseWriter implements CacheSink {
  readonly #response: ServerResponse
  #source: ResponseSource | null = null

  constructor(response: ServerResponse) {
    this.#response = response
    response.once('close', () => {
      if (!response.writableFinished) this.#source?.abort()
    })
  }

  attach(source: ResponseSource): void {
    this.#source = source
    if (this.#response.destroyed) source.abort()
  }

  outcome(): void {
    // The fields of the head tell it.
  }

  head({ status, fields, length }: ResponseHead): void {
    this.#response.writeHead(status, length === null ? [...fields] : [...fields, 'content-length', String(length)])
  }

  data(chunk: Buffer): boolean {
    const room = this.#response.write(chunk)
    if (!room) this.#response.once('drain', () => this.#source?.resume())
    return room
  }

  end(last: Buffer | null): void {
    this.#response.end(last ?? undefined)
  }

  fail(problem: Problem): void {
    if (this.#response.headersSent) this.#response.destroy()
    else this.#response.writeHead(problem.status).end()
  }
}

/** Feeds a sink with an answer that undici receives. */
function feed(sink: ResponseSink): Dispatcher.DispatchHandler {
  let controller: Dispatcher.DispatchController | null = null
  sink.attach({
    resume: () => controller?.resume(),
    abort: () => controller?.abort(new Error('left')),
  })
  return {
    onRequestStart: (started) => {
      controller = started
    },
    onResponseStart: (_controller, status, headers) => {
      const length = headers['content-length']
      const fields = ['cache-control', 'content-type'].flatMap((name) => {
        const value = headers[name]
        return typeof value === 'string' ? [name, value] : []
      })
      sink.head({ status, fields, length: typeof length === 'string' ? Number(length) : null })
    },
    onResponseData: (started, chunk) => {
      if (!sink.data(chunk)) started.pause()
    },
    onResponseEnd: () => sink.end(null),
    onResponseError: () => sink.fail(new Problem('upstream-unreachable', 'broken')),
  }
}

/** A proxy with the cache before an upstream: its port, how often it and the upstream were asked, and what is open there. */
async function start(
  upstream: (request: IncomingMessage, response: ServerResponse, call: number) => void,
  rule: typeof classRule | typeof rfc9111 = classRule,
): Promise<{ port: number; asked: () => number; calls: () => number; open: () => number }> {
  let asks = 0
  let calls = 0
  let open = 0
  const origin = await listen(
    createServer((request, response) => {
      calls += 1
      open += 1
      response.once('close', () => {
        open -= 1
      })
      upstream(request, response, calls)
    }),
  )
  const pool = new Pool(`http://127.0.0.1:${origin}`, { connections: 200 })
  closing.push(() => pool.destroy())
  const cache = createResponseCache({
    now: Date.now,
    monotonic: () => performance.now(),
    maxBytes: 1e7,
    maxEntryBytes: 1e6,
    upstreamBase: '',
  })
  const port = await listen(
    createServer((request, response) => {
      const fetch: AskUpstream = (_shared, sink) => {
        pool.dispatch({ path: request.url ?? '/', method: 'GET' }, feed(sink))
      }
      const asked = {
        operation: 'x',
        partition: '',
        method: 'GET',
        target: request.url ?? '/',
        fields: [],
        tags: [],
      }
      followAcquired(
        cache.acquire({ ...asked, rule, atMostMs: null, mayBeAbsent: true }),
        new ResponseWriter(response),
        fetch,
      )
      asks += 1
    }),
  )
  return { port, asked: () => asks, calls: () => calls, open: () => open }
}

interface Got {
  readonly status: number | undefined
  readonly bytes: number
  readonly digest: number
  readonly complete: boolean
}

function read(port: number, onResponse: (response: IncomingMessage) => unknown = () => undefined): Promise<Got> {
  return new Promise((resolve) => {
    const request = get({ port, host: '127.0.0.1', path: '/thing', agent: false }, (response) => {
      let [bytes, digest] = [0, 0]
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        for (const byte of chunk) digest = (digest * 31 + byte) % 1_000_003
      })
      const done = (): void => resolve({ status: response.statusCode, bytes, digest, complete: response.complete })
      response.once('close', done)
      response.once('error', () => undefined)
      onResponse(response)
    })
    request.once('error', () => resolve({ status: undefined, bytes: 0, digest: 0, complete: false }))
  })
}

function pattern(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 7 + (index >> 8)) % 251))
}

describe('over real sockets', () => {
  it('five hundred identical concurrent reads cost one upstream call', async () => {
    const { asked, calls, port } = await start((_request, response) => {
      void until(() => asked() === 500, 'all to ask').then(() => response.end(pattern(5_000)))
    })
    const got = await Promise.all(Array.from({ length: 500 }, () => read(port)))
    expect(calls()).toBe(1)
    expect(new Set(got.map(({ digest }) => digest)).size).toBe(1)
    expect(got.every(({ status, bytes, complete }) => status === 200 && bytes === 5_000 && complete)).toBe(true)
  })

  it('a leader that breaks its connection does no harm to the others', async () => {
    const release: (() => void)[] = []
    const { asked, calls, port } = await start((_request, response) => {
      response.writeHead(200, { 'cache-control': 'max-age=60' })
      response.write(pattern(1_000))
      release.push(() => response.end(pattern(1_000)))
    }, rfc9111)
    let leave = (): void => undefined
    const leader = read(port, (response) => {
      leave = () => response.destroy()
    })
    await until(() => release.length > 0, 'the call')
    const followers = [1, 2, 3].map(() => read(port))
    await until(() => asked() === 4, 'all to ask')
    leave()
    expect((await leader).complete).toBe(false)
    for (const go of release) go()
    for (const { bytes, complete } of await Promise.all(followers)) expect([bytes, complete]).toEqual([2_000, true])
    expect(calls()).toBe(1)
  })

  it('when all have left, the upstream is let go', async () => {
    const { asked, open, port } = await start((_request, response) => {
      response.write(pattern(1_000))
    })
    const requests = [1, 2, 3].map(() => get({ port, host: '127.0.0.1', path: '/thing', agent: false }))
    for (const request of requests) request.on('error', () => undefined)
    await until(() => asked() === 3 && open() > 0, 'all to ask')
    for (const request of requests) request.destroy()
    await until(() => open() === 0, 'the call to be given up')
  })

  it('a leader that does not read slows nobody, and gets every byte when it does', async () => {
    const body = pattern(900_000)
    const { asked, calls, port } = await start((_request, response) => {
      response.writeHead(200, { 'cache-control': 'max-age=60' })
      void until(() => asked() === 2, 'both to ask').then(() => response.end(body))
    }, rfc9111)
    const paused: IncomingMessage[] = []
    const leader = read(port, (response) => paused.push(response.pause()))
    await until(() => calls() > 0, 'the call')
    const follower = await read(port)
    expect(follower).toMatchObject({ bytes: 900_000, complete: true })
    await until(() => paused.length > 0, 'the head')
    paused[0]?.resume()
    expect(await leader).toMatchObject({ bytes: 900_000, digest: follower.digest, complete: true })
    expect(calls()).toBe(1)
  })

  it('what is too large to keep reaches all whole, each by its own call', async () => {
    const body = pattern(3_000_000)
    for (const rule of [classRule, rfc9111]) {
      const { asked, calls, port } = await start((_request, response) => {
        response.writeHead(200, { 'cache-control': 'max-age=60' })
        response.write(body.subarray(0, 500_000))
        void until(() => asked() === 3, 'all to ask').then(() => response.end(body.subarray(500_000)))
      }, rule)
      const got = await Promise.all([read(port), read(port), read(port)])
      for (const one of got) expect(one).toMatchObject({ bytes: 3_000_000, complete: true, digest: got[0]?.digest })
      expect(calls()).toBe(3)
    }
  })

  it('an upstream that breaks off half way: the next who waits tries again', async () => {
    const { asked, calls, port } = await start((_request, response, call) => {
      if (call > 1) response.end(pattern(2_000))
      else {
        response.writeHead(200, { 'content-length': 2_000 })
        response.write(pattern(1_000))
        void until(() => asked() === 2, 'both to ask').then(() => response.destroy())
      }
    })
    const leader = read(port)
    await until(() => calls() > 0, 'the call')
    const follower = read(port)
    expect(await leader).toMatchObject({ status: 502 })
    expect(await follower).toMatchObject({ status: 200, bytes: 2_000, complete: true })
    expect(calls()).toBe(2)
  })
})
