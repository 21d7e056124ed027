// A JSON body as the policy reads it: one strict reading for requests, `explain` and policy tests alike.

import { memberAt, serializeStrictJson, type StrictJson } from '../../json/value.ts'
import { parseStrictJson } from '../../json/strict-parser.ts'

/** A body and what the policy reads in it. What was judged is what is sent: `value` is what `bytes` say. */
export interface CheckedBody {
  readonly value: StrictJson
  /** As the caller sent them, or the document written anew where a guardrail changed it. */
  readonly bytes: Buffer
  /** Values at a dotted place; `*` stands for every member of an object or array. Absent gives an empty list. */
  valuesAt(place: string): readonly unknown[]
}

/** Reads strict UTF-8 JSON. Throws `StrictJsonError`, which says what is wrong and where. */
export function parseCheckedBody(bytes: Buffer): CheckedBody {
  return judged(parseStrictJson(bytes), bytes)
}

/** A body that a person wrote as a plain value, in YAML for instance. */
export function checkedBodyOf(value: unknown): CheckedBody {
  return parseCheckedBody(Buffer.from(JSON.stringify(value)))
}

/** The body of a document that was changed. */
export function changedBody(value: StrictJson): CheckedBody {
  return judged(value, serializeStrictJson(value))
}

function judged(value: StrictJson, bytes: Buffer): CheckedBody {
  return { value, bytes, valuesAt: (place) => memberAt(value, place) }
}
