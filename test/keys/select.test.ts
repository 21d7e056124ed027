// Which key serves a call: laws on random inventories, and the cases a person would ask about.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { KeyHandle } from '../../src/keys/key.ts'
import { createKeySelector, selectKey, type KeyChoice, type Requirement } from '../../src/keys/select.ts'
import { catalogue, enterpriseKeyOf, keyOf, operationOf } from '../support/policies.ts'
import { plainChoice } from './key-choice-oracle.ts'

const { permissions } = catalogue

function need(id: string, organization: string | null, extra: readonly string[] = []): Requirement {
  return { operation: operationOf(id), organization, extra }
}

function choose(keys: readonly KeyHandle[], requirement: Requirement): KeyChoice | null {
  return selectKey(keys, requirement, permissions)
}

function chosen(keys: readonly KeyHandle[], requirement: Requirement): string | null {
  return choose(keys, requirement)?.key.id ?? null
}

const impersonate = 'ImpersonateOrgSessions'

describe('an organization operation', () => {
  const list = need('org.sessions.list', 'org-a')

  test("is served by the organization's own key with the permission", () => {
    const key = keyOf('a', { permissions: new Set(['ViewOrgSessions']) })
    expect(choose([key], list)).toEqual({ key, basis: 'exact', through: 'ViewOrgSessions' })
  })

  test('is never served by the key of another organization, whatever it holds', () => {
    const key = keyOf('b', { organization: 'org-b', permissions: permissions.names })
    expect(choose([key], list)).toBeNull()
  })

  test('is served by an enterprise key only where that key serves the organization', () => {
    const held = new Set(['ViewAccountSessions'])
    expect(chosen([enterpriseKeyOf('none', { permissions: held })], list)).toBeNull()
    expect(chosen([enterpriseKeyOf('all', { permissions: held, serves: 'all' })], list)).toBe('all')
    expect(chosen([enterpriseKeyOf('list', { permissions: held, serves: new Set(['org-a']) })], list)).toBe('list')
    expect(chosen([enterpriseKeyOf('other', { permissions: held, serves: new Set(['org-b']) })], list)).toBeNull()
  })

  test('tells by which enterprise permission it is served', () => {
    const key = enterpriseKeyOf('all', { permissions: new Set(['ViewAccountSessions']), serves: 'all' })
    expect(choose([key], list)).toEqual({ key, basis: 'inherited', through: 'ViewAccountSessions' })
  })

  test('goes to the organization key although the enterprise key has fewer permissions', () => {
    const small = enterpriseKeyOf('a-small', { permissions: new Set(['ViewAccountSessions']), serves: 'all' })
    const large = keyOf('z-large', {
      permissions: new Set(['ViewOrgSessions', 'ManageOrgSessions', 'ManageOrgSecrets']),
    })
    expect(chosen([small, large], list)).toBe('z-large')
  })

  test('is not served by an organization key that holds the enterprise permission: nothing is inherited downwards there', () => {
    expect(chosen([keyOf('a', { permissions: new Set(['ViewAccountSessions']) })], list)).toBeNull()
  })

  test('compares the organization letter by letter', () => {
    const key = keyOf('a', { permissions: new Set(['ViewOrgSessions']) })
    for (const organization of ['ORG-A', 'org%2Da', 'org-a ', 'org-', '']) {
      expect(chosen([key], need('org.sessions.list', organization)), organization).toBeNull()
    }
  })
})

describe('an enterprise operation', () => {
  test('is served by enterprise keys only, whatever organizations they serve', () => {
    const wanted = need('ent.sessions.list', null)
    const held = new Set(['ViewAccountSessions'])
    expect(chosen([keyOf('a', { permissions: held })], wanted)).toBeNull()
    expect(chosen([enterpriseKeyOf('e', { permissions: held })], wanted)).toBe('e')
  })

  test('with an organization in its path stays an enterprise operation', () => {
    const wanted = need('ent.organizations.members.users.list', 'org-a')
    expect(chosen([keyOf('a', { permissions: permissions.names })], wanted)).toBeNull()
    expect(chosen([enterpriseKeyOf('e', { permissions: permissions.names })], wanted)).toBe('e')
  })

  test('is not served through an organization permission', () => {
    expect(
      chosen([enterpriseKeyOf('e', { permissions: new Set(['ViewOrgSessions']) })], need('ent.sessions.list', null)),
    ).toBeNull()
  })
})

