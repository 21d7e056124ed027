// What of an item passes: nothing of another organization's, the caller's part of one that names several, no dropped field.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { devinApi } from '../../src/catalogue/data.ts'
import type { AnswerShape } from '../../src/catalogue/operation.ts'
import { createSelector } from '../../src/filtering/selection.ts'
import { UnknownShape } from '../../src/filtering/unknown-shape.ts'

const session: AnswerShape = {
  form: 'page',
  items: 'items',
  organizations: ['org_id'],
  optional: false,
  id: 'session_id',
  paging: null,
}
const event: AnswerShape = { ...session, optional: true }
const user: AnswerShape = {
  ...session,
  optional: true,
  id: 'user_id',
  organizations: ['role_assignments.*.org_id', 'idp_role_assignments.*.org_id'],
}
const mine = new Set(['org-a', 'org-b'])

function select(
  shape: AnswerShape,
  item: string,
  drop: readonly string[] = [],
  organizations: 'all' | Set<string> = mine,
) {
  const { bytes, id } = createSelector(shape, { organizations, drop })(Buffer.from(item))
  return { text: bytes?.toString() ?? null, id }
}

describe('an item', () => {
  test('of the caller passes byte for byte, of another organization not at all; both are known by their id', () => {
    const own = '{ "org_id" : "org-\\u0061", "session_id":"s1", "n": 1.00, "big": 12345678901234567890 }'
    expect(select(session, own)).toEqual({ text: own, id: 's1' })
    expect(select(session, '{"org_id":"org-c","session_id":"s2"}')).toEqual({ text: null, id: 's2' })
    expect(select(session, '{"org_id":"ORG-A"}')).toEqual({ text: null, id: null })
  })

  test.each([
    ['{"org_id":"org-c","org_id":"org-a"}', 'naming two organizations'],
    ['{"org_id":"org-a","org\\u005fid":"org-c"}', 'naming two organizations in two spellings'],
    ['{"session_id":"s"}', 'naming none'],
    ['{"org_id":null}', 'naming null'],
    ['{"org_id":["org-a"]}', 'naming a list'],
    ['{"org_id":{"id":"org-a"}}', 'naming an object'],
    ['{"org_id":1}', 'naming a number'],
    ['"org-a"', 'that is a text'],
    ['[{"org_id":"org-a"}]', 'that is a list'],
    ['null', 'that is null'],
    ['{"org_id":"org-a"', 'that is broken off'],
    ['{"org_id":"org-a","x":{"y":1,"y":2}}', 'with a member twice anywhere'],
    [`{"org_id":"org-a","x":${'['.repeat(70)}${']'.repeat(70)}}`, 'nested without measure'],
  ])('%s is of an unknown shape (%s)', (item) => {
    expect(() => select(session, item)).toThrow(UnknownShape)
  })

  test('that is not UTF-8 is of an unknown shape', () => {
    const bytes = Buffer.from('{"org_id":"org-a","x":"\xff"}', 'latin1')
    expect(() => createSelector(session, { organizations: mine, drop: [] })(bytes)).toThrow(UnknownShape)
  })

  test('of no organization is nobody’s where the catalogue says that there are such', () => {
    expect(select(event, '{"org_id":null,"session_id":"e"}')).toEqual({ text: null, id: 'e' })
    expect(select(event, '{"session_id":"e"}')).toEqual({ text: null, id: 'e' })
    expect(() => select(event, '{"org_id":7}')).toThrow(UnknownShape)
  })

  test('of several organizations shows those of the caller only, and passes when there are any', () => {
    const shown = select(
      user,
      '{"user_id":"u","role_assignments":[{"org_id":"org-c","role":1},{"org_id":"org-a","role":2},{"org_id":null}],"idp_role_assignments":[{"org_id":"org-c"}]}',
    )
    expect(shown).toEqual({
      text: '{"user_id":"u","role_assignments":[{"org_id":"org-a","role":2}],"idp_role_assignments":[]}',
      id: 'u',
    })
    expect(select(user, '{"user_id":"u","role_assignments":[{"org_id":"org-c"}]}').text).toBeNull()
    expect(select(user, '{"user_id":"u","role_assignments":[]}').text).toBeNull()
    const whole = '{"role_assignments":[ {"org_id":"org-a"} ]}'
    expect(select(user, whole).text).toBe(whole)
    expect(() => select(user, '{"role_assignments":{"0":{"org_id":"org-a"}}}')).toThrow(UnknownShape)
  })
})

