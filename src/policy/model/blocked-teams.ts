// A policy set in which some teams are blocked: their grants do not count, and those of a caller's other teams do.

import type { Principal } from '../../identity/principal.ts'
import type { BlockedTeam, PolicySet, Team } from './policy-set.ts'

/** A set of its own, so that nothing that was remembered for the whole one is used. */
export function withoutTeams(policy: PolicySet, blocked: ReadonlyMap<string, BlockedTeam>): PolicySet {
  const split = (principal: Principal, isBlocked: boolean): readonly Team[] =>
    policy.teamsOf(principal).filter((team) => blocked.has(team.id) === isBlocked)
  return {
    ...policy,
    blocked,
    teamsOf: (principal) => split(principal, false),
    blockedTeamsOf: (principal) => split(principal, true),
  }
}
