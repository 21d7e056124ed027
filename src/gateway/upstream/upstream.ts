// The one way to the upstream. Certificates are always verified, writes are never retried, redirects are not
// followed, the path is sent byte for byte, and an answer reaches the caller only through the leak guard.

import type { Dispatcher } from 'undici'
import type { ResponseSink } from '../../cache/response-stream.ts'
import { addressOf } from '../../catalogue/target.ts'
import { firstValue } from '../../http/field-list.ts'
import type { KeyVersion } from '../../keys/keyring.ts'
import type { Precedence } from '../../limits/precedence.ts'
import type { Problem } from '../../problems.ts'
import type { BodyMemory } from '../bodies/memory.ts'
import type { RequestContext } from '../context.ts'
import type { LeakGuard } from '../responses/leak-guard.ts'
import { UpstreamResponseHandler, type ResponseEvents } from '../responses/upstream-response.ts'
import { StreamTurn, StreamTurns } from '../stream-turns.ts'
import { createBreakers, type BreakerEvent, type CallResult } from './breakers.ts'
import { Call, type AnswerReceiver } from './call.ts'
import { createConnections } from './connections.ts'
import { notAsked } from './errors.ts'
import { fieldsOf, ownReadFields, type UpstreamRequest } from './upstream-request.ts'
import { createUpstreamQueue, type HeldResult } from './queue.ts'
import { Upload } from './upload.ts'

export interface UpstreamSettings {
  /** Scheme, host and port. */
  readonly origin: string
  /** Empty, or a path prefix without final slash that goes before every path. */
  readonly pathPrefix: string
  /** PEM of the authorities to trust instead of the system's, or null. */
  readonly ca: string | null
  readonly connections: number
  /** Requests that may wait beyond those that have a connection; more are refused with `overloaded`. */
  readonly maxWaiting: number
  readonly timeouts: { readonly connectMs: number; readonly headersMs: number; readonly bodyIdleMs: number }
}

export interface Upstream {
  /** Sends a request in its turn and feeds the answer to the sink. Throws what is refused at once. */
  forward(forward: UpstreamRequest, sink: ResponseSink): void
  /** A read of the gateway's own, which waits for its turn like those of callers. Rejects when there is no answer. */
  ask(target: string, version: KeyVersion, requestId: string): Promise<OwnResponse>
  /** Requests at the upstream and in the queue. */
  readonly inFlight: number
  /** Requests that wait for their turn. */
  readonly waiting: number
  /** Closes every connection; requests that nobody waits for any more are cut. */
  close(): Promise<void>
}

export interface OwnResponse {
  readonly status: number
  readonly body: Buffer
}

export interface UpstreamOptions {
  readonly settings: UpstreamSettings
  readonly maxBodyBytes: number
  readonly bodyMemory: BodyMemory
  /** How long a body may be in coming, and how long it may stall. */
  readonly bodyMs: number
  readonly guard: LeakGuard
  readonly events: UpstreamEvents
}

export interface UpstreamEvents extends ResponseEvents {
  /** A request of the team was held in the queue: it went on after a while, was refused, or its caller has left. */
  held(team: string, result: HeldResult): void
  /** A request of the team waits or was refused although there was room: its team holds its share. */
  shareReached(team: string, of: 'connections' | 'queue'): void
  /** The circuit breaker of this key opened, probed or closed; `refused`: a request was not sent. */
  breaker(key: string, event: BreakerEvent | 'refused'): void
  /** The Date of an answer that the upstream has just made; from time to time. */
  dated(date: string): void
  /** An exception that escaped a handler. */
  defect(error: unknown): void
}

