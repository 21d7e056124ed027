// What a rotation would do, and why it may not begin: everything that can be known before anything is changed.

import { randomBytes } from 'node:crypto'
import type { Operation } from '../../catalogue/operation.ts'
import type { PermissionModel } from '../../catalogue/permissions.ts'
import { messageOf } from '../../config/values/file-errors.ts'
import type { KeyHandle } from '../key.ts'
import type { Secret } from '../secret.ts'
import { selectKey } from '../select.ts'
import { SourceFault, type SecretSource } from '../sources/source.ts'
import { valueFault } from '../value-fault.ts'
import { DevinFault, rotationOperations, type DevinIdentity, type DevinKey, type DevinKeys } from './devin-keys.ts'
import type { WritableSource } from './parts.ts'
import { canUndo, fingerprintOf, isOver, orUndo, type Rotation } from './rotation.ts'

export interface PrepareParts {
  readonly handle: KeyHandle
  /** The whole inventory. */
  readonly keys: readonly KeyHandle[]
  readonly operation: (id: string) => Operation | null
  readonly permissions: PermissionModel
  readonly source: SecretSource | null
  /** Devin, with the key that rotates. */
  readonly devin: (rotating: KeyHandle) => DevinKeys
  /** The value of another key that is in use, where there is one. */
  readonly valueInUse: (key: string) => Secret | null
  /** Why a key cannot be used now; null where it can. */
  readonly unusable: (handle: KeyHandle) => string | null
  readonly secretOf: (text: string) => Secret
  /** The rotation before; null where there was none. */
  readonly latest: Rotation | null
  /** The API key that is in use, as an operator says. */
  readonly oldApiKey: string | null
  readonly signal: AbortSignal
}

export interface RotationPlan {
  readonly key: string
  readonly place: string
  /** Null for what is not known. */
  readonly rotating: KeyHandle | null
  readonly identity: DevinIdentity | null
  readonly old: DevinKey | null
  readonly source: WritableSource | null
  readonly value: Secret | null
  /** Why it may not begin, as sentences; empty when it may. */
  readonly refusals: readonly string[]
}

/** Looks at everything, and asks Devin what it can. Changes nothing. */
export async function prepareRotation(parts: PrepareParts): Promise<RotationPlan> {
  const { handle, source, latest, signal, secretOf } = parts
  const refusals: string[] = []
  const refuse = (text: string): null => {
    refusals.push(text)
    return null
  }
  const place = source?.place ?? 'a source that cannot be asked here'
  if (latest !== null && !isOver(latest))
    refuse(`its rotation ${latest.id} is not over: finish it with --resume${orUndo(latest.phase, canUndo(latest))}`)
  if (source !== null && source.write === null)
    refuse(`${place} cannot be written: keep the value in a file or a vault, so that the new one can be put there`)
  const chosen = chooseRotating(parts)
  const rotating = typeof chosen === 'string' ? refuse(chosen) : chosen
  const value = source === null ? refuse('its source cannot be asked here') : await read(source)
  const twin =
    value === null ? undefined : parts.keys.find(({ id }) => id !== handle.id && parts.valueInUse(id)?.equals(value))
  if (twin !== undefined)
    refuse(
      `key "${twin.id}" has the same value, and would be left with a revoked one: give each entry a key of its own`,
    )
  const devin = rotating === null ? null : parts.devin(rotating)
  const identity = value === null ? null : await whoIs(value)
  const old = devin === null || identity === null || value === null ? null : await inUse(devin, identity, value)
  return {
    key: handle.id,
    place,
    rotating,
    identity,
    old,
    source: source !== null && isWritable(source) ? source : null,
    value,
    refusals,
  }

  async function read(from: SecretSource): Promise<Secret | null> {
    try {
      const { text } = await from.read(signal)
      const fault = valueFault(text)
      return fault === null ? secretOf(text) : refuse(`${place} does not hold a service-user key: ${fault}`)
    } catch (error) {
      return refuse(error instanceof SourceFault ? error.message : `${place} cannot be read`)
    }
  }

  async function whoIs(secret: Secret): Promise<DevinIdentity | null> {
    // Asking with the key itself needs no other key.
    const asking = parts.devin(rotating ?? handle)
    try {
      const found = await asking.self(secret, signal)
      const declared = handle.serviceUser
      if (declared !== null && declared !== found.serviceUser && declared !== found.name)
        return refuse(
          `its value is a key of the service user ${found.name}, and the inventory says ${declared}: put the right value into ${place} first`,
        )
      if (found.organization === handle.organization) return found
      const where = (organization: string | null): string => (organization === null ? 'the enterprise' : organization)
      return refuse(
        `its value is a key of ${where(found.organization)}, and the inventory says ${where(handle.organization)}: put the right value into ${place} first`,
      )
    } catch (error) {
      const isRejected = error instanceof DevinFault && error.kind === 'rejected'
      return refuse(
        isRejected
          ? `Devin rejects the value that ${place} gives, so its service user cannot be found: put a value that works there first`
          : messageOf(error),
      )
    }
  }

  async function inUse(
    from: DevinKeys,
    { serviceUser, name }: DevinIdentity,
    secret: Secret,
  ): Promise<DevinKey | null> {
    try {
      const active = await from.active(serviceUser, signal)
      const found = certain(active, secret, parts)
      if (found !== null) return found
      const list = active.map(({ id, name: of, createdAtMs, lastUsedAtMs }) => {
        const used = lastUsedAtMs === null ? 'never used' : `last used ${dayOf(lastUsedAtMs)}`
        return `${id} ("${of}", made ${dayOf(createdAtMs)}, ${used})`
      })
      return refuse(
        parts.oldApiKey === null
          ? `the service user ${name} has ${active.length} active keys, and Devin does not say which of them is in use: revoke those that are not, or name the one that is with --old-key: ${list.join('; ')}`
          : `the service user ${name} has no active key ${parts.oldApiKey}; there are ${list.join('; ')}`,
      )
    } catch (error) {
      return refuse(messageOf(error))
    }
  }
}

