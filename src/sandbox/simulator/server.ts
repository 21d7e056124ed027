// The embedded simulator of the Devin API: upstream of the sandbox and of many tests. Listens, reads a request the way the
// real server would, checks the key and hands the call to its family. Not part of the production process.

import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { devinApi, type OperationEntry } from '../../catalogue/data.ts'
import type { World } from '../world.ts'
import { ANSWERED, Answer, ApiError, encodeAnswer, jsonAnswer, notFound, problemAnswer } from './answers.ts'
import { auditEntry } from './audit.ts'
import { isUpload, readBody } from './bodies.ts'
import { ENTERPRISE, type Call, type Handlers } from './call.ts'
import { authorize, authorizeBody } from './credentials.ts'
import type { ServiceUser } from './directory.ts'
import { createHandlers } from './families.ts'
import { createObjectStore, OBJECTS_PATH, type ObjectStore } from './objects.ts'
import { compileRoutes, unquote } from './routing.ts'
import { createState, type State } from './state.ts'

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
  /** Called once for each request, when it is answered. */
  readonly observe?: (seen: SeenRequest) => void
}

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

interface Parts {
  readonly state: State
  readonly objects: ObjectStore
  readonly handlers: Handlers
  readonly now: () => number
}

type Responder = (request: IncomingMessage, response: ServerResponse, seen: Seen) => Promise<Answer | typeof ANSWERED>

function createResponder(parts: Parts): Responder {
  const route = compileRoutes(devinApi.operations)
  return async (request, response, seen) => {
    const [rawPath = '', rawQuery = ''] = splitTarget(seen.target)
    const path = unquote(rawPath)
    const query = new URLSearchParams(rawQuery)
    if (path.startsWith(OBJECTS_PATH)) return parts.objects.serve(path, query, parts.now())
    const match = route(seen.method, path)
    if (match === null) return jsonAnswer(404, { detail: 'Not Found' })
    if ('allowed' in match) {
      const refused = jsonAnswer(405, { detail: 'Method Not Allowed' })
      return new Answer(405, { ...refused.headers, allow: match.allowed.join(', ') }, refused.body)
    }
    try {
      const caller = parts.state.keyring.authenticate(request.headers.authorization, Math.floor(parts.now() / 1000))
      seen.serviceUser = caller.id
      const outcome = await perform(parts, match, caller, { request, response, query })
      return outcome === ANSWERED ? ANSWERED : encodeAnswer(outcome, acceptEncoding(request))
    } catch (error) {
      const known =
        error instanceof ApiError ? error : new ApiError(500, error instanceof Error ? error.message : 'Unknown error')
      return encodeAnswer(problemAnswer(known, path), acceptEncoding(request))
    }
  }
}

/** Path and query of a target in origin or absolute form; a fragment is dropped. */
function splitTarget(target: string): string[] {
  const [whole = ''] = target.replace(/^https?:\/\/[^/?#]*/i, '').split('#', 1)
  const mark = whole.indexOf('?')
  return mark === -1 ? [whole] : [whole.slice(0, mark), whole.slice(mark + 1)]
}

function acceptEncoding(request: IncomingMessage): string | undefined {
  const value = request.headers['accept-encoding']
  return Array.isArray(value) ? value.join(',') : value
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly query: URLSearchParams
}

async function perform(
  { state, handlers, now }: Parts,
  match: { operation: OperationEntry; parameters: Readonly<Record<string, string>> },
  caller: ServiceUser,
  exchange: Exchange,
): Promise<Answer | typeof ANSWERED> {
  const { operation, parameters } = match
  const owner = parameters['org_id'] ?? ENTERPRISE
  authorize(state.directory, caller, operation, owner)
  if (owner !== ENTERPRISE && !state.organizations.has(owner)) throw notFound('Organization')
  const body = isUpload(operation) || operation.method === 'GET' ? {} : await readBody(exchange.request, operation)
  authorizeBody(state.directory, caller, operation, owner, body)
  const nowMs = now()
  const call: Call = {
    operation,
    parameter: (name) => parameters[name] ?? '',
    query: exchange.query,
    body,
    caller,
    owner,
    nowMs,
    seconds: Math.floor(nowMs / 1000),
    request: exchange.request,
    response: exchange.response,
  }
  const result = await handlers[operation.id]?.(call)
  if (operation.method !== 'GET') state.auditLogs.push(auditEntry(call))
  if (result === ANSWERED || result instanceof Answer) return result
  if (result === null && operation.success.includes(204)) return new Answer(204)
  return jsonAnswer(operation.success[0] ?? 200, result)
}
