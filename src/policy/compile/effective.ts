// What of a policy set is in force at an instant: without the grants, member entries and exceptions that have ended. Pure.

import type { Guardrail } from '../guardrails/guardrail.ts'
import { hasEnded, type RightEnding } from '../model/ending.ts'
import type { Grant, Team } from '../model/policy-set.ts'

/** Every instant at which something ends, in order. */
export function endsOf(teams: readonly Team[], guardrails: readonly Guardrail[]): readonly number[] {
  const endings: readonly RightEnding[] = [
    ...teams.flatMap(({ members, grants }) => [
      ...members.map(({ ending }) => ending),
      ...grants.map(({ ending }) => ending),
    ]),
    ...guardrails.flatMap(({ exceptions }) => exceptions.map(({ ending }) => ending)),
  ]
  const instants = endings.flatMap(({ endsAtMs }) => (endsAtMs === null ? [] : [endsAtMs]))
  return [...new Set(instants)].sort((a, b) => a - b)
}

/** A team as it is at an instant; the same object where nothing of it has ended. */
export function teamAt(team: Team, nowMs: number): Team {
  const ended = new Map<Grant, Grant>()
  for (const grant of team.grants) if (hasEnded(grant.ending, nowMs)) ended.set(grant, { ...grant, mode: 'ended' })
  const members = team.members.filter(({ ending }) => !hasEnded(ending, nowMs))
  if (ended.size === 0 && members.length === team.members.length) return team
  const now = (grants: readonly Grant[]): readonly Grant[] => grants.map((grant) => ended.get(grant) ?? grant)
  return {
    ...team,
    members,
    grants: now(team.grants),
    byOperation: team.byOperation.map((grants) => (grants === undefined ? undefined : now(grants))),
    byPermission: new Map([...team.byPermission].map(([name, grants]) => [name, now(grants)])),
  }
}
