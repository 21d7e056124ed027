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
  const value = parseStrictJson(bytes)
  return { value, bytes, valuesAt: (place) => memberAt(value, place) }
}

/** A body that a person wrote as a plain value, in YAML for instance. */
export function checkedBodyOf(value: unknown): CheckedBody {
  return parseCheckedBody(Buffer.from(JSON.stringify(value)))
}

/** The body of a document that was changed. It is written when its bytes are wanted: most tools never do, and a large one takes long. */
export function changedBody(value: StrictJson): CheckedBody {
  let written: Buffer | null = null
  return {
    value,
    get bytes() {
      return (written ??= serializeStrictJson(value))
    },
    valuesAt: (place) => memberAt(value, place),
  }
}
