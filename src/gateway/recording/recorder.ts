// One access and one decision record for each exchange. Those of a sent write are written before its answer leaves.

import { claimAt } from '../../identity/claim-path.ts'
import { TokenProblem } from '../../identity/rejection.ts'
import { recordJson, safeText } from '../../records/safe-text.ts'
import type { Warning } from '../../policy/decision/warnings.ts'
import type { AccessEntry, DecisionContent, DecisionHead, ExchangeOutcome, WarnEntry } from '../../records/entries.ts'
import type { DecisionEnd } from '../../records/search/recent-decisions.ts'
import type { RequestContext } from '../context.ts'
import { guardrailsEntry } from './guardrails-entry.ts'
import { requestEntry } from './request-entry.ts'

/** Reasons of exchanges that came to no decision of the policy, besides the problem kinds. */
export const exchangeReasons = ['own-page', 'caller-left'] as const

const noWarnings: readonly Warning[] = []

export interface Records {
  /** The text that was written; null where there is none. */
  access(entry: AccessEntry): string | null
  decision(head: DecisionHead, content: () => string): void
  /** From here on the records survive the end of this process. */
  flush(): void
}

/** What the metrics learn of an exchange; labels come from closed sets only. */
export interface ExchangeMeasure {
  readonly operation: string | null
  readonly team: string | null
  readonly outcome: ExchangeOutcome
  readonly status: number | null
  readonly effect: 'allow' | 'deny'
  readonly reason: string
  readonly problem: string | null
  /** What the rules in mode `warn` would have changed. */
  readonly warnings: readonly Warning[]
  readonly durationMs: number
  readonly upstreamMs: number | null
  /** Of a trace that is exported; null without one. */
  readonly traceId: string | null
}

export interface ExchangeMeter {
  exchangeStarted(): void
  observeExchange(measure: ExchangeMeasure): void
}

/** Keeps both records of an exchange that has ended. */
export interface RecentRecords {
  add(access: AccessEntry, text: string, end: DecisionEnd): void
}

export function createRecorder(
  records: Records,
  meter: ExchangeMeter,
  now: () => number,
  monotonic: () => number,
  recent: RecentRecords | null = null,
) {
  let [timeMs, time] = [Number.NaN, '']

  /** Records of one millisecond share the text of it, which is dear to make. */
  function timeText(): string {
    const nowMs = now()
    if (nowMs !== timeMs) [timeMs, time] = [nowMs, new Date(nowMs).toISOString()]
    return time
  }

  function recordDecision(context: RequestContext, time: string): void {
    if (context.isDecisionRecorded) return
    context.isDecisionRecorded = true
    const { decisionId, requestId } = context
    const ended = { how: outcomeOf(context), stage: context.stage, sent: context.upstreamStartedAtMs !== null }
    records.decision({ time, decision_id: decisionId, request_id: requestId, ended }, () => {
      context.decisionText = decisionContent(context, effectOf(context), reasonOf(context))
      return context.decisionText
    })
  }

  return {
    /** An exchange began; a `record` follows. */
    begin: (): void => meter.exchangeStarted(),
    /** Writes the decision record alone: how the exchange ends is not known yet. */
    recordDecision: (context: RequestContext): void => recordDecision(context, timeText()),
    flush: (): void => records.flush(),
    /** Writes the records that are not written yet. */
    record(context: RequestContext): void {
      if (context.isAccessRecorded) return
      context.isAccessRecorded = true
      const endedAtMs = monotonic()
      const outcome = outcomeOf(context)
      const effect = effectOf(context)
      const reason = reasonOf(context)
      const time = timeText()
      const team = context.evaluation?.decision.team?.id ?? null
      const durationMs = rounded(endedAtMs - context.startedAtMs)
      const upstreamMs =
        context.upstreamStartedAtMs === null
          ? null
          : rounded((context.upstreamEndedAtMs ?? endedAtMs) - context.upstreamStartedAtMs)
      const measure = (): void =>
        meter.observeExchange({
          operation: context.operation?.id ?? null,
          team,
          outcome,
          status: context.status,
          effect,
          reason,
          problem: context.problem?.kind ?? null,
          warnings: context.evaluation?.warnings ?? noWarnings,
          durationMs,
          upstreamMs,
          traceId: context.trace?.isSampled === true ? context.trace.traceId : null,
        })
      // Nothing of it was looked at, and a flood of it must not fill the disk.
      if (context.problem?.kind === 'too-many-anonymous') {
        measure()
        return
      }
      const { requestId, decisionId } = context
      recordDecision(context, time)
      const access: AccessEntry = {
        time,
        request_id: requestId,
        decision_id: decisionId,
        method: context.method,
        operation: context.operation?.id ?? context.ownPage,
        path: context.operation === null && context.path !== null ? shownPath(context.path) : null,
        organization: context.evaluation?.facts.organization ?? null,
        team,
        app: context.principal?.app ?? null,
        subject: context.principal?.subject ?? null,
        key:
          context.keyVersion?.handle.id ?? (context.cache === null ? null : (context.evaluation?.key?.key.id ?? null)),
        key_version: context.keyVersion?.version ?? null,
        status: context.status,
        outcome,
        problem: context.problem?.kind ?? null,
        reason: context.problem?.reason ?? reason,
        limit: context.limitExceeded,
        cache: context.cache,
        upstream_status: context.upstreamStatus,
        upstream_request_id: context.upstreamRequestId,
        bytes_in: context.bytesIn,
        bytes_out: context.bytesOut,
        duration_ms: durationMs,
        upstream_ms: upstreamMs,
        waited_ms: context.waitedMs === null ? null : rounded(context.waitedMs),
        trace_id: context.traceId,
        policy_revision: context.policy.revision,
      }
      const text = records.access(access)
      if (text !== null)
        recent?.add(access, text, {
          content: context.decisionText,
          stage: context.stage,
          sent: context.upstreamStartedAtMs !== null,
        })
      measure()
    },
  }
}

