// The spans of a request: one for all of it, one for each stage, one for each call to the upstream. Names of attributes are
// those of the semantic conventions for HTTP; values come from closed lists and from the policies, never from the caller.

import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Context,
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
      const span = options.tracer.startSpan('request', { kind: SpanKind.SERVER, startTime: startedAtMs }, parent)
      return new SpansOfRequest(options, server, span, parsed !== null)
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
  #stage: Span | null = null
  #call: Span | null = null
  #calls = 0

  constructor(
    options: RequestTracingOptions,
    server: Readonly<Record<string, string | number>>,
    span: Span,
    goesOn: boolean,
  ) {
    const { traceId, traceFlags } = span.spanContext()
    this.traceId = traceId
    this.isSampled = (traceFlags & TraceFlags.SAMPLED) !== 0
    this.#options = options
    this.#server = server
    this.#span = span
    this.#within = this.isSampled ? trace.setSpan(ROOT_CONTEXT, span) : ROOT_CONTEXT
    this.#goesOn = goesOn
  }

  enterStage(stage: string): void {
    if (!this.isSampled) return
    const nowMs = this.#options.monotonic()
    this.#stage?.end(nowMs)
    this.#stage = this.#child(this.#within, stage, SpanKind.INTERNAL, nowMs)
  }

  beginCall(method: string): TraceParent {
    if (!this.isSampled) return this.#parentOf(this.#span)
    const nowMs = this.#options.monotonic()
    this.#call?.setStatus({ code: SpanStatusCode.ERROR }).setAttribute(ATTR_ERROR_TYPE, 'connection-closed').end(nowMs)
    const within = this.#stage === null ? this.#within : trace.setSpan(ROOT_CONTEXT, this.#stage)
    this.#call = this.#child(within, knownMethod(method), SpanKind.CLIENT, nowMs)
    this.#call.setAttributes({ ...this.#server, [ATTR_HTTP_REQUEST_METHOD]: knownMethod(method) })
    if (this.#calls > 0) this.#call.setAttribute(ATTR_HTTP_REQUEST_RESEND_COUNT, this.#calls)
    this.#calls += 1
    return this.#parentOf(this.#call)
  }

  end(exchange: TracedExchange): void {
    if (!this.isSampled) return
    const nowMs = this.#options.monotonic()
    const route = exchange.operation?.template ?? null
    if (this.#call !== null) this.#endCall(this.#call, exchange, nowMs)
    this.#stage?.end(nowMs)
    const { problem, status, evaluation } = exchange
    const method = knownMethod(exchange.method ?? '')
    const named = method === '_OTHER' ? 'HTTP' : method
    this.#span.updateName(route === null ? named : `${named} ${route}`)
    this.#span.setAttributes({
      [ATTR_HTTP_REQUEST_METHOD]: method,
      [ATTR_URL_SCHEME]: this.#options.isSecure ? 'https' : 'http',
      [ATTR_NETWORK_PROTOCOL_VERSION]: exchange.request.httpVersion === '2.0' ? '2' : exchange.request.httpVersion,
      'gateway.decision_id': exchange.decisionId,
      'gateway.policy_revision': exchange.policy.revision,
      'gateway.stage': exchange.stage,
      ...(route === null ? {} : { [ATTR_HTTP_ROUTE]: route, [ATTR_URL_PATH]: route }),
      ...optional({
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
    this.#span.end(nowMs)
  }

  #endCall(call: Span, { operation, problem, upstreamStatus, upstreamEndedAtMs }: TracedExchange, nowMs: number): void {
    const { origin, pathPrefix } = this.#options.upstream
    const error = upstreamStatus === null ? (problem?.kind ?? null) : upstreamStatus >= 400 ? `${upstreamStatus}` : null
    call.setAttributes({
      ...optional({ [ATTR_HTTP_RESPONSE_STATUS_CODE]: upstreamStatus, [ATTR_ERROR_TYPE]: error }),
      // The template stands for the address: identifiers and query stay out.
      ...(operation === null ? {} : { [ATTR_URL_FULL]: `${origin}${pathPrefix}${operation.template}` }),
    })
    if (error !== null) call.setStatus({ code: SpanStatusCode.ERROR })
    call.end(upstreamEndedAtMs ?? nowMs)
  }

  #child(within: Context, name: string, kind: SpanKind, startTime: number): Span {
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
