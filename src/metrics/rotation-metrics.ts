// Metrics of the rotation of keys.

import type { Metrics } from './prometheus.ts'
import type { LabelSet } from './tallies.ts'

/** The rotation of one key. */
export interface KeyRotationReading {
  readonly key: string
  /** When it is due, and when the key in use was made; null where nobody knows. */
  readonly dueAtMs: number | null
  readonly madeAtMs: number | null
  /** It has stopped, was refused, or is overdue. */
  readonly isFailing: boolean
}

/** `keys` are the names that may be label values. */
export function addRotationMetrics(metrics: Metrics, keys: LabelSet) {
  const rotations = metrics.counter(
    'gateway_key_rotations_total',
    'Rotations of keys that ended here, by key and result: done, undone by an operator, or failed.',
    ['key', 'result'],
  )
  const rotationDue = metrics.gauge(
    'gateway_key_rotation_due_timestamp_seconds',
    'When a key is rotated by itself, in seconds since the epoch; absent while nobody knows.',
    ['key'],
  )
  const keyMade = metrics.gauge(
    'gateway_key_rotation_made_timestamp_seconds',
    'When the key in use was made, in seconds since the epoch; absent while nobody knows.',
    ['key'],
  )
  const rotationFailing = metrics.gauge(
    'gateway_key_rotation_failing',
    '1 while the rotation of a key has stopped, cannot begin, or is overdue, else 0.',
    ['key'],
  )
  return {
    /** A rotation of a key has stopped, or is over. */
    keyRotation: (key: string, result: 'done' | 'undone' | 'failed') =>
      rotations.inc({ key: keys.closed(key), result }),
    /** Replaces the earlier values. */
    keyRotationStates(states: readonly KeyRotationReading[]) {
      for (const gauge of [rotationDue, keyMade, rotationFailing]) gauge.reset()
      for (const { key: id, dueAtMs, madeAtMs, isFailing } of states) {
        const key = { key: keys.closed(id) }
        if (dueAtMs !== null) rotationDue.set(key, dueAtMs / 1000)
        if (madeAtMs !== null) keyMade.set(key, madeAtMs / 1000)
        rotationFailing.set(key, isFailing ? 1 : 0)
      }
    },
  }
}
