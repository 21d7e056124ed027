// The organizations that a policy set speaks of.

import type { PolicySet } from './policy-set.ts'

/** Every organization that a team or a key names, sorted. */
export function namedOrganizations({ teams, keys }: Pick<PolicySet, 'teams' | 'keys'>): string[] {
  const named = new Set<string>()
  for (const { organizations, defaultOrganization, grants } of teams) {
    if (organizations !== 'all') for (const id of organizations) named.add(id)
    if (defaultOrganization !== null) named.add(defaultOrganization)
    for (const grant of grants) for (const id of grant.organizations ?? []) named.add(id)
  }
  for (const { organization, serves } of keys) {
    if (organization !== null) named.add(organization)
    if (typeof serves !== 'string') for (const id of serves) named.add(id)
  }
  return [...named].sort()
}
