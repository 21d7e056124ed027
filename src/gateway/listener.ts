// The listening side of the callers' listener: the Fastify instance with Node's own checks set as we want them, and its
// connections, so that it can be closed without cutting anybody off before the deadline.

import { readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import fastify, { type FastifyInstance } from 'fastify'
import { withoutSchemas } from '../no-schemas.ts'

export interface CertificateFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** Of a session. Clients hold back what is more; without a number they run into Node's bound on memory, which resets streams. */
const maxConcurrentStreams = 100

/** With a certificate the instance speaks TLS, and HTTP/2 to those who offer it. Throws for unreadable files. */
export function createFastify(tls: CertificateFiles | null): FastifyInstance {
  const options = {
    logger: false,
    exposeHeadRoutes: false,
    requestTimeout: 600_000,
    schemaController: withoutSchemas,
    // The router sees one constant path: ours is the only reading of the target.
    rewriteUrl: () => '/',
  } as const
  const http = {
    requireHostHeader: false,
    maxHeaderSize: 32 * 1024,
    headersTimeout: 15_000,
    insecureHTTPParser: false,
    // A request without a body has no stream to be read to its end, which nobody here would do.
    optimizeEmptyRequests: true,
  }
  if (tls === null) return fastify({ ...options, http })
  const https = { ...http, ...readCertificate(tls), allowHTTP1: true, settings: { maxConcurrentStreams } }
  // The instance types differ by server class only; everything used here is common to them.
  return fastify({ ...options, http2: true, https }) as unknown as FastifyInstance
}

/** Puts a renewed certificate in use for new connections. Throws when the files do not hold one. */
export function renewCertificate(server: Server, tls: CertificateFiles): void {
  if ('setSecureContext' in server && typeof server.setSecureContext === 'function')
    server.setSecureContext(readCertificate(tls))
}

function readCertificate({ certFile, keyFile }: CertificateFiles): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(certFile), key: readFileSync(keyFile) }
}

export interface Connections {
  /** Asks HTTP/2 callers to open no further streams; requests under way go on. */
  goAway(): void
  /** Stops listening, closes what is idle, and resolves when the rest has ended or was cut at the deadline. */
  close(deadlineMs: number): Promise<void>
}

/** Keeps track of a server's connections. `isBusy`: a request of this connection is being answered. */
export function trackConnections(server: Server, isBusy: (socket: Socket) => boolean): Connections {
  const sockets = new Set<Socket>()
  /** With the number of their open streams. */
  const sessions = new Map<ServerHttp2Session, number>()
  const track = (socket: Socket): void => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  }
  // Beneath TLS there is another socket for each connection, of which nothing can be said.
  server.on('setSecureContext' in server ? 'secureConnection' : 'connection', track)
  server.on('session', (session: ServerHttp2Session) => {
    sessions.set(session, 0)
    const count = (change: number): unknown =>
      sessions.has(session) && sessions.set(session, (sessions.get(session) ?? 0) + change)
    session.on('stream', (stream: ServerHttp2Stream) => {
      count(1)
      stream.once('close', () => count(-1))
    })
    session.once('close', () => sessions.delete(session))
  })
  const goAway = (): void => {
    for (const session of sessions.keys()) session.close()
  }
  // Connections become idle as their requests end; one with HTTP/2 is its session's business.
  const closeIdle = (): void => {
    for (const [session, streams] of sessions) if (streams === 0) session.destroy()
    for (const socket of sockets) if (!isHttp2Socket(socket) && !isBusy(socket) && hasSpoken(socket)) socket.destroy()
  }
  return {
    goAway,
    async close(deadlineMs) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      goAway()
      const sweep = setInterval(closeIdle, 50)
      closeIdle()
      const timer = setTimeout(() => {
        for (const session of sessions.keys()) session.destroy()
        for (const socket of sockets) socket.destroy()
      }, deadlineMs)
      await closed
      clearTimeout(timer)
      clearInterval(sweep)
    },
  }
}

function isHttp2Socket(socket: Socket): boolean {
  return 'alpnProtocol' in socket && socket.alpnProtocol === 'h2'
}

/** A connection whose first request is still arriving is not idle. */
function hasSpoken(socket: Socket): boolean {
  return socket.bytesRead === 0 || socket.bytesWritten > 0
}
