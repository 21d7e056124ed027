// The end of the pipeline, where the upstream is asked: limits of teams whose cached answers are free, the key, the call.

import { followAcquired, type AskUpstream } from '../../../cache/acquired.ts'
import type { ResponseSink } from '../../../cache/response-stream.ts'
import type { Keyring } from '../../../keys/keyring.ts'
import type { Limiter } from '../../../limits/limiter.ts'
import { ofNoTeam } from '../../../limits/precedence.ts'
import { asProblem } from '../../../problems.ts'
import { lookAgain, type Blocks } from '../../blocking/refusals.ts'
import type { RequestContext } from '../../context.ts'
import { declareJson } from '../../fields.ts'
import type { Upstream } from '../../upstream/upstream.ts'
import { inTakenCoding } from '../../responses/plain-answer.ts'
import { forwardThroughSinks, sinksToClient, type SinkSettings } from '../../responses/sinks.ts'
import { openKey } from './open-key.ts'
import { enterStage, type StageResult } from '../stage.ts'
import { countsUpstreamOnly, takeAllLimits } from '../take-limits.ts'

export interface ForwardingParts extends SinkSettings {
  readonly limiter: Limiter
  readonly keyring: Keyring
  readonly upstream: Upstream
  readonly blocks: Blocks
}

export function createForwarding(parts: ForwardingParts) {
  const { blocks, keyring, limiter, upstream } = parts

  function forward(context: RequestContext, shared: readonly string[] | null, receiver: ResponseSink): void {
    const { request, response, method, decided, claim, reservation } = context
    const body = bodyToSend(context)
    if (body === null && context.fields.expectsContinue) response.writeContinue()
    enterStage(context, 'open-key')
    const version = openKey(keyring, blocks.list, context)
    enterStage(context, 'forward')
    forwardThroughSinks(
      {
        context,
        request,
        method: method ?? '',
        operation: decided.facts.operation,
        target: decided.target,
        // A stored answer has to suit every later repetition, and an answer that settles a reservation has to be
        // readable: both are asked for without coding.
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

  function askFor(context: RequestContext): AskUpstream {
    let limitsAreDue = countsUpstreamOnly(context)
    return (shared, sink) => {
      // A request that has waited may be one of a caller who was blocked meanwhile.
      const ask = (): void => whenGranted(lookAgain(context, blocks), sink, () => forward(context, shared, sink))
      if (!limitsAreDue) ask()
      else {
        // Once, however often the upstream has to be asked.
        limitsAreDue = false
        enterStage(context, 'take-limits')
        whenGranted(takeAllLimits(limiter, context), sink, ask)
      }
    }
  }

  return {
    /** Asks the upstream for a request, as often as the cache says. Throws what is refused before anything was sent. */
    askFor,
    /** The handler of the proxied route: follows the lease or the wait that the cache gave. */
    run(context: RequestContext): void {
      const { acquired, fields, method } = context
      if (acquired === null) throw new Error('the cache was not asked')
      const client = sinksToClient(context, parts)
      // Where nobody else gets the answer, the caller's own Accept-Encoding goes upstream.
      const isOwn = acquired.kind === 'fetch' && acquired.fields === null
      const sink = isOwn ? client : inTakenCoding(client, method ?? '', fields.acceptEncoding)
      followAcquired(acquired, sink, askFor(context))
    },
  }
}

export type Forwarding = ReturnType<typeof createForwarding>

/** The judged body is what is sent; empty for none, null to stream the rest. */
function bodyToSend({ decided, receivedBody, fields }: RequestContext): Buffer | null {
  if (decided.body === undefined) return receivedBody
  if (decided.body === null) return noBody
  declareJson(fields.forward)
  return decided.body.bytes
}

/** Continues when the limits have room; else the sink gets the refusal. */
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
    // The queue before the upstream may refuse it.
    .catch((error: unknown) => {
      if (!left) sink.fail(asProblem(error))
    })
}

const noBody = Buffer.alloc(0)
