// Stage: checks all limits of a request together, but for those that were taken before its body was read.

import type { Limiter } from '../../limits/limiter.ts'
import type { RequestContext } from '../context.ts'
import { takeLimits } from '../limiting.ts'
import type { Stage, StageResult } from './stage.ts'

/** Where cached answers are free for a team, the limits of a read are taken only when the upstream is asked. */
export function createTakeLimits(limiter: Limiter): Stage {
  return {
    name: 'take-limits',
    run: (context) => (countsUpstreamOnly(context) ? undefined : takeAllLimits(limiter, context)),
  }
}

export function countsUpstreamOnly(context: RequestContext): boolean {
  return context.decided.decision.team?.cachedIsFree === true && context.isRead
}

export function takeAllLimits(limiter: Limiter, context: RequestContext): StageResult | Promise<StageResult> {
  const { decision, facts } = context.decided
  const { team } = decision
  return team === null
    ? undefined
    : takeLimits(limiter, team, team.limitsFor(facts.principal, facts.operation), context)
}
