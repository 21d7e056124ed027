// Keys of service users and what they may do: 401 for a bad key, 403 for a missing permission, per operation and
// organization. Written from the catalogue data alone; the gateway's policy code has no part in it.

import { randomBytes, randomUUID } from 'node:crypto'
import { devinApi, type OperationEntry } from '../../../catalogue/data.ts'
import type { World } from '../../world/types.ts'
import { ApiError } from '../http/answers.ts'
import { ENTERPRISE, type Item } from '../state/item.ts'
import type { Directory, ServiceUser } from './directory.ts'

/** A key without its value. */
export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly serviceUser: string
  /** Unix seconds, all of them. */
  readonly createdAt: number
  readonly expiresAt: number | null
  lastUsedAt: number | null
  revokedAt: number | null
}

/** The keys, found by their value. Values leave it once, when a key is issued. */
export interface Keyring {
  issue(serviceUser: string, name: string, now: number, expiresAt: number | null): { value: string; key: ApiKey }
  /** A key with a value of the caller's choice; one that is known stays as it is. */
  add(serviceUser: string, name: string, value: string, now: number): void
  revoke(value: string, now: number): void
  /** The service user behind an Authorization field. Throws 403 for a missing credential and 401 for a bad one. */
  authenticate(authorization: string | undefined, now: number): ServiceUser
  of(serviceUser: string): ApiKey[]
}

/** Builds the keyring of a world; every key value of a service user works from the start. */
export function createKeyring(world: World, directory: Directory, now: number): Keyring {
  const byValue = new Map<string, ApiKey>()
  const add = (
    value: string,
    serviceUser: string,
    name: string,
    createdAt: number,
    expiresAt: number | null,
  ): ApiKey => {
    const id = `api-key-${randomUUID().replaceAll('-', '')}`
    const key: ApiKey = { id, name, serviceUser, createdAt, expiresAt, lastUsedAt: null, revokedAt: null }
    byValue.set(value, key)
    return key
  }
  for (const user of world.serviceUsers) {
    for (const value of user.keys) add(value, user.id, `${user.name} key`, now, null)
  }
  return {
    issue(serviceUser, name, at, expiresAt) {
      const value = `cog_${randomBytes(24).toString('base64url')}`
      return { value, key: add(value, serviceUser, name, at, expiresAt) }
    },
    add(serviceUser, name, value, at) {
      if (!byValue.has(value)) add(value, serviceUser, name, at, null)
    },
    revoke(value, at) {
      const key = byValue.get(value)
      if (key !== undefined) key.revokedAt ??= at
    },
    authenticate(authorization, at) {
      const value = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
      // A request without a bearer credential was seen to be answered 403, not 401 (FastAPI's HTTPBearer does that).
      if (value === undefined) throw new ApiError(403, 'Not authenticated')
      const key = byValue.get(value)
      const user = directory.serviceUsers.get(key?.serviceUser ?? '')
      if (
        key === undefined ||
        user === undefined ||
        !isActive(key, at) ||
        user.deletedAt !== null ||
        (user.expiresAt ?? Infinity) <= at
      ) {
        throw new ApiError(401, 'Invalid, expired or revoked API key')
      }
      key.lastUsedAt = at
      return user
    },
    of: (serviceUser) => [...byValue.values()].filter((key) => key.serviceUser === serviceUser),
  }
}

/** Whether a key works at an instant (unix seconds), its service user aside. */
export function isActive(key: ApiKey, now: number): boolean {
  return key.revokedAt === null && (key.expiresAt ?? Infinity) > now
}

const implied = new Map(
  devinApi.permissions.flatMap(({ name, implies }) => (implies === null ? [] : [[name, implies] as const])),
)

/** Permissions of which any one suffices; empty when any key of the right scope will do. */
export function acceptedPermissions(operation: OperationEntry): readonly string[] {
  return operation.permission === null ? [] : [operation.permission, ...operation.alternatives]
}

/** Throws 403 unless the caller may use the operation on the owner (an organization id, or the enterprise). */
export function authorize(directory: Directory, caller: ServiceUser, operation: OperationEntry, owner: string): void {
  if (operation.scope === 'any') return
  if (operation.scope === 'enterprise' && caller.scope !== 'enterprise') {
    throw new ApiError(403, 'Enterprise service user required')
  }
  if (caller.scope === 'organization' && caller.organization !== owner) {
    throw new ApiError(403, 'No access to this organization')
  }
  const accepted = acceptedPermissions(operation)
  const organization = operation.scope === 'organization' ? owner : null
  if (accepted.length > 0 && !accepted.some((permission) => holds(directory, caller, organization, permission))) {
    throw new ApiError(403, `Missing permission: ${accepted[0]}`)
  }
}

/** Throws 403 when a member of the body asks for a right that the caller does not hold (impersonation and its kin). */
export function authorizeBody(
  directory: Directory,
  caller: ServiceUser,
  operation: OperationEntry,
  owner: string,
  body: Item,
): void {
  for (const { field, when, permission } of operation.conditional) {
    const present = body[field] !== undefined && body[field] !== null
    if (present !== (when === 'present')) continue
    if (!holds(directory, caller, owner === ENTERPRISE ? null : owner, permission)) {
      throw new ApiError(403, `Missing permission: ${permission}`)
    }
  }
}

/**
 * Whether the caller holds a permission in an organization (null: at enterprise level). An enterprise permission gives its
 * organization counterpart in every organization; every enterprise service user may read its own account's metadata.
 */
export function holds(
  directory: Directory,
  caller: ServiceUser,
  organization: string | null,
  permission: string,
): boolean {
  const enterprise = directory.permissions(caller.id, null)
  if (enterprise.has(permission)) return true
  if (organization === null) return permission === 'ReadAccountMeta'
  if (directory.permissions(caller.id, organization).has(permission)) return true
  return [...enterprise].some((held) => implied.get(held) === permission)
}
