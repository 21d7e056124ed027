// The moment as operators see it: what is wrong, and the traffic of the last minutes.

import type { NowView, RefusalCountView } from '../../../admin/console/now-view.ts'
import { isoTime } from '../../../admin/views.ts'
import type { BudgetView } from '../../../budgets/budget-status.ts'
import type { DecisionSummary } from '../../../records/search/recent-decisions.ts'
import { fullNotes } from '../../idempotency.ts'
import { percentOf } from '../cache-state.ts'
import type { ConsoleOptions } from '../console-options.ts'
import { answerTroubles } from './answer-troubles.ts'
import {
  certificateTroubles,
  checkpointTroubles,
  issuerTroubles,
  keyTroubles,
  policyTroubles,
  recordTroubles,
  sentence,
} from './part-troubles.ts'
import { budgetTroubles, callerTroubles, storeTroubles, upstreamTroubles } from './traffic-troubles.ts'
import { createTroubleTracker, summaryOf, type FoundTrouble } from './troubles.ts'

const windowMs = 300_000
/** Of a busy instance the latest so many decisions are looked at, since requests wait meanwhile. */
const mostLookedAt = 2_000
/** Whoever polls in between gets the same answer. */
const keptMs = 500
const mostReasons = 30

/** `budgets`: as they were read last. */
export function createNow(options: ConsoleOptions, budgets: () => readonly BudgetView[]) {
  const { core, shares, upstream, app, readiness, lifecycle } = options
  const { config, now, monotonic, policies, recent, version } = core
  const startedAtMs = now()
  const tracker = createTroubleTracker(now)
  let kept: { readonly atMs: number; readonly view: NowView } | null = null

  function view(): NowView {
    if (kept !== null && monotonic() - kept.atMs < keptMs) return kept.view
    const nowMs = now()
    const since = new Date(nowMs - windowMs).toISOString()
    const made = viewOf(recent.latest(mostLookedAt, since), nowMs)
    kept = { atMs: monotonic(), view: made }
    return made
  }

  function viewOf(lately: readonly DecisionSummary[], nowMs: number): NowView {
    const latency = recent.latency.window
    const readings = {
      waiting: upstream.waiting,
      atDevin: upstream.inFlight - upstream.waiting,
      connections: config.upstream.connections,
    }
    const troubles = tracker.track([
      ...upstreamTroubles(
        {
          ...readings,
          origin: config.upstream.origin,
          brokenKeys: upstream.brokenKeys(),
          devinP50Ms: latency.devin.p50,
        },
        lately,
      ),
      ...answerTroubles(
        config.upstream.origin,
        lately,
        core.keyring.status().some(({ state }) => state !== 'ready'),
      ),
      ...callerTroubles(lately, policies.current, budgets()),
      ...budgetTroubles(budgets(), policies.current),
      ...stateTroubles(options, nowMs),
    ])
    // Fewer seconds after the start, and where the memory no longer reaches back.
    const isCut = recent.total > recent.size || lately.length === mostLookedAt
    const reachMs = isCut && lately.length > 0 ? nowMs - Date.parse(lately.at(-1)?.time ?? '') : windowMs
    const windowSeconds = Math.max(1, Math.round(Math.min(windowMs, nowMs - startedAtMs, reachMs) / 1000))
    const outcomes = Object.fromEntries(
      [...Map.groupBy(lately, ({ outcome }) => outcome)].map(([outcome, of]) => [outcome, of.length]),
    )
    const asked = lately.filter(({ cache }) => cache !== null)
    const answered = asked.filter(({ cache }) => cache !== 'miss' && cache !== 'bypass').length
    const waits = lately.flatMap(({ waited_ms: waited }) => waited ?? [])
    const { bytes, entries } = shares.cache.stats()
    const { rss, heapUsed } = process.memoryUsage()
    return {
      at: isoTime(nowMs) ?? '',
      instance: { version, started_at: isoTime(startedAtMs) ?? '', workers: 1 },
      ready: readiness().ready,
      draining: lifecycle.draining,
      summary: summaryOf(troubles, readiness().ready),
      troubles,
      traffic: {
        window_seconds: windowSeconds,
        requests: lately.length,
        per_second: Math.round((lately.length / windowSeconds) * 10) / 10,
        in_flight: app.inFlight,
        outcomes,
      },
      latency,
      refusals: refusalsOf(lately),
      cache: {
        asked: asked.length,
        answered,
        hit_percent: percentOf(answered, asked.length),
        bytes,
        max_bytes: config.cache.maxBytes,
        entries,
      },
      queue: {
        at_devin: readings.atDevin,
        waiting: readings.waiting,
        connections: readings.connections,
        longest_wait_ms: waits.length === 0 ? null : waits.reduce((most, each) => Math.max(most, each)),
      },
      memory: { rss_bytes: rss, heap_bytes: heapUsed },
    }
  }

  return { view }
}

