// The leak guard: keys in header values, complete bodies and chunks, against an obvious replacement on the whole.

import * as fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { createLeakGuard, type LeakGuard } from '../../../src/gateway/responses/leak-guard.ts'

const key = 'cog_9f8e7d6c5b4a~x+y/z=='
const masked = `cog_${'*'.repeat(key.length - 4)}`

function guardOf(...values: readonly string[]): LeakGuard {
  const guard = createLeakGuard()
  for (const value of values) guard.protect(value)
  return guard
}

/** Everything that comes out of a scanner for these chunks. */
function scan(guard: LeakGuard, chunks: readonly Buffer[]): { readonly text: string; readonly found: number } {
  const scanner = guard.createScanner()
  const parts = [...chunks.map((chunk) => scanner.push(chunk)), scanner.end()]
  return { text: Buffer.concat(parts.filter((part) => part !== null)).toString('latin1'), found: scanner.found }
}

function cut(text: string, places: readonly number[]): Buffer[] {
  const edges = [0, ...places.map((place) => place % (text.length + 1)).toSorted((a, b) => a - b), text.length]
  return edges.slice(1).map((edge, index) => Buffer.from(text.slice(edges[index], edge), 'latin1'))
}

describe('what is protected', () => {
  test.each(['', 'cog_', 'COG_abc', 'xcog_abc', 'cog_ab c', 'cog_abc\n', 'cog_ab*c', 'Bearer cog_abc'])(
    'what is no key is refused without repeating it: %j',
    (value) => {
      expect(() => createLeakGuard().protect(value)).toThrow('A protected value must be a service-user key (cog_…)')
    },
  )

  test('the value before a rotation stays protected', () => {
    const guard = guardOf('cog_old')
    guard.maskText('cog_old')
    guard.protect('cog_new')
    expect(guard.maskText('cog_old cog_new')).toBe('cog_*** cog_***')
  })

  test('of too many values the one protected longest ago is forgotten', () => {
    const guard = createLeakGuard(2)
    for (const value of ['cog_1', 'cog_2', 'cog_1', 'cog_3']) guard.protect(value)
    expect(guard.maskText('cog_1 cog_2 cog_3')).toBe('cog_* cog_2 cog_*')
  })

  test('ten thousand values are all found', () => {
    const values = Array.from({ length: 10_000 }, (_, index) => `cog_${index * 7919}x`)
    const text = guardOf(...values).maskText(values.join(' '))
    expect(text).toMatch(/^(cog_\*+ ?)+$/)
    expect(text).toHaveLength(values.join(' ').length)
  })

  test('letters in another case are another value', () => {
    expect(guardOf('cog_abc').maskText('cog_ABC COG_abc')).toBe('cog_ABC COG_abc')
  })
})

describe('a header value', () => {
  test('is masked wherever the key stands', () => {
    const location = `https://elsewhere.example/?token=${key}&again=${key}`
    expect(guardOf(key).maskText(location)).toBe(`https://elsewhere.example/?token=${masked}&again=${masked}`)
  })

  test('keeps characters outside ASCII', () => {
    expect(guardOf(key).maskText(`ü€😀${key}ü€😀`)).toBe(`ü€😀${masked}ü€😀`)
  })

  test('without a key of ours is left as it is', () => {
    expect(guardOf(key).maskText(`application/json; note=${key.slice(0, -1)}`)).toBe(
      `application/json; note=${key.slice(0, -1)}`,
    )
  })
})

