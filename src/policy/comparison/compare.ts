// Compares two policy sets in rights: who may do what under one and not under the other, and what is bounded otherwise.
// Exhaustive over the cells that the sets can tell apart. Pure.

import { addressOf } from '../../catalogue/target.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { Principal } from '../../identity/principal.ts'
import type { KeyChoice } from '../../keys/select.ts'
import { guardrailBounds, limitBounds } from '../cells/bounds.ts'
import type { CallerClass, CallerClasses } from '../cells/caller-classes.ts'
import type { SampleRequest } from '../cells/requests.ts'
import type { Right, TeamView } from '../cells/right.ts'
import { walkCells, type CellCount, type Cells } from '../cells/walk.ts'
import { evaluate } from '../decision/evaluate.ts'
import type { PolicySet } from '../model/policy-set.ts'

export const changeKinds = ['gained', 'lost', 'key', 'guardrail', 'limit', 'filter'] as const
export type ChangeKind = (typeof changeKinds)[number]

/** One difference, for organizations that are alike in it. */
export interface RightChange {
  readonly change: ChangeKind
  readonly team: string
  /** Classes of callers that it holds for. The first one made the request. */
  readonly callers: readonly [CallerClass, ...CallerClass[]]
  /** All classes of the team. */
  readonly allCallers: CallerClasses
  readonly request: SampleRequest
  readonly organizations: readonly (string | null)[]
  /** What is in force under the first set, and under the second, in words. */
  readonly from: string
  readonly to: string
  /** The other team by which these callers have the right under both sets; null when there is none. */
  readonly alsoBy: string | null
}

export interface Comparison extends CellCount {
  readonly changes: readonly RightChange[]
}

/** A policy set, and how its files are named to people. */
export interface ComparedSet {
  readonly policy: PolicySet
  readonly nameOf: (file: string) => string
}

/** Compares two sets over one catalogue. */
export function comparePolicies(one: ComparedSet, other: ComparedSet): Comparison {
  const [from, to] = [one.policy, other.policy]
  const changes: RightChange[] = []
  const bounds = new Bounds()
  const count = walkCells(
    [from, to],
    (cells) => {
      changes.push(...differencesOf(cells, [from, to], bounds, [one.nameOf, other.nameOf]))
    },
    { keys: 'changed' },
  )
  return { ...count, changes }
}

/** The differences of alike cells, each for the organizations that have the same words for it. */
function differencesOf(
  cells: Cells,
  policies: readonly PolicySet[],
  bounds: Bounds,
  names: readonly [ComparedSet['nameOf'], ComparedSet['nameOf']],
): Iterable<RightChange> {
  const { team, callers, allCallers, organizations } = cells
  const found = changesOf(cells, cells.rights, bounds, names)
  if (found.length === 0) return []
  const differences = new Map<string, RightChange & { readonly organizations: (string | null)[] }>()
  for (const [index, organization] of organizations.entries()) {
    const { request, rights } = index === 0 || organization === null ? cells : cells.rightsIn(organization)
    for (const words of index === 0 ? found : changesOf(cells, rights, bounds, names)) {
      const { change, from, to } = words
      const isRight = change === 'gained' || change === 'lost'
      for (const [alsoBy, group] of isRight ? byOtherTeam(policies, cells, request) : [[null, callers] as const]) {
        const key = [change, from, to, alsoBy, ...group.map(({ text }) => text)].join('\n')
        const known = differences.get(key)
        if (known === undefined)
          differences.set(key, {
            team,
            callers: group,
            allCallers,
            request,
            organizations: [organization],
            ...words,
            alsoBy,
          })
        else known.organizations.push(organization)
      }
    }
  }
  return differences.values()
}

interface ChangeWords {
  readonly change: ChangeKind
  readonly from: string
  readonly to: string
}

