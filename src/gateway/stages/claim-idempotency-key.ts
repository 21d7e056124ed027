// Stage: a create claims its Idempotency-Key as it was received; repetitions get the stored answer.

import { addressOf } from '../../catalogue/target.ts'
import { idempotencyKeyIn } from '../../idempotency/key-field.ts'
import type { Claim, KeyOwner, IdempotencyService } from '../../idempotency/idempotency-service.ts'
import { upstreamKey } from '../../idempotency/upstream-key.ts'
import type { Evaluation } from '../../policy/decision/evaluate.ts'
import type { Bodies } from '../bodies/collect.ts'
import type { RequestContext } from '../context.ts'
import { ClientResponseWriter, type ClientSettings } from '../responses/client.ts'
import { answerAgain } from '../responses/idempotent.ts'
import type { Stage, StageResult } from './stage.ts'

export interface ClaimParts extends ClientSettings {
  readonly idempotency: IdempotencyService
  readonly bodies: Bodies
}

export function createClaimIdempotencyKey(parts: ClaimParts): Stage {
  const { idempotency, bodies } = parts

  async function claim(context: RequestContext, key: string): Promise<StageResult> {
    context.receivedBody ??= await bodies.whole(context)
    if (!context.isOpen) return undefined
    const begun = await idempotency.begin({
      caller: callerOf(context.decided),
      key,
      method: context.method ?? '',
      target: addressOf(context.target),
      body: context.receivedBody,
    })
    if (begun.kind === 'first') hold(context, begun.claim)
    else if (context.isOpen) answerAgain(begun.answer, context, new ClientResponseWriter(context, parts))
    return undefined
  }

  return {
    name: 'claim-idempotency-key',
    run(context) {
      const { forward } = context.fields
      const key = context.decided.facts.operation.idempotent ? idempotencyKeyIn(forward) : null
      hideKeys(forward, context.decided)
      return key === null ? undefined : claim(context, key)
    },
  }
}

/** The key that goes upstream in place of the caller's own, also for operations without idempotency. */
function hideKeys(forward: string[], evaluation: Evaluation): void {
  for (let index = 0; index < forward.length; index += 2)
    if (forward[index] === 'idempotency-key')
      forward[index + 1] = upstreamKey(callerOf(evaluation), forward[index + 1] ?? '')
}

/** Settles the claim once, however the request ends; a request that was never sent frees the key. */
function hold(context: RequestContext, claim: Claim): void {
  let isSettled = false
  const once = (settle: () => Promise<void>): Promise<void> => {
    if (isSettled) return Promise.resolve()
    isSettled = true
    return settle()
  }
  const held: Claim = {
    answered: (answer) => once(() => claim.answered(answer)),
    unclear: (status) => once(() => claim.unclear(status)),
    release: () => once(() => claim.release()),
  }
  context.claim = held
  context.whenEnded(
    () => void (context.upstreamStartedAtMs === null ? held.release() : held.unclear(context.upstreamStatus)),
  )
}

/** The owner of the key: person, app and team together, so that equal keys of different owners are different. */
function callerOf({ facts, decision }: Evaluation): KeyOwner {
  const { issuer, subject, app } = facts.principal
  return { issuer, subject, team: decision.team?.id ?? '', app: app ?? '' }
}
