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
    return team.grants.flatMap((grant, index) => {
      if (grant.mode === 'off') return []
      const idle = grant.mode === 'warn' ? idleWarning(team, grant) : null
      return [
        ...warningsAt(document, ['grants', index, 'mode'], idle),
        ...warningsAt(document, ['grants', index, 'organizations'], unboundedWarning(policy, team, grant)),
      ]
    })
  })
}

/** Other grants allow all that this one does, to everybody and everywhere. */
function idleWarning(team: Team, grant: Grant): string | null {
  const lists = [...team.byOperation, ...team.byPermission.values()].flatMap((list) =>
    list?.includes(grant) === true ? [list] : [],
  )
  const instead = lists.map((list) =>
    list.find(({ mode, when, organizations }) => mode === 'enforce' && when === null && includes(organizations, grant)),
  )
  if (instead.length === 0 || instead.includes(undefined)) return null
  const names = [...new Set(instead.map((each) => each?.id ?? ''))].join(', ')
  return `grant "${grant.id}" is in mode warn, and nothing would be denied without it: ${names} allow${names.includes(',') ? '' : 's'} all of it. Remove it`
}

function includes(reach: ReadonlySet<string> | null, { organizations }: Grant): boolean {
  return reach === null || (organizations !== null && [...organizations].every((id) => reach.has(id)))
}

function unboundedWarning(policy: PolicySet, team: Team, grant: Grant): string | null {
  if (grant.organizations === null) return null
  const never = policy.catalogue.operations.filter(
    (operation) => team.byOperation[operation.index]?.includes(grant) === true && !isBoundable(policy, team, operation),
  )
  const [first] = never
  if (first === undefined) return null
  const more = never.length > 1 ? ` and ${never.length - 1} more` : ''
  return `grant "${grant.id}" holds in some organizations only, and ${first.id}${more} can name none: it is never allowed by this grant. Grant it without organizations, or leave it out`
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
