// What stands where in a body: one reading for the bytes of a caller and for the values of policy tests.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkedBodyOf, parseCheckedBody } from '../../src/policy/decision/checked-body.ts'
import { bodyOf, catalogue } from '../support/policies.ts'

describe('a body given as a value', () => {
  const body = checkedBodyOf({
    a: { b: ['x', { c: null }] },
    list: [{ ids: ['x', 'y'] }, { ids: 'z' }, null],
    'd.e': 'f',
  })

  test.each<[string, unknown[]]>([
    ['a', [{ b: ['x', { c: null }] }]],
    ['a.b', [['x', { c: null }]]],
    ['a.b.*', ['x', { c: null }]],
    ['a.b.*.c', [null]],
    ['list.*.ids.*', ['x', 'y', 'z']],
    ['missing', []],
    ['a.missing.c', []],
    ['a.b.length', []],
    ['a.b.0', []],
    ['toString', []],
    ['__proto__', []],
    ['constructor.name', []],
  ])('gives what stands at %s', (place, expected) => {
    // Objects of strict JSON have no prototype; as text they are like others.
    expect(JSON.stringify(body.valuesAt(place))).toBe(JSON.stringify(expected))
  })

  test('that is no object gives nothing at a name', () => {
    for (const value of [null, 'text', 7, true, []]) expect(checkedBodyOf(value).valuesAt('a')).toEqual([])
  })

  test('is read like the bytes of a caller, at every place the catalogue looks at', () => {
    const all = catalogue.operations.flatMap(({ conditional, organizations }) => [
      ...conditional.map(({ field }) => field),
      ...organizations.body,
    ])
    const places = [...new Set([...all, 'org_ids.*'])]
    const names = [...new Set(places.flatMap((place) => place.split('.')))].filter((name) => name !== '*')
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 5 },
        fc.constantFrom<unknown>('org-a', '', 'u', false, true, null),
        fc.dictionary(fc.constantFrom(...names, 'other', 'length', '0'), tie('tree'), { maxKeys: 4 }),
        fc.array(tie('tree'), { maxLength: 3 }),
      ),
    }))
    fc.assert(
      fc.property(tree, (value) => {
        const sent = parseCheckedBody(Buffer.from(JSON.stringify(value, null, 1)))
        const given = checkedBodyOf(value)
        const obvious = bodyOf(value)
        for (const place of places) {
          const found = JSON.stringify(sent.valuesAt(place))
          expect(JSON.stringify(given.valuesAt(place)), place).toBe(found)
          expect(JSON.stringify(obvious.valuesAt(place)), place).toBe(found)
        }
      }),
      { numRuns: 2000, seed: 41 },
    )
  })
})

describe('bytes that are no strict JSON', () => {
  test.each(['', '{', "{'a': 1}", '{"a": 1, "a": 2}', '\uFEFF{}', '{"a": 1} {}', '{"a": NaN}', '// x\n{}'])(
    'are refused with the place: %j',
    (text) => {
      expect(() => parseCheckedBody(Buffer.from(text))).toThrow(/ at byte \d+ \(\d+:\d+\)$/)
    },
  )
})
