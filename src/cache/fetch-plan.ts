// What a call to the upstream is for, and what it needs of the rest of the cache. Types only.

import type { CacheRead } from './rfc9111/prepared-answer.ts'
import type { Allowance } from './memory/body-collector.ts'
import type { Forward } from './cache-status.ts'
import type { WallTime } from './clocks.ts'
import type { StoredResponse, Terms } from './rfc9111/stored-response.ts'
import type { CacheOutcome } from './cache-request.ts'

export interface FetchPlan {
  readonly key: string
  /** Tags and path, by which a write bars it. */
  readonly names: readonly string[]
  readonly read: CacheRead
  readonly fwd: Forward
  /** The stored answer that is to be validated, or to stand in for a failure. */
  readonly candidate: StoredResponse | null
  /** The answer may be kept and shared: that to a GET. */
  readonly keep: boolean
  /** Later calls have higher numbers. */
  readonly sequence: number
}

export interface FetchResult {
  readonly result: CacheOutcome['result']
  readonly fwdStatus: number | null
  readonly stored: boolean
  /** What its lifetime follows from; null when it has none. */
  readonly terms: Terms | null
  readonly detail: string | null
}

export interface BarredFetch {
  readonly plan: FetchPlan
  /** A write came in between: nothing is kept. */
  readonly barred: boolean
  /** Keeps its answer from being stored, and later callers from joining it: they must see the effect of the write. */
  bar(): void
}

export interface FetchParts {
  readonly monotonic: () => number
  readonly wallTime: () => WallTime
  readonly allowance: Allowance
  readonly maxEntryBytes: number
  age(entry: StoredResponse): string
  /** Counts how an answer came about and gives its outcome. */
  outcome(plan: FetchPlan, read: CacheRead, account: FetchResult): CacheOutcome
  /** Keeps an entry. False when a write or a newer answer came in between. */
  store(fetch: BarredFetch, entry: StoredResponse): boolean
  /** The stored answer is not the upstream's any more. */
  outdated(plan: FetchPlan, entry: StoredResponse): void
}
