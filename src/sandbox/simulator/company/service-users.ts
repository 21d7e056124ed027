// Service users made through the API and the keys of all of them. A key's value is shown once, by the call that makes it.

import { ApiError } from '../http/answers.ts'
import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, number, text, type Item, newId } from '../state/item.ts'
import { holds, isActive, type ApiKey } from './credentials.ts'
import type { ServiceUser } from './directory.ts'
import { describe, roleFor } from './members.ts'
import { mustFind, type State } from '../state/state.ts'

/** Handlers of service-user creation and API keys. */
export function serviceUserHandlers(state: State): Handlers {
  const { keyring, directory } = state
  const keysOf = (call: Call): ApiKey[] =>
    keyring.of(mustFind(directory.serviceUsers, call.parameter('service_user_id'), 'Service user').id)
  const keyOf = (call: Call): ApiKey =>
    mustFind(new Map(keysOf(call).map((key) => [key.id, key])), call.parameter('api_key_id'), 'API key')
  const issued = (user: string, call: Call, name: string, expiresAt: number | null): Item => {
    if (expiresAt !== null && expiresAt <= call.seconds) throw new ApiError(400, 'The expiry must lie in the future')
    const { key, value } = keyring.issue(user, name, call.seconds, expiresAt)
    return { api_key_id: key.id, api_key_name: key.name, token: value }
  }
  const keys = 'beta.ent.service-users.api-keys'
  return {
    'beta.ent.service-users.create': (call) => createServiceUser(state, call),
    'beta.org.service-users.create': (call) => createServiceUser(state, call),
    [`${keys}.list`]: (call) => {
      const status = call.query.get('status') ?? 'all'
      const wanted = keysOf(call).filter((key) => status === 'all' || status === statusOf(key, call.seconds))
      return {
        items: wanted.map((key) => keyItem(key, call.seconds)),
        end_cursor: null,
        has_next_page: false,
        total: wanted.length,
      }
    },
    [`${keys}.create`]: (call) => {
      const user = mustFind(directory.serviceUsers, call.parameter('service_user_id'), 'Service user')
      return issued(user.id, call, text(call.body, 'name') ?? '', number(call.body, 'expires_at'))
    },
    [`${keys}.revoke`]: (call) => {
      const key = keyOf(call)
      if (!isActive(key, call.seconds)) throw new ApiError(409, 'The key is already inactive')
      key.revokedAt = call.seconds
      return keyItem(key, call.seconds)
    },
    [`${keys}.rotate`]: (call) => {
      const key = keyOf(call)
      if (!isActive(key, call.seconds)) throw new ApiError(400, 'The key is not active')
      if (call.body['revoke_current'] !== false) key.revokedAt = call.seconds
      return issued(key.serviceUser, call, key.name, number(call.body, 'new_key_expires_at'))
    },
  }
}

/** The role must lie within the caller's own permissions and can never manage service users (anti-escalation). */
function createServiceUser(state: State, call: Call): Item {
  const role = roleFor(state, call, text(call.body, 'role_id') ?? '')
  const organization = call.owner === ENTERPRISE ? null : call.owner
  const beyond = role.permissions.find(
    (permission) =>
      permission === 'ManageServiceUsers' || !holds(state.directory, call.caller, organization, permission),
  )
  if (beyond !== undefined) throw new ApiError(403, `The role holds ${beyond}, which cannot be granted`)
  const id = newId('service-user')
  const expiresAt = call.seconds + (number(call.body, 'ttl_seconds') ?? 0)
  const scope: ServiceUser['scope'] = organization === null ? 'enterprise' : 'organization'
  state.directory.serviceUsers.set(id, {
    id,
    name: text(call.body, 'name') ?? '',
    scope,
    organization,
    expiresAt,
    deletedAt: null,
  })
  state.directory.assign('service-users', id, organization, role.id)
  const { value } = state.keyring.issue(id, 'first key', call.seconds, expiresAt)
  return { service_user: describe(state, 'service-users', id, ENTERPRISE), token: value }
}

function statusOf(key: ApiKey, now: number): string {
  return key.revokedAt !== null ? 'revoked' : isActive(key, now) ? 'active' : 'expired'
}

function keyItem(key: ApiKey, now: number): Item {
  return {
    api_key_id: key.id,
    api_key_name: key.name,
    created_at: key.createdAt,
    expires_at: key.expiresAt,
    last_used_at: key.lastUsedAt,
    revoked_at: key.revokedAt,
    is_active: isActive(key, now),
  }
}