describe('a dropped field', () => {
  test('is gone wherever it stands, and everything else is as it was', () => {
    const item =
      '{"org_id":"org-a","n":1.00,"a":{"b":1,"c":2},"list":[{"x":1,"y":2},{"x":3},4],"big":12345678901234567890}'
    expect(select(session, item, ['a.b', 'list.*.x', 'none', 'a.none.b']).text).toBe(
      '{"org_id":"org-a","n":1.00,"a":{"c":2},"list":[{"y":2},{},4],"big":12345678901234567890}',
    )
    expect(select(session, item, ['a.*', 'list', 'n', 'big']).text).toBe('{"org_id":"org-a","a":{}}')
    expect(select(session, item, ['none']).text).toBe(item)
  })

  test('may be the organization itself, and its items are filtered all the same', () => {
    expect(select(session, '{"org_id":"org-a","n":1}', ['org_id']).text).toBe('{"n":1}')
    expect(select(session, '{"org_id":"org-c","n":1}', ['org_id']).text).toBeNull()
  })

  test('may be called like a part of every object', () => {
    expect(select(session, '{"org_id":"org-a","__proto__":{"x":1},"constructor":2}', ['__proto__.x']).text).toBe(
      '{"org_id":"org-a","__proto__":{},"constructor":2}',
    )
    expect(select(session, '{"org_id":"org-a"}', ['toString', 'constructor']).text).toBe('{"org_id":"org-a"}')
  })

  test('drops nothing else, as a plain reading of the path says', () => {
    const name = fc.constantFrom('a', 'b', 'c')
    const tree = fc.letrec((tie) => ({
      value: fc.oneof({ maxDepth: 3 }, fc.integer(), fc.array(tie('value'), { maxLength: 3 }), tie('object')),
      object: fc.dictionary(name, tie('value'), { maxKeys: 3 }),
    })).object
    const path = fc.array(fc.constantFrom('a', 'b', 'c', '*'), { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(tree, path, (item, steps) => {
        const { text } = select(session, JSON.stringify(item), [steps.join('.')], 'all')
        expect(JSON.parse(text ?? '')).toEqual(plainlyWithout(item, steps))
      }),
    )
  })
})

function plainlyWithout(value: unknown, [step, ...rest]: readonly string[]): unknown {
  if (Array.isArray(value))
    return step === '*' ? value.map((each) => (rest.length === 0 ? each : plainlyWithout(each, rest))) : value
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]) => {
      if (step !== '*' && step !== name) return [[name, member as unknown]]
      return rest.length === 0 ? [] : [[name, plainlyWithout(member, rest)]]
    }),
  )
}

test('one place of the catalogue names one organization, or each names several: no other could leak', () => {
  const shapes = devinApi.operations.flatMap(({ answer }) => (answer === null ? [] : [answer]))
  for (const { organizations } of shapes)
    expect(organizations.length <= 1 || organizations.every((place) => place.includes('*'))).toBe(true)
  expect(shapes.filter(({ organizations }) => organizations.length > 0).length).toBeGreaterThan(30)
})

test('members of every member are dropped, and members that have none stay as they are', () => {
  const members = Object.fromEntries(
    Array.from({ length: 500 }, (_, index) => [`m${index}`, index % 2 === 0 ? { secret: index, kept: null } : null]),
  )
  const item = { org_id: 'org-a', of: members, all: { a: 1, b: 2 }, ['__proto__']: { secret: 1 } }
  const { text } = select(session, JSON.stringify(item), ['of.*.secret', 'all.*', 'of.m2'])
  const left = Object.entries(members).flatMap(([name, member]) =>
    name === 'm2' ? [] : [[name, member === null ? null : { kept: null }]],
  )
  expect(JSON.parse(text ?? '')).toEqual({ ...item, of: Object.fromEntries(left), all: {} })
  const without = JSON.stringify({ org_id: 'org-a', of: { a: 1, b: [{}] } })
  expect(select(session, without, ['of.*.secret', 'all.*']).text).toBe(without)
})
