// The leak guard: keys that an upstream spells otherwise, held against spellings that are made here independently of it.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createByteSearch, type ByteTriple } from '../../../src/gateway/responses/leaks/byte-search.ts'
import { createLeakGuard } from '../../../src/gateway/responses/leak-guard.ts'

const key = 'cog_9f8E7d6c5b4A~x+y/z-0123456789abcdefGHIJKLMN=='
const hex = (code: number, digits = 2): string => code.toString(16).padStart(digits, '0')
const codeOf = (character: string): number => character.charCodeAt(0)

/** Ways to write one character. */
const escapes: Readonly<Record<string, (character: string) => string>> = {
  plain: (character) => character,
  percent: (character) => `%${hex(codeOf(character)).toUpperCase()}`,
  'percent in small letters': (character) => `%${hex(codeOf(character))}`,
  'percent twice': (character) => `%25${hex(codeOf(character))}`,
  'percent three times': (character) => `%2525${hex(codeOf(character))}`,
  JSON: (character) => `\\u${hex(codeOf(character), 4)}`,
  'JSON in capitals': (character) => `\\u${hex(codeOf(character), 4).toUpperCase()}`,
  'JSON inside JSON': (character) => `\\\\u${hex(codeOf(character), 4)}`,
  'JSON inside JSON inside JSON': (character) => `\\\\\\\\u${hex(codeOf(character), 4)}`,
  braces: (character) => `\\u{${hex(codeOf(character))}}`,
  'eight digits': (character) => `\\U${hex(codeOf(character), 8)}`,
  'two digits': (character) => `\\x${hex(codeOf(character))}`,
  octal: (character) => `\\${codeOf(character).toString(8).padStart(3, '0')}`,
  entity: (character) => `&#${codeOf(character)};`,
  'entity in hexadecimal': (character) => `&#x${hex(codeOf(character))};`,
  'entity with zeros': (character) => `&#00${codeOf(character)};`,
  'entity twice': (character) => `&amp;#x${hex(codeOf(character)).toUpperCase()};`,
  'a backslash where it is harmless': (character) => (/[._~+/=-]/.test(character) ? `\\${character}` : character),
}
const escapeNames = Object.keys(escapes)
const escaped = (name: string, character: string): string => escapes[name]?.(character) ?? character

/** What may stand between two characters. */
const breaks = [
  '\n',
  '\r\n',
  '\r\n  ',
  '\n\t',
  '\\n',
  '\\r\\n',
  '\\\n',
  '\\\r\n',
  '\\\\n',
  '%0A',
  '%0d%0a',
  '&#10;',
  '\\u000a',
]

/** Base64 with line breaks, whatever stands before and after the key inside it. */
function base64(text: string, lineLength: number, lineEnd: string, isUrlSafe: boolean): string {
  const encoded = Buffer.from(text, 'latin1').toString(isUrlSafe ? 'base64url' : 'base64')
  return lineLength === 0 ? encoded : (encoded.match(new RegExp(`.{1,${lineLength}}`, 'g')) ?? []).join(lineEnd)
}

function search(body: string, places: readonly number[] = [], values: readonly string[] = [key]) {
  const guard = createLeakGuard()
  for (const value of values) guard.protect(value)
  const edges = [0, ...places.map((place) => place % (body.length + 1)).toSorted((a, b) => a - b), body.length]
  const scanner = guard.createScanner()
  const parts = edges.slice(1).map((edge, index) => scanner.push(Buffer.from(body.slice(edges[index], edge), 'latin1')))
  const streamed = Buffer.concat([...parts, scanner.end()].filter((part) => part !== null)).toString('latin1')
  const whole = guard.maskBuffer(Buffer.from(body, 'latin1')).toString('latin1')
  expect(streamed).toBe(whole)
  expect(guard.maskText(body)).toBe(whole)
  expect(whole).toHaveLength(body.length)
  expect(scanner.found > 0).toBe(whole !== body)
  return { text: whole, found: scanner.found }
}

const noise = fc.string({
  unit: fc.constantFrom(
    'a',
    'c',
    'co',
    'cog',
    'cog_',
    ' ',
    '"',
    ':',
    '%',
    '%6',
    '\\',
    '\\\\',
    '\\u',
    '&',
    '&#',
    '6',
    '63',
    '9',
    'Y2',
    'N',
    'jb',
    '\n',
    '=',
    'é',
  ),
  maxLength: 6,
})
const cuts = fc.array(fc.nat(4000), { maxLength: 6 })

