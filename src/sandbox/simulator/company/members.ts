// Members and their roles at enterprise and organization scope: users, IdP groups, service users. Role
// changes take effect at once.

import { devinApi } from '../../../catalogue/data.ts'
import type { WorldRole } from '../../world/types.ts'
import { ApiError, notFound } from '../http/answers.ts'
import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, text, texts, type Item, newId } from '../state/item.ts'
import { roleItem, type SubjectKind } from './directory.ts'
import { booleanOf, page, passes } from '../http/pages.ts'
import { mustFind, type State } from '../state/state.ts'

/** Handlers of members, IdP groups and roles at all scopes. */
export function memberHandlers(state: State): Handlers {
  const { directory } = state
  const register = (call: Call): Item[] =>
    texts(call.body, 'idp_group_names').map((name) => {
      directory.idpGroups.add(name)
      return describe(state, 'idp-groups', name, ENTERPRISE)
    })
  const idpUsers = (call: Call): unknown =>
    page(
      call,
      members(state, 'users', call)
        .filter(({ id }) => groupsOf(state, id).length > 0)
        .map(({ id }) => idpUser(state, id, call.owner)),
    )
  return {
    ...subjectHandlers(state, 'users', 'user_id'),
    ...subjectHandlers(state, 'idp-groups', 'idp_group_name'),
    ...subjectHandlers(state, 'service-users', 'service_user_id'),
    'ent.members.users.invite': (call) => invite(state, call),
    'ent.members.idp-users.list': idpUsers,
    'ent.organizations.members.idp-users.list': idpUsers,
    'beta.org.members.idp-users.list': idpUsers,
    'beta.org.members.users.list': (call) =>
      page(
        call,
        members(state, 'users', call).map(({ item }) => item),
      ),
    'beta.org.members.users.get': (call) => findMember(state, 'users', call, call.parameter('user_id')),
    'ent.idp-groups.list': (call) =>
      page(
        call,
        [...directory.idpGroups].map((name) => describe(state, 'idp-groups', name, ENTERPRISE)),
      ),
    'ent.idp-groups.register': register,
    'ent.idp-groups.delete': (call) => {
      const name = call.parameter('idp_group_name')
      if (!directory.idpGroups.has(name)) throw notFound('IdP group')
      const used =
        directory.assignments('idp-groups', name).length > 0 ||
        [...directory.users.values()].some((user) => user.groups.includes(name))
      if (used) throw new ApiError(409, 'The group still has role assignments or members')
      directory.idpGroups.delete(name)
      return describe(state, 'idp-groups', name, ENTERPRISE)
    },
    'ent.roles.list': (call) => page(call, [...directory.roles.values()].map(roleItem)),
  }
}

/** The same six operations for each kind of subject at both scopes. */
function subjectHandlers(state: State, kind: SubjectKind, parameter: string): Handlers {
  const assign = (call: Call): Item => {
    const id = call.parameter(parameter)
    if (!known(state, kind).includes(id)) throw notFound(kind)
    const role = roleFor(state, call, text(call.body, 'role_id') ?? '')
    state.directory.assign(kind, id, call.owner === ENTERPRISE ? null : call.owner, role.id)
    return describe(state, kind, id, call.owner)
  }
  const verbs: Handlers = {
    list: (call) =>
      page(
        call,
        members(state, kind, call).map(({ item }) => item),
      ),
    get: (call) => {
      const item = findMember(state, kind, call, call.parameter(parameter))
      return kind === 'users'
        ? { ...item, idp_role_assignments: viaGroups(state, call.parameter(parameter), call.owner) }
        : item
    },
    assign,
    update: (call) => {
      findMember(state, kind, call, call.parameter(parameter))
      return assign(call)
    },
    delete: (call) => {
      const id = call.parameter(parameter)
      const item = findMember(state, kind, call, id)
      remove(state, kind, id, call)
      return item
    },
  }
  // Both scopes with all verbs, less what the catalogue does not have (users join the enterprise by invitation only).
  const table = ['ent.members', 'ent.organizations.members'].flatMap((prefix) =>
    Object.entries(verbs).map(([verb, handler]) => [`${prefix}.${kind}.${verb}`, handler] as const),
  )
  return Object.fromEntries(table.filter(([id]) => devinApi.operations.some((operation) => operation.id === id)))
}

