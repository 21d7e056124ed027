// The operators' listener of several workers, which decide by themselves: their answers are merged.

import { createServer, request as send, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import { isSessionRoute, type Access } from '../admin/access/access.ts'
import { consolePage, consoleRequestOf, isConsolePath, prepareConsole } from '../admin/console/pages.ts'
import { auditedChange, isChange, isRead, reasonIn, type Operator } from '../admin/access/operator.ts'
import { capConnections, requestBounds, type OperatorsRefusal } from '../admin/access/connection-cap.ts'
import { operatorField, poolFields } from '../admin/access/pool-access.ts'
import { enterHealth } from '../admin/access/refusals.ts'
import { accessRequestOf, askedPath, type AccessAnswer } from '../admin/access/request.ts'
import { isSlow, mergedAnswer, mergeOf } from './merged-routes.ts'
import { asObject } from './merged-json.ts'
import { mergeMetrics } from './merged-metrics.ts'
import type { BoundAddress } from './messages.ts'
import type { Pool, WorkerStatus } from './pool.ts'

interface Answer {
  readonly worker: WorkerStatus
  readonly status: number
  readonly type: string
  readonly text: string
}

/** A request for workers: of an operator, or to a page that is open to everybody. */
interface Question {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly operator: Operator | null
  readonly body: string
}

interface ListenerCertificate {
  readonly cert: string
  readonly key: string
}

export interface WorkersListenerOptions {
  readonly pool: Pool
  /** Null: a listener of health and metrics alone. */
  readonly access: Access | null
  /** Null: plain HTTP. */
  readonly tls: ListenerCertificate | null
  readonly onRefused: (reason: OperatorsRefusal) => void
  /** Called before the workers are told to reload. */
  readonly onReload: () => void
}

const healthPaths = ['/livez', '/readyz', '/metrics']

/** The format of metrics, when no worker says it. */
const metricsType = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * How long a worker may take for a read, for one that reads files or a whole policy set, and for a change. With the read of a worker
 * that hangs an answer still comes within the second that probes usually wait.
 */
const answerMs = { read: 800, slow: 70_000, change: 30_000 } as const

/** As much as a worker takes; one that is cut off is no JSON any more, and is refused. */
const mostBodyCharacters = 256 * 1024

/** Makes the listener; nothing is bound before `listen`. */
export function createWorkersListener(options: WorkersListenerOptions) {
  const { access, tls } = options
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    void enter(options, request, response).catch(() =>
      reply(response, 502, { error: 'The workers could not be asked; the log says more.' }),
    )
  }
  const server =
    tls === null ? createServer(requestBounds(), handle) : createTlsServer({ ...requestBounds(), ...tls }, handle)
  server.maxHeadersCount = 0
  capConnections(server, options.onRefused)
  return {
    /** For connections that begin from now on. */
    useCertificate({ cert, key }: ListenerCertificate): void {
      if (tls !== null) (server as TlsServer).setSecureContext({ cert, key })
    },
    /** Rejects with Node's own error when the address cannot be had. */
    listen: (host: string, port: number): Promise<BoundAddress> =>
      new Promise((resolve, reject) => {
        // Kept after `listen`: without a listener an error of accept(2) would end the process, and with it all
        // workers.
        server.on('error', reject)
        server.listen(port, host, () => {
          if (access !== null) void prepareConsole()
          const bound = server.address()
          resolve(
            typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : { host, port },
          )
        })
      }),
    close: (): Promise<void> =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Lets the request in, or refuses it, and records what was to be changed. */
async function enter(
  { access, pool, onReload }: WorkersListenerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const asked = accessRequestOf(request)
  const { method, target, headers } = asked
  if (access === null && asked.fault === null && !healthPaths.includes(askedPath(asked)))
    return reply(response, 404, { error: 'There are /livez, /readyz and /metrics here.' })
  const entered = access === null ? enterHealth(asked) : await access.enter(asked)
  if ('answer' in entered) return write(response, entered.answer)
  if (access !== null && isSessionRoute(asked)) return write(response, await access.session(asked))
  if (isConsolePath(askedPath(asked)) && isRead(method)) {
    const page = await consolePage(consoleRequestOf(asked))
    response.writeHead(page.status, { ...page.headers, 'x-content-type-options': 'nosniff' })
    return void response.end(page.body)
  }
  const { operator } = entered
  response.once('finish', () => {
    const path = askedPath(asked)
    if (!isChange(method, path)) return
    const entry = auditedChange(operator, { method, path, status: response.statusCode, reason: reasonIn(headers) })
    if (entry !== null) pool.audit(...entry)
  })
  if (method === 'POST' && askedPath(asked) === '/api/reload') onReload()
  await answer(pool, { method, url: target, headers, operator, body: await bodyOf(request) }, response)
}

async function answer(pool: Pool, request: Question, response: ServerResponse): Promise<void> {
  const path = request.url.split('?', 1)[0] ?? ''
  const route = `${request.method} ${path}`
  if (route === 'GET /livez') return plain(response, 200, 'text/plain; charset=utf-8', 'ok\n')
  // What each worker keeps for itself is asked of all; what they share, one of them is asked about.
  const forAll = ['GET /readyz', 'GET /metrics', 'GET /api/status', 'POST /api/reload']
  if (route === 'POST /api/reload') pool.reopen()
  // The latest ping may be on its way.
  const listening = pool.workers.filter(({ admin, unanswered }) => admin !== null && unanswered < 2)
  const silent = (): string => pool.workers.map((worker) => `worker ${worker.number}: ${silenceOf(worker)}`).join('; ')
  const merge = mergeOf(request.method, path, request.url)
  if (merge !== null) {
    const answerable = isSlow(request.url) ? await alive(listening, request) : listening
    const merged = await mergedAnswer(merge, answerable, (workers) => askAll(workers, request))
    return merged === null ? reply(response, 503, { error: silent() }) : plain(response, ...merged)
  }
  const asked = !forAll.includes(route)
    ? await firstAlive(listening, request)
    : request.method === 'POST'
      ? await alive(listening, request)
      : listening
  const answers = await askAll(asked, request)
  if (route === 'GET /readyz') return readiness(pool, answers, response)
  const [first] = answers
  if (first === undefined && route !== 'GET /metrics' && route !== 'GET /api/status')
    return reply(response, 503, { error: silent() })
  const refusal = answers.find(({ status }) => status >= 400 && status !== 409)
  const single = refusal ?? (forAll.includes(route) ? undefined : first)
  if (single !== undefined) return plain(response, single.status, single.type, single.text)
  if (route === 'GET /metrics') {
    const texts = answers.map(({ worker, text }) => ({ worker: worker.number, text }))
    const type = first?.type ?? metricsType
    const text = `${mergeMetrics(texts)}${answering(pool, answers)}`
    // OpenMetrics knows no empty lines and says where it ends.
    return plain(response, 200, type, type.startsWith('text/') ? text : `${text.replace(/\n{2,}/g, '\n')}# EOF\n`)
  }
  const workers = pool.workers.map((worker): Record<string, unknown> => {
    const { number, pid, restarts } = worker
    const found = answers.find((each) => each.worker === worker)
    return {
      worker: number,
      pid,
      restarts,
      ...(found === undefined ? { error: silenceOf(worker) } : asObject(JSON.parse(found.text))),
    }
  })
  if (route === 'GET /api/status') return reply(response, 200, { workers })
  // Each worker reloads its policies by itself; different results are reported as such.
  const results = new Set(workers.map((worker) => worker['result']))
  const same = results.size === 1 && answers.length === pool.workers.length
  const diagnostics = workers.flatMap((worker) => (Array.isArray(worker['diagnostics']) ? worker['diagnostics'] : []))
  return reply(response, same ? (first?.status ?? 200) : 409, {
    result: same ? [...results][0] : 'divided',
    diagnostics: [...new Set(diagnostics)],
    workers,
  })
}

function bodyOf(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    request.setEncoding('utf8')
    request.on('data', (chunk: string) => (text = (text + chunk).slice(0, mostBodyCharacters)))
    request.on('error', reject)
    request.once('end', () => resolve(text))
  })
}