export type Recorder = ReturnType<typeof createRecorder>

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000
}

function outcomeOf(context: RequestContext): ExchangeOutcome {
  if (context.brokenOff) return 'failed'
  if (context.aborted) return 'aborted'
  if (context.problem !== null) return context.problem.status >= 500 ? 'failed' : 'refused'
  if (context.replayed) return 'replayed'
  // A stored answer may stand in for one of Devin that says that it failed.
  if (context.upstreamStatus !== null && context.cache !== 'stale') return 'forwarded'
  return context.cache === null ? 'answered' : 'cached'
}

/** The decision is about the right to the operation: a failure after an allow does not turn it into a denial, but a block does. */
function effectOf(context: RequestContext): 'allow' | 'deny' {
  if (isBlocked(context)) return 'deny'
  if (context.evaluation !== null) return context.evaluation.decision.effect
  return context.problem === null && context.ownPage !== null ? 'allow' : 'deny'
}

function isBlocked({ problem }: RequestContext): boolean {
  return problem?.kind === 'blocked'
}

function reasonOf(context: RequestContext): string {
  if (isBlocked(context)) return 'blocked'
  if (context.evaluation !== null) return context.evaluation.decision.reason
  return context.problem?.reason ?? (context.ownPage === null ? 'caller-left' : 'own-page')
}

/** As JSON. Made once for an evaluation, and reused for requests that repeat it. */
function decisionContent(context: RequestContext, effect: 'allow' | 'deny', reason: string): string {
  const { evaluation } = context
  if (evaluation === null || isBlocked(context)) return recordJson(contentOf(context, effect, reason))
  context.memo.record ??= recordJson(contentOf(context, effect, reason))
  return context.memo.record
}

/** Where there is an evaluation, only the evaluation goes into it, so that it can be reused. */
function contentOf(context: RequestContext, effect: 'allow' | 'deny', reason: string): DecisionContent {
  const { principal, evaluation, policy } = context
  const decision = evaluation?.decision
  return {
    effect,
    reason,
    detail: decision?.detail ?? (evaluation === null || isBlocked(context) ? (context.problem?.message ?? null) : null),
    subject: principal?.subject ?? null,
    issuer: principal?.issuer ?? null,
    email: principal?.email ?? null,
    email_verified: principal !== null && principal.email !== null && principal.emailVerified,
    app: principal?.app ?? null,
    actor: principal?.actor ?? null,
    groups: principal?.groups ?? [],
    claims:
      principal === null
        ? {}
        : Object.fromEntries(policy.claimPaths.map((path) => [path, claimAt(principal.claims, path) ?? null])),
    teams: decision?.teams.map((team) => team.id) ?? [],
    team: decision?.team?.id ?? null,
    grant: decision?.grant?.id ?? null,
    owner: decision?.owner?.owner ?? decision?.owner?.contact ?? null,
    operation: context.operation?.id ?? null,
    organizations: evaluation?.facts.organizations ?? [],
    extra_permissions: evaluation?.facts.extra.map((extra) => extra.permission) ?? [],
    key: evaluation?.key?.key.id ?? null,
    nearest: decision?.nearest?.text ?? null,
    shadow: decision?.shadow.map((grant) => ({ team: grant.team, grant: grant.id, effect: 'allow' as const })) ?? [],
    warn: evaluation?.warnings.map(warnEntry) ?? [],
    guardrails: evaluation === null ? null : guardrailsEntry(evaluation),
    request: evaluation === null ? null : requestEntry(evaluation, context.devinUser),
    policy_revision: policy.revision,
    ...(principal === null || principal.priorActors.length === 0 ? {} : { prior_actors: principal.priorActors }),
    ...(context.problem instanceof TokenProblem && context.problem.seen !== null
      ? { token_seen: context.problem.seen }
      : {}),
  }
}

function warnEntry({ team, rule, effect, reason, text }: Warning): WarnEntry {
  const grant = 'grant' in rule ? rule.grant : null
  const guardrail = 'guardrail' in rule ? rule.guardrail : null
  return { team, grant, guardrail, effect, reason, detail: text }
}

/** A path for the log, shortened after masking: a truncated secret would not be recognised. */
function shownPath(path: string): string {
  const text = safeText(path.slice(0, 512))
  return text.length > 256 ? `${text.slice(0, 256)}…` : text
}
