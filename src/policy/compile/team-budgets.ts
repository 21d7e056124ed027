// Which budgets a session of a team is charged to: the team's, its app's, the caller's, those of groups of operations, and
// the organization's. Pure; usage is kept by budgets/ under the names made here.

import { billingPeriod, unitsOf, type Budget, type Measure, type Period } from '../../budgets/budget.ts'
import type { Principal } from '../../identity/principal.ts'
import type { PolicyBudgets } from '../model/policy-set.ts'
import type { BudgetDocument, LimitsDocument } from '../documents/limit-fields.ts'

/** Budgets of one scope as they are written; an absent one is none. */
export type BudgetRules = Pick<LimitsDocument, 'acus' | 'sessions' | 'openSessions'>

/** Whose usage budgets count, and where they stand. */
export interface BudgetScope {
  /** Begins the names of accounts: `team payments`, `organization org-payments`. */
  readonly account: string
  readonly owner: string
  /** Begins the names in answers: empty, `app-`, `organization-`. */
  readonly prefix: string
  readonly team: string | null
  readonly timeZone: string
  readonly shadow: boolean
  readonly file: string
}

/** The budgets of a scope, at most one of each measure. */
export function budgetsOf(rules: BudgetRules, scope: BudgetScope): readonly Budget[] {
  const turnsAtMidnight = (calendar: Period['calendar']): Period => ({
    calendar,
    timeZone: scope.timeZone,
    turnsAtHour: 0,
  })
  return [
    ...budgetOf('acus', rules.acus, billingPeriod, scope),
    ...budgetOf('sessions', rules.sessions, turnsAtMidnight, scope),
    ...budgetOf('open_sessions', rules.openSessions, turnsAtMidnight, scope),
  ]
}

function budgetOf(
  measure: Measure,
  written: BudgetDocument | null,
  periodOf: (calendar: Period['calendar']) => Period,
  scope: BudgetScope,
): Budget[] {
  if (written === null) return []
  const { hard, soft, calendar } = written
  const units = unitsOf(measure)
  const span = calendar === null ? '' : ` ${calendar}`
  return [
    {
      account: `${scope.account} ${measure}${span}`,
      name: scope.prefix + measure,
      owner: scope.owner,
      team: scope.team,
      measure,
      hard: hard === null ? null : hard * units,
      soft: soft === null ? null : soft * units,
      period: calendar === null ? null : periodOf(calendar),
      shadow: scope.shadow,
      file: scope.file,
    },
  ]
}

export interface TeamBudgetRules {
  readonly own: BudgetRules
  readonly apps: ReadonlyMap<string, BudgetRules>
  readonly principal: BudgetRules | null
  /** Those of groups of operations that cover the create of sessions, by the word of the policy. */
  readonly operations: ReadonlyMap<string, BudgetRules>
}

/** The budgets of a team. */
export interface TeamBudgets {
  /** What a session of the caller is charged to; empty when nothing is bounded. */
  budgetsFor(principal: Principal): readonly Budget[]
  /** Those that are not of a single caller. */
  readonly shared: readonly Budget[]
  readonly ofCallers: boolean
}

/** Finds the budgets of a session. Remembered by app; those of single callers are made for each. */
export function createTeamBudgets(rules: TeamBudgetRules, team: BudgetScope): TeamBudgets {
  const own = [
    ...budgetsOf(rules.own, team),
    ...[...rules.operations].flatMap(([word, written]) =>
      budgetsOf(written, {
        ...team,
        account: `${team.account}/operations/${word}`,
        owner: `${word} of ${team.owner}`,
        prefix: `${word}-`,
      }),
    ),
  ]
  const apps = new Map(
    [...rules.apps].map(([app, written]) => [
      app,
      budgetsOf(written, {
        ...team,
        account: `${team.account}/app/${app}`,
        owner: `app ${app} of ${team.owner}`,
        prefix: 'app-',
      }),
    ]),
  )
  const byApp = new Map([...apps].map(([app, budgets]) => [app, [...own, ...budgets]]))
  return {
    shared: [...own, ...[...apps.values()].flat()],
    ofCallers: rules.principal !== null && budgetsOf(rules.principal, team).length > 0,
    budgetsFor(principal) {
      const shared = (principal.app === null ? undefined : byApp.get(principal.app)) ?? own
      if (rules.principal === null) return shared
      return [
        ...shared,
        ...budgetsOf(rules.principal, {
          ...team,
          account: `${team.account}/principal/${principal.issuer} ${principal.subject}`,
          owner: `${principal.subject} in ${team.owner}`,
          prefix: 'principal-',
        }),
      ]
    },
  }
}

const none: readonly Budget[] = []

/** `gateway`: budgets of all teams together. */
export function createPolicyBudgets(
  teams: ReadonlyMap<string, TeamBudgets>,
  gateway: readonly Budget[],
  organizations: ReadonlyMap<string, readonly Budget[]>,
): PolicyBudgets {
  const shared = [
    ...[...teams.values()].flatMap((team) => team.shared),
    ...[...organizations.values()].flat(),
    ...gateway,
  ]
  return {
    shared: new Map(shared.map((budget) => [budget.account, budget])),
    organizations: new Set(organizations.keys()),
    any: shared.length > 0 || [...teams.values()].some((team) => team.ofCallers),
    of(team, principal, organization) {
      const own = teams.get(team)?.budgetsFor(principal) ?? none
      const there = (organization === null ? undefined : organizations.get(organization)) ?? none
      return there.length === 0 && gateway.length === 0 ? own : [...own, ...there, ...gateway]
    },
  }
}
