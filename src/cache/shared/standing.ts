// How an instance stands with the others, as group.ts tells it. Types only; report.ts words it.

import type { TellingCounts } from './telling.ts'

/**
 * `together`: every write anywhere is heard of in time. `cautious`: so are all but those of instances that went missing and may
 * be cut off. `alone`: the store is not to be had, and with it the others.
 */
export type Standing = 'together' | 'cautious' | 'alone'

export interface GroupState {
  readonly standing: Standing
  /** Members that the store knows, and instances that went missing within ten minutes, as last heard. */
  readonly members: number
  readonly missing: number
  /** Times that this instance fell out and had to drop everything. */
  readonly lapses: number
  readonly told: TellingCounts
  /** Why it is alone; null while it is not. */
  readonly reason: string | null
}
