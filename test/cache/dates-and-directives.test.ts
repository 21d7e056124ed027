import { describe, expect, it } from 'vitest'
import { answerDirectives, requestDirectives } from '../../src/cache/rfc9111/directives.ts'
import { listMembers } from '../../src/http/field-list.ts'
import { parseHttpDate } from '../../src/http/date.ts'

const nowMs = Date.UTC(2026, 10, 24)

describe('HTTP dates (RFC 9110 section 5.6.7)', () => {
  it.each([
    ['Sun, 06 Nov 1994 08:49:37 GMT', 784_111_777_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 784_111_777_000],
    ['Sun Nov  6 08:49:37 1994', 784_111_777_000],
    ['sun, 06 NOV 1994 08:49:37 gmt', 784_111_777_000],
    ['Thursday, 18-Aug-50 02:01:18 GMT', Date.UTC(2050, 7, 18, 2, 1, 18)],
    ['Tuesday, 18-Aug-77 02:01:18 GMT', Date.UTC(1977, 7, 18, 2, 1, 18)],
  ])('reads %s', (text, ms) => {
    expect(parseHttpDate(text, nowMs)).toBe(ms)
  })

  it.each([
    '0',
    '',
    'Thu, 18 Aug 2050 02:01:18 UTC',
    'Thu, 18 Aug 50 02:01:18 GMT',
    'Thu 18 Aug 2050 02:01:18 GMT',
    'Thu, 18  Aug  2050 02:01:18 GMT',
    'Thu, 18-Aug-2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 02.01.18 GMT',
    'Thu, 18 Aug 2050 2:01:18 GMT',
    'Thu, 31 Feb 2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 24:01:18 GMT',
    'Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT',
  ])('refuses %j', (text) => {
    expect(parseHttpDate(text, nowMs)).toBeNull()
  })
})

describe('lists (RFC 9110 section 5.6.1)', () => {
  it.each([
    ['a, b ,,c', ['a', 'b', 'c']],
    ['a="1, 2", b', ['a="1, 2"', 'b']],
    ['a="1\\", 2", b', ['a="1\\", 2"', 'b']],
    ['a="never ends, b', ['a="never ends, b']],
    ['a="\\', ['a="\\']],
    ['', []],
  ])('splits %j', (value, members) => {
    expect(listMembers(value)).toEqual(members)
  })

  it('takes time in proportion to the length, whatever a caller sends', () => {
    expect(listMembers('"\\'.repeat(200_000))).toHaveLength(1)
  })
})

describe('Cache-Control of an answer (RFC 9111 section 5.2.2)', () => {
  it.each([
    ['max-age=60', { maxAgeS: 60 }],
    ['MaX-aGe=60', { maxAgeS: 60 }],
    ['max-age="60"', { maxAgeS: 60 }],
    ['max-age=0060', { maxAgeS: 60 }],
    ['max-age=99999999999', { maxAgeS: 2 ** 31 }],
    ['max-age=1800, max-age=1', { maxAgeS: 1800 }],
    ["max-age='60'", { maxAgeS: 0 }],
    ['max-age=-60', { maxAgeS: 0 }],
    ['max-age=60.5', { maxAgeS: 0 }],
    ['max-age', { maxAgeS: 0 }],
    ['max-age =60', { maxAgeS: null }],
    ['extension="max-age=3600", max-age=1', { maxAgeS: 1 }],
    ['max-age=60, s-maxage=5', { maxAgeS: 5, mustRevalidate: true }],
    ['s-maxage=x, max-age=60', { maxAgeS: 0 }],
    ['No-StOrE', { noStore: true }],
    ['no-cache', { noCache: true, withheld: [] }],
    ['no-cache="A, b", private="c"', { noCache: false, private: false, withheld: ['a', 'b', 'c'] }],
    ['no-cache="a", no-cache', { noCache: true }],
    ['private', { private: true }],
    ['proxy-revalidate', { mustRevalidate: true }],
    ['must-revalidate', { mustRevalidate: true }],
    ['public', { public: true, mustRevalidate: false }],
    ['stale-if-error=9, stale-while-revalidate=8', { staleIfErrorS: 9, staleWhileRevalidateS: 8 }],
    ['stale-if-error=x', { staleIfErrorS: null }],
  ])('%s', (value, expected) => {
    expect(answerDirectives(['cache-control', value])).toMatchObject(expected)
  })

  it('joins the lines of the field (RFC 9110 section 5.3)', () => {
    const fields = ['cache-control', 'max-age=60', 'cache-control', 's-maxage=1']
    expect(answerDirectives(fields)).toMatchObject({ maxAgeS: 1 })
  })
})

describe('targeted fields (RFC 9213 section 2.2)', () => {
  it.each([
    ['max-age=60', { maxAgeS: 60, noStore: false, targeted: true }],
    ['private', { private: true, noStore: false }],
    ['foo, max-age=60;p=1', { maxAgeS: 60, noStore: false }],
    ['max-age=60, &&&&', { noStore: true, targeted: false }],
    ['MAX-AGE=60', { noStore: true, targeted: false }],
    ['', { noStore: true, targeted: false }],
    ['max-age="60", foo', { maxAgeS: null, noStore: false }],
    ['no-store=?0, max-age=5', { noStore: false, maxAgeS: 5 }],
  ])('%j beside Cache-Control: no-store', (value, expected) => {
    const fields = ['cache-control', 'no-store', 'cdn-cache-control', value]
    expect(answerDirectives(fields)).toMatchObject(expected)
  })
})

describe('Cache-Control of a request (RFC 9111 section 5.2.1)', () => {
  it.each([
    ['no-cache', { noCache: true }],
    ['max-age=0', { maxAgeS: 0 }],
    ['max-age=x', { maxAgeS: 0 }],
    ['max-stale', { maxStaleS: Infinity }],
    ['max-stale=5', { maxStaleS: 5 }],
    ['min-fresh=5', { minFreshS: 5 }],
    ['only-if-cached', { onlyIfCached: true }],
    ['no-store', { noStore: true }],
  ])('%s', (value, expected) => {
    expect(requestDirectives(value, null)).toMatchObject(expected)
  })

  it('says nothing when it has no directive that concerns a cache', () => {
    expect(requestDirectives('nothing-to-see-here', 'no-cache')).toBeNull()
    expect(requestDirectives(null, 'foo')).toBeNull()
  })

  it('is Pragma: no-cache where there is no Cache-Control (section 5.4)', () => {
    expect(requestDirectives(null, 'No-Cache')).toMatchObject({ noCache: true })
  })
})
