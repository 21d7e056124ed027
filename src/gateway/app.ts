// The callers' listener in Fastify's terms: hooks in order, own pages as a plugin, one proxied route, one error handler.

import { randomUUID } from 'node:crypto'
import { IncomingMessage, METHODS, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import httpProxy from '@fastify/http-proxy'
import type { FastifyPluginCallback, RouteHandlerMethod } from 'fastify'
import type { PolicySet } from '../policy/model/policy-set.ts'
import { Problem } from '../problems.ts'
import { InFlightList } from '../in-flight-list.ts'
import { hasLeft, isHttp2, onceClosed } from './listener/http-versions.ts'
import { RequestContext, type ContextEvents } from './context.ts'
import { scheduleAdmission, scheduleFlush } from './event-loop-batch.ts'
import {
  createFastify,
  methodOf,
  renewCertificate,
  targetOf,
  type Certificate,
  type ServerOptions,
} from './listener/server.ts'
import { connectionRefused, type CapOptions, type ConnectionRefusal } from './listener/caps.ts'
import { watchConnections, type ConnectionCut } from './listener/connections.ts'
import { createAnonymousRequests, type AnonymousOptions } from './load/anonymous-requests.ts'
import { createUnreadRequests } from './listener/unread-requests.ts'
import { createOwnPages, type OwnPagesParts } from './own-pages/plugin.ts'
import { Pipelines } from './listener/pipelines.ts'
import { Readers } from './listener/readers.ts'
import { cutByStop, RequestsUnderWay } from './blocking/requests-under-way.ts'
import { draining } from './refusals/request.ts'
import type { Recorder } from './recording/recorder.ts'
import { abandonedMs } from './responses/client.ts'
import { answerFailure } from './responses/own-answer.ts'
import type { ShadowDecisions } from './shadow/shadow-decisions.ts'
import type { Stages } from './stages/list.ts'
import type { Tracing } from '../telemetry/trace.ts'
import { enterStage, hookOf, type StageHook } from './stages/stage.ts'

export interface GatewayParts {
  readonly stages: Stages
  readonly ownPages: Omit<OwnPagesParts, 'identify'>
  readonly recorder: Recorder
  /** Learns of each exchange that has ended; null where no shadow set is decided. */
  readonly shadow: Pick<ShadowDecisions, 'note'> | null
  /** Null without telemetry. */
  readonly tracing: Tracing | null
  /** The snapshot for a request that arrives now. */
  readonly policy: () => PolicySet
  readonly now: () => number
  /** A defect of the gateway, or a problem for operators, with its cause. */
  readonly onDefect: (context: RequestContext, problem: Problem) => void
  readonly listener: ServerOptions & CapOptions & AnonymousOptions & ListenerEvents
  /** How long a caller may leave an answer unread. */
  readonly callerIdleMs: number
  /** Whether the token of an Authorization field was verified and still counts. */
  readonly isRemembered: (credentials: string) => boolean
  readonly upstreamOrigin: string
}

export interface ListenerEvents {
  readonly onRefused: (reason: ConnectionRefusal) => void
  readonly onCut: (cause: ConnectionCut) => void
  /** Requests that were sent ahead left before their turn, without a record. */
  readonly onDropped: (count: number) => void
}

/** `closing-connections`: still serving, and every answer closes its connection. `draining`: what arrives now is sent elsewhere. */
export type ListenerPhase = 'open' | 'closing-connections' | 'draining'

/**
 * How long the record of a request whose caller has left waits for the upstream's answer. Shared reads and creates
 * with an Idempotency-Key continue beyond that.
 */
function recordWithinMs({ isRead }: RequestContext): number {
  return isRead ? 1_000 : 2 * abandonedMs
}

/** Builds the listener; nothing is bound before `listen`. */
export async function createGatewayApp(parts: GatewayParts) {
  const { stages, recorder, now } = parts
  let phase: ListenerPhase = 'open'
  let isCut = false
  let inFlight = 0
  /** Requests whose callers have left during a call. */
  const lingering = new InFlightList<RequestContext>()
  let onIdle = (): void => {}
  const pipelines = new Pipelines({
    onCut: () => parts.listener.onCut('pipeline'),
    onDropped: parts.listener.onDropped,
  })
  const underWay = new RequestsUnderWay()
  const readers = new Readers(parts.callerIdleMs)
  const anonymous = createAnonymousRequests({ ...parts.listener, now, isRemembered: parts.isRemembered })
  const events: ContextEvents = {
    failed(context, problem) {
      if (problem.status >= 500) parts.onDefect(context, problem)
    },
    leaving(context, isWhole) {
      if (isWhole) recorder.record(context)
      else recorder.recordDecision(context)
      // A part does not wait for the end of the batch.
      if (isWhole) scheduleFlush(recorder.flush)
      else recorder.flush()
    },
    ended(context) {
      inFlight -= 1
      anonymous.ended(context)
      recorder.record(context)
      context.trace?.end(context)
      parts.shadow?.note(context)
      if (inFlight === 0) onIdle()
    },
  }

  function linger(context: RequestContext): void {
    const entry = lingering.add(context)
    const timer = setTimeout(() => recorder.record(context), recordWithinMs(context))
    context.whenEnded(() => {
      lingering.remove(entry)
      clearTimeout(timer)
    })
  }

  function openContext(request: IncomingMessage, response: ServerResponse): RequestContext {
    recorder.begin()
    inFlight += 1
    const opening = {
      decisionId: randomUUID(),
      method: methodOf(request),
      rawTarget: targetOf(request),
      policy: parts.policy(),
      nowMs: now(),
    }
    const context = new RequestContext(request, response, opening, events)
    context.history = anonymous.historyOf(request)
    if (parts.tracing !== null) context.trace = parts.tracing.begin(request.headers, opening.nowMs)
    underWay.add(context)
    if (!isHttp2(request)) pipelines.began(context)
    onceClosed(response, () => {
      // Node takes a response for finished whose stream the caller has reset without an error code.
      context.close(!context.isComplete || hasLeft(response))
      if (!context.isEnded) linger(context)
    })
    return context
  }

  /** A request is read, and goes to Fastify when earlier ones of its connection are answered. By HTTP/2 none waits for others. */
  function arrive(request: IncomingMessage, response: ServerResponse): void {
    if (phase !== 'open') response.shouldKeepAlive = false
    if (isHttp2(request)) app.routing(request, response)
    else
      pipelines.enter({
        request,
        response,
        begin: () => app.routing(request, response),
        leave() {
          const context = openContext(request, response)
          if (isCut) cutByStop(context)
          context.close(true)
        },
        context: null,
      })
  }

  /** The first hook: goes on with all that has arrived. */
  const open: StageHook = (fastifyRequest, { raw: response }, done) => {
    const { raw: request } = fastifyRequest
    const context = openContext(request, response)
    fastifyRequest.context = context
    enterStage(context, 'open')
    scheduleAdmission(() => {
      // The caller has left, or the rest of the request has turned out to be malformed.
      if (!context.isOpen) return
      if (phase === 'draining') done(draining())
      else anonymous.admit(context, done)
    })
  }

  /** The proxied route behind the stages, and the same stages for methods that the router does not know. */
  const api: FastifyPluginCallback = (scope, _options, done) => {
    scope.addHook('onRequest', hookOf(stages.authenticate, stages.checkBlocks))
    scope.addHook('preHandler', hookOf(...stages.decide))
    const forward: RouteHandlerMethod = ({ context }) => stages.forward(context)
    scope.register(httpProxy, { upstream: parts.upstreamOrigin, handler: forward, retryMethods: [] })
    scope.setNotFoundHandler(forward)
    done()
  }

  /** Waits for calls that continue without their callers, then for the close events of cut connections. */
  async function untilRecorded(deadlineMs: number): Promise<void> {
    for (let turns = 0; inFlight > lingering.size && turns < 1000; turns++) await setImmediate()
    if (lingering.size > 0 && deadlineMs > 0) {
      const idle = new Promise<void>((resolve) => (onIdle = resolve))
      const timer = setTimeout(onIdle, deadlineMs)
      await idle
      clearTimeout(timer)
    }
    for (const context of lingering.items()) context.end()
  }

  const unread = createUnreadRequests({ pipelines, openContext, onCut: parts.listener.onCut })
  const app = createFastify(parts.listener)
  const { server } = app
  const connections = watchConnections(server, {
    ...parts.listener,
    headMs: parts.listener.timeouts.headMs,
    now,
    input: { mayRead: (socket) => pipelines.mayRead(socket), isKnown: (socket) => pipelines.isKnown(socket) },
    beforeAllAreCut() {
      isCut = true
      underWay.cut()
    },
    isBusy: (socket) => pipelines.latest(socket) !== null,
    onRefused: (reason, answerable) => {
      parts.listener.onRefused(reason)
      if (answerable !== null) unread.refuse(answerable, connectionRefused(reason))
    },
  })
  app.decorateRequest('context')
  // Bodies are read by stages, after the decision: for Fastify no method has one.
  for (const method of METHODS) app.addHttpMethod(method, { overrideExisting: true })
  app.setErrorHandler((error, { context }) => answerFailure(context, error))
  app.addHook('onRequest', open)
  app.addHook('onRequest', hookOf(stages.readRequest))
  await app.register(createOwnPages({ ...parts.ownPages, identify: [stages.authenticate, stages.checkBlocks] }), {
    prefix: '/gateway',
  })
  await app.register(api)

  server.removeAllListeners('request')
  // Without the latter two listeners Node answers 417 and writes 100 by itself; the stages decide first.
  for (const event of ['request', 'checkContinue', 'checkExpectation']) server.on(event, arrive)
  server.on('connect', (request: IncomingMessage, peer: Socket | ServerResponse) => {
    if ('writeHead' in peer) app.routing(request, peer)
    else unread.connect(request, peer, (response) => app.routing(request, response))
  })
  server.removeAllListeners('clientError')
  server.on('clientError', unread.refuseUnparsed)
  const look = setInterval(() => readers.look(underWay.items()), readers.everyMs)
  app.addHook('onClose', (_app, done) => {
    clearInterval(look)
    done()
  })
  await app.ready()

  return {
    get inFlight(): number {
      return inFlight
    },
    /** Connections of callers that are open. */
    get connections(): number {
      return connections.open
    },
    /** Those among them that have yet to begin. */
    get waitingConnections(): number {
      return connections.waiting
    },
    /** Requests that wait behind others of their HTTP/1 connection. */
    get sentAhead(): number {
      return pipelines.waiting
    },
    setPhase(next: ListenerPhase): void {
      phase = next
      if (next === 'open') return
      connections.goAway()
      for (const { response } of pipelines.ends()) if (!response.headersSent) response.shouldKeepAlive = false
    },
    async listen(host: string, port: number): Promise<{ host: string; port: number }> {
      await app.listen({ host, port })
      const address = server.address()
      return typeof address === 'object' && address !== null
        ? { host: address.address, port: address.port }
        : { host, port }
    },
    useCertificate: (certificate: Certificate): void => renewCertificate(server, certificate),
    /** Stops listening and waits until the last exchange is over, or cuts what is left at the deadline. */
    async close(deadlineMs: number): Promise<void> {
      const startedAtMs = now()
      await connections.close(deadlineMs)
      await untilRecorded(deadlineMs - (now() - startedAtMs))
      await app.close()
    },
    /** How many requests under way satisfy. */
    count: (isIt: (context: RequestContext) => boolean): number => underWay.count(isIt),
    /** Refuses requests that are under way, for those for which there is a problem. */
    refuse: (problemOf: (context: RequestContext) => Problem | undefined): void => underWay.refuse(problemOf),
    /** Cuts every connection, and resolves when the last exchange is recorded. */
    async cut(): Promise<void> {
      connections.cut()
      await untilRecorded(0)
    },
  }
}

export type GatewayApp = Awaited<ReturnType<typeof createGatewayApp>>
