// What the gateway tells of a request for its trace. Without telemetry nothing else of this part is loaded.

import type { IncomingHttpHeaders } from 'node:http'

/** A finished exchange, as far as a trace shows it: no address, no field, no body, no text of the caller's. */
export interface TracedExchange {
  readonly decisionId: string
  readonly request: { readonly httpVersion: string }
  readonly method: string | null
  readonly operation: { readonly id: string; readonly template: string } | null
  readonly ownPage: string | null
  readonly status: number | null
  readonly aborted: boolean
  readonly brokenOff: boolean
  readonly cache: string | null
  readonly stage: string
  readonly problem: { readonly kind: string; readonly status: number } | null
  readonly evaluation: {
    readonly decision: {
      readonly effect: 'allow' | 'deny'
      readonly reason: string
      readonly team: { readonly id: string } | null
    }
  } | null
  readonly keyVersion: { readonly handle: { readonly id: string } } | null
  readonly policy: { readonly revision: string }
  readonly upstreamStatus: number | null
  readonly upstreamEndedAtMs: number | null
}

/** The trace context for a call (W3C Trace Context); `goesOn`: it is the caller's trace, which its `tracestate` belongs to. */
export interface TraceParent {
  readonly traceparent: string
  readonly goesOn: boolean
}

export interface RequestTrace {
  readonly traceId: string
  /** It is exported. */
  readonly isSampled: boolean
  enterStage(stage: string): void
  /** A call to the upstream begins; a call before it has failed and is repeated. */
  beginCall(method: string): TraceParent
  /** Nothing is left to do. */
  end(exchange: TracedExchange): void
}

export interface Tracing {
  /** `startedAtMs`: by the monotonic clock. */
  begin(fields: IncomingHttpHeaders, startedAtMs: number): RequestTrace
}

/** Spans since start: taken by the collector, and lost because it was slow or away, or rejected them. */
export interface SpanCounts {
  readonly exported: number
  readonly dropped: number
}
