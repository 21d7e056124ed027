// The cache as operators see it. Pure.

import type { CacheStateView } from '../../admin/console/state-views.ts'
import type { ResponseCache } from '../../cache/response-cache.ts'
import type { GroupView } from '../../cache/shared/group-view.ts'

/** `group`: the caches of the other instances; null without a shared store. */
export function cacheStateView(
  { bytes, bytesOf, entries, operations }: ReturnType<ResponseCache['stats']>,
  maxBytes: number,
  group: GroupView | null,
): CacheStateView {
  const rows = [...operations]
    .map(([operation, counts]) => ({ operation, ...counts, bytes: bytesOf.get(operation) ?? 0 }))
    .sort((a, b) => (a.operation < b.operation ? -1 : 1))
  const answered = rows.reduce(
    (sum, { hits, stale, validated, collapsed }) => sum + hits + stale + validated + collapsed,
    0,
  )
  const asked = rows.reduce((sum, { misses, bypassed }) => sum + misses + bypassed, answered)
  return {
    bytes,
    max_bytes: maxBytes,
    entries,
    hit_percent: percentOf(answered, asked),
    group:
      group === null
        ? null
        : { standing: group.standing, members: group.members, missing: group.missing, reason: group.reason },
    operations: rows,
  }
}

/** With one decimal; null of nothing. */
export function percentOf(part: number, whole: number): number | null {
  return whole === 0 ? null : Math.round((part / whole) * 1000) / 10
}
