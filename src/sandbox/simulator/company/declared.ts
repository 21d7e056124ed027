// Makes the simulated company what the policies say: organizations, service users with their keys, and people.

import { organizationSeeds, titleOf } from '../../world/organization.ts'
import type { DeclaredCompany, WorldServiceUser, WorldUser } from '../../world/types.ts'
import { seededSession } from '../sessions/session-record.ts'
import { consumptionDay, DAY, itemOf, organizationItem, type State } from '../state/state.ts'

/** Adds whatever is not known yet. Permissions of service users become what is declared; nobody is removed. */
export function learn(state: State, company: DeclaredCompany, nowMs: number): void {
  for (const id of company.organizations) if (!state.organizations.has(id)) addOrganization(state, id, nowMs)
  for (const user of company.serviceUsers) setServiceUser(state, user, Math.floor(nowMs / 1000))
  for (const user of company.users) addUser(state, user)
}

function addOrganization(state: State, id: string, nowMs: number): void {
  const seconds = Math.floor(nowMs / 1000)
  state.organizations.set(id, organizationItem(id, titleOf(id), seconds - 400 * DAY))
  const { sessions, items, consumption } = organizationSeeds(id)
  for (const seed of sessions) state.sessions.set(seed.id, seededSession(seed, nowMs))
  for (const seed of items) state.shelf(seed.kind, id).set(seed.id, itemOf(seed, nowMs))
  for (const { daysAgo, ...row } of consumption)
    state.consumption.push({ ...row, day: consumptionDay(seconds - daysAgo * DAY) })
}

function setServiceUser({ directory, keyring }: State, user: WorldServiceUser, seconds: number): void {
  const { id, name, scope, organization, permissions, keys } = user
  const known = directory.serviceUsers.get(id)
  const role = { id: `role-${id}`, name, type: scope === 'enterprise' ? 'enterprise' : 'org', permissions } as const
  directory.roles.set(role.id, role)
  if (known?.scope !== scope || known.organization !== organization) {
    for (const before of directory.assignments('service-users', id))
      directory.assign('service-users', id, before.organization, null)
    directory.serviceUsers.set(id, { id, name, scope, organization, expiresAt: null, deletedAt: null })
    directory.assign('service-users', id, organization, role.id)
  }
  for (const value of keys) keyring.add(id, `${name} key`, value, seconds)
}

function addUser({ directory }: State, { id, email, name, groups, assignments }: WorldUser): void {
  for (const group of groups) directory.idpGroups.add(group)
  if ([...directory.users.values()].some((known) => known.email === email)) return
  directory.users.set(id, { id, email, name, groups })
  for (const { organization, role } of assignments) directory.assign('users', id, organization, role)
}
