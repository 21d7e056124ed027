// What is to be said about the powers of keys, each as a sentence with its place and what to do. Pure.

import { endingText } from '../../config/values/instants.ts'
import type { KeyRole } from '../../keys/identity/account.ts'
import type { KeyHandle } from '../../keys/key.ts'
import { throughOf } from '../../keys/select.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { ownPermissions, type KeyReach, type KeyReaches } from './reach.ts'
import type { KeyUse } from './use.ts'

export const keyFindingKinds = [
  'quarantined',
  'service-user-changed',
  'expires',
  'shared-value',
  'shared-service-user',
  'wider-roles',
  'other-permissions',
  'no-team',
  'never-used',
  'unneeded-permission',
  'unused-permission',
  'organization-key',
] as const

export type KeyFindingKind = (typeof keyFindingKinds)[number]

export interface KeyFinding {
  readonly key: string
  readonly finding: KeyFindingKind
  readonly text: string
  readonly action: string
  readonly file: string
  readonly line: number
  /** The permissions that `text` ends with, where several watchers may name different ones. */
  readonly unused?: readonly string[]
}

/** What a running gateway knows of a key; null members are not known. */
export interface KeyAtDevin {
  readonly serviceUser: string | null
  /** Why it is quarantined. */
  readonly fault: string | null
  readonly action: string | null
  readonly changedFrom: string | null
  readonly endsAtMs: number | null
  readonly roles: readonly KeyRole[] | null
  /** Used since the start; null without a running gateway. */
  readonly usedPermissions: ReadonlySet<string> | null
}

/** What the findings are drawn from. */
export interface KeyEvidence {
  readonly reaches: KeyReaches
  /** By key id; null without a log. */
  readonly uses: ReadonlyMap<string, KeyUse> | null
  /** How long the uses were watched, as the end of a sentence; null where nobody has watched. */
  readonly watched: string | null
  readonly atDevin: ReadonlyMap<string, KeyAtDevin>
  /** Ids of the keys that have the same value as one before them, and of that one. */
  readonly twins: ReadonlyMap<string, string>
  readonly nowMs: number
}

/** Every finding, by key in the order of the inventory. */
export function keyFindings(policy: PolicySet, evidence: KeyEvidence): readonly KeyFinding[] {
  return policy.keys.flatMap((handle) => {
    const { id, source } = handle
    return findingsOf(policy, handle, evidence).map(([finding, text, action, unused]): KeyFinding => ({
      key: id,
      finding,
      text: `key "${id}" ${text}`,
      action,
      file: source.file,
      line: source.line,
      ...(unused === undefined ? {} : { unused }),
    }))
  })
}

type Said = readonly [kind: KeyFindingKind, text: string, action: string, unused?: readonly string[]]

function findingsOf(policy: PolicySet, handle: KeyHandle, evidence: KeyEvidence): readonly Said[] {
  const reach = evidence.reaches.get(handle.id)
  const live = evidence.atDevin.get(handle.id)
  const said = [...standing(handle, evidence), ...shared(policy, handle, evidence)]
  // The value is another key, so advice about the roles of its service user, or to revoke it, would meet the wrong one.
  if (live?.fault != null) return said
  return [
    ...said,
    ...ofRoles(handle, live?.roles ?? null),
    ...(reach === undefined ? [] : ofPowers(policy, handle, reach, evidence)),
  ]
}

function standing(handle: KeyHandle, { atDevin, nowMs }: KeyEvidence): readonly Said[] {
  const live = atDevin.get(handle.id)
  const said: Said[] = []
  if (live?.fault != null)
    said.push(['quarantined', `is quarantined: it ${live.fault}`, live.action ?? 'Put the declared key in its place.'])
  if (live?.changedFrom != null)
    said.push([
      'service-user-changed',
      `belongs to the service user ${live.serviceUser ?? ''} now, and belonged to ${live.changedFrom} before`,
      `Declare \`service_user: ${live.serviceUser ?? ''}\` if the change was meant; else put the former key back.`,
    ])
  const declared = handle.expiresAtMs === null ? null : endingText(handle.expiresAtMs, nowMs)
  if (declared !== null) said.push(['expires', declared, 'Renew it, and write its new end into `expires`.'])
  const real = live?.endsAtMs == null ? null : endingText(live.endsAtMs, nowMs)
  if (real !== null) said.push(['expires', `${real} at Devin`, 'Rotate it.'])
  return said
}

function shared(policy: PolicySet, { id }: KeyHandle, { atDevin, twins }: KeyEvidence): readonly Said[] {
  const twin = twins.get(id)
  if (twin !== undefined)
    return [
      [
        'shared-value',
        `has the same value as key "${twin}"`,
        'Make a key of its own for each entry, or remove one: one of the two names the wrong secret, or is superfluous.',
      ],
    ]
  const serviceUser = atDevin.get(id)?.serviceUser ?? null
  const others = policy.keys.filter(
    (other) => other.id !== id && serviceUser !== null && atDevin.get(other.id)?.serviceUser === serviceUser,
  )
  const [first] = others
  if (first === undefined) return []
  return [
    [
      'shared-service-user',
      `belongs to the service user ${serviceUser ?? ''}, and so does ${others.map((other) => `"${other.id}"`).join(', ')}`,
      'Make a service user for each entry: Devin gives both keys the same power, whatever the inventory declares.',
    ],
  ]
}

