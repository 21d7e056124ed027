// Visits everything that policy sets can be asked: each team × each class of its callers × each operation × each organization.
// What no set can tell apart is decided once and counted as often as it stands for. Pure.

import type { Operation } from '../../catalogue/operation.ts'
import { compileCondition, conditionHolds, type Condition } from '../model/condition.ts'
import type { Grant, PolicySet } from '../model/policy-set.ts'
import { callerClasses, fulfilsAny, type CallerClass, type CallerClasses } from './caller-classes.ts'
import { OrganizationGroups, type KeyDistinction } from './organization-groups.ts'
import { memberChoices, namesSeveral, organizationPlace, SampleRequests, type SampleRequest } from './requests.ts'
import { viewOf, type Right, type TeamView } from './right.ts'
import { atOnce, type Steps } from '../model/steps.ts'

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
  /** One request names several of the organizations at once. */
  readonly together: boolean
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
  /** Whether requests that name several organizations are visited, where every set allows each of them alone. */
  readonly together?: boolean
}

/** Visits every cell of the sets, which share one catalogue. */
export function walkCells(
  policies: readonly [PolicySet, ...PolicySet[]],
  visit: (cells: Cells) => void,
  options: WalkOptions = {},
): CellCount {
  return atOnce(walkCellsInSteps(policies, visit, options))
}

/** The same in steps, each of one operation of a team. */
export function* walkCellsInSteps(
  policies: readonly [PolicySet, ...PolicySet[]],
  visit: (cells: Cells) => void,
  { conditions = [], organizations = [], concerns = () => true, keys = 'each', together = false }: WalkOptions = {},
): Steps<CellCount> {
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
    // The same for every operation, and there may be thousands of classes and of entries.
    const always = [
      ...views.map((view) => view.team?.members ?? []),
      ...[...byApp, ...conditions].map((condition) => [condition]),
    ]
    const classes = allCallers.classes.map((each) => ({ each, key: keyOf(each, always) }))
    let cells = 0
    for (const operation of asked) {
      yield
      const covering = views.flatMap((view) => coveringGrants(view, operation))
      const groups = groupsFor(operation, operation.open || covering.length > 0 ? ofTeam(operation) : [places.all])
      const whens = covering.flatMap(whenOf).map((when) => [when])
      const alike = classGroups(classes, whens)
      const reaches = together ? narrowedReaches(views, operation) : []
      for (const choice of memberChoices(operation)) {
        const alone = groups.map((group) => ({ group, request: requests.of(operation, namedIn(group), choice) }))
        for (const { group } of alone) cells += group.length
        for (const callers of alike) {
          const [{ principal }] = callers
          const decide = (request: SampleRequest) => views.map((view) => view.rightTo(principal, request))
          const see = (
            request: SampleRequest,
            organizations: readonly (string | null)[],
            isSeveral: boolean,
          ): boolean => {
            const rights = decide(request)
            const rightsIn: Cells['rightsIn'] = (organization) => {
              const other = requests.of(operation, [organization], choice)
              return { request: other, rights: decide(other) }
            }
            visit({ team, callers, allCallers, request, organizations, together: isSeveral, rights, views, rightsIn })
            return rights.every(({ effect }) => effect === 'allow')
          }
          const allowed = alone.filter(({ group, request }) => see(request, group, false))
          for (const several of groupsTogether(operation, allowed, reaches))
            see(requests.of(operation, several.flatMap(namedIn), choice), several.flat(), true)
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

/** Grants that are not applied tell nobody apart. */
function whenOf({ when, mode }: Grant): readonly Condition[] {
  return when === null || mode === 'shadow' || mode === 'off' ? [] : [when]
}

/** What the grants of an operation reach, where one of them reaches less than its team: else all or none is reached at once. */
function narrowedReaches(views: readonly TeamView[], operation: Operation): readonly ('all' | ReadonlySet<string>)[] {
  if (namesSeveral(operation) === 'no') return []
  const found = views.flatMap(({ team }) =>
    (team?.grantsOn(operation) ?? []).map(({ organizations }) => ({
      organizations,
      fence: team?.organizations,
    })),
  )
  if (found.every(({ organizations }) => organizations === null)) return []
  return found.map(({ organizations, fence }) => organizations ?? fence ?? new Set())
}

/** The organization that a request names for all of its group. */
function namedIn([first = null]: readonly (string | null)[]): readonly string[] {
  return first === null ? [] : [first]
}

/** Groups of organizations that one request could name: as many as a grant reaches, or any two. */
function groupsTogether(
  operation: Operation,
  allowed: readonly { readonly group: readonly (string | null)[] }[],
  reaches: readonly ('all' | ReadonlySet<string>)[],
): readonly (readonly (readonly (string | null)[])[])[] {
  if (reaches.length === 0) return []
  const groups = allowed.map(({ group }) => group).filter(([first]) => first !== null)
  if (namesSeveral(operation) === 'two')
    return groups.flatMap((one, index) => groups.slice(index + 1).map((other) => [one, other]))
  const found = reaches.map((reach) => groups.filter(([first]) => reach === 'all' || reach.has(first ?? '')))
  const distinct = new Map(found.map((each) => [each.map(([first]) => first).join(' '), each]))
  return [...distinct.values()].filter((each) => each.length > 1)
}

/** Grants that can allow the operation, or a permission that a member of its body needs. */
function coveringGrants({ team }: TeamView, operation: Operation): readonly Grant[] {
  if (team === null) return []
  return [...team.grantsOn(operation), ...operation.conditional.flatMap(({ permission }) => team.grantsOf(permission))]
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

/** Classes by which of the alternatives hold for them, beside what their keys say. */
function classGroups(
  classes: readonly { readonly each: CallerClass; readonly key: string }[],
  alternatives: readonly (readonly Condition[])[],
): readonly (readonly [CallerClass, ...CallerClass[]])[] {
  const groups = new Map<string, [CallerClass, ...CallerClass[]]>()
  for (const { each, key: always } of classes) {
    const key = `${always} ${keyOf(each, alternatives)}`
    const known = groups.get(key)
    if (known === undefined) groups.set(key, [each])
    else known.push(each)
  }
  return [...groups.values()]
}

/** Which of the alternatives hold. */
function keyOf({ principal }: CallerClass, alternatives: readonly (readonly Condition[])[]): string {
  return alternatives
    .map((conditions) => (conditions.some((condition) => conditionHolds(condition, principal)) ? '1' : '0'))
    .join('')
}

function groupsFor(
  operation: Operation,
  alike: readonly (readonly string[])[],
): readonly (readonly (string | null)[])[] {
  const place = organizationPlace(operation)
  if (place === 'none') return [[null]]
  return place === 'path' ? alike : [[null], ...alike]
}
