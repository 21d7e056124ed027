// What a changing call asks for, in its query or as JSON in its body.

import type { FastifyRequest } from 'fastify'
import { parseObject } from '../json/untyped.ts'
import { withActor } from './access/operator.ts'

/** Both together; what is no object in JSON has no fields, and is refused for want of them. */
export function askedFields({ query, body, operator }: FastifyRequest): Readonly<Record<string, unknown>> {
  return withActor(operator, {
    ...(query as Record<string, unknown>),
    ...(typeof body === 'string' ? parseObject(body) : null),
  })
}
