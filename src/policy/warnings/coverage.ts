// What the inventory of keys leaves open: grants that no key can serve, named before a caller meets them as a 503, and
// budgets whose sessions no key can read. Pure.

import { plural } from '../../config/plural.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { fewHints } from '../../config/nearest.ts'
import type { KeyHandle } from '../../keys/key.ts'
import type { TeamDocument } from '../documents/document.ts'
import type { PolicySet, Team } from '../model/policy-set.ts'

/** One warning a grant and organization, naming the operations and the permission a key would need. */
export function unservedGrants(policy: PolicySet, documents: readonly TeamDocument[]): Diagnostic[] {
  const warnings: Diagnostic[] = []
  const served = servedOrganizations(policy.keys)
  const hint = fewHints()
  for (const document of documents) {
    const team = policy.team(document.team)
    if (team === null) continue
    for (const [index, organization] of (team.organizations === 'all' ? [] : [...team.organizations]).entries()) {
      if (served.all || served.named.has(organization)) continue
      const message = `no key of the inventory is for organization "${organization}"${hint(organization, served.own)}`
      warnings.push(warningAt(document, ['organizations', index], message))
    }
    // Of an organization without any key all is said.
    const isKeyless = (organization: string | null): boolean =>
      organization !== null && organization !== anyOrganization && !served.all && !served.named.has(organization)
    const gaps = missingKeys(policy, team, served.own, isKeyless)
    for (const [index, grant] of team.grants.entries()) {
      // A grant of everything has a warning of its own.
      const missing = grant.allow.includes('*') ? [] : [...(gaps.get(grant.id) ?? [])]
      const warn = (ids: readonly string[], keys: string): void => {
        const more = ids.length > 1 ? ` and ${ids.length - 1} more` : ''
        const message = `grant "${grant.id}": no key can serve ${ids[0] ?? ''}${more}: ${keys} in keys.yaml`
        warnings.push(warningAt(document, ['grants', index, 'id'], message))
      }
      for (const [key, ids] of missing.slice(0, mostNamed)) warn(ids, `${key} is missing`)
      const others = missing.slice(mostNamed)
      if (others.length > 0)
        warn(
          others.flatMap(([, ids]) => ids),
          `${others.length} more ${plural(others.length, 'key is missing:', 'keys are missing, like')} ${others[0]?.[0] ?? ''}`,
        )
    }
  }
  return warnings
}

/** What is granted and has no key: `grant g of team t: org.sessions.create needs an organization key for …`. */
export function unservedRights(policy: PolicySet): ReadonlySet<string> {
  const { own } = servedOrganizations(policy.keys)
  return new Set(
    policy.teams.flatMap((team) =>
      [...missingKeys(policy, team, own, () => false)].flatMap(([grant, gaps]) =>
        [...gaps].flatMap(([key, ids]) => ids.map((id) => `grant ${grant} of team ${team.id}: ${id} needs ${key}`)),
      ),
    ),
  )
}

/** Most missing keys that are named for one grant. */
const mostNamed = 3

/** Operations by the key that they lack, by the grant that covers them. */
type Gaps = Map<string, Map<string, string[]>>

/** One warning for each organization of a team with budgets where no key can read sessions, before they stay reserved. */
export function unsettledBudgets(policy: PolicySet, documents: readonly TeamDocument[]): Diagnostic[] {
  const list = policy.catalogue.operation('org.sessions.list')
  const listAll = policy.catalogue.operation('ent.sessions.list')
  const everywhere =
    listAll !== null && policy.selectKey({ operation: listAll, organization: null, extra: [] }) !== null
  if (everywhere) return []
  return documents.flatMap((document) => {
    const { team, limits, organizations } = document
    if (limits === null || organizations === 'all') return []
    const scopes = [
      limits,
      ...Object.values(limits.apps),
      ...(limits.perPrincipal === null ? [] : [limits.perPrincipal]),
    ]
    if (!scopes.some(({ acus, openSessions }) => acus !== null || openSessions !== null)) return []
    return organizations
      .filter(
        (organization) => list === null || policy.selectKey({ operation: list, organization, extra: [] }) === null,
      )
      .map((organization) =>
        warningAt(
          document,
          ['limits'],
          `the budgets of team "${team}" cannot be settled in organization "${organization}": no key may list its sessions (ViewOrgSessions), so each session counts with all it might cost for thirty days`,
        ),
      )
  })
}

