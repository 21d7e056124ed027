// Stage: limits on bodies that have to be read before the other limits are checked, because the decision or an
// Idempotency-Key depends on them: attempts per caller, which are never given back, and the team's concurrency.

import { idempotencyKeyIn } from '../../../idempotency/key-field.ts'
import type { Limiter } from '../../../limits/limiter.ts'
import type { LocalLimiter } from '../../../limits/local/local-limiter.ts'
import type { Team } from '../../../policy/model/policy-set.ts'
import type { RequestContext } from '../../context.ts'
import { showsAttempts, takeLimits, addLimitFields } from '../../limiting.ts'
import { attemptsExceeded } from '../../refusals/limits.ts'
import type { Stage, StageResult } from '../stage.ts'

export interface AdmitBodyParts {
  readonly limiter: Limiter
  /** Per instance: attempts cost the time of this instance only. */
  readonly attempts: LocalLimiter
}

export function createAdmitBody({ limiter, attempts }: AdmitBodyParts): Stage {
  function countAttempt(context: RequestContext, team: Team): StageResult {
    const limit = team.attempts.of(context.decided.facts.principal)
    const { granted, exceeded, statuses, retryAfterMs } = attempts.take([limit])
    if (exceeded !== null) context.limitExceeded = exceeded.name
    const shown = statuses.filter((status) => showsAttempts(team, status))
    if (shown.length > 0) addLimitFields(context, [limit], shown)
    return granted ? undefined : attemptsExceeded(team, limit, retryAfterMs)
  }

  return {
    name: 'admit-body',
    run(context) {
      const { decision, facts } = context.decided
      const { team } = decision
      if (team === null || !isReadFirst(context)) return undefined
      const refusal = countAttempt(context, team)
      if (refusal !== undefined) return refusal
      const slots = team.limitsFor(facts.principal, facts.operation).filter(({ kind }) => kind === 'concurrency')
      return slots.length === 0 ? undefined : takeLimits(limiter, team, slots, context)
    },
  }
}

function isReadFirst({ decided, fields }: RequestContext): boolean {
  if (fields.bodyLength === 0) return false
  return decided.needsBody || (decided.facts.operation.idempotent && idempotencyKeyIn(fields.forward) !== null)
}
