// When Devin ends a key. The list of a service user's API keys does not say which of them is ours. Pure.

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
      : [{ endsAtMs: timeOf(memberOf(item, 'expires_at')), lastUsedAtMs: timeOf(memberOf(item, 'last_used_at')) }],
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
  return timeOf(memberOf(value, 'expires_at'))
}

/** Devin tells times in seconds. */
function timeOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value * 1000 : null
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined
}