function silenceOf({ admin }: WorkerStatus): string {
  return admin === null ? 'it is being started' : 'it does not answer'
}

/** Which workers have answered, as a metric. */
function answering(pool: Pool, answers: readonly Answer[]): string {
  const samples = pool.workers.map((worker) => {
    const value = answers.some((each) => each.worker === worker) ? 1 : 0
    return `gateway_worker_answers{worker="${worker.number}"} ${value}`
  })
  const help =
    '# HELP gateway_worker_answers 1 when the worker has answered this scrape, 0 when it is being started or hangs.'
  return `\n${help}\n# TYPE gateway_worker_answers gauge\n${samples.join('\n')}\n`
}

/** Ready when a worker is: connections go to those that listen. */
function readiness(pool: Pool, answers: readonly Answer[], response: ServerResponse): void {
  const collect = (name: 'reasons' | 'notes'): readonly string[] =>
    pool.workers.flatMap((worker) => {
      const { number } = worker
      const found = answers.find((each) => each.worker === worker)
      if (found === undefined) return name === 'reasons' ? [`worker ${number}: ${silenceOf(worker)}`] : []
      const list = asObject(JSON.parse(found.text))[name]
      return Array.isArray(list) ? list.map((text) => `worker ${number}: ${String(text)}`) : []
    })
  const ready = answers.some(({ status }) => status === 200)
  const notes = collect('notes')
  reply(response, ready ? 200 : 503, { ready, reasons: collect('reasons'), ...(notes.length > 0 ? { notes } : {}) })
}

