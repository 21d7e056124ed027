// A service-user key: its name and permissions. Its value is a Secret and is kept in the keyring only.

import type { SecretReference } from '../config/secret-schema.ts'

export interface KeyHandle {
  readonly id: string
  readonly scope: 'organization' | 'enterprise'
  /** The one organization of an organization key; null for an enterprise key. */
  readonly organization: string | null
  readonly permissions: ReadonlySet<string>
  /** Organizations that an enterprise key may serve where no organization key suffices. */
  readonly serves: 'none' | 'all' | ReadonlySet<string>
  readonly secret: SecretReference
  /** Id, or name, of the service user that the key must belong to; null where the inventory does not say. */
  readonly serviceUser: string | null
  /** Declared end of life, milliseconds since the epoch, or null. */
  readonly expiresAtMs: number | null
  /** Whether uses that did not pass through the gateway are looked for. */
  readonly watch: boolean
  /** Null: it is rotated by hand. */
  readonly rotate: KeyRotation | null
  readonly source: { readonly file: string; readonly line: number }
}

/** How a key is rotated by itself, milliseconds. */
export interface KeyRotation {
  /** How old it may become. */
  readonly everyMs: number
  /** When a new key ends at Devin, counted from its creation; null: never. */
  readonly lifetimeMs: number | null
  /** How long instances that nobody knows of may take to read the source again; null: as the source says. */
  readonly settleMs: number | null
}

/** Whether two handles of one id stand for the same key: for the same place, with a value from the same source. */
export function isSameKey(a: KeyHandle, b: KeyHandle): boolean {
  return (
    a === b ||
    (a.scope === b.scope && a.organization === b.organization && JSON.stringify(a.secret) === JSON.stringify(b.secret))
  )
}