describe('a key whose characters are escaped', () => {
  test.each(escapeNames)('all in the same way is masked: %s', (name) => {
    const spelled = [...key].map((character) => escaped(name, character)).join('')
    for (let cut = 0; cut <= spelled.length; cut += 7) {
      const { text, found } = search(`{"a":"${spelled}"}`, [cut])
      expect(found).toBe(1)
      expect(text).toMatch(/^\{"a":"[^"]+\*"\}$/)
    }
  })

  test.each(escapeNames)('in one character alone is masked, whichever it is: %s', (name) => {
    for (let place = 0; place < key.length; place += 1) {
      const spelled = [...key]
        .map((character, index) => (index === place ? escaped(name, character) : character))
        .join('')
      expect(search(`x=${spelled}&y`).text.endsWith('*&y')).toBe(true)
    }
  })

  test('in any mixture, with breaks in it, anywhere between other text, is masked and nothing else is', () => {
    const ways = fc.array(
      fc.tuple(fc.constantFrom(...escapeNames), fc.option(fc.constantFrom(...breaks), { freq: 8 })),
      {
        minLength: key.length,
        maxLength: key.length,
      },
    )
    fc.assert(
      fc.property(ways, noise, noise, cuts, (each, before, after, places) => {
        const tokens = [...key].map((character, index) => escaped(each[index]?.[0] ?? '', character))
        const gaps = each.map(([, gap], index) => (index === key.length - 1 ? '' : (gap ?? '')))
        const spelled = tokens.map((token, index) => token + (gaps[index] ?? '')).join('')
        const { text, found } = search(`${before} ${spelled} ${after}`, places)
        expect(found).toBe(1)
        expect(text.startsWith(`${before} `)).toBe(true)
        expect(text.endsWith(` ${after}`)).toBe(true)
        let at = before.length + 1
        for (const [index, token] of tokens.entries()) {
          expect(text.slice(at, at + token.length)).toBe(index < 4 ? token : '*'.repeat(token.length))
          at += token.length + (gaps[index] ?? '').length
        }
      }),
      { numRuns: 250 },
    )
  })
})

describe('a key in base64', () => {
  test('at any place, in both alphabets, folded anywhere, is masked, and what stands around it stays', () => {
    const around = fc.string({ unit: fc.constantFrom('user:', 'a', '{"k":"', '~', '?', 'ÿ', '\n'), maxLength: 5 })
    const lineEnds = ['\n', '\r\n', '\\n', '\\r\\n', '%0A', '\\\n', '\r\n ']
    fc.assert(
      fc.property(
        around,
        around,
        fc.nat(80),
        fc.constantFrom(...lineEnds),
        fc.boolean(),
        noise,
        cuts,
        (left, right, length, end, isUrlSafe, other, places) => {
          const inside = left + key + right
          const spelled = base64(inside, length, end, isUrlSafe)
          const { text, found } = search(`${other} "${spelled}" ${other}`, places)
          expect(found).toBe(1)
          const answer = text.slice(other.length + 2, other.length + 2 + spelled.length)
          const decoded = Buffer.from(length === 0 ? answer : answer.replaceAll(end, ''), 'base64').toString('latin1')
          expect(decoded).toBe(`${left}cog_${'*'.repeat(key.length - 4)}${right}`)
          expect(text.slice(0, other.length + 2) + text.slice(other.length + 2 + spelled.length)).toBe(
            `${other} "" ${other}`,
          )
        },
      ),
      { numRuns: 250 },
    )
  })

  test.each([
    ['slashes as PHP writes them', (text: string) => text.replaceAll('/', '\\/')],
    ['percent encoding', (text: string) => encodeURIComponent(text)],
    ['JSON escapes as .NET writes them', (text: string) => text.replaceAll('+', '\\u002B').replaceAll('/', '\\u002f')],
    ['entities', (text: string) => text.replaceAll('+', '&#x2B;').replaceAll('/', '&#47;')],
  ])('inside %s is masked', (_name, spell) => {
    const value = 'cog_o~~o//o++~~~o~~o~o~~o'
    for (const before of ['', '?', '??', 'user:', '{"key":"']) {
      const spelled = spell(Buffer.from(`${before}${value}"}`).toString('base64'))
      const { text, found } = search(`token=${spelled};`, [30], [value])
      expect(found).toBe(1)
      expect(text).not.toContain(spelled.slice(20, 40))
    }
  })

  test('twice, one behind the other, is masked twice', () => {
    for (const between of ['', ' ', '--']) {
      const { text, found } = search(Buffer.from(`x${key}${between}${key}`).toString('base64'))
      expect(found).toBe(2)
      const masked = `cog_${'*'.repeat(key.length - 4)}`
      expect(Buffer.from(text, 'base64').toString()).toBe(`x${masked}${between}${masked}`)
    }
  })
})

describe('a key in numbers', () => {
  const bytes = [...Buffer.from(key)]
  test.each([
    ['hexadecimal', bytes.map((byte) => hex(byte)).join('')],
    [
      'hexadecimal capitals',
      bytes
        .map((byte) => hex(byte))
        .join('')
        .toUpperCase(),
    ],
    ['a dump in pairs', bytes.map((byte, index) => hex(byte) + (index % 2 === 1 ? ' ' : '')).join('')],
    ['colons', bytes.map((byte) => hex(byte)).join(':')],
    ['spaces', bytes.map((byte) => hex(byte)).join(' ')],
    ['a list of hexadecimal numbers', bytes.map((byte) => `0x${hex(byte)}`).join(', ')],
    ["a list of bytes, as Node's Buffer becomes JSON", JSON.stringify(Buffer.from(key))],
    ['a list with spaces', `[${bytes.join(', ')}]`],
    ['a list in lines', JSON.stringify({ deep: { data: bytes } }, null, 2)],
    ['UTF-16', Buffer.from(key, 'utf16le').toString('latin1')],
    ['UTF-16, the other way round', Buffer.from(key, 'utf16le').swap16().toString('latin1')],
  ])('as %s is masked over any border', (_name, spelled) => {
    for (let cut = 0; cut <= spelled.length; cut += 3) {
      const { text, found } = search(`<${spelled}>`, [cut, cut + 1])
      expect(found).toBe(1)
      expect(text).not.toContain(spelled.slice(-90, -50))
    }
  })

  test('in JSON leaves the JSON valid', () => {
    const { text } = search(JSON.stringify({ before: 1, buffer: Buffer.from(key), after: [2] }))
    expect(JSON.parse(text)).toMatchObject({ before: 1, after: [2] })
  })
})

describe('what is no key of ours', () => {
  const spellings = (value: string): string[] => [
    ...escapeNames.map((name) => [...value].map((character) => escaped(name, character)).join('')),
    ...['', 'a', 'ab'].map((before) => Buffer.from(before + value).toString('base64')),
    Buffer.from(value).toString('hex'),
    [...Buffer.from(value)].join(','),
  ]

  test('passes unchanged, although one character only differs', () => {
    for (const place of [0, 3, 4, 11, 12, key.length - 3]) {
      const other = key.slice(0, place) + (key[place] === 'x' ? 'y' : 'x') + key.slice(place + 1)
      for (const spelled of spellings(other)) expect(search(`<${spelled}>`, [5]).found).toBe(0)
    }
    for (const spelled of spellings(key.slice(0, -3))) expect(search(`<${spelled}>`, [9]).found).toBe(0)
  })

  test('passes unchanged, whatever it is: the very bytes', () => {
    const units = [
      'cog_',
      'Y29nX',
      'NvZ1',
      'jb2df',
      '%63',
      '%25',
      '\\u0063',
      '\\',
      '&#99;',
      '&amp;',
      '63',
      '6f',
      '99,111',
      '\n',
      'o',
      'g',
      '_',
    ]
    const joined = (unit: fc.Arbitrary<string>): fc.Arbitrary<string> =>
      fc.array(unit, { maxLength: 60 }).map((parts) => parts.join(''))
    const byte = fc.nat(255).map((code) => String.fromCharCode(code))
    const ofBase64 = fc.constantFrom(...'YNjZX123vbdf9nocg_+/')
    const text = fc.oneof(joined(byte), joined(ofBase64), joined(fc.constantFrom(...units)))
    const guard = createLeakGuard()
    for (let index = 0; index < 200; index += 1) guard.protect(`cog_${hex(index * 7919, 32)}`)
    fc.assert(
      fc.property(text, cuts, (body, places) => {
        const bytes = Buffer.from(body)
        const scanner = guard.createScanner()
        const edges = [0, ...places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]
        const parts = edges.slice(1).map((edge, index) => scanner.push(bytes.subarray(edges[index], edge)))
        const streamed = Buffer.concat([...parts, scanner.end()].filter((part) => part !== null))
        return guard.maskBuffer(bytes) === bytes && guard.maskText(body) === body && streamed.equals(bytes)
      }),
      { numRuns: 500 },
    )
  })
})

test('the search for three bytes finds each place where they stand, over the borders of its parts', () => {
  const groups: readonly ByteTriple[] = [
    ['ab', 'c', 'de'],
    ['\xff\0', null, 'z'],
  ]
  const { next } = createByteSearch(groups)
  const isThere = (data: Buffer, at: number): boolean =>
    groups.some((group) =>
      group.every((set, place) => set?.includes(String.fromCharCode(data[at + place] ?? 0)) ?? true),
    )
  const data = Buffer.alloc(200_000, '.')
  const places = [0, 1, 15, 16, 63, 65_531, 65_532, 65_533, 65_534, 65_535, 65_536, 131_065, 131_070, 199_996, 199_997]
  for (const [index, place] of places.entries()) {
    data.fill('.')
    data.write(index % 2 === 0 ? 'bce' : '\xff-z', place, 'latin1')
    expect(next(data, 0)).toBe(place)
    expect(next(data, place)).toBe(place)
    expect(next(data, place + 1)).toBe(-1)
  }
  const units = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'z', '\xff', '\0', '.')
  fc.assert(
    fc.property(fc.string({ unit: units, maxLength: 200 }), fc.nat(200), (text, from) => {
      const bytes = Buffer.from(text, 'latin1')
      const found: number[] = []
      for (let at = next(bytes, from); at !== -1; at = next(bytes, at + 1)) found.push(at)
      for (let at = from; at + 2 < bytes.length; at += 1) if (isThere(bytes, at)) expect(found).toContain(at)
      expect(found.every((at) => at >= from && at + 2 < bytes.length)).toBe(true)
    }),
  )
})