function missingKeys(
  policy: PolicySet,
  team: Team,
  keyOrganizations: ReadonlySet<string>,
  isKeyless: (organization: string | null) => boolean,
): Gaps {
  const gaps: Gaps = new Map()
  for (const operation of policy.catalogue.operations) {
    const applied = team.grantsOn(operation).filter(({ mode }) => mode !== 'off')
    if (applied.length === 0) continue
    const usual = new Set(organizationsOf(policy, team, operation, keyOrganizations))
    const narrowed =
      operation.scope === 'organization' ? applied.flatMap((grant) => [...(grant.organizations ?? [])]) : []
    for (const organization of new Set([...usual, ...narrowed])) {
      if (isKeyless(organization) || policy.selectKey({ operation, organization, extra: [] }) !== null) continue
      const key = `${organization === null ? 'an enterprise key' : `an organization key for ${organization}`} with ${operation.permission ?? 'any permission'}`
      for (const grant of applied) {
        const reaches =
          grant.organizations === null
            ? usual.has(organization)
            : organization === null || grant.organizations.has(organization)
        if (!reaches) continue
        const ofGrant = gaps.get(grant.id) ?? new Map<string, string[]>()
        gaps.set(grant.id, ofGrant)
        const ids = ofGrant.get(key) ?? []
        ofGrant.set(key, ids)
        ids.push(operation.id)
      }
    }
  }
  return gaps
}

/**
 * The organizations for which an operation needs a key. Behind a fence of `all` a key for any one of them is enough to
 * say that the grant can be served.
 */
function organizationsOf(
  policy: PolicySet,
  team: Team,
  operation: Operation,
  keyOrganizations: ReadonlySet<string>,
): readonly (string | null)[] {
  if (operation.scope !== 'organization') return [null]
  if (team.organizations !== 'all') return [...team.organizations]
  return [...keyOrganizations, anyOrganization].some(
    (organization) => policy.selectKey({ operation, organization, extra: [] }) !== null,
  )
    ? []
    : [anyOrganization]
}

/** Stands for an organization that no key names; no id holds a space. */
const anyOrganization = 'any organization'

interface ServedOrganizations {
  /** A key serves whatever organization. */
  readonly all: boolean
  readonly named: ReadonlySet<string>
  /** Those that have a key of their own. */
  readonly own: ReadonlySet<string>
}

function servedOrganizations(keys: readonly KeyHandle[]): ServedOrganizations {
  const own = new Set(keys.flatMap(({ organization }) => organization ?? []))
  const named = keys.flatMap(({ serves }) => (typeof serves === 'string' ? [] : [...serves]))
  return { all: keys.some(({ serves }) => serves === 'all'), named: new Set([...own, ...named]), own }
}

/** The first of many names, and how many more there are. */
export function someOf(names: readonly string[]): string {
  const more = names.length - mostInList
  return names.slice(0, mostInList).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

const mostInList = 10

export function warningAt(
  document: Pick<TeamDocument, 'file' | 'positionOf'>,
  path: readonly (string | number)[],
  message: string,
): Diagnostic {
  return { file: document.file, ...document.positionOf(path), severity: 'warning', message }
}

/** One warning, or none where there is no message. */
export function warningsAt(
  document: Pick<TeamDocument, 'file' | 'positionOf'>,
  path: readonly (string | number)[],
  message: string | null,
): readonly Diagnostic[] {
  return message === null ? [] : [warningAt(document, path, message)]
}
