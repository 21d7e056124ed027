// The operators' listener of a gateway with several workers: each question goes to the workers' own listeners, and their
// answers are put together. Used by cli/start.ts. Whether a request may be asked here is for the workers to say.

import { createServer, request as send, type IncomingMessage, type ServerResponse } from 'node:http'
import { mergeMetrics } from './merged-metrics.ts'
import type { Address } from './messages.ts'
import type { Member, Pool } from './pool.ts'

export interface Operators {
  /** Rejects with Node's own error when the address cannot be had. */
  listen(host: string, port: number): Promise<Address>
  close(): Promise<void>
}

/** What one worker answered. */
interface Answer {
  readonly member: Member
  readonly status: number
  readonly type: string
  readonly text: string
}

const answerMs = 30_000

/** Makes the listener; nothing is bound before `listen`. */
export function createOperators(pool: Pool): Operators {
  const server = createServer((request, response) => {
    request.resume()
    void answer(pool, request, response).catch(() =>
      reply(response, 502, { error: 'The workers could not be asked; the log says more.' }),
    )
  })
  return {
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        server.once('error', reject)
        server.listen(port, host, () => {
          const bound = server.address()
          resolve(
            typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : { host, port },
          )
        })
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(pool: Pool, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0] ?? ''
  const question = `${request.method} ${path}`
  if (question === 'GET /livez') return plain(response, 200, 'text/plain; charset=utf-8', 'ok\n')
  // What each worker keeps for itself is asked of all; what they share, one of them is asked about.
  const forAll = ['GET /readyz', 'GET /metrics', 'GET /api/status', 'GET /api/keys', 'POST /api/reload']
  if (question === 'POST /api/reload') pool.reopen()
  const asked = pool.members.filter(({ admin }) => admin !== null)
  const answers = await askAll(forAll.includes(question) ? asked : asked.slice(0, 1), request)
  if (question === 'GET /readyz') return readiness(pool, answers, response)
  const [first] = answers
  if (first === undefined)
    return reply(response, 503, { error: 'No worker is there at the moment; one is being started.' })
  const refusal = answers.find(({ status }) => status >= 400 && status !== 409)
  if (refusal !== undefined || !forAll.includes(question))
    return plain(response, (refusal ?? first).status, (refusal ?? first).type, (refusal ?? first).text)
  if (question === 'GET /metrics') {
    const texts = answers.map(({ member, text }) => ({ worker: member.number, text }))
    return plain(response, 200, first.type, mergeMetrics(texts))
  }
  if (question === 'GET /api/keys') return reply(response, 200, worstOfKeys(answers))
  const workers = pool.members.map(({ number, pid, restarts }): Record<string, unknown> => ({
    worker: number,
    pid,
    restarts,
    ...objectOf(answers.find(({ member }) => member.number === number)?.text ?? '{}'),
  }))
  if (question === 'GET /api/status') return reply(response, 200, { workers })
  // Each worker replaces its policies by itself. Where they came to different ends, that is what is said.
  const results = new Set(workers.map((worker) => worker['result']))
  const same = results.size === 1 && answers.length === pool.members.length
  const diagnostics = workers.flatMap((worker) => (Array.isArray(worker['diagnostics']) ? worker['diagnostics'] : []))
  return reply(response, same ? first.status : 409, {
    result: same ? [...results][0] : 'divided',
    diagnostics: [...new Set(diagnostics)],
    workers,
  })
}

/** Ready when a worker is: connections go to those that listen. */
function readiness(pool: Pool, answers: readonly Answer[], response: ServerResponse): void {
  const told = (name: 'reasons' | 'notes'): readonly string[] =>
    pool.members.flatMap(({ number }) => {
      const found = answers.find(({ member }) => member.number === number)
      if (found === undefined) return name === 'reasons' ? [`worker ${number}: it is being started`] : []
      const list = objectOf(found.text)[name]
      return Array.isArray(list) ? list.map((text) => `worker ${number}: ${String(text)}`) : []
    })
  const ready = answers.some(({ status }) => status === 200)
  const notes = told('notes')
  reply(response, ready ? 200 : 503, { ready, reasons: told('reasons'), ...(notes.length > 0 ? { notes } : {}) })
}

/** One entry a key: of several workers the one whose state is worst. */
function worstOfKeys(answers: readonly Answer[]): readonly unknown[] {
  const states = ['ready', 'rejected', 'set-aside']
  const keys = new Map<unknown, Record<string, unknown>>()
  for (const { text } of answers) {
    const list: unknown = JSON.parse(text)
    for (const key of Array.isArray(list) ? (list as Record<string, unknown>[]) : []) {
      const known = keys.get(key['id'])
      const rank = ({ state }: Record<string, unknown>): number => states.indexOf(String(state))
      if (known === undefined || rank(key) > rank(known)) keys.set(key['id'], key)
    }
  }
  return [...keys.values()]
}

async function askAll(members: readonly Member[], request: IncomingMessage): Promise<readonly Answer[]> {
  const answers = await Promise.all(members.map((member) => ask(member, request).catch(() => null)))
  return answers.filter((each) => each !== null)
}

function ask(member: Member, { method, url, headers }: IncomingMessage): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { host = '', port = 0 } = member.admin ?? {}
    const { connection: _connection, 'content-length': _length, 'transfer-encoding': _coding, ...fields } = headers
    const asking = send(
      { host, port, method, path: url, headers: fields, agent: false, timeout: answerMs },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.once('error', reject)
        response.once('end', () =>
          resolve({ member, status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', text }),
        )
      },
    )
    asking.once('timeout', () => asking.destroy(new Error('a worker did not answer')))
    asking.once('error', reject)
    asking.end()
  })
}

function objectOf(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text)
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  plain(response, status, 'application/json; charset=utf-8', JSON.stringify(body))
}

function plain(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  response.end(text)
}
