// Finding a caller's user at Devin: by which list, over pages, remembered how long, and what is not believed.

import { beforeEach, describe, expect, test } from 'vitest'
import { createDevinUsers, type DevinUsers, type MemberCalls } from '../../src/gateway/devin-users.ts'
import type { DevinUser } from '../../src/policy/guardrails/attributes.ts'
import { policyFrom, principalOf } from '../support/policies.ts'

const team = `team: t
members: [{ groups: eng }]
organizations: [org-a, org-b]
grants: [{ id: run, allow: [ManageOrgSessions] }]
`
const key = (text: string): string => `  - { ${text}, secret: { env: K } }\n`
const ofOrganization = key('id: a-reader, scope: organization, organization: org-a, permissions: [ViewOrgMembership]')
const ofEnterprise = key('id: directory, scope: enterprise, permissions: [ManageAccountMembership]')
const policyWith = (...keys: string[]) => policyFrom({ 'team.yaml': team, 'keys.yaml': `keys:\n${keys.join('')}` })
const both = policyWith(ofOrganization, ofEnterprise)
const ada = principalOf({ email: 'ada@corp.example' })

interface Member {
  readonly user_id?: unknown
  readonly email?: unknown
}

let members: readonly Member[]
let asked: string[]
let nowMs: number
let fails: boolean
let users: DevinUsers

/** Two members a page; does not filter by the address, as a loose server would. */
const calls: MemberCalls = {
  read(id, parameters, query) {
    const after = query.find(([name]) => name === 'after')?.[1]
    asked.push(
      [id, parameters['org_id'], query.find(([name]) => name === 'email')?.[1], after]
        .filter((part) => part !== undefined)
        .join(' '),
    )
    if (fails) return Promise.resolve(null)
    const from = Number(after ?? 0)
    const more = from + 2 < members.length
    return Promise.resolve({
      value: { items: members.slice(from, from + 2), has_next_page: more, end_cursor: more ? String(from + 2) : null },
    })
  },
}

beforeEach(() => {
  members = [{ user_id: 'u1', email: 'ada@corp.example' }]
  asked = []
  nowMs = 0
  fails = false
  users = createDevinUsers({ calls, monotonic: () => nowMs })
})

async function find(organization: string | null = 'org-a', principal = ada, policy = both): Promise<DevinUser> {
  return await users.find(policy, principal, organization, true)
}

describe('a user is looked for', () => {
  test('in the list of the organization by its own key, else in that of the enterprise', async () => {
    expect(await find('org-a')).toEqual({ id: 'u1' })
    expect(await find('org-b')).toEqual({ id: 'u1' })
    expect(await find(null)).toEqual({ id: 'u1' })
    expect(asked).toEqual([
      'beta.org.members.users.list org-a ada@corp.example',
      'ent.members.users.list ada@corp.example',
    ])
  })

  test('nowhere when no key may read a list', async () => {
    expect(await find('org-b', ada, policyWith(ofOrganization))).toEqual({
      unknown: "no key of the inventory may read Devin's member list, and devin-users.yaml does not name this caller",
    })
    expect(asked).toEqual([])
  })

  test('over all pages, whatever the server makes of the address, and letter case does not count', async () => {
    members = [
      ...Array.from({ length: 5 }, (_, index) => ({ user_id: `x${index}`, email: `x${index}@corp.example` })),
      { user_id: 'u7', email: 'ADA@Corp.Example' },
    ]
    expect(await find()).toEqual({ id: 'u7' })
    expect(asked.map((line) => line.split(' ')[3])).toEqual([undefined, '2', '4'])
  })

  test('and not believed when there are two of them, or none, or the entry is odd', async () => {
    members = [
      { user_id: 'u1', email: 'ada@corp.example' },
      { user_id: 'u2', email: 'Ada@corp.example' },
    ]
    expect(await find()).toEqual({ unknown: 'several users in org-a at Devin have the e-mail address of this caller' })
    members = [
      { email: 'ada@corp.example' },
      { user_id: 'u2', email: null },
      { user_id: 'u3', email: 'ada@corp.example.evil' },
    ]
    expect(await find(null)).toEqual({ unknown: 'nobody at Devin has the e-mail address of this caller' })
  })

  test('only by an address that the token says and the issuer does not disown', async () => {
    expect(await find('org-a', principalOf())).toEqual({
      unknown: 'the token of this caller says no e-mail address, by which Devin could know it',
    })
    expect(await find('org-a', principalOf({ email: 'ada@corp.example', emailVerified: false }))).toEqual({
      unknown: 'the issuer of the token has not verified the e-mail address of this caller',
    })
    expect(asked).toEqual([])
    // A Kelvin sign, whose small letter is a plain k.
    members = [{ user_id: 'u1', email: 'kim@corp.example' }]
    expect(await find('org-a', principalOf({ email: '\u212aim@corp.example' }))).toHaveProperty('unknown')
  })
})

