// The inventories of keys, and the rotations of keys, of several workers as one. Pure.

import { asObjects, asTexts, distinct, latest } from './merged-json.ts'
import type { UntypedObject as Json } from '../json/untyped.ts'

/** From good to bad; a key is as bad as its worst worker says. */
const states = ['ready', 'rejected', 'set-aside', 'unresolved', 'expired', 'quarantined', 'blocked']

/**
 * One row a key, in the order of the first inventory: the row of the worker that says the worst state, with the permissions that no worker
 * has used and the last use of all of them. Takes the answers of `GET /api/keys`.
 */
export function mergeKeys(inventories: readonly unknown[]): readonly Json[] {
  return distinct(inventories.flatMap(asObjects), ['id'], (known, key) => ({
    ...(rankOf(key) > rankOf(known) ? key : known),
    unused_permissions: asTexts(known['unused_permissions']).filter((permission) =>
      asTexts(key['unused_permissions']).includes(permission),
    ),
    last_used_at: latest([known, key], 'last_used_at'),
  }))
}

function rankOf(key: Json): number {
  return states.indexOf(String(key['state']))
}

/**
 * One row a key: that of the worker that runs its rotation, else of whoever says it; workers share the journals. Takes the answers of
 * `GET /api/rotations`.
 */
export function mergeRotations(lists: readonly unknown[]): readonly Json[] {
  return distinct(lists.flatMap(asObjects), ['key'], (known, each) => (each['state'] === 'running' ? each : known))
}
