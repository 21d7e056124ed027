// Strict JSON: what is accepted and refused and where, exactness of numbers and names, and laws against JSON.parse.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  isJsonObject,
  JsonNumber,
  jsonNumber,
  memberAt,
  serializeStrictJson,
  type StrictJson,
} from '../../src/json/value.ts'
import { StrictJsonError } from '../../src/json/strict-json-error.ts'
import { parseStrictJson } from '../../src/json/strict-parser.ts'
import { areNamesReadRight } from '../support/json-names.ts'

function parse(text: string): StrictJson {
  return parseStrictJson(Buffer.from(text))
}

function refusal(bytes: Buffer, maxDepth = 64): string {
  try {
    parseStrictJson(bytes, { maxDepth, maxValues: 1_000_000 })
  } catch (error) {
    if (error instanceof StrictJsonError) return error.message
    throw error
  }
  return 'accepted'
}

/** The value with plain numbers and objects, as JSON.parse gives it. */
function plain(value: StrictJson): unknown {
  if (value instanceof JsonNumber) return Number(value.raw)
  if (Array.isArray(value)) return value.map(plain)
  if (!isJsonObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]))
}

describe('accepted', () => {
  test.each([
    'null',
    'true',
    'false',
    '0',
    '-0',
    '1e5',
    '-12.50E+3',
    '""',
    '[]',
    '{}',
    ' \t\r\n{ "a" : [ 1 , 2 ] } \n',
    '"\\u0000\\u001f\\"\\\\\\/\\b\\f\\n\\r\\t"',
    '"\\ud83d\\ude00\\uD83D\\uDE00"',
    '"😀\u2028\u2029\u007f\ufffd\ufeff"',
    '{"":1,"a":{"":2}}',
    '{"a":1,"A":2,"\u0061\u0301":3,"á":4}',
    '[[[[]]],{"a":{"b":[{}]}}]',
  ])('%j, as JSON.parse reads it', (text) => {
    expect(plain(parse(text))).toEqual(JSON.parse(text))
  })

  test('sixty-four levels of nesting', () => {
    expect(refusal(Buffer.from('['.repeat(64) + ']'.repeat(64)))).toBe('accepted')
    expect(refusal(Buffer.from('{"a":'.repeat(64) + '1' + '}'.repeat(64)))).toBe('accepted')
  })
})

