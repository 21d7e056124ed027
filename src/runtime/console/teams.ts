// Teams as operators see them: limits and budgets with what is left, what they call, what they are refused, what they never use.

import type { TeamBudgetView, TeamDetailView, TeamsView, TeamSummaryView } from '../../admin/console/team-view.ts'
import { isoTime } from '../../admin/views.ts'
import type { BudgetView } from '../../budgets/budget-status.ts'
import { windowAt } from '../../budgets/budget.ts'
import { describeCondition } from '../../policy/model/condition.ts'
import type { PolicySet, Team } from '../../policy/model/policy-set.ts'
import type { ConsoleOptions } from './console-options.ts'
import type { BudgetKeeper, KeptBudgets } from './kept-budgets.ts'
import { refusalsOf } from './moment/now.ts'
import { minuteOf } from '../operators/notes.ts'
import { createTeamLimits } from './team-limits.ts'

export function createTeams({ core, shares, blocks }: ConsoleOptions, budgets: BudgetKeeper) {
  const { instruments, now, policies, recent } = core
  const sinceMs = now()
  const since = isoTime(sinceMs) ?? ''
  const limits = createTeamLimits(shares.limiter)

  function budgetsOf(team: Team): readonly TeamBudgetView[] {
    const kept = budgets.latest
    if (kept === null) return []
    return kept.views.flatMap((view) => (view.team === team.id ? [budgetOf(view, policies.current, kept)] : []))
  }

  function summaryOfTeam(team: Team, lastCalls: ReadonlyMap<string, string>): TeamSummaryView {
    const requests = instruments.requestsOf(team.id)
    const sum = (rows: typeof requests): number => rows.reduce((total, { count }) => total + count, 0)
    const tightest = budgetsOf(team).toSorted((a, b) => (b.used_percent ?? -1) - (a.used_percent ?? -1))[0]
    return {
      id: team.id,
      description: team.remarks.description,
      owner: team.owner?.owner ?? null,
      contact: team.owner?.contact ?? null,
      organizations: team.organizations === 'all' ? 'all' : [...team.organizations],
      requests: sum(requests),
      refused: sum(requests.filter(({ outcome }) => outcome === 'refused')),
      last_call: lastCalls.get(team.id) ?? null,
      blocked: blocks.list.get('team', team.id) !== null,
      tightest_budget: tightest ?? null,
      unused_grants: unusedGrants(policies.current, team, new Set(requests.map(({ operation }) => operation))),
    }
  }

  function lastCalls(): ReadonlyMap<string, string> {
    const found = new Map<string, string>()
    for (const { team, time } of recent.newestFirst()) if (team !== null && !found.has(team)) found.set(team, time)
    return found
  }

  return {
    list(): TeamsView {
      const calls = lastCalls()
      return { since, teams: policies.current.teams.map((team) => summaryOfTeam(team, calls)) }
    },
    /** Null where there is no such team. */
    one(id: string): TeamDetailView | null {
      const policy = policies.current
      const team = policy.team(id)
      if (team === null) return null
      const ofTeam = [...recent.newestFirst()].filter(({ team }) => team === id)
      return {
        team: summaryOfTeam(team, lastCalls()),
        since,
        members: team.members.map((member) => {
          const until = isoTime(member.ending.endsAtMs)
          return `${describeCondition(member)}${until === null ? '' : `, until ${until}`}`
        }),
        grants: team.grants.map(({ id: grant, allow, organizations, when, mode, ending, owner, remarks, source }) => ({
          id: grant,
          allow,
          organizations: organizations === null ? null : [...organizations],
          when: when === null ? null : describeCondition(when),
          mode,
          until: isoTime(ending.endsAtMs),
          reason: ending.reason,
          owner: owner?.owner ?? owner?.contact ?? null,
          description: remarks.description,
          source: `${source.file}:${source.line}`,
        })),
        limits: limits.of(policy, team),
        budgets: budgetsOf(team),
        budgets_note: noteOf(budgets),
        ...usageOf(policy, team),
        refusals: refusalsOf(ofTeam),
      }
    },
  }

  function usageOf(policy: PolicySet, team: Team): Pick<TeamDetailView, 'calls' | 'never_used'> {
    const rows = Map.groupBy(instruments.requestsOf(team.id), ({ operation }) => operation)
    const calls = [...rows].map(([operation, of]) => {
      const sum = (outcome: string | null): number =>
        of.reduce((total, each) => total + (outcome === null || each.outcome === outcome ? each.count : 0), 0)
      return { operation, requests: sum(null), refused: sum('refused'), failed: sum('failed') }
    })
    const never = policy.catalogue.operations.flatMap((operation) => {
      const applied = team.grantsOn(operation).filter(({ mode }) => isApplied(mode))
      if (applied.length === 0 || rows.has(operation.id) || !policy.catalogue.isServed(operation)) return []
      const { id, method, template } = operation
      return [{ operation: id, method, path: template, grants: applied.map((grant) => grant.id) }]
    })
    return { calls: calls.toSorted((a, b) => b.requests - a.requests), never_used: never }
  }
}

