// Counters that every exchange updates.

import { metricList } from './metric-list.ts'
import { createGauge, registerCounter, registerDurations, type Gauge, type Registry } from './prometheus.ts'
import { Durations, LabelSet, Tally } from './tallies.ts'

/** The closed lists of label values. */
export interface TrafficOptions {
  /** Ids of the catalogue's operations. */
  readonly operations: readonly string[]
  readonly problemKinds: readonly string[]
  /** Reasons of decisions. */
  readonly reasons: readonly string[]
}

/** One exchange that has ended. Names that are not known count as `other`, null as `none`. */
export interface ExchangeObservation {
  readonly operation: string | null
  readonly team: string | null
  readonly outcome: string
  readonly status: number | null
  readonly durationMs: number
  /** Null when the upstream was not asked. */
  readonly upstreamMs: number | null
  /** Null when no decision was made. */
  readonly effect: 'allow' | 'deny' | null
  readonly reason: string
  /** Kind of the problem that was answered, if one was. */
  readonly problem: string | null
}

const outcomes = ['forwarded', 'cached', 'replayed', 'answered', 'refused', 'aborted', 'failed']
const statusClasses = ['none', '1xx', '2xx', '3xx', '4xx', '5xx', 'other']
const effects = ['allow', 'deny']

// From a cache hit to the longest time-out of the upstream.
const secondsBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** Counts in plain numbers, and turns them into samples on a scrape. `teams`: whose names may be label values. */
export function createTraffic(registry: Registry, options: TrafficOptions, teams: LabelSet) {
  const operations = new LabelSet(options.operations)
  const ends = new LabelSet(outcomes)
  const kinds = new LabelSet(options.problemKinds)
  const reasons = new LabelSet(options.reasons)
  const requestsOfTeam: Tally[] = []
  const requestSeconds = new Durations(secondsBounds)
  const upstreamSeconds = new Durations(secondsBounds)
  const decisions = new Tally(effects.length)
  const problems = new Tally(1)
  let inFlight = 0

  registerCounter(registry, metricList.requests, function* () {
    for (const [team, requests] of requestsOfTeam.entries()) {
      for (const { row, column, count } of requests?.entries() ?? []) {
        const outcome = ends.name(column % ends.size)
        const statusClass = statusClasses[Math.floor(column / ends.size)] ?? 'other'
        yield [{ operation: operations.name(row), team: teams.name(team), outcome, status_class: statusClass }, count]
      }
    }
  })
  registerDurations(registry, metricList.requestSeconds, requestSeconds, operations)
  registerDurations(registry, metricList.upstreamSeconds, upstreamSeconds, operations)
  const gauge: Gauge = createGauge(registry, metricList.inFlight, () => gauge.set(inFlight))
  registerCounter(registry, metricList.decisions, function* () {
    for (const { row, column, count } of decisions.entries()) {
      yield [{ effect: effects[column] ?? 'deny', reason: reasons.name(row) }, count]
    }
  })
  registerCounter(registry, metricList.problems, function* () {
    for (const kind of options.problemKinds) yield [{ kind }, 0]
    for (const { row, count } of problems.entries()) yield [{ kind: kinds.name(row) }, count]
  })

  return {
    exchangeStarted: () => {
      inFlight += 1
    },
    observeExchange: (exchange: ExchangeObservation) => {
      inFlight -= 1
      const operation = operations.position(exchange.operation)
      const requests = (requestsOfTeam[teams.position(exchange.team)] ??= new Tally(ends.size * statusClasses.length))
      requests.add(operation, ends.position(exchange.outcome) + ends.size * statusClassOf(exchange.status))
      requestSeconds.observe(operation, exchange.durationMs / 1000)
      if (exchange.upstreamMs !== null) upstreamSeconds.observe(operation, exchange.upstreamMs / 1000)
      if (exchange.effect !== null) decisions.add(reasons.position(exchange.reason), effects.indexOf(exchange.effect))
      if (exchange.problem !== null) problems.add(kinds.position(exchange.problem), 0)
    },
  }
}

function statusClassOf(status: number | null): number {
  if (status === null) return 0
  const statusClass = Math.floor(status / 100)
  return statusClass >= 1 && statusClass <= 5 ? statusClass : statusClasses.length - 1
}
