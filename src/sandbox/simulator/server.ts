// The embedded simulator of the Devin API: upstream of the sandbox and of many tests. Listens, reads a request the way the
// real server would, checks the key and hands the call to its family. Not part of the production process.

import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import type { DeclaredCompany, World } from '../world/types.ts'
import { learn } from './company/declared.ts'
import { ANSWERED } from './http/answers.ts'
import { createHandlers } from './families.ts'
import { createObjectStore } from './state/objects.ts'
import { createResponder } from './http/responding.ts'
import { createState } from './state/state.ts'

/** A request as it arrived, for tests that ask what an upstream really saw. */
export interface SeenRequest {
  readonly method: string
  /** The request target byte for byte. */
  readonly target: string
  /** Names and values by turns, as received. */
  readonly rawHeaders: readonly string[]
  /** Id of the service user whose key came along, or null when no valid key did. */
  readonly serviceUser: string | null
  /** Null until the request is answered. */
  readonly status: number | null
}

/** How to start a simulator. */
export interface SimulatorOptions {
  /** Default `127.0.0.1`. */
  readonly host?: string
  /** Default 0: any free port. */
  readonly port?: number
  readonly world: World
  /** PEM texts; with them the simulator speaks TLS. */
  readonly https?: { readonly key: string | Buffer; readonly cert: string | Buffer }
  /** Milliseconds since the epoch; sessions live by this clock. */
  readonly now?: () => number
  /** Asked before each request: the simulator learns whatever a new object says that it does not know. */
  readonly declared?: () => DeclaredCompany | null
  /** Called once for each request, when it is answered. */
  readonly observe?: (seen: SeenRequest) => void
}

/** A running simulator. */
export interface Simulator {
  /** `http://127.0.0.1:41234`, without a final slash. */
  readonly origin: string
  /** The latest requests, oldest first; at most a thousand. */
  readonly requests: readonly SeenRequest[]
  /** A further key of a service user, valid at once. Throws for an unknown service user. */
  issueKey(serviceUserId: string): string
  /** From now on the key is answered 401. An unknown value is ignored. */
  revokeKey(value: string): void
  /** Ends open streams and connections. */
  close(): Promise<void>
}

const KEPT_REQUESTS = 1000

/** Starts a simulator of the given world. Rejects when the address cannot be listened on. */
export async function createSimulator(options: SimulatorOptions): Promise<Simulator> {
  const now = options.now ?? Date.now
  const state = createState(options.world, now())
  const objects = createObjectStore()
  const requests: Seen[] = []
  let learned: DeclaredCompany | null = null
  let origin = ''
  const handlers = createHandlers({ state, objects, world: options.world, nowMs: now(), origin: () => origin })
  const respond = createResponder({ state, objects, handlers, now })

  const { https } = options
  // Longer than clients keep idle connections, so none is closed while a request is on its way.
  const idle = { keepAliveTimeout: 72_000 }
  const app = Fastify({
    serverFactory: (handler) =>
      https === undefined
        ? createServer(idle, handler)
        : createTlsServer({ ...idle, key: https.key, cert: https.cert }, handler),
    // One route takes everything: the real target is read from originalUrl, by our own routing.
    rewriteUrl: () => '/',
    forceCloseConnections: true,
  })
  app.server.on('error', () => {})
  // Bodies are left unread on the raw request; the handler reads them when it is their turn.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  const serve = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const seen: Seen = {
      method: request.method,
      target: request.originalUrl,
      rawHeaders: request.raw.rawHeaders,
      serviceUser: null,
      status: null,
    }
    requests.push(seen)
    if (requests.length > KEPT_REQUESTS) requests.shift()
    const declared = options.declared?.() ?? null
    if (declared !== null && declared !== learned) learn(state, (learned = declared), now())
    reply.raw.setHeader('x-request-id', request.headers['x-request-id'] ?? `req-${randomUUID()}`)
    const answer = await respond(request.raw, reply.raw, seen)
    seen.status = answer === ANSWERED ? 200 : answer.status
    options.observe?.(seen)
    if (answer === ANSWERED) return reply.hijack()
    return reply
      .code(answer.status)
      .headers(answer.headers)
      .send(answer.body ?? undefined)
  }
  app.route({ method: app.supportedMethods, url: '/', exposeHeadRoute: false, handler: serve })
  app.setNotFoundHandler(serve)
  await app.listen({ host: options.host ?? '127.0.0.1', port: options.port ?? 0 })
  // A TCP listener's address is never a string.
  const { port } = app.server.address() as AddressInfo
  origin = `${https === undefined ? 'http' : 'https'}://${options.host ?? '127.0.0.1'}:${port}`

  return {
    origin,
    requests,
    issueKey(serviceUserId) {
      if (!state.directory.serviceUsers.has(serviceUserId)) throw new Error(`unknown service user ${serviceUserId}`)
      return state.keyring.issue(serviceUserId, 'issued', Math.floor(now() / 1000), null).value
    },
    revokeKey: (value) => state.keyring.revoke(value, Math.floor(now() / 1000)),
    async close() {
      await app.close()
      await objects.close()
    },
  }
}

/** The entry while it can still change. */
type Seen = { -readonly [Name in keyof SeenRequest]: SeenRequest[Name] }
