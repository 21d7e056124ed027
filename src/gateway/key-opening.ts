// The current value of the key that was chosen for a request, or why there is none. Used by admission.ts, last of all.

import type { Operation } from '../catalogue/operation.ts'
import type { Keyring, KeyVersion } from '../keys/keyring.ts'
import type { Evaluation } from '../policy/evaluate.ts'
import { Problem } from '../problems.ts'

/** Opens the key and notes what it is used for. Throws `key-unavailable`. */
export function openKey(keyring: Keyring, { key, facts, requirement }: Evaluation): KeyVersion {
  if (key === null) throw keyMissing(facts.operation, requirement?.organization ?? null)
  const version = keyring.open(key.key)
  if (version === 'set-aside') throw keySetAside(key.key.id)
  if (version === 'expired') throw keyExpired(key.key.id)
  if (version === 'replaced') throw keyReplaced()
  const { permission } = facts.operation
  keyring.used(
    key.key,
    permission === null ? (requirement?.extra ?? []) : [key.through ?? permission, ...(requirement?.extra ?? [])],
  )
  return version
}

/** No key of the inventory will do. */
export function keyMissing({ id, scope }: Operation, organization: string | null): Problem {
  const where = scope === 'enterprise' ? 'at enterprise scope' : `for organization ${organization ?? 'of the caller'}`
  return new Problem(
    'key-unavailable',
    `The policy allows ${id}, and no service-user key ${where} holds what it needs. The operator has to add one to the inventory.`,
    { reason: 'key-missing' },
  )
}

/** The key that was chosen rests. */
function keySetAside(id: string): Problem {
  return new Problem(
    'key-unavailable',
    `The key ${id} was rejected by the Devin API several times and is set aside; no stronger key takes its place. The operator has to replace it.`,
    { reason: 'key-set-aside', fields: { 'retry-after': '60' } },
  )
}

/** The key that was chosen has ended, by the inventory. */
function keyExpired(id: string): Problem {
  return new Problem(
    'key-unavailable',
    `The key ${id} has ended, by what the inventory says of it; no stronger key takes its place. The operator has to renew it and to correct \`expires\`.`,
    { reason: 'key-expired' },
  )
}

/** Another key has its id by now. */
function keyReplaced(): Problem {
  return new Problem(
    'key-unavailable',
    'The inventory of keys was changed while this request was under way. Send it again.',
    {
      reason: 'key-replaced',
      fields: { 'retry-after': '1' },
    },
  )
}
