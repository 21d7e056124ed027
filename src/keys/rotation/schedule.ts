// When keys are rotated by themselves. Pure.

import { createHash } from 'node:crypto'
import { isOver, type Rotation } from './rotation.ts'

const minuteMs = 60_000
const firstRetryMs = 5 * minuteMs
const longestRetryMs = 6 * 60 * minuteMs

/**
 * When a key that was made at an instant is due. A little early, by its name: keys that were made together are
 * not rotated together, and none is late.
 */
export function dueAtMs(key: string, everyMs: number, madeAtMs: number): number {
  const share = createHash('sha256').update(key).digest().readUInt32BE() / 2 ** 32
  return madeAtMs + everyMs - Math.floor((everyMs / 10) * share)
}

/** When a rotation that stopped is taken up again: after growing waits. */
export function retryAtMs({ fault, failures }: Pick<Rotation, 'fault' | 'failures'>): number {
  if (fault === null) return 0
  return fault.atMs + Math.min(firstRetryMs * 2 ** Math.max(0, failures - 1), longestRetryMs)
}

/** When the key in use was made: by the journal, where that speaks of it. Null where nobody knows. */
export function madeAtMs(latest: Rotation | null): number | null {
  if (latest === null || !isOver(latest) || latest.phase !== 'done') return null
  return latest.endedAtMs
}

/** A rotation that went back for a reason, as one that stopped at its end. */
export function failedBefore({ endedAtMs, failures, phase, reason }: Rotation): Pick<Rotation, 'fault' | 'failures'> {
  const isFailed = phase === 'undone' && reason !== null && endedAtMs !== null
  return isFailed ? { fault: { text: reason, atMs: endedAtMs }, failures } : { fault: null, failures: 0 }
}
