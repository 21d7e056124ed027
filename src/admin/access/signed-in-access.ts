// Access for operators who sign in: browsers by a session, programs by a bearer token of the same issuer.

import { operatorRoles, type AdminAuthConfig, type OperatorRole } from '../../config/operators/admin-schema.ts'
import { isLoopbackHost } from '../../config/values/addresses.ts'
import { compileCondition, conditionHolds } from '../../policy/model/condition.ts'
import type { Principal } from '../../identity/principal.ts'
import type { Renewal, SignIn, StartedSignIn } from '../../identity/sign-in/sign-in.ts'
import { Problem } from '../../problems.ts'
import { createAccess, json, sessionView, type Access, type AccessOptions } from './access.ts'
import { crossSite, originOf, type Surface } from './cross-site.ts'
import { cookieOf, droppedCookie, setCookie } from './cookies.ts'
import { isRead, type Operator } from './operator.ts'
import { isForPeople, refusal, roleMissing, signInPath, signInRequired } from './refusals.ts'
import { askedPath, type AccessAnswer, type AccessRequest } from './request.ts'
import { BrowserSessions, StartedSignIns, type Session } from './sessions.ts'

export interface SignedInAccessOptions {
  readonly auth: AdminAuthConfig
  readonly surface: Surface
  readonly open: readonly string[]
  readonly verify: (credentials: string) => Principal | Problem | Promise<Principal | Problem>
  readonly signIn: Pick<SignIn, 'begin' | 'finish' | 'renew'>
  readonly now: () => number
  readonly monotonic: () => number
  readonly onRefused: AccessOptions['onRefused']
  /** Learns who signs in and out, for the log. */
  readonly onSession: (event: 'signed-in' | 'signed-out' | 'session-ended', operator: Operator) => void
}

/** How long a browser may take at the issuer. */
const signInMs = 600_000
/** Cookies hold 4 KiB, and the way back is kept in one. */
const longestReturn = 1_000
/** How often a session is checked at the issuer, where it gave a refresh token. */
const checkMs = 300_000
const callbackPath = '/api/session/callback'
/** Sent by the console with every call: pages of other sites cannot send it. With `poll` a call does not count as use. */
const consoleField = 'gateway-console'

/** What the roles say of a caller. */
export function roleReader(auth: Pick<AdminAuthConfig, 'roles'>): (principal: Principal) => readonly OperatorRole[] {
  const conditions = operatorRoles.map((role) => ({ role, any: (auth.roles[role] ?? []).map(compileCondition) }))
  return (principal) =>
    conditions
      .filter(({ any }) => any.some((condition) => conditionHolds(condition, principal)))
      .map(({ role }) => role)
}

