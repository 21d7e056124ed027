// Builds the sinks of a response. An answer of the upstream passes, in this order:
//
//   leak guard (upstream-response.ts) → budget → filter → cache → idempotency → client
//
// Each sink takes what the one before it gives, and most requests have few of them.

import type { ResponseSink } from '../../cache/response-stream.ts'
import type { CacheSink } from '../../cache/cache-request.ts'
import type { RequestContext } from '../context.ts'
import type { UpstreamRequest } from '../upstream/upstream-request.ts'
import { ClientResponseWriter, type ClientSettings } from './client.ts'
import { forwardFiltered, type Send } from './filter.ts'
import { IdempotentResponse } from './idempotent.ts'
import { ReservationSink } from './reservation.ts'

export interface SinkSettings extends ClientSettings {
  /** How long the upstream may take for a create with an Idempotency-Key, with or without its caller. */
  readonly idempotentCreateMs: number
  readonly now: () => number
  readonly monotonic: () => number
}

/** From the cache to the caller. */
export function sinksToClient(context: RequestContext, settings: SinkSettings): CacheSink {
  const client = new ClientResponseWriter(context, settings)
  return context.claim === null
    ? client
    : new IdempotentResponse(context, context.claim, client, settings.idempotentCreateMs)
}

/** From the upstream to the cache. A filtered list asks several times; each call has its own way back. */
export function forwardThroughSinks(
  forward: UpstreamRequest,
  cache: ResponseSink,
  send: Send,
  clocks: SinkSettings,
): void {
  const { context } = forward
  const { reservation } = context
  const sendOnce: Send =
    reservation === null ? send : (asking, sink) => send(asking, new ReservationSink(context, sink))
  const { response } = context.decided.decision
  if (response === null) sendOnce(forward, cache)
  else forwardFiltered(sendOnce, forward, response, cache, clocks)
}
