// Connections of callers, and the certificate they see. Part of instruments.ts.

import { metricList } from './metric-list.ts'
import { createGauge, registerCounter, type Registry } from './prometheus.ts'

export interface ListenerMetrics {
  /** Connections of callers that are open now. */
  connections(count: number): void
  connectionRefused(reason: string): void
  connectionCut(cause: string): void
}

/** The closed lists of label values. */
export interface ListenerLabels {
  readonly connectionRefusals: readonly string[]
  readonly connectionCuts: readonly string[]
}

export function createListenerMetrics(registry: Registry, labels: ListenerLabels): ListenerMetrics {
  const refused = new Map(labels.connectionRefusals.map((reason) => [reason, 0]))
  const cut = new Map(labels.connectionCuts.map((cause) => [cause, 0]))
  const open = createGauge(registry, metricList.connections)
  registerCounter(registry, metricList.connectionsRefused, () =>
    [...refused].map(([reason, count]) => [{ reason }, count]),
  )
  registerCounter(registry, metricList.connectionsCut, () => [...cut].map(([cause, count]) => [{ cause }, count]))
  return {
    connections: (count) => open.set(count),
    connectionRefused: (reason) => void refused.set(reason, (refused.get(reason) ?? 0) + 1),
    connectionCut: (cause) => void cut.set(cause, (cut.get(cause) ?? 0) + 1),
  }
}
