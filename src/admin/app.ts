// The operators' listener: health, metrics, status, purge and reload. Nothing here is given a secret, so nothing can show one.

import { isIP } from 'node:net'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { withoutSchemas } from '../no-schemas.ts'
import type { PoliciesView, Purged } from './views.ts'
import { addBlocksApi, type BlocksApi } from './blocks-api.ts'
import { addRotationsApi, type RotationsApi } from './rotations-api.ts'
import type { CheckpointOutcome } from '../records/checkpoints/checkpoints.ts'
import { addConsoleApi, addExplainApi, type ConsoleParts } from './console/routes.ts'
import { visibleLines } from '../records/visible.ts'

export interface Readiness {
  readonly ready: boolean
  /** Why it is not ready, one line each. */
  readonly reasons: readonly string[]
  /** Problems that do not make the instance unready; absent when there are none. */
  readonly notes?: readonly string[]
}

export interface AdminParts {
  readonly readiness: () => Readiness
  /** The metrics in one of the formats that a scraper accepts. */
  readonly metrics: { page(accept: string): Promise<{ readonly type: string; readonly text: string }> }
  readonly status: () => unknown
  readonly keys: () => unknown
  /** The policies in force, as their files say them. */
  readonly policies: () => PoliciesView
  readonly blocks: BlocksApi
  readonly rotations: RotationsApi
  readonly console: ConsoleParts
  /** Every budget that is not of a single caller; null while their state is unknown. */
  readonly budgets: () => Promise<readonly unknown[] | null>
  /** Signs the head of the audit log now; null where no checkpoints are configured. */
  readonly checkpoint: () => Promise<CheckpointOutcome | null>
  /** What the shadow set decides otherwise; null where there is none. */
  readonly shadow: () => unknown
  /** Drops stored answers about an organization or a resource, on all instances. */
  readonly purge: (
    what: { readonly organization: string } | { readonly resource: string },
    actor: string,
  ) => Promise<Purged>
  /** Reloads policies, secrets and certificate now. `certificate`: `read` again, or the one before was `kept`; absent when there is none. */
  readonly reload: (actor: string) => Promise<{
    result: string
    certificate?: 'read' | 'kept'
    /** Absent where there is no shadow set. A refused one does not make the reload fail. */
    shadow?: { result: string; diagnostics: readonly string[] }
    diagnostics: readonly string[]
  }>
}

export interface AdminApp {
  /** `GET /livez` and so on. */
  readonly routes: readonly string[]
  listen(host: string, port: number): Promise<{ host: string; port: number }>
  close(): Promise<void>
}

/** Builds the listener; nothing is bound before `listen`. */
export function createAdminApp(parts: AdminParts): AdminApp {
  const app = fastify({ logger: false, forceCloseConnections: true, schemaController: withoutSchemas })
  const routes: string[] = []
  app.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) if (each !== 'HEAD') routes.push(`${each} ${url}`)
  })
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
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
    done(null, payload)
  })
  app.get('/livez', (_request, reply) => reply.type('text/plain').send('ok\n'))
  app.get('/readyz', (_request, reply) => {
    const readiness = parts.readiness()
    return reply.code(readiness.ready ? 200 : 503).send(readiness)
  })
  app.get('/metrics', async ({ headers }, reply) => {
    const { type, text } = await parts.metrics.page(headers.accept ?? '')
    return reply.type(type).send(text)
  })
  void app.register((api, _options, done) => {
    guardedApi(api, parts)
    done()
  })
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({
      error: `There are ${routes.map((route) => route.replace(/^GET /, '')).join(', ')} here. docs/admin-api.yaml describes them.`,
    }),
  )
  app.setErrorHandler((error: { statusCode?: number }, _request, reply) => {
    const status = error.statusCode ?? 500
    return reply.code(status).send({
      error: status < 500 ? 'The request is not one this listener takes.' : 'The request failed; the log says more.',
    })
  })
  return {
    routes,
    async listen(host, port) {
      // This process alone, also where several workers share a listener.
      await app.listen({ host, port, exclusive: true })
      const address = app.server.address()
      return typeof address === 'object' && address !== null
        ? { host: address.address, port: address.port }
        : { host, port }
    },
    close: () => app.close(),
  }
}

