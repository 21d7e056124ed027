// Who a key is, compared with what the inventory says; and which listed key is ours.

import { describe, expect, test } from 'vitest'
import { certainlyOurs, endOfServiceUser, listedKeys } from '../../../src/keys/identity/account.ts'
import { identityFault, identityOf } from '../../../src/keys/identity/self.ts'
import { enterpriseKeyOf, keyOf } from '../../support/policies.ts'

const serviceUser = (changes: Record<string, unknown> = {}) => ({
  principal_type: 'service_user',
  service_user_id: 'service-user-1',
  service_user_name: 'Runner',
  org_id: 'org-a',
  ...changes,
})
const { org_id: _left, ...withoutOrganization } = serviceUser()
const person = { principal_type: 'pat_user', user_id: 'email|ann', user_name: 'Ann', org_id: 'org-a' }

describe('the answer of /v3/self', () => {
  test.each([
    ['a service user', serviceUser(), { serviceUser: 'service-user-1', name: 'Runner', organization: 'org-a' }],
    ['one of the enterprise', serviceUser({ org_id: null }), { serviceUser: 'service-user-1', organization: null }],
    ['one that leaves org_id out', withoutOrganization, null],
    ['a person', person, { principal: 'pat_user', serviceUser: null, name: 'Ann' }],
    ['another kind', { principal_type: 'devin_brain', org_id: null }, { principal: 'devin_brain', serviceUser: null }],
    ['a service user without id', serviceUser({ service_user_id: undefined }), null],
    ['an id that is no text', serviceUser({ service_user_id: 7 }), null],
    ['an empty id', serviceUser({ service_user_id: '' }), null],
    ['an organization that is no text', serviceUser({ org_id: 7 }), null],
    ['an empty organization', serviceUser({ org_id: '' }), null],
    ['a list', { items: [] }, null],
    ['nothing', null, null],
    ['a text', 'service_user', null],
  ])('%s', (_name, value, expected) => {
    const found = identityOf(value)
    if (expected === null) expect(found).toBeNull()
    else expect(found).toMatchObject(expected)
  })

  test('never keeps a name that holds a key', () => {
    expect(identityOf(serviceUser({ service_user_name: 'Runner cog_abcdef' }))?.name).toBeNull()
  })
})

describe('an inventory entry and who the key is', () => {
  const runner = keyOf('runner')
  const all = enterpriseKeyOf('all')
  test.each([
    ['the declared organization', runner, serviceUser(), null],
    ['enterprise scope', all, serviceUser({ org_id: null }), null],
    ['the declared service user', keyOf('x', { serviceUser: 'service-user-1' }), serviceUser(), null],
    ['its name', keyOf('x', { serviceUser: 'Runner' }), serviceUser(), null],
    ['another service user', keyOf('x', { serviceUser: 'service-user-2' }), serviceUser(), 'service-user'],
    ['another name', keyOf('x', { serviceUser: 'Walker' }), serviceUser(), 'service-user'],
    [
      'a service user that is called like the id',
      keyOf('x', { serviceUser: 'service-user-2' }),
      serviceUser({ service_user_name: 'service-user-2' }),
      'service-user',
    ],
    ['another organization', runner, serviceUser({ org_id: 'org-b' }), 'organization'],
    ['one that only letters tell apart', runner, serviceUser({ org_id: 'ORG-A' }), 'organization'],
    ['enterprise scope instead of an organization', runner, serviceUser({ org_id: null }), 'scope'],
    ['an organization instead of enterprise scope', all, serviceUser(), 'scope'],
    ['the token of a person', runner, person, 'personal-token'],
    ['the token of a person, of the enterprise', all, { ...person, org_id: null }, 'personal-token'],
    [
      'a credential of another kind',
      runner,
      { principal_type: 'windsurf_session', org_id: 'org-a' },
      'no-service-user',
    ],
  ])('%s', (_name, handle, answer, kind) => {
    const identity = identityOf(answer)
    if (identity === null) throw new Error('no identity')
    const fault = identityFault(handle, identity)
    expect(fault?.kind ?? null).toBe(kind)
    // Each says what to do.
    if (fault !== null) expect(fault.action).toMatch(/^[A-Z].*\.$/)
  })
})

describe('the key of a list that is ours', () => {
  const usedAtMs = 1_800_000_000_000
  const listed = (...keys: Record<string, unknown>[]) => ({
    items: keys.map((key) => ({ expires_at: 2_000_000_000, last_used_at: null, revoked_at: null, ...key })),
    has_next_page: false,
  })
  const justNow = usedAtMs / 1000
  test.each([
    ['the only active one', listed({}), 2_000_000_000_000],
    ['the only active one beside revoked ones', listed({ revoked_at: 5 }, { expires_at: 7, is_active: true }), 7000],
    ['the only one that was ever used', listed({}, { last_used_at: justNow, expires_at: 9 }), 9000],
    ['none: two were used just now', listed({ last_used_at: justNow }, { last_used_at: justNow + 3 }), null],
    [
      'none: another was used, and ours may be noted late',
      listed({ last_used_at: 5 }, { last_used_at: justNow }),
      null,
    ],
    ['none: nobody was used', listed({}, {}), null],
    ['none: all are revoked', listed({ revoked_at: 5 }), null],
    ['none: the list goes on', { ...listed({}), has_next_page: true }, null],
    ['none: no list', {}, null],
  ])('%s', (_name, value, endsAtMs) => {
    const keys = listedKeys(value)
    expect(keys === null ? null : (certainlyOurs(keys, usedAtMs)?.endsAtMs ?? null)).toBe(endsAtMs)
  })

  test('its service user may end too', () => {
    expect(endOfServiceUser({ expires_at: 5 })).toBe(5000)
    expect(endOfServiceUser({ expires_at: null })).toBeNull()
    expect(endOfServiceUser({})).toBeNull()
  })
})
