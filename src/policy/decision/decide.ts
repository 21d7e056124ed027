// The policy decision point: (policies, facts) → decision. Pure; no HTTP, no clock, no I/O. Deny by default.

import type { Decision, Denial, Facts, NearMiss, ResponseFilter } from '../model/decision.ts'
import type { Principal } from '../../identity/principal.ts'
import { isInside, misspelledName, outsideFence, undocumentedName } from './fence.ts'
import type { Grant, PolicySet, Team } from '../model/policy-set.ts'
import { nearEntry } from './near-entries.ts'
import { nearGroup, nearMembership } from './near-groups.ts'
import { responseFilter } from './response-filter.ts'
import { conditionHolds, describeCondition } from '../model/condition.ts'

/** Every reason a decision may have besides the problem kinds. */
export const decisionReasons = [
  'granted',
  'member',
  'no-team',
  'groups-omitted',
  misspelledName,
  undocumentedName,
] as const

const noGrants: readonly Grant[] = []

/**
 * Decides one request. The first team (by id) whose grant allows is charged. `teams` are those of the caller that
 * may, by default all of them.
 */
export function decide(
  policy: PolicySet,
  facts: Facts,
  teams: readonly Team[] = policy.teamsOf(facts.principal),
): Decision {
  const first = teams[0]
  if (first === undefined) {
    const group = nearMembership(policy.teams, facts.principal)
    const near = group ?? nearEntry(policy.teams, facts.principal)
    const what = group === null ? 'entry' : 'group'
    const nearest: NearMiss | null = near === null ? null : { ...near, grant: null, what }
    return deny(policy, teams, { ...refusalWithoutTeam(facts.principal), nearest })
  }
  if (facts.operation.open) return decideForMember(policy, facts, teams, first)

  let refusal: Denial | null = null
  for (const team of teams) {
    const grant = applying(team.byOperation[facts.operation.index] ?? noGrants, facts.principal, 'enforce')
    if (grant === null) continue
    const obstacle = obstacleFor(policy, team, facts)
    if (obstacle === null) {
      const response = filterFor(policy, facts, teams, team)
      return { ...allow(policy, teams, team, 'granted'), grant, shadow: shadowsOf(policy, teams, facts), response }
    }
    if (refusal === null || obstacle.rank > refusal.rank) refusal = { ...obstacle, grant }
  }
  return { ...deny(policy, teams, refusal ?? notGranted(teams, facts)), shadow: shadowsOf(policy, teams, facts) }
}

/** `/v3/self` and its like are open to every member of a team; the fence still holds whatever organizations it names. */
function decideForMember(policy: PolicySet, facts: Facts, teams: readonly Team[], first: Team): Decision {
  const team = teams.find(
    (candidate) => facts.doubtful === null && facts.organizations.every((id) => isInside(candidate, id)),
  )
  if (team === undefined) return deny(policy, teams, outsideFence(policy, first, facts) ?? notGranted(teams, facts))
  return { ...allow(policy, teams, team, 'member'), response: responseFilter(policy, facts, [team]) }
}

/** Why a grant that covers the operation does not allow it; null when it does. */
function obstacleFor(policy: PolicySet, team: Team, facts: Facts): Denial | null {
  return outsideFence(policy, team, facts) ?? missingExtra(team, facts)
}

/** Each team of the caller that would allow the request shows what is inside its own fence. */
function filterFor(policy: PolicySet, facts: Facts, teams: readonly Team[], decided: Team): ResponseFilter | null {
  if (policy.guardrails.onAnswer(facts.operation) === undefined) return null
  const { operation, principal } = facts
  const others = teams.filter(
    (team) =>
      team !== decided &&
      applying(team.byOperation[operation.index] ?? noGrants, principal, 'enforce') !== null &&
      obstacleFor(policy, team, facts) === null,
  )
  return responseFilter(policy, facts, [decided, ...others])
}

function allow(policy: PolicySet, teams: readonly Team[], team: Team, reason: 'granted' | 'member'): Decision {
  return {
    effect: 'allow',
    reason,
    problem: null,
    detail: null,
    teams,
    team,
    grant: null,
    nearest: null,
    shadow: noGrants,
    response: null,
    revision: policy.revision,
  }
}

function deny(policy: PolicySet, teams: readonly Team[], refusal: Denial): Decision {
  const { problem, reason, detail, team, grant, nearest } = refusal
  return {
    effect: 'deny',
    reason,
    problem,
    detail,
    teams,
    team,
    grant,
    nearest,
    shadow: noGrants,
    response: null,
    revision: policy.revision,
  }
}