export function createSignedInAccess(options: SignedInAccessOptions): Access {
  const { auth, surface, verify, signIn, now, monotonic, onSession } = options
  const rolesFor = roleReader(auth)
  const sessions = new BrowserSessions({ idleMs: auth.sessionIdleMs, longestMs: auth.sessionLongestMs }, monotonic)
  const started = new StartedSignIns<StartedSignIn & { readonly returnTo: string }>(signInMs, monotonic)

  function operatorOf(principal: Principal, signedIn: 'browser' | 'token'): Operator {
    const { subject, issuer, email, emailVerified, actor, priorActors, claims } = principal
    return {
      subject,
      issuer,
      email: emailVerified ? email : null,
      roles: rolesFor(principal),
      signedIn,
      caller: { subject, actor, priorActors, claims: { jti: claims['jti'] } },
    }
  }

  const secureAt = (request: AccessRequest): boolean => originOf(request, surface)?.startsWith('https:') === true
  const sessionIdOf = (request: AccessRequest): string | null => cookieOf(request, 'session', secureAt(request))

  async function identify(request: AccessRequest): Promise<Operator | Problem> {
    const { authorization } = request.headers
    if (authorization !== undefined) {
      const principal = await verify(authorization)
      return principal instanceof Problem ? principal : operatorOf(principal, 'token')
    }
    const session = await sessionOf(request)
    if (session === null) return signInRequired()
    if (!isRead(request.method) && request.headers[consoleField] === undefined)
      return crossSite(
        'Changes of a signed-in browser need the header field Gateway-Console, which only pages of this listener can send.',
        'console-field',
      )
    return session.operator
  }

  async function sessionOf(request: AccessRequest): Promise<Session | null> {
    const id = sessionIdOf(request)
    if (id === null) return null
    const session = sessions.get(id, request.headers[consoleField] !== 'poll')
    if (session === null) return null
    if (session.renewal !== null && monotonic() - session.checkedAtMs >= checkMs)
      await (session.checking ??= check(id, session, session.renewal))
    return sessions.get(id, false)
  }

  /** Asks the issuer who it is now, and ends the session where it says no or the claims give no role any more. */
  async function check(id: string, session: Session, renewal: Renewal): Promise<void> {
    const renewed = await signIn.renew(renewal)
    session.checking = null
    session.checkedAtMs = monotonic()
    if (renewed instanceof Problem && renewed.kind === 'identity-provider-unavailable') return
    const operator = renewed instanceof Problem ? null : operatorOf(renewed.principal, 'browser')
    if (renewed instanceof Problem || operator === null || operator.roles.length === 0) {
      sessions.remove(id)
      onSession('session-ended', session.operator)
      return
    }
    Object.assign(session, { operator, renewal: renewed.renewal })
  }

  /** Sends the browser to the issuer. */
  async function begin(request: AccessRequest): Promise<AccessAnswer | Problem> {
    const origin = originOf(request, surface) ?? ''
    if (!origin.startsWith('https:') && !isFromHere(request, origin))
      return crossSite(
        'A browser signs in over TLS, or on the machine of the gateway. Set listen.admin_tls, or admin.url to the https address of a proxy in front.',
        'tls-needed',
      )
    const begun = await signIn.begin(`${origin}${callbackPath}`)
    if (begun instanceof Problem) return begun
    const returnTo = ownPage(new URLSearchParams(request.target.split('?')[1]).get('return_to'))
    const id = started.add({ ...begun.started, returnTo })
    return {
      status: 303,
      headers: { location: begun.location, 'set-cookie': setCookie('sign-in', id, secureAt(request)) },
      body: '',
    }
  }

  /** The browser is back from the issuer. */
  async function finish(request: AccessRequest): Promise<AccessAnswer | Problem> {
    const isSecure = secureAt(request)
    const id = cookieOf(request, 'sign-in', isSecure)
    const found = id === null ? null : started.take(id)
    if (found === null || found.redirectUri !== `${originOf(request, surface) ?? ''}${callbackPath}`)
      return new Problem(
        'sign-in-failed',
        'No sign-in of this browser is under way, or it has been used already. Sign in again.',
      )
    const signedIn = await signIn.finish(request.target.slice(callbackPath.length), found)
    if (signedIn instanceof Problem) return signedIn
    const { principal, renewal } = signedIn
    const operator = operatorOf(principal, 'browser')
    if (operator.roles.length === 0) return roleMissing(operator, 'viewer')
    const before = sessionIdOf(request)
    if (before !== null) sessions.remove(before)
    const session = sessions.add(operator, renewal)
    onSession('signed-in', operator)
    return {
      status: 303,
      headers: {
        location: found.returnTo,
        'set-cookie': [setCookie('session', session, isSecure), droppedCookie('sign-in', isSecure)],
      },
      body: '',
    }
  }

  async function show(request: AccessRequest): Promise<AccessAnswer | Problem> {
    const operator = await identify(request)
    if (operator instanceof Problem) return operator
    const id = operator.signedIn === 'browser' ? sessionIdOf(request) : null
    const session = id === null ? null : sessions.get(id, false)
    return json(200, sessionView(operator, session === null ? null : sessions.timesOf(session, now() - monotonic())))
  }

  function signOut(request: AccessRequest): AccessAnswer {
    const id = sessionIdOf(request)
    const ended = id === null ? null : sessions.remove(id)
    if (ended !== null) onSession('signed-out', ended.operator)
    return { status: 204, headers: { 'set-cookie': droppedCookie('session', secureAt(request)) }, body: '' }
  }

  async function answer(request: AccessRequest): Promise<AccessAnswer | Problem> {
    const path = askedPath(request)
    if (path === signInPath) return await begin(request)
    if (path === callbackPath) return await finish(request)
    return path === '/api/session' ? await show(request) : signOut(request)
  }

  async function session(request: AccessRequest): Promise<AccessAnswer> {
    const answered = await answer(request)
    if (!(answered instanceof Problem)) return answered
    const refused = refusal(answered, request)
    options.onRefused(answered, String(refused.headers['gateway-decision']), request, null)
    return refused
  }

  const access = createAccess({ ...options, identify, session })
  return {
    ...access,
    async enter(request) {
      const entered = await access.enter(request)
      // Somebody who opens a page of the console is sent to sign in.
      return 'answer' in entered && entered.answer.status === 401 && isForPeople(request) && isRead(request.method)
        ? { answer: { status: 303, headers: { location: toSignIn(request) }, body: '' } }
        : entered
    },
  }
}

function toSignIn({ target }: AccessRequest): string {
  return `${signInPath}?return_to=${encodeURIComponent(target)}`
}

/** A page of the console; anything else would let a link lead to another site. */
function ownPage(path: string | null): string {
  return path !== null &&
    path.length <= longestReturn &&
    /^\/console\/[\w/.~%?&=:@+,-]*$/.test(path) &&
    !path.includes('//')
    ? path
    : '/console/'
}

/** Over plain HTTP cookies and codes must not leave the machine. */
function isFromHere({ remoteAddress }: AccessRequest, origin: string): boolean {
  const host = new URL(origin).hostname.replace(/^\[(.*)\]$/, '$1')
  return isLoopbackHost(host) && isLoopbackHost(remoteAddress.replace(/^::ffff:/, ''))
}
