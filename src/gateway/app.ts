// The callers' listener. Fastify and http-proxy hold the door; every request, also one that Fastify would answer by
// itself (odd media types, unknown methods, malformed escapes), takes the one way through `receive`.

import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import httpProxy from '@fastify/http-proxy'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PolicySet } from '../policy/policy-set.ts'
import { Problem } from '../problems.ts'
import type { Admission } from './admission.ts'
import { answerProblem, answerRaw, asProblem } from './answering.ts'
import { breakOff, hasLeft, isHttp2 } from './connection.ts'
import { openExchange, type Exchange } from './exchange.ts'
import { createFastify, renewCertificate, type Certificate, type ServerOptions } from './listener.ts'
import type { CapOptions, ConnectionRefusal } from './listener/caps.ts'
import { watchConnections, type ConnectionCut } from './listener/connections.ts'
import { connectionRefused } from './listener/refusals.ts'
import { Pipelines } from './pipelines.ts'
import type { Recorder } from './recording.ts'
import { admitInTurn } from './turn.ts'

export interface GatewayParts {
  readonly admission: Admission
  readonly recorder: Recorder
  /** The snapshot for a request that arrives now. */
  readonly policy: () => PolicySet
  /** The monotonic clock. */
  readonly now: () => number
  /** Something that is our fault or the operator's business, with its cause. */
  readonly onDefect: (exchange: Exchange, problem: Problem) => void
  readonly listener: ServerOptions & CapOptions & ListenerEvents
  readonly upstreamOrigin: string
}

/** What becomes of connections, for metrics and log. */
export interface ListenerEvents {
  readonly onRefused: (reason: ConnectionRefusal) => void
  readonly onCut: (cause: ConnectionCut) => void
}

/** `lame`: still serving, and every answer closes its connection. `draining`: what arrives now is sent elsewhere. */
export type Phase = 'open' | 'lame' | 'draining'

export interface GatewayApp {
  listen(host: string, port: number): Promise<{ host: string; port: number }>
  setPhase(phase: Phase): void
  /** Answers with a problem, or breaks the connection off when the answer has begun. */
  refuse(exchange: Exchange, response: ServerResponse, error: unknown): void
  readonly inFlight: number
  /** Connections of callers that are open. */
  readonly connections: number
  /** Shows another certificate to new connections. */
  useCertificate(certificate: Certificate): void
  /** Stops listening and waits until the last exchange is over, or cuts what is left at the deadline. */
  close(deadlineMs: number): Promise<void>
  /** Cuts every connection, and resolves when the last exchange is recorded. */
  cut(): Promise<void>
}

