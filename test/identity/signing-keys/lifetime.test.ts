import { describe, expect, it } from 'vitest'
import { clockSkewMs, freshForMs, type ResponseFields } from '../../../src/identity/signing-keys/lifetime.ts'

const nowMs = Date.parse('2026-11-29T12:00:00Z')
const date = 'Sun, 29 Nov 2026 12:00:00 GMT'

describe('an answer stays fresh', () => {
  it.each<[ResponseFields, number | null]>([
    [{}, null],
    [{ 'cache-control': 'public' }, null],
    [{ 'cache-control': 'max-age=30' }, 30_000],
    [{ 'cache-control': 'public, Max-Age="30" , must-revalidate' }, 30_000],
    [{ 'cache-control': ['public', 'max-age=30'] }, 30_000],
    [{ 'cache-control': 'max-age=30', age: '10' }, 20_000],
    [{ 'cache-control': 'max-age=30', age: '100' }, 0],
    [{ 'cache-control': 'max-age=30', age: 'soon' }, 30_000],
    [{ 'cache-control': 'max-age=30', expires: 'Sun, 29 Nov 2026 13:00:00 GMT' }, 30_000],
    [{ 'cache-control': 'no-store, max-age=30' }, 0],
    [{ 'cache-control': 'no-cache' }, 0],
    [{ 'cache-control': 'x-max-age=30' }, null],
    [{ 'cache-control': 'max-age=-1' }, null],
    [{ expires: 'Sun, 29 Nov 2026 12:01:00 GMT', date }, 60_000],
    [{ expires: 'Sun, 29 Nov 2026 12:01:00 GMT' }, 60_000],
    [{ expires: 'Sun, 29 Nov 2026 13:01:00 GMT', date: 'Sun, 29 Nov 2026 13:00:00 GMT' }, 60_000],
    [{ expires: 'Sun, 29 Nov 2026 12:01:00 GMT', date, age: '20' }, 40_000],
    [{ expires: '0', date }, 0],
    [{ expires: 'Sun, 29 Nov 2026 11:00:00 GMT', date }, 0],
  ])('%j: %d ms', (fields, expected) => {
    expect(freshForMs(fields, nowMs)).toBe(expected)
  })
})

describe('a clock', () => {
  it.each<[ResponseFields, number | null]>([
    [{ date }, 500],
    [{ date: 'Sun, 29 Nov 2026 12:01:00 GMT' }, 60_500],
    [{ date: 'Sun, 29 Nov 2026 11:59:00 GMT' }, -59_500],
    [{ date: 'now' }, null],
    [{}, null],
  ])('by %j is ahead by %d ms', (fields, expected) => {
    expect(clockSkewMs(fields, nowMs)).toBe(expected)
  })
})
