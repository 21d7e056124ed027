// Visits everything that policy sets can be asked: each team × each class of its callers × each operation × each organization.
// What no set can tell apart is decided once and counted as often as it stands for. Pure.

import type { Operation } from '../../catalogue/operation.ts'
import type { KeyHandle } from '../../keys/key.ts'
import { compileCondition, type Condition } from '../model/condition.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { callerClasses, fulfilsAny, type CallerClass, type CallerClasses } from './caller-classes.ts'
import {
  anyOtherOrganization,
  memberChoices,
  organizationPlace,
  sampleRequest,
  type SampleRequest,
} from './requests.ts'
import { viewOf, type Right, type TeamView } from './right.ts'

/** Cells that all sets decide alike, with the request that stands for them. */
export interface Cells {
  readonly team: string
  readonly callers: CallerClass
  /** All classes of the team. */
  readonly allCallers: CallerClasses
  /** Of the first of `organizations`. */
  readonly request: SampleRequest
  /** All that the sets cannot tell apart; `[null]` where the request names none. */
  readonly organizations: readonly (string | null)[]
  /** One for each set, in their order. */
  readonly rights: readonly Right[]
  readonly views: readonly TeamView[]
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
}

/** Visits every cell of the sets, which share one catalogue. */
export function walkCells(
  policies: readonly [PolicySet, ...PolicySet[]],
  visit: (cells: Cells) => void,
  { conditions = [], organizations = [], concerns = () => true }: WalkOptions = {},
): CellCount {
  const { catalogue } = policies[0]
  const operations = catalogue.operations.filter((operation) => catalogue.isServed(operation))
  const named = [...new Set([...policies.flatMap(organizationsOf), ...organizations, anyOtherOrganization])].sort()
  const requests = new Requests()
  const teams = [...new Set(policies.flatMap((policy) => policy.teams.map(({ id }) => id)))].sort()
  let decided = 0
  let undecided = 0
  for (const team of teams) {
    const asked = operations.filter((operation) => concerns(team, operation))
    if (asked.length === 0) continue
    const views = policies.map((policy) => viewOf(policy, team))
    const members = views.map((view) => view.team?.members ?? [])
    const allCallers = callerClasses([...conditionsOf(views), ...conditions], (principal) =>
      members.some((entries) => fulfilsAny(entries, principal)),
    )
    const alike = organizationGroups(views, named)
    let cells = 0
    for (const operation of asked) {
      const isCovered = operation.open || views.some((view) => covers(view, operation))
      const groups = groupsFor(operation, isCovered ? alike : [named])
      for (const choice of memberChoices(operation)) {
        for (const group of groups) {
          const request = requests.of(operation, group[0] ?? null, choice)
          for (const callers of allCallers.classes) {
            const rights = views.map((view) => view.rightTo(callers.principal, request))
            visit({ team, callers, allCallers, request, organizations: group, rights, views })
          }
          cells += group.length
        }
      }
    }
    decided += cells * allCallers.classes.length
    if (!allCallers.complete) undecided += cells
  }
  return { decided, undecided }
}

/** Requests are the same for all teams and classes. */
class Requests {
  readonly #known = new Map<string, SampleRequest>()

  of(operation: Operation, organization: string | null, members: readonly string[]): SampleRequest {
    const key = `${operation.index} ${organization ?? ''} ${members.join(' ')}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const made = sampleRequest(operation, organization, members)
    this.#known.set(key, made)
    return made
  }
}

function covers({ team }: TeamView, { index }: Operation): boolean {
  return team?.byOperation[index] !== undefined
}

/** Every condition by which a decision, a bound or a key of the team can differ. */
function conditionsOf(views: readonly TeamView[]): readonly Condition[] {
  return views.flatMap(({ policy, team }) => {
    if (team === null) return []
    const apps = [
      ...team.limitedApps,
      ...policy.guardrails.all.flatMap(({ teams, apps: named }) =>
        named !== 'all' && (teams === 'all' || teams.has(team.id)) ? [...named] : [],
      ),
    ]
    return [
      ...team.members,
      ...team.grants.flatMap(({ when }) => (when === null ? [] : [when])),
      ...apps.map((app) => compileCondition({ app: [app] })),
    ]
  })
}

/** Every organization that a set names anywhere. */
function organizationsOf({ teams, keys, budgets }: PolicySet): readonly string[] {
  return [
    ...teams.flatMap((team) => [
      ...(team.organizations === 'all' ? [] : team.organizations),
      ...team.grants.flatMap((grant) => [...(grant.organizations ?? [])]),
    ]),
    ...keys.flatMap(({ organization, serves }) => [
      ...(organization === null ? [] : [organization]),
      ...(typeof serves === 'string' ? [] : serves),
    ]),
    ...budgets.organizations,
  ]
}

/** Organizations by what the sets know of them: the fence, the keys that reach them, the grants that name them, their budgets. */
function organizationGroups(views: readonly TeamView[], named: readonly string[]): readonly (readonly string[])[] {
  const groups = new Map<string, string[]>()
  for (const organization of named) {
    const signature = views.map((view) => organizationSignature(view, organization)).join('\n')
    const group = groups.get(signature)
    if (group === undefined) groups.set(signature, [organization])
    else group.push(organization)
  }
  return [...groups.values()]
}

function organizationSignature({ policy, team }: TeamView, organization: string): string {
  if (team === null) return 'no team'
  // Outside the fence everything is denied, whatever keys there are.
  if (team.organizations !== 'all' && !team.organizations.has(organization)) return 'outside'
  const keys = policy.keys.flatMap((key) => (isOwn(key, organization) ? [key.id] : []))
  const narrowed = team.grants.flatMap(({ organizations }, index) =>
    organizations?.has(organization) === true ? [index] : [],
  )
  return `${keys.join(' ')} ${narrowed.join(' ')} ${policy.budgets.organizations.has(organization) ? organization : ''}`
}

function isOwn({ organization: own, serves }: KeyHandle, organization: string): boolean {
  return own === organization || (typeof serves !== 'string' && serves.has(organization))
}

function groupsFor(
  operation: Operation,
  alike: readonly (readonly string[])[],
): readonly (readonly (string | null)[])[] {
  const place = organizationPlace(operation)
  if (place === 'none') return [[null]]
  return place === 'path' ? alike : [[null], ...alike]
}
