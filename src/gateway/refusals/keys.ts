// Refusals for want of a usable key.

import type { BlockList } from '../../blocks/block-list.ts'
import { keyBlocked } from '../../blocks/refusals.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { UnusableKey } from '../../keys/keyring.ts'
import { Problem } from '../../problems.ts'

export function keyMissing({ id, scope }: Operation, organization: string | null): Problem {
  const where = scope === 'enterprise' ? 'at enterprise scope' : `for organization ${organization ?? 'of the caller'}`
  return new Problem(
    'key-unavailable',
    `The policy allows ${id}, and no service-user key ${where} holds what it needs. The operator has to add one to the inventory.`,
    { reason: 'key-missing' },
  )
}

/** Why the chosen key cannot be used now. */
export function keyUnusable(id: string, why: UnusableKey, blocks: BlockList): Problem {
  if (why === 'blocked') return keyBlocked(id, blocks.get('key', id))
  if (why === 'set-aside') return keySetAside(id)
  if (why === 'unresolved') return keyUnresolved(id)
  if (why === 'quarantined') return keyQuarantined(id)
  return why === 'expired' ? keyExpired(id) : keyReplaced()
}

function keySetAside(id: string): Problem {
  return new Problem(
    'key-unavailable',
    `The key ${id} was rejected by the Devin API several times and is set aside; no stronger key takes its place. The operator has to replace it.`,
    { reason: 'key-set-aside', fields: { 'retry-after': '60' } },
  )
}

/** What differs stands where operators see it: it names service users and organizations that are not the caller's. */
function keyQuarantined(id: string): Problem {
  return new Problem(
    'key-unavailable',
    `The key ${id} is quarantined: by the Devin API it is another key than the inventory declares. No stronger key takes its place. The operator sees what differs with "devin-gateway keys" and has to put the declared key in its place.`,
    { reason: 'key-quarantined' },
  )
}

/** The chosen key has expired, by the inventory. */
function keyExpired(id: string): Problem {
  return new Problem(
    'key-unavailable',
    `The key ${id} has expired, by \`expires\` in the inventory; no stronger key takes its place. The operator has to renew the key and change \`expires\`.`,
    { reason: 'key-expired' },
  )
}

/** Its source has given no value since the start. */
function keyUnresolved(id: string): Problem {
  return new Problem(
    'key-unavailable',
    `The value of the key ${id} could not be read yet, because the place where it is kept gives no answer; no stronger key takes its place. The gateway asks again by itself: send the request once more after Retry-After. The operator finds the cause in the log.`,
    { reason: 'key-unresolved', fields: { 'retry-after': '5' } },
  )
}

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
