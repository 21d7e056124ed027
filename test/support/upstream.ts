// A recording upstream: remembers the raw target and the raw fields of every request, answers as a test tells it to.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'

export interface Seen {
  readonly method: string
  /** The request target byte for byte. */
  readonly target: string
  readonly rawHeaders: readonly string[]
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

export type Respond = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void

export interface RecordingUpstream {
  readonly origin: string
  readonly port: number
  readonly seen: Seen[]
  /** Connections that are open now. */
  readonly sockets: ReadonlySet<Socket>
  /** Answers from now on; the default is 200 with a small JSON body. */
  respond(handler: Respond): void
  /** Answers the gateway's own `GET /v3/self` from now on, which is not among `seen`; the default is 404, which says nothing. */
  identify(handler: Respond): void
  /** How often the gateway has asked who a key is. */
  readonly identityChecks: number
  /** Hands out requests before their body was read, for streaming tests; null goes back to normal. */
  takeOver(handler: ((request: IncomingMessage, response: ServerResponse) => void) | null): void
  close(): Promise<void>
}

const usual: Respond = (_request, response) => {
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"items":[],"has_next_page":false}')
}

export async function startUpstream(tls?: { key: string; cert: string }): Promise<RecordingUpstream> {
  const seen: Seen[] = []
  const sockets = new Set<Socket>()
  let respond = usual
  let identityChecks = 0
  let identify: Respond = (_request, response) => response.writeHead(404).end()
  let taken: ((request: IncomingMessage, response: ServerResponse) => void) | null = null

  const receive = (request: IncomingMessage, response: ServerResponse): void => {
    if (isIdentityCheck(request)) {
      identityChecks += 1
      return identify(request, response, Buffer.alloc(0))
    }
    if (taken !== null) {
      seen.push({
        method: request.method ?? '',
        target: request.url ?? '',
        rawHeaders: request.rawHeaders,
        headers: request.headers,
        body: Buffer.alloc(0),
      })
      taken(request, response)
      return
    }
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('error', () => {})
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      seen.push({
        method: request.method ?? '',
        target: request.url ?? '',
        rawHeaders: request.rawHeaders,
        headers: request.headers,
        body,
      })
      respond(request, response, body)
    })
  }
  const server: Server = tls === undefined ? createServer(receive) : createTlsServer(tls, receive)
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    origin: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    seen,
    sockets,
    respond(handler) {
      respond = handler
    },
    get identityChecks() {
      return identityChecks
    },
    identify(handler) {
      identify = handler
    },
    takeOver(handler) {
      taken = handler
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

/** Whether the gateway asks for itself who a key is; what it sends for callers has a Via field. */
export function isIdentityCheck({ url, headers }: IncomingMessage): boolean {
  return url?.endsWith('/v3/self') === true && headers['user-agent'] === 'devin-gateway' && headers.via === undefined
}

/** The value of a field as the upstream received it, or undefined. */
export function fieldOf(seen: Seen | undefined, name: string): string | undefined {
  const raw = seen?.rawHeaders ?? []
  for (let index = 0; index < raw.length; index += 2) if (raw[index]?.toLowerCase() === name) return raw[index + 1]
  return undefined
}
