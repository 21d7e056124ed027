// Which teams a caller is a member of, looked up by what the conditions name, so that it does not grow with the number of
// teams. In steps; else pure.

import type { Principal } from '../../identity/principal.ts'
import type { Team } from '../model/policy-set.ts'
import { type Condition, conditionHolds } from '../model/condition.ts'
import { eachInSteps, type Steps } from '../model/steps.ts'

/** Finds the teams of a principal, in their order. */
type MembershipFinder = (principal: Principal, teams: readonly Team[]) => readonly Team[]

/** Makes the finder for these teams, and for the same ones in the same order when some of their entries have ended. */
export function* createMembershipFinder(whole: readonly Team[]): Steps<MembershipFinder> {
  const byValue = new Map<string, number[]>()
  /** Places of teams with an entry that names nothing to look up by: an issuer or other claims only. */
  const always = new Set<number>()
  yield* eachInSteps(whole, (team, place) => {
    for (const condition of team.members) {
      const values = namedValues(condition)
      if (values === null) always.add(place)
      for (const value of values ?? []) {
        const list = byValue.get(value)
        if (list === undefined) byValue.set(value, [place])
        else if (list.at(-1) !== place) list.push(place)
      }
    }
  })
  return (principal, teams) => {
    const candidates = new Set(always)
    for (const value of valuesOf(principal)) for (const place of byValue.get(value) ?? []) candidates.add(place)
    return [...candidates]
      .sort((a, b) => a - b)
      .flatMap((place) => {
        const team = teams[place]
        return team?.members.some((condition) => conditionHolds(condition, principal)) === true ? [team] : []
      })
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
