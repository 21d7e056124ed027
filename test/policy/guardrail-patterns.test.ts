// Patterns of guardrails: what they match, that they take linear time, and exact comparison of numbers.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareNumbers, isNumberText } from '../../src/json/decimal.ts'
import { compilePattern, Effort } from '../../src/policy/guardrails/pattern.ts'

function matches(pattern: string, text: string): boolean {
  const compiled = compilePattern(pattern)
  if ('error' in compiled) throw new Error(compiled.error)
  return compiled.test(text, new Effort())
}

describe('a pattern', () => {
  test.each<[pattern: string, matching: string[], others: string[]]>([
    [
      'corp/*',
      ['corp/a', 'corp/a/b', 'corp/a.b', 'corp/.github', 'corp/a..b', 'corp/Ünï', 'corp/a%20b'],
      ['corp', 'corp/', 'Corp/a', 'xcorp/a', ''],
    ],
    ['*', ['a', '*', 'ab', '..', 'a/../b'], ['', 'a\nb', '\u0000', 'a\u2028']],
    ['a*a', ['aba', 'aaa'], ['a', 'aa', 'ab']],
    ['*.corp.example', ['git.corp.example'], ['.corp.example', 'git.corp.example.evil', 'corp.example']],
    ['a*b*c', ['axbxc', 'abbbc', 'axbxbc'], ['abc', 'abbc', 'acb', 'ab', 'xabc']],
    ['**', ['ab'], ['', 'a']],
    [
      'https://git.corp/*',
      ['https://git.corp/a', 'https://git.corp/a/b'],
      ['https://git.corp//a', 'https://git.corp/a/', 'https:/git.corp/a'],
    ],
    ['/srv/*/', ['/srv/a/', '/srv/a/b/'], ['/srv//', '/srv/a//', '/srv/../']],
    ['*/infra', ['corp/infra', 'a/b/infra'], ['/infra', '../infra', 'corp//infra', './infra']],
    ['exact', ['exact'], ['exactly', 'exac', 'Exact']],
    ['a.c[x]+', ['a.c[x]+'], ['abcx', 'a.cx']],
    ['^[A-Z]+-[0-9]{1,6}$', ['OPS-1', 'A-123456'], ['ops-1', 'OPS-1234567', 'xOPS-1', 'OPS-1\n', '\nOPS-1']],
    ['^a|b$', ['a', 'b'], ['ab', 'ax', 'xb', '']],
    ['^.*x.*$', ['x', 'a\nx\nb'], ['a']],
    ['^(?i)ops$', ['ops', 'OPS'], ['oops']],
    ['^\\p{Greek}+$', ['αβγ'], ['abc']],
  ])('%s', (pattern, matching, others) => {
    expect(matching.filter((text) => !matches(pattern, text))).toEqual([])
    expect(others.filter((text) => matches(pattern, text))).toEqual([])
  })

  test.each(['^[ab]*a[ab]{12}$', '^(?:a|b)*a.{3}b?$', '^(?:ab?){2,40}$', '^[^b]*(?:b[^b]*b[^b]*)*$'])(
    '%s matches what it matches elsewhere',
    (pattern) => {
      const elsewhere = new RegExp(pattern, 's')
      fc.assert(
        fc.property(fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 80 }), (text) => {
          expect(matches(pattern, text)).toBe(elsewhere.test(text))
        }),
        { numRuns: 200 },
      )
    },
  )

  test.each([
    ['^[a-z ]*$', 65_536],
    ['^(?:[a-z]+-)*[a-z]+$', 65_536],
    ['^[ab]*a[ab]{60}$', 16_131],
    ['^[a-z]{1,500}.*$', 1_045],
  ])('%s reads as many characters of a request as its steps allow: %i', (pattern, most) => {
    const compiled = compilePattern(pattern)
    if ('error' in compiled) throw new Error(compiled.error)
    const [within, beyond] = [new Effort(), new Effort()]
    compiled.test('a'.repeat(most), within)
    compiled.test('a'.repeat(most + 1), beyond)
    expect([within.isSpent, beyond.isSpent]).toEqual([false, true])
  })

  test.each([
    [
      '^(a)\\1$',
      'not a regular expression that runs in linear time (the syntax of RE2): invalid escape sequence: `\\1`',
    ],
    [
      '^a(?=b)$',
      'not a regular expression that runs in linear time (the syntax of RE2): invalid or unsupported Perl syntax: `(?=`',
    ],
    ['^(a$', 'not a regular expression that runs in linear time (the syntax of RE2): missing closing ): `(a`'],
    [
      '^[a-z]{1,600}$',
      'a regular expression of 1201 steps, more than the 1024 that are taken: repeat less in it, and bound the length with max_length',
    ],
    [
      `^${'a{1000}'.repeat(20)}$`,
      'a regular expression of 20002 steps, more than the 1024 that are taken: repeat less in it, and bound the length with max_length',
    ],
    ['^a', 'a regular expression begins with ^ and ends with $, so that it bounds the whole text'],
  ])('that is none is refused: %s', (pattern, error) => {
    expect(compilePattern(pattern)).toEqual({ error })
  })

  test.each([
    'corp/../evil/infra',
    'corp/..',
    'corp/./infra',
    'corp/infra/..',
    'corp//infra',
    'corp/infra/',
    'corp/\n',
    'corp/infra\n../evil',
    'corp/\u2028infra',
    'corp/\u202einfra',
    'corp/%2e%2e/evil',
    'corp/.%2E/evil',
    'corp/%252e%252e/evil',
    'corp/%25252e./evil',
    'corp/..%2fevil',
    'corp/..%5cevil',
    'corp/..\\evil',
    'corp\\..\\evil',
    'corp/..;/evil',
    'corp/..;a=b/evil',
    'corp/.. /evil',
    'corp/ /evil',
    'corp/%20/evil',
    'corp/\uff0e\uff0e/evil',
    'corp/\u2025/evil',
    'corp/.\u200b./evil',
    'corp/\u200b/evil',
    'corp/..\u00ad/evil',
    'corp/a\uff0f..\uff0fevil',
    'corp/.../evil',
  ])('with a slash takes no path that leads elsewhere: %j', (text) => {
    expect(matches('corp/*', text)).toBe(false)
  })

  test('with a slash takes only what every reader of the path finds below the same folder', () => {
    const segment = fc.constantFrom(
      'a',
      'infra',
      '.',
      '..',
      '',
      ' ',
      '%2e',
      '%2e%2e',
      '．．',
      '..;x',
      '.git',
      'a.b',
      '…',
    )
    const slash = fc.constantFrom('/', '/', '/', '%2f', '%252F', '\\', '／', '%5c')
    const layers = (text: string): string[] => {
      const decoded = text.replaceAll(/%[0-9a-f]{2}/gi, (escape) => decodeURIComponent(escape))
      return decoded === text ? [text] : [text, ...layers(decoded)]
    }
    fc.assert(
      fc.property(fc.array(fc.tuple(slash, segment), { minLength: 1, maxLength: 5 }), (parts) => {
        const text = `corp${parts.flat().join('')}`
        if (!matches('corp/*', text)) return
        for (const reading of layers(text).flatMap((each) => [
          each,
          each.normalize('NFKC'),
          each.replaceAll('\\', '/'),
        ])) {
          const url = new URL(`http://x/${reading}`)
          expect(url.pathname.startsWith('/corp/'), `${text} as ${reading}`).toBe(true)
          expect(url.pathname.length, text).toBeGreaterThan('/corp/'.length)
        }
      }),
      { numRuns: 5000 },
    )
  })

  test('that holds a line break is none', () => {
    expect(compilePattern('corp/*\n')).toEqual({ error: 'a pattern holds no line breaks or other control characters' })
  })

  test('with stars means the same as the regular expression it stands for', () => {
    const part = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 })
    fc.assert(
      fc.property(part, fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 12 }), (pattern, text) => {
        const plain = new RegExp(`^${pattern.replaceAll('*', '.+')}$`)
        expect(matches(pattern, text)).toBe(plain.test(text))
      }),
      { numRuns: 3000 },
    )
  })

  // Backtracking engines need longer than the universe for each of these.
  test.each(['^(a+)+$', '^(a|a)*$', '^(a|aa)+$', '^(.*a){20}$', '*a*a*a*a*a*a*a*a*a*a*b'])(
    'that others are stuck on comes to its end: %s',
    (pattern) => {
      expect(matches(pattern, `${'a'.repeat(100_000)}!`)).toBe(false)
    },
  )
})

