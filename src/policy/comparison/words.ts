// What is in force for a cell, in words that are equal where it is equal. Pure.

import { byGrant } from '../model/remarks.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { Principal } from '../../identity/principal.ts'
import type { KeyChoice } from '../../keys/select.ts'
import { guardrailBounds, limitBounds } from '../cells/bounds.ts'
import type { Right, TeamView } from '../cells/right.ts'
import type { ResponseFilter } from '../model/decision.ts'
import { instantText } from '../../config/values/instants.ts'

export const changeKinds = ['gained', 'lost', 'key', 'guardrail', 'limit', 'filter'] as const
export type ChangeKind = (typeof changeKinds)[number]

/** How a file of a set is named to people. */
export type FileNamer = (file: string) => string

/** Bounds by what they depend on, so that each is put into words once. */
export class BoundTexts {
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

export function rightText({ effect, reason, grant, key }: Right, nameOf: FileNamer): string {
  if (effect === 'deny') return `denied (${reason})`
  const by = byGrant(grant, nameOf)
  const end = grant?.ending.endsAtMs ?? null
  return `${by}, with ${chosenKeyText(key)}${end === null ? '' : `, until ${instantText(end)}`}`
}

export function keyIdentity(choice: KeyChoice | null): string {
  return choice === null ? '' : `${choice.key.id} ${choice.key.scope} ${choice.key.organization ?? ''}`
}

export function chosenKeyText(choice: KeyChoice | null): string {
  return choice === null ? 'no key' : `key ${choice.key.id} (${choice.key.scope})`
}

export function shownText(filter: ResponseFilter | null): string {
  if (filter === null) return 'the whole answer'
  const kept = filter.organizations === 'all' ? [] : [`items of ${filter.organizations.join(', ')}`]
  const dropped = filter.drop.length === 0 ? [] : [`without ${filter.drop.join(', ')}`]
  return [...kept, ...dropped].join(' ')
}

/** The texts that are not among others; `none` where all are. */
export function without(texts: readonly string[], others: readonly string[], none: string): string {
  return texts.filter((text) => !others.includes(text)).join('; ') || none
}
