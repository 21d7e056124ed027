// The limit stage: judges all limits of a request together, and keeps its concurrency slots and budgets straight until
// the exchange is over.

import { basename } from 'node:path'
import type { AnswerTaker } from '../cache/answer.ts'
import { policyField, statusField } from '../limits/fields.ts'
import type { Allowance, Limit, Limiter, LimitStatus, Quota } from '../limits/limiter.ts'
import type { Evaluation } from '../policy/evaluate.ts'
import type { Team } from '../policy/policy-set.ts'
import { Problem } from '../problems.ts'
import { asProblem } from './answering.ts'
import type { Exchange } from './exchange.ts'

/** Null when every limit has room. A promise only where a shared store is asked. */
export type Judgement = Problem | null | Promise<Problem | null>

/**
 * Counts the request against everything that applies: null, or `rate-limit-exceeded`, `concurrency-exceeded` or
 * `budget-exceeded` with `Retry-After`, or `overloaded` where a limit of cost cannot be judged; handed on, not thrown,
 * which would take a tenth of a refused request. What has to be given back is given back when the exchange is over.
 */
export function applyLimits(limiter: Limiter, team: Team, limits: readonly Limit[], exchange: Exchange): Judgement {
  if (limits.length === 0) return null
  const allowance = limiter.take(limits)
  return allowance instanceof Promise
    ? allowance.then((made) => heed(limiter, team, limits, made, exchange))
    : heed(limiter, team, limits, allowance, exchange)
}

/** A read of a team for which answers from the cache are free: its limits are judged when the upstream is asked. */
export function countsUpstreamOnly({ decision }: Evaluation, { method }: Exchange): boolean {
  return decision.team?.cachedIsFree === true && (method === 'GET' || method === 'HEAD')
}

/**
 * Goes on when the limits have room; else the taker hears why not. For limits that are judged when the upstream is asked,
 * and not before.
 */
export function whenGranted(judged: Judgement, taker: AnswerTaker, goOn: () => void): void {
  if (!(judged instanceof Promise)) {
    if (judged === null) goOn()
    else taker.fail(judged)
    return
  }
  let left = false
  taker.attach({
    resume: () => undefined,
    abort() {
      left = true
    },
  })
  judged
    .then((problem) => {
      if (left) return
      if (problem === null) goOn()
      else taker.fail(problem)
    })
    // What goes on may be refused by the line before the upstream.
    .catch((error: unknown) => {
      if (!left) taker.fail(asProblem(error))
    })
}

function heed(
  limiter: Limiter,
  team: Team,
  limits: readonly Limit[],
  allowance: Allowance,
  exchange: Exchange,
): Problem | null {
  exchange.limitExceeded = allowance.exceeded?.name ?? null
  if (allowance.storeAway) return unjudged(allowance)
  exchange.limitFields = ['ratelimit-policy', policyField(limits), 'ratelimit', statusField(allowance.statuses)]
  if (!allowance.granted && allowance.exceeded !== null)
    return exceeded(team, allowance.exceeded, allowance.retryAfterMs)
  if (limits.every((limit) => limit.kind === 'rate')) return null
  const settle = (): void => {
    limiter.release(limits)
    if (cameToNothing(exchange)) limiter.giveBack(limits)
  }
  // The caller may have left while the store was asked.
  if (exchange.over) settle()
  else exchange.endings.push(settle)
  return null
}

/** True when the upstream surely did not do what was asked: it said so, or it was never asked. Unclear counts as done. */
function cameToNothing({ upstreamStatus, upstreamStartedAtMs, problem }: Exchange): boolean {
  if (upstreamStatus !== null) return upstreamStatus >= 400
  if (upstreamStartedAtMs === null) return true
  return problem !== null && (problem.kind === 'upstream-tls-failed' || problem.reason === 'connection_refused')
}

function unjudged({ exceeded: limit, retryAfterMs }: Allowance): Problem {
  return new Problem(
    'overloaded',
    `The limit ${limit?.name ?? ''} cannot be judged: the store that the instances share is away, and what costs money is not let through unjudged. Nothing was counted or sent; try again after Retry-After.`,
    { reason: 'store-away', fields: { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) } },
  )
}

function exceeded(team: Team, limit: Limit, retryAfterMs: number): Problem {
  const { subject, verb, owner } = wordsFor(team, limit)
  if (limit.quota === null) {
    const detail = `${subject} may have ${limit.most} requests under way at once (limit ${limit.name}), and ${verb} them. Wait until some have ended.`
    return new Problem('concurrency-exceeded', detail, { fields: { 'retry-after': '1' } })
  }
  const kind = limit.kind === 'budget' ? 'budget-exceeded' : 'rate-limit-exceeded'
  const seconds = Number.isFinite(retryAfterMs) ? Math.max(1, Math.ceil(retryAfterMs / 1000)) : null
  const wait = seconds === null ? 'It never lets this through.' : `Wait ${seconds} second${seconds === 1 ? '' : 's'}.`
  return new Problem(
    kind,
    `${subject} ${verb} used the limit ${limit.name} of ${quotaText(limit.quota)}. ${wait} The limit ${owner}.`,
    { fields: seconds === null ? {} : { 'retry-after': String(seconds) } },
  )
}

/** Who used it, and who may change it. */
function wordsFor(team: Team, { scope }: Limit): { subject: string; verb: 'has' | 'have'; owner: string } {
  if (scope === 'gateway')
    return {
      subject: 'All teams together',
      verb: 'have',
      owner: "is the gateway's, not your team's, and protects the Devin API",
    }
  const owner = `stands in ${basename(team.source.file)}, for its owner to change`
  return { subject: `Team ${team.id}`, verb: 'has', owner }
}

const spans: ReadonlyMap<number, string> = new Map([
  [1000, 'second'],
  [60_000, 'minute'],
  [3_600_000, 'hour'],
])

function quotaText({ amount, perMs, calendar }: Quota): string {
  return `${amount} per ${calendar ?? spans.get(perMs ?? 0) ?? `${perMs ?? 0} ms`}`
}

/** How limits stand, for the callers' own page. */
export function limitView({ limit, remaining, resetMs }: LimitStatus): unknown {
  return {
    name: limit.name,
    limit: limit.quota === null ? `${limit.most} at once` : quotaText(limit.quota),
    remaining,
    resets_in_seconds: Math.ceil(resetMs / 1000),
    ...(limit.shadow ? { mode: 'shadow' } : {}),
  }
}