/** Refusals and failures by reason, the most frequent first. The newest decision comes first. */
export function refusalsOf(decisions: readonly DecisionSummary[]): readonly RefusalCountView[] {
  const refused = decisions.filter(({ outcome }) => outcome === 'refused' || outcome === 'failed')
  return [...Map.groupBy(refused, ({ reason }) => reason)]
    .map(([reason, of]): RefusalCountView => {
      const [latest] = of
      return {
        reason,
        problem: latest?.problem ?? null,
        count: of.length,
        teams: [...new Set(of.flatMap(({ team }) => team ?? []))].sort(),
        last_at: latest?.time ?? '',
        example: latest?.decision_id ?? '',
      }
    })
    .sort((a, b) => b.count - a.count)
    .slice(0, mostReasons)
}

/** What the parts of this instance say of themselves. */
function stateTroubles(
  { core, shares, certificates, overload, blocks, identities, lifecycle, extraNotes, changedFiles }: ConsoleOptions,
  nowMs: number,
): readonly FoundTrouble[] {
  const { config, checkpoints, keyring, policies, shadow, sinks, tokens } = core
  const { keys, store } = shares
  const platform = { owner: 'platform', severity: 'warning' } as const
  const keyStates = keyring.status()
  return [
    ...tokens.status().flatMap((status) => issuerTroubles(status, config.issuers, nowMs)),
    ...keyStates.flatMap((status) => keyTroubles(status, identities.statusOf(status.handle.id), nowMs)),
    ...storeTroubles(store?.state ?? null, store?.membership.state ?? null),
    ...(policies.refusal === null ? [] : [policyTroubles('policies', policies.refusal, policies.current.teams)]),
    ...(shadow === null || shadow.set.refusal === null
      ? []
      : [policyTroubles('shadow', shadow.set.refusal, policies.current.teams)]),
    ...certificateTroubles(certificates.notes, certificates.endsAtMs <= nowMs),
    ...recordTroubles(sinks.health()),
    ...checkpointTroubles(checkpoints?.status() ?? null),
    ...(blocks.note === null
      ? []
      : [
          {
            ...platform,
            kind: 'block',
            aspect: 'unknown',
            severity: 'degraded',
            what: sentence(blocks.note),
            do: 'Repair the shared store, or the way to it.',
          } as const,
        ]),
    ...(overload.level === 0
      ? []
      : [
          {
            ...platform,
            kind: 'instance',
            aspect: 'overload',
            severity: 'degraded',
            what: 'The event loop lags: requests are refused, first those of teams that make more than their share of the load.',
            do: 'Add instances or workers, or lower the limits of the team that sends most.',
          } as const,
        ]),
    ...(lifecycle.draining
      ? [
          {
            ...platform,
            kind: 'instance',
            aspect: 'draining',
            what: 'The instance is shutting down.',
            do: 'Nothing, where that is meant.',
          } as const,
        ]
      : []),
    ...changedFiles().map((file): FoundTrouble => ({
      ...platform,
      kind: 'configuration',
      name: file,
      aspect: 'changed',
      what: sentence(file),
      do: 'Restart the instances one after the other.',
    })),
    ...[...fullNotes(keys), ...extraNotes()].map((note): FoundTrouble => ({
      ...platform,
      kind: 'instance',
      name: note.slice(0, 80),
      aspect: 'note',
      what: sentence(note),
      do: 'See the log of the instance for what came before.',
    })),
  ]
}