/** Those that do anything: what may take long is asked of no others. */
async function alive(workers: readonly WorkerStatus[], request: Question): Promise<readonly WorkerStatus[]> {
  return (await askAll(workers, livenessOf(request))).map(({ worker }) => worker)
}

/** The first that does anything, in a list; an empty one when all hang. */
async function firstAlive(workers: readonly WorkerStatus[], request: Question): Promise<readonly WorkerStatus[]> {
  const first = Promise.any(workers.map((worker) => ask(worker, livenessOf(request))))
  return await first.then(({ worker }) => [worker]).catch(() => [])
}

function livenessOf(request: Question): Question {
  return { ...request, method: 'GET', url: '/livez', body: '' }
}

async function askAll(workers: readonly WorkerStatus[], request: Question): Promise<readonly Answer[]> {
  const answers = await Promise.all(workers.map((worker) => ask(worker, request).catch(() => null)))
  return answers.filter((each) => each !== null)
}

function ask(worker: WorkerStatus, { method, url, headers, operator, body }: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { host = '', port = 0 } = worker.admin ?? {}
    // Credentials end here: the worker is told who it is. A field of the caller's own cannot stand in for that.
    const { connection: _connection, 'content-length': _length, 'transfer-encoding': _coding, ...rest } = headers
    const { authorization: _authorization, cookie: _cookie, ...fields } = rest
    const proof = { [poolFields.secret]: worker.secret, [poolFields.operator]: operatorField(operator) }
    // Node.js frames no body of a DELETE by itself.
    const length = body === '' ? {} : { 'content-length': Buffer.byteLength(body) }
    const signal = AbortSignal.timeout(
      method === 'GET' ? (isSlow(url) ? answerMs.slow : answerMs.read) : answerMs.change,
    )
    const asking = send(
      { host, port, method, path: url, headers: { ...fields, ...length, ...proof }, agent: false, signal },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.on('error', reject)
        response.once('end', () =>
          resolve({ worker, status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', text }),
        )
      },
    )
    asking.on('error', reject)
    asking.end(body)
  })
}

function write(response: ServerResponse, { status, headers, body }: AccessAnswer): void {
  response.writeHead(status, { ...headers, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  response.end(body)
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  plain(response, status, 'application/json; charset=utf-8', JSON.stringify(body))
}

function plain(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  response.end(text)
}
