// What requests used of a policy set: grants and the operations through each, organizations, entries of members, permissions of
// keys. Pure.

import { isInForce } from '../decision/decide.ts'
import { conditionHolds } from '../model/condition.ts'
import type { Grant, PolicySet, Team } from '../model/policy-set.ts'
import type { SeenRequest } from './seen-requests.ts'

export interface GrantUse {
  /** Indexes of operations that were allowed by the grant. */
  readonly operations: Set<number>
  /** Permissions that bodies asked for besides. */
  readonly extra: Set<string>
  readonly organizations: Set<string>
  /** Whether a request reached every organization, or its answer was filtered by them. */
  isUnbounded: boolean
}

export interface TeamUse {
  readonly grants: Map<Grant, GrantUse>
  readonly organizations: Set<string>
  isUnbounded: boolean
  /** Indexes of the entries that made a caller a member. */
  readonly members: Set<number>
}

export interface PolicyUse {
  readonly teams: ReadonlyMap<Team, TeamUse>
  /** By key. */
  readonly permissions: ReadonlyMap<string, ReadonlySet<string>>
}

/** What these requests used. */
export function policyUseOf(policy: PolicySet, seen: readonly SeenRequest[]): PolicyUse {
  const teams = new Map<Team, TeamUse>(
    policy.teams.map((team) => [
      team,
      {
        grants: new Map(),
        organizations: new Set(team.defaultOrganization === null ? [] : [team.defaultOrganization]),
        isUnbounded: false,
        members: new Set(),
      },
    ]),
  )
  const permissions = new Map<string, Set<string>>()
  for (const { principal, operation, evaluation } of seen) {
    const { decision, facts, key } = evaluation
    for (const each of decision.teams)
      for (const [index, entry] of each.members.entries())
        if (conditionHolds(entry, principal)) teams.get(each)?.members.add(index)
    const used = decision.team === null ? undefined : teams.get(decision.team)
    if (used === undefined || decision.team === null) continue
    const shown = decision.response === null ? [] : decision.response.organizations
    const touched = [...facts.organizations, ...(shown === 'all' ? [] : shown)]
    const isUnbounded = operation.scope === 'enterprise' && !facts.narrowed
    for (const id of touched) used.organizations.add(id)
    if (isUnbounded && touched.length === 0) used.isUnbounded = true
    const extras = facts.extra.flatMap(({ permission }) => {
      const grant = decision.team?.grantsOf(permission).find((each) => isInForce(each, principal, 'applied'))
      return grant === undefined ? [] : [{ grant, permission }]
    })
    for (const { grant, permission } of [
      ...(decision.grant === null ? [] : [{ grant: decision.grant, permission: null }]),
      ...extras,
    ]) {
      const of = used.grants.get(grant) ?? {
        operations: new Set<number>(),
        extra: new Set<string>(),
        organizations: new Set<string>(),
        isUnbounded: false,
      }
      used.grants.set(grant, of)
      if (permission === null) of.operations.add(operation.index)
      else of.extra.add(permission)
      for (const id of touched) of.organizations.add(id)
      if (isUnbounded) of.isUnbounded = true
    }
    if (key !== null) {
      const names = permissions.get(key.key.id) ?? new Set<string>()
      permissions.set(key.key.id, names)
      if (key.through !== null) names.add(key.through)
      for (const { permission } of facts.extra)
        for (const name of [permission, ...policy.catalogue.permissions.impliedBy(permission)])
          if (key.key.permissions.has(name)) names.add(name)
    }
  }
  return { teams, permissions }
}
