// Compares two policy sets in rights: who may do what under one and not under the other, and what is bounded otherwise.
// Exhaustive over the cells that the sets can tell apart. Pure.

import { addressOf } from '../../catalogue/target.ts'
import type { Principal } from '../../identity/principal.ts'
import { otherActor, type CallerClass } from '../cells/caller-classes.ts'
import { sampleDevinUser, type SampleRequest } from '../cells/requests.ts'
import type { Right } from '../cells/right.ts'
import { walkCells, type CellCount, type Cells } from '../cells/walk.ts'
import { evaluate } from '../decision/evaluate.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { exampleOf } from './examples.ts'
import { endingNotes, UnservedRights } from './notes.ts'
import {
  BoundTexts,
  shownText,
  keyIdentity,
  chosenKeyText,
  rightText,
  without,
  type FileNamer,
  type ChangeKind,
} from './words.ts'

/** What is in force under the first set, and under the second, in words. */
interface ChangeWords {
  readonly change: ChangeKind
  readonly from: string
  readonly to: string
}

/** One difference, for callers and organizations that are alike in it. `together`: only requests differ that name several at once. */
export interface RightChange
  extends ChangeWords, Pick<Cells, 'team' | 'callers' | 'allCallers' | 'request' | 'organizations' | 'together'> {
  /** Whether guardrails ask for the user that the caller has at Devin. */
  readonly asksUser: boolean
  /** The other team by which these callers have a right before it is gained, or after it is lost; null when there is none. */
  readonly alsoBy: string | null
}

export interface Comparison extends CellCount {
  readonly changes: readonly RightChange[]
  /** Sentences about what is no difference in rights now. */
  readonly notes: readonly string[]
}

/** A policy set, and how its files are named to people. */
export interface ComparedSet {
  readonly policy: PolicySet
  readonly nameOf: FileNamer
}

/** Compares two sets over one catalogue. */
export function comparePolicies(one: ComparedSet, other: ComparedSet): Comparison {
  const [from, to] = [one.policy, other.policy]
  const changes: RightChange[] = []
  const bounds = new BoundTexts()
  const unserved = new UnservedRights(other.nameOf)
  const count = walkCells(
    [from, to],
    (cells) => {
      unserved.add(cells)
      changes.push(...differencesOf(cells, [from, to], bounds, [one.nameOf, other.nameOf]))
    },
    { keys: 'changed', together: true },
  )
  return { ...count, changes, notes: [...endingNotes(from, to), ...unserved.notes()] }
}

/** The differences of alike cells, each for the organizations that have the same words for it. */
function differencesOf(
  cells: Cells,
  policies: readonly PolicySet[],
  bounds: BoundTexts,
  names: readonly [FileNamer, FileNamer],
): Iterable<RightChange> {
  const { team, allCallers, organizations, together } = cells
  const found = changesOf(cells, cells.rights, bounds, names)
  if (found.length === 0) return []
  const differences = new Map<string, RightChange & { readonly organizations: (string | null)[] }>()
  for (const [index, organization] of organizations.entries()) {
    const isSame = index === 0 || organization === null || together
    const { request, rights } = isSame ? cells : cells.rightsIn(organization)
    for (const words of isSame ? found : changesOf(cells, rights, bounds, names)) {
      const { change, from, to } = words
      const example = exampleOf(change, cells, request)
      if (example === null) continue
      const without = change === 'gained' ? policies[0] : change === 'lost' ? policies[1] : undefined
      for (const [alsoBy, group] of byOtherTeam(without, cells, example)) {
        const key = [change, from, to, alsoBy, ...group.map(({ text }) => text)].join('\n')
        const known = differences.get(key)
        if (known !== undefined) known.organizations.push(organization)
        else
          differences.set(key, {
            team,
            callers: group,
            allCallers,
            request: example,
            asksUser: asksDevinUser(policies, group[0].principal, example),
            organizations: [organization],
            together,
            ...words,
            alsoBy,
          })
      }
    }
  }
  return differences.values()
}

function asksDevinUser(
  policies: readonly PolicySet[],
  principal: Principal,
  { operation, target, body }: SampleRequest,
): boolean {
  return policies.some((policy) => evaluate(policy, principal, operation, target, body).needsDevinUser !== null)
}

function changesOf(
  { callers, request, organizations, views, together }: Cells,
  rights: readonly Right[],
  bounds: BoundTexts,
  [nameBefore, nameAfter]: readonly [FileNamer, FileNamer],
): readonly ChangeWords[] {
  const [before, after] = rights
  const [viewBefore, viewAfter] = views
  if (before === undefined || after === undefined || viewBefore === undefined || viewAfter === undefined) return []
  if (before.effect !== after.effect) {
    const change = after.effect === 'allow' ? 'gained' : 'lost'
    return [{ change, from: rightText(before, nameBefore), to: rightText(after, nameAfter) }]
  }
  // Whatever else differs for several organizations differs for each of them.
  if (before.effect === 'deny' || together) return []
  const found: ChangeWords[] = []
  if (keyIdentity(before.key) !== keyIdentity(after.key))
    found.push({ change: 'key', from: chosenKeyText(before.key), to: chosenKeyText(after.key) })
  if (before.filter?.digest !== after.filter?.digest)
    found.push({ change: 'filter', from: shownText(before.filter), to: shownText(after.filter) })
  const { principal } = callers[0]
  const organization = organizations[0] ?? null
  for (const kind of ['guardrail', 'limit'] as const) {
    const [one, other] = [viewBefore, viewAfter].map((view) =>
      bounds.of(kind, view, principal, request.operation, organization),
    )
    if (one === undefined || other === undefined || one.join('\n') === other.join('\n')) continue
    const none = 'no such bound'
    found.push({ change: kind, from: without(one, other, none), to: without(other, one, none) })
  }
  return found
}

/**
 * Callers by the other team that gives them the right where this one does not; null: no team does. A right is neither gained nor
 * lost by callers who have it anyway.
 */
function byOtherTeam(
  policy: PolicySet | undefined,
  { team, callers, allCallers }: Cells,
  { operation, target, body }: SampleRequest,
): ReadonlyMap<string | null, readonly [CallerClass, ...CallerClass[]]> {
  const groups = new Map<string | null, [CallerClass, ...CallerClass[]]>()
  // Somebody may act for a caller of a class that does not say so, and other teams may ask for nobody who does.
  const isTold = allCallers.conditions.some(({ actor, delegated }) => actor !== null || delegated !== null)
  const isActingToo = (principal: Principal): boolean => isTold || byOther({ ...principal, actor: otherActor }) !== null
  const byOther = (principal: Principal): string | null => {
    if (policy === undefined || policy.teamsOf(principal).every(({ id }) => id === team)) return null
    const { key, decision } = evaluate(policy, principal, operation, target, body, sampleDevinUser)
    return key === null ? null : (decision.team?.id ?? null)
  }
  for (const caller of callers) {
    const found = byOther(caller.principal)
    const other = found === null || isActingToo(caller.principal) ? found : null
    const group = groups.get(other)
    if (group === undefined) groups.set(other, [caller])
    else group.push(caller)
  }
  return groups
}

/** The request of a change as a person would send it. */
export function addressIn({ request }: RightChange): string {
  return addressOf(request.target)
}