/** Builds the listener; nothing is bound before `listen`. */
export async function createGatewayApp(parts: GatewayParts): Promise<GatewayApp> {
  const { admission, recorder, now } = parts
  let phase: Phase = 'open'
  let inFlight = 0
  const isIdle = (): boolean => inFlight === 0
  const pipelines = new Pipelines()

  function open(method: string | null, target: string): Exchange {
    recorder.begin()
    return openExchange(randomUUID(), method, target, parts.policy(), now())
  }

  function receive(request: IncomingMessage, response: ServerResponse): void {
    const exchange = open(request.method ?? null, targetOf(request))
    const own = isHttp2(request) ? null : { exchange, request, response }
    const before = own === null ? null : pipelines.enter(own)
    inFlight += 1
    response.once('close', () => {
      inFlight -= 1
      exchange.over = true
      if (own !== null) pipelines.leave(own)
      recorder.record(exchange, hasLeft(response))
      for (const end of exchange.endings) end()
    })
    if (phase !== 'open') response.shouldKeepAlive = false
    const begin = (): void => admit(exchange, request, response)
    if (before === null) admitInTurn(begin)
    else
      before.response.once('close', () => {
        // An answer that ends the connection is the last one; what stands behind it must not be done.
        if (request.socket.writable) admitInTurn(begin)
      })
  }

  function admit(exchange: Exchange, request: IncomingMessage, response: ServerResponse): void {
    // The caller has left, or the rest of the request has turned out to be malformed.
    if (exchange.over || exchange.answered) return
    try {
      if (phase === 'draining') throw draining()
      const waiting = admission.admit(exchange, request, response)
      if (waiting !== undefined) waiting.catch((error: unknown) => refuse(exchange, response, error))
    } catch (error) {
      refuse(exchange, response, error)
    }
  }

  function refuse(exchange: Exchange, response: ServerResponse, error: unknown): void {
    // An answer of ours is already on its way: what fails behind it is only its echo.
    if (exchange.answered) return
    const problem = asProblem(error)
    if (problem.status >= 500) parts.onDefect(exchange, problem)
    if (response.headersSent || response.destroyed) {
      exchange.problem ??= problem
      exchange.brokenOff = response.headersSent
      breakOff(response)
    } else answerProblem(exchange, response, problem)
  }

  /** What the parser refuses is answered and recorded once, as the request it belongs to or as one of its own. */
  function refuseUnparsed(error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') parts.listener.onCut('head')
    if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') parts.listener.onCut('handshake')
    // A connection that broke, or that was only opened, is no exchange.
    if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesRead === 0) {
      socket.destroy()
      return
    }
    const problem = unparsable(error.code)
    const current = pipelines.latest(socket)
    if (current !== null && !current.request.complete) {
      // The caller ended its side in the middle of the body: it has left.
      if (error.code === 'HPE_INVALID_EOF_STATE') {
        socket.destroy()
        return
      }
      current.response.shouldKeepAlive = false
      // Before anything was sent, what was decided was decided about a request that has turned out to be none.
      if (current.exchange.keyVersion === null) current.exchange.evaluation = null
      refuse(current.exchange, current.response, problem)
      return
    }
    answerLast(open(null, ''), socket, problem)
  }

  /** Answers what has no response object, when the requests before it are answered, and closes the connection. */
  function answerLast(exchange: Exchange, socket: Socket, problem: Problem): void {
    const answer = (): void => {
      answerRaw(exchange, socket, problem)
      recorder.record(exchange, false)
    }
    const before = pipelines.latest(socket)
    if (before === null) answer()
    else before.response.once('close', answer)
  }

  /** CONNECT makes a tunnel of the connection; there is nothing here to tunnel to. */
  function refuseConnect(request: IncomingMessage, peer: Socket | ServerResponse): void {
    if ('writeHead' in peer) {
      receive(request, peer)
      return
    }
    const exchange = open('CONNECT', request.url ?? '')
    exchange.path = exchange.target
    answerLast(exchange, peer, new Problem('unknown-operation', 'CONNECT is not an operation of the API.'))
  }

  /** A connection that was cut tells its exchange a moment later; that is when it is recorded. */
  async function untilRecorded(): Promise<void> {
    for (let turns = 0; !isIdle() && turns < 1000; turns++) await setImmediate()
  }

  const app = createFastify(parts.listener)
  const { server } = app
  const connections = watchConnections(server, {
    ...parts.listener,
    headMs: parts.listener.timeouts.headMs,
    now,
    isBusy: (socket) => pipelines.latest(socket) !== null,
    onRefused: (reason, answerable) => {
      parts.listener.onRefused(reason)
      if (answerable !== null) answerLast(open(null, ''), answerable, connectionRefused(reason))
    },
  })
  const enter = (request: FastifyRequest, reply: FastifyReply): void => {
    reply.hijack()
    receive(request.raw, reply.raw)
  }
  // Here, before Fastify reads a body and http-proxy resolves an address by a reading of its own, which cost a tenth of an
  // answer from the cache. A hook that does not call back ends Fastify's part, also for what it has no route for.
  app.addHook('onRequest', enter)
  await app.register(httpProxy, {
    upstream: parts.upstreamOrigin,
    // Our own dispatch stands behind the registration, so none of the library's forwarding defaults apply.
    handler: enter,
    retryMethods: [],
  })
  // Without these listeners Node answers 417 and writes 100 by itself; admission decides first.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) =>
    server.emit('request', request, response),
  )
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
    server.emit('request', request, response),
  )
  server.on('connect', refuseConnect)
  server.removeAllListeners('clientError')
  server.on('clientError', refuseUnparsed)
  await app.ready()

  return {
    get inFlight() {
      return inFlight
    },
    get connections() {
      return connections.open
    },
    setPhase(next) {
      phase = next
      if (next === 'open') return
      connections.goAway()
      for (const { response } of pipelines.ends()) if (!response.headersSent) response.shouldKeepAlive = false
    },
    refuse,
    async listen(host, port) {
      await app.listen({ host, port })
      const address = server.address()
      return typeof address === 'object' && address !== null
        ? { host: address.address, port: address.port }
        : { host, port }
    },
    useCertificate: (certificate) => renewCertificate(server, certificate),
    async close(deadlineMs) {
      await connections.close(deadlineMs)
      await untilRecorded()
      await app.close()
    },
    async cut() {
      connections.cut()
      await untilRecorded()
    },
  }
}

function draining(): Problem {
  return new Problem('draining', 'This instance is shutting down. Repeat the request on a new connection.', {
    fields: { 'retry-after': '1' },
  })
}

/** Fastify puts the target that was received beside the one it routes by. */
function targetOf(request: IncomingMessage & { originalUrl?: string }): string {
  return request.originalUrl ?? request.url ?? ''
}

function unparsable(code: string | undefined): Problem {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new Problem('malformed-request', 'The request did not arrive in time. Send it again, whole.', {
      reason: 'request-incomplete',
    })
  if (code === 'HPE_HEADER_OVERFLOW')
    return new Problem(
      'malformed-request',
      'The header fields are larger than 32 KiB. Send fewer; a token with many groups is a common cause.',
      { reason: 'fields-too-large' },
    )
  return new Problem('malformed-request', 'The request is not well-formed HTTP/1.1. Repair the client (RFC 9112).', {
    reason: 'unparsable',
  })
}