describe('among keys that suffice', () => {
  const list = need('org.sessions.list', 'org-a')

  test('the one with fewest permissions serves, then the first by id', () => {
    const two = keyOf('a-two', { permissions: new Set(['ViewOrgSessions', 'ManageOrgSessions']) })
    const c = keyOf('c', { permissions: new Set(['ViewOrgSessions']) })
    const b = keyOf('b', { permissions: new Set(['ViewOrgSessions']) })
    expect(chosen([two, c, b], list)).toBe('b')
    expect(chosen([two, c], list)).toBe('c')
    expect(chosen([two], list)).toBe('a-two')
  })

  test('the one without the right to impersonate serves, although it has more permissions', () => {
    const able = keyOf('a', { permissions: new Set(['ManageOrgSessions', impersonate]) })
    const unable = keyOf('b', { permissions: new Set(['ManageOrgSessions', 'ViewOrgSessions', 'ManageOrgSecrets']) })
    expect(chosen([able, unable], need('org.sessions.create', 'org-a'))).toBe('b')
    expect(chosen([able], need('org.sessions.create', 'org-a'))).toBe('a')
  })

  test('only one with the right to impersonate serves a body that asks for it', () => {
    const able = keyOf('a', { permissions: new Set(['ManageOrgSessions', impersonate, 'ViewOrgSessions']) })
    const unable = keyOf('b', { permissions: new Set(['ManageOrgSessions']) })
    const asks = need('org.sessions.create', 'org-a', [impersonate])
    expect(chosen([able, unable], asks)).toBe('a')
    expect(chosen([unable], asks)).toBeNull()
  })

  test('ids are compared by their characters, not by the rules of a language', () => {
    const keys = ['k10', 'k9', 'k-1', 'k_1', 'k.1'].map((id) =>
      keyOf(id, { permissions: new Set(['ViewOrgSessions']) }),
    )
    expect(chosen(keys, list)).toBe('k-1')
  })
})

describe('the other names of a disputed operation', () => {
  test('qualify a key when no key holds the permission itself', () => {
    const key = keyOf('a', { permissions: new Set(['UseDevinSessions']) })
    expect(choose([key], need('org.sessions.create', 'org-a'))).toEqual({
      key,
      basis: 'alternative',
      through: 'UseDevinSessions',
    })
  })

  test('come after an enterprise key that holds the permission, also for an organization key', () => {
    const other = keyOf('a', { permissions: new Set(['UseDevinSessions']) })
    const exact = enterpriseKeyOf('e', {
      permissions: new Set(['ManageAccountSessions', 'ManageBilling']),
      serves: 'all',
    })
    expect(choose([other, exact], need('org.sessions.create', 'org-a'))).toMatchObject({
      key: { id: 'e' },
      basis: 'inherited',
    })
  })

  test('never stand for a permission that the body asks for', () => {
    const key = keyOf('a', { permissions: new Set(['UseDevinSessions']) })
    expect(chosen([key], need('org.sessions.create', 'org-a', [impersonate]))).toBeNull()
    // An alternative of one operation is no alternative for what another one asks besides.
    const create = need('beta.org.blueprints.create', 'org-a', ['ManageOrgSnapshots'])
    expect(chosen([keyOf('b', { permissions: new Set(['ManageRepoBlueprints']) })], create)).toBeNull()
    expect(chosen([keyOf('c', { permissions: new Set(['ManageRepoBlueprints', 'ManageOrgSnapshots']) })], create)).toBe(
      'c',
    )
  })

  test('still ask for the right scope and organization', () => {
    expect(
      chosen(
        [keyOf('a', { organization: 'org-b', permissions: new Set(['UseDevinSessions']) })],
        need('org.sessions.create', 'org-a'),
      ),
    ).toBeNull()
    expect(
      chosen(
        [enterpriseKeyOf('e', { permissions: new Set(['UseDevinSessions']) })],
        need('org.sessions.create', 'org-a'),
      ),
    ).toBeNull()
  })
})

describe('an operation without any permission', () => {
  test('of an organization is served by keys of that organization only, whatever they hold', () => {
    const wanted = need('beta.org.searches.list', 'org-a')
    expect(choose([keyOf('a')], wanted)).toMatchObject({ key: { id: 'a' }, basis: 'scope', through: null })
    expect(chosen([keyOf('b', { organization: 'org-b' })], wanted)).toBeNull()
    expect(chosen([enterpriseKeyOf('e', { permissions: permissions.names, serves: 'all' })], wanted)).toBeNull()
  })

  test('of the enterprise is served by enterprise keys only', () => {
    const wanted = need('beta.ent.searches.list', null)
    expect(chosen([keyOf('a', { permissions: permissions.names })], wanted)).toBeNull()
    expect(chosen([enterpriseKeyOf('e')], wanted)).toBe('e')
  })
})

