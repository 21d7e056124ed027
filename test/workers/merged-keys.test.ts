// What operators see of the keys when several workers use them.

import { expect, test } from 'vitest'
import { mergeKeys } from '../../src/workers/merged-keys.ts'

const permissions = ['ManageOrgSessions', 'ViewOrgSessions']
const key = (state: string, unused: readonly string[], lastUsed: string | null): Record<string, unknown> => ({
  id: 'runner',
  permissions,
  state,
  unused_permissions: unused,
  last_used_at: lastUsed,
})
const merge = (...keys: Record<string, unknown>[]) => mergeKeys(keys.map((each) => [each]))

test('a permission is unused only when no worker has used it, and the last use is the latest one', () => {
  const one = key('ready', ['ManageOrgSessions'], '2026-11-29T10:00:00.000Z')
  const other = key('ready', ['ViewOrgSessions'], '2026-11-29T09:00:00.000Z')
  expect(merge(one, other)).toEqual([key('ready', [], '2026-11-29T10:00:00.000Z')])
  expect(merge(key('ready', permissions, null), one)).toEqual([one])
  expect(merge(key('ready', permissions, null), key('ready', permissions, null))).toEqual([
    key('ready', permissions, null),
  ])
})

test.each([
  ['ready', 'rejected'],
  ['rejected', 'set-aside'],
  ['set-aside', 'expired'],
])('of %s and %s the worse state is shown, whoever says it', (better, worse) => {
  const [one, other] = [key(better, [], null), key(worse, [], null)]
  expect([merge(one, other)[0]?.['state'], merge(other, one)[0]?.['state']]).toEqual([worse, worse])
})

test('keys that only some workers know are kept, in order', () => {
  const inventories = [
    [{ id: 'a' }, { id: 'b' }],
    [{ id: 'c' }, { id: 'a' }],
  ]
  expect(mergeKeys(inventories).map(({ id }) => id)).toEqual(['a', 'b', 'c'])
})