/** A page in a browser can send requests here under a name of its own (DNS rebinding): only addresses and localhost may. */
function guardedApi(app: FastifyInstance, parts: AdminParts): void {
  app.addHook('onRequest', (request, reply, done) => {
    if (isAddressed(request) && isOwnOrigin(request)) done()
    else
      void reply.code(403).send({
        error:
          "Use the listener's address, not a name, and no page of another site, to reach the API of the operators.",
      })
  })
  app.get('/api/status', (_request, reply) => reply.send(parts.status()))
  app.get('/api/keys', (_request, reply) => reply.send(parts.keys()))
  app.get<{ Querystring: Record<string, unknown> }>('/api/policies', (request, reply) => {
    const { revision, files, ...state } = parts.policies()
    // `diff` needs the texts, and the console does not.
    const named = request.query['files'] === 'names' ? files.map(({ name }) => ({ name })) : files
    return reply.send({ revision, files: named, ...state })
  })
  app.get('/api/budgets', async (_request, reply) => {
    const budgets = await parts.budgets()
    return budgets === null
      ? reply.code(503).send({ error: 'Where budgets are kept cannot be read at the moment; the log says why.' })
      : reply.send(budgets)
  })
  void app.register((scope, _options, done) => {
    addBlocksApi(scope, parts.blocks)
    done()
  })
  void app.register((scope, _options, done) => {
    addRotationsApi(scope, parts.rotations)
    done()
  })
  addConsoleApi(app, parts.console)
  void app.register((scope, _options, done) => {
    addExplainApi(scope, parts.console.explain)
    done()
  })
  app.get('/api/shadow', (_request, reply) => {
    const shadow = parts.shadow()
    return shadow === null
      ? reply.code(404).send({
          error:
            'There is no shadow set: name its directory as shadow_policies in config/gateway.yaml, and start again.',
        })
      : reply.send(shadow)
  })
  app.post<{ Querystring: Record<string, unknown> }>('/api/purge', async (request, reply) => {
    const { organization, resource, ...rest } = request.query
    const actor = "operators' listener"
    if (typeof organization === 'string' && resource === undefined && Object.keys(rest).length === 0)
      return reply.send(await parts.purge({ organization }, actor))
    if (typeof resource === 'string' && organization === undefined && Object.keys(rest).length === 0)
      return reply.send(await parts.purge({ resource }, actor))
    return reply.code(400).send({ error: 'Say what to drop: /api/purge?organization=ID or /api/purge?resource=ID.' })
  })
  app.post('/api/audit/checkpoint', async (_request, reply) => {
    const outcome = await parts.checkpoint()
    if (outcome === null)
      return reply.code(404).send({
        error:
          'No checkpoints are configured: name a key and places as checkpoints in config/gateway.yaml, and start again.',
      })
    return reply.code('error' in outcome ? 503 : 200).send(outcome)
  })
  app.post('/api/reload', async (_request, reply) => {
    const outcome = await parts.reload("operators' listener")
    const done = (outcome.result === 'replaced' || outcome.result === 'unchanged') && outcome.certificate !== 'kept'
    return reply.code(done ? 200 : 409).send(outcome)
  })
}

/** Browsers name the site whose page sends a request; command-line tools name none. */
function isOwnOrigin({ headers }: FastifyRequest): boolean {
  return headers.origin === undefined || headers.origin === `http://${headers.host ?? ''}`
}

function isAddressed(request: FastifyRequest): boolean {
  const host = (request.headers.host ?? '')
    .toLowerCase()
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
  return host === 'localhost' || isIP(host) !== 0
}
