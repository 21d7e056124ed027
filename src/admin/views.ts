// The JSON that operators see, built from metadata. No function here is given the value of a key.

export type { BudgetView } from '../budgets/budget-status.ts'
import type { CheckpointsStatus } from '../records/checkpoints/checkpoints.ts'
import type { PolicyStateView } from './console/policy-view.ts'
import type { ShadowCounts } from '../policy/comparison/shadow-counts.ts'
import type { KeyHandle } from '../keys/key.ts'
import type { KeyRole } from '../keys/identity/account.ts'
import type { KeyIdentityStatus } from '../keys/identity/identity-watch.ts'
import type { KeyStatus } from '../keys/keyring.ts'

/** One key of the inventory: names, permissions and times. */
export interface KeyView {
  readonly id: string
  readonly scope: string
  readonly organization: string | null
  readonly serves_organizations: string | readonly string[]
  readonly permissions: readonly string[]
  readonly unused_permissions: readonly string[]
  readonly state: string
  readonly version: number
  readonly loaded_at: string | null
  /** How long ago the key's source last gave the value in use; null where it is not asked regularly. */
  readonly value_age_seconds: number | null
  /** What the source calls the value in use; null where it has no versions. */
  readonly source_version: string | null
  /** Why the source cannot be read at present; null while it can. */
  readonly source_error: string | null
  readonly last_used_at: string | null
  readonly expires_at: string | null
  readonly source: string
  /** The key of the inventory before it that has the same value, or null; absent without a running gateway. */
  readonly same_value_as?: string | null
  /** What was done with the key elsewhere; null where it is not watched, absent without a running gateway. */
  readonly foreign_uses?: readonly ForeignUse[] | null
  /** Who the key is by Devin; absent without a running gateway. */
  readonly identity?: KeyIdentityView
}

/** A use of a key that this gateway did not make, by Devin's audit log. */
export interface ForeignUse {
  readonly time: string
  readonly action: string
  readonly organization: string | null
  /** Null where the audit log does not tell it. */
  readonly address: string | null
  readonly audit_log_id: string
}

export interface KeyIdentityView {
  readonly service_user: string | null
  readonly name: string | null
  readonly organization: string | null
  /** When Devin last said so; null: never. */
  readonly checked_at: string | null
  /** Why the key is quarantined, or null. */
  readonly fault: string | null
  readonly action: string | null
  /** The service user that Devin named before, where it is another one. */
  readonly changed_from: string | null
  /** Why the latest question had no answer. */
  readonly last_error: string | null
  /** When Devin ends the key or its service user, where that is known. */
  readonly ends_at: string | null
  /** Roles of the service user, where a key of the inventory may read them. */
  readonly roles: readonly KeyRole[] | null
}

/** A key that a running gateway uses. */
export function keyView(
  status: KeyStatus,
  found: KeyIdentityStatus,
  foreignUses: readonly ForeignUse[] | null,
): KeyView {
  const view = declaredKeyView(status.handle, status.state)
  return {
    ...view,
    unused_permissions: view.permissions.filter((permission) => !status.usedPermissions.has(permission)),
    version: status.version,
    loaded_at: isoTime(status.loadedAtMs),
    value_age_seconds: status.valueAgeMs === null ? null : Math.round(status.valueAgeMs / 1000),
    source_version: status.sourceVersion,
    source_error: status.sourceFault,
    last_used_at: isoTime(status.lastUsedAtMs),
    same_value_as: status.sameValueAs,
    foreign_uses: foreignUses,
    identity: {
      service_user: found.identity?.serviceUser ?? null,
      name: found.identity?.name ?? null,
      organization: found.identity?.organization ?? null,
      checked_at: isoTime(found.answeredAtMs),
      fault: found.fault?.text ?? null,
      action: found.fault?.action ?? null,
      changed_from: found.changedFrom?.serviceUser ?? null,
      last_error: found.trouble,
      ends_at: isoTime(found.endsAtMs),
      roles: found.roles,
    },
  }
}

/** A key as the inventory declares it, without a running gateway. */
export function declaredKeyView(handle: KeyHandle, state: string): KeyView {
  return {
    id: handle.id,
    scope: handle.scope,
    organization: handle.organization,
    serves_organizations: typeof handle.serves === 'string' ? handle.serves : [...handle.serves].sort(),
    permissions: [...handle.permissions].sort(),
    unused_permissions: [],
    state,
    version: 0,
    loaded_at: null,
    value_age_seconds: null,
    source_version: null,
    source_error: null,
    last_used_at: null,
    expires_at: isoTime(handle.expiresAtMs),
    source: `${handle.source.file}:${handle.source.line}`,
  }
}

