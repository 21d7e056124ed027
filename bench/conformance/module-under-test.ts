// The cache module alone, in a small proxy: the suite's fields cross as they are, nobody has to show a token, and heuristics
// are allowed.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { followAcquired } from '../../src/cache/acquired.ts'
import type { ResponseHead, ResponseSink, ResponseSource } from '../../src/cache/response-stream.ts'
import { fieldValue, withoutFields } from '../../src/http/field-list.ts'
import type { CacheSink, CacheRequest } from '../../src/cache/cache-request.ts'
import { createResponseCache } from '../../src/cache/response-cache.ts'
import { Problem } from '../../src/problems.ts'
import type { Subject } from './gateway-under-test.ts'
import { ask, listen, mapFields, type Fields } from './wires.ts'

/** RFC 9110 section 7.6.1. */
const connectionFields = new Set(
  'connection keep-alive proxy-connection te trailer transfer-encoding upgrade'.split(' '),
)

/** Starts the proxy before the suite's server. */
export async function startModuleUnderTest(suitePort: number): Promise<Subject> {
  const cache = createResponseCache({
    now: Date.now,
    monotonic: () => performance.now(),
    maxBytes: 64 * 2 ** 20,
    maxEntryBytes: 2 ** 20,
    upstreamBase: `http://127.0.0.1:${suitePort}`,
  })
  const server = createServer((request, response) => {
    const fields = endToEnd(request.rawHeaders)
    const asked: CacheRequest = {
      operation: 'suite',
      // Whoever asks with another credential is another partition, as in the gateway.
      partition: fieldValue(fields, 'authorization') ?? '',
      method: request.method ?? 'GET',
      target: request.url ?? '/',
      fields: withoutFields(fields, (name) => ofTheSuite.has(name)),
      rule: { kind: 'rfc9111', heuristics: true },
      tags: [],
      atMostMs: null,
      mayBeAbsent: true,
    }
    followAcquired(cache.acquire(asked), new ResponseWriter(response), (shared, sink) => {
      fetchFrom(suitePort, request, shared === null ? fields : [...shared, ...constants(fields)], sink)
    })
  })
  const port = await listen(server)
  return {
    port,
    close: () => {
      server.closeAllConnections()
      server.close()
      return Promise.resolve()
    },
  }
}

function endToEnd(raw: Fields): string[] {
  return mapFields(raw, (name, value) => {
    const lower = name.toLowerCase()
    return connectionFields.has(lower) || lower === 'content-length' ? null : [lower, value]
  })
}

/** What the suite's client puts on every request to tell it from others: no part of the key, like the gateway's request id. */
const ofTheSuite = new Set([
  'host',
  'req-num',
  'test-id',
  'test-name',
  'user-agent',
  'accept-encoding',
  'origin',
  'authorization',
])

function constants(fields: Fields): string[] {
  return withoutFields(fields, (name) => !ofTheSuite.has(name))
}

function fetchFrom(port: number, request: IncomingMessage, fields: Fields, sink: ResponseSink): void {
  let giveUp = (): void => undefined
  sink.attach({ resume: () => undefined, abort: () => giveUp() })
  giveUp = ask(request, port, fields, {
    interim: () => undefined,
    head(status, _text, raw) {
      const lines = mapFields(raw, (name, value) => [name.toLowerCase(), value])
      const listed = new Set((fieldValue(lines, 'connection') ?? '').toLowerCase().split(/\s*,\s*/))
      const length = fieldValue(lines, 'content-length')
      sink.head({
        status,
        fields: mapFields(endToEnd(lines), (name, value) => (listed.has(name) ? null : [name, value])),
        length: length === null ? null : Number(length),
      })
    },
    data: (chunk) => void sink.data(chunk),
    end: () => sink.end(null),
    fail: (cause) => sink.fail(new Problem('upstream-unreachable', 'The connection broke.', { cause })),
  })
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
  }

  outcome(): void {
    // The fields of the head tell it.
  }

  head({ status, fields, length }: ResponseHead): void {
    this.#response.sendDate = false
    this.#response.writeHead(status, length === null ? [...fields] : [...fields, 'content-length', String(length)])
  }

  data(chunk: Buffer): boolean {
    return this.#response.write(chunk)
  }

  end(last: Buffer | null): void {
    this.#response.end(last ?? undefined)
  }

  fail({ status }: Problem): void {
    if (this.#response.headersSent) this.#response.destroy()
    else this.#response.writeHead(status).end()
  }
}
