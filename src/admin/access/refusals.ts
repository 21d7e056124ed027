// Refusals of the operators' listener as problem documents (RFC 9457); for people in a browser, as a page.

import { randomUUID } from 'node:crypto'
import type { OperatorRole } from '../../config/operators/admin-schema.ts'
import { problemKinds } from '../../problem-kinds.ts'
import { Problem, problemType } from '../../problems.ts'
import { maskSecrets } from '../../records/mask.ts'
import type { Operator } from './operator.ts'
import type { AccessAnswer, AccessRequest } from './request.ts'

export const signInPath = '/api/session/sign-in'

/** The problem as an answer with a decision id, which the log names as well. */
export function refusal(problem: Problem, request: AccessRequest): AccessAnswer {
  const decisionId = randomUUID()
  const { title } = problemKinds[problem.kind]
  const detail = maskSecrets(problem.message)
  const headers = { ...problem.fields, 'gateway-decision': decisionId }
  // No browser sends a malformed request.
  if (isForPeople(request) && problem.kind !== 'malformed-request')
    return {
      status: problem.status,
      headers: {
        ...headers,
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      },
      body: page(title, detail, decisionId),
    }
  const document = {
    type: problemType(problem.kind),
    title,
    status: problem.status,
    detail,
    instance: `urn:uuid:${decisionId}`,
    reason: problem.kind === 'token-rejected' ? problem.kind : problem.reason,
    decision_id: decisionId,
    ...problem.members,
    // As other errors of this listener are told.
    error: detail,
  }
  return {
    status: problem.status,
    headers: { ...headers, 'content-type': 'application/problem+json' },
    body: JSON.stringify(document),
  }
}

/** Lets requests in for health and metrics alone: everybody, but nothing malformed. */
export function enterHealth(request: AccessRequest): { readonly operator: null } | { readonly answer: AccessAnswer } {
  return request.fault === null ? { operator: null } : { answer: refusal(request.fault, request) }
}

/** A page that a browser opens, not one that a script asks for. */
export function isForPeople({ headers }: AccessRequest): boolean {
  return headers['sec-fetch-mode'] === 'navigate' || (headers.accept ?? '').startsWith('text/html')
}

export function signInRequired(): Problem {
  return new Problem(
    'sign-in-required',
    'Sign in: open /console/ in a browser, or send a token of the issuer as "Authorization: Bearer …". Commands take --operator-token FILE or GATEWAY_OPERATOR_TOKEN.',
    { fields: { 'www-authenticate': 'Bearer' }, members: { sign_in: signInPath } },
  )
}

export function roleMissing({ subject, roles }: Operator, needed: OperatorRole | null): Problem {
  const has = roles.length === 0 ? 'no role' : `the role ${roles.join(' and ')}`
  const who = `"${subject ?? ''}" has ${has}`
  return needed === null
    ? new Problem('role-missing', `No role may make this call: there is none of this method and path. ${who}.`)
    : new Problem(
        'role-missing',
        `This needs the role ${needed}, and ${who}. Ask who maps claims to roles in admin.auth.roles for it.`,
        { members: { needed_role: needed, roles } },
      )
}

export function operatorBlocked(subject: string): Problem {
  return new Problem('blocked', `Operators have blocked "${subject}". Ask another operator to end the block.`)
}

function page(title: string, detail: string, decisionId: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title>
<h1>${escaped(title)}</h1>
<p>${escaped(detail)}</p>
<p>Decision id: <code>${decisionId}</code></p>
<p><a href="${signInPath}">Sign in</a></p>
</html>
`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
