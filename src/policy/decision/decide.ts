// The policy decision point: (policies, facts) → decision. Pure; no HTTP, no clock, no I/O. Deny by default.

import type { Decision, Denial, Facts, NearMiss, ResponseFilter } from '../model/decision.ts'
import type { Principal } from '../../identity/principal.ts'
import { holdsWhereAsked, isInside, misspelledName, outsideFence, reachOf, undocumentedName } from './fence.ts'
import type { Grant, PolicySet, Team } from '../model/policy-set.ts'
import { nearEntry } from './near-entries.ts'
import { nearGroup, nearMembership } from './near-groups.ts'
import { responseFilter } from './response-filter.ts'
import { conditionHolds, describeCondition } from '../model/condition.ts'
import { instantText } from '../../config/values/instants.ts'
import { blockedText } from '../../blocks/block.ts'
import { ownerText, type Owner } from '../model/remarks.ts'

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

/** `applied`: as requests are decided. `ignored`: as they would be if the grants in mode `warn` were gone. */
export type WarnGrants = 'applied' | 'ignored'

/**
 * Decides one request. The first team (by id) whose grant allows is charged. `teams` are those of the caller that
 * may, by default all of them.
 */
export function decide(
  policy: PolicySet,
  facts: Facts,
  teams: readonly Team[] = policy.teamsOf(facts.principal),
  warn: WarnGrants = 'applied',
): Decision {
  const decision = decideForTeams(policy, facts, teams, warn)
  return decision.effect === 'allow' || policy.blocked.size === 0
    ? decision
    : refuseForBlocked(policy, facts, decision, warn)
}

/** A refusal is due to a block where a blocked team of the caller would have allowed the request, or none is left. */
function refuseForBlocked(policy: PolicySet, facts: Facts, decision: Decision, warn: WarnGrants): Decision {
  const blocked = policy.blockedTeamsOf(facts.principal)
  const [first] = blocked
  if (first === undefined) return decision
  const without = decideForTeams(policy, facts, blocked, warn)
  return without.effect === 'allow' || decision.teams.length === 0
    ? { ...deny(policy, decision.teams, blockedTeamRefusal(policy, without.team ?? first)), shadow: decision.shadow }
    : decision
}

function decideForTeams(policy: PolicySet, facts: Facts, teams: readonly Team[], warn: WarnGrants): Decision {
  const first = teams[0]
  if (first === undefined) return deny(policy, teams, refusalWithoutTeam(policy, facts.principal))
  if (facts.operation.open) return decideForMember(policy, facts, teams, first)

  let refusal: Denial | null = null
  for (const team of teams) {
    for (const grant of covering(team, facts, warn)) {
      const obstacle = obstacleFor(policy, team, grant, facts, warn)
      if (obstacle === null) {
        const response = filterFor(policy, facts, teams, team, warn)
        return { ...allow(policy, teams, team, grant), shadow: shadowsOf(policy, teams, facts, warn), response }
      }
      if (refusal === null || obstacle.rank > refusal.rank) refusal = { ...obstacle, grant }
    }
  }
  return {
    ...deny(policy, teams, refusal ?? notGranted(policy, teams, facts, warn)),
    shadow: shadowsOf(policy, teams, facts, warn),
  }
}

/** `/v3/self` and its like are open to every member of a team; the fence still holds whatever organizations it names. */
function decideForMember(policy: PolicySet, facts: Facts, teams: readonly Team[], first: Team): Decision {
  const team = teams.find(
    (candidate) => facts.doubtful === null && facts.organizations.every((id) => isInside(candidate, id)),
  )
  if (team === undefined)
    return deny(policy, teams, outsideFence(policy, first, null, facts) ?? notGranted(policy, teams, facts, 'applied'))
  return { ...allow(policy, teams, team, null), response: responseFilter(policy, facts, [team], [team.organizations]) }
}

/** The grants of a team in force that cover the operation for the caller, wherever they reach. */
function covering(team: Team, { operation, principal }: Facts, warn: WarnGrants): readonly Grant[] {
  const grants = team.grantsOn(operation)
  return grants.every((grant) => isInForce(grant, principal, warn))
    ? grants
    : grants.filter((grant) => isInForce(grant, principal, warn))
}