describe('refused, and said where', () => {
  test.each([
    ['', 'expected a value, found the end at byte 0 (1:1)'],
    ['  ', 'expected a value, found the end at byte 2 (1:3)'],
    ['\ufeff{}', 'byte order mark at byte 0 (1:1)'],
    [' \ufeff{}', 'expected a value, found U+FEFF at byte 1 (1:2)'],
    ['{} x', 'expected the end, found "x" at byte 3 (1:4)'],
    ['{}{}', 'expected the end, found "{" at byte 2 (1:3)'],
    ['1 2', 'expected the end, found "2" at byte 2 (1:3)'],
    ['{"a":1,"a":2}', 'duplicate member "a" at byte 7 (1:8)'],
    ['{"a":1,"\\u0061":2}', 'duplicate member "a" at byte 7 (1:8)'],
    ['{"\\u00e9":1,"é":2}', 'duplicate member "é" at byte 12 (1:13)'],
    ['{"/":1,"\\/":2}', 'duplicate member "/" at byte 7 (1:8)'],
    ['{"__proto__":1,"__proto__":2}', 'duplicate member "__proto__" at byte 15 (1:16)'],
    ['[{"x":{"7":1,\n  "7":2}}]', 'duplicate member "7" at byte 16 (2:3)'],
    ['"\\ud800"', 'escape of a lone surrogate at byte 1 (1:2)'],
    ['"\\udc00"', 'escape of a lone surrogate at byte 1 (1:2)'],
    ['"ab\\ud83d\\u0041"', 'escape of a lone surrogate at byte 3 (1:4)'],
    ['"\\ud83d\\ud83d\\ude00"', 'escape of a lone surrogate at byte 1 (1:2)'],
    ['"\\ud83dx"', 'escape of a lone surrogate at byte 1 (1:2)'],
    ['{"\\udead":1}', 'escape of a lone surrogate at byte 2 (1:3)'],
    ['"\\x41"', 'invalid escape at byte 1 (1:2)'],
    ['"\\u00g0"', 'invalid escape at byte 1 (1:2)'],
    ['"\\u12"', 'invalid escape at byte 1 (1:2)'],
    ['"\\', 'invalid escape at byte 1 (1:2)'],
    ['"a\nb"', 'unescaped control character in a string at byte 2 (1:3)'],
    ['"a\tb"', 'unescaped control character in a string at byte 2 (1:3)'],
    ['["a', 'string without end at byte 1 (1:2)'],
    ['NaN', 'expected a value, found "N" at byte 0 (1:1)'],
    ['[Infinity]', 'expected a value, found "I" at byte 1 (1:2)'],
    ['-Infinity', 'malformed number at byte 0 (1:1)'],
    ['nul', 'expected a value, found "n" at byte 0 (1:1)'],
    ['True', 'expected a value, found "T" at byte 0 (1:1)'],
    ['truex', 'expected the end, found "x" at byte 4 (1:5)'],
    ['undefined', 'expected a value, found "u" at byte 0 (1:1)'],
    ['01', 'malformed number at byte 0 (1:1)'],
    ['-01', 'malformed number at byte 0 (1:1)'],
    ['[1.]', 'malformed number at byte 1 (1:2)'],
    ['.5', 'expected a value, found "." at byte 0 (1:1)'],
    ['+1', 'expected a value, found "+" at byte 0 (1:1)'],
    ['1e', 'malformed number at byte 0 (1:1)'],
    ['1e+', 'malformed number at byte 0 (1:1)'],
    ['1.2.3', 'malformed number at byte 0 (1:1)'],
    ['0x10', 'expected the end, found "x" at byte 1 (1:2)'],
    ['1_000', 'expected the end, found "_" at byte 1 (1:2)'],
    ['-', 'malformed number at byte 0 (1:1)'],
    ['[1,]', 'expected a value, found "]" at byte 3 (1:4)'],
    ['[,1]', 'expected a value, found "," at byte 1 (1:2)'],
    ['[1 2]', 'expected "," or "]", found "2" at byte 3 (1:4)'],
    ['[1}', 'expected "," or "]", found "}" at byte 2 (1:3)'],
    ['[1', 'expected "," or "]", found the end at byte 2 (1:3)'],
    ['{"a":1,}', 'expected a member name in double quotes, found "}" at byte 7 (1:8)'],
    ["{'a':1}", 'expected a member name in double quotes, found "\'" at byte 1 (1:2)'],
    ['{a:1}', 'expected a member name in double quotes, found "a" at byte 1 (1:2)'],
    ['{"a" 1}', 'expected ":", found "1" at byte 5 (1:6)'],
    ['{"a":}', 'expected a value, found "}" at byte 5 (1:6)'],
    ['{"a":1 "b":2}', 'expected "," or "}", found """ at byte 7 (1:8)'],
    ['// x\n1', 'expected a value, found "/" at byte 0 (1:1)'],
    ['[1/* x */]', 'expected "," or "]", found "/" at byte 2 (1:3)'],
    ['# x', 'expected a value, found "#" at byte 0 (1:1)'],
    ['\u00a01', 'expected a value, found U+00A0 at byte 0 (1:1)'],
    ['\f1', 'expected a value, found U+000C at byte 0 (1:1)'],
    ['\u00001', 'expected a value, found U+0000 at byte 0 (1:1)'],
    ['[1]\u0000', 'expected the end, found U+0000 at byte 3 (1:4)'],
    ['{"é😀":\r\n  x}', 'expected a value, found "x" at byte 14 (2:3)'],
    ['["é😀" x]', 'expected "," or "]", found "x" at byte 10 (1:7)'],
  ])('%j: %s', (text, message) => {
    expect(refusal(Buffer.from(text))).toBe(message)
  })

  test.each([
    ['a byte that cannot begin a character', [0x22, 0xff, 0x22], 'invalid UTF-8 at byte 1 (1:2)'],
    ['an overlong slash', [0x22, 0xc0, 0xaf, 0x22], 'invalid UTF-8 at byte 1 (1:2)'],
    ['an encoded surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22], 'invalid UTF-8 at byte 1 (1:2)'],
    ['a character above U+10FFFF', [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22], 'invalid UTF-8 at byte 1 (1:2)'],
    ['a character cut short', [0x22, 0xc3, 0xa9, 0xe2, 0x82, 0x22], 'invalid UTF-8 at byte 3 (1:3)'],
    ['the end inside a character', [0x22, 0xef, 0xbf, 0xbd, 0xe2, 0x82], 'invalid UTF-8 at byte 4 (1:3)'],
    ['a byte order mark of UTF-16', [0xff, 0xfe, 0x5b, 0x00, 0x5d, 0x00], 'invalid UTF-8 at byte 0 (1:1)'],
    ['UTF-16 without one', [0x5b, 0x00, 0x5d, 0x00], 'expected a value, found U+0000 at byte 1 (1:2)'],
  ])('%s', (_name, bytes, message) => {
    expect(refusal(Buffer.from(bytes))).toBe(message)
  })

  test('nesting deeper than the limit, at the bracket that goes too far', () => {
    expect(refusal(Buffer.from('['.repeat(65) + ']'.repeat(65)))).toBe('nested deeper than 64 at byte 64 (1:65)')
    expect(refusal(Buffer.from('[{"a":[]}]'), 2)).toBe('nested deeper than 2 at byte 6 (1:7)')
    expect(refusal(Buffer.from('['.repeat(1_000_000)))).toBe('nested deeper than 64 at byte 64 (1:65)')
  })

  describe('more values than the bound, at the first that is too many', () => {
    function many(maxValues: number, text: string): string {
      try {
        parseStrictJson(Buffer.from(text), { maxDepth: 64, maxValues })
      } catch (error) {
        if (error instanceof StrictJsonError) return `${error.fault}: ${error.message}`
        throw error
      }
      return 'accepted'
    }

    test.each([
      ['[0,1]', 3, 'accepted'],
      ['[0,1]', 2, 'values: more than 2 values and names at byte 3 (1:4)'],
      ['{"a":{"b":null}}', 5, 'accepted'],
      ['{"a":{"b":null}}', 4, 'values: more than 4 values and names at byte 10 (1:11)'],
      ['{"a":{"b":null}}', 3, 'values: more than 3 values and names at byte 6 (1:7)'],
      ['[[],{},"",true,false]', 6, 'accepted'],
      ['[[],{},"",true,false]', 5, 'values: more than 5 values and names at byte 15 (1:16)'],
      // One each, however long.
      [`{"${'n'.repeat(5000)}":"${'x'.repeat(5000)}"}`, 3, 'accepted'],
      ['[[[', 2, 'values: more than 2 values and names at byte 2 (1:3)'],
    ])('%s with at most %d: %s', (text, maxValues, said) => {
      expect(many(maxValues, text)).toBe(said)
    })

    test('is ten thousand by default', () => {
      const zeros = (count: number) => Buffer.from(`[${Array(count).fill('0').join(',')}]`)
      expect(parseStrictJson(zeros(9_999))).toHaveLength(9_999)
      expect(() => parseStrictJson(zeros(10_000))).toThrow('more than 10000 values and names at byte 19999 (1:20000)')
    })

    test('and nothing behind it is looked at', () => {
      expect(many(100, `[${'0,'.repeat(99)}0,${'\u0000'.repeat(500_000)}`)).toBe(
        'values: more than 100 values and names at byte 199 (1:200)',
      )
    })
  })

  test('the place is right behind a million line breaks, characters and escapes', () => {
    expect(refusal(Buffer.from(`${'\n'.repeat(1_000_000)}x`))).toBe(
      'expected a value, found "x" at byte 1000000 (1000001:1)',
    )
    expect(refusal(Buffer.from(`"${'😀'.repeat(250_000)}"x`))).toBe(
      'expected the end, found "x" at byte 1000002 (1:250003)',
    )
    expect(refusal(Buffer.from(`"${'\\n'.repeat(500_000)}\\x"`))).toBe('invalid escape at byte 1000001 (1:1000002)')
    const replaced = Buffer.from(`"${'\ufffd'.repeat(300_000)}`)
    expect(refusal(Buffer.concat([replaced, Buffer.from([0xef, 0xbf, 0x22])]))).toBe(
      'invalid UTF-8 at byte 900001 (1:300002)',
    )
  })

  test('a long duplicate name is shortened', () => {
    const name = 'n'.repeat(1000)
    expect(refusal(Buffer.from(`{"${name}":1,"${name}":2}`))).toMatch(/^duplicate member "n{64}" at byte/)
  })
})

describe('names', () => {
  test('that objects of JavaScript carry are ordinary members', () => {
    const value = parse('{"__proto__":{"admin":true},"constructor":1,"toString":2,"hasOwnProperty":3}')
    expect(memberAt(value, '__proto__.admin')).toEqual([true])
    expect(memberAt(value, 'admin')).toEqual([])
    expect(memberAt(value, 'valueOf')).toEqual([])
    expect(serializeStrictJson(value).toString()).toBe(
      '{"__proto__":{"admin":true},"constructor":1,"toString":2,"hasOwnProperty":3}',
    )
    expect(({} as { admin?: boolean }).admin).toBeUndefined()
  })
})

describe('numbers', () => {
  test.each([
    '12345678901234567890',
    '1.0',
    '1e400',
    '-0',
    '-0.0',
    '1E+2',
    '0.1000',
    '100000000000000000000000.5',
    '5e-400',
  ])('%s comes out as it went in', (raw) => {
    expect(serializeStrictJson(parse(`{"n":[${raw}]}`)).toString()).toBe(`{"n":[${raw}]}`)
  })

  test.each([
    ['25', 25],
    ['-25', -25],
    ['25.0', 25],
    ['2.5e1', 25],
    ['0.1', 0.1],
    ['-0', -0],
    ['0.000', 0],
    ['0e999', 0],
    ['1e21', 1e21],
    ['1000000000000000000000', 1e21],
    ['5e-324', 5e-324],
    ['9007199254740993', null],
    ['25.0000000000000000001', null],
    ['12345678901234567890', null],
    ['1e400', null],
    ['-1e400', null],
    ['1e-400', null],
    ['1e99999999999999999999', null],
  ])('%s as a double is %s', (raw, expected) => {
    expect(new JsonNumber(raw).toNumber()).toBe(expected)
  })

  test('made from a double have its shortest text, and the infinities have none', () => {
    expect([10, 0.1, 1e21, -3].map((value) => String(jsonNumber(value)))).toEqual(['10', '0.1', '1e+21', '-3'])
    for (const value of [Number.NaN, Infinity, -Infinity]) expect(() => jsonNumber(value)).toThrow(RangeError)
  })

  test('a double from a text that loses nothing gives the same text back in value', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        // Neither spelling keeps the sign of a negative zero, and adding zero drops it too.
        expect(new JsonNumber(JSON.stringify(value)).toNumber()).toBe(value + 0)
        expect(new JsonNumber(value.toExponential()).toNumber()).toBe(value + 0)
      }),
    )
  })
  test('doubles that stand for their texts compare as the texts do', () => {
    const digits = fc.bigInt({ min: 0n, max: 10n ** 25n })
    // Near each other, so that rounding could turn the order around.
    const pair = fc
      .tuple(digits, fc.bigInt({ min: -3n, max: 3n }))
      .map(([a, step]): [bigint, bigint] => [a, a + step < 0n ? 0n : a + step])
    fc.assert(
      fc.property(pair, fc.nat(20), ([a, b], fraction) => {
        const raw = (value: bigint) =>
          `${value / 10n ** BigInt(fraction)}.${(value % 10n ** BigInt(fraction)).toString().padStart(fraction + 1, '0')}`
        const [x, y] = [new JsonNumber(raw(a)).toNumber(), new JsonNumber(raw(b)).toNumber()]
        if (x !== null && y !== null) expect([x < y, x === y]).toEqual([a < b, a === b])
      }),
      { numRuns: 2000 },
    )
  })
})

