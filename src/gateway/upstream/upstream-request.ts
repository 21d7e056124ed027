// What of a request goes upstream: its fields, and the key in place of the caller's token.

import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Operation } from '../../catalogue/operation.ts'
import type { Target } from '../../catalogue/target.ts'
import { acceptedCodings, sharedCoding } from '../../http/accept-encoding.ts'
import type { KeyVersion } from '../../keys/keyring.ts'
import type { Precedence } from '../../limits/precedence.ts'
import type { TraceParent } from '../../telemetry/trace.ts'
import type { RequestContext } from '../context.ts'
import type { CallerFields } from '../fields.ts'

/** Everything the upstream gets to see of a request. */
export interface UpstreamRequest {
  readonly context: RequestContext
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
  readonly precedence: Precedence
}

/** A request of the gateway's own. */
export interface OwnRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly target: string
  /** JSON; null for none. */
  readonly body: string | null
  /** Asks for the key's own sake: a rejection is told, and does not set the key aside. */
  readonly isCheck?: boolean
}

/** This is the only place where a key's value is opened. */
function credentialOf({ secret }: KeyVersion, origin: string): string {
  return `Bearer ${secret.reveal(origin)}`
}

/** The fields of a request to the upstream, name and value alternating. */
export function fieldsOf(forward: UpstreamRequest, origin: string): string[] {
  const { context, method, shared, version } = forward
  const credential = credentialOf(version, origin)
  const trace = context.trace?.beginCall(method) ?? null
  return shared === null ? ownFields(forward, credential, trace) : sharedFields(forward, shared, credential, trace)
}

export function ownFieldsOf(version: KeyVersion, origin: string, requestId: string, hasBody: boolean): string[] {
  return [
    'authorization',
    credentialOf(version, origin),
    'accept',
    'application/json',
    'user-agent',
    'devin-gateway',
    'x-request-id',
    requestId,
    ...(hasBody ? ['content-type', 'application/json'] : []),
  ]
}

/** The caller's allowed fields plus ours. */
function ownFields(
  { fields, context, body, request, operation }: UpstreamRequest,
  credential: string,
  trace: TraceParent | null,
): string[] {
  const list = [
    ...(trace === null ? fields.forward : tracedFields(fields.forward, trace)),
    'authorization',
    credential,
    'accept-encoding',
    // A coded stream of events could only be looked into in large pieces.
    operation.streaming ? 'identity' : acceptedCodings(fields.acceptEncoding),
    'x-request-id',
    context.requestId,
    'via',
    `${request.httpVersion} devin-gateway`,
  ]
  if (body === null && fields.bodyLength !== null && fields.bodyLength > 0)
    list.push('content-length', String(fields.bodyLength))
  return list
}

/** The caller's trace context gives way to ours; its `tracestate` belongs to a trace that goes on, and is dropped with another. */
function tracedFields(fields: readonly string[], { traceparent, goesOn }: TraceParent): string[] {
  const list = ['traceparent', traceparent]
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] ?? ''
    if (name !== 'traceparent' && (goesOn || name !== 'tracestate')) list.push(name, fields[index + 1] ?? '')
  }
  return list
}

/**
 * What the cache says plus ours: nothing that the caller could have put there, as others may get the answer. Ids are new ones,
 * so the answer can show none of the caller's; the record of the exchange holds them. With telemetry the call belongs to the
 * trace of the request that made it, and nothing else of that request goes along.
 */
function sharedFields(
  { context }: UpstreamRequest,
  shared: readonly string[],
  credential: string,
  trace: TraceParent | null,
): string[] {
  const id = randomUUID()
  const traceId = id.replaceAll('-', '')
  context.upstreamRequestId = id
  return [
    ...shared,
    'authorization',
    credential,
    'accept-encoding',
    sharedCoding,
    'user-agent',
    'devin-gateway',
    'x-request-id',
    id,
    'traceparent',
    trace?.traceparent ?? `00-${traceId}-${traceId.slice(16)}-00`,
    'via',
    '1.1 devin-gateway',
  ]
}
