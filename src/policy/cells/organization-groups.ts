// Organizations that policy sets cannot tell apart: the same fences and grants hold for them, the same budgets, and keys that
// are alike. Pure.

import type { Operation } from '../../catalogue/operation.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { anyOtherOrganization } from './requests.ts'
import type { TeamView } from './right.ts'

/**
 * `each`: organizations of one group have the same key in each set. `changed`: only those whose key is another one in another
 * set are told apart; the others may have different keys.
 */
export type KeyDistinction = 'each' | 'changed'

export class OrganizationGroups {
  /** Every organization that a set names, and one that stands for all others. */
  readonly all: readonly string[]
  readonly #policies: readonly PolicySet[]
  readonly #distinction: KeyDistinction
  /** By the operation's index: a text for each organization. */
  readonly #byKey = new Map<number, ReadonlyMap<string, string>>()

  constructor(policies: readonly PolicySet[], others: readonly string[], distinction: KeyDistinction) {
    this.all = [...new Set([...policies.flatMap(organizationsOf), ...others, anyOtherOrganization])].sort()
    this.#policies = policies
    this.#distinction = distinction
  }

  /** Groups of all organizations as one team sees them, by operation. */
  ofTeam(views: readonly TeamView[]): (operation: Operation) => readonly (readonly string[])[] {
    const seen = new Map(this.all.map((organization) => [organization, fencesOf(views, organization)]))
    return (operation) => {
      const byKey = this.#keysFor(operation)
      // Outside every fence all is denied, whatever keys there are.
      const groups = Map.groupBy(this.all, (organization) => {
        const fences = seen.get(organization) ?? null
        return fences === null ? 'outside' : `${fences}\n${byKey.get(organization) ?? ''}`
      })
      return [...groups.values()]
    }
  }

  #keysFor(operation: Operation): ReadonlyMap<string, string> {
    const known = this.#byKey.get(operation.index)
    if (known !== undefined) return known
    const made = new Map(this.all.map((organization) => [organization, this.#keysText(operation, organization)]))
    this.#byKey.set(operation.index, made)
    return made
  }

  #keysText(operation: Operation, organization: string): string {
    // What members of a body need besides can take another key.
    const needs = [[], ...operation.conditional.map(({ permission }) => [permission])]
    const ids = this.#policies.map((policy) =>
      needs
        .map((extra) => {
          const choice = policy.selectKey({ operation, organization, extra })
          return choice === null ? '-' : `${choice.key.id} ${choice.key.scope}`
        })
        .join(','),
    )
    const isAlike = this.#distinction === 'changed' && ids.every((id) => id === ids[0])
    return isAlike ? (ids[0] ?? '').replaceAll(/[^-,]+/g, 'key') : ids.join('\n')
  }
}

/** Every organization that a set names anywhere. */
function organizationsOf({ teams, keys, budgets }: PolicySet): readonly string[] {
  return [
    ...teams.flatMap((team) => [
      ...(team.organizations === 'all' ? [] : team.organizations),
      ...(team.defaultOrganization === null ? [] : [team.defaultOrganization]),
      ...team.grants.flatMap((grant) => [...(grant.organizations ?? [])]),
    ]),
    ...keys.flatMap(({ organization, serves }) => [
      ...(organization === null ? [] : [organization]),
      ...(typeof serves === 'string' ? [] : serves),
    ]),
    ...budgets.organizations,
  ]
}

/** Where an organization lies for a team in each set; null where it lies outside of all fences. */
function fencesOf(views: readonly TeamView[], organization: string): string | null {
  const texts = views.map(({ policy, team }) => {
    if (team === null || (team.organizations !== 'all' && !team.organizations.has(organization))) return null
    const grants = team.grants.flatMap(({ organizations }, index) =>
      organizations?.has(organization) === true ? [index] : [],
    )
    const isOwn = team.organizations !== 'all' || organization === team.defaultOrganization
    return `${isOwn ? 'own' : ''} ${grants.join(' ')} ${policy.budgets.organizations.has(organization) ? organization : ''}`
  })
  return texts.every((text) => text === null) ? null : texts.join('\n')
}
