import { describe, expect, it } from 'vitest'
import { ruleFor } from '../../src/cache/lifetimes.ts'
import type { CacheClass } from '../../src/catalogue/operation.ts'

const nowMs = Date.UTC(2026, 10, 24, 12)
const yesterday = nowMs / 1000 - 86_400

describe('the lifetime of a class', () => {
  it.each<[CacheClass, number | null]>([
    ['never', null],
    ['micro', 2_000],
    ['short', 30_000],
    ['medium', 300_000],
    ['long', 3_600_000],
    ['rfc9111', null],
  ])('%s', (lifetimeClass, ttlMs) => {
    const rule = ruleFor(lifetimeClass, 'time_before=1', () => nowMs)
    expect(rule.kind === 'class' ? rule.ttlMs : null).toBe(ttlMs)
    if (ttlMs === null) expect(rule.kind).toBe(lifetimeClass)
  })

  it.each([
    [`time_after=1&time_before=${yesterday - 1}`, 86_400_000],
    ['time_before=2026-11-23T11:59:59Z', 86_400_000],
    ['time_before=2026-11-23T11%3A59%3A59Z', 86_400_000],
    ['time_before=2026-11-22', 86_400_000],
    [`time_before=${yesterday}`, 30_000],
    [`time_before=${yesterday + 1}`, 30_000],
    ['', 30_000],
    ['time_after=1', 30_000],
    ['time_before=', 30_000],
    ['time_before=1e3', 30_000],
    ['time_before=-5', 30_000],
    ['time_before=2026-13-45', 30_000],
    ['time_before=1&time_before=2', 30_000],
    ['time_before=1&time%5Fbefore=9999999999', 30_000],
    ['time_before=1;time_before=2', 30_000],
  ])('of an answer about the window of %j', (query, ttlMs) => {
    expect(ruleFor('closed-window-long', query, () => nowMs)).toMatchObject({ kind: 'class', ttlMs })
  })
})
