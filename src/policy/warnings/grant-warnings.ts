// Grants that do not do what their file seems to say: in mode `warn` although nothing depends on them, or narrowed to
// organizations where the operation names none. Pure.

import type { Diagnostic } from '../../config/diagnostics.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { filtersAnswers } from '../decision/response-filter.ts'
import type { TeamDocument } from '../documents/document.ts'
import type { Grant, PolicySet, Team } from '../model/policy-set.ts'
import { warningsAt } from './coverage.ts'

/** At most one warning of each kind for a grant. */
export function grantWarnings(policy: PolicySet, documents: readonly TeamDocument[]): Diagnostic[] {
  return documents.flatMap((document) => {
    const team = policy.team(document.team)
    if (team === null) return []
    const idle = idleGrants(policy, team)
    const unbounded = unboundedGrants(policy, team)
    return team.grants.flatMap((grant, index) => {
      if (grant.mode === 'off') return []
      const instead = idle.get(grant)
      const never = unbounded.get(grant)
      return [
        ...warningsAt(document, ['grants', index, 'mode'], instead === undefined ? null : idleText(grant, instead)),
        ...warningsAt(
          document,
          ['grants', index, 'organizations'],
          never === undefined ? null : unboundedText(grant, never),
        ),
      ]
    })
  })
}

/** The grants in mode `warn` of which others allow all, to everybody and everywhere; with the ids of those others. */
function idleGrants({ catalogue }: PolicySet, team: Team): ReadonlyMap<Grant, ReadonlySet<string>> {
  const found = new Map<Grant, Set<string>>()
  const needed = new Set<Grant>()
  if (!team.grants.some(({ mode }) => mode === 'warn')) return found
  const lists = [
    ...catalogue.operations.map((operation) => team.grantsOn(operation)),
    ...[...catalogue.permissions.names].map((name) => team.grantsOf(name)),
  ]
  for (const list of lists) {
    const others = list.filter(({ mode, when }) => mode === 'enforce' && when === null)
    for (const grant of list) {
      if (grant.mode !== 'warn' || needed.has(grant)) continue
      const other = others.find(({ organizations }) => includes(organizations, grant))
      const ids = found.get(grant) ?? new Set()
      if (other === undefined) needed.add(grant)
      else found.set(grant, ids.add(other.id))
    }
  }
  for (const grant of needed) found.delete(grant)
  return found
}

function idleText(grant: Grant, instead: ReadonlySet<string>): string {
  return `grant "${grant.id}" is in mode warn, and nothing would be denied without it: ${[...instead].join(', ')} allow${instead.size > 1 ? '' : 's'} all of it. Remove it`
}

function includes(reach: ReadonlySet<string> | null, { organizations }: Grant): boolean {
  return reach === null || (organizations !== null && [...organizations].every((id) => reach.has(id)))
}

/** The operations that cannot name organizations, of each grant that holds in some only. */
function unboundedGrants(policy: PolicySet, team: Team): ReadonlyMap<Grant, readonly Operation[]> {
  const found = new Map<Grant, Operation[]>()
  if (team.grants.every(({ organizations }) => organizations === null)) return found
  for (const operation of policy.catalogue.operations) {
    if (isBoundable(policy, team, operation)) continue
    for (const grant of team.grantsOn(operation)) {
      if (grant.organizations === null) continue
      const never = found.get(grant)
      if (never === undefined) found.set(grant, [operation])
      else never.push(operation)
    }
  }
  return found
}

function unboundedText(grant: Grant, never: readonly Operation[]): string {
  const more = never.length > 1 ? ` and ${never.length - 1} more` : ''
  return `grant "${grant.id}" holds in some organizations only, and ${never[0]?.id ?? ''}${more} can name none: it is never allowed by this grant. Grant it without organizations, or leave it out`
}

/** Whether a request for the operation can name organizations, or its answer is filtered by them. */
export function isBoundable(policy: PolicySet, team: Team, operation: Operation): boolean {
  const { scope, organizations } = operation
  return (
    scope !== 'enterprise' ||
    organizations.segment !== -1 ||
    organizations.query.includes('org_ids') ||
    filtersAnswers(policy, team, operation)
  )
}
