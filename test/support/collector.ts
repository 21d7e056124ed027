// A collector of traces that knows OTLP by the published definitions alone (Debian's opentelemetry-proto), and refuses what they
// do not describe.

import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import protobuf from 'protobufjs'
import { describe } from 'vitest'
import type { ServerCertificate } from './certificates.ts'

export interface SeenSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly traceState: string
  readonly name: string
  readonly kind: string
  readonly startTimeUnixNano: bigint
  readonly endTimeUnixNano: bigint
  readonly status: { readonly code?: string; readonly message?: string }
  readonly attributes: Readonly<Record<string, string | number | boolean>>
  readonly resource: Readonly<Record<string, string | number | boolean>>
}

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: string; readonly boolValue?: boolean }
}

interface Exported {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: readonly {
      readonly spans: readonly (Omit<SeenSpan, 'attributes' | 'resource'> & {
        readonly attributes: readonly Attribute[]
      })[]
    }[]
  }[]
}

/** Where the package puts them. */
const definitions = '/usr/include'
const traceService = 'opentelemetry/proto/collector/trace/v1/trace_service.proto'

/** `describe` where the definitions are. Where they must be there (`GATEWAY_TEST_PEERS=required`), their absence is a failure. */
export function describeWithDefinitions(): typeof describe | typeof describe.skip {
  if (existsSync(join(definitions, traceService))) return describe
  if (process.env['GATEWAY_TEST_PEERS'] === 'required') throw new Error('opentelemetry-proto is not installed')
  process.stderr.write('skipped: tests of traces need opentelemetry-proto, and it is not installed\n')
  return describe.skip
}

function loadTypes(): { readonly request: protobuf.Type; readonly response: protobuf.Type } {
  const root = new protobuf.Root()
  root.resolvePath = (_origin, target) => join(definitions, target)
  const of = (name: string): protobuf.Type =>
    root.loadSync(traceService).lookupType(`opentelemetry.proto.collector.trace.v1.ExportTraceService${name}`)
  return { request: of('Request'), response: of('Response') }
}

export type Collector = Awaited<ReturnType<typeof startCollector>>

export interface CollectorOptions {
  /** Speaks TLS with this certificate. */
  readonly tls?: ServerCertificate
  /** Where a status of 300 to 399 leads. */
  readonly location?: string
  /** How many spans of a batch it rejects, and what it says of them. */
  readonly rejects?: (fields: IncomingHttpHeaders) => { readonly rejectedSpans: number; readonly errorMessage: string }
}

/** `answer`: the status that it gives, by default 200; null: it never answers. */
export async function startCollector(
  answer: (fields: IncomingHttpHeaders) => number | null = () => 200,
  { tls, location, rejects }: CollectorOptions = {},
) {
  const { request: requestType, response: responseType } = loadTypes()
  const spans: SeenSpan[] = []
  const texts: string[] = []
  const faults: string[] = []
  const receive: RequestListener = (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const status = answer(request.headers)
      if (status === null) return
      if (request.method !== 'POST' || request.url !== '/v1/traces') faults.push(`${request.method} ${request.url}`)
      if (request.headers['content-type'] !== 'application/x-protobuf') faults.push('the media type')
      const body = Buffer.concat(chunks)
      if (status === 200) take(body)
      response
        .writeHead(status, {
          'content-type': 'application/x-protobuf',
          ...(location === undefined ? {} : { location }),
        })
        // As a careless one does: it says what it was sent.
        .end(status === 200 ? answerBody(request.headers) : JSON.stringify(request.headers))
    })
  }
  const answerBody = (fields: IncomingHttpHeaders): Uint8Array =>
    responseType
      .encode(responseType.fromObject(rejects === undefined ? {} : { partialSuccess: rejects(fields) }))
      .finish()
  const server = tls === undefined ? createServer(receive) : createTlsServer(tls, receive)
  function take(body: Buffer): void {
    const message = requestType.decode(body)
    // What the definitions do not describe is lost by decoding: what is left has to be as long as what came.
    if (requestType.encode(message).finish().length !== body.length) faults.push('fields that OTLP does not have')
    texts.push(body.toString('latin1'))
    const { resourceSpans } = requestType.toObject(message, {
      longs: String,
      enums: String,
      bytes: Buffer,
      defaults: true,
    }) as Exported
    for (const { resource, scopeSpans } of resourceSpans)
      for (const span of scopeSpans.flatMap((scope) => scope.spans))
        spans.push({
          ...span,
          traceId: Buffer.from(span.traceId).toString('hex'),
          spanId: Buffer.from(span.spanId).toString('hex'),
          parentSpanId: Buffer.from(span.parentSpanId).toString('hex'),
          startTimeUnixNano: span.startTimeUnixNano,
          endTimeUnixNano: span.endTimeUnixNano,
          attributes: valuesOf(span.attributes),
          resource: valuesOf(resource.attributes),
        })
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    port,
    /** Spans that have arrived. */
    spans,
    /** All bytes that have arrived, one character each. */
    text: () => texts.join('\n'),
    /** What was not as OTLP over HTTP has it. */
    faults,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function valuesOf(attributes: readonly Attribute[]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.stringValue ?? (value.intValue === undefined ? (value.boolValue ?? '') : Number(value.intValue)),
    ]),
  )
}
