// The three pages under /gateway/v1/ that the gateway answers itself. Nothing else exists under /gateway/.

import type { ServerResponse } from 'node:http'
import type { Budget } from '../budgets/budget.ts'
import type { BudgetView } from '../budgets/standing.ts'
import type { Operation } from '../catalogue/operation.ts'
import type { Target } from '../catalogue/target.ts'
import type { Principal } from '../identity/principal.ts'
import type { Limit, LimitStatus } from '../limits/limiter.ts'
import { conditionHolds } from '../policy/condition.ts'
import { refusalWithoutTeam } from '../policy/decide.ts'
import { isWithheld } from '../policy/guarded.ts'
import type { PolicySet, Team } from '../policy/policy-set.ts'
import { Problem, problemKinds, type ProblemKindName } from '../problems.ts'
import { answerJson, answerProblemPage } from './answering.ts'
import type { DevinUsers } from './devin-users.ts'
import type { Exchange } from './exchange.ts'
import { explainPage } from './explain-page.ts'
import { limitView } from './limiting.ts'

/** How limits stand now, without counting. */
export type PeekLimits = (limits: readonly Limit[]) => readonly LimitStatus[] | Promise<readonly LimitStatus[]>

/** How budgets stand now, as they are shown; null while nobody can tell. */
export type ShowBudgets = (budgets: readonly Budget[]) => Promise<readonly BudgetView[] | null>

export function isOwn(target: Target): boolean {
  return target.segments[0] === 'gateway'
}

/** Answers a problem page, which anybody may read. False when the target is not one. */
export function answerPublicPage(exchange: Exchange, response: ServerResponse, target: Target): boolean {
  const [, version, page, kind, ...rest] = target.segments
  if (version !== 'v1' || page !== 'problems' || kind === undefined || rest.length > 0 || !isRead(exchange))
    return false
  if (!Object.hasOwn(problemKinds, kind)) return false
  exchange.ownPage = 'gateway.problems'
  // Just checked to be a key of the table.
  answerProblemPage(exchange, response, kind as ProblemKindName)
  return true
}

/** Answers `me` and `explain` for a verified caller. Throws `unknown-operation` for anything else. */
export function answerOwnPage(
  exchange: Exchange,
  response: ServerResponse,
  target: Target,
  principal: Principal,
  peek: PeekLimits,
  devinUsers: DevinUsers,
  showBudgets: ShowBudgets,
): Promise<void> | undefined {
  const page = target.segments.slice(1).join('/')
  if (!isRead(exchange) || !['v1/me', 'v1/explain'].includes(page)) throw unknownPage()
  if (page === 'v1/me') {
    exchange.ownPage = 'gateway.me'
    const { policy } = exchange
    const teams = policy.teamsOf(principal)
    if (teams.length === 0) throw noTeam(principal)
    return describeCaller(policy, teams, principal, peek, showBudgets).then((described) => {
      if (!exchange.over) answerJson(exchange, response, described)
    })
  }
  exchange.ownPage = 'gateway.explain'
  const explained = explainPage(exchange.policy, principal, target.query, devinUsers)
  if (explained instanceof Promise)
    return explained.then((explanation) => {
      if (!exchange.over) answerJson(exchange, response, explanation)
    })
  answerJson(exchange, response, explained)
  return undefined
}

function unknownPage(): Problem {
  return new Problem(
    'unknown-operation',
    'Under /gateway/ there are only GET /gateway/v1/me, GET /gateway/v1/explain and GET /gateway/v1/problems/{kind}.',
  )
}

function isRead(exchange: Exchange): boolean {
  return exchange.method === 'GET' || exchange.method === 'HEAD'
}

interface CallerOperation {
  readonly id: string
  readonly team: string
  /** Null for what every member may call. */
  readonly grant: string | null
}

async function describeCaller(
  policy: PolicySet,
  teams: readonly Team[],
  principal: Principal,
  peek: PeekLimits,
  showBudgets: ShowBudgets,
): Promise<unknown> {
  return {
    subject: principal.subject,
    email: principal.email,
    app: principal.app,
    groups: principal.groups,
    teams: teams.map((team) => ({
      team: team.id,
      organizations: team.organizations === 'all' ? 'all' : [...team.organizations],
      default_organization: team.defaultOrganization,
    })),
    operations: teams.flatMap((team) => operationsOf(policy, team, principal)),
    limits: await limitsOf(policy, teams, principal, peek),
    budgets: await budgetsOf(policy, teams, principal, showBudgets),
    token_expires_at: new Date(principal.expiresAtMs).toISOString(),
    policy_revision: policy.revision,
  }
}

/** The same refusal that every call of this caller meets. */
function noTeam(principal: Principal): Problem {
  const { detail } = refusalWithoutTeam(principal)
  return new Problem('identity-incomplete', detail, { reason: 'no-team' })
}

/** A create counts against every kind of limit, so its own come first; then those of groups that the caller may call. */
async function limitsOf(
  policy: PolicySet,
  teams: readonly Team[],
  principal: Principal,
  peek: PeekLimits,
): Promise<Record<string, unknown>> {
  const create = policy.catalogue.operation('org.sessions.create')
  const entries = teams.map(async (team) => {
    const granted = operationsOf(policy, team, principal).map(({ id }) => policy.catalogue.operation(id))
    const limits = [create, ...granted].flatMap((each) => (each === null ? [] : team.limitsFor(principal, each)))
    const distinct = [...new Map(limits.map((limit) => [limit.meter, limit])).values()]
    const statuses = await peek(distinct)
    return [team.id, statuses.map(limitView)] as const
  })
  return Object.fromEntries(await Promise.all(entries))
}

/** What a session of the caller would be charged to, by team; those of organizations for each of the team's. */
async function budgetsOf(
  policy: PolicySet,
  teams: readonly Team[],
  principal: Principal,
  show: ShowBudgets,
): Promise<Record<string, readonly BudgetView[] | null>> {
  const shown = teams.map(async (team) => {
    const organizations = team.organizations === 'all' ? [null] : [...team.organizations]
    const budgets = organizations.flatMap((each) => policy.budgets.of(team.id, principal, each))
    const distinct = [...new Map(budgets.map((budget) => [budget.account, budget])).values()]
    return [team.id, distinct.length === 0 ? [] : await show(distinct)] as const
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
