// The last stage of admission: through the cache, which answers by itself, shares the call of another caller, or has the
// upstream asked. The key is opened here, after everything else has said yes.

import type { AnswerTaker } from '../cache/answer.ts'
import type { ResponseCache } from '../cache/response-cache.ts'
import type { Claim } from '../idempotency/safe-creates.ts'
import type { Keyring } from '../keys/keyring.ts'
import type { Precedence } from '../limits/precedence.ts'
import type { Evaluation } from '../policy/evaluate.ts'
import { questionOf } from './caching.ts'
import { Caller, type OnFail } from './caller.ts'
import { forwardFiltered, type Send } from './filtering.ts'
import type { UpstreamRequest } from './upstream/upstream-request.ts'
import type { Upstream } from './upstream/upstream.ts'
import { openKey } from './key-opening.ts'
import { whenGranted, type Judgement } from './limiting.ts'
import type { ReservedAnswer } from './reserved-answer.ts'
import { SafeCreate } from './safe-create.ts'
import type { Visit } from './visit.ts'

export interface SendingParts {
  readonly keyring: Keyring
  readonly cache: ResponseCache
  readonly upstream: Upstream
  readonly now: () => number
  /** The clock that nobody sets. */
  readonly monotonic: () => number
  /** How long a caller may leave an answer unread. */
  readonly callerIdleMs: number
  /** How long the upstream may take for a create with an Idempotency-Key, with or without its caller. */
  readonly safeCreateMs: number
  readonly onFail: OnFail
}

/** What few requests have. */
export interface Extras {
  /** The Idempotency-Key that this request has claimed. */
  readonly claim: Claim | null
  /** What it may cost, put aside in budgets. */
  readonly reserved: ReservedAnswer | null
  /** Judges the limits when the upstream has to be asked, for teams that have what is stored for nothing. */
  readonly lateLimits: (() => Judgement) | null
}

export const noExtras: Extras = { claim: null, reserved: null, lateLimits: null }

/** `body`: what is sent, empty for none; null to stream what is still to come. */
export type SendRequest = (visit: Visit, evaluation: Evaluation, body: Buffer | null, extras?: Extras) => undefined

export function createSending(parts: SendingParts): SendRequest {
  const { keyring, cache, upstream, now } = parts

  /** A reservation reads the answer as it came, whatever its caller gets to see of it. */
  function ask(
    forward: UpstreamRequest,
    evaluation: Evaluation,
    receiver: AnswerTaker,
    reserved: ReservedAnswer | null,
  ): void {
    const send: Send = (asking, answer) =>
      upstream.forward(asking, reserved === null ? answer : reserved.behind(answer))
    const { response } = evaluation.decision
    if (response === null) send(forward, receiver)
    else forwardFiltered(send, forward, response, receiver, parts)
  }

  return (visit, evaluation, body, extras = noExtras) => {
    const { exchange, request, response } = visit
    const { target, decision, facts } = evaluation
    const { claim, reserved } = extras
    let { lateLimits } = extras
    if (exchange.over) return
    // An answer that is kept has to suit whoever repeats the request; one that settles a reservation has to be readable.
    const fields = claim === null && reserved === null ? visit.fields : { ...visit.fields, acceptEncoding: undefined }
    if (reserved !== null) exchange.endings.push(() => reserved.cancel())
    if (body === null && fields.expectsContinue) response.writeContinue()
    const method = exchange.method ?? ''
    const question = questionOf(evaluation, exchange.policy.catalogue, method, target, fields, now())
    const caller = new Caller(exchange, response, parts.callerIdleMs, parts.onFail)
    const taker = claim === null ? caller : new SafeCreate(exchange, claim, caller, parts.safeCreateMs)
    cache.serve(question, taker, (shared, receiver) => {
      const version = openKey(keyring, evaluation)
      exchange.keyVersion = version
      const precedence = decision.team?.precedence ?? ofNoTeam
      const { operation } = facts
      const forward = { exchange, request, method, operation, target, fields, shared, body, version, precedence }
      const judge = lateLimits
      // Once, however often the cache has to ask.
      lateLimits = null
      if (judge === null) ask(forward, evaluation, receiver, reserved)
      else whenGranted(judge(), receiver, () => ask(forward, evaluation, receiver, reserved))
    })
  }
}

const ofNoTeam: Precedence = { team: '', priority: 'normal', weight: 2, maxWaitMs: 0 }
