// Metrics on prom-client, which is used in this file only.

import { collectDefaultMetrics, Counter, Gauge, Registry, type Histogram } from 'prom-client'
import { LabelSet, type Durations } from './tallies.ts'

/** Numbers with their labels. */
type Samples = Iterable<readonly [labels: Readonly<Record<string, string>>, count: number]>

/** A registry of its own, and what makes its metrics. They are shown in the order in which they are made. */
export class Metrics {
  readonly #registry = new Registry()
  readonly contentType = this.#registry.contentType

  text(): Promise<string> {
    return this.#registry.metrics()
  }

  /** Memory, CPU, event loop and garbage collection of the process, under the library's own names. */
  addProcess(): void {
    collectDefaultMetrics({ register: this.#registry })
  }

  counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return new Counter({ name, help, labelNames, registers: [this.#registry] })
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] })
  }

  /** A counter whose numbers are kept elsewhere and read on a scrape. */
  readCounter(name: string, help: string, labelNames: readonly string[], read: () => Samples): void {
    const counter: Counter = new Counter({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => {
        counter.reset()
        for (const [labels, count] of read()) counter.inc(labels, count)
      },
    })
  }

  /** A counter with one label, which shows each of its values from the start; any other value counts as `other`. */
  counterOf<Value extends string>(
    name: string,
    help: string,
    label: string,
    values: LabelSet | readonly Value[],
  ): (value: Value) => void {
    const known = values instanceof LabelSet ? values : new LabelSet(values)
    const counts = new Map<string, number>()
    this.readCounter(name, help, [label], function* () {
      for (const value of new Set([...known.names(), ...counts.keys()]))
        yield [{ [label]: value }, counts.get(value) ?? 0]
    })
    return (value) => {
      const closed = known.closed(value)
      counts.set(closed, (counts.get(closed) ?? 0) + 1)
    }
  }

  /** A counter with one label, whose totals are counted elsewhere: each call replaces them. */
  totalsOf(name: string, help: string, label: string, initial: object): (totals: object) => void {
    let latest = initial
    this.readCounter(name, help, [label], () =>
      (Object.entries(latest) as [string, number][]).map(([value, count]) => [{ [label]: value }, count]),
    )
    return (totals) => {
      latest = totals
    }
  }

  /** A histogram by operation, whose buckets are counted elsewhere; the library's own can only be fed value by value. */
  durations(name: string, help: string, durations: Durations, operations: LabelSet): void {
    const get = () => {
      const values = [...durations.entries()].flatMap(({ row, buckets, count, sum }) => {
        const labels = { operation: operations.name(row) }
        return [
          ...buckets.map(({ le, count: upTo }) => ({
            metricName: `${name}_bucket`,
            labels: { le: Number.isFinite(le) ? String(le) : '+Inf', ...labels },
            value: upTo,
          })),
          { metricName: `${name}_sum`, labels, value: sum },
          { metricName: `${name}_count`, labels, value: count },
        ]
      })
      return Promise.resolve({ name, help, type: 'histogram', values })
    }
    // All that a registry asks of a metric is its name and `get`; the type names the library's own classes only.
    this.#registry.registerMetric({ name, get } as unknown as Histogram)
  }
}
