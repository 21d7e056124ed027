// One request from its raw target to its answer: route, key, permission, body, handler. The server only listens and sends.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { devinApi, type OperationEntry } from '../../../catalogue/data.ts'
import { ANSWERED, Answer, ApiError, encodeAnswer, jsonAnswer, notFound, problemAnswer } from './answers.ts'
import { auditEntry } from '../company/audit.ts'
import { isUpload, readBody } from './bodies.ts'
import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE } from '../state/item.ts'
import { authorize, authorizeBody } from '../company/credentials.ts'
import type { ServiceUser } from '../company/directory.ts'
import { OBJECTS_PATH, type ObjectStore } from '../state/objects.ts'
import { compileRoutes, unquote } from './routing.ts'
import type { State } from '../state/state.ts'

/** What the responder reads of an arrived request, and the one thing it finds out. */
export interface Arrival {
  readonly method: string
  /** The request target byte for byte. */
  readonly target: string
  /** Set when a valid key came along. */
  serviceUser: string | null
}

interface Parts {
  readonly state: State
  readonly objects: ObjectStore
  readonly handlers: Handlers
  readonly now: () => number
}

/** Answers one request; ANSWERED when the handler wrote to the response itself. */
export type Responder = (
  request: IncomingMessage,
  response: ServerResponse,
  arrival: Arrival,
) => Promise<Answer | typeof ANSWERED>

/** Builds the function that answers requests. It never rejects: whatever goes wrong becomes a problem document. */
export function createResponder(parts: Parts): Responder {
  const route = compileRoutes(devinApi.operations)
  return async (request, response, arrival) => {
    const [rawPath = '', rawQuery = ''] = splitTarget(arrival.target)
    const path = unquote(rawPath)
    const query = new URLSearchParams(rawQuery)
    if (path.startsWith(OBJECTS_PATH)) return parts.objects.serve(path, query, parts.now())
    const match = route(arrival.method, path)
    if (match === null) return jsonAnswer(404, { detail: 'Not Found' })
    if ('allowed' in match) {
      const refused = jsonAnswer(405, { detail: 'Method Not Allowed' })
      return new Answer(405, { ...refused.headers, allow: match.allowed.join(', ') }, refused.body)
    }
    try {
      const caller = parts.state.keyring.authenticate(request.headers.authorization, Math.floor(parts.now() / 1000))
      arrival.serviceUser = caller.id
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
