// Stage: all limits of a request, judged together. Its concurrency slots live as long as its calls to Devin, and what was
// counted for a call that came to nothing is given back then.

import { policyField, statusField } from '../../limits/fields.ts'
import type { LimitDecision, Limit, Limiter } from '../../limits/limiter.ts'
import type { Team } from '../../policy/policy-set.ts'
import type { RequestContext } from '../context.ts'
import { limitExceeded, limitsUnjudged } from '../refusals/limits.ts'
import type { Stage, StageResult } from './stage.ts'

export interface LimitParts {
  readonly limiter: Limiter
}

/** A read of a team for which answers from the cache are free waits with its limits until the upstream is asked. */
export function createTakeLimits(parts: LimitParts): Stage {
  return {
    name: 'take-limits',
    run: (context) => (countsUpstreamOnly(context) ? undefined : takeLimits(parts, context)),
  }
}

export function countsUpstreamOnly(context: RequestContext): boolean {
  return context.decided.decision.team?.cachedIsFree === true && context.isRead
}

/**
 * Counts the request against everything that applies, or refuses it with `rate-limit-exceeded`, `concurrency-exceeded` or
 * `budget-exceeded`, or with `overloaded` where a limit of cost cannot be judged. A promise only where a store is asked.
 */
export function takeLimits({ limiter }: LimitParts, context: RequestContext): StageResult | Promise<StageResult> {
  const { team } = context.decided.decision
  if (team === null) return undefined
  const limits = team.limitsFor(context.decided.facts.principal, context.decided.facts.operation)
  if (limits.length === 0) return undefined
  const decision = limiter.take(limits)
  return decision instanceof Promise
    ? decision.then((made) => heed(limiter, team, limits, made, context))
    : heed(limiter, team, limits, decision, context)
}

function heed(
  limiter: Limiter,
  team: Team,
  limits: readonly Limit[],
  decision: LimitDecision,
  context: RequestContext,
): StageResult {
  context.limitExceeded = decision.exceeded?.name ?? null
  if (decision.storeAway) return limitsUnjudged(decision)
  context.limitFields = ['ratelimit-policy', policyField(limits), 'ratelimit', statusField(decision.statuses)]
  if (!decision.granted && decision.exceeded !== null)
    return limitExceeded(team, decision.exceeded, decision.retryAfterMs)
  if (limits.every((limit) => limit.kind === 'rate')) return undefined
  context.whenEnded(() => {
    limiter.release(limits)
    if (cameToNothing(context)) limiter.giveBack(limits)
  })
  return undefined
}

/** True when the upstream surely did not do what was asked: it said so, or it was never asked. Unclear counts as done. */
function cameToNothing({ upstreamStatus, upstreamStartedAtMs, problem }: RequestContext): boolean {
  if (upstreamStatus !== null) return upstreamStatus >= 400
  if (upstreamStartedAtMs === null) return true
  return problem !== null && (problem.kind === 'upstream-tls-failed' || problem.reason === 'connection_refused')
}
