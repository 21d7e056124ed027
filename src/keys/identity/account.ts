// What Devin keeps about the service user of a key: its roles, and when it or its key ends. The list of API keys does not say which
// of them is ours. Pure.
import { memberOf } from '../../json/untyped.ts'

/** An API key of a service user, as Devin lists it. Times are milliseconds since the epoch. */
export interface ListedKey {
  readonly endsAtMs: number | null
  readonly lastUsedAtMs: number | null
}

/** How far Devin's clock and ours may differ, and how late a use may be noted. */
const nearMs = 60_000

/** Reads the active keys of a list; null for a form that the API does not document. */
export function listedKeys(value: unknown): readonly ListedKey[] | null {
  const items = memberOf(value, 'items')
  if (!Array.isArray(items) || memberOf(value, 'has_next_page') === true) return null
  return items.flatMap((item: unknown) =>
    memberOf(item, 'is_active') === false || typeof memberOf(item, 'revoked_at') === 'number'
      ? []
      : [
          {
            endsAtMs: devinTimeMs(memberOf(item, 'expires_at')),
            lastUsedAtMs: devinTimeMs(memberOf(item, 'last_used_at')),
          },
        ],
  )
}

/**
 * The key that is certainly ours, `usedAtMs` being our latest use of it: the only active one, or the only one that was used
 * since shortly before then. Null where that could be another one.
 */
export function certainlyOurs(keys: readonly ListedKey[], usedAtMs: number): ListedKey | null {
  const [only, ...others] = keys
  if (only !== undefined && others.length === 0) return only
  const used = keys.filter(({ lastUsedAtMs }) => lastUsedAtMs !== null && lastUsedAtMs >= usedAtMs - nearMs)
  const [ours, ...more] = used
  // A use that is noted late would make another key look like ours, unless no other key was used at all.
  const isAlone = keys.every((key) => key === ours || key.lastUsedAtMs === null)
  return ours !== undefined && more.length === 0 && isAlone ? ours : null
}

/** `expires_at` of a service user, milliseconds since the epoch; null: none, or it is not told. */
export function endOfServiceUser(value: unknown): number | null {
  return devinTimeMs(memberOf(value, 'expires_at'))
}

/** A role of a service user. */
export interface KeyRole {
  readonly role: string
  /** Null: at enterprise level. */
  readonly organization: string | null
  /** Null where Devin does not list them. */
  readonly permissions: readonly string[] | null
}

/** `role_assignments` of a service user; null for a form that the API does not document. */
export function rolesOf(value: unknown): readonly KeyRole[] | null {
  const assignments = memberOf(value, 'role_assignments')
  if (!Array.isArray(assignments)) return null
  return assignments.flatMap((assignment: unknown) => {
    const role = memberOf(assignment, 'role')
    const name = memberOf(role, 'role_name') ?? memberOf(role, 'role_id')
    const organization = memberOf(assignment, 'org_id') ?? null
    // An upstream may repeat a key anywhere.
    if (
      typeof name !== 'string' ||
      name.includes('cog_') ||
      (organization !== null && typeof organization !== 'string')
    )
      return []
    const permissions = memberOf(role, 'permissions')
    return [
      {
        role: name,
        organization,
        permissions: Array.isArray(permissions) ? permissions.filter((each) => typeof each === 'string') : null,
      },
    ]
  })
}

/** What is known of the account of a key. */
export interface KeyAccount {
  /** When Devin ends the key or its service user, milliseconds since the epoch. */
  readonly endsAtMs: number | null
  readonly roles: readonly KeyRole[] | null
}

/** Devin tells times in seconds. Null for what is no time. */
export function devinTimeMs(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value * 1000 : null
}