function changesOf(
  { callers, request, organizations, views }: Cells,
  rights: readonly Right[],
  bounds: Bounds,
  [nameBefore, nameAfter]: readonly [ComparedSet['nameOf'], ComparedSet['nameOf']],
): readonly ChangeWords[] {
  const [before, after] = rights
  const [viewBefore, viewAfter] = views
  if (before === undefined || after === undefined || viewBefore === undefined || viewAfter === undefined) return []
  if (before.effect !== after.effect) {
    const change = after.effect === 'allow' ? 'gained' : 'lost'
    return [{ change, from: rightText(before, nameBefore), to: rightText(after, nameAfter) }]
  }
  if (before.effect === 'deny') return []
  const found: ChangeWords[] = []
  if (keyOf(before.key) !== keyOf(after.key))
    found.push({ change: 'key', from: keyText(before.key), to: keyText(after.key) })
  if (before.filter?.digest !== after.filter?.digest)
    found.push({ change: 'filter', from: filterText(before), to: filterText(after) })
  const { principal } = callers[0]
  const organization = organizations[0] ?? null
  for (const kind of ['guardrail', 'limit'] as const) {
    const [one, other] = [viewBefore, viewAfter].map((view) =>
      bounds.of(kind, view, principal, request.operation, organization),
    )
    if (one === undefined || other === undefined || one.join('\n') === other.join('\n')) continue
    found.push({ change: kind, from: without(one, other), to: without(other, one) })
  }
  return found
}

/** Bounds by what they depend on, so that each is put into words once. */
class Bounds {
  readonly #known = new Map<TeamView, Map<string, readonly string[]>>()

  of(
    kind: 'guardrail' | 'limit',
    view: TeamView,
    principal: Principal,
    operation: Operation,
    organization: string | null,
  ): readonly string[] {
    const ofView = this.#known.get(view) ?? new Map<string, readonly string[]>()
    this.#known.set(view, ofView)
    const place = kind === 'limit' && organization !== null && view.policy.budgets.organizations.has(organization)
    const key = `${kind} ${operation.index} ${place ? organization : ''} ${principal.app ?? ''}`
    const known = ofView.get(key)
    if (known !== undefined) return known
    const made =
      kind === 'guardrail'
        ? guardrailBounds(view, operation, principal.app)
        : limitBounds(view, principal, operation, organization)
    ofView.set(key, made)
    return made
  }
}

/** A right is neither gained nor lost by callers who have it through another team before and after: callers by that team. */
function byOtherTeam(
  policies: readonly PolicySet[],
  { callers, team }: Cells,
  { operation, target, body }: SampleRequest,
): ReadonlyMap<string | null, readonly [CallerClass, ...CallerClass[]]> {
  const groups = new Map<string | null, [CallerClass, ...CallerClass[]]>()
  for (const caller of callers) {
    const found = policies.map((policy) => evaluate(policy, caller.principal, operation, target, body))
    const others = found.flatMap(({ key, decision }) =>
      key !== null && decision.team !== null && decision.team.id !== team ? [decision.team.id] : [],
    )
    const other = found.every(({ key }) => key !== null) ? (others[0] ?? null) : null
    const group = groups.get(other)
    if (group === undefined) groups.set(other, [caller])
    else group.push(caller)
  }
  return groups
}

function rightText({ effect, reason, grant, key }: Right, nameOf: ComparedSet['nameOf']): string {
  if (effect === 'deny') return `denied (${reason})`
  const by = grant === null ? 'as a member' : `by grant ${grant.id} (${nameOf(grant.source.file)}:${grant.source.line})`
  return `${by}, with ${keyText(key)}`
}

function keyOf(choice: KeyChoice | null): string {
  return choice === null ? '' : `${choice.key.id} ${choice.key.scope} ${choice.key.organization ?? ''}`
}

function keyText(choice: KeyChoice | null): string {
  return choice === null ? 'no key' : `key ${choice.key.id} (${choice.key.scope})`
}

function filterText({ filter }: Right): string {
  if (filter === null) return 'the whole answer'
  const kept = filter.organizations === 'all' ? [] : [`items of ${filter.organizations.join(', ')}`]
  const dropped = filter.drop.length === 0 ? [] : [`without ${filter.drop.join(', ')}`]
  return [...kept, ...dropped].join(' ')
}

function without(texts: readonly string[], others: readonly string[]): string {
  const found = texts.filter((text) => !others.includes(text))
  return found.length === 0 ? 'no such bound' : found.join('; ')
}

/** The request of a change as a person would send it. */
export function addressIn({ request }: RightChange): string {
  return addressOf(request.target)
}