describe('/v3/self', () => {
  test('is answered by the key that the default organization would use', () => {
    const a = keyOf('a', { permissions: new Set(['ViewOrgSessions']) })
    const b = keyOf('b', { organization: 'org-b' })
    const e = enterpriseKeyOf('e', { serves: 'all' })
    expect(chosen([a, b, e], need('self.get', 'org-a'))).toBe('a')
    expect(chosen([a, b, e], need('self.get', 'org-b'))).toBe('b')
    expect(chosen([a, b, e], need('self.get', 'org-c'))).toBe('e')
    expect(chosen([a, b], need('self.get', 'org-c'))).toBeNull()
  })

  test('is answered by an enterprise key for a caller without a default organization', () => {
    expect(chosen([keyOf('a'), enterpriseKeyOf('e')], need('self.get', null))).toBe('e')
    expect(chosen([keyOf('a')], need('self.get', null))).toBeNull()
  })
})

// Organization ids a policy may hold, among them one that looks like a pattern.
const organizations = ['org-a', 'org-b', 'org-c', '*']
const operations = [
  'org.sessions.list',
  'org.sessions.create',
  'org.sessions.messages.send',
  'org.playbooks.list',
  'org.knowledge.notes.create',
  'org.metrics.dau.get',
  'org.consumption.daily.get',
  'beta.org.blueprints.create',
  'beta.org.searches.list',
  'beta.ent.searches.list',
  'ent.sessions.list',
  'ent.sessions.messages.send',
  'ent.consumption.daily.get',
  'ent.organizations.members.users.list',
  'self.get',
].map((id) => operationOf(id))
const names = [
  ...new Set([
    ...operations.flatMap(({ permission, alternatives, conditional }) => [
      ...(permission === null ? [] : [permission, ...permissions.impliedBy(permission)]),
      ...alternatives,
      ...conditional.map((entry) => entry.permission),
    ]),
    'ManageOrgSecrets',
  ]),
]

const held = fc.subarray(names, { maxLength: 5 }).map((list) => new Set(list))
const anyKey = fc
  .record({
    organization: fc.option(fc.constantFrom(...organizations), { nil: null, freq: 2 }),
    permissions: held,
    serves: fc.oneof(
      fc.constantFrom('none' as const, 'all' as const),
      fc.subarray(organizations, { minLength: 1 }).map((list) => new Set(list)),
    ),
  })
  .map(({ organization, permissions: set, serves }) =>
    organization === null
      ? enterpriseKeyOf('', { permissions: set, serves })
      : keyOf('', { organization, permissions: set }),
  )
const inventory = fc
  .array(anyKey, { maxLength: 8 })
  .map((keys) => keys.map((key, index): KeyHandle => ({ ...key, id: `k${(index * 7) % 11}` })))
const requirement = fc
  .record({
    operation: fc.constantFrom(...operations),
    organization: fc.constantFrom(...organizations, 'org-unknown', ''),
    asks: fc.boolean(),
    bound: fc.boolean(),
  })
  .map(({ operation, organization, asks, bound }): Requirement => ({
    operation,
    organization: operation.scope === 'organization' || bound ? organization : null,
    extra: asks ? operation.conditional.map((entry) => entry.permission) : [],
  }))

/** Whether a key alone would be chosen. */
function suffices(key: KeyHandle, wanted: Requirement): KeyChoice | null {
  return choose([key], wanted)
}

