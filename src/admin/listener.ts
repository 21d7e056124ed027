// The server of the listeners of operators and of health: its bounds, and what all of its answers have in common.

import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { withoutSchemas } from '../no-schemas.ts'
import { visibleLines } from '../records/visible.ts'
import { capConnections, requestBounds, type OperatorsRefusal } from './access/connection-cap.ts'

/** PEM text. */
export interface AdminCertificate {
  readonly cert: string
  readonly key: string
}

export interface ListenerParts {
  /** A request failed for a reason of the gateway's own. */
  readonly onDefect: (error: unknown) => void
  /** Default: as `requestBounds` says. */
  readonly longestRequestMs?: number
  /** A connection was closed because there are too many. */
  readonly onRefused: (reason: OperatorsRefusal) => void
}

/** On every answer that has none of its own. */
const usualFields = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }

/** What to do about a request that Fastify refuses, or that failed. */
function refusalOf(status: number): string {
  if (status >= 500) return 'The request failed; the log says more.'
  if (status === 413) return 'The body is larger than this page takes.'
  if (status === 414) return 'The address is too long for this listener. Shorten the name in its path.'
  if (status === 415) return 'The body is read as JSON alone: send it as application/json.'
  return 'The request is not one this listener takes.'
}

/** Adds routes whose JSON bodies are read as text, of so many bytes at most; others get only bodies that are dropped. */
export function withTextBodies(app: FastifyInstance, mostBytes: number, add: (scope: FastifyInstance) => void): void {
  void app.register(async (scope) => {
    scope.addContentTypeParser(
      'application/json',
      { parseAs: 'string', bodyLimit: mostBytes },
      (_request, text, done) => done(null, text),
    )
    // Dropped, it would be taken for a request that asks for nothing.
    scope.addContentTypeParser('*', (_request, payload, done) => {
      payload.resume()
      done(Object.assign(new Error('another media type'), { statusCode: 415 }))
    })
    add(scope)
  })
}

export interface AdminApp {
  /** `GET /livez` and so on. */
  readonly routes: readonly string[]
  listen(host: string, port: number): Promise<{ host: string; port: number }>
  /** For connections that begin from now on. */
  useCertificate(certificate: AdminCertificate): void
  close(): Promise<void>
}

/** Nothing is bound before `listen`. */
export function createListener(
  tls: AdminCertificate | null,
  { onRefused, onDefect, longestRequestMs }: ListenerParts,
): { readonly app: FastifyInstance; readonly listener: AdminApp } {
  const http = requestBounds(longestRequestMs)
  const options = {
    logger: false,
    forceCloseConnections: true,
    schemaController: withoutSchemas,
    // Addresses that the router does not take pass no hook.
    frameworkErrors: (
      { statusCode = 400 }: { readonly statusCode?: number },
      _request: unknown,
      reply: FastifyReply,
    ) => {
      for (const [name, value] of Object.entries(usualFields)) reply.header(name, value)
      return reply.code(statusCode).send({ error: refusalOf(statusCode) })
    },
    // Fastify sets this one itself, to no bound.
    requestTimeout: http.requestTimeout,
  } as const
  // The instance types differ by server class only; everything used here is common to them.
  const app = (tls === null
    ? fastify({ ...options, http })
    : fastify({ ...options, https: { ...http, ...tls } })) as unknown as FastifyInstance
  // Node drops fields silently beyond a number of them, also a second Host.
  app.server.maxHeadersCount = 0
  capConnections(app.server, onRefused)
  // Without a listener an error of accept(2) would end the process.
  app.server.on('error', () => {})
  // No request here needs a body; a body is dropped.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume()
    done(null)
  })
  // The text holds names that others chose, so unseen characters are escaped; the JSON value stays the same.
  app.setReplySerializer((payload) => visibleLines(JSON.stringify(payload)))
  app.addHook('onSend', (_request, reply, payload, done) => {
    for (const [name, value] of Object.entries(usualFields)) if (!reply.hasHeader(name)) reply.header(name, value)
    done(null, payload)
  })
  app.setErrorHandler((error: { statusCode?: number }, _request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) onDefect(error)
    return reply.code(status).send({ error: refusalOf(status) })
  })
  const routes: string[] = []
  app.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) if (each !== 'HEAD') routes.push(`${each} ${url}`)
  })
  const listener: AdminApp = {
    routes,
    async listen(host, port) {
      // This process alone, also where several workers share a listener.
      await app.listen({ host, port, exclusive: true })
      const address = app.server.address()
      return typeof address === 'object' && address !== null
        ? { host: address.address, port: address.port }
        : { host, port }
    },
    useCertificate({ cert, key }) {
      if ('setSecureContext' in app.server && typeof app.server.setSecureContext === 'function')
        app.server.setSecureContext({ cert, key })
    },
    close: () => app.close(),
  }
  return { app, listener }
}
