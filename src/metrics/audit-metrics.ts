// Metrics of the checkpoints of the audit log, by the place that keeps them.

import type { Metrics } from './prometheus.ts'

/** One place. Its name is configured, so that no caller can make a series. */
export interface CheckpointPlaceState {
  readonly place: string
  readonly waiting: number
  readonly delivered: number
  readonly dropped: number
  readonly lastSequence: number
  readonly lastAtMs: number | null
}

export function addCheckpointMetrics(metrics: Metrics) {
  let places: readonly CheckpointPlaceState[] = []
  metrics.readCounter(
    'gateway_audit_checkpoints_total',
    'Checkpoints of the audit log, by place and whether it has them or they were given up.',
    ['place', 'result'],
    () =>
      places.flatMap(({ place, delivered, dropped }) => [
        [{ place, result: 'delivered' }, delivered],
        [{ place, result: 'dropped' }, dropped],
      ]),
  )
  const waiting = metrics.gauge(
    'gateway_audit_checkpoints_waiting',
    'Checkpoints that wait for a place which is away.',
    ['place'],
  )
  const sequence = metrics.gauge(
    'gateway_audit_checkpoint_sequence',
    'Number of the last audit line that a place has a checkpoint of.',
    ['place'],
  )
  const at = metrics.gauge(
    'gateway_audit_checkpoint_timestamp_seconds',
    'When a place took its last checkpoint, in seconds since the epoch.',
    ['place'],
  )
  return {
    /** Replaces the earlier values. */
    checkpoints(states: readonly CheckpointPlaceState[]) {
      places = states
      for (const each of states) {
        const { place } = each
        waiting.set({ place }, each.waiting)
        if (each.lastAtMs === null) continue
        sequence.set({ place }, each.lastSequence)
        at.set({ place }, each.lastAtMs / 1000)
      }
    },
  }
}
