// Stage, last of all: the current value of the key that was chosen, or why there is none.

import type { Keyring, KeyVersion } from '../../../keys/keyring.ts'
import type { BlockList } from '../../../blocks/block-list.ts'
import type { RequestContext } from '../../context.ts'
import { keyMissing, keyUnusable } from '../../refusals/keys.ts'

/** Opens the key and notes what it is used for. Throws `key-unavailable`. */
export function openKey(keyring: Keyring, list: BlockList, context: RequestContext): KeyVersion {
  const { key, facts, requirement } = context.decided
  if (key === null) throw keyMissing(facts.operation, requirement?.organization ?? null)
  const version = keyring.open(key.key)
  if (typeof version === 'string') throw keyUnusable(key.key.id, version, list)
  const { permission } = facts.operation
  keyring.used(
    key.key,
    permission === null ? (requirement?.extra ?? []) : [key.through ?? permission, ...(requirement?.extra ?? [])],
  )
  context.keyVersion = version
  return version
}