describe('for every inventory', () => {
  const runs = { numRuns: 5000, seed: 11 }

  test('the choice is that of the plain rules', () => {
    fc.assert(
      fc.property(inventory, requirement, (keys, wanted) => {
        expect(chosen(keys, wanted)).toBe(plainChoice(keys, wanted, permissions))
      }),
      { numRuns: 20_000, seed: 10 },
    )
  })

  test("never another organization's key, nor an organization key for an enterprise operation", () => {
    fc.assert(
      fc.property(inventory, requirement, (keys, wanted) => {
        const key = choose(keys, wanted)?.key
        if (key?.scope !== 'organization') return
        expect(key.organization).toBe(wanted.organization)
        expect(wanted.operation.scope).not.toBe('enterprise')
      }),
      runs,
    )
  })

  test('never an enterprise key where an organization key suffices as well', () => {
    fc.assert(
      fc.property(inventory, requirement, (keys, wanted) => {
        const choice = choose(keys, wanted)
        if (choice?.key.scope !== 'enterprise' || choice.basis === 'alternative') return
        const better = keys.filter(
          (key) => key.scope === 'organization' && !['alternative', undefined].includes(suffices(key, wanted)?.basis),
        )
        expect(better).toEqual([])
      }),
      runs,
    )
  })

  test('never more permissions where fewer suffice, but for the preference for keys that cannot impersonate', () => {
    fc.assert(
      fc.property(inventory, requirement, (keys, wanted) => {
        const choice = choose(keys, wanted)
        if (choice === null) return
        const smaller = keys.filter((key) => {
          const own = suffices(key, wanted)
          if (own === null || key.scope !== choice.key.scope) return false
          if ((own.basis === 'alternative') !== (choice.basis === 'alternative')) return false
          if (!wanted.extra.includes(impersonate) && key.permissions.has(impersonate)) return false
          return key.permissions.size < choice.key.permissions.size
        })
        expect(smaller).toEqual([])
      }),
      runs,
    )
  })

  test('never a key that can impersonate where one that cannot suffices and nobody asked', () => {
    fc.assert(
      fc.property(inventory, requirement, (keys, wanted) => {
        const choice = choose(keys, wanted)
        if (choice === null || wanted.extra.includes(impersonate) || !choice.key.permissions.has(impersonate)) return
        const modest = keys.filter((key) => {
          const own = suffices(key, wanted)
          if (own === null || key.scope !== choice.key.scope || key.permissions.has(impersonate)) return false
          return (own.basis === 'alternative') === (choice.basis === 'alternative')
        })
        expect(modest).toEqual([])
      }),
      runs,
    )
  })

  test('the order of the file does not matter', () => {
    fc.assert(
      fc.property(inventory, requirement, fc.infiniteStream(fc.nat()), (keys, wanted, draws) => {
        const shuffled = keys
          .map((key) => ({ key, rank: Number(draws.next().value) }))
          .sort((a, b) => a.rank - b.rank)
          .map(({ key }) => key)
        expect(chosen(shuffled, wanted)).toBe(chosen(keys, wanted))
        expect(chosen(keys.toReversed(), wanted)).toBe(chosen(keys, wanted))
      }),
      runs,
    )
  })

  test('one more key never makes the choice worse: either it serves or nothing changes', () => {
    fc.assert(
      fc.property(inventory, anyKey, requirement, (keys, more, wanted) => {
        const added = { ...more, id: 'new' }
        expect([chosen(keys, wanted), 'new']).toContain(chosen([...keys, added], wanted))
      }),
      runs,
    )
  })

  test('the chosen key holds what the body asks for, by its own permissions or by inheritance', () => {
    fc.assert(
      fc.property(inventory, requirement, (keys, wanted) => {
        const key = choose(keys, wanted)?.key
        for (const permission of key === undefined ? [] : wanted.extra) {
          const names = key?.scope === 'enterprise' ? [permission, ...permissions.impliedBy(permission)] : [permission]
          expect(names.some((name) => key?.permissions.has(name))).toBe(true)
        }
      }),
      runs,
    )
  })

  test('a selector that remembers says what the pure function says, whatever was asked before', () => {
    fc.assert(
      fc.property(inventory, fc.array(requirement, { minLength: 1, maxLength: 12 }), (keys, asked) => {
        const select = createKeySelector(keys, permissions)
        for (const wanted of [...asked, ...asked]) {
          expect(select(wanted)?.key.id ?? null).toBe(chosen(keys, wanted))
        }
      }),
      runs,
    )
  })
})

describe('a selector that remembers', () => {
  test('never gives the key of an organization called "*" to another organization', () => {
    const key = keyOf('star', { organization: '*', permissions: new Set(['ViewOrgSessions']) })
    const select = createKeySelector([key], permissions)
    expect(select(need('org.sessions.list', '*'))?.key.id).toBe('star')
    expect(select(need('org.sessions.list', 'org-other'))).toBeNull()
  })

  test('searches the inventory once for all organizations that no key names, so that callers cannot fill its memory', () => {
    let searched = 0
    const key = new Proxy(enterpriseKeyOf('e', { permissions: new Set(['ViewAccountSessions']), serves: 'all' }), {
      get(target, property, receiver) {
        if (property === 'scope') searched += 1
        return Reflect.get(target, property, receiver)
      },
    })
    const select = createKeySelector([key], permissions)
    expect(select(need('org.sessions.list', 'org-0'))?.key.id).toBe('e')
    const afterFirst = searched
    for (let index = 1; index < 10_000; index += 1) {
      expect(select(need('org.sessions.list', `org-${index}`))?.key.id).toBe('e')
    }
    expect(searched).toBe(afterFirst)
  })

  test('remembers that there is no key, too', () => {
    let searched = 0
    const keys = [
      new Proxy(keyOf('a', { permissions: new Set(['ViewOrgSessions']) }), {
        get(target, property, receiver) {
          if (property === 'scope') searched += 1
          return Reflect.get(target, property, receiver)
        },
      }),
    ]
    const select = createKeySelector(keys, permissions)
    expect(select(need('org.sessions.list', 'org-x'))).toBeNull()
    const afterFirst = searched
    for (let index = 0; index < 1000; index += 1) expect(select(need('org.sessions.list', `org-x${index}`))).toBeNull()
    expect(searched).toBe(afterFirst)
  })
})
