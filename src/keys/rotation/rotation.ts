// What one rotation of a key has done so far: the content of its journal, and what can go wrong. Never the value of a key.

import type { Secret } from '../secret.ts'

/**
 * What is to be done next; each is written down before it begins, and can be begun again. `creating`: a key at Devin.
 * `writing`: its value to the source. `trying`: a share of the requests. `settling`: all requests, on every instance.
 * `revoking`: the old key, which cannot be undone. `undoing`: back to the old key.
 */
export type RotationPhase = 'creating' | 'writing' | 'trying' | 'settling' | 'revoking' | 'undoing' | 'done' | 'undone'

/** A key at Devin, and by what its value is recognised. */
export interface KnownKey {
  readonly apiKeyId: string
  readonly fingerprint: string
}

/** A key that this rotation has created. */
export interface CreatedKey extends KnownKey {
  /** The old value, which only the value of this key opens; null once the old key may not come back. */
  readonly sealedOld: string | null
}

/** One thing that was done, as a sentence. */
export interface RotationNote {
  readonly atMs: number
  readonly text: string
}

export interface Rotation {
  /** Part of the names of the keys that it creates. */
  readonly id: string
  /** Of the inventory. */
  readonly key: string
  readonly serviceUser: string
  readonly by: string
  readonly beganAtMs: number
  readonly endedAtMs: number | null
  readonly phase: RotationPhase
  readonly old: KnownKey
  /** Whose values the source may have been given, the latest last. */
  readonly created: readonly CreatedKey[]
  /** The one of them that the source was seen to give. */
  readonly fresh: string | null
  /** When the new keys end at Devin, counted from their creation; null: never. */
  readonly lifetimeMs: number | null
  /** Why it goes back; null where somebody asked for it, and while it does not. */
  readonly reason: string | null
  /** Why it stopped; null while it runs. */
  readonly fault: { readonly text: string; readonly atMs: number } | null
  /** How often in a row it has stopped. */
  readonly failures: number
  readonly notes: readonly RotationNote[]
}

/** Whether nothing is left to do. */
export function isOver({ phase }: Pick<Rotation, 'phase'>): boolean {
  return phase === 'done' || phase === 'undone'
}

/**
 * Whether the old key may come back. Once Devin may have been asked to revoke it, it may end at any time, however well it works
 * now: a request that nobody waits for any more can still arrive.
 */
export function canGoBack({ phase, created }: Pick<Rotation, 'phase' | 'created'>): boolean {
  return phase !== 'revoking' && created.every(({ sealedOld }) => sealedOld !== null)
}

/** Whether somebody may ask to go back to the old key. */
export function canUndo(rotation: Pick<Rotation, 'phase' | 'created'>): boolean {
  return !isOver(rotation) && rotation.phase !== 'undoing' && canGoBack(rotation)
}

/** What follows the advice to resume a rotation that has stopped: whether it can be undone instead. */
export function orUndo(phase: RotationPhase, isPossible: boolean): string {
  if (isPossible) return ', or go back with --undo'
  return phase === 'undoing'
    ? ': it is going back to the old key'
    : ': its old key is being revoked, so there is no way back'
}

/** The beginning of the names at Devin of all keys that a rotation creates. */
export function namesOf({ id }: Pick<Rotation, 'id'>): string {
  return `devin-gateway rotation ${id} `
}

/** Equal for equal values; reveals nothing of a value, and differs from one rotation to the next. */
export function fingerprintOf(value: Secret, { id }: Pick<Rotation, 'id'>): string {
  return value.derive(`devin-gateway: fingerprint of rotation ${id}`).toString('base64url')
}

/** The steps in words, as refusals and plans name them. */
export const stepNames = {
  preparing: 'prepare',
  creating: 'create the new key',
  writing: 'write the new value',
  trying: 'try the new key',
  settling: 'use the new key for all requests',
  revoking: 'revoke the old key',
  undoing: 'go back to the old key',
} as const

export type RotationStep = keyof typeof stepNames

/** Why a step did not succeed. The message names key, source and step, and no value. */
export class RotationFault extends Error {
  override readonly name = 'RotationFault'
  readonly step: RotationStep
  /** True for trouble that may pass by itself. */
  readonly mayPass: boolean
  /** How long to wait at least before it is tried again. */
  readonly waitMs: number

  constructor(
    where: { readonly key: string; readonly place: string; readonly step: RotationStep },
    why: string,
    { mayPass = false, waitMs = 0, cause }: { mayPass?: boolean; waitMs?: number; cause?: unknown } = {},
  ) {
    super(`key "${where.key}", kept in ${where.place}, step "${stepNames[where.step]}": ${why}`, { cause })
    this.step = where.step
    this.mayPass = mayPass
    this.waitMs = waitMs
  }
}
