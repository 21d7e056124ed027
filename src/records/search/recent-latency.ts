// How long requests took lately, the time of the gateway and that of Devin apart. Only counts are kept, so adding one is cheap,
// and however busy the instance is, all requests are in the figures.

import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import type { AccessEntry } from '../entries.ts'

/** Milliseconds, to two digits; null without requests. */
export interface Percentiles {
  readonly p50: number | null
  readonly p99: number | null
}

export interface Latency {
  /** Without the time that Devin took, and without the wait for a connection to it. */
  readonly gateway: Percentiles
  readonly devin: Percentiles
}

/** Histograms hold microseconds. */
const options = { lowest: 1, highest: 3_600_000_000, figures: 2 } as const

class Histograms {
  readonly gateway: RecordableHistogram = createHistogram(options)
  readonly devin: RecordableHistogram = createHistogram(options)

  get latency(): Latency {
    return { gateway: percentilesOf(this.gateway), devin: percentilesOf(this.devin) }
  }
}

export class RecentLatency {
  readonly #steps: Histograms[]
  #current = 0

  /** The window is of so many steps. */
  constructor(steps: number) {
    this.#steps = Array.from({ length: steps }, () => new Histograms())
  }

  /** Own pages count; requests that a caller broke off do not. */
  add({ outcome, duration_ms, upstream_ms, waited_ms }: LatencyEntry): void {
    if (outcome === 'aborted') return
    const { gateway, devin } = this.#step
    gateway.record(microseconds(duration_ms - (upstream_ms ?? 0) - (waited_ms ?? 0)))
    if (upstream_ms !== null) devin.record(microseconds(upstream_ms))
  }

  /** Ends a step: what was added since the last one. The next one takes the place of the oldest. */
  endStep(): Latency {
    const { latency } = this.#step
    this.#current = (this.#current + 1) % this.#steps.length
    this.#step.gateway.reset()
    this.#step.devin.reset()
    return latency
  }

  /** Of all steps that are kept, the current one too. */
  get window(): Latency {
    const sum = new Histograms()
    for (const { gateway, devin } of this.#steps) {
      if (gateway.count > 0) sum.gateway.add(gateway)
      if (devin.count > 0) sum.devin.add(devin)
    }
    return sum.latency
  }

  get #step(): Histograms {
    const step = this.#steps[this.#current]
    if (step === undefined) throw new Error('a window has at least one step')
    return step
  }
}

type LatencyEntry = Pick<AccessEntry, 'outcome' | 'duration_ms' | 'upstream_ms' | 'waited_ms'>

function microseconds(ms: number): number {
  return Math.min(options.highest, Math.max(options.lowest, Math.round(ms * 1000)))
}

function percentilesOf(histogram: RecordableHistogram): Percentiles {
  const at = (share: number): number | null =>
    histogram.count === 0 ? null : Number((histogram.percentile(share) / 1000).toPrecision(2))
  return { p50: at(50), p99: at(99) }
}