function ofRoles(handle: KeyHandle, roles: readonly KeyRole[] | null): readonly Said[] {
  if (roles === null) return []
  const said: Said[] = []
  const beyond =
    handle.scope === 'organization' ? roles.filter(({ organization }) => organization !== handle.organization) : []
  if (beyond.length > 0)
    said.push([
      'wider-roles',
      `has more roles at Devin than the inventory declares: ${beyond.map(({ role, organization }) => `${role} ${placeOf(organization)}`).join(', ')}`,
      'Take these roles from the service user.',
    ])
  if (roles.length === 0 || roles.some(({ permissions }) => permissions === null)) return said
  const held = new Set(roles.flatMap(({ permissions }) => permissions ?? []))
  const missing = [...handle.permissions].filter((permission) => !held.has(permission)).sort()
  const undeclared = [...held].filter((permission) => !handle.permissions.has(permission)).sort()
  if (missing.length > 0)
    said.push([
      'other-permissions',
      `does not hold at Devin: ${missing.join(', ')}`,
      'Remove them from `permissions`, or add them to its role.',
    ])
  if (undeclared.length > 0)
    said.push([
      'other-permissions',
      `holds at Devin, and the inventory does not declare: ${undeclared.join(', ')}`,
      'Take them from its role. Whoever steals the key has them.',
    ])
  return said
}

function placeOf(organization: string | null): string {
  return organization === null ? 'at enterprise level' : `in ${organization}`
}

function ofPowers(policy: PolicySet, handle: KeyHandle, reach: KeyReach, evidence: KeyEvidence): readonly Said[] {
  const { uses, watched, atDevin } = evidence
  const said: Said[] = []
  const isOwn = reach.ownOperations.size > 0
  if (reach.teams.size === 0 && !isOwn)
    said.push(['no-team', 'serves no right of any team', 'Remove the entry, and revoke the key at Devin.'])
  const use = uses?.get(handle.id)
  const since = atDevin.get(handle.id)?.usedPermissions ?? null
  const used = withAlternatives(policy, handle, [...(use?.permissions ?? []), ...(since ?? [])])
  const isWatched = uses !== null || since !== null
  const isUsed = use !== undefined || used.size > 0
  if (isWatched && !isUsed && watched !== null)
    said.push([
      'never-used',
      `was not used ${watched}`,
      isOwn
        ? 'Keep it if the gateway shall use it for its own calls. Else remove the entry, and revoke the key at Devin.'
        : 'Remove the entry if nobody needs it, and revoke the key at Devin.',
    ])
  const own = ownPermissions(policy, handle, reach)
  const unneeded = [...handle.permissions].filter((each) => !reach.permissions.has(each) && !own.has(each)).sort()
  if (reach.teams.size > 0 && unneeded.length > 0)
    said.push([
      'unneeded-permission',
      `holds what no right of any team needs from it: ${unneeded.join(', ')}`,
      'Take it from the role of the service user, and then from `permissions`.',
    ])
  const unused = [...handle.permissions]
    .filter((each) => !used.has(each) && !own.has(each) && !unneeded.includes(each))
    .sort()
  if (isWatched && isUsed && unused.length > 0 && watched !== null)
    said.push([
      'unused-permission',
      `holds what was not used ${watched}: ${unused.join(', ')}`,
      'Take it from the role of the service user, and then from `permissions`, if nobody will need it.',
      unused,
    ])
  const only = onlyOrganization(handle, reach, use, isOwn)
  if (only !== null) said.push(['organization-key', only.text(watched ?? ''), only.action])
  return said
}

/** With the other names of operations whose permission was used: nobody knows which of them Devin asks for. */
function withAlternatives({ catalogue }: PolicySet, handle: KeyHandle, used: readonly string[]): ReadonlySet<string> {
  const found = new Set(used)
  for (const operation of catalogue.operations)
    if (operation.permission !== null && used.includes(operation.permission))
      for (const name of throughOf(handle, operation, [], catalogue.permissions)) found.add(name)
  return found
}

/** Of an enterprise key that works in one organization only. */
function onlyOrganization(
  { scope }: KeyHandle,
  reach: KeyReach,
  use: KeyUse | undefined,
  isOwn: boolean,
): { readonly text: (watched: string) => string; readonly action: string } | null {
  if (scope !== 'enterprise' || isOwn) return null
  const actionFor = (organization: string): string =>
    `Make a service user of ${organization} with these permissions in its place: an enterprise key reaches every organization.`
  const [allowed, ...others] = [...reach.organizations]
  if (!reach.isEnterprise && allowed !== undefined && others.length === 0 && allowed !== 'any')
    return {
      text: () => `could be an organization key: no right needs it outside ${allowed}`,
      action: actionFor(allowed),
    }
  const [touched, ...more] = [...(use?.organizations ?? [])]
  if (use !== undefined && !use.isEnterprise && touched !== undefined && more.length === 0)
    return {
      text: (watched) => `could be an organization key: it served ${touched} alone ${watched}`,
      action: actionFor(touched),
    }
  return null
}
