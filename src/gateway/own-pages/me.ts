// GET /gateway/v1/me: the caller's identity, the operations it may call, and the status of its limits and budgets.

import { budgetView, type BudgetView } from '../../budgets/budget-status.ts'
import type { Principal } from '../../identity/principal.ts'
import { policyField, statusField } from '../../limits/fields.ts'
import type { Limiter, LimitStatus } from '../../limits/limiter.ts'
import type { LocalLimiter } from '../../limits/local/local-limiter.ts'
import { blockedTeamRefusal, refusalWithoutTeam } from '../../policy/decision/decide.ts'
import type { PolicySet, Team } from '../../policy/model/policy-set.ts'
import { Problem } from '../../problems.ts'
import type { Budgeting } from '../budgeting.ts'
import { limitView } from '../refusals/limits.ts'
import { guardrailsOf, operationsOf, ownerView, type CallerOperation } from './rights.ts'

export interface MeParts {
  readonly limiter: Limiter
  readonly attempts: LocalLimiter
  readonly budgeting: Budgeting
  readonly now: () => number
}

/** The page, and the RateLimit fields of its answer; empty for a caller of several teams, whose limits have the same names. */
export interface DescribedCaller {
  readonly page: unknown
  readonly limitFields: readonly string[]
}

/** Throws `identity-incomplete` for a caller of no team, `blocked` where all of its teams are. */
export function describeCaller(policy: PolicySet, principal: Principal, parts: MeParts): Promise<DescribedCaller> {
  const teams = policy.teamsOf(principal)
  if (teams.length === 0) throw noTeam(policy, principal)
  return describe(policy, teams, principal, parts)
}

async function describe(
  policy: PolicySet,
  teams: readonly Team[],
  principal: Principal,
  parts: MeParts,
): Promise<DescribedCaller> {
  const operations = teams.flatMap((team) => operationsOf(policy, team, principal))
  const limits = await limitsOf(policy, teams, principal, operations, parts)
  const page = {
    subject: principal.subject,
    email: principal.email,
    app: principal.app,
    actor: principal.actor,
    groups: principal.groups,
    groups_omitted: principal.groupsOmitted,
    teams: teams.map((team) => ({
      team: team.id,
      description: team.remarks.description,
      ...ownerView(team.owner),
      organizations: team.organizations === 'all' ? 'all' : [...team.organizations],
      default_organization: team.defaultOrganization,
    })),
    blocked_teams: policy.blockedTeamsOf(principal).map(({ id }) => {
      const { reason = '', untilMs = null } = policy.blocked.get(id) ?? {}
      return { team: id, reason, until: untilMs === null ? null : new Date(untilMs).toISOString() }
    }),
    operations,
    guardrails: guardrailsOf(policy, operations),
    limits: Object.fromEntries(limits.map(([team, statuses]) => [team, statuses.map(limitView)])),
    attempts: Object.fromEntries(
      teams.map((team) => [team.id, parts.attempts.peek([team.attempts.of(principal)]).map(limitView)[0]]),
    ),
    budgets: await budgetsOf(policy, teams, principal, parts),
    token_expires_at: new Date(principal.expiresAtMs).toISOString(),
    policy_revision: policy.revision,
  }
  const [only, ...others] = limits
  return { page, limitFields: only === undefined || others.length > 0 ? [] : fieldsOf(only[1]) }
}

function fieldsOf(statuses: readonly LimitStatus[]): readonly string[] {
  if (statuses.length === 0) return []
  return ['ratelimit-policy', policyField(statuses.map(({ limit }) => limit)), 'ratelimit', statusField(statuses)]
}

/** The same refusal that every call of this caller meets. */
function noTeam(policy: PolicySet, principal: Principal): Problem {
  const [blocked] = policy.blockedTeamsOf(principal)
  const { problem, detail, reason } =
    blocked === undefined ? refusalWithoutTeam(policy, principal) : blockedTeamRefusal(policy, blocked)
  return new Problem(problem, detail, { reason })
}

/** A create counts against every kind of limit, so its own come first; then those of groups that the caller may call. */
function limitsOf(
  policy: PolicySet,
  teams: readonly Team[],
  principal: Principal,
  operations: readonly CallerOperation[],
  { limiter }: MeParts,
): Promise<readonly (readonly [team: string, statuses: readonly LimitStatus[]])[]> {
  const create = policy.catalogue.operation('org.sessions.create')
  const entries = teams.map(async (team) => {
    const granted = operations.filter((each) => each.team === team.id).map(({ id }) => policy.catalogue.operation(id))
    const limits = [create, ...granted].flatMap((each) => (each === null ? [] : team.limitsFor(principal, each)))
    const distinct = [...new Map(limits.map((limit) => [limit.meter, limit])).values()]
    return [team.id, await limiter.peek(distinct)] as const
  })
  return Promise.all(entries)
}

/** What a session of the caller would be charged to, by team; those of organizations for each of the team's. */
async function budgetsOf(
  policy: PolicySet,
  teams: readonly Team[],
  principal: Principal,
  { budgeting, now }: MeParts,
): Promise<Record<string, readonly BudgetView[] | null>> {
  const shown = teams.map(async (team) => {
    const organizations = team.organizations === 'all' ? [null] : [...team.organizations]
    const budgets = organizations.flatMap((each) => policy.budgets.of(team.id, principal, each))
    const distinct = [...new Map(budgets.map((budget) => [budget.account, budget])).values()]
    const statuses = await budgeting.statuses(distinct)
    return [team.id, statuses?.map((budgetStatus) => budgetView(budgetStatus, now())) ?? null] as const
  })
  return Object.fromEntries(await Promise.all(shown))
}
