// Metrics on prom-client, which is used in this file only: counters and histograms whose numbers are kept elsewhere
// and read on a scrape, and gauges.

import { collectDefaultMetrics, Counter, Gauge, Registry, type Histogram } from 'prom-client'
import type { MetricDefinition } from './metric-list.ts'
import type { Durations, LabelSet } from './tallies.ts'

export type { Gauge, Registry }

export function createRegistry(): Registry {
  return new Registry()
}

/** Memory, CPU, event loop and garbage collection of the process, under the library's own names. */
export function registerProcess(registry: Registry): void {
  collectDefaultMetrics({ register: registry })
}

/** Numbers with their labels. */
export type Samples = Iterable<readonly [labels: Readonly<Record<string, string>>, count: number]>

/** A counter whose numbers are kept elsewhere and read on a scrape. */
export function registerCounter(registry: Registry, definition: MetricDefinition, read: () => Samples): void {
  const counter: Counter = new Counter({
    ...definition,
    registers: [registry],
    collect: () => {
      counter.reset()
      for (const [labels, count] of read()) counter.inc(labels, count)
    },
  })
}

/** `collect` is called before each reading. */
export function createGauge(registry: Registry, definition: MetricDefinition, collect: () => void = () => {}): Gauge {
  return new Gauge({ ...definition, registers: [registry], collect })
}

/** A histogram whose buckets are counted elsewhere; the library's own can only be fed value by value. */
export function registerDurations(
  registry: Registry,
  definition: MetricDefinition,
  durations: Durations,
  operations: LabelSet,
): void {
  const { name, help } = definition
  const metric = {
    name,
    get: () => {
      const values = [...durations.entries()].flatMap(({ row, buckets, count, sum }) => {
        const labels = { operation: operations.name(row) }
        const counts = buckets.map(({ le, count: upTo }) => ({
          metricName: `${name}_bucket`,
          labels: { le: Number.isFinite(le) ? String(le) : '+Inf', ...labels },
          value: upTo,
        }))
        return [
          ...counts,
          { metricName: `${name}_sum`, labels, value: sum },
          { metricName: `${name}_count`, labels, value: count },
        ]
      })
      return Promise.resolve({ name, help, type: 'histogram', values })
    },
  }
  // All that a registry asks of a metric is its name and `get`; the type names the library's own classes only.
  registry.registerMetric(metric as unknown as Histogram)
}
