// Stage: the caller's header fields and the request target, read once. Refuses malformed requests.

import { readTarget } from '../../catalogue/target.ts'
import { authorizationField } from '../../identity/token-form.ts'
import { bodyOfRead } from '../../policy/decision/evaluate.ts'
import type { RequestContext } from '../context.ts'
import { readCallerFields } from '../fields.ts'
import { checkFieldBytes, checkVersion, holdsToken, tokenInQuery } from '../refusals/request.ts'
import type { StageResult } from './stage.ts'

export function readRequest(context: RequestContext): StageResult {
  const { request, rawTarget } = context
  // Recorded also where the target cannot be read. An absolute address may hold a password before its path.
  if (rawTarget.startsWith('/')) context.path = rawTarget.split('?', 1)[0] ?? null
  checkVersion(request)
  checkFieldBytes(request)
  const fields = readCallerFields(request)
  if (fields.requestId !== null) context.requestId = fields.requestId
  context.traceId = context.trace?.traceId ?? fields.traceId
  // CONNECT names an authority, which is not a path and belongs to no operation (RFC 9110 section 9.3.6).
  const target =
    context.method === 'CONNECT' ? { path: rawTarget, segments: [], query: '' } : readTarget(rawTarget, fields.host)
  context.path = target.path
  context.wasRead(fields, target)
  if (fields.bodyLength !== 0 && context.isRead) return bodyOfRead()
  if (holdsToken(target.query, authorizationField(request.rawHeaders))) return tokenInQuery()
  return undefined
}
