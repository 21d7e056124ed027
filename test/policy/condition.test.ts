// Conditions on who is calling: alternatives inside an attribute, all attributes together, nothing for what is absent.

import { describe, expect, test } from 'vitest'
import type { Principal } from '../../src/identity/principal.ts'
import { principalOf } from '../support/policies.ts'
import {
  type ConditionDocument,
  compileCondition,
  conditionHolds,
  describeCondition,
} from '../../src/policy/model/condition.ts'

function holds(document: ConditionDocument, principal: Partial<Principal>): boolean {
  return conditionHolds(compileCondition(document), principalOf(principal))
}

describe('a condition holds', () => {
  test('when any group of the caller is among its groups', () => {
    expect(holds({ groups: ['a', 'b'] }, { groups: ['x', 'b'] })).toBe(true)
    expect(holds({ groups: ['a', 'b'] }, { groups: ['x'] })).toBe(false)
    expect(holds({ groups: ['a', 'b'] }, { groups: [] })).toBe(false)
  })

  test('only when all its attributes match', () => {
    const document = {
      groups: ['a'],
      app: ['bot'],
      subject: ['ada'],
      email: ['ada@corp.example'],
      issuer: ['https://sso.test'],
      actor: ['agent'],
    }
    const fitting = {
      groups: ['a'],
      app: 'bot',
      subject: 'ada',
      email: 'ada@corp.example',
      issuer: 'https://sso.test',
      actor: 'agent',
    }
    expect(holds(document, fitting)).toBe(true)
    for (const [name, other] of Object.entries({
      groups: ['b'],
      app: 'cli',
      subject: 'bob',
      email: 'bob@corp.example',
      issuer: 'https://other.test',
      actor: 'other',
    })) {
      expect(holds(document, { ...fitting, [name]: other }), name).toBe(false)
    }
  })

  test.each([
    [true, true],
    [false, false],
  ])('by an address that is verified (%j): %j', (emailVerified, matches) => {
    expect(holds({ email: ['ada@corp.example'] }, { email: 'ada@corp.example', emailVerified })).toBe(matches)
  })

  test('never by an attribute that the caller lacks', () => {
    expect(holds({ app: ['null'] }, { app: null })).toBe(false)
    expect(holds({ email: ['null', ''] }, { email: null })).toBe(false)
  })

  test('letter by letter: neither case, space nor part of a name matches', () => {
    for (const group of ['A', 'a ', ' a', 'aa', '', 'á'])
      expect(holds({ groups: ['a'] }, { groups: [group] })).toBe(false)
    expect(holds({ groups: ['*'] }, { groups: ['a'] })).toBe(false)
  })
})

describe('a condition on who acts for the subject', () => {
  test('holds by the last actor alone, and not by one that the token would permit', () => {
    const delegated = { actor: 'agent', priorActors: ['planner'], claims: { may_act: { sub: 'planner' } } }
    expect(holds({ actor: ['agent'] }, delegated)).toBe(true)
    expect(holds({ actor: ['planner'] }, delegated)).toBe(false)
    expect(holds({ actor: ['agent', 'null', ''] }, { actor: null })).toBe(false)
  })

  test('tells whether anybody does', () => {
    expect(holds({ groups: ['a'], delegated: false }, { groups: ['a'], actor: null })).toBe(true)
    expect(holds({ groups: ['a'], delegated: false }, { groups: ['a'], actor: 'agent' })).toBe(false)
    expect(holds({ delegated: true }, { actor: 'agent' })).toBe(true)
    expect(holds({ delegated: true }, { actor: null })).toBe(false)
  })
})

describe('a condition on claims holds', () => {
  test('for texts, numbers and truth values by their spelling, and for any member of a list', () => {
    expect(holds({ claims: { dept: ['red'] } }, { claims: { dept: 'red' } })).toBe(true)
    expect(holds({ claims: { level: ['7'] } }, { claims: { level: 7 } })).toBe(true)
    expect(holds({ claims: { admin: ['true'] } }, { claims: { admin: true } })).toBe(true)
    expect(holds({ claims: { admin: ['true'] } }, { claims: { admin: false } })).toBe(false)
    expect(holds({ claims: { dept: ['red'] } }, { claims: { dept: ['blue', 'red'] } })).toBe(true)
    expect(holds({ claims: { dept: ['red'] } }, { claims: { dept: [] } })).toBe(false)
  })

  test('by a dotted path, and not by what objects inherit', () => {
    expect(holds({ claims: { 'org.unit': ['red'] } }, { claims: { org: { unit: 'red' } } })).toBe(true)
    expect(
      holds({ claims: { 'https://corp.example/unit': ['red'] } }, { claims: { 'https://corp.example/unit': 'red' } }),
    ).toBe(true)
    expect(holds({ claims: { 'org.length': ['1'] } }, { claims: { org: 'x' } })).toBe(false)
    expect(holds({ claims: { 'constructor.name': ['Object'] } }, { claims: {} })).toBe(false)
    expect(holds({ claims: { 'toString.name': ['toString'] } }, { claims: {} })).toBe(false)
  })

  test('never for objects and nested lists, which have no spelling', () => {
    expect(holds({ claims: { org: ['[object Object]'] } }, { claims: { org: {} } })).toBe(false)
    expect(holds({ claims: { org: ['red'] } }, { claims: { org: [['red']] } })).toBe(false)
  })

  test('for each word of a scope, and of nothing else', () => {
    for (const name of ['scope', 'scp']) {
      expect(holds({ claims: { [name]: ['use'] } }, { claims: { [name]: 'openid use email' } })).toBe(true)
      expect(holds({ claims: { [name]: ['openid use'] } }, { claims: { [name]: 'openid use' } })).toBe(true)
      expect(holds({ claims: { [name]: ['us'] } }, { claims: { [name]: 'openid use email' } })).toBe(false)
      expect(holds({ claims: { [name]: ['use'] } }, { claims: { [name]: ['openid', 'use'] } })).toBe(true)
    }
    expect(holds({ claims: { name: ['Ann'] } }, { claims: { name: 'Ann Example' } })).toBe(false)
  })

  test('never for a number that was not read exactly', () => {
    const [one, other]: unknown[] = ['9007199254740992', '9007199254740993'].map((text) => JSON.parse(text))
    for (const claim of [one, other, 1e300])
      expect(holds({ claims: { id: [String(claim)] } }, { claims: { id: claim } })).toBe(false)
    expect(holds({ claims: { id: ['9007199254740993'] } }, { claims: { id: '9007199254740993' } })).toBe(true)
    expect(holds({ claims: { rate: ['0.5'] } }, { claims: { rate: 0.5 } })).toBe(true)
  })

  test('only when all claims match', () => {
    const document = { claims: { dept: ['red'], level: ['7'] } }
    expect(holds(document, { claims: { dept: 'red', level: 7 } })).toBe(true)
    expect(holds(document, { claims: { dept: 'red', level: 8 } })).toBe(false)
  })
})

test('a condition reads as a person would say it', () => {
  expect(
    describeCondition(compileCondition({ groups: ['a', 'b'], app: ['bot'], claims: { 'org.unit': ['red'] } })),
  ).toBe('groups: a or b and app: bot and claim org.unit: red')
  expect(describeCondition(compileCondition({ actor: ['agent'], delegated: true }))).toBe(
    'actor: agent and somebody who acts for the subject',
  )
  expect(describeCondition(compileCondition({ delegated: false }))).toBe('nobody who acts for the subject')
})