describe('reading places', () => {
  const body = parse(
    '{"groups":[{"org_ids":["a","b"]},{"org_ids":[]},{},{"org_ids":["c",null,7]}],"by":{"x":{"id":1},"y":{"id":null}},"none":null,"list":"bare"}',
  )

  test.each([
    ['groups.*.org_ids.*', '["a","b","c",null,7]'],
    ['groups.*.org_ids', '[["a","b"],[],["c",null,7]]'],
    ['by.*.id', '[1,null]'],
    ['none', '[null]'],
    ['none.*', '[]'],
    ['none.x', '[]'],
    ['absent', '[]'],
    ['groups.org_ids', '[]'],
    ['groups.0', '[]'],
    ['groups.length', '[]'],
    ['list.length', '[]'],
    ['list.*', '["bare"]'],
    ['list.*.*', '["bare"]'],
  ])('%s', (path, expected) => {
    expect(serializeStrictJson(memberAt(body, path)).toString()).toBe(expected)
  })

  test('a number is a value and not a container', () => {
    expect(memberAt(parse('{"n":1}'), 'n.raw')).toEqual([])
    expect(memberAt(parse('{"n":1}'), 'n.*')).toEqual([new JsonNumber('1')])
  })
})

describe('laws', () => {
  // JSON text with white space, escapes and odd numbers, from arbitrary values whose strings are well-formed.
  const space = fc.constantFrom('', ' ', '\n', '\t', '\r\n')
  const documents = fc
    .tuple(fc.jsonValue({ maxDepth: 6, stringUnit: 'binary' }).filter(areNamesReadRight), space)
    .map(([value, indent]) => JSON.stringify(value, null, indent))

  test('every document that JSON.stringify writes is accepted and equal to what JSON.parse gives', () => {
    fc.assert(
      fc.property(documents, (text) => {
        expect(plain(parse(text))).toEqual(JSON.parse(text))
      }),
      { numRuns: 1000 },
    )
  })

  test('a serialised value parses to an equal one', () => {
    fc.assert(
      fc.property(documents, (text) => {
        const value = parse(text)
        expect(parseStrictJson(serializeStrictJson(value))).toEqual(value)
      }),
      { numRuns: 500 },
    )
  })

  const fragment = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '"a"',
    '"\\u0061"',
    '\\',
    '\\ud800',
    '\\udc00',
    '0',
    '1',
    '-',
    '.',
    'e',
    '+',
    'true',
    'null',
    ' ',
    '\n',
    '\u0001',
    '😀',
    '/',
  )
  const nearly = fc.oneof(
    fc.array(fragment, { maxLength: 12 }).map((parts) => parts.join('')),
    fc.tuple(documents, fc.nat(), fragment).map(([text, place, part]) => {
      const at = place % (text.length + 1)
      return text.slice(0, at) + part + text.slice(at + 1)
    }),
  )

  test('what is accepted, JSON.parse accepts and reads the same', () => {
    fc.assert(
      fc.property(nearly, (text) => {
        if (refusal(Buffer.from(text)) === 'accepted')
          expect(plain(parse(text))).toEqual(JSON.parse(Buffer.from(text).toString()))
      }),
      { numRuns: 5000 },
    )
  })

  test('what is refused, JSON.parse refuses too, or it has duplicate names or a lone surrogate', () => {
    fc.assert(
      fc.property(nearly, (text) => {
        const message = refusal(Buffer.from(text))
        if (message === 'accepted' || /^(duplicate member|escape of a lone surrogate)/.test(message)) return
        expect(() => JSON.parse(Buffer.from(text).toString())).toThrow(SyntaxError)
      }),
      { numRuns: 5000 },
    )
  })

  test('a member that is repeated anywhere, in any spelling, is found', () => {
    const name = fc.string({ unit: 'binary', maxLength: 5 })
    const escapeAll = (text: string) =>
      Array.from({ length: text.length }, (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 6 }), fc.nat(), fc.nat(30), (names, pick, depth) => {
        const again = escapeAll(names[pick % names.length] ?? '')
        const members = names.map((each) => `${JSON.stringify(each)}:[]`).join(',')
        const text = `${'[{"x":'.repeat(depth)}{${members},"${again}":0}${'}]'.repeat(depth)}`
        expect(refusal(Buffer.from(text))).toMatch(/^duplicate member/)
      }),
    )
  })
})

