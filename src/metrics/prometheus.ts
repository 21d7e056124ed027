// Metrics on prom-client, which is used in this file only.

import { collectDefaultMetrics, Counter, Gauge, Registry, type Histogram } from 'prom-client'
import { LabelSet, type Durations, type Exemplar } from './tallies.ts'

/** Numbers with their labels. */
type Samples = Iterable<readonly [labels: Readonly<Record<string, string>>, count: number]>

/** A registry of its own, and what makes its metrics. They are shown in the order in which they are made. */
export class Metrics {
  readonly #registry = new Registry()
  readonly contentType = this.#registry.contentType

  text(): Promise<string> {
    return this.#registry.metrics()
  }

  /** The same in the OpenMetrics format, which has room for exemplars. The library's own would rename our counters for good. */
  async openMetrics(): Promise<string> {
    const families = (await this.#registry.getMetricsAsJSON()) as unknown as readonly Family[]
    return `${families.map(openMetricsFamily).join('')}# EOF\n`
  }

  /** Memory, CPU, event loop and garbage collection of the process, under the library's own names. */
  addProcess(): void {
    collectDefaultMetrics({ register: this.#registry })
    // Gauges with the ending of counters, which are the sums of gauges that stay.
    for (const what of ['handles', 'requests', 'resources'])
      this.#registry.removeSingleMetric(`nodejs_active_${what}_total`)
  }

  counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return new Counter({ name, help, labelNames, registers: [this.#registry] })
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] })
  }

  /** A gauge without labels; true is 1, and false is 0. */
  setter(name: string, help: string): (value: number | boolean) => void {
    const gauge = this.gauge(name, help)
    return (value) => gauge.set(Number(value))
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
          ...buckets.map(({ le, count: upTo, exemplar }) => ({
            metricName: `${name}_bucket`,
            labels: { le: Number.isFinite(le) ? String(le) : '+Inf', ...labels },
            value: upTo,
            exemplar,
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

/** A metric as the library reads it; `exemplar` is ours. */
interface Family {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly values: readonly {
    readonly metricName?: string
    readonly labels?: Readonly<Record<string, string | number>>
    readonly value: number
    readonly exemplar?: Exemplar | null | undefined
  }[]
}

export const openMetricsType = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

/** The family of a counter is named without `_total`. */
function openMetricsFamily({ name, help, type, values }: Family): string {
  const family = type === 'counter' ? name.replace(/_total$/, '') : name
  const lines = values.map(({ metricName = name, labels = {}, value, exemplar }) => {
    const trace = exemplar === undefined || exemplar === null ? '' : exemplarText(exemplar)
    return `${metricName}${labelsText(labels)} ${numberText(value)}${trace}`
  })
  return [`# HELP ${family} ${escaped(help)}`, `# TYPE ${family} ${type}`, ...lines, ''].join('\n')
}

function exemplarText({ traceId, seconds, atMs }: Exemplar): string {
  return ` # {trace_id="${traceId}"} ${seconds} ${atMs / 1000}`
}

function labelsText(labels: Readonly<Record<string, string | number>>): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escaped(String(value))}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function numberText(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf'
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')
}
