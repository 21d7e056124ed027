// Refuses requests without a valid token beyond the bounds, before their token is checked and without a record; late, so that who
// goes on at once gets no more than that.

import { authorizationField } from '../../identity/token-form.ts'
import { Problem } from '../../problems.ts'
import type { RequestContext } from '../context.ts'
import { sessionOf } from '../listener/http-versions.ts'
import { AnonymousWork, type AnonymousBound, type AnonymousBounds } from './anonymous-work.ts'
import { ConnectionHistories, type ConnectionHistory } from './connection-history.ts'

export interface AnonymousOptions extends AnonymousBounds {
  readonly isProxy: (address: string) => boolean
  readonly onAnonymous: (bound: AnonymousBound, address: string) => void
}

export interface AnonymousParts extends AnonymousOptions {
  /** Monotonic. */
  readonly now: () => number
  /** Whether the token of an Authorization field was verified and still counts. */
  readonly isRemembered: (credentials: string) => boolean
}

/** A refusal waits so long, by HTTP/1 with its connection. */
const holdMs = 1_000
/** Refusals that wait at a time. One more is answered at once, and ends its connection. */
export const mostHeld = 2_000
/** Streams at a time of an HTTP/2 session with a refusal; a client that opens more has them reset by Node. */
export const streamsAfterRefusal = 8

export function createAnonymousRequests(parts: AnonymousParts) {
  const work = new AnonymousWork(parts, parts.now)
  const histories = new ConnectionHistories(parts.isProxy)
  let held = 0

  function isRemembered({ request }: RequestContext): boolean {
    try {
      return parts.isRemembered(authorizationField(request.rawHeaders))
    } catch {
      return false
    }
  }

  return {
    historyOf: (request: RequestContext['request']): ConnectionHistory => histories.of(request),
    /** Calls once, with the refusal where there is one. Not at all when its caller leaves before. */
    admit(context: RequestContext, goOn: (refusal?: Problem) => void): void {
      const { history } = context
      const bound = history === null ? null : work.exceeded(history)
      if (history === null || bound === null || isRemembered(context)) {
        goOn()
        return
      }
      parts.onAnonymous(bound, history.address)
      // A proxy needs its connection for others.
      if (history.isProxy || held >= mostHeld) {
        goOn(tooManyAnonymous(bound, !history.isProxy))
        return
      }
      const session = sessionOf(context.request)
      if (session !== null && !session.destroyed) session.settings({ maxConcurrentStreams: streamsAfterRefusal })
      held += 1
      const timer = setTimeout(() => goOn(tooManyAnonymous(bound, false)), holdMs)
      context.whenClosed(() => {
        held -= 1
        clearTimeout(timer)
      })
    },
    /** A request has ended. Failures that are not the caller's count for nothing. */
    ended({ history, principal, problem }: RequestContext): void {
      if (history === null) return
      if (principal !== null) work.verified(history)
      else if (problem === null || problem.status < 500) work.failed(history, problem?.kind === 'too-many-anonymous')
    },
  }
}

function tooManyAnonymous(bound: AnonymousBound, closes: boolean): Problem {
  const whose = bound === 'address' ? 'your address' : 'all addresses together'
  return new Problem(
    'too-many-anonymous',
    `The gateway gets too many requests without a valid token from ${whose}, and has not checked the token of this one. Repeat it after Retry-After, on a connection that has had a valid token or on a new one.`,
    { reason: `anonymous-of-${bound}`, fields: { 'retry-after': '1', ...(closes ? { connection: 'close' } : {}) } },
  )
}
