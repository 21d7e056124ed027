// Where the values of one rotation stand: in the source, and at Devin. Every key is revoked here, and only where the source does not give it.

import { createSealing, type Sealing } from '../../../store/sealing.ts'
import type { Secret } from '../../secret.ts'
import { SourceFault } from '../../sources/source.ts'
import { valueFault } from '../../value-fault.ts'
import { DevinFault } from '../devin-keys.ts'
import { FleetAway, type RotationParts } from '../parts.ts'
import {
  fingerprintOf,
  namesOf,
  RotationFault,
  type CreatedKey,
  type Rotation,
  type RotationStep,
} from '../rotation.ts'

/** What the source gives: the old value, that of a created key, or one that this rotation does not know. */
export type KeptValue =
  | { readonly kind: 'old' | 'foreign'; readonly value: Secret }
  | { readonly kind: 'created'; readonly value: Secret; readonly created: CreatedKey }

/** A new key may not be known everywhere at Devin at once. */
const knownAfterMs = [0, 500, 1_000, 2_000, 5_000]

export class RotationPlace {
  readonly #parts: RotationParts

  constructor(parts: RotationParts) {
    this.#parts = parts
  }

  /** Reads the source. Throws RotationFault. */
  async kept(rotation: Rotation, step: RotationStep): Promise<KeptValue> {
    const { source, signal } = this.#parts
    signal.throwIfAborted()
    const { text } = await source.read(signal).catch((error: unknown) => {
      throw this.fault(rotation, step, error)
    })
    const fault = valueFault(text)
    if (fault !== null)
      throw this.fault(rotation, step, `the source does not hold a service-user key any more: ${fault}`)
    const value = this.#parts.secretOf(text)
    const fingerprint = fingerprintOf(value, rotation)
    const created = rotation.created.find((each) => each.fingerprint === fingerprint)
    if (created !== undefined) return { kind: 'created', value, created }
    return { kind: fingerprint === rotation.old.fingerprint ? 'old' : 'foreign', value }
  }

  /** Puts a value into the source, and reads it back. Throws RotationFault unless the source gives the value. */
  async keep(rotation: Rotation, step: RotationStep, value: Secret): Promise<void> {
    const { origin, source, signal } = this.#parts
    signal.throwIfAborted()
    const failed = await source.write(value.reveal(origin), signal).then(
      () => null,
      (error: unknown) => this.fault(rotation, step, error),
    )
    // A write that failed may have been done all the same.
    const kept = await this.kept(rotation, step).catch((error: unknown) => {
      throw failed ?? error
    })
    if (kept.value.equals(value)) return
    throw failed ?? this.fault(rotation, step, 'the source took the new value and gives another one', true)
  }

  /** Whether a value is accepted as the service user of the rotation. Throws RotationFault where Devin does not say. */
  async works(rotation: Rotation, step: RotationStep, value: Secret): Promise<boolean> {
    const { devin, signal } = this.#parts
    signal.throwIfAborted()
    try {
      return (await devin.self(value, signal)).serviceUser === rotation.serviceUser
    } catch (error) {
      if (error instanceof DevinFault && error.kind === 'rejected') return false
      throw this.fault(rotation, step, error)
    }
  }

  /** Whether a new value is accepted, at once or a little later. Throws RotationFault where Devin does not say. */
  async becomesKnown(rotation: Rotation, step: RotationStep, value: Secret): Promise<boolean> {
    for (const pauseMs of knownAfterMs) {
      if (pauseMs > 0) await this.#parts.clock.sleep(pauseMs, this.#parts.signal)
      if (await this.works(rotation, step, value)) return true
    }
    return false
  }

  /** Whether a new key lives about as long as was asked for: this machine's clock may be wrong, and Devin's counts. */
  async livesLongEnough(rotation: Rotation, step: RotationStep, id: string): Promise<boolean> {
    const { lifetimeMs } = rotation
    if (lifetimeMs === null) return true
    const found = (await this.#active(rotation, step)).find((key) => key.id === id)
    return found !== undefined && (found.expiresAtMs ?? Infinity) - found.createdAtMs > lifetimeMs * 0.9
  }

  /** Revokes the keys that this rotation has created, as their names say, but for those that `spared` holds. */
  async revokeCreated(rotation: Rotation, step: RotationStep, spared: readonly string[]): Promise<void> {
    for (const { id, name } of await this.#active(rotation, step))
      if (name.startsWith(namesOf(rotation)) && !spared.includes(id)) await this.revoke(rotation, step, id)
  }

  /** Revokes one key. Throws RotationFault where the source gives its value. */
  async revoke(rotation: Rotation, step: RotationStep, id: string): Promise<void> {
    const { devin, signal } = this.#parts
    const kept = await this.kept(rotation, step)
    const given = kept.kind === 'created' ? kept.created.apiKeyId : kept.kind === 'old' ? rotation.old.apiKeyId : null
    if (given === id)
      throw this.fault(rotation, step, `the source gives the value of ${id} again, so that key is not revoked`)
    signal.throwIfAborted()
    await devin.revoke(rotation.serviceUser, id, signal).catch((error: unknown) => {
      throw this.fault(rotation, step, error)
    })
  }

  async #active(rotation: Rotation, step: RotationStep) {
    const { devin, signal } = this.#parts
    signal.throwIfAborted()
    return await devin.active(rotation.serviceUser, signal).catch((error: unknown) => {
      throw this.fault(rotation, step, error)
    })
  }

  /** A fault of this rotation, out of whatever went wrong. */
  fault({ key }: Rotation, step: RotationStep, error: unknown, mayPass = false): RotationFault {
    const where = { key, place: this.#parts.source.place, step }
    if (error instanceof RotationFault) return error
    if (typeof error === 'string') return new RotationFault(where, error, { mayPass })
    const text = error instanceof Error ? error.message : 'it failed for a reason that is no error'
    // The place is named already.
    const message = text.startsWith(where.place) ? `the source${text.slice(where.place.length)}` : text
    if (error instanceof SourceFault)
      return new RotationFault(where, message, { mayPass: error.kind === 'unavailable', cause: error })
    if (error instanceof DevinFault) {
      const { kind, waitMs } = error
      return new RotationFault(where, message, {
        mayPass: kind === 'throttled' || kind === 'unavailable',
        waitMs,
        cause: error,
      })
    }
    return new RotationFault(where, message, { mayPass: mayPass || error instanceof FleetAway, cause: error })
  }
}

/** The old value, so that only the new one opens it. */
export function sealOld(old: Secret, fresh: Secret, { id }: Rotation, origin: string): string {
  return sealingBy(fresh)
    .seal(Buffer.from(old.reveal(origin)), id)
    .toString('base64url')
}

/** The old value; null where there is none to be had. */
export function openOld({ sealedOld }: CreatedKey, fresh: Secret, { id }: Rotation): string | null {
  return sealedOld === null
    ? null
    : (sealingBy(fresh).open(Buffer.from(sealedOld, 'base64url'), id)?.toString() ?? null)
}

function sealingBy(fresh: Secret): Sealing {
  return createSealing(fresh.derive('devin-gateway: the old value of a rotation'), 'rotation')
}