/** Of those that cover operations: whether a grant of a field of bodies was used is not counted. */
function unusedGrants({ catalogue }: PolicySet, team: Team, called: ReadonlySet<string>): readonly string[] {
  const [covering, used] = [new Set<string>(), new Set<string>()]
  for (const operation of catalogue.operations)
    for (const grant of team.grantsOn(operation)) {
      covering.add(grant.id)
      if (called.has(operation.id)) used.add(grant.id)
    }
  return team.grants.filter(({ id, mode }) => isApplied(mode) && covering.has(id) && !used.has(id)).map(({ id }) => id)
}

function isApplied(mode: string): boolean {
  return mode === 'enforce' || mode === 'warn'
}

function noteOf({ latest, isFailing }: BudgetKeeper): string | null {
  if (latest === null)
    return isFailing ? 'Where budgets are kept cannot be read at the moment.' : 'The budgets were not read yet.'
  return isFailing
    ? `Where budgets are kept cannot be read at the moment: the figures are those of ${minuteOf(new Date(latest.atMs).toISOString())}.`
    : null
}

/** The forecast goes by what was spent since the window began. */
function budgetOf(view: BudgetView, policy: PolicySet, { atMs }: Pick<KeptBudgets, 'atMs'>): TeamBudgetView {
  const budget = [...policy.budgets.shared.values()].find(
    ({ owner, name }) => owner === view.owner && name === view.name,
  )
  const window = budget === undefined || budget.period === null ? null : windowAt(budget.period, atMs)
  const { name, owner, measure, limit, hard, spent, reserved, left, forecast, resets_at: resets, mode } = view
  const usedUpMs =
    window === null || left === null || left === 0 || spent === 0 || forecast === null
      ? null
      : atMs + (left * (atMs - window.startMs)) / spent
  const isBefore = usedUpMs !== null && window !== null && usedUpMs < window.endMs
  return {
    name,
    owner,
    measure,
    limit,
    hard,
    spent,
    reserved,
    left,
    used_percent: view.used_percent,
    forecast,
    resets_at: resets,
    used_up_at: isBefore ? isoTime(usedUpMs) : null,
    outlook: outlookOf(view, isBefore ? usedUpMs : null),
    mode,
    as_of: isoTime(atMs) ?? '',
  }
}

function outlookOf({ left, forecast, hard, resets_at: resets }: BudgetView, usedUpMs: number | null): string {
  if (hard === null) return 'Nothing is bounded.'
  const until = resets === null ? 'sessions end' : minuteOf(resets)
  if (left === 0) return `It is used up until ${until}.`
  if (usedUpMs !== null) return `At the present rate it is used up at ${minuteOf(new Date(usedUpMs).toISOString())}.`
  if (forecast === null)
    return resets === null
      ? 'It never resets: what is left changes as sessions end.'
      : 'It is too early in the window for a forecast.'
  return `At the present rate ${Math.round(forecast * 10) / 10} of ${hard} will be spent by ${until}.`
}