describe('a complete body', () => {
  test('without a key is the same buffer', () => {
    const body = Buffer.from('{"id":"cog_notours","end":"cog')
    expect(guardOf(key).maskBuffer(body)).toBe(body)
    expect(createLeakGuard().maskBuffer(Buffer.from(key)).toString()).toBe(key)
  })

  test('with a key is a masked copy that is still the same JSON, and the original is not written to', () => {
    const body = Buffer.from(JSON.stringify({ echo: `Bearer ${key}`, n: 1 }))
    const before = Buffer.from(body)
    const result = guardOf(key).maskBuffer(body)
    expect(JSON.parse(result.toString())).toEqual({ echo: `Bearer ${masked}`, n: 1 })
    expect(body).toEqual(before)
  })

  test('where one key begins another, the longer is masked whole', () => {
    expect(guardOf('cog_a', 'cog_abc', 'cog_ab').maskBuffer(Buffer.from('cog_abcd cog_ab cog_aXc')).toString()).toBe(
      'cog_***d cog_** cog_*Xc',
    )
  })

  test('that ends inside a longer key is masked as far as a shorter one goes', () => {
    expect(guardOf('cog_a', 'cog_abc').maskBuffer(Buffer.from('cog_ab')).toString()).toBe('cog_*b')
  })

  test('a key right behind the start of one is found', () => {
    expect(guardOf('cog_ab').maskBuffer(Buffer.from('ccocogcog_cog_ab')).toString()).toBe('ccocogcog_cog_**')
  })
})

describe('a stream of chunks', () => {
  test('a key cut in two or three anywhere is masked', () => {
    const text = `{"a":"${key}"}`
    for (let first = 0; first <= text.length; first += 1) {
      for (let second = first; second <= text.length; second += 1) {
        expect(scan(guardOf(key), cut(text, [first, second]))).toEqual({ text: `{"a":"${masked}"}`, found: 1 })
      }
    }
  })

  test('a key that comes byte by byte is masked', () => {
    const chunks = Array.from(Buffer.from(`${key}${key}.`), (byte) => Buffer.from([byte]))
    expect(scan(guardOf(key), chunks)).toEqual({ text: `${masked}${masked}.`, found: 2 })
  })

  test('chunks without a key are passed on at once, uncopied', () => {
    const scanner = guardOf(key).createScanner()
    for (const text of ['{"a":1,', '"b":"cog_other",', '"cog":"c', '"}']) {
      const chunk = Buffer.from(text)
      const passed = scanner.push(chunk)
      if (text.endsWith('c')) expect(passed?.toString()).toBe(text.slice(0, -1))
      else if (text === '"}') expect(passed?.toString()).toBe('c"}')
      else expect(passed).toBe(chunk)
    }
    expect(scanner.end()).toBeNull()
    expect(scanner.found).toBe(0)
  })

  test('nothing but the possible start of a key is held back, and given at the end', () => {
    const scanner = guardOf(key).createScanner()
    expect(scanner.push(Buffer.from(`abc ${key.slice(0, 9)}`))?.toString()).toBe('abc ')
    expect(scanner.push(Buffer.from(key.slice(9, 12)))).toBeNull()
    expect(scanner.end()?.toString()).toBe(key.slice(0, 12))
    expect(scanner.end()).toBeNull()
  })

  test('a key that may yet become a longer one is held, and masked when it does not', () => {
    const scanner = guardOf('cog_a', 'cog_abc').createScanner()
    expect(scanner.push(Buffer.from('cog_ab'))).toBeNull()
    expect(scanner.push(Buffer.from('d'))?.toString()).toBe('cog_*bd')
  })

  test('a held tail does not change when its chunk is used again', () => {
    const scanner = guardOf(key).createScanner()
    const chunk = Buffer.from(key.slice(0, 10))
    scanner.push(chunk)
    chunk.fill(0)
    expect(scanner.push(Buffer.from(key.slice(10)))?.toString()).toBe(masked)
  })

  test('a key protected while the answer is under way is masked', () => {
    const guard = createLeakGuard()
    const scanner = guard.createScanner()
    scanner.push(Buffer.from('abc'))
    guard.protect(key)
    expect(scanner.push(Buffer.from(key))?.toString()).toBe(masked)
  })
})

