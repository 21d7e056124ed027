// Groups of a caller that are nearly the ones a policy names: another case, a slash, white space. For messages only;
// groups match letter by letter. Pure.

import { foldSpelling, spellingDifference } from '../../identity/near-miss.ts'
import type { Principal } from '../../identity/principal.ts'
import type { Team } from '../model/policy-set.ts'
import type { Condition } from '../model/condition.ts'

/** Group and team by the folded group, for each list of teams once: there may be thousands of both. */
const indexes = new WeakMap<readonly Team[], ReadonlyMap<string, { readonly group: string; readonly team: string }>>()

/** The first team that lists a group which differs from one of the caller's in spelling alone; null for none. */
export function nearMembership(
  teams: readonly Team[],
  { groups }: Principal,
): { readonly team: string; readonly text: string } | null {
  let index = indexes.get(teams)
  if (index === undefined) {
    index = new Map(
      teams.toReversed().flatMap((team) => {
        const named = team.members.flatMap((condition) => [...(condition.groups ?? [])])
        return named.map((group) => [foldSpelling(group), { group, team: team.id }] as const)
      }),
    )
    indexes.set(teams, index)
  }
  for (const seen of comparable(groups)) {
    const near = index.get(foldSpelling(seen))
    const difference = near === undefined ? null : spellingDifference(seen, near.group)
    if (near === undefined || difference === null) continue
    const text = `the group ${JSON.stringify(seen)} of the token differs from ${JSON.stringify(near.group)} of team ${near.team} only ${difference}`
    return { team: near.team, text }
  }
  return null
}

/** The same of one condition, to put behind its description; empty where there is none. */
export function nearGroup({ groups }: Condition, principal: Principal): string {
  if (groups !== null && principal.groupsOmitted)
    return '; the groups of this caller were left out of the token, because there are too many of them'
  for (const seen of comparable(principal.groups)) {
    for (const group of groups ?? []) {
      const difference = spellingDifference(seen, group)
      if (difference !== null)
        return `; the group ${JSON.stringify(seen)} of the token differs from ${JSON.stringify(group)} only ${difference}`
    }
  }
  return ''
}

/** Comparing takes time: a token may hold thousands of groups, or a very long one. */
function comparable(groups: readonly string[]): readonly string[] {
  return groups.slice(0, 100).filter((group) => group.length <= 256)
}
