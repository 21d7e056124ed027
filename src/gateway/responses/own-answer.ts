// Answers of the gateway itself, written straight to the response: problem documents, JSON and pages.

import { problemKinds, type ProblemKindName } from '../../problem-kinds.ts'
import { asProblem, problemType, type Problem } from '../../problems.ts'
import { maskSecrets } from '../../records/mask.ts'
import { breakOff, isHttp2, leaveUnread, setHead } from '../listener/http-versions.ts'
import type { RequestContext } from '../context.ts'
import { scheduleWrite } from '../event-loop-batch.ts'
import { surelyUnsent } from './reservation.ts'

/** A refusal or failure as `application/problem+json` (RFC 9457); extension members `reason` and `decision_id`. */
function problemDocument(problem: Problem, context: RequestContext): string {
  return JSON.stringify({
    type: problemType(problem.kind),
    title: problemKinds[problem.kind].title,
    status: problem.status,
    // It may repeat parts of the caller's URL.
    detail: maskSecrets(withAdvice(problem, mayBeDone(context, problem))),
    instance: `urn:uuid:${context.decisionId}`,
    // Which check a token failed is only recorded: shown to callers, it would guide a forger.
    reason: problem.kind === 'token-rejected' ? problem.kind : problem.reason,
    decision_id: context.decisionId,
    ...problem.members,
  })
}

function withAdvice({ message, advice }: Problem, isUncertain: boolean): string {
  if (isUncertain) return `${message} A write may have happened: read back before you repeat it.`
  return advice === null ? message : `${message} ${advice}`
}

/** Whether the Devin API may have done what the caller is refused: it has the write, and has not refused it. */
function mayBeDone(context: RequestContext, { kind }: Problem): boolean {
  return !context.isRead && context.upstreamStartedAtMs !== null && !surelyUnsent.has(kind)
}

/** Answers with a problem, or closes the connection where an answer has begun. */
export function answerFailure(context: RequestContext, error: unknown): void {
  if (context.isComplete) return
  const problem = asProblem(error)
  const { response } = context
  context.fail(problem)
  const hasBegun = context.status !== null
  if (hasBegun || response.destroyed) {
    context.brokenOff ||= hasBegun
    breakOff(response)
  } else answerProblem(context, problem)
}

function answerProblem(context: RequestContext, problem: Problem): void {
  const fields: string[] = []
  for (const [name, value] of Object.entries(problem.fields)) {
    // HTTP/2 knows no connection fields.
    if (name !== 'connection' || !isHttp2(context.response)) fields.push(name, value)
  }
  // Clients that know the field do not send it again.
  if (mayBeDone(context, problem) && (context.method === 'POST' || context.method === 'PATCH'))
    fields.push('x-should-retry', 'false')
  answer(context, problem.status, 'application/problem+json', problemDocument(problem, context), fields)
}

export function answerJson(context: RequestContext, value: unknown): void {
  answer(context, 200, 'application/json', JSON.stringify(value), ['cache-control', 'no-store'])
}

/** The page behind a problem's `type`: what it means and who has to act. */
export function answerProblemPage(context: RequestContext, kind: ProblemKindName | null): void {
  answer(context, 200, 'text/html; charset=utf-8', kind === null ? problemIndex() : problemPage(kind), [
    'content-security-policy',
    "default-src 'none'; style-src 'unsafe-inline'",
    'cache-control',
    'public, max-age=3600',
  ])
}

function answer(context: RequestContext, status: number, type: string, text: string, fields: readonly string[]): void {
  const length = Buffer.byteLength(text)
  const { request, response } = context
  leaveUnread(request, response)
  context.beginAnswer(status)
  context.bytesOut = context.method === 'HEAD' ? 0 : length
  setHead(response, status, [
    'content-type',
    type,
    'content-length',
    String(length),
    'x-request-id',
    context.requestId,
    'gateway-decision',
    context.decisionId,
    'x-content-type-options',
    'nosniff',
    ...context.limitFields,
    ...(context.cacheStatus === null ? [] : ['cache-status', context.cacheStatus]),
    ...fields,
  ])
  context.completeAnswer()
  scheduleWrite(() => response.end(context.method === 'HEAD' ? undefined : text))
}

function problemPage(kind: ProblemKindName): string {
  const { title, status, turn, about } = problemKinds[kind]
  return htmlPage(
    `${kind}: ${title}`,
    `<h1>${title}</h1>
<p class="status"><code>${kind}</code> · HTTP status ${status} · who can act: ${turn}</p>
<p>${about.replaceAll(/`([^`]*)`/g, '<code>$1</code>').replaceAll('<token>', '&lt;token&gt;')}</p>
<p>Every refusal carries a <code>decision_id</code>. With it the operators of the gateway find the decision record.</p>
<p><a href="/gateway/v1/problems">All problems</a></p>`,
  )
}

function problemIndex(): string {
  const rows = Object.entries(problemKinds).map(
    ([kind, { status, title }]) =>
      `<li>${status} <a href="/gateway/v1/problems/${kind}"><code>${kind}</code></a>: ${title}</li>`,
  )
  return htmlPage('Problems', `<h1>What the gateway refuses</h1>\n<ul>\n${rows.join('\n')}\n</ul>`)
}

function htmlPage(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem; color: #1d2430; background: #fff }
code { background: #eef1f5; padding: .1em .35em; border-radius: 4px }
p.status { color: #5b6676 }
@media (prefers-color-scheme: dark) { body { color: #e3e8ef; background: #12161c } a { color: #8ab4f8 } code { background: #232a34 } p.status { color: #9aa7b8 } }
</style>
${body}
</html>
`
}