function applying(grants: readonly Grant[], principal: Principal, mode: 'enforce' | 'shadow'): Grant | null {
  for (const grant of grants) {
    if (grant.mode === mode && (grant.when === null || conditionHolds(grant.when, principal))) return grant
  }
  return null
}

function missingExtra(team: Team, facts: Facts): Denial | null {
  const missing = facts.extra.find(
    ({ permission }) => applying(team.byPermission.get(permission) ?? noGrants, facts.principal, 'enforce') === null,
  )
  if (missing === undefined) return null
  const because = missing.when === 'present' ? `the body holds ${missing.field}` : `the body lacks ${missing.field}`
  const text = `team ${team.id} has no grant of ${missing.permission}, needed because ${because}`
  return {
    problem: 'not-granted',
    reason: 'not-granted',
    detail: `${facts.operation.id} also needs ${missing.permission} because ${because}, and no grant of team ${team.id} holds it. ${missing.when === 'present' ? `Leave ${missing.field} out` : `Send ${missing.field}`}, or ask the owner of the policy.`,
    team,
    grant: null,
    nearest: { team: team.id, grant: null, what: 'extra-permission', text },
    rank: 2,
  }
}

/** The refusal of a caller who is a member of no team. */
export function refusalWithoutTeam(principal: Principal): Denial {
  const groups = principal.groups.length === 0 ? 'none' : principal.groups.slice(0, 50).join(', ')
  const app = principal.app ?? 'none'
  return {
    problem: 'identity-incomplete',
    reason: principal.groupsOmitted ? 'groups-omitted' : 'no-team',
    detail: principal.groupsOmitted
      ? `The identity provider left the groups out of this token, because the caller has too many of them, and no team lists this caller by anything else. App seen: ${app}. Ask the identity team to put only groups that are assigned to this application, or app roles, into the token.`
      : `No team lists this caller as a member. Groups seen in the token: ${groups}; app seen: ${app}. Ask the owner of the policies to add one of them to a team, or the identity team to put the group into the token.`,
    team: null,
    grant: null,
    nearest: null,
    rank: 0,
  }
}

function notGranted(teams: readonly Team[], facts: Facts): Denial {
  const nearest = nearMiss(teams, facts)
  const names = teams.map((team) => team.id).join(', ')
  const wanted =
    facts.operation.permission === null
      ? `the operation id ${facts.operation.id}`
      : `the permission ${facts.operation.permission} or the operation id ${facts.operation.id}`
  const hint = nearest === null || nearest.what === 'grant' ? '' : ` Nearest: ${nearest.text}.`
  return {
    problem: 'not-granted',
    reason: 'not-granted',
    detail: `No grant of team ${names} allows ${facts.operation.id}.${hint} Ask the owner of the policy for a grant of ${wanted}.`,
    team: teams[0] ?? null,
    grant: null,
    nearest,
    rank: 0,
  }
}

function nearMiss(teams: readonly Team[], facts: Facts): NearMiss | null {
  for (const team of teams) {
    for (const grant of team.byOperation[facts.operation.index] ?? noGrants) {
      const place = { team: team.id, grant: grant.id }
      if (grant.mode !== 'enforce')
        return {
          ...place,
          what: 'mode',
          text: `grant ${grant.id} of team ${team.id} covers it and is in mode ${grant.mode}`,
        }
      if (grant.when !== null)
        return {
          ...place,
          what: 'condition',
          text: `grant ${grant.id} of team ${team.id} covers it for callers with ${describeCondition(grant.when)}${nearGroup(grant.when, facts.principal)}`,
        }
    }
  }
  const team = teams[0]
  return team === undefined
    ? null
    : {
        team: team.id,
        grant: null,
        what: 'grant',
        text: `team ${team.id} has no grant that covers ${facts.operation.id}`,
      }
}

function shadowsOf(policy: PolicySet, teams: readonly Team[], facts: Facts): readonly Grant[] {
  let found: Grant[] | null = null
  for (const team of teams) {
    const grants = team.byOperation[facts.operation.index]
    if (grants === undefined) continue
    for (const grant of grants) {
      if (grant.mode !== 'shadow' || obstacleFor(policy, team, facts) !== null) continue
      if (grant.when === null || conditionHolds(grant.when, facts.principal)) (found ??= []).push(grant)
    }
  }
  return found ?? noGrants
}
