// Grants and keys that reach nothing: operations of the whole enterprise behind a fence, keys of organizations that no team has,
// and grants of everything. Pure.

import { plural } from '../../config/plural.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { fewHints } from '../../config/nearest.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { operationsCovered } from '../compile/allow.ts'
import type { KeyDocument, TeamDocument } from '../documents/document.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { someOf, warningAt, warningsAt } from './coverage.ts'
import { isBoundable } from './grant-warnings.ts'

/** Warnings about grants of fenced teams, and about keys that serve nobody. */
export function reachWarnings(
  policy: PolicySet,
  teams: readonly TeamDocument[],
  keys: readonly KeyDocument[],
): readonly Diagnostic[] {
  const { catalogue } = policy
  const known = new Map<string, readonly Operation[]>()
  const servedBy = (word: string): readonly Operation[] => {
    const found =
      known.get(word) ??
      operationsCovered(catalogue, word)
        .flatMap((each) => catalogue.operation(each) ?? [])
        .filter((operation) => catalogue.isServed(operation))
    known.set(word, found)
    return found
  }
  return [
    ...teams.flatMap((document) => fenceWarnings(policy, document, servedBy)),
    ...keyWarnings(teams, keys),
    ...watchWarnings(policy, keys),
  ]
}

/** Keys that are to be watched where no key may read the audit log. */
function watchWarnings(policy: PolicySet, keys: readonly KeyDocument[]): Diagnostic[] {
  const operation = policy.catalogue.operation('ent.audit-logs.list')
  if (operation === null || policy.selectKey({ operation, organization: null, extra: [] }) !== null) return []
  return keys
    .filter(({ watch }) => watch)
    .map((document) =>
      warningAt(
        document,
        ['watch'],
        `key "${document.id}" cannot be watched: no enterprise key of the inventory may read the audit log of Devin. Add one with ${operation.permission ?? 'its permission'}`,
      ),
    )
}

function fenceWarnings(
  policy: PolicySet,
  document: TeamDocument,
  servedBy: (word: string) => readonly Operation[],
): Diagnostic[] {
  const team = policy.team(document.team)
  if (team === null || team.organizations === 'all') return []
  const fence = someOf([...team.organizations])
  return document.grants.flatMap(({ id, allow, mode }, grant) =>
    allow.flatMap((word, index) => {
      if (mode === 'off') return []
      const path = ['grants', grant, 'allow', index]
      const served = servedBy(word)
      const beyond = served.filter((operation) => !isBoundable(policy, team, operation))
      const reach = { word, served, beyond, fence: `the fence of team ${team.id} (${fence})` }
      return warningsAt(document, path, word === '*' ? everythingText(id, reach) : beyondText(reach))
    }),
  )
}

/** The operations of a word, and those of them that a fence refuses. */
interface Reach {
  readonly word: string
  readonly served: readonly Operation[]
  readonly beyond: readonly Operation[]
  readonly fence: string
}

function everythingText(grant: string, { served, beyond, fence }: Reach): string {
  return `grant "${grant}" covers all ${served.length} operations, and ${beyond.length} of them ${plural(beyond.length, 'reaches', 'reach')} the whole enterprise, which ${fence} refuses: name what the team needs, like org.*`
}

/** Null where the fence refuses nothing, or what is refused was named. */
function beyondText({ word, served, beyond, fence }: Reach): string | null {
  const [first] = beyond
  if (first === undefined) return null
  if (beyond.length < served.length) {
    const within = served.find((operation) => !beyond.includes(operation))
    const isPattern = word.includes('*')
    if ((word.includes('.') && !isPattern) || within === undefined) return null
    return `${isPattern ? `"${word}"` : `permission ${word}`} reaches further than ${fence}: ${beyond.length} of its ${served.length} operations, like ${first.id}, ${plural(beyond.length, 'names', 'name')} no organization and ${plural(beyond.length, 'is', 'are')} always refused, the others are allowed inside the fence. Grant by id what the team needs, like ${within.id}`
  }
  const isOne = beyond.length === 1
  const what = isOne ? `${first.id} names` : `${first.id} and ${beyond.length - 1} more name`
  const never = word.includes('.') ? '' : `permission ${word} can never be used here: `
  return `${never}${what} no organization, so ${fence} always refuses ${isOne ? 'it' : 'them'}: grant the organization's own operation, filter the answers with a guardrail (filter_items_by: organizations), or write organizations: all`
}

/** A key of an organization that no team may touch. */
function keyWarnings(teams: readonly TeamDocument[], keys: readonly KeyDocument[]): Diagnostic[] {
  const known = new Set(teams.flatMap(({ organizations }) => organizations))
  // A team that reaches all; no organization is called so.
  if (known.has('all')) return []
  const hint = fewHints()
  return keys.flatMap((document) => {
    const { id, organization, servesOrganizations: served } = document
    const strange = (each: string, what: string): string =>
      `no team may touch organization "${each}", so key "${id}" is never used${what}${hint(each, known)}`
    const listed = Array.isArray(served) ? served : []
    return [
      ...(organization === null || known.has(organization)
        ? []
        : [warningAt(document, ['organization'], strange(organization, ''))]),
      ...listed.flatMap((each: string, index) =>
        known.has(each) ? [] : [warningAt(document, ['serves_organizations', index], strange(each, ' for it'))],
      ),
    ]
  })
}
