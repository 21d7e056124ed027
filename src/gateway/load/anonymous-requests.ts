// Refuses requests without a valid token beyond the bounds, before their token is checked and without a record; late, so that who
// goes on at once gets no more than that.

import { authorizationField } from '../../identity/token-form.ts'
import { Problem } from '../../problems.ts'
import type { RequestContext } from '../context.ts'
import { sessionOf } from '../listener/http-versions.ts'
import { AnonymousWork, isTrusted, type AnonymousBound, type AnonymousBounds } from './anonymous-work.ts'
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
/** Requests of connections with nothing but failures that are looked at at a time; what is more waits, and such a group follows each pause. */
export const mostTriedAtOnce = 4
const pauseMs = 10
/** Requests and refusals that wait at a time. One more is answered at once, and ends its connection. */
export const mostHeld = 2_000
/** Streams at a time of an HTTP/2 session with a refusal; a client that opens more has them reset by Node. */
export const streamsAfterRefusal = 8

export function createAnonymousRequests(parts: AnonymousParts) {
  const work = new AnonymousWork(parts, parts.now)
  const histories = new ConnectionHistories(parts.isProxy)
  /** Without a known token, in their order. */
  let queue: (() => void)[] = []
  let timer: NodeJS.Timeout | null = null
  let atOnce = 0
  let held = 0

  function isRemembered({ request }: RequestContext): boolean {
    try {
      return parts.isRemembered(authorizationField(request.rawHeaders))
    } catch {
      return false
    }
  }

  function begin(context: RequestContext, goOn: () => void): void {
    atOnce += 1
    context.whenClosed(() => (atOnce -= 1))
    goOn()
  }

  function beginWaiting(): void {
    timer = null
    const waiting = queue
    queue = []
    for (const next of waiting)
      if (atOnce < mostTriedAtOnce) next()
      else queue.push(next)
    if (queue.length > 0) timer = setTimeout(beginWaiting, pauseMs)
  }

  /** Waits for its turn. */
  function queueUp(context: RequestContext, goOn: (refusal?: Problem) => void): void {
    held += 1
    context.whenClosed(() => (held -= 1))
    queue.push(() => {
      if (!context.isOpen) return
      const bound = context.history === null ? null : work.exceeded(context.history)
      if (bound === null) begin(context, goOn)
      else refuse(context, bound, goOn)
    })
    timer ??= setTimeout(beginWaiting, pauseMs)
  }

  function refuse(context: RequestContext, bound: AnonymousBound, goOn: (refusal?: Problem) => void): void {
    const { address = '', isProxy = false } = context.history ?? {}
    parts.onAnonymous(bound, address)
    // A proxy needs its connection for others.
    if (isProxy || held >= mostHeld) {
      goOn(tooManyAnonymous(bound, !isProxy))
      return
    }
    const session = sessionOf(context.request)
    if (session !== null && !session.destroyed) session.settings({ maxConcurrentStreams: streamsAfterRefusal })
    held += 1
    const holding = setTimeout(() => goOn(tooManyAnonymous(bound, false)), holdMs)
    context.whenClosed(() => {
      held -= 1
      clearTimeout(holding)
    })
  }

  return {
    historyOf: (request: RequestContext['request']): ConnectionHistory => histories.of(request),
    /** Calls once, with the refusal where there is one. Not at all when its caller leaves before. */
    admit(context: RequestContext, goOn: (refusal?: Problem) => void): void {
      const { history } = context
      const bound = history === null ? null : work.exceeded(history)
      if (history === null || (bound === null && isTrusted(history)) || isRemembered(context)) goOn()
      else if (bound !== null) refuse(context, bound, goOn)
      else if (atOnce < mostTriedAtOnce && queue.length === 0) begin(context, goOn)
      else if (held < mostHeld) queueUp(context, goOn)
      else refuse(context, 'all', goOn)
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