/** Whether a grant counts for a caller. The one place that says so. */
export function isInForce({ mode, when }: Grant, principal: Principal, warn: WarnGrants): boolean {
  return (
    (mode === 'enforce' || (mode === 'warn' && warn === 'applied')) &&
    (when === null || conditionHolds(when, principal))
  )
}

/** Why a grant that covers the operation does not allow it; null when it does. */
function obstacleFor(policy: PolicySet, team: Team, grant: Grant, facts: Facts, warn: WarnGrants): Denial | null {
  return outsideFence(policy, team, grant, facts) ?? missingExtra(team, facts, warn)
}

/** Each grant that would allow the request shows what is inside its own reach. */
function filterFor(
  policy: PolicySet,
  facts: Facts,
  teams: readonly Team[],
  decided: Team,
  warn: WarnGrants,
): ResponseFilter | null {
  if (policy.guardrails.onAnswer(facts.operation) === undefined) return null
  const allowing = [decided, ...teams.filter((team) => team !== decided)].flatMap((team) =>
    covering(team, facts, warn)
      .filter((grant) => obstacleFor(policy, team, grant, facts, warn) === null)
      .map((grant) => ({ team, reach: reachOf(team, grant) })),
  )
  return responseFilter(
    policy,
    facts,
    allowing.map(({ team }) => team),
    allowing.map(({ reach }) => reach),
  )
}

const nothingFound = { problem: null, detail: null, nearest: null, shadow: noGrants, response: null } as const

/** `grant`: null for what is open to every member. */
function allow(policy: PolicySet, teams: readonly Team[], team: Team, grant: Grant | null): Decision {
  const reason = grant === null ? 'member' : 'granted'
  const { owner } = grant ?? team
  return { ...nothingFound, effect: 'allow', reason, teams, team, grant, owner, revision: policy.revision }
}

function deny(policy: PolicySet, teams: readonly Team[], { rank: _rank, ...refusal }: Denial): Decision {
  return { ...nothingFound, ...refusal, effect: 'deny', teams, revision: policy.revision }
}

function missingExtra(team: Team, facts: Facts, warn: WarnGrants): Denial | null {
  const { principal } = facts
  const missing = facts.extra.find(
    ({ permission }) =>
      !team.grantsOf(permission).some((grant) => isInForce(grant, principal, warn) && holdsWhereAsked(grant, facts)),
  )
  if (missing === undefined) return null
  const elsewhere = team
    .grantsOf(missing.permission)
    .find((grant) => grant.organizations !== null && isInForce(grant, principal, warn))
  const where =
    elsewhere === undefined ? '' : ` (grant ${elsewhere.id} in ${[...(elsewhere.organizations ?? [])].join(', ')} only)`
  const because = missing.when === 'present' ? `the body holds ${missing.field}` : `the body lacks ${missing.field}`
  const text = `team ${team.id} has no grant of ${missing.permission}${where}, needed because ${because}`
  return {
    problem: 'not-granted',
    reason: 'not-granted',
    detail: `${facts.operation.id} also needs ${missing.permission} because ${because}, and no grant of team ${team.id} holds it${where === '' ? '' : ` here${where}`}. ${missing.when === 'present' ? `Leave ${missing.field} out` : `Send ${missing.field}`}, or ask ${ownerText(team.owner, 'the owner of the policy')}.`,
    team,
    grant: null,
    owner: team.owner,
    nearest: { team: team.id, grant: null, what: 'extra-permission', text },
    rank: 2,
  }
}

/** The refusal of a caller whose team is blocked. */
export function blockedTeamRefusal(policy: PolicySet, team: Team): Denial {
  const { reason = '', untilMs = null } = policy.blocked.get(team.id) ?? {}
  return {
    problem: 'blocked',
    reason: 'blocked',
    detail: blockedText(`team ${team.id}`, reason, untilMs),
    team,
    grant: null,
    owner: team.owner,
    nearest: null,
    rank: 0,
  }
}

