// Reading a request's body into memory: a small one so that it leaves in one write, a judged one because a rule looks at it.

import type { IncomingMessage } from 'node:http'
import { Problem } from '../problems.ts'
import { wasCutOff } from './listener/http-versions.ts'
import type { RequestContext } from './context.ts'
import type { CallerFields } from './fields.ts'
import { parseJudgedBody, type JudgedBody } from '../policy/judged-body.ts'
import { StrictJsonError, type JsonFault } from '../json/strict-parser.ts'

/** Bodies up to this many bytes are collected before they are sent: one write instead of a stream of them. */
export const smallBodyBytes = 64 * 1024
const noBody = Buffer.alloc(0)

/** A body in memory: for rules that look into it, and to know a repetition by it. */
export function collectWhole(context: RequestContext, maxBytes: number): Buffer | Promise<Buffer> {
  if (context.receivedBody !== null) return context.receivedBody
  const { bodyLength } = context.fields
  if (bodyLength !== null && bodyLength > maxBytes) throw tooLarge(maxBytes)
  return bodyLength === 0 ? noBody : collect(context, maxBytes)
}

/** A small body in memory; null for one that is better streamed. */
export function collectSmall(context: RequestContext): Buffer | null | Promise<Buffer> {
  const { bodyLength } = context.fields
  if (bodyLength === 0) return noBody
  return bodyLength === null || bodyLength > smallBodyBytes ? null : collect(context, smallBodyBytes)
}

function collect({ request, response, fields }: RequestContext, maxBytes: number): Buffer | Promise<Buffer> {
  if (fields.expectsContinue) response.writeContinue()
  return collectBody(request, fields.bodyLength, maxBytes)
}

/**
 * Collects a body of at most `maxBytes`; `declared` is its Content-Length, or null. At once where all of it has arrived, as a
 * small one has that came with its head. Else rejects with `body-too-large` (the
 * connection is given up, since the rest is unread), or with `malformed-request` when the caller leaves half way.
 */
export function collectBody(
  request: IncomingMessage,
  declared: number | null,
  maxBytes: number,
): Buffer | Promise<Buffer> {
  // By HTTP/2 a request is complete also when it was given up.
  const isHere = request.complete && !wasCutOff(request) && request.readableLength === declared
  // A stream of bytes, which are more than none.
  if (isHere && declared <= maxBytes) return request.read() as Buffer
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= maxBytes) chunks.push(chunk)
      else {
        request.pause()
        reject(tooLarge(maxBytes))
      }
    })
    request.on('end', () => {
      if (wasCutOff(request) || (declared !== null && size !== declared)) reject(incomplete())
      else resolve(chunks.length === 1 ? (chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(chunks))
    })
    request.on('error', () => reject(incomplete()))
  })
}

function incomplete(): Problem {
  return new Problem('malformed-request', 'The body ended before it was complete. Send the request again.', {
    reason: 'body-incomplete',
  })
}

/** The refusal of a body above the limit. The rest of it stays unread, so the connection cannot be used again. */
export function tooLarge(maxBytes: number): Problem {
  return new Problem(
    'body-too-large',
    `The body is larger than ${maxBytes} bytes, the most that is accepted here. Send less, or ask the operator to raise bodies.max_size or bodies.max_judged_size.`,
    {
      fields: { connection: 'close' },
    },
  )
}

/**
 * Parses a body that the policy has to look into. Judged is strict UTF-8 JSON whatever the media type says, since the
 * upstream may parse it whatever the media type says; where a guardrail bounds the body, another media type than JSON is
 * refused at once. Null for an empty body. Throws `body-unreadable`.
 */
export function judgeBody(bytes: Buffer, fields: CallerFields, jsonOnly: boolean): JudgedBody | null {
  if (bytes.length === 0) return null
  if (fields.contentEncoding !== null && fields.contentEncoding.trim().toLowerCase() !== 'identity') {
    throw unreadable('it has a content coding')
  }
  if (jsonOnly && !isDeclaredJson(fields.forward)) throw unreadable('its media type is not application/json')
  try {
    return parseJudgedBody(bytes)
  } catch (error) {
    if (error instanceof StrictJsonError) throw unreadable(error.message, reasonOf[error.fault])
    throw error
  }
}

const jsonType = /^\s*application\/(?:[a-z0-9.+-]+\+)?json\s*(?:;|$)/i

/** A body without a media type goes on as JSON. */
function isDeclaredJson(fields: readonly string[]): boolean {
  return fields.every(
    (name, index) => index % 2 === 1 || name !== 'content-type' || jsonType.test(fields[index + 1] ?? ''),
  )
}

/** Finer than the kind where the body is strict JSON and only too much of it. */
const reasonOf: Readonly<Record<JsonFault, string | undefined>> = {
  syntax: undefined,
  depth: 'body-too-deep',
  values: 'body-too-many-values',
}

function unreadable(why: string, reason?: string): Problem {
  const advice = reason === undefined ? 'Send plain strict JSON.' : 'Send a smaller document, or several requests.'
  return new Problem(
    'body-unreadable',
    `The policy has to look into this body, and cannot: ${why}. ${advice}`,
    reason === undefined ? {} : { reason },
  )
}
