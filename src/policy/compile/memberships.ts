// Which teams a caller is a member of, looked up by what the conditions name, so that it does not grow with the number of
// teams. Pure.

import type { Principal } from '../../identity/principal.ts'
import type { Team } from '../model/policy-set.ts'
import { type Condition, conditionHolds } from '../model/condition.ts'

/** Finds the teams of a principal, in the order in which they were given. */
export function createMembershipFinder(teams: readonly Team[]): (principal: Principal) => readonly Team[] {
  const places = new Map(teams.map((team, place) => [team, place]))
  const byValue = new Map<string, Team[]>()
  /** Teams with an entry that names nothing to look up by: an issuer or other claims only. */
  const always = new Set<Team>()
  for (const team of teams) {
    for (const condition of team.members) {
      const values = namedValues(condition)
      if (values === null) always.add(team)
      for (const value of values ?? []) {
        const list = byValue.get(value)
        if (list === undefined) byValue.set(value, [team])
        else list.push(team)
      }
    }
  }
  return (principal) => {
    const candidates = new Set(always)
    for (const value of valuesOf(principal)) for (const team of byValue.get(value) ?? []) candidates.add(team)
    return [...candidates]
      .filter((team) => team.members.some((condition) => conditionHolds(condition, principal)))
      .sort((a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0))
  }
}

/** The values of the attribute that fits the fewest callers: one of them must be the caller's for the condition to hold. */
function namedValues(condition: Condition): readonly string[] | null {
  for (const name of ['subject', 'email', 'groups', 'app', 'actor'] as const) {
    const values = condition[name]
    if (values !== null) return [...values].map((value) => `${name} ${value}`)
  }
  return null
}

function valuesOf({ subject, email, groups, app, actor }: Principal): readonly string[] {
  const ofGroups = groups.map((group) => `groups ${group}`)
  return [`subject ${subject}`, `email ${email}`, ...ofGroups, `app ${app}`, `actor ${actor}`]
}
