// Groups and apps of a caller that are nearly the ones a policy names: another case, a slash, white space. For messages
// only; they match letter by letter. Pure.

import { foldSpelling, spellingDifference } from '../../identity/near-miss.ts'
import type { Principal } from '../../identity/principal.ts'
import type { Team } from '../model/policy-set.ts'
import type { Condition } from '../model/condition.ts'

/** What a team lists by its folded form, for each list of teams once: there may be thousands. */
const indexes = new WeakMap<readonly Team[], ReadonlyMap<string, { readonly name: string; readonly team: string }>>()

/** The first team that lists a group or an app which differs from one of the caller's in spelling alone; null for none. */
export function nearMembership(teams: readonly Team[], { groups, app }: Principal): NearMembership | null {
  let index = indexes.get(teams)
  if (index === undefined) {
    index = new Map(
      teams
        .toReversed()
        .flatMap(({ id: team, members }) =>
          members.flatMap((entry) => [
            ...[...(entry.groups ?? [])].map((name) => [keyOf('group', name), { name, team }] as const),
            ...[...(entry.app ?? [])].map((name) => [keyOf('app', name), { name, team }] as const),
          ]),
        ),
    )
    indexes.set(teams, index)
  }
  const ofCaller = [
    ...comparable(groups).map((seen) => ['group', seen] as const),
    ...comparable(app === null ? [] : [app]).map((seen) => ['app', seen] as const),
  ]
  for (const [what, seen] of ofCaller) {
    const near = index.get(keyOf(what, seen))
    const difference = near === undefined ? null : spellingDifference(seen, near.name)
    if (near === undefined || difference === null) continue
    const text = `the ${what} ${JSON.stringify(seen)} of the token differs from ${JSON.stringify(near.name)} of team ${near.team} only ${difference}`
    return { team: near.team, what, text }
  }
  return null
}

interface NearMembership {
  readonly team: string
  readonly what: 'group' | 'app'
  readonly text: string
}

function keyOf(what: NearMembership['what'], name: string): string {
  return `${what} ${foldSpelling(name)}`
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
function comparable(names: readonly string[]): readonly string[] {
  return names.slice(0, 100).filter((name) => name.length <= 256)
}
