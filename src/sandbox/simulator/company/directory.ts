// Who exists in the company and which role they hold where: users, IdP groups, service users. Permissions come from roles
// alone, as in the real product, so changing an assignment through the API changes at once what a key may do.

import type { World, WorldAssignment, WorldRole } from '../../world/types.ts'
import { ENTERPRISE, type Item } from '../state/item.ts'

/** Who can hold a role. */
export type SubjectKind = 'users' | 'idp-groups' | 'service-users'

/** A person. */
export interface User {
  readonly id: string
  readonly email: string
  readonly name: string | null
  readonly groups: readonly string[]
}

/** A service user; its permissions come from its roles. */
export interface ServiceUser {
  readonly id: string
  readonly name: string
  readonly scope: 'enterprise' | 'organization'
  /** The one organization of an organization service user. */
  readonly organization: string | null
  /** Unix seconds, or null. */
  readonly expiresAt: number | null
  readonly deletedAt: number | null
}

/** People, groups, service users and roles, with the assignments between them. */
export interface Directory {
  readonly roles: Map<string, WorldRole>
  readonly users: Map<string, User>
  readonly idpGroups: Set<string>
  readonly serviceUsers: Map<string, ServiceUser>
  assignments(kind: SubjectKind, id: string): readonly WorldAssignment[]
  /** Sets the one role of a subject in an organization (null: at enterprise level); a null role takes it away. */
  assign(kind: SubjectKind, id: string, organization: string | null, role: string | null): void
  /** Permissions of a service user's role in an organization (null: of its enterprise role). */
  permissions(serviceUser: string, organization: string | null): ReadonlySet<string>
  /** Whether a person holds a permission in an organization, directly or by an IdP group. */
  userHolds(user: string, organization: string, permission: string): boolean
  /** `role_assignments` of the API, narrowed to one organization unless the owner is the enterprise. */
  describe(kind: SubjectKind, id: string, owner: string): Item[]
}

/** Builds the directory of a world. A service user's permissions become a custom role of its own. */
export function createDirectory(world: World): Directory {
  const roles = new Map(world.roles.map((role) => [role.id, role]))
  const assigned = new Map<string, WorldAssignment[]>()
  const assignments = (kind: SubjectKind, id: string): readonly WorldAssignment[] => assigned.get(`${kind} ${id}`) ?? []
  for (const user of world.users) assigned.set(`users ${user.id}`, [...user.assignments])
  for (const group of world.idpGroups) assigned.set(`idp-groups ${group.name}`, [...group.assignments])
  for (const { id, name, scope, organization, permissions } of world.serviceUsers) {
    roles.set(`role-${id}`, {
      id: `role-${id}`,
      name,
      type: scope === 'enterprise' ? 'enterprise' : 'org',
      permissions,
    })
    assigned.set(`service-users ${id}`, [{ role: `role-${id}`, organization }])
  }
  const permissionsOf = (list: readonly WorldAssignment[], organization: string | null): Set<string> =>
    new Set(
      list
        .filter((entry) => entry.organization === organization)
        .flatMap((entry) => roles.get(entry.role)?.permissions ?? []),
    )

  const directory: Directory = {
    roles,
    users: new Map(world.users.map(({ id, email, name, groups }) => [id, { id, email, name, groups }])),
    idpGroups: new Set(world.idpGroups.map((group) => group.name)),
    serviceUsers: new Map(
      world.serviceUsers.map(({ id, name, scope, organization }) => [
        id,
        { id, name, scope, organization, expiresAt: null, deletedAt: null },
      ]),
    ),
    assignments,
    assign(kind, id, organization, role) {
      const others = assignments(kind, id).filter((entry) => entry.organization !== organization)
      assigned.set(`${kind} ${id}`, role === null ? others : [...others, { role, organization }])
    },
    permissions: (serviceUser, organization) => permissionsOf(assignments('service-users', serviceUser), organization),
    userHolds(user, organization, permission) {
      const groups = directory.users.get(user)?.groups ?? []
      const all = [assignments('users', user), ...groups.map((group) => assignments('idp-groups', group))]
      return all.some((list) => permissionsOf(list, organization).has(permission))
    },
    describe: (kind, id, owner) =>
      assignments(kind, id)
        .filter((entry) => owner === ENTERPRISE || entry.organization === owner)
        .map((entry) => ({ role: roleItem(roles.get(entry.role)), org_id: entry.organization })),
  }
  return directory
}

/** A role as the API shows it. */
export function roleItem(role: WorldRole | undefined): Item {
  return { role_id: role?.id ?? null, role_name: role?.name ?? null, role_type: role?.type ?? null }
}
