// What the gateway measures. Labels take values from closed lists, so no caller can make a series.

import { addInboundMetrics, type InboundLabels } from './inbound-metrics.ts'
import { addKeyFindingMetrics } from './key-metrics.ts'
import { Metrics, openMetricsType } from './prometheus.ts'
import { addRotationMetrics } from './rotation-metrics.ts'
import { addShadowMetrics } from './shadow-metrics.ts'
import { addCheckpointMetrics } from './audit-metrics.ts'
import { addBudgetMetrics, addCacheMetrics, addPolicyMetrics, addStoreMetrics } from './state-metrics.ts'
import { LabelSet } from './tallies.ts'
import { addTraffic, type TrafficLabels } from './traffic.ts'

export interface InstrumentsOptions extends TrafficLabels, InboundLabels {
  /** Kinds of findings about keys. */
  readonly keyFindings: readonly string[]
  /** Events of idempotency keys. */
  readonly idempotencyEvents: readonly string[]
  /** Adds memory, CPU, event loop and garbage collection of the process, which only one instance should watch. On by default. */
  readonly processMetrics?: boolean
}

export type Instruments = ReturnType<typeof createInstruments>

// Names of teams and keys that a long-lived process can collect over many policies; more become `other`.
const maxNames = 2000

/** Creates a set of metrics with a registry of its own: instances share nothing but the process they may watch. */
export function createInstruments(options: InstrumentsOptions) {
  const metrics = new Metrics()
  const teams = new LabelSet([], maxNames)
  const keys = new LabelSet([], maxNames)
  const refreshes: (() => void | Promise<void>)[] = []
  let hasExemplars = false
  const refresh = async (): Promise<void> => {
    for (const each of refreshes) await each()
  }
  const instruments = {
    ...addTraffic(metrics, options, teams),
    ...addInboundMetrics(metrics, options),
    ...addCheckpointMetrics(metrics),
    ...addPolicyMetrics(metrics, teams, keys),
    ...addRotationMetrics(metrics, keys),
    ...addKeyFindingMetrics(metrics, keys, options.keyFindings),
    ...addShadowMetrics(metrics, options.operations, teams),
    ...addCacheMetrics(metrics, options.operations),
    ...addStoreMetrics(metrics),
    ...addUpstreamMetrics(metrics, teams, keys),
    ...addIdempotencyMetrics(metrics, options.idempotencyEvents),
    ...addBudgetMetrics(metrics),
    /** Registers a function that brings gauges up to date before each `text()`. */
    beforeScrape: (refresh: () => void | Promise<void>) => void refreshes.push(refresh),
    /** All metrics in the Prometheus text format. */
    async text(): Promise<string> {
      await refresh()
      return await metrics.text()
    },
    contentType: metrics.contentType,
    /** All metrics in the format for an `Accept` field: OpenMetrics where it is wanted and there are exemplars to show. */
    async page(accept: string): Promise<{ readonly type: string; readonly text: string }> {
      await refresh()
      return hasExemplars && accept.includes('application/openmetrics-text')
        ? { type: openMetricsType, text: await metrics.openMetrics() }
        : { type: metrics.contentType, text: await metrics.text() }
    },
    /** There are traces: durations have exemplars, and spans are counted. */
    withTelemetry(counts: () => { readonly exported: number; readonly dropped: number }): void {
      hasExemplars = true
      metrics.readCounter(
        'gateway_telemetry_spans_total',
        'Spans of traces, by result: exported to the collector, or dropped because it was slow or away, or rejected them.',
        ['result'],
        () => Object.entries(counts()).map(([result, count]) => [{ result }, count]),
      )
    },
  }
  if (options.processMetrics ?? true) metrics.addProcess()
  return instruments
}

function addUpstreamMetrics(metrics: Metrics, teams: LabelSet, keys: LabelSet) {
  const upstreamThrottled = metrics.counterOf(
    'gateway_upstream_throttled_total',
    'Answers 429 of the upstream, by key.',
    'key',
    keys,
  )
  const held = metrics.counter(
    'gateway_held_total',
    'Requests that were held in the queue before the upstream, by team and what became of them.',
    ['team', 'result'],
  )
  const shareReached = metrics.counter(
    'gateway_share_reached_total',
    'Requests that had to wait, or were refused, because their team held its share of the connections to the upstream or of the queue.',
    ['team', 'of'],
  )
  const breaker = metrics.counter(
    'gateway_upstream_breaker_total',
    'An upstream that does not answer, by key: left alone (opened), tried (probe), back (closed), and requests that were not sent (refused).',
    ['key', 'event'],
  )
  return {
    /** The upstream answered 429 to this key. */
    upstreamThrottled,
    /** A request of the team was held in the queue before the upstream. */
    held: (team: string, result: 'sent' | 'refused' | 'left') => held.inc({ team: teams.closed(team), result }),
    /** A request of the team had to wait or was refused because the team held its share. */
    shareReached: (team: string, of: 'connections' | 'queue') => shareReached.inc({ team: teams.closed(team), of }),
    /** The circuit breaker of this key opened, probed or closed; or a request was not sent. */
    breaker: (key: string, event: 'opened' | 'probe' | 'closed' | 'refused') =>
      breaker.inc({ key: keys.closed(key), event }),
    /** How many requests wait in the queue now. */
    waiting: metrics.setter('gateway_waiting', 'Requests in the queue before the upstream.'),
  }
}

function addIdempotencyMetrics(metrics: Metrics, events: readonly string[]) {
  return {
    idempotencyEvent: metrics.counterOf(
      'gateway_idempotency_total',
      'Requests with an Idempotency-Key, by what became of the key.',
      'event',
      events,
    ),
    idempotencyBytes: metrics.setter(
      'gateway_idempotency_bytes',
      'Memory of this instance that idempotency keys and their answers take; 0 with a shared store.',
    ),
  }
}
