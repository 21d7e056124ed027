// The server of the listeners of operators and of health: its bounds, and what all of its answers have in common.

import fastify, { type FastifyInstance } from 'fastify'
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

/** Adds routes whose JSON bodies are read as text, of so many bytes at most; bodies of others are dropped. */
export function withTextBodies(app: FastifyInstance, mostBytes: number, add: (scope: FastifyInstance) => void): void {
  void app.register(async (scope) => {
    scope.addContentTypeParser(
      'application/json',
      { parseAs: 'string', bodyLimit: mostBytes },
      (_request, text, done) => done(null, text),
    )
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
    // Fastify sets this one itself, to no bound.
    requestTimeout: http.requestTimeout,
  } as const
  // The instance types differ by server class only; everything used here is common to them.
  const app = (tls === null
    ? fastify({ ...options, http })
    : fastify({ ...options, https: { ...http, ...tls } })) as unknown as FastifyInstance
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
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
    reply.header('x-content-type-options', 'nosniff')
    done(null, payload)
  })
  app.setErrorHandler((error: { statusCode?: number }, _request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) onDefect(error)
    return reply.code(status).send({
      error: status < 500 ? 'The request is not one this listener takes.' : 'The request failed; the log says more.',
    })
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
