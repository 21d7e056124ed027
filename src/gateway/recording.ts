// One access record and one decision record for each exchange, however it ended. Called once, when the exchange is over.

import { claimAt } from '../identity/claims.ts'
import { recordJson, safeText } from '../records/safe-text.ts'
import type { AccessEntry, DecisionContent, DecisionHead, Outcome } from '../records/entries.ts'
import type { Exchange } from './exchange.ts'
import { guardrailsEntry } from './guardrail-record.ts'

/** Reasons of exchanges that came to no decision of the policy, besides the problem kinds. */
export const exchangeReasons = ['own-page', 'caller-left'] as const

export interface Records {
  access(entry: AccessEntry): void
  decision(head: DecisionHead, content: () => string): void
}

/** What the metrics learn of an exchange; labels come from closed sets only. */
export interface ExchangeMeasure {
  readonly operation: string | null
  readonly team: string | null
  readonly outcome: Outcome
  readonly status: number | null
  readonly effect: 'allow' | 'deny'
  readonly reason: string
  readonly problem: string | null
  readonly durationMs: number
  readonly upstreamMs: number | null
}

export interface Meter {
  exchangeStarted(): void
  observeExchange(measure: ExchangeMeasure): void
}

export interface Recorder {
  /** An exchange began; exactly one `record` follows. */
  begin(): void
  /** Writes both records. `aborted`: the caller left before the answer was complete. */
  record(exchange: Exchange, aborted: boolean): void
}

export function createRecorder(records: Records, meter: Meter, now: () => number, monotonic: () => number): Recorder {
  return {
    begin: () => meter.exchangeStarted(),
    record(exchange, aborted) {
      const endedAtMs = monotonic()
      const outcome = outcomeOf(exchange, aborted)
      const effect = effectOf(exchange)
      const reason = reasonOf(exchange)
      const time = new Date(now()).toISOString()
      const team = exchange.evaluation?.decision.team?.id ?? null
      const durationMs = rounded(endedAtMs - exchange.startedAtMs)
      const upstreamMs =
        exchange.upstreamStartedAtMs === null
          ? null
          : rounded((exchange.upstreamEndedAtMs ?? endedAtMs) - exchange.upstreamStartedAtMs)
      const { requestId, decisionId } = exchange
      records.decision({ time, decision_id: decisionId, request_id: requestId }, () =>
        decisionContent(exchange, effect, reason),
      )
      records.access({
        time,
        request_id: requestId,
        decision_id: decisionId,
        method: exchange.method,
        operation: exchange.operation?.id ?? exchange.ownPage,
        path: exchange.operation === null && exchange.path !== null ? shownPath(exchange.path) : null,
        organization: exchange.evaluation?.facts.organization ?? null,
        team,
        app: exchange.principal?.app ?? null,
        subject: exchange.principal?.subject ?? null,
        key:
          exchange.keyVersion?.handle.id ??
          (exchange.cache === null ? null : (exchange.evaluation?.key?.key.id ?? null)),
        key_version: exchange.keyVersion?.version ?? null,
        status: exchange.status,
        outcome,
        problem: exchange.problem?.kind ?? null,
        reason: exchange.problem?.reason ?? reason,
        limit: exchange.limitExceeded,
        cache: exchange.cache,
        upstream_status: exchange.upstreamStatus,
        upstream_request_id: exchange.upstreamRequestId,
        bytes_in: exchange.bytesIn,
        bytes_out: exchange.bytesOut,
        duration_ms: durationMs,
        upstream_ms: upstreamMs,
        waited_ms: exchange.waitedMs === null ? null : rounded(exchange.waitedMs),
        trace_id: exchange.traceId,
        policy_revision: exchange.policy.revision,
      })
      meter.observeExchange({
        operation: exchange.operation?.id ?? null,
        team,
        outcome,
        status: exchange.status,
        effect,
        reason,
        problem: exchange.problem?.kind ?? null,
        durationMs,
        upstreamMs,
      })
    },
  }
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000
}

function outcomeOf(exchange: Exchange, aborted: boolean): Outcome {
  if (exchange.brokenOff) return 'failed'
  if (aborted) return 'aborted'
  if (exchange.problem !== null) return exchange.problem.status >= 500 ? 'failed' : 'refused'
  if (exchange.ownPage !== null) return 'answered'
  if (exchange.replayed) return 'replayed'
  return exchange.upstreamStatus === null ? 'cached' : 'forwarded'
}

/** The decision is about the right to the operation: a failure after an allow does not turn it into a denial. */
function effectOf(exchange: Exchange): 'allow' | 'deny' {
  if (exchange.evaluation !== null) return exchange.evaluation.decision.effect
  return exchange.problem === null && exchange.ownPage !== null ? 'allow' : 'deny'
}

function reasonOf(exchange: Exchange): string {
  if (exchange.evaluation !== null) return exchange.evaluation.decision.reason
  return exchange.problem?.reason ?? (exchange.ownPage === null ? 'caller-left' : 'own-page')
}

/** As JSON. Of an evaluation it is written once: it takes half of the time of both records. */
function decisionContent(exchange: Exchange, effect: 'allow' | 'deny', reason: string): string {
  const { evaluation } = exchange
  if (evaluation === null) return recordJson(contentOf(exchange, effect, reason))
  evaluation.derived.record ??= recordJson(contentOf(exchange, effect, reason))
  return evaluation.derived.record
}

/** Of an exchange with an evaluation nothing but the evaluation goes into it. */
function contentOf(exchange: Exchange, effect: 'allow' | 'deny', reason: string): DecisionContent {
  const { principal, evaluation, policy } = exchange
  const decision = evaluation?.decision
  return {
    effect,
    reason,
    detail: decision?.detail ?? (evaluation === null ? (exchange.problem?.message ?? null) : null),
    subject: principal?.subject ?? null,
    issuer: principal?.issuer ?? null,
    email: principal?.email ?? null,
    app: principal?.app ?? null,
    groups: principal?.groups ?? [],
    claims:
      principal === null
        ? {}
        : Object.fromEntries(policy.claimPaths.map((path) => [path, claimAt(principal.claims, path) ?? null])),
    teams: decision?.teams.map((team) => team.id) ?? [],
    team: decision?.team?.id ?? null,
    grant: decision?.grant?.id ?? null,
    operation: exchange.operation?.id ?? null,
    organizations: evaluation?.facts.organizations ?? [],
    extra_permissions: evaluation?.facts.extra.map((extra) => extra.permission) ?? [],
    key: evaluation?.key?.key.id ?? null,
    nearest: decision?.nearest?.text ?? null,
    shadow: decision?.shadow.map((grant) => ({ team: grant.team, grant: grant.id, effect: 'allow' as const })) ?? [],
    guardrails: evaluation === null ? null : guardrailsEntry(evaluation),
    policy_revision: policy.revision,
  }
}

/** A path for the log, shortened after secrets were masked: a part of one would not be known for what it is. */
function shownPath(path: string): string {
  const text = safeText(path.slice(0, 512))
  return text.length > 256 ? `${text.slice(0, 256)}…` : text
}
