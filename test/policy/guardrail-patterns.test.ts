// Patterns of guardrails: what they match, that they take linear time, and exact comparison of numbers.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareNumbers, isNumberText } from '../../src/json/decimal.ts'
import { compilePattern } from '../../src/policy/guardrails/pattern.ts'

function matches(pattern: string, text: string): boolean {
  const compiled = compilePattern(pattern)
  if (typeof compiled !== 'function') throw new Error(compiled.error)
  return compiled(text)
}

describe('a pattern', () => {
  test.each<[pattern: string, matching: string[], others: string[]]>([
    ['corp/*', ['corp/a', 'corp/', 'corp/a/b', 'corp/a\nb'], ['corp', 'Corp/a', 'xcorp/a', '']],
    ['*', ['', 'a', '*'], []],
    ['a*a', ['aa', 'aba', 'aaa'], ['a', 'ab']],
    ['*.corp.example', ['git.corp.example', '.corp.example'], ['git.corp.example.evil', 'corp.example']],
    ['a*b*c', ['abc', 'axbxc', 'abbc', 'abcbc'], ['acb', 'ab', 'xabc']],
    ['**', ['', 'a'], []],
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
    ['^a', 'a regular expression begins with ^ and ends with $, so that it bounds the whole text'],
  ])('that is none is refused: %s', (pattern, error) => {
    expect(compilePattern(pattern)).toEqual({ error })
  })

  test('with stars means the same as the regular expression it stands for', () => {
    const part = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 })
    fc.assert(
      fc.property(part, fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 12 }), (pattern, text) => {
        const plain = new RegExp(`^${pattern.replaceAll('*', '.*')}$`, 's')
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
        expect(Math.sign(compareNumbers(JSON.stringify(a), JSON.stringify(b)))).toBe(
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
