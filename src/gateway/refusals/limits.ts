// Texts about limits: why a request is refused, and the status of each limit.

import { basename } from 'node:path'
import { counted } from '../../config/plural.ts'
import type { LimitDecision, Limit, LimitStatus, Quota } from '../../limits/limiter.ts'
import type { Team } from '../../policy/model/policy-set.ts'
import { ownerText } from '../../policy/model/remarks.ts'
import { Problem } from '../../problems.ts'
import { ownerMembers } from './request.ts'

export function limitsUnjudged({ exceeded: limit, retryAfterMs }: LimitDecision): Problem {
  return new Problem(
    'overloaded',
    `The limit ${limit?.name ?? ''} cannot be checked: the store that the instances share is away, and requests that cost money wait for it. Nothing was counted or sent. Try again after Retry-After.`,
    { reason: 'store-away', fields: { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) } },
  )
}

export function limitExceeded(team: Team, limit: Limit, retryAfterMs: number): Problem {
  const { subject, verb, owner } = wordsFor(team, limit)
  const members = limit.scope === 'team' ? ownerMembers(team.owner) : {}
  if (limit.quota === null) {
    const detail = `${subject} may have ${counted(limit.most, 'request')} under way at once (limit ${limit.name}), and ${verb} them. Wait until some have ended.`
    return new Problem('concurrency-exceeded', detail, { fields: { 'retry-after': '1' }, members })
  }
  const kind = limit.kind === 'refundable' ? 'budget-exceeded' : 'rate-limit-exceeded'
  const seconds = Number.isFinite(retryAfterMs) ? Math.max(1, Math.ceil(retryAfterMs / 1000)) : null
  const wait = seconds === null ? 'It never lets this through.' : `Wait ${counted(seconds, 'second')}.`
  return new Problem(
    kind,
    `${subject} ${verb} used the limit ${limit.name} of ${quotaText(limit.quota)}. ${wait} The limit ${owner}.`,
    { fields: seconds === null ? {} : { 'retry-after': String(seconds) }, members },
  )
}

/** Too many bodies of one caller. They were read or not, and are not read any more. */
export function attemptsExceeded(team: Team, { quota }: Limit, retryAfterMs: number): Problem {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
  return new Problem(
    'attempts-exceeded',
    `You have sent more requests with a body than ${quota === null ? 'you may' : quotaText(quota)} (limit attempts), refused ones included. Wait ${counted(seconds, 'second')}, and repair what is refused before you send it again. The limit stands in ${basename(team.source.file)}, for ${ownerText(team.owner, 'its owner')} to change, or follows from \`writes\` there.`,
    { fields: { 'retry-after': String(seconds) }, members: ownerMembers(team.owner) },
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
  const owner = `stands in ${basename(team.source.file)}, for ${ownerText(team.owner, 'its owner')} to change`
  return { subject: `Team ${team.id}`, verb: 'has', owner }
}

const spans: ReadonlyMap<number, string> = new Map([
  [1000, 'second'],
  [60_000, 'minute'],
  [3_600_000, 'hour'],
])

/** The quota as it is felt: with a burst that is smaller, a whole amount never fits at once. */
export function quotaText({ amount, perMs, calendar, burst }: Quota): string {
  const rate = `${amount} per ${calendar ?? spans.get(perMs ?? 0) ?? `${perMs ?? 0} ms`}`
  return burst === null ? rate : `${rate}, at most ${burst} at once`
}

/** The status of limits, for the callers' own page. */
export function limitView({ limit, remaining, resetMs }: LimitStatus): unknown {
  return {
    name: limit.name,
    limit: limit.quota === null ? `${limit.most} at once` : quotaText(limit.quota),
    ...(limit.quota === null || limit.quota.burst === null ? {} : { burst: limit.quota.burst }),
    remaining,
    resets_in_seconds: Math.ceil(resetMs / 1000),
    ...(limit.shadow ? { mode: 'shadow' } : {}),
  }
}
