// Access to the operators' listener of one of several workers: only the parent of the pool, which has let the operator in.

import { timingSafeEqual } from 'node:crypto'
import { json, type Access } from './access.ts'
import type { Operator } from './operator.ts'

/** Sent by the parent: the secret of the worker, and who is signed in. */
export const poolFields = { secret: 'gateway-pool', operator: 'gateway-operator' } as const

export function createPoolAccess(secret: string): Access {
  const wanted = Buffer.from(secret)
  const refused = json(403, { error: 'This listener is one of several workers: ask the listener of listen.admin.' })
  return {
    async enter({ headers }) {
      const given = Buffer.from(String(headers[poolFields.secret] ?? ''))
      if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return { answer: refused }
      return { operator: operatorIn(String(headers[poolFields.operator] ?? '')) }
    },
    session: async () => refused,
  }
}

/** Who is signed in, as the parent tells its workers; names may hold any character. */
export function operatorField(operator: Operator | null): string {
  return encodeURIComponent(JSON.stringify(operator))
}

function operatorIn(field: string): Operator | null {
  // Written by the parent, whom the secret has proved.
  return field === '' ? null : (JSON.parse(decodeURIComponent(field)) as Operator | null)
}
