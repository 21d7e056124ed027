// The one way to the upstream. Certificates are always verified, writes are never retried, redirects are not
// followed, the path is sent byte for byte, and an answer reaches the caller only through the leak guard.

import type { Dispatcher } from 'undici'
import type { ResponseSink } from '../../cache/response-stream.ts'
import { addressOf } from '../../catalogue/target.ts'
import { firstValue } from '../../http/field-list.ts'
import { restMs } from '../../http/retry-after.ts'
import type { KeyVersion } from '../../keys/keyring.ts'
import type { Precedence } from '../../limits/precedence.ts'
import type { Problem } from '../../problems.ts'
import type { BodyMemory } from '../bodies/memory.ts'
import type { LeakGuard } from '../responses/leak-guard.ts'
import { UpstreamResponseHandler, type ResponseEvents, type UpstreamCall } from '../responses/upstream-response.ts'
import { StreamTurn, type StreamTurns } from '../stream-turns.ts'
import { createBreakers, type BreakerEvent } from './breakers.ts'
import { Call, type AnswerReceiver, type Asker, type CallParts } from './call.ts'
import { createConnections } from './connections.ts'
import { answerRefused } from './errors.ts'
import { fieldsOf, ownFieldsOf, type OwnRequest, type UpstreamRequest } from './upstream-request.ts'
import { createUpstreamQueue, type HeldResult } from './queue.ts'
import { Upload } from './upload.ts'

export interface UpstreamSettings {
  readonly origin: string
  /** Empty, or a path prefix without final slash that goes before every path. */
  readonly pathPrefix: string
  /** PEM of the authorities to trust instead of the system's, or null. */
  readonly ca: string | null
  readonly connections: number
  /** Requests that may wait beyond those that have a connection; more are refused with `overloaded`. */
  readonly maxWaiting: number
  /** How long one of them may wait for a connection. */
  readonly maxWaitMs: number
  readonly timeouts: { readonly connectMs: number; readonly headersMs: number; readonly bodyIdleMs: number }
}

export interface OwnResponse {
  readonly status: number
  /** How long a 429 asks to wait, milliseconds; else 0. */
  readonly waitMs: number
  readonly body: Buffer
}

export interface UpstreamOptions {
  readonly settings: UpstreamSettings
  readonly maxBodyBytes: number
  readonly bodyMemory: BodyMemory
  /** How long a body may be in coming, and how long it may stall. */
  readonly bodyMs: number
  readonly guard: LeakGuard
  /** Long answers share them. */
  readonly turns: StreamTurns
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
  defect(error: unknown): void
}

/** Nothing is connected before the first request. */
export function createUpstream(options: UpstreamOptions) {
  const { settings, turns, events } = options
  const { now } = events
  const connections = createConnections({ ...settings, now, onDefect: events.defect })
  const queue = createUpstreamQueue({
    capacity: settings.connections,
    maxWaiting: settings.maxWaiting,
    maxWaitMs: settings.maxWaitMs,
    now,
    onHeld: events.held,
    onShareReached: events.shareReached,
  })
  const breakers = createBreakers({ now, onEvent: events.breaker })

  const asking = new Set<KeyVersion>()
  let clockDueMs = 0
  function lookAtClock(fields: readonly string[]): void {
    if (now() < clockDueMs) return
    clockDueMs = now() + clockEveryMs
    const date = firstValue(fields, 'date')
    // An Age field means that a cache stored the answer, so its Date is old.
    if (date !== null && firstValue(fields, 'age') === null) events.dated(date)
  }

  const shared: Shared = {
    ...options,
    connections,
    queue,
    breakers,
    turns,
    lookAtClock,
    onBroken: (key) => events.breaker(key, 'refused'),
  }

  return {
    /** Requests at the upstream and in the queue. */
    get inFlight(): number {
      return queue.active + queue.waiting
    },
    get waiting(): number {
      return queue.waiting
    },
    /** Keys with which the upstream does not answer. */
    brokenKeys: (): readonly string[] => breakers.open,
    /** Sends a request in its turn and feeds the answer to the sink. Throws what is refused at once. */
    forward(request: UpstreamRequest, sink: ResponseSink): void {
      new ForwardedCall(shared, request, sink).send()
    },
    /** A request of the gateway's own, which waits for its turn like those of callers. Rejects when there is no answer. */
    ask: (
      { method, target, body, isCheck }: OwnRequest,
      version: KeyVersion,
      requestId: string,
    ): Promise<OwnResponse> => {
      const answer = new Promise<OwnResponse>((resolve, reject) => {
        const chunks: Buffer[] = []
        let status = 0
        let waitMs = 0
        let bytes = 0
        const receiver: AnswerReceiver = {
          started() {},
          head(found, controller) {
            status = found
            if (found === 429) waitMs = restMs(rawFieldsOf(controller))
            if (found === 401) events.rejected(version, isCheck).catch(events.defect)
            else events.accepted(version)
          },
          data(chunk) {
            chunks.push(chunk)
            bytes += chunk.length
            if (bytes > maxOwnBytes) {
              const reason = answerRefused('it is larger than 2 MiB')
              call.abandon(reason)
              reject(reason)
            }
            return true
          },
          end: () => resolve({ status, waitMs, body: Buffer.concat(chunks) }),
          failed: (problem) => reject(problem),
        }
        const call = new Call(
          shared,
          {
            version,
            precedence: own,
            caller: own.team,
            get isAccepted() {
              return status !== 0 && status !== 429
            },
            request: () => ({
              path: settings.pathPrefix + target,
              method,
              headers: ownFieldsOf(version, settings.origin, requestId, body !== null),
              body,
            }),
            refuse(problem) {
              call.abandon(problem)
              reject(problem)
            },
            waited() {},
          },
          receiver,
        )
        call.enter()
      })
      asking.add(version)
      return answer.finally(() => asking.delete(version))
    },
    /** The gateway's own requests that are under way. */
    asking: asking as ReadonlySet<KeyVersion>,
    close: (): Promise<void> => connections.close(),
  }
}

