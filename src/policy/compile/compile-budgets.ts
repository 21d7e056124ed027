// The budgets of teams, organizations and the whole gateway, in the form that budgets/ takes. Pure.

import type { Budget } from '../../budgets/budget.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { AllowCompiler } from './allow.ts'
import type { GatewayLimitsDocument, TeamDocument } from '../documents/document.ts'
import { eachInSteps, type Steps } from '../model/steps.ts'
import {
  budgetsOf,
  createPolicyBudgets,
  createTeamBudgets,
  type BudgetScope,
  type TeamBudgets,
} from './team-budgets.ts'
import type { PolicyBudgets } from '../model/policy-set.ts'

/** `create`: the operation that starts a session. Words for groups of operations are checked with the limits. */
export function* compileBudgets(
  teams: readonly TeamDocument[],
  gateway: GatewayLimitsDocument | undefined,
  create: Operation | null,
  allow: AllowCompiler,
): Steps<PolicyBudgets> {
  const startsSession = ([word]: readonly [string, unknown]): boolean =>
    create !== null && allow(word).operations.includes(create.index)
  const ofTeams = new Map<string, TeamBudgets>()
  yield* eachInSteps(teams, ({ team, file, limits }) => {
    if (limits === null) return
    const scope: BudgetScope = {
      account: `team ${team}`,
      owner: `team ${team}`,
      prefix: '',
      team,
      timeZone: limits.timeZone,
      shadow: limits.mode === 'shadow',
      file,
    }
    const rules = {
      own: limits,
      apps: new Map(Object.entries(limits.apps)),
      principal: limits.perPrincipal,
      operations: new Map(Object.entries(limits.operations).filter(startsSession)),
    }
    ofTeams.set(team, createTeamBudgets(rules, scope))
  })
  if (gateway === undefined) return createPolicyBudgets(ofTeams, [], new Map())
  const { limits, file } = gateway
  const all: BudgetScope = {
    account: 'gateway',
    owner: 'all teams together',
    prefix: 'gateway-',
    team: null,
    timeZone: limits.timeZone,
    shadow: limits.mode === 'shadow',
    file,
  }
  const groups = Object.entries(limits.operations).filter(startsSession)
  const organizations = new Map<string, readonly Budget[]>()
  yield* eachInSteps(Object.entries(limits.organizations), ([id, written]) => {
    const scope = { ...all, account: `organization ${id}`, owner: `organization ${id}`, prefix: 'organization-' }
    organizations.set(id, budgetsOf(written, scope))
  })
  return createPolicyBudgets(
    ofTeams,
    [
      ...budgetsOf(limits, all),
      ...groups.flatMap(([word, written]) =>
        budgetsOf(written, { ...all, account: `gateway/operations/${word}`, prefix: `gateway-${word}-` }),
      ),
    ],
    organizations,
  )
}
