// Parses a body that the policy has to read, or says why it cannot.

import { StrictJsonError, type JsonFault } from '../../json/strict-json-error.ts'
import { parseCheckedBody, type CheckedBody } from '../../policy/decision/checked-body.ts'
import { Problem } from '../../problems.ts'
import type { CallerFields } from '../fields.ts'

/**
 * Parses a body that the policy has to read. It must be strict UTF-8 JSON whatever its media type, since the upstream
 * may parse it as JSON anyway; where a guardrail bounds the body, another media type than JSON is refused at once.
 * Null for an empty body. Throws `body-unreadable`.
 */
export function judgeBody(bytes: Buffer, fields: CallerFields, jsonOnly: boolean): CheckedBody | null {
  if (bytes.length === 0) return null
  if (fields.contentEncoding !== null && fields.contentEncoding.trim().toLowerCase() !== 'identity') {
    throw unreadable('it has a content coding')
  }
  if (jsonOnly && !isDeclaredJson(fields.forward)) throw otherType()
  try {
    return parseCheckedBody(bytes)
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

/** The JSON itself may be right: many clients declare a form unless they are told otherwise. */
function otherType(): Problem {
  return new Problem(
    'body-unreadable',
    'The policy has to read this body as JSON, and its media type is not application/json. Send JSON with `Content-Type: application/json`.',
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
    `The policy has to read this body, and cannot: ${why}. ${advice}`,
    reason === undefined ? {} : { reason },
  )
}
