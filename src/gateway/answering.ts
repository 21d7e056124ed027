// Answers of the gateway itself, written straight to the response: problem documents, JSON and pages.

import { STATUS_CODES, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Problem, problemKinds, problemType, type ProblemKindName } from '../problems.ts'
import { maskSecrets } from '../records/mask.ts'
import { isHttp2 } from './connection.ts'
import type { Exchange } from './exchange.ts'
import { answerInTurn } from './turn.ts'

/** A refusal or failure as `application/problem+json` (RFC 9457); extension members `reason` and `decision_id`. */
function problemDocument(problem: Problem, exchange: Exchange): string {
  return JSON.stringify({
    type: problemType(problem.kind),
    title: problemKinds[problem.kind].title,
    status: problem.status,
    // It may repeat what the caller wrote into the address.
    detail: maskSecrets(problem.message),
    instance: `urn:uuid:${exchange.decisionId}`,
    // Which check a token failed is for the records: told outside, it would guide a forger.
    reason: problem.kind === 'token-rejected' ? problem.kind : problem.reason,
    decision_id: exchange.decisionId,
    ...problem.members,
  })
}

/** Turns anything that was thrown into a Problem; what is not one is a defect of ours and shows nothing of itself. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  return new Problem('internal', 'The gateway failed on this request. Tell its operator the decision id.', {
    cause: error,
  })
}

export function answerProblem(exchange: Exchange, response: ServerResponse, problem: Problem): void {
  exchange.problem = problem
  const fields: string[] = []
  for (const [name, value] of Object.entries(problem.fields)) {
    // HTTP/2 knows no connection fields.
    if (name !== 'connection' || !isHttp2(response)) fields.push(name, value)
  }
  // A create may have happened all the same: clients that know the field do not send it again.
  if (
    problem.status >= 502 &&
    exchange.upstreamStartedAtMs !== null &&
    (exchange.method === 'POST' || exchange.method === 'PATCH')
  )
    fields.push('x-should-retry', 'false')
  answer(exchange, response, problem.status, 'application/problem+json', problemDocument(problem, exchange), fields)
}

export function answerJson(exchange: Exchange, response: ServerResponse, value: unknown): void {
  answer(exchange, response, 200, 'application/json', JSON.stringify(value), ['cache-control', 'no-store'])
}

/** Answers on a connection that has no response object, and closes it. */
export function answerRaw(exchange: Exchange, socket: Socket, problem: Problem): void {
  exchange.problem = problem
  exchange.status = problem.status
  const body = problemDocument(problem, exchange)
  exchange.bytesOut = Buffer.byteLength(body)
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
    `date: ${new Date().toUTCString()}`,
    'content-type: application/problem+json',
    `content-length: ${exchange.bytesOut}`,
    `x-request-id: ${exchange.requestId}`,
    `gateway-decision: ${exchange.decisionId}`,
    'x-content-type-options: nosniff',
    ...Object.entries({ ...problem.fields, connection: 'close' }).map(([name, value]) => `${name}: ${value}`),
    '',
    '',
  ].join('\r\n')
  // Without a listener the reset of a caller that does not wait would end the process.
  socket.on('error', () => {})
  if (socket.writable) socket.end(head + body)
  // Long enough for the answer to arrive. A peer that does not close is closed, also one that goes on sending.
  const linger = setTimeout(() => socket.destroy(), 5000)
  socket.once('close', () => clearTimeout(linger))
  socket.resume()
}

/** The page behind a problem's `type`: what it means and whose turn it is. */
export function answerProblemPage(exchange: Exchange, response: ServerResponse, kind: ProblemKindName): void {
  answer(exchange, response, 200, 'text/html; charset=utf-8', problemPage(kind), [
    'content-security-policy',
    "default-src 'none'; style-src 'unsafe-inline'",
    'cache-control',
    'public, max-age=3600',
  ])
}

function answer(
  exchange: Exchange,
  response: ServerResponse,
  status: number,
  type: string,
  text: string,
  fields: readonly string[],
): void {
  const length = Buffer.byteLength(text)
  exchange.status = status
  exchange.bytesOut = exchange.method === 'HEAD' ? 0 : length
  response.writeHead(status, [
    'content-type',
    type,
    'content-length',
    String(length),
    'x-request-id',
    exchange.requestId,
    'gateway-decision',
    exchange.decisionId,
    'x-content-type-options',
    'nosniff',
    ...exchange.limitFields,
    ...(exchange.cacheStatus === null ? [] : ['cache-status', exchange.cacheStatus]),
    ...fields,
  ])
  exchange.answered = true
  answerInTurn(() => response.end(exchange.method === 'HEAD' ? undefined : text))
}

function problemPage(kind: ProblemKindName): string {
  const { title, status, turn, about } = problemKinds[kind]
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${kind}: ${title}</title>
<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem; color: #1d2430; background: #fff }
code { background: #eef1f5; padding: .1em .35em; border-radius: 4px }
p.status { color: #5b6676 }
@media (prefers-color-scheme: dark) { body { color: #e3e8ef; background: #12161c } code { background: #232a34 } p.status { color: #9aa7b8 } }
</style>
<h1>${title}</h1>
<p class="status"><code>${kind}</code> · HTTP status ${status} · it is the turn of ${turn}</p>
<p>${about.replaceAll(/`([^`]*)`/g, '<code>$1</code>').replaceAll('<token>', '&lt;token&gt;')}</p>
<p>Every refusal carries a <code>decision_id</code>. The operators of the gateway find the whole decision under it in the decision log.</p>
</html>
`
}
