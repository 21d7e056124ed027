// A JSON body as the policy reads it: one strict reading for requests, `explain` and policy tests alike.

import type { JudgedBody } from './evaluate.ts'
import { memberAt, parseStrictJson } from './strict-json.ts'

/** Reads strict UTF-8 JSON. Throws `StrictJsonError`, which says what is wrong and where. */
export function parseJudgedBody(bytes: Buffer): JudgedBody {
  const value = parseStrictJson(bytes)
  return { valuesAt: (place) => memberAt(value, place) }
}

/** A body that a person wrote as a plain value, in YAML for instance. */
export function judgedBodyOf(value: unknown): JudgedBody {
  return parseJudgedBody(Buffer.from(JSON.stringify(value)))
}
