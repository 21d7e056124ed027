// A second, obvious choice of the key: keep narrowing the list of keys, one sentence of the rules at a time. Slow on
// purpose; compared with src/keys/select.ts on random inventories.

import type { PermissionModel } from '../../src/catalogue/permissions.ts'
import type { KeyHandle } from '../../src/keys/key.ts'
import type { Requirement } from '../../src/keys/select.ts'

/** The id of the key that serves, or null. */
export function plainChoice(
  keys: readonly KeyHandle[],
  need: Requirement,
  permissions: PermissionModel,
): string | null {
  const { operation, extra } = need
  const able = keys.filter(
    (key) => mayServe(key, need) && extra.every((permission) => gives(key, permission, permissions)),
  )
  const { permission, alternatives } = operation
  if (permission === null) return leastOf(able, extra)
  const exact = able.filter((key) => gives(key, permission, permissions))
  // Alternative names count only when no key holds the permission itself.
  if (exact.length > 0) return leastOf(exact, extra)
  return leastOf(
    able.filter((key) => alternatives.some((alternative) => gives(key, alternative, permissions))),
    extra,
  )
}

/** Scope and organization alone. */
function mayServe(key: KeyHandle, { operation, organization }: Requirement): boolean {
  const ownOrganization = key.scope === 'organization' && organization !== null && key.organization === organization
  if (operation.scope === 'enterprise') return key.scope === 'enterprise'
  if (ownOrganization) return true
  if (key.scope === 'organization') return false
  if (operation.scope === 'any' && organization === null) return true
  if (operation.scope === 'organization' && operation.permission === null) return false
  if (organization === null) return false
  return key.serves === 'all' || (key.serves !== 'none' && key.serves.has(organization))
}

/** Whether the key has the permission, itself or by the enterprise permission that stands for it. */
function gives(key: KeyHandle, permission: string, permissions: PermissionModel): boolean {
  return [...key.permissions].some(
    (held) => held === permission || (key.scope === 'enterprise' && permissions.implies(held) === permission),
  )
}

function leastOf(keys: readonly KeyHandle[], extra: readonly string[]): string | null {
  const ofOrganization = keys.filter((key) => key.scope === 'organization')
  const atScope = ofOrganization.length > 0 ? ofOrganization : keys
  const modest = atScope.filter((key) => !key.permissions.has('ImpersonateOrgSessions'))
  const fit = modest.length > 0 && !extra.includes('ImpersonateOrgSessions') ? modest : atScope
  const fewest = Math.min(...fit.map((key) => key.permissions.size))
  const ids = fit.filter((key) => key.permissions.size === fewest).map((key) => key.id)
  return ids.sort()[0] ?? null
}
