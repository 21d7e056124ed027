// Refusals of the listener before there is a request.

import { Problem } from '../../problems.ts'
import type { ConnectionRefusal } from './caps.ts'

const texts: Readonly<Record<ConnectionRefusal, string>> = {
  'too-many': 'The gateway holds as many connections as it may. Close idle ones, and try again after Retry-After.',
  'too-many-of-address':
    'Your address holds as many connections as it may. Reuse them or close idle ones, and try again after Retry-After.',
  'no-descriptors': 'The gateway has no file descriptors left for connections. Try again after Retry-After.',
  'not-accepted': 'The system of the gateway could not take the connection. Try again after Retry-After.',
}

export function connectionRefused(reason: ConnectionRefusal): Problem {
  return new Problem('overloaded', texts[reason], {
    reason: `connections-${reason}`,
    fields: { 'retry-after': '1', connection: 'close' },
  })
}
