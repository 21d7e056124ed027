// What Devin says of a key: who it is, asked with the key itself; and its roles and its end, asked with a key that may read them.

import { certainlyOurs, endOfServiceUser, listedKeys, rolesOf, type KeyAccount } from '../../keys/identity/account.ts'
import type { SelfAnswer } from '../../keys/identity/identity-watch.ts'
import { identityOf, type KeyIdentity } from '../../keys/identity/self.ts'
import type { KeyVersion } from '../../keys/keyring.ts'
import { Problem } from '../../problems.ts'
import type { OwnCalls } from './own-calls.ts'

/** Asks `GET /v3/self` with the key. Never rejects. */
export async function readSelf(calls: Pick<OwnCalls, 'readAs'>, version: KeyVersion): Promise<SelfAnswer> {
  const answer = await calls.readAs('self.get', version)
  if (answer instanceof Problem) return { kind: 'away', why: answer.message }
  const { status, value } = answer
  if (status === 401) return { kind: 'rejected' }
  if (status >= 500) return { kind: 'away', why: `Devin answered ${status}` }
  if (status !== 200) return { kind: 'unclear', why: `Devin answered GET /v3/self with ${status}` }
  const identity = identityOf(value)
  return identity === null
    ? { kind: 'unclear', why: 'Devin answered GET /v3/self in a form that the API does not document' }
    : { kind: 'identity', identity }
}

/** Roles and end of a key; null where no key may read them, or the end is not certain. Never rejects. */
export async function readAccount(
  calls: Pick<OwnCalls, 'read'>,
  { serviceUser }: KeyIdentity,
  usedAtMs: number,
): Promise<KeyAccount> {
  if (serviceUser === null) return { endsAtMs: null, roles: null }
  const parameters = { service_user_id: serviceUser }
  const [list, user] = [
    await calls.read('beta.ent.service-users.api-keys.list', parameters, [], 'keys'),
    await calls.read('ent.members.service-users.get', parameters, [], 'keys'),
  ]
  const found = user === null || user === 'absent' ? null : user.value
  const keys = list === null || list === 'absent' ? null : listedKeys(list.value)
  const ends = [
    keys === null ? null : (certainlyOurs(keys, usedAtMs)?.endsAtMs ?? null),
    found === null ? null : endOfServiceUser(found),
  ].filter((end) => end !== null)
  return { endsAtMs: ends.length === 0 ? null : Math.min(...ends), roles: rolesOf(found) }
}
