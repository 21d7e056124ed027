// What a changing call asks for, in its query or as JSON in its body.

import type { FastifyRequest } from 'fastify'
import { StrictJsonError } from '../json/strict-json-error.ts'
import { parseStrictJson } from '../json/strict-parser.ts'
import { parseObject } from '../json/untyped.ts'
import { withActor } from './access/operator.ts'

type Fields = Readonly<Record<string, unknown>>

/** Both together, or what is wrong with them, as a sentence: of a field that is said twice nobody knows which one is meant. */
export function askedFields({
  query,
  body,
  operator,
}: FastifyRequest): { readonly fields: Fields } | { readonly error: string } {
  const inQuery = query as Fields
  const inBody = typeof body === 'string' && body.trim() !== '' ? fieldsIn(body) : {}
  if (typeof inBody === 'string') return { error: inBody }
  const [twice] = Object.keys(inBody).filter((name) => Object.hasOwn(inQuery, name))
  if (twice !== undefined) return { error: `${twice}: say it once, in the query or in the body` }
  return { fields: withActor(operator, { ...inQuery, ...inBody }) }
}

function fieldsIn(text: string): Fields | string {
  try {
    parseStrictJson(Buffer.from(text))
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error
    return `the body cannot be read: ${error.message}`
  }
  return parseObject(text) ?? 'the body is no object in JSON: write its fields as docs/admin-api.yaml describes them'
}
