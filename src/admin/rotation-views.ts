// Rotations as operators see them, in JSON. None holds a value of a key.

import type { RotationPlan } from '../keys/rotation/prepare.ts'
import { canUndo, isOver, stepNames, type RotationPhase } from '../keys/rotation/rotation.ts'
import type { ShownRotation } from '../keys/rotation/asked.ts'
import { isoTime } from './views.ts'

/** One rotation. Times in ISO 8601. */
export interface RotationView {
  readonly id: string
  readonly key: string
  /** `running` here, `stopped` before its end, or over: `done`, `undone`. */
  readonly state: 'running' | 'stopped' | 'done' | 'undone'
  readonly phase: RotationPhase
  /** Whether it may be asked to go back to the old key. */
  readonly can_undo: boolean
  readonly by: string
  readonly began_at: string
  readonly ended_at: string | null
  readonly service_user: string
  readonly old_api_key: string
  readonly new_api_key: string | null
  /** Why it went back by itself. */
  readonly reason: string | null
  /** Why it has stopped. */
  readonly fault: string | null
  readonly waiting: string | null
  readonly steps: readonly { readonly at: string; readonly text: string }[]
}

export function rotationView({ rotation, live, waiting }: ShownRotation): RotationView {
  const { phase, fresh, created } = rotation
  return {
    id: rotation.id,
    key: rotation.key,
    state: phase === 'done' || phase === 'undone' ? phase : live ? 'running' : 'stopped',
    phase,
    can_undo: canUndo(rotation),
    by: rotation.by,
    began_at: isoTime(rotation.beganAtMs) ?? '',
    ended_at: isoTime(rotation.endedAtMs),
    service_user: rotation.serviceUser,
    old_api_key: rotation.old.apiKeyId,
    new_api_key: isOver(rotation) ? (phase === 'done' ? fresh : null) : (fresh ?? created.at(-1)?.apiKeyId ?? null),
    reason: rotation.reason,
    fault: rotation.fault?.text ?? null,
    waiting,
    steps: rotation.notes.map(({ atMs, text }) => ({ at: isoTime(atMs) ?? '', text })),
  }
}

/** What a rotation would do. */
export interface RotationPlanView {
  readonly key: string
  readonly source: string
  readonly service_user: string | null
  readonly old_api_key: string | null
  readonly rotating_key: string | null
  readonly steps: readonly string[]
  /** Why it may not begin; empty when it may. */
  readonly refused: readonly string[]
}

/** `waiting` says what is waited for before the old key is revoked. */
export function planView(plan: RotationPlan, waiting: string): RotationPlanView {
  const { key, identity, old, place, refusals, rotating } = plan
  const user = identity?.name ?? 'the service user'
  const oldKey = old?.id ?? 'the old key'
  return {
    key,
    source: place,
    service_user: identity?.serviceUser ?? null,
    old_api_key: old?.id ?? null,
    rotating_key: rotating?.id ?? null,
    steps: [
      `${stepNames.creating} of ${user} at Devin${rotating === null ? '' : ` with key "${rotating.id}"`}, and ask Devin who it is`,
      `${stepNames.writing} to ${place}, and read it back`,
      `${stepNames.trying} with a share of the requests`,
      stepNames.settling,
      waiting,
      `revoke ${oldKey}`,
    ],
    refused: refusals,
  }
}
