// The splitter of lists: the items it cuts out are the bytes that came, wherever the chunks end, and what is no strict JSON
// of such a list is refused.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ItemSplitter } from '../../src/filtering/item-splitter.ts'
import { createSelector } from '../../src/filtering/selection.ts'
import { UnknownShape } from '../../src/filtering/unknown-shape.ts'
import type { StrictJson } from '../../src/json/value.ts'

interface Split {
  readonly items: readonly string[]
  readonly members: Readonly<Record<string, StrictJson>>
}

/** Splits a document that comes in pieces that end at these places. */
function split(document: string | Buffer, member: string | null = 'items', cuts: readonly number[] = []): Split {
  const bytes = Buffer.from(document)
  const items: string[] = []
  const members: Record<string, StrictJson> = {}
  const splitter = new ItemSplitter(member, {
    item: (item) => items.push(item.toString()),
    member: (name, value) => (members[name] = value),
  })
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b)
  for (const [index, place] of places.entries()) splitter.push(bytes.subarray(place, places[index + 1]))
  splitter.end()
  return { items, members }
}

/** JSON of a value with white space of all kinds. */
const spaced = (value: fc.Arbitrary<unknown>): fc.Arbitrary<string> =>
  fc.tuple(value, fc.constantFrom(undefined, 1, '\t')).map(([each, indent]) => JSON.stringify(each, null, indent))

describe('the items of a list', () => {
  test('are the bytes that came, wherever the chunks end', () => {
    fc.assert(
      fc.property(fc.array(spaced(fc.jsonValue())), fc.array(fc.nat()), fc.boolean(), (items, cuts, bare) => {
        const list = `[ ${items.join(' ,\n')}]`
        const document = bare ? list : `{"has_next_page":true,\t"items" : ${list} , "end_cursor" : "a\\"]}" }`
        const { items: found, members } = split(document, bare ? null : 'items', cuts)
        expect(found).toEqual(items)
        if (!bare) expect(members).toEqual({ has_next_page: true, end_cursor: 'a"]}' })
      }),
    )
  })

  test('may be cut at every byte', () => {
    const item = '{"a":"\\\\\\"]}","b":[[],{}],"c":-1.50e+7,"d":"ü€𝄞","e":"\\u0022"}'
    const document = `{"items":[${item},1,"x",null , ${item}],"total":2}`
    const everywhere = Array.from({ length: Buffer.byteLength(document) }, (_, index) => index)
    expect(split(document, 'items', everywhere)).toEqual(split(document))
    expect(split(document).items).toEqual([item, '1', '"x"', 'null', item])
  })

  test('may be none, and their member may stand anywhere', () => {
    expect(split('{"items":[]}')).toEqual({ items: [], members: {} })
    expect(split(' [ ] ', null).items).toEqual([])
    expect(split('{"a":{"items":[1]},"it\\u0065ms":[2],"b":"x"}').items).toEqual(['2'])
  })
})

describe('a document', () => {
  test.each([
    ['', 'nothing'],
    ['{', 'a beginning'],
    ['{"items":[1', 'half a list'],
    ['{"items":[1]', 'half an object'],
    ['{}', 'no list'],
    ['{"total":3}', 'other members only'],
    ['{"items":null}', 'null in place of the list'],
    ['{"items":{"0":1}}', 'an object in place of the list'],
    ['{"items":"[1]"}', 'a text in place of the list'],
    ['[1]', 'a bare list'],
    ['{"items":[1]}{"items":[2]}', 'two documents'],
    ['{"items":[1]} x', 'something behind it'],
    ['{"items":[1],"items":[2]}', 'the list twice'],
    ['{"items":[1],"\\u0069tems":[2]}', 'the list twice in two spellings'],
    ['{"items":[1],"a":1,"a":2}', 'another member twice'],
    ['{"items":[1],}', 'a comma too many'],
    ['{"items":[1,]}', 'a comma too many in the list'],
    ['{"items":[,1]}', 'a comma in front'],
    ['{"items":[1 2]}', 'no comma'],
    ['{"items":[1:2]}', 'a colon in the list'],
    ['{"items"[1]}', 'no colon'],
    ['{items:[1]}', 'a bare name'],
    ['{"items":[1]]', 'the wrong bracket'],
    ['{"items":[1],"a":tru}', 'a broken word'],
    ['{"items":[1],"a":01}', 'a broken number'],
    ['{"items":[1],"a":{"b":1,"b":2}}', 'a member twice inside another one'],
    ['\ufeff{"items":[1]}', 'a byte order mark'],
    [`{"items":[1],"a":"${'x'.repeat(70_000)}"}`, 'a member without end'],
    [`{"items":[${'['.repeat(1_100_000)}`, 'an item without end'],
    [`{${Array.from({ length: 70 }, (_, index) => `"${index}":0`).join(',')},"items":[]}`, 'hundreds of members'],
  ])('%s is refused (%s)', (document) => {
    expect(() => split(document)).toThrow(UnknownShape)
    expect(() => split(document, 'items', [1, 2, 3, 5, 8, 13, 21])).toThrow(UnknownShape)
  })

  test('that is refused is not repeated in the message', () => {
    expect(() => split('{"items":[],"org-secret":1,"org-secret":2}')).toThrow(/^(?!.*secret)/)
  })

  test('of any bytes is taken only when JSON.parse takes it and finds the same list', () => {
    const select = createSelector(
      { form: 'page', items: 'items', organizations: [], optional: true, id: null, paging: null },
      { organizations: 'all', drop: [] },
    )
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"items"',
      '"a"',
      '"',
      '\\',
      '1',
      '-',
      'null',
      ' ',
      '{}',
      '\\u0022',
      'é',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 14 }), fc.array(fc.nat(), { maxLength: 4 }), (pieces, cuts) => {
        const document = `{"items":[${pieces.join('')}]}`
        let found: readonly string[]
        try {
          found = split(document, 'items', cuts).items
          for (const item of found) select(Buffer.from(item))
        } catch (error) {
          expect(error).toBeInstanceOf(UnknownShape)
          return
        }
        expect(JSON.parse(document)).toEqual({ items: found.map((item) => JSON.parse(item) as unknown) })
      }),
      { numRuns: 2000 },
    )
  })
})
