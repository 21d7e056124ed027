// The operators' listener: health, metrics, status, purge and reload. Nothing here is given a secret, so nothing can show one.

import type { FastifyInstance, FastifyReply } from 'fastify'
import type { PoliciesView, Purged } from './views.ts'
import { sessionRoutes, type Access } from './access/access.ts'
import {
  actorOf,
  isChange,
  reasonIn,
  type AskedChange,
  type BlockableOperator,
  type Operator,
} from './access/operator.ts'
import { enterHealth, operatorBlocked, refusal } from './access/refusals.ts'
import { accessRequestOf, type AccessAnswer } from './access/request.ts'
import { addBlocksApi, type BlocksApi } from './blocks-api.ts'
import { addRotationsApi, type RotationsApi } from './rotations-api.ts'
import type { CheckpointOutcome } from '../records/checkpoints/checkpoints.ts'
import { consolePage, consoleRequestOf } from './console/pages.ts'
import { addConsoleApi, addExplainApi, type ConsoleParts } from './console/routes.ts'
import { createListener, withTextBodies, type AdminApp, type AdminCertificate, type ListenerParts } from './listener.ts'

export interface Readiness {
  readonly ready: boolean
  /** Why it is not ready, one line each. */
  readonly reasons: readonly string[]
  /** Problems that do not make the instance unready; absent when there are none. */
  readonly notes?: readonly string[]
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Who uses the operators' listener; null for pages that are open to everybody. */
    operator: Operator | null
  }
}

export interface HealthParts extends ListenerParts {
  readonly readiness: () => Readiness
  /** The metrics in one of the formats that a scraper accepts. */
  readonly metrics: { page(accept: string): Promise<{ readonly type: string; readonly text: string }> }
}

export interface AdminParts extends HealthParts {
  readonly access: Access
  /** Null: plain HTTP. */
  readonly tls: AdminCertificate | null
  readonly isBlocked: (caller: BlockableOperator) => boolean
  /** Learns of each change that was asked for, and the status of its answer. */
  readonly onChange: (operator: Operator, change: AskedChange) => void
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
  readonly reload: (actor: string) => Promise<ReloadAnswer>
}

export interface ReloadAnswer {
  readonly result: string
  readonly certificate?: 'read' | 'kept'
  /** Absent where there is no shadow set. A refused one does not make the reload fail. */
  readonly shadow?: { readonly result: string; readonly diagnostics: readonly string[] }
  readonly diagnostics: readonly string[]
}

/** Builds the listener; nothing is bound before `listen`. */
export function createAdminApp(parts: AdminParts): AdminApp {
  const { app, listener } = createListener(parts.tls, parts)
  addWayIn(app, parts)
  addHealth(app, parts)
  addSession(app, parts)
  addConsole(app)
  void app.register(async (api) => addApi(api, parts))
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({
      error: `There are ${listener.routes.map((route) => route.replace(/^GET /, '')).join(', ')} here. docs/admin-api.yaml describes them.`,
    }),
  )
  return listener
}

/** A listener of health and metrics alone, for other machines. */
export function createHealthApp(parts: HealthParts): AdminApp {
  const { app, listener } = createListener(null, parts)
  app.addHook('onRequest', async ({ raw }, reply) => {
    const entered = enterHealth(accessRequestOf(raw))
    if ('answer' in entered) return await write(reply, entered.answer)
  })
  addHealth(app, parts)
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({ error: 'There are /livez, /readyz and /metrics here.' }),
  )
  return listener
}

/** Who may pass, as whom, and what is recorded of it. */
function addWayIn(app: FastifyInstance, { access, isBlocked, onChange }: AdminParts): void {
  app.decorateRequest('operator', null)
  app.addHook('onRequest', async (request, reply) => {
    const asked = accessRequestOf(request.raw)
    const entered = await access.enter(asked)
    if ('answer' in entered) return await write(reply, entered.answer)
    const { operator } = entered
    const caller = operator?.caller ?? null
    if (caller !== null && isBlocked(caller)) return await write(reply, refusal(operatorBlocked(caller.subject), asked))
    request.operator = operator
  })
  app.addHook('onResponse', async ({ method, operator, routeOptions, headers }, reply) => {
    const { url: path = '' } = routeOptions
    if (operator !== null && isChange(method, path))
      onChange(operator, { method, path, status: reply.statusCode, reason: reasonIn(headers) })
  })
}

function addSession(app: FastifyInstance, { access }: AdminParts): void {
  for (const route of sessionRoutes)
    app.route({ ...route, handler: async ({ raw }, reply) => write(reply, await access.session(accessRequestOf(raw))) })
}

function write(reply: FastifyReply, { status, headers, body }: AccessAnswer): FastifyReply {
  return reply.code(status).headers(headers).send(body)
}

function addHealth(app: FastifyInstance, parts: HealthParts): void {
  app.get('/livez', (_request, reply) => reply.type('text/plain').send('ok\n'))
  app.get('/readyz', (_request, reply) => {
    const readiness = parts.readiness()
    return reply.code(readiness.ready ? 200 : 503).send(readiness)
  })
  app.get('/metrics', async ({ headers }, reply) => {
    const { type, text } = await parts.metrics.page(headers.accept ?? '')
    return reply.type(type).send(text)
  })
}

/** Every view of the console is an address below /console/. */
function isNamed(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function addConsole(app: FastifyInstance): void {
  for (const url of ['/console', '/console/*'])
    app.get(url, async ({ raw }, reply) => {
      const { status, headers, body } = await consolePage(consoleRequestOf(accessRequestOf(raw)))
      return reply.code(status).headers(headers).send(body)
    })
}

const mostBytes = { change: 16 * 1024, explain: 256 * 1024 } as const

function addApi(app: FastifyInstance, parts: AdminParts): void {
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
  withTextBodies(app, mostBytes.change, (scope) => {
    addBlocksApi(scope, parts.blocks)
    addRotationsApi(scope, parts.rotations)
  })
  addConsoleApi(app, parts.console)
  withTextBodies(app, mostBytes.explain, (scope) => addExplainApi(scope, parts.console.explain))
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
    const actor = actorOf(request.operator)
    if (isNamed(organization) && resource === undefined && Object.keys(rest).length === 0)
      return reply.send(await parts.purge({ organization }, actor))
    if (isNamed(resource) && organization === undefined && Object.keys(rest).length === 0)
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
  app.post('/api/reload', async ({ operator }, reply) => {
    const outcome = await parts.reload(actorOf(operator))
    const done = (outcome.result === 'replaced' || outcome.result === 'unchanged') && outcome.certificate !== 'kept'
    return reply.code(done ? 200 : 409).send(outcome)
  })
}