/** Nothing is connected before the first request. */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { settings, guard, events, maxBodyBytes, bodyMs, bodyMemory } = options
  const { now } = events
  const connections = createConnections({ ...settings, now, onDefect: events.defect })
  const queue = createUpstreamQueue({
    capacity: settings.connections,
    maxWaiting: settings.maxWaiting,
    maxWaitMs: settings.timeouts.headersMs,
    now,
    onHeld: events.held,
    onShareReached: events.shareReached,
  })
  const turns = new StreamTurns()
  const breakers = createBreakers({ now, onEvent: events.breaker })

  let clockDueMs = 0
  function lookAtClock(fields: readonly string[]): void {
    if (now() < clockDueMs) return
    clockDueMs = now() + clockEveryMs
    const date = firstValue(fields, 'date')
    // An Age field means that a cache stored the answer, so its Date is old.
    if (date !== null && firstValue(fields, 'age') === null) events.dated(date)
  }

  /** Refuses while the circuit breaker is open. */
  function refused(key: string, waitMs: number): Problem {
    events.breaker(key, 'refused')
    return notAsked(waitMs)
  }

  interface Asking {
    readonly version: KeyVersion
    readonly precedence: Precedence
    /** The caller's identity for breakers. */
    readonly caller: () => string
    readonly request: () => Dispatcher.DispatchOptions
    /** The request will not be sent. */
    readonly refuse: (problem: Problem) => void
    readonly accepted: () => boolean
    readonly onWaited: (waitedMs: number | null) => void
  }

  /** A call with its place in the queue. `enter` starts it, at once or in its turn. Throws what is refused at once. */
  function prepare(asking: Asking, receiver: AnswerReceiver): { readonly call: Call; readonly enter: () => void } {
    const { version, precedence } = asking
    const key = version.handle.id
    if (breakers.troubled) {
      const waitMs = breakers.refusalMs(key, asking.caller())
      if (waitMs !== null) throw refused(key, waitMs)
    }
    const entry = queue.open(key, precedence)
    let passage: 'pass' | 'probe' | null = null
    const ended = (result: CallResult): void => {
      asking.onWaited(entry.waitedMs)
      if (passage !== null && (result !== 'answered' || breakers.troubled))
        breakers.ended(key, asking.caller(), passage, result)
      queue.leave(entry, asking.accepted())
    }
    const call = new Call({ connections, credential: version.secret, receiver, onEnded: ended })
    const begin = (): void => {
      const found = breakers.troubled ? breakers.begin(key, asking.caller()) : 'pass'
      if (typeof found === 'number') {
        asking.refuse(refused(key, found))
        return
      }
      passage = found
      call.start(asking.request())
    }
    return { call, enter: () => queue.enter(entry, { begin, refuse: asking.refuse }) }
  }

  function forward(forwarded: UpstreamRequest, sink: ResponseSink): void {
    const { context, version, precedence, fields, request, body } = forwarded
    let upload: Upload | null = null
    const handler: UpstreamResponseHandler = new UpstreamResponseHandler(forwarded, sink, guard, events, {
      abandon(reason) {
        call.abandon(reason)
        upload?.destroy()
      },
      answered: lookAtClock,
      throttled: (waitMs) => queue.throttled(version.handle.id, precedence.priority, waitMs),
      takeTurns: (goOn) => new StreamTurn(turns, precedence.team, goOn),
    })
    const { call, enter } = prepare(
      {
        version,
        precedence,
        caller: () => callerOf(context),
        request: () => ({
          path: settings.pathPrefix + addressOf(forwarded.target),
          method: forwarded.method,
          headers: fieldsOf(forwarded, settings.origin),
          body: upload ?? (body === null || body.length === 0 ? null : body),
          ...(forwarded.operation.streaming ? { bodyTimeout: 0 } : {}),
        }),
        refuse: (problem) => handler.refuse(problem),
        accepted: () => handler.isAccepted,
        onWaited(waitedMs) {
          context.waitedMs ??= waitedMs
        },
      },
      handler,
    )
    sink.attach(handler)
    if (body !== null) {
      context.bytesIn = body.length
      enter()
    } else if (fields.bodyLength === 0) enter()
    else if (!handler.isOver)
      upload = new Upload({
        context,
        request,
        declared: fields.bodyLength,
        maxBytes: maxBodyBytes,
        memory: bodyMemory,
        team: precedence.team,
        hasRoom: () => queue.active < settings.connections / 2,
        now,
        timeoutMs: bodyMs,
        onReady: enter,
        onRefused: (problem) => handler.refuse(problem),
      })
  }

  return {
    get inFlight() {
      return queue.active + queue.waiting
    },
    get waiting() {
      return queue.waiting
    },
    forward,
    ask: (target, version, requestId) =>
      new Promise((resolve, reject) => {
        const chunks: Buffer[] = []
        let status = 0
        let bytes = 0
        const receiver: AnswerReceiver = {
          started() {},
          head(found) {
            status = found
            if (found === 401) events.rejected(version).catch(events.defect)
            else events.accepted(version)
          },
          data(chunk) {
            chunks.push(chunk)
            bytes += chunk.length
            if (bytes > maxOwnBytes) {
              const reason = new Error('the answer is too large')
              call.abandon(reason)
              reject(reason)
            }
            return true
          },
          end: () => resolve({ status, body: Buffer.concat(chunks) }),
          failed: (problem) => reject(problem),
        }
        const { call, enter } = prepare(
          {
            version,
            precedence: own,
            caller: () => own.team,
            request: () => ({
              path: settings.pathPrefix + target,
              method: 'GET',
              headers: ownReadFields(version, settings.origin, requestId),
            }),
            refuse: (problem) => {
              call.abandon(problem)
              reject(problem)
            },
            accepted: () => status !== 0 && status !== 429,
            onWaited() {},
          },
          receiver,
        )
        enter()
      }),
    close: () => connections.close(),
  }
}

const maxOwnBytes = 2 << 20
/** How often the clock of the upstream is looked at. */
const clockEveryMs = 10_000
/** The gateway's own reads, which stand beside the teams. */
const own: Precedence = { team: 'gateway', priority: 'high', weight: 4, maxWaitMs: 0 }

function callerOf({ principal }: RequestContext): string {
  return principal === null ? '' : `${principal.issuer} ${principal.subject}`
}
