// Builds what the console shows of this instance.

import type { ConsoleParts } from '../../admin/console/routes.ts'
import type { ConsoleOptions } from './console-options.ts'
import { cacheStateView } from './cache-state.ts'
import { openDecisions } from './decisions/decisions.ts'
import { explained } from './decisions/explained.ts'
import { openAnalysis } from './analysis/analysis.ts'
import { openAuditCheck } from './audit-check.ts'
import { auditState, policyState } from './policy-state.ts'
import { createTeams } from './teams.ts'
import { keyReportView } from './reported-keys.ts'
import { keepBudgets } from './kept-budgets.ts'
import { createNow } from './moment/now.ts'
import { stepSeconds, TimeSeries } from './moment/series.ts'

/** `close` ends the measuring. */
export function openConsole(options: ConsoleOptions) {
  const { core, shares, upstream, app, group } = options
  const { config, log, now, recent } = core
  const budgets = keepBudgets(shares.showBudgets, core.monotonic)
  const moment = createNow(options, () => budgets.latest?.views ?? [])
  const series = new TimeSeries()
  let [seen, before] = [recent.total, recent.totals]

  function measure(): void {
    const { total, totals } = recent
    const latency = recent.latency.endStep()
    series.add(Math.round(now() / 1000), {
      requests: total - seen,
      refused: totals.outcomes.refused - before.outcomes.refused,
      failed: totals.outcomes.failed - before.outcomes.failed,
      gateway_p50_ms: latency.gateway.p50,
      gateway_p99_ms: latency.gateway.p99,
      devin_p50_ms: latency.devin.p50,
      devin_p99_ms: latency.devin.p99,
      cache_asked: totals.cacheAsked - before.cacheAsked,
      cache_answered: totals.cacheAnswered - before.cacheAnswered,
      waiting: upstream.waiting,
      in_flight: app.inFlight,
      rss_bytes: process.memoryUsage.rss(),
    })
    seen = total
    before = totals
    budgets.renew()
    // So that the beginning of a trouble is known when somebody looks.
    moment.view()
  }
  budgets.renew()
  const timer = setInterval(() => {
    try {
      measure()
    } catch (error) {
      log.error({ event: 'defect', error }, "measuring for the console failed for a reason of the gateway's own")
    }
  }, stepSeconds * 1000).unref()

  const decisions = openDecisions(options)
  const analysis = openAnalysis(options)
  const teams = createTeams(options, budgets)
  /** Whoever looks has figures that are seconds old the next time, without waiting for where they are kept. */
  const fresh = <T>(view: T): T => {
    budgets.renew()
    return view
  }
  const endOf = (key: string): number | null => {
    const declared = core.keyring.status().find(({ handle }) => handle.id === key)?.handle.expiresAtMs ?? null
    const ends = [declared, options.identities.statusOf(key).endsAtMs].filter((each) => each !== null)
    return ends.length === 0 ? null : Math.min(...ends)
  }
  const parts: ConsoleParts = {
    now: () => fresh(moment.view()),
    series: () => series.view(),
    decisions: decisions.search,
    decision: decisions.detail,
    whatWouldAllow: async (id) => {
      const found = await decisions.find(id)
      return found === null ? null : await analysis.whatWouldAllow(found)
    },
    matrix: analysis.matrix,
    policyChanges: analysis.changes,
    teams: () => fresh(teams.list()),
    team: (id) => fresh(teams.one(id)),
    audit: () => auditState(options),
    auditCheck: openAuditCheck(options),
    keyReport: () => keyReportView(options.report.look(), endOf, now()),
    explain: (asked) => explained(options, asked),
    cache: () => cacheStateView(shares.cache.stats(), config.cache.maxBytes, group()),
  }
  const close = (): void => {
    clearInterval(timer)
    analysis.close()
  }
  return { parts, policies: () => policyState(options), measure, close }
}
