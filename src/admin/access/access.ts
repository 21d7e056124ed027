// The way into the operators' listener: which requests may pass, and as whom. Knows no framework, so that one process and the
// parent of several workers use the same.

import type { Problem } from '../../problems.ts'
import { crossSiteFault, type Surface } from './cross-site.ts'
import { isRead, localOperator, mayDo, neededRole, type Operator } from './operator.ts'
import { refusal, roleMissing } from './refusals.ts'
import { askedPath, type AccessAnswer, type AccessRequest } from './request.ts'
import type { SessionTimes } from './sessions.ts'

export interface Access {
  /** Who makes a request, or the answer that refuses it. Null: the page is open to everybody. */
  enter(request: AccessRequest): Promise<{ readonly operator: Operator | null } | { readonly answer: AccessAnswer }>
  /** Answers the pages of `sessionRoutes`, for requests that may pass. */
  session(request: AccessRequest): Promise<AccessAnswer>
}

/** Answered by `session`. `enter` lets them pass without a role. */
export const sessionRoutes = [
  { method: 'GET', url: '/api/session' },
  { method: 'GET', url: '/api/session/sign-in' },
  { method: 'GET', url: '/api/session/callback' },
  { method: 'POST', url: '/api/session/sign-out' },
] as const

export interface AccessOptions {
  readonly surface: Surface
  /** Paths that are answered without a login. */
  readonly open: readonly string[]
  /** Finds out who makes a request. */
  readonly identify: (request: AccessRequest) => Promise<Operator | Problem>
  readonly session: Access['session']
  /** Learns of each refusal, for the log. */
  readonly onRefused: (problem: Problem, decisionId: string, request: AccessRequest, operator: Operator | null) => void
}

const sessionPaths: ReadonlySet<string> = new Set(sessionRoutes.map(({ method, url }) => `${method} ${url}`))

export function createAccess({ surface, open, identify, session, onRefused }: AccessOptions): Access {
  function refuse(request: AccessRequest, problem: Problem, operator: Operator | null): { answer: AccessAnswer } {
    const answer = refusal(problem, request)
    onRefused(problem, String(answer.headers['gateway-decision']), request, operator)
    return { answer }
  }
  return {
    async enter(request) {
      if (request.fault !== null) return refuse(request, request.fault, null)
      const path = askedPath(request)
      if (isRead(request.method) && open.includes(path)) return { operator: null }
      const fault = crossSiteFault(request, surface)
      if (fault !== null) return refuse(request, fault, null)
      if (isSessionRoute(request)) return { operator: null }
      const operator = await identify(request)
      if ('kind' in operator) return refuse(request, operator, null)
      const needed = neededRole(request.method, path)
      if (operator.signedIn !== 'local' && (needed === null || !mayDo(operator, needed)))
        return refuse(request, roleMissing(operator, needed), operator)
      return { operator }
    },
    session,
  }
}

/** For a listener on loopback: nobody signs in. */
export function createLocalAccess(surface: Surface, onRefused: AccessOptions['onRefused']): Access {
  return createAccess({
    surface,
    open: ['/livez', '/readyz', '/metrics'],
    onRefused,
    identify: async () => localOperator,
    session: async (request) =>
      isRead(request.method) && askedPath(request) === '/api/session'
        ? json(200, sessionView(localOperator, null))
        : { status: 303, headers: { location: '/console/' }, body: '' },
  })
}

export function isSessionRoute(request: Pick<AccessRequest, 'method' | 'target'>): boolean {
  return sessionPaths.has(`${request.method === 'HEAD' ? 'GET' : request.method} ${askedPath(request)}`)
}

/** Who is signed in, as `GET /api/session` shows it. */
export function sessionView({ subject, email, issuer, roles, signedIn }: Operator, times: SessionTimes | null) {
  const at = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString())
  return {
    signed_in: signedIn,
    subject,
    email,
    issuer,
    roles,
    since: at(times?.sinceMs),
    until: at(times?.untilMs),
    idle_until: at(times?.idleUntilMs),
  }
}

export function json(status: number, value: unknown): AccessAnswer {
  return { status, headers: { 'content-type': 'application/json; charset=utf-8' }, body: JSON.stringify(value) }
}
