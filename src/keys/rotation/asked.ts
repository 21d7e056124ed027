// What is asked of the rotations of a process, and what is shown of them.

import type { Rotation } from './rotation.ts'

/** What is asked for. */
export interface WantedRotation {
  readonly key: string
  readonly by: string
  readonly oldApiKey?: string | null
  /** How long instances that nobody knows of may take to read the source again; null: as their source says. */
  readonly settleMs?: number | null
}

/** Why a rotation does not begin, one sentence each. */
export class RotationRefused extends Error {
  override readonly name = 'RotationRefused'
  readonly reasons: readonly string[]

  constructor(reasons: readonly string[]) {
    super(reasons.join('\n'))
    this.reasons = reasons
  }
}

/** A rotation as it stands. `live`: it runs here. */
export interface ShownRotation {
  readonly rotation: Rotation
  readonly live: boolean
  /** What it waits for. */
  readonly waiting: string | null
}

/** Why there is nothing to take up. */
export function overText({ id, phase }: Rotation, isBack: boolean): string {
  if (!isBack) return `its latest rotation ${id} is over: there is nothing to take up`
  return phase === 'done'
    ? `its latest rotation ${id} is over and the old key is revoked, which cannot be undone: rotate again`
    : `its latest rotation ${id} was undone already`
}
