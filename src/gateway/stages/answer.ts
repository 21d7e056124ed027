// The end of the pipeline: the answer from the cache, or from another caller's call, or the lease to ask the upstream. Then
// follow, in this order, the limits of teams that have stored answers for nothing, the key, and the call.

import { followAcquired } from '../../cache/acquired.ts'
import { createWallTime } from '../../cache/clocks.ts'
import type { ResponseSink } from '../../cache/response-stream.ts'
import type { ResponseCache } from '../../cache/response-cache.ts'
import type { Keyring } from '../../keys/keyring.ts'
import type { Limiter } from '../../limits/limiter.ts'
import type { Precedence } from '../../limits/precedence.ts'
import { asProblem } from '../../problems.ts'
import { cacheRequestOf } from '../cache-request.ts'
import type { RequestContext } from '../context.ts'
import { declareJson } from '../fields.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { forwardThroughSinks, sinksToClient, type SinkSettings } from '../responses/sinks.ts'
import { openKey } from './open-key.ts'
import { enterStage, type StageResult } from './stage.ts'
import { countsUpstreamOnly, takeAllLimits } from './take-limits.ts'

export interface AnswerParts extends SinkSettings {
  readonly limiter: Limiter
  readonly keyring: Keyring
  readonly cache: ResponseCache
  readonly upstream: Upstream
}

/** What the handler of the proxied route does. It throws what is refused before anything was sent of a write. */
export function createAnswer(parts: AnswerParts): (context: RequestContext) => void {
  const { keyring, cache, limiter, upstream } = parts
  const wallTime = createWallTime(parts)
  // A clock that was set forward closes no window early.
  const earliest = (): number => wallTime().earliestMs

  function forward(
    context: RequestContext,
    body: Buffer | null,
    shared: readonly string[] | null,
    receiver: ResponseSink,
  ): void {
    const { request, method, decided, claim, reservation } = context
    enterStage(context, 'open-key')
    const version = openKey(keyring, context)
    enterStage(context, 'forward')
    forwardThroughSinks(
      {
        exchange: context,
        request,
        method: method ?? '',
        operation: decided.facts.operation,
        target: decided.target,
        // An answer that is kept has to suit whoever repeats the request; one that settles a reservation has to be readable.
        fields:
          claim === null && reservation === null ? context.fields : { ...context.fields, acceptEncoding: undefined },
        shared,
        body,
        version,
        precedence: decided.decision.team?.precedence ?? ofNoTeam,
      },
      receiver,
      (asking, sink) => upstream.forward(asking, sink),
      parts,
    )
  }

  return (context) => {
    enterStage(context, 'answer-from-cache')
    const { decided, memo, fields, policy, method, response } = context
    const body = bodyToSend(context)
    if (body === null && fields.expectsContinue) response.writeContinue()
    const request = cacheRequestOf(decided, memo, policy.catalogue, method ?? '', decided.target, fields, earliest)
    let limitsAreDue = countsUpstreamOnly(context)
    followAcquired(cache.acquire(request), sinksToClient(context, parts), (shared, sink) => {
      const ask = (): void => forward(context, body, shared, sink)
      if (!limitsAreDue) ask()
      else {
        // Once, however often the upstream has to be asked.
        limitsAreDue = false
        enterStage(context, 'take-limits')
        whenGranted(takeAllLimits(limiter, context), sink, ask)
      }
    })
  }
}

/** What was judged is what is sent; empty for none, null to stream what is still to come. */
function bodyToSend({ decided, receivedBody, fields }: RequestContext): Buffer | null {
  if (decided.body === undefined) return receivedBody
  if (decided.body === null) return noBody
  declareJson(fields.forward)
  return decided.body.bytes
}

/** Goes on when the limits have room; else the sink hears why not. */
function whenGranted(judged: StageResult | Promise<StageResult>, sink: ResponseSink, goOn: () => void): void {
  if (!(judged instanceof Promise)) {
    if (judged === undefined) goOn()
    else sink.fail(judged)
    return
  }
  let left = false
  sink.attach({
    resume: () => undefined,
    abort() {
      left = true
    },
  })
  judged
    .then((problem) => {
      if (left) return
      if (problem === undefined) goOn()
      else sink.fail(problem)
    })
    // What goes on may be refused by the queue before the upstream.
    .catch((error: unknown) => {
      if (!left) sink.fail(asProblem(error))
    })
}

const noBody = Buffer.alloc(0)
const ofNoTeam: Precedence = { team: '', priority: 'normal', weight: 2, maxWaitMs: 0 }
