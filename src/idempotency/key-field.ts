// The Idempotency-Key field of a request (draft-ietf-httpapi-idempotency-key-header): one structured-field string, or the
// same without quotes, as most SDKs send it.

import { Problem } from '../problems.ts'

const maxLength = 255
// RFC 9651 section 3.3.3, and parameters (3.1.2), which mean nothing here and are ignored as unknown ones are.
const quotedForm = /^"((?:[ !#-[\]-~]|\\["\\])*)"(?:; *[a-z*][a-z0-9_.*-]*(?:=(?:"[^"\\]*"|[\w:?./+*=-]+))?)*$/
/** Nothing that could be a list of two, half of a quoted one, or a part of another field. */
const bareForm = /^[\w.:/+=@~!#$%&'*^`|-]+$/

/**
 * The key in a list of fields (name and value alternating, names in lower case): 1 to 255 characters, without quotes and
 * escapes; null when there is none. Throws `malformed-request` for two fields and for a value that is neither form.
 */
export function idempotencyKeyIn(fields: readonly string[]): string | null {
  let found: string | null = null
  for (let index = 0; index < fields.length; index += 2) {
    if (fields[index] !== 'idempotency-key') continue
    if (found !== null) throw malformed('it stands there twice')
    found = keyOf(fields[index + 1] ?? '')
  }
  return found
}

function keyOf(value: string): string {
  const quoted = quotedForm.exec(value)?.[1]
  const key = quoted === undefined ? bareForm.exec(value)?.[0] : quoted.replaceAll(/\\(["\\])/g, '$1')
  if (key === undefined) throw malformed('it is no string')
  if (key.length === 0) throw malformed('it is empty')
  if (key.length > maxLength) throw malformed(`it is longer than ${maxLength} characters`)
  return key
}

function malformed(why: string): Problem {
  const detail = `The Idempotency-Key is refused because ${why}. Send one string in quotes, a UUID of your own for each create: "8e03978e-40d5-43e8-bc93-6894a57f9324".`
  return new Problem('malformed-request', detail, { reason: 'idempotency-key' })
}