export type Upstream = ReturnType<typeof createUpstream>

/** Names in lower case and values by turns; undici gives buffers. */
function rawFieldsOf({ rawHeaders }: Dispatcher.DispatchController): string[] {
  const fields = (rawHeaders ?? []) as Iterable<Buffer | string>
  return Array.from(fields, (each, index) => (index % 2 === 0 ? each.toString().toLowerCase() : each.toString()))
}

const maxOwnBytes = 2 << 20
const clockEveryMs = 10_000
/** The gateway's own reads, which stand beside the teams. */
const own: Precedence = { team: 'gateway', priority: 'high', weight: 4, maxRestMs: 0 }

/** What all calls for callers share. */
interface Shared extends CallParts, UpstreamOptions {
  readonly turns: StreamTurns
  readonly lookAtClock: (fields: readonly string[]) => void
}

/** A caller's request on its way to the upstream, its body included. */
class ForwardedCall implements Asker, UpstreamCall {
  readonly #shared: Shared
  readonly #request: UpstreamRequest
  readonly #handler: UpstreamResponseHandler
  readonly #call: Call
  #upload: Upload | null = null

  constructor(shared: Shared, request: UpstreamRequest, sink: ResponseSink) {
    this.#shared = shared
    this.#request = request
    this.#handler = new UpstreamResponseHandler(request, sink, shared.guard, shared.events, this)
    this.#call = new Call(shared, this, this.#handler)
  }

  send(): void {
    const { body, fields } = this.#request
    this.#handler.begin()
    if (body !== null || fields.bodyLength === 0) this.#call.enter()
    else if (!this.#handler.isOver) this.#upload = this.#startUpload()
  }

  #startUpload(): Upload {
    const { bodyMemory, bodyMs, events, maxBodyBytes, queue, settings } = this.#shared
    const { context, fields, precedence, request } = this.#request
    return new Upload({
      context,
      request,
      declared: fields.bodyLength,
      maxBytes: maxBodyBytes,
      memory: bodyMemory,
      team: precedence.team,
      hasRoom: () => queue.active < settings.connections / 2,
      now: events.now,
      timeoutMs: bodyMs,
      onReady: () => this.#call.enter(),
      onRefused: (problem) => this.refuse(problem),
    })
  }

  get version(): KeyVersion {
    return this.#request.version
  }

  get precedence(): Precedence {
    return this.#request.precedence
  }

  get caller(): string {
    const { principal } = this.#request.context
    return principal === null ? '' : `${principal.issuer} ${principal.subject}`
  }

  get isAccepted(): boolean {
    return this.#handler.isAccepted
  }

  request(): Dispatcher.DispatchOptions {
    const { pathPrefix, origin } = this.#shared.settings
    const { body, method, operation, target } = this.#request
    return {
      path: pathPrefix + addressOf(target),
      method,
      headers: fieldsOf(this.#request, origin),
      body: this.#upload ?? (body === null || body.length === 0 ? null : body),
      ...(operation.streaming ? { bodyTimeout: 0 } : {}),
    }
  }

  refuse(problem: Problem): void {
    this.#handler.refuse(problem)
  }

  waited(waitedMs: number | null): void {
    this.#request.context.waitedMs ??= waitedMs
  }

  abandon(reason: Error): void {
    this.#call.abandon(reason)
    this.#upload?.destroy()
  }

  answered(fields: readonly string[]): void {
    this.#shared.lookAtClock(fields)
  }

  throttled(waitMs: number): void {
    const { precedence, version } = this.#request
    this.#shared.queue.throttled(version.handle.id, precedence.priority, waitMs)
  }

  takeTurns(goOn: () => void): StreamTurn {
    return new StreamTurn(this.#shared.turns, this.#request.precedence.team, goOn)
  }
}
