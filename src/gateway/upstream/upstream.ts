// The one way to the upstream: our own dispatch on an undici pool. Certificates are always verified, nothing is retried,
// nothing is followed, the path goes on byte for byte, and an answer reaches the caller only through the leak guard.

import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { Transform } from 'node:stream'
import { Pool, type Dispatcher } from 'undici'
import type { AnswerTaker } from '../../cache/answer.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { addressOf, type Target } from '../../catalogue/target.ts'
import type { KeyVersion } from '../../keys/keyring.ts'
import type { Precedence } from '../../limits/precedence.ts'
import { tooLarge } from '../body.ts'
import { acceptedCodings, knownCodings } from '../../http/accept-encoding.ts'
import { wasCutOff } from '../connection.ts'
import type { Exchange } from '../exchange.ts'
import type { CallerFields } from '../fields.ts'
import type { LeakGuard } from '../responses/leak-guard.ts'
import { Receiving, type ReceivingEvents } from '../responses/upstream-response.ts'
import { createUpstreamLine } from './queue.ts'

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

/** Everything the upstream gets to see of a request. */
export interface Forward {
  readonly exchange: Exchange
  readonly request: IncomingMessage
  /** Of the request to the upstream. */
  readonly method: string
  readonly operation: Operation
  readonly target: Target
  readonly fields: CallerFields
  /** What goes upstream in place of the caller's fields where others may get the answer too; null where nobody else does. */
  readonly shared: readonly string[] | null
  /** The body when it has been collected; null to stream it. */
  readonly body: Buffer | null
  readonly version: KeyVersion
  /** How its team stands in line. */
  readonly precedence: Precedence
}

export interface Upstream {
  /** Sends a request in its turn and feeds the answer to the taker. Throws what the line refuses at once. */
  forward(forward: Forward, taker: AnswerTaker): void
  /**
   * A read of the gateway's own, beside the line of callers. Rejects when there is no answer, or one larger than 8 MiB. A
   * 401 counts against the key, as it does for callers.
   */
  ask(target: string, version: KeyVersion): Promise<{ readonly status: number; readonly body: Buffer }>
  readonly inFlight: number
  /** Requests that wait for their turn. */
  readonly waiting: number
  /** Closes every connection; requests that nobody waits for any more are cut. */
  close(): Promise<void>
}

export interface UpstreamOptions {
  readonly settings: UpstreamSettings
  readonly maxBodyBytes: number
  readonly guard: LeakGuard
  readonly events: ReceivingEvents
  /** A request of the team was held in line: it went on after a while, was refused, or its caller has left. */
  readonly onHeld: (team: string, result: 'sent' | 'refused' | 'left') => void
}

/** Opens the pool. */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { settings, guard, events, maxBodyBytes } = options
  const pool = new Pool(settings.origin, {
    connections: settings.connections,
    pipelining: 1,
    headersTimeout: settings.timeouts.headersMs,
    bodyTimeout: settings.timeouts.bodyIdleMs,
    allowH2: false,
    connect: {
      timeout: settings.timeouts.connectMs,
      rejectUnauthorized: true,
      ...(settings.ca === null ? {} : { ca: settings.ca }),
    },
  })
  const line = createUpstreamLine({
    capacity: settings.connections,
    maxWaiting: settings.maxWaiting,
    maxWaitMs: settings.timeouts.headersMs,
    now: events.now,
    onHeld: options.onHeld,
  })
  function begin(forward: Forward, receiving: Receiving): void {
    pool.dispatch(
      {
        path: settings.pathPrefix + addressOf(forward.target),
        method: forward.method,
        headers: fieldsOf(forward, settings.origin),
        body: bodyOf(forward, maxBodyBytes, receiving) ?? null,
        ...(forward.operation.streaming ? { bodyTimeout: 0 } : {}),
      },
      receiving,
    )
  }

  return {
    get inFlight() {
      return line.active + line.waiting
    },
    get waiting() {
      return line.waiting
    },
    forward(forward, taker) {
      const { exchange, version } = forward
      const place = line.place(version.handle.id, forward.precedence)
      const receiving = new Receiving(forward, taker, guard, events, {
        throttled: (waitMs) => line.throttled(version.handle.id, forward.precedence.priority, waitMs),
        done(accepted) {
          exchange.waitedMs ??= place.waitedMs
          line.leave(place, accepted)
        },
      })
      taker.attach(receiving)
      line.enter(place, {
        begin: () => begin(forward, receiving),
        refuse: (problem) => receiving.refuse(problem),
      })
    },
    async ask(target, version) {
      const { statusCode: status, body } = await pool.request({
        path: settings.pathPrefix + target,
        method: 'GET',
        headers: { authorization: `Bearer ${version.secret.reveal(settings.origin)}`, accept: 'application/json' },
      })
      if (status === 401) await events.rejected(version)
      else events.accepted(version)
      const chunks: Buffer[] = []
      let bytes = 0
      for await (const chunk of body) {
        // Bodies are streams of bytes.
        chunks.push(chunk as Buffer)
        bytes += (chunk as Buffer).length
        if (bytes > maxOwnBytes) throw new Error('the answer is too large')
      }
      return { status, body: Buffer.concat(chunks) }
    },
    close: () => pool.destroy(),
  }
}

