// The spans of a request: one for all of it, one for each stage, one for each call to the upstream. Names of attributes are
// those of the semantic conventions for HTTP; values come from closed lists and from the policies, never from the caller.

import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Context,
  type HrTime,
  type Span,
  type Tracer,
} from '@opentelemetry/api'
import { parseTraceParent } from '@opentelemetry/core'
import {
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_REQUEST_RESEND_COUNT,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_HTTP_ROUTE,
  ATTR_NETWORK_PROTOCOL_VERSION,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  ATTR_URL_FULL,
  ATTR_URL_PATH,
  ATTR_URL_SCHEME,
} from '@opentelemetry/semantic-conventions'
import type { RequestTrace, TracedExchange, TraceParent, Tracing } from './trace.ts'

export interface RequestTracingOptions {
  readonly tracer: Tracer
  readonly upstream: { readonly origin: string; readonly pathPrefix: string }
  /** Whether callers connect by TLS. */
  readonly isSecure: boolean
  readonly now: () => number
  readonly monotonic: () => number
}

/** Methods that the conventions know; a caller can write any other word. */
const methods = new Set(['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'QUERY', 'TRACE'])

export function createRequestTracing(options: RequestTracingOptions): Tracing {
  const { hostname, port, protocol } = new URL(options.upstream.origin)
  const server = {
    [ATTR_SERVER_ADDRESS]: hostname,
    [ATTR_SERVER_PORT]: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
  }
  return {
    begin({ traceparent }, startedAtMs) {
      // A repeated field is joined to a text that is no trace context.
      const parsed = typeof traceparent === 'string' ? parseTraceParent(traceparent) : null
      // Only what is defined of the flags, and no trace state: it would be text of the caller's in every span.
      const parent =
        parsed === null
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, {
              ...parsed,
              traceFlags: parsed.traceFlags & TraceFlags.SAMPLED,
              isRemote: true,
            })
      // One reading of both clocks for all spans: the library takes one for each, and the spans would not lie within each other.
      const clockMs = options.now() - options.monotonic()
      const startTime = timeOf(clockMs + startedAtMs)
      const span = options.tracer.startSpan('request', { kind: SpanKind.SERVER, startTime }, parent)
      return new SpansOfRequest(options, server, span, parsed !== null, clockMs)
    },
  }
}

class SpansOfRequest implements RequestTrace {
  readonly traceId: string
  readonly isSampled: boolean
  readonly #options: RequestTracingOptions
  readonly #server: Readonly<Record<string, string | number>>
  readonly #span: Span
  /** What stages are children of. */
  readonly #within: Context
  readonly #goesOn: boolean
  /** What the wall clock is ahead of the monotonic one. */
  readonly #clockMs: number
  #stage: Span | null = null
  #call: Span | null = null
  #calls = 0

  constructor(
    options: RequestTracingOptions,
    server: Readonly<Record<string, string | number>>,
    span: Span,
    goesOn: boolean,
    clockMs: number,
  ) {
    const { traceId, traceFlags } = span.spanContext()
    this.traceId = traceId
    this.isSampled = (traceFlags & TraceFlags.SAMPLED) !== 0
    this.#options = options
    this.#server = server
    this.#span = span
    this.#within = this.isSampled ? trace.setSpan(ROOT_CONTEXT, span) : ROOT_CONTEXT
    this.#goesOn = goesOn
    this.#clockMs = clockMs
  }

  enterStage(stage: string): void {
    if (!this.isSampled) return
    const now = this.#now()
    this.#stage?.end(now)
    this.#stage = this.#child(this.#within, stage, SpanKind.INTERNAL, now)
  }

  beginCall(method: string): TraceParent {
    if (!this.isSampled) return this.#parentOf(this.#span)
    const now = this.#now()
    this.#call?.setStatus({ code: SpanStatusCode.ERROR }).setAttribute(ATTR_ERROR_TYPE, 'connection-closed').end(now)
    const within = this.#stage === null ? this.#within : trace.setSpan(ROOT_CONTEXT, this.#stage)
    this.#call = this.#child(within, knownMethod(method), SpanKind.CLIENT, now)
    this.#call.setAttributes({ ...this.#server, [ATTR_HTTP_REQUEST_METHOD]: knownMethod(method) })
    if (this.#calls > 0) this.#call.setAttribute(ATTR_HTTP_REQUEST_RESEND_COUNT, this.#calls)
    this.#calls += 1
    return this.#parentOf(this.#call)
  }

  end(exchange: TracedExchange): void {
    if (!this.isSampled) return
    const now = this.#now()
    const route = exchange.operation?.template ?? null
    if (this.#call !== null) this.#endCall(this.#call, exchange, now)
    this.#stage?.end(now)
    const { problem, status, evaluation } = exchange
    const method = knownMethod(exchange.method ?? '')
    const named = method === '_OTHER' ? 'HTTP' : method
    this.#span.updateName(route === null ? named : `${named} ${route}`)
    this.#span.setAttributes({
      [ATTR_HTTP_REQUEST_METHOD]: method,
      [ATTR_URL_SCHEME]: this.#options.isSecure ? 'https' : 'http',
      'gateway.decision_id': exchange.decisionId,
      'gateway.policy_revision': exchange.policy.revision,
      'gateway.stage': exchange.stage,
      ...(route === null ? {} : { [ATTR_HTTP_ROUTE]: route, [ATTR_URL_PATH]: route }),
      ...optional({
        [ATTR_NETWORK_PROTOCOL_VERSION]: protocolOf(exchange.request.httpVersion),
        [ATTR_HTTP_RESPONSE_STATUS_CODE]: status,
        [ATTR_ERROR_TYPE]: errorOf(exchange),
        'gateway.operation': exchange.operation?.id ?? exchange.ownPage,
        'gateway.team': evaluation?.decision.team?.id ?? null,
        'gateway.effect': evaluation?.decision.effect ?? null,
        'gateway.reason': evaluation?.decision.reason ?? null,
        'gateway.key': exchange.keyVersion?.handle.id ?? null,
        'gateway.cache': exchange.cache,
        'gateway.problem': problem?.kind ?? null,
      }),
    })
    if (exchange.brokenOff || (status ?? problem?.status ?? 0) >= 500)
      this.#span.setStatus({ code: SpanStatusCode.ERROR })
    this.#span.end(now)
  }

  #endCall(call: Span, exchange: TracedExchange, now: HrTime): void {
    const { origin, pathPrefix } = this.#options.upstream
    const { operation, upstreamStatus, upstreamEndedAtMs } = exchange
    const error = errorOfCall(exchange)
    call.setAttributes({
      ...optional({ [ATTR_HTTP_RESPONSE_STATUS_CODE]: upstreamStatus, [ATTR_ERROR_TYPE]: error }),
      // The template stands for the address: identifiers and query stay out.
      ...(operation === null ? {} : { [ATTR_URL_FULL]: `${origin}${pathPrefix}${operation.template}` }),
    })
    if (error !== null) call.setStatus({ code: SpanStatusCode.ERROR })
    call.end(upstreamEndedAtMs === null ? now : timeOf(this.#clockMs + upstreamEndedAtMs))
  }

  #now(): HrTime {
    return timeOf(this.#clockMs + this.#options.monotonic())
  }

  #child(within: Context, name: string, kind: SpanKind, startTime: HrTime): Span {
    return this.#options.tracer.startSpan(name, { kind, startTime }, within)
  }

  #parentOf(span: Span): TraceParent {
    const { traceId, spanId } = span.spanContext()
    return { traceparent: `00-${traceId}-${spanId}-0${this.isSampled ? 1 : 0}`, goesOn: this.#goesOn }
  }
}

function knownMethod(method: string): string {
  return methods.has(method) ? method : '_OTHER'
}

/** Seconds and nanoseconds since the epoch. */
function timeOf(epochMs: number): HrTime {
  const seconds = Math.floor(epochMs / 1000)
  return [seconds, Math.round((epochMs - seconds * 1000) * 1e6)]
}

/** Null where the request could not be read. */
function protocolOf(httpVersion: string): string | null {
  if (httpVersion === '2.0') return '2'
  return httpVersion === '' ? null : httpVersion
}

/** A status says more than what became of it; an answer that began well may break off, or hold what no caller may get. */
function errorOfCall({ problem, upstreamStatus }: TracedExchange): string | null {
  if (upstreamStatus !== null && upstreamStatus >= 400) return String(upstreamStatus)
  if (problem === null) return null
  return upstreamStatus === null || problem.kind.startsWith('upstream-') ? problem.kind : null
}

/** Of the server's side only failures are errors; a refused caller is none. */
function errorOf({ aborted, brokenOff, problem, status }: TracedExchange): string | null {
  if (problem !== null && (brokenOff || problem.status >= 500)) return problem.kind
  if (status !== null && status >= 500) return String(status)
  return aborted ? 'caller-left' : null
}

function optional(attributes: Readonly<Record<string, string | number | null>>): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(attributes).filter((entry): entry is [string, string | number] => entry[1] !== null),
  )
}
