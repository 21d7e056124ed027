// Connections of callers, the certificate they see, and requests that are refused because the process has too much to do. Part of instruments.ts.

import { metricList } from './metric-list.ts'
import { createGauge, registerCounter, type Registry } from './prometheus.ts'

export interface ListenerMetrics {
  /** Connections of callers that are open now. */
  connections(count: number): void
  connectionRefused(reason: string): void
  connectionCut(cause: string): void
  /** How many priorities are refused, and how many requests of each were. */
  overload(level: number, refused: Readonly<Record<string, number>>): void
  /** When the certificate of a listener ends. */
  certificateExpires(listener: 'gateway', atMs: number): void
  /** The certificate was read again, or the one before was kept. */
  certificateReload(result: 'read' | 'kept'): void
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
  const certificateEnds = createGauge(registry, metricList.certificateExpires)
  const reloads = { read: 0, kept: 0 }
  registerCounter(registry, metricList.certificateReloads, () =>
    Object.entries(reloads).map(([result, count]) => [{ result }, count]),
  )
  const overloadLevel = createGauge(registry, metricList.overloadLevel)
  let shed: Readonly<Record<string, number>> = { low: 0, normal: 0, high: 0 }
  registerCounter(registry, metricList.overloadRefused, () =>
    Object.entries(shed).map(([priority, count]) => [{ priority }, count]),
  )
  return {
    overload(level, refused) {
      overloadLevel.set(level)
      shed = refused
    },
    certificateExpires: (listener, atMs) => certificateEnds.set({ listener }, atMs / 1000),
    certificateReload: (result) => {
      reloads[result] += 1
    },
    connections: (count) => open.set(count),
    connectionRefused: (reason) => void refused.set(reason, (refused.get(reason) ?? 0) + 1),
    connectionCut: (cause) => void cut.set(cause, (cut.get(cause) ?? 0) + 1),
  }
}
