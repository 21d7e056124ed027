// Metrics of what is to be said about the powers of keys, and of their use elsewhere.

import type { Metrics } from './prometheus.ts'
import { LabelSet } from './tallies.ts'

/** One finding about a key. */
export interface FindingReading {
  readonly key: string
  readonly finding: string
}

/** `keys` are the names that may be label values; `findings` all kinds that there are. */
export function addKeyFindingMetrics(metrics: Metrics, keys: LabelSet, findings: readonly string[]) {
  const kinds = new LabelSet(findings)
  const found = metrics.gauge(
    'gateway_key_findings',
    '1 for each finding of `devin-gateway keys --report` about a key; use is that of this instance, from its second day on.',
    ['key', 'finding'],
  )
  const elsewhere = metrics.counterOf(
    'gateway_key_foreign_uses_total',
    'Uses of a watched key that did not pass through the gateway, by key.',
    'key',
    keys,
  )
  return {
    /** The key was used elsewhere. */
    keyUsedElsewhere: elsewhere,
    /** Replaces the earlier findings. */
    keyFindings(readings: readonly FindingReading[]) {
      found.reset()
      for (const { key, finding } of readings) found.set({ key: keys.closed(key), finding: kinds.closed(finding) }, 1)
    },
  }
}
