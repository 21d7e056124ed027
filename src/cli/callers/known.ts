// Options that name a team, an issuer or an organization which has to exist: a misspelled one is no empty answer.

import { Refused } from '../../config/diagnostics.ts'
import { didYouMean, nearest } from '../../config/nearest.ts'
import { namedOrganizations } from '../../policy/model/named-organizations.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import type { Invocation } from '../invocation.ts'
import { loadSetup, readRunningConfig } from '../setup.ts'
import { UsageError } from '../usage.ts'

/** How many names a message lists where none is near. */
const mostNamed = 10

/** Throws a usage error unless the value is one of the known ones. */
export function requireKnown(what: 'team' | 'issuer', value: string, known: readonly string[]): void {
  if (!known.includes(value)) throw unknownName(what, value, known)
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
  const known = namedOrganizations(policy)
  const near = known.includes(organization) ? null : nearest(organization, known)
  if (near !== null)
    throw new UsageError(`no team and no key names the organization "${organization}"; did you mean "${near}"?`)
}

/** Groups, apps and so on that no condition names, but for their spelling: the answer is right, and hardly what was meant. */
export function misspelledNotes(invocation: Invocation, { teams }: PolicySet): readonly string[] {
  const conditions = teams.flatMap(({ members, grants }) => [...members, ...grants.flatMap(({ when }) => when ?? [])])
  const options = { group: 'groups', app: 'app', sub: 'subject', email: 'email', actor: 'actor' } as const
  return Object.entries(options).flatMap(([option, attribute]) => {
    const known = new Set(conditions.flatMap((condition) => [...(condition[attribute] ?? [])]))
    const said = option === 'group' ? invocation.list(option) : [invocation.option(option) ?? '']
    return said.flatMap((value) => {
      const near = value === '' || known.has(value) ? '' : didYouMean(value, known)
      return near === '' ? [] : [`no team names the ${option === 'sub' ? 'subject' : option} "${value}"${near}`]
    })
  })
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
