// What the callers of a policy set can have each key do: exact, by deciding every cell. Pure.

import { anyOtherOrganization } from '../cells/requests.ts'
import { walkCellsInSteps } from '../cells/walk.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { KeyHandle } from '../../keys/key.ts'
import { throughOf } from '../../keys/select.ts'
import type { PolicySet } from '../model/policy-set.ts'
import type { Steps } from '../model/steps.ts'

/** What one key is chosen for. */
export interface KeyReach {
  readonly teams: Set<string>
  /** Permissions of the key that a right needs. */
  readonly permissions: Set<string>
  /** The organizations that organization operations reach by it; `any` for one that no policy names. */
  readonly organizations: Set<string>
  /** Whether an operation of enterprise scope needs it. */
  isEnterprise: boolean
  /** Operations that the gateway itself reads or writes with it. */
  readonly ownOperations: Set<string>
}

/** By key id; every key of the set has an entry. */
export type KeyReaches = ReadonlyMap<string, KeyReach>

/** What the gateway calls for itself: settlement of budgets, callers' Devin users, rotation, the end of keys, foreign uses. */
const ownOperations = [
  'org.sessions.list',
  'org.sessions.get',
  'ent.sessions.list',
  'ent.sessions.get',
  'org.consumption.daily.sessions.get',
  'ent.consumption.daily.sessions.get',
  'ent.consumption.daily.service-users.get',
  'beta.org.members.users.list',
  'ent.organizations.members.users.list',
  'ent.members.users.list',
  'ent.members.service-users.get',
  'beta.ent.service-users.api-keys.list',
  'beta.ent.service-users.api-keys.create',
  'beta.ent.service-users.api-keys.revoke',
  'ent.audit-logs.list',
]

/** Nothing reached yet. */
export function emptyReaches({ keys }: PolicySet): Map<string, KeyReach> {
  return new Map(
    keys.map(({ id }) => [
      id,
      {
        teams: new Set(),
        permissions: new Set(),
        organizations: new Set(),
        isEnterprise: false,
        ownOperations: new Set(),
      },
    ]),
  )
}

/** Adds what the callers of all teams can have keys do. */
export function* addReach(policy: PolicySet, reaches: KeyReaches): Steps<void> {
  yield* walkCellsInSteps([policy], ({ team: of, request, organizations, rights }) => {
    const [right] = rights
    if (right?.effect !== 'allow' || right.key === null) return
    const { key } = right.key
    const reach = reaches.get(key.id)
    if (reach === undefined) return
    reach.teams.add(of)
    const { operation, members } = request
    const extra = operation.conditional.filter(({ field }) => members.includes(field)).map((each) => each.permission)
    for (const permission of throughOf(key, operation, extra, policy.catalogue.permissions))
      reach.permissions.add(permission)
    if (operation.scope === 'enterprise') reach.isEnterprise = true
    else if (operation.scope === 'organization')
      for (const id of organizations) reach.organizations.add(id === null || id === anyOtherOrganization ? 'any' : id)
  })
}

/** Adds what the gateway itself needs keys for. */
export function addOwnOperations(policy: PolicySet, reaches: KeyReaches): void {
  const places = [...new Set(policy.keys.map(({ organization }) => organization))]
  for (const id of ownOperations) {
    const operation = policy.catalogue.operation(id)
    if (operation === null) continue
    for (const organization of operation.scope === 'enterprise' ? [null] : places) {
      const choice = policy.selectKey({ operation, organization, extra: [] })
      if (choice !== null) reaches.get(choice.key.id)?.ownOperations.add(id)
    }
  }
}

/** Whether permissions serve the gateway's own calls only. */
export function ownPermissions(policy: PolicySet, key: KeyHandle, reach: KeyReach): ReadonlySet<string> {
  const found = new Set<string>()
  for (const id of reach.ownOperations) {
    const operation: Operation | null = policy.catalogue.operation(id)
    if (operation === null) continue
    for (const permission of throughOf(key, operation, [], policy.catalogue.permissions)) found.add(permission)
  }
  return found
}
