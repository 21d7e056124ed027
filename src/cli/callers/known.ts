// Options that name a team, an issuer or an organization which has to exist: a misspelled one is no empty answer.

import { Refused } from '../../config/diagnostics.ts'
import { didYouMean, misspellingOf, nearest } from '../../config/nearest.ts'
import { namedOrganizations } from '../../policy/model/named-organizations.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { unsaidOrganization } from '../../policy/requests/written-request.ts'
import type { Invocation } from '../invocation.ts'
import { loadSetup, readRunningConfig } from '../setup.ts'
import { UsageError } from '../usage.ts'

/** How many names a message lists where none is near. */
const mostNamed = 10

/** Throws a usage error unless the value is one of the known ones. */
export function requireKnown(what: 'team' | 'issuer', value: string, known: readonly string[]): void {
  if (!known.includes(value)) throw unknownName(what, value, known)
}

/**
 * Throws a usage error unless the policies of the running gateway, or of one of the other directories, have the team. Where a set
 * cannot be used the team may be in it, which is said.
 */
export async function requireTeam(
  invocation: Invocation,
  team: string,
  others: readonly (string | null)[] = [],
): Promise<void> {
  const known = new Set<string>()
  for (const directory of new Set([null, ...others])) {
    const policy = await policyForNames(invocation, directory)
    if (policy === null) {
      const where = directory === null ? 'the policies' : `the policies at ${directory}`
      invocation.tell(`note: ${where} cannot be used, so it is not known whether there is a team "${team}"`)
      return
    }
    for (const { id } of policy.teams) known.add(id)
  }
  requireKnown('team', team, [...known])
}

/** Says the nearest name, or all of them. */
export function unknownName(what: 'team' | 'issuer', value: string, known: readonly string[]): UsageError {
  const near = nearest(value, known)
  const named = `${known.slice(0, mostNamed).join(', ')}${known.length > mostNamed ? ', …' : ''}`
  const hint = near !== null ? `; did you mean "${near}"?` : known.length === 0 ? '' : `: there is ${named}`
  return new UsageError(`unknown ${what} "${value}"${hint}`)
}

/** Throws a usage error where an organization is nearly one that the policies name. Others may exist: Devin knows them all. */
export function refuseMisspelled(organization: string, policy: PolicySet): void {
  const [text] = unknownOrganization(organization, policy)
  if (text !== undefined && misspellingOf(organization, new Set(namedOrganizations(policy))) !== null)
    throw new UsageError(text)
}

/** A sentence about an organization that neither team nor key names; none for another one. */
export function unknownOrganization(organization: string, policy: PolicySet): readonly string[] {
  const known = namedOrganizations(policy)
  if (known.includes(organization)) return []
  const near = didYouMean(organization, known)
  return [
    `no team and no key names the organization "${organization}"${near === '' ? ': only Devin knows whether there is one' : near}`,
  ]
}

/**
 * What is said of the caller and nothing in the policies names: the answer is right, and hardly what was meant. Subjects, addresses
 * and actors are rarely named, so of them only what is nearly spelled so is told.
 */
export function unknownNotes(invocation: Invocation, { teams, guardrails }: PolicySet): readonly string[] {
  const conditions = teams.flatMap(({ members, grants }) => [...members, ...grants.flatMap(({ when }) => when ?? [])])
  const bounded = guardrails.all.flatMap(({ apps, exceptions }) => [
    ...(apps === 'all' ? [] : apps),
    ...exceptions.flatMap((each) => [...(each.apps ?? [])]),
  ])
  const apps = [...teams.flatMap(({ limitedApps }) => [...limitedApps]), ...bounded]
  const options = { group: 'groups', app: 'app', sub: 'subject', email: 'email', actor: 'actor' } as const
  return Object.entries(options).flatMap(([option, attribute]) => {
    const named = conditions.flatMap((condition) => [...(condition[attribute] ?? [])])
    const known = new Set(option === 'app' ? [...named, ...apps] : named)
    const said = option === 'group' ? invocation.list(option) : [invocation.option(option) ?? '']
    return said.flatMap((value) => {
      const near = value === '' || known.has(value) ? '' : didYouMean(value, known)
      const isTold = near !== '' || ((option === 'group' || option === 'app') && value !== '' && !known.has(value))
      return isTold ? [`no team names the ${option === 'sub' ? 'subject' : option} "${value}"${near}`] : []
    })
  })
}

/** Organizations of requests that nothing names: a team with all organizations is allowed them, whether Devin has them or not. */
export function organizationNotes(
  found: readonly { readonly organizations: readonly string[] }[],
  policy: PolicySet,
): readonly string[] {
  const asked = new Set(found.flatMap(({ organizations }) => organizations))
  asked.delete(unsaidOrganization)
  return [...asked].flatMap((each) => unknownOrganization(each, policy))
}

/**
 * The policies of the gateway that runs here, for commands that ask it and name something of them; `directory` says other ones. Null
 * where they cannot be used: the gateway may run all the same.
 */
export async function policyForNames(
  invocation: Invocation,
  directory: string | null = null,
): Promise<PolicySet | null> {
  const option = (name: string): string | null =>
    name === 'policies' && directory !== null ? directory : invocation.option(name)
  try {
    return (await loadSetup({ ...invocation, option }, { read: readRunningConfig, tests: 'ignored' })).loaded.policy
  } catch (error) {
    if (error instanceof Refused) return null
    throw error
  }
}
