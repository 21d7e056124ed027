// How long requests took, the time of the gateway and that of Devin apart. Pure.

import type { PercentilesView } from '../../../admin/console/now-view.ts'
import type { DecisionSummary } from '../../../records/search/recent-decisions.ts'

export interface Latency {
  /** Without the time that Devin took, and without the wait for a connection to it. */
  readonly gateway: PercentilesView
  readonly devin: PercentilesView
}

/** Own pages count; requests that a caller broke off do not. */
export function latencyOf(
  decisions: Iterable<Pick<DecisionSummary, 'outcome' | 'duration_ms' | 'upstream_ms' | 'waited_ms'>>,
): Latency {
  const gateway: number[] = []
  const devin: number[] = []
  for (const { outcome, duration_ms, upstream_ms, waited_ms } of decisions) {
    if (outcome === 'aborted') continue
    gateway.push(Math.max(0, duration_ms - (upstream_ms ?? 0) - (waited_ms ?? 0)))
    if (upstream_ms !== null) devin.push(upstream_ms)
  }
  return { gateway: percentilesOf(gateway), devin: percentilesOf(devin) }
}

function percentilesOf(values: readonly number[]): PercentilesView {
  const sorted = Float64Array.from(values).sort()
  const at = (share: number): number | null => {
    const value = sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)]
    return value === undefined ? null : Math.round(value * 1000) / 1000
  }
  return { p50: at(0.5), p99: at(0.99) }
}
