// What a policy set says of the company: whom the simulated Devin has to know, so that the policies can be tried.

import type { PolicySet, Team } from '../policy/model/policy-set.ts'
import { titleOf } from './world/organization.ts'
import type { DeclaredCompany, WorldUser } from './world/types.ts'

/** The company behind a policy set. `keyValue` gives each key its value by id. */
export function companyOf(policy: PolicySet, keyValue: (id: string) => string): DeclaredCompany {
  return {
    organizations: organizationsOf(policy),
    serviceUsers: policy.keys.map(({ id, scope, organization, permissions }) => ({
      id,
      name: titleOf(id),
      scope,
      organization,
      permissions: [...permissions],
      keys: [keyValue(id)],
    })),
    users: policy.teams.map((team) => userOf(team)),
  }
}

/** Every organization that a team or a key names, sorted. */
function organizationsOf({ teams, keys }: PolicySet): string[] {
  const named = new Set<string>()
  for (const { organizations, defaultOrganization } of teams) {
    if (organizations !== 'all') for (const id of organizations) named.add(id)
    if (defaultOrganization !== null) named.add(defaultOrganization)
  }
  for (const { organization, serves } of keys) {
    if (organization !== null) named.add(organization)
    if (typeof serves !== 'string') for (const id of serves) named.add(id)
  }
  return [...named].sort()
}

/** The person that a token of the sandbox stands for, where the team names nobody else. */
function userOf({ id, organizations, members: [entry] }: Team): WorldUser {
  const places = organizations === 'all' ? [] : [...organizations]
  return {
    id: `email|${id}`,
    email: `${id}-developer@corp.example`,
    name: `${titleOf(id)} developer`,
    assignments: places.map((organization) => ({ role: 'role-org-member', organization })),
    groups: [...(entry?.groups ?? [])],
  }
}
