// Checks a request against limits, for the two stages that do it. What is taken is registered on the context.

import { policyField, statusField } from '../limits/fields.ts'
import type { LimitDecision, Limit, Limiter, LimitStatus } from '../limits/limiter.ts'
import type { Team } from '../policy/model/policy-set.ts'
import type { RequestContext } from './context.ts'
import { limitExceeded, limitsUnjudged } from './refusals/limits.ts'
import { whenReady, type StageResult } from './stages/stage.ts'

/** Counts a request against limits that were not taken before, or refuses it. A promise only where a store is asked. */
export function takeLimits(
  limiter: Limiter,
  team: Team,
  limits: readonly Limit[],
  context: RequestContext,
): StageResult | Promise<StageResult> {
  const taken = context.limitStatuses
  const due =
    taken.length === 0 ? limits : limits.filter(({ meter }) => taken.every(({ limit }) => limit.meter !== meter))
  if (due.length === 0) return undefined
  return whenReady(limiter.take(due), (decision) => heed(limiter, team, due, decision, context))
}

function heed(
  limiter: Limiter,
  team: Team,
  limits: readonly Limit[],
  decision: LimitDecision,
  context: RequestContext,
): StageResult {
  context.limitExceeded ??= decision.exceeded?.name ?? null
  if (decision.storeAway) return limitsUnjudged(decision)
  addLimitFields(context, limits, decision.statuses)
  if (!decision.granted && decision.exceeded !== null)
    return limitExceeded(team, decision.exceeded, decision.retryAfterMs)
  if (limits.every((limit) => limit.kind === 'rate')) return undefined
  context.whenEnded(() => {
    limiter.release(limits)
    if (cameToNothing(context)) limiter.giveBack(limits)
  })
  return undefined
}

/** Adds limits to the RateLimit fields of the answer. */
export function addLimitFields(
  context: RequestContext,
  limits: readonly Limit[],
  statuses: readonly LimitStatus[],
): void {
  const before = context.limitStatuses
  context.limitStatuses = before.length === 0 ? statuses : [...statuses, ...before]
  const shown = before.length === 0 ? limits : context.limitStatuses.map(({ limit }) => limit)
  context.limitFields = ['ratelimit-policy', policyField(shown), 'ratelimit', statusField(context.limitStatuses)]
}

/** Whether the answer shows the limit of attempts: where the policy states it, or half of it is used. */
export function showsAttempts({ attempts }: Team, { limit, remaining }: LimitStatus): boolean {
  return attempts.isStated || (limit.quota !== null && 2 * remaining < limit.quota.amount)
}

/** True when the upstream surely did not do what was asked: it said so, or it was never asked. Unclear counts as done. */
function cameToNothing({ upstreamStatus, upstreamStartedAtMs, problem }: RequestContext): boolean {
  if (upstreamStatus !== null) return upstreamStatus >= 400
  if (upstreamStartedAtMs === null) return true
  return problem !== null && (problem.kind === 'upstream-tls-failed' || problem.reason === 'connection_refused')
}
