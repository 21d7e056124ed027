// The stages of a request, in order, as app.ts adds them to Fastify's life cycle.

import type { TokenVerifier } from '../../identity/token-verifier.ts'
import type { Bodies } from '../bodies/collect.ts'
import type { Budgeting } from '../budgeting.ts'
import type { RequestContext } from '../context.ts'
import type { DevinUsers } from '../devin-users.ts'
import type { Overload } from '../load/overload.ts'
import type { IdempotencyService } from '../../idempotency/idempotency-service.ts'
import { createAdmitBody, type AdmitBodyParts } from './body/admit-body.ts'
import { createAnswerFromCache, type AnswerFromCacheParts } from './answer/answer-from-cache.ts'
import { createAuthenticate } from './authenticate.ts'
import { createAuthorize } from './authorize.ts'
import { createCheckBlocks } from './check-blocks.ts'
import { chooseKey } from './choose-key.ts'
import { createClaimIdempotencyKey } from './claim-idempotency-key.ts'
import { createForwarding, type ForwardingParts } from './answer/forward.ts'
import { createJudgeBody } from './body/judge-body.ts'
import { createReadBody } from './body/read-body.ts'
import { readRequest } from './read-request.ts'
import { createReserveBudget } from './reserve-budget.ts'
import type { Stage } from './stage.ts'
import { createShedLoad } from './shed-load.ts'
import { createTakeLimits } from './take-limits.ts'

export interface StageParts extends AdmitBodyParts, AnswerFromCacheParts, ForwardingParts {
  readonly tokens: TokenVerifier
  readonly devinUsers: DevinUsers
  readonly overload: Overload
  readonly budgeting: Budgeting
  readonly idempotency: IdempotencyService
  readonly maxBodyBytes: number
  readonly bodies: Bodies
}

export interface Stages {
  readonly readRequest: Stage
  readonly authenticate: Stage
  readonly checkBlocks: Stage
  readonly decide: readonly Stage[]
  readonly forward: (context: RequestContext) => void
}

export function createStages(parts: StageParts): Stages {
  const forwarding = createForwarding(parts)
  return {
    readRequest: { name: 'read-request', run: readRequest },
    authenticate: createAuthenticate(parts.tokens),
    checkBlocks: createCheckBlocks(parts.blocks),
    decide: [
      createAuthorize(parts.maxBodyBytes),
      createShedLoad(parts.overload),
      createAdmitBody(parts),
      createJudgeBody(parts),
      createClaimIdempotencyKey(parts),
      { name: 'choose-key', run: chooseKey },
      createTakeLimits(parts.limiter),
      createReadBody(parts.bodies),
      createReserveBudget(parts.budgeting),
      createAnswerFromCache(parts, forwarding),
    ],
    forward: forwarding.run,
  }
}