/** The refusal of a caller who is a member of no team. */
export function refusalWithoutTeam(policy: PolicySet, principal: Principal): Denial {
  const named = nearMembership(policy.teams, principal)
  const near = named ?? nearEntry(policy.teams, principal)
  const owner = near === null ? null : (policy.team(near.team)?.owner ?? null)
  const groups = principal.groups.length === 0 ? 'none' : principal.groups.slice(0, 50).join(', ')
  const app = principal.app ?? 'none'
  return {
    problem: 'identity-incomplete',
    reason: principal.groupsOmitted ? 'groups-omitted' : 'no-team',
    detail: principal.groupsOmitted
      ? `The identity provider left the groups out of this token, because the caller has too many of them (a group overage), and no team lists this caller by anything else. App seen: ${app}. Ask the identity team to put only groups that are assigned to this application, or app roles, into the token.`
      : `No team lists this caller as a member. Groups seen in the token: ${groups}; app seen: ${app}. Ask ${ownerText(owner, 'the owner of the policies')} to add one of them to a team, or the identity team to put the group into the token.`,
    team: null,
    grant: null,
    owner,
    nearest: near === null ? null : { ...near, grant: null, what: named?.what ?? 'entry' },
    rank: 0,
  }
}

function notGranted(policy: PolicySet, teams: readonly Team[], facts: Facts, warn: WarnGrants): Denial {
  const { miss, owner } = nearMiss(teams, facts)
  const names = teams.map((team) => team.id).join(', ')
  const wanted =
    facts.operation.permission === null
      ? `the operation ${facts.operation.id}`
      : `the operation ${facts.operation.id}, or of the permission ${facts.operation.permission}, which may allow more`
  const hint = miss === null || miss.what === 'grant' ? '' : ` Nearest: ${miss.text}.`
  const own = policy.catalogue.ofOneOrganization(facts.operation)
  const holder =
    own === null ? undefined : teams.find((team) => covering(team, { ...facts, operation: own }, warn).length > 0)
  const instead =
    own === null || holder === undefined
      ? 'Ask'
      : `Use ${own.id} (${own.method} ${own.template}), which team ${holder.id} may call, or ask`
  return {
    problem: 'not-granted',
    reason: 'not-granted',
    detail: `No grant of team ${names} allows ${facts.operation.id}.${hint} ${instead} ${ownerText(owner, 'the owner of the policy')} for a grant of ${wanted}.`,
    team: teams[0] ?? null,
    grant: null,
    owner,
    nearest: miss,
    rank: 0,
  }
}

/** What comes nearest to allowing the request, and who may change it. */
function nearMiss(
  teams: readonly Team[],
  facts: Facts,
): { readonly miss: NearMiss | null; readonly owner: Owner | null } {
  for (const team of teams) {
    for (const grant of team.grantsOn(facts.operation)) {
      const place = { team: team.id, grant: grant.id }
      const covers = `grant ${grant.id} of team ${team.id} covers it`
      if (grant.mode === 'ended') {
        const { endsAtMs, reason } = grant.ending
        const why = reason === null ? '' : ` (${reason})`
        const text = `${covers} and ended at ${instantText(endsAtMs ?? 0)}${why}`
        return { miss: { ...place, what: 'ended', text }, owner: grant.owner }
      }
      if (grant.mode === 'shadow' || grant.mode === 'off')
        return { miss: { ...place, what: 'mode', text: `${covers} and is in mode ${grant.mode}` }, owner: grant.owner }
      if (grant.when === null) continue
      const text = `${covers} for callers with ${describeCondition(grant.when)}${nearGroup(grant.when, facts.principal)}`
      return { miss: { ...place, what: 'condition', text }, owner: grant.owner }
    }
  }
  const team = teams[0]
  if (team === undefined) return { miss: null, owner: null }
  const text = `team ${team.id} has no grant that covers ${facts.operation.id}`
  return { miss: { team: team.id, grant: null, what: 'grant', text }, owner: team.owner }
}

function shadowsOf(policy: PolicySet, teams: readonly Team[], facts: Facts, warn: WarnGrants): readonly Grant[] {
  let found: Grant[] | null = null
  for (const team of teams) {
    for (const grant of team.grantsOn(facts.operation)) {
      if (grant.mode !== 'shadow' || obstacleFor(policy, team, grant, facts, warn) !== null) continue
      if (grant.when === null || conditionHolds(grant.when, facts.principal)) (found ??= []).push(grant)
    }
  }
  return found ?? noGrants
}
