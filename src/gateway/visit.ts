// One request on its way, with what the stages of admission.ts hand on. Types only.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Target } from '../catalogue/target.ts'
import type { Exchange } from './exchange.ts'
import type { CallerFields } from './fields.ts'

export interface Visit {
  readonly exchange: Exchange
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly fields: CallerFields
  /** As it was received; a guardrail may have it sent otherwise. */
  readonly target: Target
}
