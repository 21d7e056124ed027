// Grants that no key can serve: a warning that names the missing key, before a caller meets it as a 503. Pure.

import type { Diagnostic } from '../config/diagnostics.ts'
import type { Operation } from '../catalogue/operation.ts'
import { didYouMean } from '../config/nearest.ts'
import type { KeyHandle } from '../keys/key.ts'
import type { TeamDocument } from './document.ts'
import type { PolicySet, Team } from './policy-set.ts'

/** One warning a grant and organization, naming the operations and the permission a key would need. */
export function unservedGrants(policy: PolicySet, documents: readonly TeamDocument[]): Diagnostic[] {
  const warnings: Diagnostic[] = []
  const keyOrganizations = new Set(policy.keys.flatMap((key) => (key.organization === null ? [] : [key.organization])))
  for (const document of documents) {
    const team = policy.team(document.team)
    if (team === null) continue
    for (const [index, organization] of (team.organizations === 'all' ? [] : [...team.organizations]).entries()) {
      if (keyOrganizations.has(organization) || policy.keys.some((key) => mayServe(key, organization))) continue
      const message = `no key of the inventory is for organization "${organization}"${didYouMean(organization, keyOrganizations)}`
      warnings.push(warningAt(document, ['organizations', index], message))
    }
    for (const [index, grant] of team.grants.entries()) {
      if (grant.mode === 'off') continue
      for (const missing of missingKeys(policy, team, grant.id)) {
        warnings.push(warningAt(document, ['grants', index, 'id'], `grant "${grant.id}": ${missing}`))
      }
    }
  }
  return warnings
}

function missingKeys(policy: PolicySet, team: Team, grantId: string): string[] {
  const operations = policy.catalogue.operations.filter(
    (operation) => team.byOperation[operation.index]?.some((grant) => grant.id === grantId) === true,
  )
  const gaps = new Map<string, string[]>()
  for (const operation of operations) {
    for (const organization of organizationsOf(policy, team, operation)) {
      if (policy.selectKey({ operation, organization, extra: [] }) !== null) continue
      const key = `${organization === null ? 'an enterprise key' : `an organization key for ${organization}`} with ${operation.permission ?? 'any permission'} is missing`
      gaps.set(key, [...(gaps.get(key) ?? []), operation.id])
    }
  }
  return [...gaps].map(
    ([key, ids]) =>
      `no key can serve ${ids[0] ?? ''}${ids.length > 1 ? ` and ${ids.length - 1} more` : ''}: ${key} in keys.yaml`,
  )
}

/**
 * The organizations for which an operation needs a key. Behind a fence of `all` a key for any one of them is enough to
 * say that the grant can be served.
 */
function organizationsOf(policy: PolicySet, team: Team, operation: Operation): readonly (string | null)[] {
  if (operation.scope !== 'organization') return [null]
  if (team.organizations !== 'all') return [...team.organizations]
  const served = [
    ...policy.keys.flatMap((key) => (key.organization === null ? [] : [key.organization])),
    anyOrganization,
  ]
  return served.some((organization) => policy.selectKey({ operation, organization, extra: [] }) !== null)
    ? []
    : [anyOrganization]
}

/** Stands for an organization that no key names; no id holds a space. */
const anyOrganization = 'any organization'

function mayServe(key: KeyHandle, organization: string): boolean {
  return key.serves === 'all' || (key.serves !== 'none' && key.serves.has(organization))
}

function warningAt(document: TeamDocument, path: readonly (string | number)[], message: string): Diagnostic {
  return { file: document.file, ...document.positionOf(path), severity: 'warning', message }
}
