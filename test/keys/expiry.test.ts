// The end of a key by the inventory: warnings for two weeks, once a day, and then no use.

import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { expiryWarning, isExpired, watchExpiry } from '../../src/keys/expiry.ts'
import { keyOf } from '../support/policies.ts'

const day = 86_400_000
const end = Date.UTC(2027, 5, 30)
const key = keyOf('runner', { expiresAtMs: end })

describe('a key with an end', () => {
  it.each([
    ['more than two weeks before', end - 14 * day - 1, null],
    [
      'two weeks before',
      end - 14 * day,
      'key "runner" ends at 2027-06-30T00:00:00Z, in 14 days: renew it, and write its new end into `expires`',
    ],
    [
      'the day before',
      end - day,
      'key "runner" ends at 2027-06-30T00:00:00Z, in a day: renew it, and write its new end into `expires`',
    ],
    [
      'a moment before',
      end - 1,
      'key "runner" ends at 2027-06-30T00:00:00Z, within a day: renew it, and write its new end into `expires`',
    ],
    [
      'from then on',
      end,
      'key "runner" ended at 2027-06-30T00:00:00Z: calls that need it are refused with 503 until it is renewed and `expires` says so',
    ],
  ])('%s says so', (_when, nowMs, text) => {
    expect(expiryWarning(key, nowMs)).toBe(text)
    expect(isExpired(key, nowMs)).toBe(nowMs >= end)
  })

  it('and one without say nothing when there is nothing to say', () => {
    expect(expiryWarning(keyOf('forever', { expiresAtMs: null }), end)).toBeNull()
    expect(isExpired(keyOf('forever', { expiresAtMs: null }), Number.MAX_SAFE_INTEGER)).toBe(false)
  })

  it('warns once a day while the gateway runs, and once when it has ended', () => {
    vi.useFakeTimers({ now: end - 3 * day })
    onTestFinished(() => void vi.useRealTimers())
    const warnings: string[] = []
    const watch = watchExpiry(
      () => [key],
      Date.now,
      ({ id }, text) => warnings.push(`${id}: ${text.slice(0, 60)}`),
    )
    vi.advanceTimersByTime(5 * day)
    watch.stop()
    vi.advanceTimersByTime(5 * day)
    expect(warnings.map((text) => /in \d+ days|in a day|within a day|ended/.exec(text)?.[0])).toEqual([
      'in 2 days',
      'in a day',
      'within a day',
      'ended',
    ])
  })
})
