// What a rotation needs of the world around it. Each outside effect goes through one of these.

import type { Secret } from '../secret.ts'
import type { SecretSource } from '../sources/source.ts'
import type { DevinKeys } from './devin-keys.ts'
import type { Rotation } from './rotation.ts'

/** Who uses the values of the key: the requests of this process, and those of other instances. */
export interface KeyFleet {
  /** From now on nobody here takes the value from the source by himself: `tryOut` and `use` say who does. */
  hold(value: Secret): void
  /** A share of the requests uses the value for a while. Null where there are no requests here. */
  tryOut(
    value: Secret,
    signal: AbortSignal,
  ): Promise<{ readonly answered: number; readonly isRejected: boolean } | null>
  /** Resolves when all requests of every instance that is known use this value, and none with another one is under way. */
  use(value: Secret, tell: (text: string) => void, signal: AbortSignal): Promise<void>
  /** What holds when `use` has resolved with the new value, as a sentence. */
  readonly settled: string
  /** Ends what `hold` and `tryOut` have begun. */
  release(): void
}

/** The other instances cannot be reached; that may pass. */
export class FleetAway extends Error {
  override readonly name = 'FleetAway'
}

export interface RotationClock {
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Rejects when the signal says so. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
}

/** A source that can be written. */
export type WritableSource = SecretSource & { readonly write: NonNullable<SecretSource['write']> }

export interface RotationParts {
  readonly source: WritableSource
  readonly devin: DevinKeys
  readonly fleet: KeyFleet
  readonly journal: { write(rotation: Rotation): Promise<void> }
  readonly clock: RotationClock
  /** A value for the origin of the Devin API; from now on the leak guard knows it. */
  readonly secretOf: (text: string) => Secret
  /** Of the Devin API, to which values are bound. */
  readonly origin: string
  /** Resolves with whether the entry is on the disk. */
  readonly audit: (event: string, details: Readonly<Record<string, unknown>>) => Promise<boolean>
  /** What is waited for, as a sentence. */
  readonly tell: (text: string) => void
  /** The rotation as it stands, after each step. */
  readonly onStep: (rotation: Rotation) => void
  /** Stops between two effects. */
  readonly signal: AbortSignal
}