export function isoTime(timeMs: number | null): string | null {
  return timeMs === null ? null : new Date(Math.round(timeMs)).toISOString()
}

/** The policies in force and, when a changed set was refused, why. */
export function policiesView(policies: {
  readonly current: { readonly revision: string; readonly teams: readonly unknown[]; readonly keys: readonly unknown[] }
  readonly loadedAtMs: number
  readonly refusal: { readonly atMs: number; readonly diagnostics: readonly string[] } | null
}): unknown {
  const { current, loadedAtMs, refusal } = policies
  return {
    revision: current.revision,
    loaded_at: isoTime(loadedAtMs),
    teams: current.teams.length,
    keys: current.keys.length,
    last_refusal: refusal === null ? null : { at: isoTime(refusal.atMs), diagnostics: refusal.diagnostics },
  }
}

/** The shadow set and, when a changed one was refused, why. */
export function shadowView(shadow: {
  readonly directory: string
  readonly current: { readonly revision: string } | null
  readonly loadedAtMs: number | null
  readonly refusal: { readonly atMs: number; readonly diagnostics: readonly string[] } | null
}) {
  const { directory, current, loadedAtMs, refusal } = shadow
  return {
    directory,
    revision: current?.revision ?? null,
    loaded_at: isoTime(loadedAtMs),
    last_refusal: refusal === null ? null : { at: isoTime(refusal.atMs), diagnostics: refusal.diagnostics },
  }
}

/** What `/api/shadow` answers. */
export type ShadowAnswer = ReturnType<typeof shadowView> & ShadowCounts

/** An issuer and the state of its signing keys. */
export function issuerView(status: {
  readonly issuer: string
  readonly keys: number
  readonly fetchedAtMs: number | null
  readonly lastError: string | null
}): unknown {
  return {
    issuer: status.issuer,
    keys: status.keys,
    fetched_at: isoTime(status.fetchedAtMs),
    last_error: status.lastError,
  }
}

/** The policies in force, as their files say them. They name secrets and hold none. */
export interface PoliciesView extends PolicyStateView {
  /** The shadow set; null where there is none. */
  readonly shadow: unknown
  readonly revision: string
  readonly files: readonly { readonly name: string; readonly text: string }[]
}

/** The result of a purge. */
export interface Purged {
  /** Cached responses that were dropped, on all instances that answered. */
  readonly dropped: number
  readonly instances: number
  /** Instances that did not answer; they cannot serve what they had cached any more. */
  readonly silent: number
  /** False: the shared store is unreachable, and only this instance was purged. */
  readonly everywhere: boolean
}

/** Size of the cache, and its state among the instances that share a store. */
export function cacheView(
  stats: { readonly bytes: number; readonly entries: number },
  group: {
    readonly standing: string
    readonly members: number
    readonly missing: number
    readonly reason: string | null
  } | null,
): unknown {
  const { bytes, entries } = stats
  if (group === null) return { bytes, entries }
  const { standing, members, missing, reason } = group
  return { bytes, entries, group: { standing, members, missing, reason } }
}

/** The shared store, or that there is none. */
export function storeView(
  state: {
    readonly away: boolean
    readonly sinceMs: number
    readonly reason: string | null
    readonly instances: number
  } | null,
): unknown {
  if (state === null) return { kind: 'memory' }
  return {
    kind: 'shared',
    away: state.away,
    since: isoTime(state.sinceMs),
    reason: state.reason,
    instances: state.instances,
  }
}

/** Null where no checkpoints are configured. */
export function checkpointsView(status: CheckpointsStatus | null): unknown {
  if (status === null) return null
  return {
    origin: status.origin,
    key_id: status.keyId,
    key_error: status.keyError,
    places: status.places.map(({ place, waiting, delivered, dropped, error, lastSequence, lastAtMs }) => ({
      place,
      waiting,
      delivered,
      dropped,
      error,
      last_sequence: lastSequence,
      last_at: lastAtMs === null ? null : new Date(lastAtMs).toISOString(),
    })),
  }
}