const maxOwnBytes = 8 << 20

/** The fields of the request to the upstream. This is the only place where a key's value is opened. */
function fieldsOf(forward: Forward, origin: string): string[] {
  const { shared, version } = forward
  const credential = `Bearer ${version.secret.reveal(origin)}`
  return shared === null ? ownFields(forward, credential) : sharedFields(forward, shared, credential)
}

/** The caller's allowed fields plus ours. */
function ownFields({ fields, exchange, body, request, operation }: Forward, credential: string): string[] {
  const list = [
    ...fields.forward,
    'authorization',
    credential,
    'accept-encoding',
    // A coded stream of events could only be looked into in large pieces.
    operation.streaming ? 'identity' : acceptedCodings(fields.acceptEncoding),
    'x-request-id',
    exchange.requestId,
    'via',
    `${request.httpVersion} devin-gateway`,
  ]
  if (body === null && fields.bodyLength !== null && fields.bodyLength > 0)
    list.push('content-length', String(fields.bodyLength))
  return list
}

/**
 * What the cache says plus ours: nothing that the caller could have put there, as others may get the answer. Ids are new ones,
 * so the answer can show none of the caller's; the record of the exchange holds them.
 */
function sharedFields({ exchange, fields }: Forward, shared: readonly string[], credential: string): string[] {
  const id = randomUUID()
  const traceId = id.replaceAll('-', '')
  exchange.upstreamRequestId = id
  return [
    ...shared,
    'authorization',
    credential,
    'accept-encoding',
    knownCodings(fields.acceptEncoding),
    'user-agent',
    'devin-gateway',
    'x-request-id',
    id,
    'traceparent',
    `00-${traceId}-${traceId.slice(16)}-00`,
    'via',
    '1.1 devin-gateway',
  ]
}

function bodyOf(
  { body, fields, request, exchange }: Forward,
  maxBytes: number,
  receiving: Receiving,
): Dispatcher.DispatchOptions['body'] {
  if (body !== null) {
    exchange.bytesIn = body.length
    return body.length === 0 ? null : body
  }
  if (fields.bodyLength === 0) return null
  const metered = meter(exchange, maxBytes, {
    onExceeded: () => receiving.refuse(tooLarge(maxBytes)),
    isWhole: () => !wasCutOff(request) && (fields.bodyLength === null || exchange.bytesIn === fields.bodyLength),
  })
  // undici listens to a body only while it sends it: a body that breaks before or after that would end the process.
  metered.on('error', ignore)
  request.pipe(metered)
  // The upstream may answer before it has the whole body: the rest is read and dropped, so that the caller can go on.
  metered.once('close', () => request.unpipe(metered).resume())
  request.once('close', () => {
    if (wasCutOff(request)) metered.destroy(cutOff())
  })
  return metered
}

interface MeterRules {
  readonly onExceeded: () => void
  readonly isWhole: () => boolean
}

/** Counts what passes, stops a body without declared length at the limit, and never lets a part pass for the whole. */
function meter(exchange: Exchange, maxBytes: number, { onExceeded, isWhole }: MeterRules): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      exchange.bytesIn += chunk.length
      if (exchange.bytesIn > maxBytes) {
        onExceeded()
        done(new Error('the body is larger than the limit'))
      } else done(null, chunk)
    },
    flush(done) {
      done(isWhole() ? null : cutOff())
    },
  })
}

/** An error whose consequence is drawn elsewhere: the exchange ends with its caller, the dispatch with its handler. */
function ignore(): void {}

function cutOff(): Error {
  return new Error('the caller left before the body was complete')
}
