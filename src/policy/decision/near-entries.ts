// Entries of `members` that match a caller but for one attribute: a pipeline of another branch, an account of another
// namespace. For records and explanations only. Pure.

import { shortened } from '../../config/plural.ts'
import { claimAt } from '../../identity/claim-path.ts'
import type { Principal } from '../../identity/principal.ts'
import type { Team } from '../model/policy-set.ts'
import { compileCondition, conditionHolds, describeCondition, type Condition } from '../model/condition.ts'

interface Entry {
  readonly team: string
  /** Each attribute but the issuer by itself. */
  readonly attributes: readonly Condition[]
}

/** Comparing takes time, and any caller of an issuer may ask. */
const maxEntries = 100
const maxChars = 256

/** Entries by the issuer that they name, for each list of teams once. */
const indexes = new WeakMap<readonly Team[], ReadonlyMap<string, readonly Entry[]>>()

/** The first entry that names the caller's issuer, matches by some attribute, and fails by a single one; null for none. */
export function nearEntry(
  teams: readonly Team[],
  principal: Principal,
): { readonly team: string; readonly text: string } | null {
  let index = indexes.get(teams)
  if (index === undefined) indexes.set(teams, (index = entriesByIssuer(teams)))
  for (const { team, attributes } of (index.get(principal.issuer) ?? []).slice(0, maxEntries)) {
    const [unmet, ...others] = attributes.filter((attribute) => !conditionHolds(attribute, principal))
    if (unmet === undefined || others.length > 0) continue
    // That nobody acts is true of most callers.
    if (!attributes.some((attribute) => attribute !== unmet && attribute.delegated === null)) continue
    const text = `an entry of team ${team} matches but for ${shortened(describeCondition(unmet), maxChars)}${seenBy(unmet, principal)}`
    return { team, text }
  }
  return null
}

/**
 * The first entry, of a team that the caller is not in, that fails by one attribute alone, where nobody has said what the caller has
 * of it; null for none. For policy tests, which name what they think of.
 */
export function entryWithUnsaid(
  teams: readonly Team[],
  principal: Principal,
  isSaid: (attribute: Condition) => boolean,
): string | null {
  for (const { id, members } of teams) {
    if (members.some((entry) => conditionHolds(entry, principal))) continue
    for (const entry of members) {
      const attributes = [
        ...attributesOf(entry),
        ...(entry.issuer === null ? [] : [{ ...nothing, issuer: entry.issuer }]),
      ]
      const [unmet, ...others] = attributes.filter((attribute) => !conditionHolds(attribute, principal))
      if (unmet === undefined || others.length > 0 || attributes.length < 2 || isSaid(unmet)) continue
      return `an entry of team ${id} matches but for ${shortened(describeCondition(unmet), maxChars)}; the test names none`
    }
  }
  return null
}

function entriesByIssuer(teams: readonly Team[]): ReadonlyMap<string, readonly Entry[]> {
  const index = new Map<string, Entry[]>()
  for (const { id, members } of teams) {
    for (const condition of members) {
      const attributes = attributesOf(condition)
      if (attributes.length < 2) continue
      for (const issuer of condition.issuer ?? []) {
        const entries = index.get(issuer) ?? []
        index.set(issuer, entries)
        entries.push({ team: id, attributes })
      }
    }
  }
  return index
}

const nothing = compileCondition({})

function attributesOf(condition: Condition): readonly Condition[] {
  const names = (['groups', 'app', 'subject', 'email', 'actor', 'delegated'] as const).filter(
    (name) => condition[name] !== null,
  )
  return [
    ...names.map((name) => ({ ...nothing, [name]: condition[name] })),
    ...[...condition.claims].map((claim) => ({ ...nothing, claims: new Map([claim]) })),
  ]
}

/** What the token says in place of a claim; other attributes stand in the record anyway. */
function seenBy({ claims }: Condition, principal: Principal): string {
  return [...claims.keys()]
    .map((path) => claimAt(principal.claims, path))
    .map((value) =>
      value === undefined ? '; the token lacks it' : `; the token says ${shortened(JSON.stringify(value), maxChars)}`,
    )
    .join('')
}
