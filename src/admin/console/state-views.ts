// What operators see of the cache. Types only: listed fields of plain data, so that no secret fits in.

import type { OperationCounts } from '../../cache/statistics.ts'

export interface CacheStateView {
  readonly bytes: number
  readonly max_bytes: number
  readonly entries: number
  /** Of the requests that asked the cache since the start; null where none did. */
  readonly hit_percent: number | null
  /** The caches of the other instances; null without a shared store. */
  readonly group: {
    readonly standing: string
    readonly members: number
    readonly missing: number
    readonly reason: string | null
  } | null
  readonly operations: readonly (OperationCounts & { readonly operation: string; readonly bytes: number })[]
}
