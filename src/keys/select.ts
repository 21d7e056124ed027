// Which service-user key serves a call: the least powerful one that suffices. Pure.

import type { Operation } from '../catalogue/operation.ts'
import type { PermissionModel } from '../catalogue/permissions.ts'
import type { KeyHandle } from './key.ts'

/** The right to impersonate: a key without it is preferred unless the request needs it. */
const impersonation = 'ImpersonateOrgSessions'

/** Requirements on a key. */
export interface Requirement {
  readonly operation: Operation
  /** The organization in the path; for operations of scope `any` the caller's default organization. */
  readonly organization: string | null
  /** Permissions that the body asks for besides the operation's own. */
  readonly extra: readonly string[]
}

/** How the chosen key comes to hold the operation's permission. */
export type KeyBasis = 'exact' | 'inherited' | 'alternative' | 'scope'

export interface KeyChoice {
  readonly key: KeyHandle
  readonly basis: KeyBasis
  /** The permission of the key that satisfies; null when the operation demands none. */
  readonly through: string | null
}

/**
 * Picks the key: exact and inherited permissions before alternative names, organization scope before enterprise,
 * without the right to impersonate before with (unless it is asked for), then fewest permissions, then id; so the
 * choice never depends on the order of the file. Null when no key suffices.
 */
export function selectKey(
  keys: readonly KeyHandle[],
  need: Requirement,
  permissions: PermissionModel,
): KeyChoice | null {
  let best: KeyChoice | null = null
  for (const key of keys) {
    const choice = qualify(key, need, permissions)
    if (choice !== null && (best === null || compare(choice, best, need) < 0)) best = choice
  }
  return best
}

function qualify(key: KeyHandle, need: Requirement, permissions: PermissionModel): KeyChoice | null {
  if (!reaches(key, need)) return null
  if (!need.extra.every((permission) => permissionHeld(key, permission, permissions) !== null)) return null
  const { permission, alternatives } = need.operation
  if (permission === null) return { key, basis: 'scope', through: null }
  const held = permissionHeld(key, permission, permissions)
  if (held !== null) return { key, ...held }
  for (const alternative of alternatives) {
    const through = permissionHeld(key, alternative, permissions)?.through
    if (through !== undefined) return { key, basis: 'alternative', through }
  }
  return null
}

/** Whether the key's scope and organization let it serve at all, whatever its permissions. */
function reaches(key: KeyHandle, { operation, organization }: Requirement): boolean {
  if (operation.scope === 'enterprise') return key.scope === 'enterprise'
  if (organization === null) return operation.scope === 'any' && key.scope === 'enterprise'
  if (key.scope === 'organization') return key.organization === organization
  // An operation without any permission is served by keys of its own scope only: nothing can be inherited.
  if (operation.scope === 'organization' && operation.permission === null) return false
  return key.serves === 'all' || (key.serves !== 'none' && key.serves.has(organization))
}

function permissionHeld(
  key: KeyHandle,
  permission: string,
  permissions: PermissionModel,
): { basis: 'exact' | 'inherited'; through: string } | null {
  if (key.permissions.has(permission)) return { basis: 'exact', through: permission }
  if (key.scope !== 'enterprise') return null
  const through = permissions.impliedBy(permission).find((name) => key.permissions.has(name))
  return through === undefined ? null : { basis: 'inherited', through }
}

function compare(a: KeyChoice, b: KeyChoice, need: Requirement): number {
  const otherName = ({ basis }: KeyChoice): number => (basis === 'alternative' ? 1 : 0)
  const enterprise = ({ key }: KeyChoice): number => (key.scope === 'organization' ? 0 : 1)
  const impersonates = ({ key }: KeyChoice): number =>
    key.permissions.has(impersonation) && !need.extra.includes(impersonation) ? 1 : 0
  return (
    otherName(a) - otherName(b) ||
    enterprise(a) - enterprise(b) ||
    impersonates(a) - impersonates(b) ||
    a.key.permissions.size - b.key.permissions.size ||
    (a.key.id < b.key.id ? -1 : 1)
  )
}

/** The keys that can reach one organization, and what was chosen among them. */
interface Candidates {
  readonly keys: KeyHandle[]
  /** By the operation's index. */
  readonly plain: (KeyChoice | null | undefined)[]
  /** By index and the permissions that bodies asked for besides. */
  readonly withExtra: Map<string, KeyChoice | null>
}

/** The keys by the organizations they can reach, so that a choice is looked up and not searched. */
export function createKeySelector(
  keys: readonly KeyHandle[],
  permissions: PermissionModel,
): (need: Requirement) => KeyChoice | null {
  const enterprise = keys.filter((key) => key.scope === 'enterprise')
  const newCandidates = (own: readonly KeyHandle[]): Candidates => ({
    keys: [...enterprise, ...own],
    plain: [],
    withExtra: new Map(),
  })
  const ownKeys = new Map<string, KeyHandle[]>()
  for (const key of keys) {
    if (key.organization === null) continue
    const own = ownKeys.get(key.organization)
    if (own === undefined) ownKeys.set(key.organization, [key])
    else own.push(key)
  }
  const fences = enterprise.flatMap(({ serves }) => (typeof serves === 'string' ? [] : [serves]))
  const named = new Map<string, Candidates>()
  // Organizations that no key names are all alike: only keys that serve every organization reach them. Callers choose
  // organization ids, so remembering each would let them fill the memory.
  const unnamed = newCandidates([])
  const none = newCandidates([])
  const candidatesFor = (organization: string): Candidates => {
    const known = named.get(organization)
    if (known !== undefined) return known
    const own = ownKeys.get(organization)
    if (own === undefined && !fences.some((served) => served.has(organization))) return unnamed
    const candidates = newCandidates(own ?? [])
    named.set(organization, candidates)
    return candidates
  }
  return (need) => {
    const { operation, organization, extra } = need
    const candidates = organization === null ? none : candidatesFor(organization)
    if (extra.length === 0) {
      const known = candidates.plain[operation.index]
      return known === undefined
        ? (candidates.plain[operation.index] = selectKey(candidates.keys, need, permissions))
        : known
    }
    const memo = `${operation.index} ${extra.join(' ')}`
    const known = candidates.withExtra.get(memo)
    if (known !== undefined) return known
    const choice = selectKey(candidates.keys, need, permissions)
    candidates.withExtra.set(memo, choice)
    return choice
  }
}

/**
 * The permissions of a key that a call with it may need: that of the operation and its alternative names, or what stands for them,
 * and those of the body. Where the API reference contradicts itself, nobody knows which name Devin asks for.
 */
export function throughOf(
  key: KeyHandle,
  operation: Operation,
  extra: readonly string[],
  permissions: PermissionModel,
): readonly string[] {
  const names = operation.permission === null ? [] : [operation.permission, ...operation.alternatives]
  return [...names, ...extra].flatMap((name) => permissionHeld(key, name, permissions)?.through ?? [])
}
