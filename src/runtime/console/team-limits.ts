// Limits of a team and what is left of them; what a shared store knows is shown as it was read last.

import type { TeamLimitView } from '../../admin/console/team-view.ts'
import { quotaText } from '../../gateway/refusals/limits.ts'
import { emptyPrincipal } from '../../identity/principal.ts'
import type { Limit, Limiter, LimitStatus } from '../../limits/limiter.ts'
import type { PolicySet, Team } from '../../policy/model/policy-set.ts'
import { percentOf } from './cache-state.ts'

/** Readings that are kept, by team. */
const mostKept = 500

export function createTeamLimits(limiter: Limiter) {
  const kept = new Map<string, readonly LimitStatus[]>()

  /** Never waits: a limiter that asks a store is asked for the next time. */
  function statusesOf(team: Team, limits: readonly Limit[]): readonly LimitStatus[] {
    const read = limiter.peek(limits)
    if ('then' in read)
      void read.then(
        (statuses) => keep(team.id, statuses),
        () => kept.delete(team.id),
      )
    else return read
    return kept.get(team.id) ?? []
  }

  function keep(id: string, statuses: readonly LimitStatus[]): void {
    if (kept.size >= mostKept) kept.clear()
    kept.set(id, statuses)
  }

  return {
    of(policy: PolicySet, team: Team): readonly TeamLimitView[] {
      const all = limitsOfTeam(policy, team)
      const shared = all.filter(({ isOfEach }) => !isOfEach)
      const statuses = new Map(
        statusesOf(
          team,
          shared.map(({ limit }) => limit),
        ).map((status) => [status.limit.meter, status]),
      )
      return all.map(({ limit, whose }): TeamLimitView => {
        const { name, quota, most, shadow } = limit
        const amount = quota === null ? most : (quota.burst ?? quota.amount)
        const status = statuses.get(limit.meter)
        const left = status === undefined ? null : status.remaining
        return {
          name,
          whose,
          limit: quota === null ? `${most} at once` : quotaText(quota),
          amount,
          left,
          used_percent: left === null ? null : percentOf(amount - left, amount),
          resets_in_seconds: status === undefined ? null : Math.ceil(status.resetMs / 1000),
          mode: shadow ? 'shadow' : 'enforce',
        }
      })
    },
  }
}

interface LimitOfTeam {
  readonly limit: Limit
  readonly whose: string
  /** Every caller has one of its own. */
  readonly isOfEach: boolean
}

/** Limits whose meter differs for two callers are of each caller. */
function limitsOfTeam(policy: PolicySet, team: Team): readonly LimitOfTeam[] {
  const found = new Map<string, LimitOfTeam>()
  for (const app of [null, ...team.limitedApps]) {
    const one = { ...emptyPrincipal, subject: 'some-caller', app }
    const other = { ...one, subject: 'other-caller' }
    for (const operation of policy.catalogue.operations) {
      if (team.grantsOn(operation).length === 0) continue
      const others = new Set(team.limitsFor(other, operation).map(({ meter }) => meter))
      for (const limit of team.limitsFor(one, operation)) {
        if (found.has(limit.meter)) continue
        const isOfEach = !others.has(limit.meter)
        const ofTeam = limit.scope === 'gateway' ? 'all teams together' : `team ${team.id}`
        const whose = isOfEach ? 'each caller' : app !== null && limit.name.startsWith('app-') ? `app ${app}` : ofTeam
        found.set(limit.meter, { limit, whose, isOfEach })
      }
    }
  }
  return [...found.values()]
}
