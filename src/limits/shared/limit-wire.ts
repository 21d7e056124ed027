// Limits as the script of decision-script.ts reads them, and what it answers.

import { hash } from 'node:crypto'
import type { Store } from '../../store/store.ts'
import { calendarEndMs } from '../calendar.ts'
import type { LimitDecision, Limit, LimitStatus, Quota } from '../limiter.ts'
import { bucketIntervalMs } from '../local/meter.ts'

/**
 * The name of a meter in the store: a digest, so that the store holds no names of people. All are under one tag and so
 * on one node of a cluster, because limits of a team and of the gateway are judged together.
 */
export function keyOf(key: Store['key'], meter: string): string {
  return key('{limits}', hash('sha256', meter, 'base64url').slice(0, 22))
}

export type LimitWriter = (limit: Limit, nowMs: number) => string

/**
 * Turns limits into the words of the script; for concurrency, how many slots are held goes behind. Calendar windows are
 * worked out here: the store knows no time zones.
 */
export function createLimitWriter(): LimitWriter {
  const calendars = new Map<string, { readonly fromMs: number; readonly endMs: number; readonly words: string }>()

  /** The end of the window and of its neighbours: the store's clock may not be where ours is. */
  function turns(unit: NonNullable<Quota['calendar']>, timeZone: string, nowMs: number): string {
    const name = `${unit} ${timeZone}`
    let found = calendars.get(name)
    if (found === undefined || nowMs >= found.endMs || nowMs < found.fromMs) {
      const endMs = calendarEndMs(unit, timeZone, nowMs)
      const words = `${calendarEndMs(unit, timeZone, nowMs - 72_000_000)} ${endMs} ${calendarEndMs(unit, timeZone, endMs)}`
      calendars.set(name, (found = { fromMs: nowMs, endMs, words }))
    }
    return found.words
  }

  return ({ quota, most, shadow }, nowMs) => {
    const mode = shadow ? 1 : 0
    if (quota === null) return `slots ${mode} ${most}`
    const { amount, perMs, calendar, burst, timeZone } = quota
    if (calendar !== null) return `calendar ${mode} ${amount} ${turns(calendar, timeZone, nowMs)}`
    if (burst === null) return `sliding ${mode} ${amount} ${perMs}`
    return `bucket ${mode} ${burst} ${bucketIntervalMs(quota)}`
  }
}

/** How many figures of an answer of `decide` are the store's time, which comes first, and how many belong to a request. */
export const figures = {
  time: 2,
  request: (limits: readonly Limit[]): number => 3 + 2 * limits.length,
} as const

/** The store's time in an answer, milliseconds since the epoch: to the digit what the script reckons with. */
export function readTime([seconds = 0, micros = 0]: readonly number[]): number {
  return seconds * 1000 + micros / 1000
}

/** What `decide` answered for the request whose figures begin at `at`; `places` are those of its limits in the call, from 1. */
export function readDecision(
  limits: readonly Limit[],
  places: readonly number[],
  answer: readonly number[],
  at: number,
): LimitDecision {
  const [granted = 0, exceeded = 0, retryMs = 0] = [answer[at], answer[at + 1], answer[at + 2]]
  return {
    granted: granted === 1,
    exceeded: limits[places.indexOf(exceeded)] ?? null,
    retryAfterMs: retryMs === -1 ? Infinity : retryMs,
    statuses: limits.map((limit, index): LimitStatus => {
      const [remaining = 0, resetMs = 0] = [answer[at + 3 + 2 * index], answer[at + 4 + 2 * index]]
      return { limit, remaining, resetMs }
    }),
    storeAway: false,
  }
}