/** The least powerful key that may manage keys, never the key itself; or why there is none, as a sentence. */
export function chooseRotating({
  handle,
  keys,
  operation,
  permissions,
  unusable,
}: Pick<PrepareParts, 'handle' | 'keys' | 'operation' | 'permissions' | 'unusable'>): KeyHandle | string {
  const others = keys.filter(({ id }) => id !== handle.id)
  const [first, ...rest] = rotationOperations.map((id) => {
    const found = operation(id)
    return found === null ? null : selectKey(others, { operation: found, organization: null, extra: [] }, permissions)
  })
  if (first === null || first === undefined || rest.some((choice) => choice?.key.id !== first.key.id))
    return handle.permissions.has('ManageAccountServiceUsers')
      ? 'no other enterprise key holds the permission ManageAccountServiceUsers, and a key does not rotate itself: add another one for this purpose to the inventory'
      : 'no enterprise key of the inventory holds the permission ManageAccountServiceUsers: add one for this purpose, with this permission alone'
  const why = unusable(first.key)
  return why === null ? first.key : `key "${first.key.id}", which would rotate it, cannot be used: ${why}`
}

/** The rotation that a plan describes, before its first step; null for a plan that is refused. */
export function newRotation(
  plan: RotationPlan,
  { expiresAtMs, rotate, source: { file, line } }: KeyHandle,
  latest: Rotation | null,
  by: string,
  nowMs: number,
): Rotation | null {
  const { key, identity, old, refusals, rotating, source, value } = plan
  if (refusals.length > 0 || !identity || !old || !rotating || !source || !value) return null
  const id = `${new Date(nowMs).toISOString().slice(0, 10).replaceAll('-', '')}-${randomBytes(4).toString('hex')}`
  const texts = [
    `${old.id} of ${identity.name} is in use; key "${rotating.id}" rotates it`,
    ...(expiresAtMs === null
      ? []
      : [`"expires" at ${file}:${line} speaks of the old key: write there when the new one ends, or remove it`]),
  ]
  return {
    id,
    key,
    serviceUser: identity.serviceUser,
    by,
    beganAtMs: nowMs,
    endedAtMs: null,
    phase: 'creating',
    old: { apiKeyId: old.id, fingerprint: fingerprintOf(value, { id }) },
    created: [],
    fresh: null,
    lifetimeMs: rotate?.lifetimeMs ?? null,
    reason: null,
    fault: null,
    failures: latest?.phase === 'undone' ? latest.failures : 0,
    notes: texts.map((text) => ({ atMs: nowMs, text })),
  }
}

/** The API key that a value belongs to, where that is beyond doubt: a wrong guess would revoke a key that somebody uses. */
function certain(active: readonly DevinKey[], value: Secret, { latest, oldApiKey }: PrepareParts): DevinKey | null {
  if (oldApiKey !== null) return active.find(({ id }) => id === oldApiKey) ?? null
  const known = latest?.created.find(({ fingerprint }) => fingerprint === fingerprintOf(value, latest))?.apiKeyId
  const isOld = latest?.old.fingerprint === (latest === null ? null : fingerprintOf(value, latest))
  const named = known ?? (isOld ? latest?.old.apiKeyId : undefined)
  const byJournal = active.find(({ id }) => id === named)
  return byJournal ?? (active.length === 1 ? (active[0] ?? null) : null)
}

function isWritable(source: SecretSource): source is WritableSource {
  return source.write !== null
}

function dayOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10)
}
