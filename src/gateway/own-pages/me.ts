// GET /gateway/v1/me: the caller's identity, the operations it may call, and the status of its limits and budgets.

import { budgetView, type BudgetView } from '../../budgets/budget-status.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { Principal } from '../../identity/principal.ts'
import type { Limiter } from '../../limits/limiter.ts'
import type { LocalLimiter } from '../../limits/local/local-limiter.ts'
import { conditionHolds } from '../../policy/model/condition.ts'
import { refusalWithoutTeam } from '../../policy/decision/decide.ts'
import { isWithheld } from '../../policy/decision/guarded-decision.ts'
import type { PolicySet, Team } from '../../policy/model/policy-set.ts'
import { Problem } from '../../problems.ts'
import type { Budgeting } from '../budgeting.ts'
import { limitView } from '../refusals/limits.ts'

export interface MeParts {
  readonly limiter: Limiter
  readonly attempts: LocalLimiter
  readonly budgeting: Budgeting
  readonly now: () => number
}

/** Throws `identity-incomplete` for a caller of no team. */
export function describeCaller(policy: PolicySet, principal: Principal, parts: MeParts): Promise<unknown> {
  const teams = policy.teamsOf(principal)
  if (teams.length === 0) throw noTeam(principal)
  return describe(policy, teams, principal, parts)
}

interface CallerOperation {
  readonly id: string
  readonly team: string
  /** Null for what every member may call. */
  readonly grant: string | null
}

async function describe(
  policy: PolicySet,
  teams: readonly Team[],
  principal: Principal,
  parts: MeParts,
): Promise<unknown> {
  return {
    subject: principal.subject,
    email: principal.email,
    app: principal.app,
    actor: principal.actor,
    groups: principal.groups,
    groups_omitted: principal.groupsOmitted,
    teams: teams.map((team) => ({
      team: team.id,
      organizations: team.organizations === 'all' ? 'all' : [...team.organizations],
      default_organization: team.defaultOrganization,
    })),
    operations: teams.flatMap((team) => operationsOf(policy, team, principal)),
    limits: await limitsOf(policy, teams, principal, parts),
    attempts: Object.fromEntries(
      teams.map((team) => [team.id, parts.attempts.peek([team.attempts.of(principal)]).map(limitView)[0]]),
    ),
    budgets: await budgetsOf(policy, teams, principal, parts),
    token_expires_at: new Date(principal.expiresAtMs).toISOString(),
    policy_revision: policy.revision,
  }
}

/** The same refusal that every call of this caller meets. */
function noTeam(principal: Principal): Problem {
  const { problem, detail, reason } = refusalWithoutTeam(principal)
  return new Problem(problem, detail, { reason })
}

/** A create counts against every kind of limit, so its own come first; then those of groups that the caller may call. */
async function limitsOf(
  policy: PolicySet,
  teams: readonly Team[],
  principal: Principal,
  { limiter }: MeParts,
): Promise<Record<string, unknown>> {
  const create = policy.catalogue.operation('org.sessions.create')
  const entries = teams.map(async (team) => {
    const granted = operationsOf(policy, team, principal).map(({ id }) => policy.catalogue.operation(id))
    const limits = [create, ...granted].flatMap((each) => (each === null ? [] : team.limitsFor(principal, each)))
    const distinct = [...new Map(limits.map((limit) => [limit.meter, limit])).values()]
    const statuses = await limiter.peek(distinct)
    return [team.id, statuses.map(limitView)] as const
  })
  return Object.fromEntries(await Promise.all(entries))
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

function operationsOf(policy: PolicySet, team: Team, principal: Principal): CallerOperation[] {
  return policy.catalogue.operations.flatMap((operation): CallerOperation[] => {
    if (operation.open && policy.catalogue.isServed(operation))
      return [{ id: operation.id, team: team.id, grant: null }]
    if (!isWithinReach(team, operation) || isWithheld(policy, team, operation, principal)) return []
    const grant = team.byOperation[operation.index]?.find(
      (each) => each.mode === 'enforce' && (each.when === null || conditionHolds(each.when, principal)),
    )
    return grant === undefined ? [] : [{ id: operation.id, team: team.id, grant: grant.id }]
  })
}

/** An enterprise operation that no organization can bound is out of reach behind a fence, whatever is granted. */
function isWithinReach(team: Team, { scope, organizations }: Operation): boolean {
  return (
    scope !== 'enterprise' ||
    team.organizations === 'all' ||
    organizations.segment !== -1 ||
    organizations.query.includes('org_ids')
  )
}
