// Counters that every exchange updates.

import type { Metrics } from './prometheus.ts'
import { Durations, LabelSet, Tally } from './tallies.ts'

/** The closed lists of label values. */
export interface TrafficLabels {
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
  /** Of a trace that is exported: the exemplar of the durations. */
  readonly traceId?: string | null
  /** Null when no decision was made. */
  readonly effect: 'allow' | 'deny' | null
  readonly reason: string
  /** Kind of the problem that was answered, if one was. */
  readonly problem: string | null
  /** What rules in mode `warn` would have changed; absent: nothing. */
  readonly warnings?: readonly WarningObservation[]
}

/** A grant or a guardrail in mode `warn`, by its id. */
export type WarnRule = { readonly grant: string } | { readonly guardrail: string }

export interface WarningObservation {
  readonly team: string
  readonly rule: WarnRule
  readonly effect: string
}

const outcomes = ['forwarded', 'cached', 'replayed', 'answered', 'refused', 'aborted', 'failed']
const statusClasses = ['none', '1xx', '2xx', '3xx', '4xx', '5xx', 'other']
const effects = ['allow', 'deny']
const warnEffects = ['deny', 'other-team', 'filter']
/** Rules that a long-lived process can collect over many policies; those beyond count as `other`. */
const mostWarnRules = 2000

// From a cache hit to the longest time-out of the upstream.
const secondsBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** Counts in plain numbers, and turns them into samples on a scrape. `teams`: whose names may be label values. */
export function addTraffic(metrics: Metrics, options: TrafficLabels, teams: LabelSet) {
  const operations = new LabelSet(options.operations)
  const ends = new LabelSet(outcomes)
  const reasons = new LabelSet(options.reasons)
  const requestsOfTeam: Tally[] = []
  const requestSeconds = new Durations(secondsBounds)
  const upstreamSeconds = new Durations(secondsBounds)
  const decisions = new Tally(effects.length)

  metrics.readCounter(
    'gateway_requests_total',
    'Requests that ended, by operation, team, how they ended and class of the status that was sent.',
    ['operation', 'team', 'outcome', 'status_class'],
    function* () {
      for (const [team, requests] of requestsOfTeam.entries()) {
        for (const { row, column, count } of requests?.entries() ?? []) {
          const outcome = ends.name(column % ends.size)
          const statusClass = statusClasses[Math.floor(column / ends.size)] ?? 'other'
          yield [{ operation: operations.name(row), team: teams.name(team), outcome, status_class: statusClass }, count]
        }
      }
    },
  )
  metrics.durations(
    'gateway_request_seconds',
    'From the first byte of a request to the end of its answer.',
    requestSeconds,
    operations,
  )
  metrics.durations(
    'gateway_upstream_seconds',
    'From asking the upstream to the end of its answer.',
    upstreamSeconds,
    operations,
  )
  const inFlight = metrics.gauge('gateway_in_flight', 'Requests that have begun and not ended.')
  metrics.readCounter('gateway_decisions_total', 'Decisions by effect and reason.', ['effect', 'reason'], function* () {
    for (const { row, column, count } of decisions.entries())
      yield [{ effect: effects[column] ?? 'deny', reason: reasons.name(row) }, count]
  })
  const warned = metrics.counter(
    'gateway_warned_requests_total',
    'Allowed requests that would be different without a grant in mode warn, or with a guardrail in it in force, by team, rule and what would happen: deny, other-team or filter.',
    ['team', 'grant', 'guardrail', 'effect'],
  )
  const warnGrants = new LabelSet([], mostWarnRules)
  const warnGuardrails = new LabelSet([], mostWarnRules)
  const countWarning = ({ team, rule, effect }: WarningObservation, count: number): void =>
    warned.inc(
      {
        team: teams.closed(team),
        grant: warnGrants.closed('grant' in rule ? rule.grant : null),
        guardrail: warnGuardrails.closed('guardrail' in rule ? rule.guardrail : null),
        effect: warnEffects.includes(effect) ? effect : 'other',
      },
      count,
    )
  const problem = metrics.counterOf(
    'gateway_problems_total',
    'Problem documents that the gateway itself answered, by kind.',
    'kind',
    options.problemKinds,
  )

  return {
    /**
     * Makes the rules in mode `warn` known; the team is null for a guardrail, which may bind several. A grant that nobody
     * needs any more shows as 0, and not as nothing.
     */
    warnRules: (rules: readonly { readonly team: string | null; readonly rule: WarnRule }[]) => {
      for (const { team, rule } of rules) {
        if ('grant' in rule) warnGrants.add([rule.grant])
        else warnGuardrails.add([rule.guardrail])
        if (team !== null) countWarning({ team, rule, effect: 'deny' }, 0)
      }
    },
    /** Requests of a team since the start, by operation and how they ended. */
    requestsOf: (team: string): readonly { operation: string; outcome: string; count: number }[] =>
      [...(requestsOfTeam[teams.position(team)]?.entries() ?? [])].map(({ row, column, count }) => ({
        operation: operations.name(row),
        outcome: ends.name(column % ends.size),
        count,
      })),
    /** An exchange began. Each needs exactly one `observeExchange`. */
    exchangeStarted: () => inFlight.inc(),
    /** An exchange ended: counts request, decision, problem and durations. Cheap: no label text is built. */
    observeExchange: (exchange: ExchangeObservation) => {
      inFlight.dec()
      const operation = operations.position(exchange.operation)
      const requests = (requestsOfTeam[teams.position(exchange.team)] ??= new Tally(ends.size * statusClasses.length))
      requests.add(operation, ends.position(exchange.outcome) + ends.size * statusClassOf(exchange.status))
      requestSeconds.observe(operation, exchange.durationMs / 1000, exchange.traceId)
      if (exchange.upstreamMs !== null) upstreamSeconds.observe(operation, exchange.upstreamMs / 1000, exchange.traceId)
      if (exchange.effect !== null) decisions.add(reasons.position(exchange.reason), effects.indexOf(exchange.effect))
      for (const warning of exchange.warnings ?? []) countWarning(warning, 1)
      if (exchange.problem !== null) problem(exchange.problem)
    },
  }
}

function statusClassOf(status: number | null): number {
  if (status === null) return 0
  const statusClass = Math.floor(status / 100)
  return statusClass >= 1 && statusClass <= 5 ? statusClass : statusClasses.length - 1
}