describe('numbers', () => {
  test.each<[string, string, number]>([
    ['25', '25.0', 0],
    ['25', '2.5e1', 0],
    ['25.00000000000000000001', '25', 1],
    ['24.99999999999999999999', '25', -1],
    ['1e400', '25', 1],
    ['-1e400', '25', -1],
    ['1e-400', '0', 1],
    ['0', '-0.0e99', 0],
    ['12345678901234567890', '12345678901234567891', -1],
    ['-3', '-2', -1],
    ['0.05', '0.5', -1],
    ['100', '99', 1],
    ['1e99999999999999999999', '25', 1],
  ])('%s against %s', (a, b, sign) => {
    expect(Math.sign(compareNumbers(a, b))).toBe(sign)
    expect(Math.sign(compareNumbers(b, a))).toBe(-sign || 0)
  })

  test('compare as their doubles do, where those are exact', () => {
    const number = fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }))
    fc.assert(
      fc.property(number, number, (a, b) => {
        expect(0 + Math.sign(compareNumbers(JSON.stringify(a), JSON.stringify(b)))).toBe(
          Math.sign(a - b) || Number(a > b) - Number(a < b),
        )
      }),
    )
  })

  test.each(['', ' 5', '5 ', '+5', '05', '5.', '.5', '1_000', '0x5', 'NaN', 'Infinity', '５'])(
    '"%s" is none',
    (text) => {
      expect(isNumberText(text)).toBe(false)
    },
  )
})
