// The Fastify instance of the callers' listener, with Node's own checks set as we want them.

import { METHODS, type Server } from 'node:http'
import fastify, { type FastifyInstance } from 'fastify'
import { isOwnTarget } from '../../catalogue/target.ts'
import { withoutSchemas } from '../../no-schemas.ts'
import { checkMs, idleMs } from './connections.ts'

/** PEM text. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

export interface ServerOptions {
  /** With a certificate the instance speaks TLS, and HTTP/2 to those who offer it. */
  readonly tls: Certificate | null
  /** Longest time for the head of a request, and for a TLS handshake. */
  readonly timeouts: { readonly headMs: number; readonly handshakeMs: number }
}

/** Target and header fields of a request: names and values. */
export const mostFieldBytes = 32 * 1024
/**
 * Node silently resets the stream of an HTTP/2 request with more. So Node's bounds are set wider, and requests
 * between the two are refused as over HTTP/1.1. HTTP/2 counts 32 bytes for each field (RFC 9113, section 6.5.2).
 */
const http2FieldBounds = {
  maxHeaderListSize: 4 * mostFieldBytes,
  maxHeaderListPairs: (4 * mostFieldBytes) / 32,
} as const

/** Of a session. Clients hold back what is more; without a number they run into Node's bound on memory, which resets streams. */
const maxConcurrentStreams = 100

/** Nothing is bound yet. */
export function createFastify({ tls, timeouts }: ServerOptions): FastifyInstance {
  const options = {
    logger: false,
    exposeHeadRoutes: false,
    // Bodies have a deadline of their own, which a large upload that keeps its rate may pass.
    requestTimeout: 0,
    keepAliveTimeout: idleMs,
    // Sessions have bounds of their own.
    http2SessionTimeout: 0,
    schemaController: withoutSchemas,
    return503OnClosing: false,
    rewriteUrl: routeOf,
  } as const
  const http = {
    requireHostHeader: false,
    maxHeaderSize: mostFieldBytes,
    headersTimeout: timeouts.headMs,
    connectionsCheckingInterval: Math.min(checkMs, timeouts.headMs),
    insecureHTTPParser: false,
    // Otherwise every request without a body would have a stream that must be read to its end.
    optimizeEmptyRequests: true,
  }
  if (tls === null) return withAllFields(fastify({ ...options, http }))
  const https = {
    ...http,
    cert: tls.cert,
    key: tls.key,
    // Fastify sets these two on servers of HTTP/1 alone.
    requestTimeout: options.requestTimeout,
    keepAliveTimeout: idleMs,
    handshakeTimeout: timeouts.handshakeMs,
    allowHTTP1: true,
    maxHeaderListPairs: http2FieldBounds.maxHeaderListPairs,
    settings: { maxConcurrentStreams, maxHeaderListSize: http2FieldBounds.maxHeaderListSize },
  }
  // The instance types differ by server class only; everything used here is common to them.
  return withAllFields(fastify({ ...options, http2: true, https }) as unknown as FastifyInstance)
}

/** Node's parser of HTTP/1.1 drops fields silently beyond a number of them; here their bytes are bounded alone. */
function withAllFields(app: FastifyInstance): FastifyInstance {
  app.server.maxHeadersCount = 0
  return app
}

/** A request before it is routed. Fastify puts the target that was received beside the one it routes by. */
interface RawRequest {
  method?: string | undefined
  url?: string | undefined
  originalUrl?: string
  originalMethod?: string
}

const knownMethods: ReadonlySet<string> = new Set(METHODS)

/**
 * The router sees constant paths only: catalogue/target.ts is the only reading of a target. A method that no router knows
 * (HTTP/2 takes any) goes to the not-found handler under the name of one that no operation has.
 */
function routeOf(request: RawRequest): string {
  const { method = '' } = request
  if (!knownMethods.has(method)) {
    request.originalMethod = method
    request.method = 'TRACE'
  }
  return isOwnTarget(request.url ?? '') ? '/gateway' : '/'
}

export function methodOf({ method, originalMethod }: RawRequest): string | null {
  return originalMethod ?? method ?? null
}

export function targetOf({ originalUrl, url }: RawRequest): string {
  return originalUrl ?? url ?? ''
}

export function renewCertificate(server: Server, { cert, key }: Certificate): void {
  if ('setSecureContext' in server && typeof server.setSecureContext === 'function')
    server.setSecureContext({ cert, key })
}