function known(state: State, kind: SubjectKind): string[] {
  const { users, idpGroups, serviceUsers } = state.directory
  return kind === 'users' ? [...users.keys()] : kind === 'idp-groups' ? [...idpGroups] : [...serviceUsers.keys()]
}

/** In the enterprise everybody; in an organization those with a role there, people by their groups too. */
function members(state: State, kind: SubjectKind, call: Call): { id: string; item: Item }[] {
  const inactive = booleanOf(call, 'include_inactive') ?? false
  return known(state, kind)
    .filter((id) => kind !== 'service-users' || inactive || state.directory.serviceUsers.get(id)?.deletedAt === null)
    .filter((id) => kind !== 'users' || passes(call, 'email', [state.directory.users.get(id)?.email ?? null]))
    .filter(
      (id) =>
        call.owner === ENTERPRISE ||
        state.directory.describe(kind, id, call.owner).length > 0 ||
        (kind === 'users' && viaGroups(state, id, call.owner).length > 0),
    )
    .map((id) => ({ id, item: describe(state, kind, id, call.owner) }))
}

function findMember(state: State, kind: SubjectKind, call: Call, id: string): Item {
  const found = members(state, kind, call).find((member) => member.id === id)
  if (found === undefined) throw notFound(kind)
  return found.item
}

/** A subject as the API shows it at one place. */
export function describe(state: State, kind: SubjectKind, id: string, owner: string): Item {
  const roles = { role_assignments: state.directory.describe(kind, id, owner) }
  if (kind === 'idp-groups') return { idp_group_name: id, ...roles }
  if (kind === 'users')
    return {
      user_id: id,
      email: state.directory.users.get(id)?.email ?? null,
      name: state.directory.users.get(id)?.name ?? null,
      ...roles,
    }
  const user = state.directory.serviceUsers.get(id)
  return {
    service_user_id: id,
    name: user?.name,
    expires_at: user?.expiresAt ?? null,
    deleted_at: user?.deletedAt ?? null,
    ...roles,
  }
}

function groupsOf(state: State, user: string): readonly string[] {
  return state.directory.users.get(user)?.groups ?? []
}

function viaGroups(state: State, user: string, owner: string): Item[] {
  return groupsOf(state, user).flatMap((group) =>
    state.directory
      .describe('idp-groups', group, owner)
      .map((assignment) => ({ idp_group_name: group, ...assignment })),
  )
}

function idpUser(state: State, id: string, owner: string): Item {
  const { role_assignments: _direct, ...user } = describe(state, 'users', id, owner)
  return { ...user, idp_role_assignments: viaGroups(state, id, owner) }
}

function invite(state: State, call: Call): Item[] {
  const role = roleFor(state, call, text(call.body, 'enterprise_role_id') ?? '')
  return texts(call.body, 'emails').map((email) => {
    const existing = [...state.directory.users.values()].find((user) => user.email === email)
    const id = existing?.id ?? `email|${newId('u').slice(2, 26)}`
    if (existing === undefined) state.directory.users.set(id, { id, email, name: null, groups: [] })
    state.directory.assign('users', id, null, role.id)
    return describe(state, 'users', id, ENTERPRISE)
  })
}

function remove(state: State, kind: SubjectKind, id: string, call: Call): void {
  const { directory } = state
  if (call.owner !== ENTERPRISE) return directory.assign(kind, id, call.owner, null)
  for (const { organization } of directory.assignments(kind, id)) directory.assign(kind, id, organization, null)
  if (kind === 'users') directory.users.delete(id)
  const user = directory.serviceUsers.get(id)
  if (kind === 'service-users' && user !== undefined)
    directory.serviceUsers.set(id, { ...user, deletedAt: call.seconds })
}

/** A role by its id, of the type that the place demands. Throws 404 and 400. */
export function roleFor(state: State, call: Call, id: string): WorldRole {
  const role = mustFind(state.directory.roles, id, 'Role')
  const wanted = call.owner === ENTERPRISE ? 'enterprise' : 'org'
  if (role.type !== wanted) throw new ApiError(400, `The role must be of type ${wanted}`)
  return role
}
