// What a policy set says of the company: whom the simulated Devin has to know, so that the policies can be tried.

import { namedOrganizations } from '../policy/model/named-organizations.ts'
import type { PolicySet, Team } from '../policy/model/policy-set.ts'
import { titleOf } from './world/organization.ts'
import type { DeclaredCompany, WorldUser } from './world/types.ts'

/** The company behind a policy set. `keyValue` gives each key its value by id. */
export function companyOf(policy: PolicySet, keyValue: (id: string) => string): DeclaredCompany {
  return {
    organizations: namedOrganizations(policy),
    serviceUsers: policy.keys.map(({ id, scope, organization, permissions, serviceUser }) => ({
      // By the inventory the key is one of this service user.
      id: serviceUser ?? id,
      name: titleOf(id),
      scope,
      organization,
      permissions: [...permissions],
      keys: [keyValue(id)],
    })),
    users: policy.teams.map((team) => userOf(team)),
  }
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
