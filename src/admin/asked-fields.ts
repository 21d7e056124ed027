// What a changing call asks for, in its query or as JSON in its body.

import type { FastifyRequest } from 'fastify'
import { withActor } from './access/operator.ts'

/** Both together; what is no object in JSON has no fields, and is refused for want of them. */
export function askedFields({ query, body, operator }: FastifyRequest): Readonly<Record<string, unknown>> {
  return withActor(operator, { ...(query as Record<string, unknown>), ...objectIn(body) })
}

function objectIn(body: unknown): object {
  try {
    const found: unknown = typeof body === 'string' ? JSON.parse(body) : null
    return typeof found === 'object' && found !== null && !Array.isArray(found) ? found : {}
  } catch {
    return {}
  }
}