test('a number of a thousand characters is read, and a longer one is refused where it begins', () => {
  for (const number of ['1'.repeat(1000), `0.${'0'.repeat(998)}`, `-${'9'.repeat(900)}e${'1'.repeat(98)}`]) {
    expect(parse(`[${number}]`)).toEqual([new JsonNumber(number)])
    const longer = `${number}1`
    expect(refusal(Buffer.from(`[1,${longer}]`))).toBe('number of more than 1000 characters at byte 3 (1:4)')
  }
})

test('strings of escapes, quotes and surrogates are what JSON.parse reads, and refused where a surrogate is alone', () => {
  const piece = fc.constantFrom(
    '\\n',
    '\\"',
    '\\\\',
    '\\u0041',
    '\\ud83d',
    '\\ude00',
    'a',
    '😀',
    '"',
    '\\',
    '\n',
    '\\x',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = `"${pieces.join('')}"`
      let expected: unknown
      try {
        expected = JSON.parse(text)
      } catch {
        expected = null
      }
      const accepted = refusal(Buffer.from(text)) === 'accepted'
      expect(accepted).toBe(typeof expected === 'string' && expected.isWellFormed())
      if (accepted) expect(parse(text)).toBe(expected)
    }),
    { numRuns: 2000 },
  )
})