describe('what was found', () => {
  test('is remembered, asked for anew in the background, and believed for a day of failures', async () => {
    await find()
    nowMs = 9 * 60_000
    expect(users.find(both, ada, 'org-a', true)).toEqual({ id: 'u1' })
    expect(asked).toHaveLength(1)

    nowMs = 11 * 60_000
    members = [{ user_id: 'u9', email: 'ada@corp.example' }]
    expect(users.find(both, ada, 'org-a', true)).toEqual({ id: 'u1' })
    expect(users.find(both, ada, 'org-a', true)).toEqual({ id: 'u1' })
    await new Promise((resolve) => setImmediate(resolve))
    expect(asked).toHaveLength(2)
    expect(users.find(both, ada, 'org-a', true)).toEqual({ id: 'u9' })

    fails = true
    nowMs += 23 * 3_600_000
    expect(users.find(both, ada, 'org-a', true)).toEqual({ id: 'u9' })
    await new Promise((resolve) => setImmediate(resolve))
    nowMs += 2 * 3_600_000
    await expect(find()).rejects.toMatchObject({ kind: 'upstream-unreachable', reason: 'member-list' })
  })

  test('that is nobody is remembered for half a minute only', async () => {
    members = []
    expect(await find()).toHaveProperty('unknown')
    members = [{ user_id: 'u1', email: 'ada@corp.example' }]
    nowMs = 29_000
    expect(await find()).toHaveProperty('unknown')
    nowMs = 31_000
    expect(await find()).toEqual({ id: 'u1' })
    expect(asked).toHaveLength(2)
  })

  test('leaves one call for all who ask at the same time', async () => {
    const found = await Promise.all(Array.from({ length: 20 }, () => find()))
    expect(new Set(found.map((user) => JSON.stringify(user)))).toEqual(new Set(['{"id":"u1"}']))
    expect(asked).toHaveLength(1)
  })

  test('is of one list: a member of one organization is none of another by that', async () => {
    const policy = policyWith(
      ofOrganization,
      ofOrganization.replaceAll('org-a', 'org-b').replace('a-reader', 'b-reader'),
    )
    await find('org-a', ada, policy)
    members = []
    expect(await find('org-b', ada, policy)).toHaveProperty('unknown')
  })

  test('is nothing when a list has no end or no shape', async () => {
    const endless = createDevinUsers({
      monotonic: () => 0,
      calls: {
        read: (_id, _parameters, query) =>
          Promise.resolve({
            value: { items: [], has_next_page: true, end_cursor: String(query.length + Math.random()) },
          }),
      },
    })
    await expect(endless.find(both, ada, 'org-a', true)).rejects.toMatchObject({ reason: 'member-list' })
    const shapeless = createDevinUsers({ monotonic: () => 0, calls: { read: () => Promise.resolve({ value: [] }) } })
    await expect(shapeless.find(both, ada, 'org-a', true)).rejects.toMatchObject({ reason: 'member-list' })
  })

  test('is not required where only a guardrail in shadow mode asks', async () => {
    fails = true
    expect(await users.find(both, ada, 'org-a', false)).toEqual({
      unknown: "Devin's member list cannot be read at the moment",
    })
  })
})