describe('against replacing on the whole', () => {
  const tail = fc.string({ unit: fc.constantFrom('a', 'b', '_', 'cog_', 'c', 'co'), minLength: 1, maxLength: 4 })
  const cases = fc.uniqueArray(tail, { minLength: 1, maxLength: 6 }).chain((tails) => {
    const values = [...new Set(tails.map((text) => `cog_${text}`))]
    const whole = fc.constantFrom(...values)
    const part = fc.tuple(whole, fc.nat(20)).map(([value, length]) => value.slice(0, length))
    const noise = fc.constantFrom('c', 'co', 'cog', 'cog_', 'a', 'b', '*', '"', '\n', '\u0000', 'é', 'ÿ')
    const text = fc.array(fc.oneof(whole, part, noise), { maxLength: 12 }).map((pieces) => pieces.join(''))
    return fc.record({ values: fc.constant(values), text, places: fc.array(fc.nat(200), { maxLength: 8 }) })
  })

  /** What may stand between two characters, as far as these cases hold it. */
  const between = /[\n\0]/

  /** The obvious way: one regular expression of all values, longest first. */
  function replaced(values: readonly string[], text: string): string {
    const longestFirst = values.toSorted((a, b) => b.length - a.length)
    const spelled = longestFirst.map((value) => [...value].join(`${between.source}*`))
    return text.replace(new RegExp(spelled.join('|'), 'g'), (value) => {
      let characters = 0
      return [...value].map((each) => (between.test(each) || ++characters <= 4 ? each : '*')).join('')
    })
  }

  test('text, body and any chunking give the same, as long as before and without a protected value', () => {
    fc.assert(
      fc.property(cases, ({ values, text, places }) => {
        const expected = replaced(values, text)
        const guard = guardOf(...values)
        const chunks = cut(text, places)
        const before = chunks.map((chunk) => Buffer.from(chunk))
        const scanned = scan(guard, chunks)
        expect(guard.maskText(text)).toBe(expected)
        expect(guard.maskBuffer(Buffer.from(text, 'latin1')).toString('latin1')).toBe(expected)
        expect(scanned.text).toBe(expected)
        expect(scanned.found > 0).toBe(expected !== text)
        expect(scanned.text).toHaveLength(text.length)
        for (const value of values) expect(scanned.text).not.toContain(value)
        expect(chunks).toEqual(before)
      }),
      { numRuns: 3000 },
    )
  })

  test('what is held back is a proper prefix of a protected value', () => {
    fc.assert(
      fc.property(cases, ({ values, text, places }) => {
        const scanner = guardOf(...values).createScanner()
        let taken = ''
        let given = 0
        for (const chunk of cut(text, places)) {
          taken += chunk.toString('latin1')
          given += scanner.push(chunk)?.length ?? 0
          const held = taken.slice(given).replaceAll(new RegExp(between, 'g'), '')
          expect(held === '' || values.some((value) => value.startsWith(held) && value !== held)).toBe(true)
        }
      }),
      { numRuns: 1000 },
    )
  })
})

test('a text full of beginnings of keys is told from keys without looking at each closely', () => {
  const guard = guardOf(key, 'cog_other-key')
  const text = 'cog_'.repeat(10_000)
  const looked = vi.spyOn(Buffer.prototype, 'toString')
  const body = Buffer.from(text)
  expect(guard.maskBuffer(body)).toBe(body)
  expect(scan(guard, cut(text, [10_001, 30_002])).found).toBe(0)
  expect(looked.mock.calls.length).toBeLessThan(20)
  looked.mockRestore()
  // Keys among them are found, the last one too, and short ones.
  expect(scan(guard, cut(text + key, [39_990, 40_003, 40_008]))).toEqual({ text: text + masked, found: 1 })
  expect(
    guardOf(key, 'cog_ab')
      .maskBuffer(Buffer.from(`${text}cog_ab${key}`))
      .toString(),
  ).toBe(`${text}cog_**${masked}`)
})
