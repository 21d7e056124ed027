// Visits everything that policy sets can be asked: each team × each class of its callers × each operation × each organization.
// What no set can tell apart is decided once and counted as often as it stands for. Pure.

import type { Operation } from '../../catalogue/operation.ts'
import { compileCondition, conditionHolds, type Condition } from '../model/condition.ts'
import type { Grant, PolicySet } from '../model/policy-set.ts'
import { callerClasses, fulfilsAny, type CallerClass, type CallerClasses } from './caller-classes.ts'
import { OrganizationGroups, type KeyDistinction } from './organization-groups.ts'
import { memberChoices, organizationPlace, SampleRequests, type SampleRequest } from './requests.ts'
import { viewOf, type Right, type TeamView } from './right.ts'

/** Cells that all sets decide alike, with the request that stands for them. */
export interface Cells {
  readonly team: string
  /** Classes that nothing about this operation tells apart. The first one made the request. */
  readonly callers: readonly [CallerClass, ...CallerClass[]]
  /** All classes of the team. */
  readonly allCallers: CallerClasses
  /** Of the first of `organizations`. */
  readonly request: SampleRequest
  /** All that are alike; `[null]` where the request names none. */
  readonly organizations: readonly (string | null)[]
  /** One for each set, in their order. */
  readonly rights: readonly Right[]
  readonly views: readonly TeamView[]
  /** The same cell for another of the organizations, which may have another key. */
  rightsIn(organization: string): { readonly request: SampleRequest; readonly rights: readonly Right[] }
}

export interface CellCount {
  readonly decided: number
  /** At least so many could not be: a team tells apart more classes of callers than can be listed. */
  readonly undecided: number
}

export interface WalkOptions {
  /** Conditions besides those of the sets by which callers are told apart. */
  readonly conditions?: readonly Condition[]
  /** Organizations besides those that the sets name. */
  readonly organizations?: readonly string[]
  /** Which operations of which teams are visited; by default all. */
  readonly concerns?: (team: string, operation: Operation) => boolean
  /** Which organizations are told apart by their keys. Default: `each`. */
  readonly keys?: KeyDistinction
}

/** Visits every cell of the sets, which share one catalogue. */
export function walkCells(
  policies: readonly [PolicySet, ...PolicySet[]],
  visit: (cells: Cells) => void,
  { conditions = [], organizations = [], concerns = () => true, keys = 'each' }: WalkOptions = {},
): CellCount {
  const { catalogue } = policies[0]
  const operations = catalogue.operations.filter((operation) => catalogue.isServed(operation))
  const places = new OrganizationGroups(policies, organizations, keys)
  const requests = new SampleRequests()
  const teams = [...new Set(policies.flatMap((policy) => policy.teams.map(({ id }) => id)))].sort()
  let decided = 0
  let undecided = 0
  for (const team of teams) {
    const asked = operations.filter((operation) => concerns(team, operation))
    if (asked.length === 0) continue
    const views = policies.map((policy) => viewOf(policy, team))
    const members = views.flatMap((view) => view.team?.members ?? [])
    const byApp = appConditions(views)
    const allCallers = callerClasses(
      [...members, ...grantsOf(views).flatMap(whenOf), ...byApp, ...conditions],
      (caller) => fulfilsAny(members, caller),
    )
    const ofTeam = places.ofTeam(views)
    let cells = 0
    for (const operation of asked) {
      const covering = views.flatMap((view) => coveringGrants(view, operation))
      const groups = groupsFor(operation, operation.open || covering.length > 0 ? ofTeam(operation) : [places.all])
      const alike = classGroups(allCallers.classes, [
        ...views.map((view) => view.team?.members ?? []),
        ...covering.flatMap(whenOf).map((when) => [when]),
        ...[...byApp, ...conditions].map((condition) => [condition]),
      ])
      for (const choice of memberChoices(operation)) {
        for (const group of groups) {
          cells += group.length
          const request = requests.of(operation, group[0] ?? null, choice)
          for (const callers of alike) {
            const [{ principal }] = callers
            const decide = (each: SampleRequest) => views.map((view) => view.rightTo(principal, each))
            visit({
              team,
              callers,
              allCallers,
              request,
              organizations: group,
              rights: decide(request),
              views,
              rightsIn(organization) {
                const other = requests.of(operation, organization, choice)
                return { request: other, rights: decide(other) }
              },
            })
          }
        }
      }
    }
    decided += cells * allCallers.classes.length
    if (!allCallers.complete) undecided += cells
  }
  return { decided, undecided }
}

function grantsOf(views: readonly TeamView[]): readonly Grant[] {
  return views.flatMap((view) => view.team?.grants ?? [])
}

function whenOf({ when }: Grant): readonly Condition[] {
  return when === null ? [] : [when]
}

/** Grants that can allow the operation, or a permission that a member of its body needs. */
function coveringGrants({ team }: TeamView, operation: Operation): readonly Grant[] {
  if (team === null) return []
  return [
    ...(team.byOperation[operation.index] ?? []),
    ...operation.conditional.flatMap(({ permission }) => team.byPermission.get(permission) ?? []),
  ]
}

/** Apps whose limits, budgets or guardrails differ from those of others. */
function appConditions(views: readonly TeamView[]): readonly Condition[] {
  const apps = views.flatMap(({ policy, team }) =>
    team === null
      ? []
      : [
          ...team.limitedApps,
          ...policy.guardrails.all.flatMap(({ teams, apps: named }) =>
            named !== 'all' && (teams === 'all' || teams.has(team.id)) ? [...named] : [],
          ),
        ],
  )
  return [...new Set(apps)].map((app) => compileCondition({ app: [app] }))
}

/** Classes by which of the alternatives hold for them. */
function classGroups(
  classes: readonly CallerClass[],
  alternatives: readonly (readonly Condition[])[],
): readonly (readonly [CallerClass, ...CallerClass[]])[] {
  const groups = new Map<string, [CallerClass, ...CallerClass[]]>()
  for (const each of classes) {
    const key = alternatives
      .map((conditions) => (conditions.some((condition) => conditionHolds(condition, each.principal)) ? '1' : '0'))
      .join('')
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [each])
    else group.push(each)
  }
  return [...groups.values()]
}

function groupsFor(
  operation: Operation,
  alike: readonly (readonly string[])[],
): readonly (readonly (string | null)[])[] {
  const place = organizationPlace(operation)
  if (place === 'none') return [[null]]
  return place === 'path' ? alike : [[null], ...alike]
}
