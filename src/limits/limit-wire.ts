// Limits as the scripts of decision-scripts.ts read them, and what they answer. Used by shared-limiter.ts.

import { createHash } from 'node:crypto'
import type { Allowance, Limit, Standing } from './limiter.ts'
import { calendarEndMs, type Quota } from './meter.ts'

/** Names that are remembered; those of single callers come and go. */
const mostNames = 10_000

/**
 * Finds the name of a meter in the store: a digest, so that the store holds no names of people. All are under one tag
 * and so on one node of a cluster, because limits of a team and of the gateway are judged together.
 */
export function createKeyFinder(key: (...parts: readonly string[]) => string): (meter: string) => string {
  const names = new Map<string, string>()
  return (meter) => {
    const known = names.get(meter)
    if (known !== undefined) return known
    if (names.size >= mostNames) names.clear()
    const name = key('{limits}', createHash('sha256').update(meter).digest('base64url').slice(0, 22))
    names.set(meter, name)
    return name
  }
}

/** Turns limits into the words of the scripts. Calendar windows are worked out here: the store knows no time zones. */
export function createLimitWriter(): (limit: Limit, carry: number, nowMs: number) => string {
  const calendars = new Map<string, { readonly endMs: number; readonly words: string }>()
  const plain = new WeakMap<Limit, string>()

  /** The end of the window and of its neighbours: the store's clock may not be where ours is. */
  function turns(unit: NonNullable<Quota['calendar']>, timeZone: string, nowMs: number): string {
    const name = `${unit} ${timeZone}`
    let found = calendars.get(name)
    if (found === undefined || nowMs >= found.endMs) {
      const endMs = calendarEndMs(unit, timeZone, nowMs)
      const words = `${calendarEndMs(unit, timeZone, nowMs - 72_000_000)} ${endMs} ${calendarEndMs(unit, timeZone, endMs)}`
      calendars.set(name, (found = { endMs, words }))
    }
    return found.words
  }

  function words(limit: Limit, carry: number, nowMs: number): string {
    const { quota, most } = limit
    const head = `${limit.shadow ? 1 : 0} ${carry}`
    if (quota === null) return `slots ${head} ${most}`
    const { amount, perMs, calendar, burst, timeZone } = quota
    if (calendar !== null) return `calendar ${head} ${amount} ${turns(calendar, timeZone, nowMs)}`
    return burst === null ? `sliding ${head} ${amount} ${perMs}` : `bucket ${head} ${amount} ${perMs} ${burst}`
  }

  return (limit, carry, nowMs) => {
    if (carry > 0 || limit.quota?.calendar != null) return words(limit, carry, nowMs)
    let text = plain.get(limit)
    if (text === undefined) plain.set(limit, (text = words(limit, 0, nowMs)))
    return text
  }
}

/** What `decide` answered, as the limiter tells it. Throws when it is no such answer. */
export function readDecision(limits: readonly Limit[], answer: unknown, lease: string | null): Allowance {
  if (!Array.isArray(answer) || answer.length !== 3 + 2 * limits.length)
    throw new TypeError('not an answer of limits.decide')
  const [granted, exceeded, retryMs, ...figures] = answer.map(Number)
  const standings = limits.map((limit, index): Standing => ({
    limit,
    remaining: figures[2 * index] ?? 0,
    resetMs: figures[2 * index + 1] ?? 0,
  }))
  return {
    granted: granted === 1,
    exceeded: limits[(exceeded ?? 0) - 1] ?? null,
    retryAfterMs: retryMs === -1 ? Infinity : (retryMs ?? 0),
    standings,
    lease: granted === 1 ? lease : null,
    storeAway: false,
  }
}
