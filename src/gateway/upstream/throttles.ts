// Which keys pause after a 429 of the upstream, and how they recover: one request first, then one more for each success.

/** What a key may do. `rest`: its time is not over. `full`: it is over, and as many as may try are under way. */
export type ThrottleState = 'open' | 'rest' | 'full'

interface Throttle {
  untilMs: number
  /** How many may try at once, and how many do. */
  window: number
  trying: number
}

/** With so many at once a key counts as recovered; also so long after its rest. */
const recovered = 16
const recoveryMs = 10_000

export function createThrottles() {
  const throttles = new Map<string, Throttle>()

  function restMs(key: string, nowMs: number): number {
    return Math.max(0, (throttles.get(key)?.untilMs ?? 0) - nowMs)
  }

  return {
    get size(): number {
      return throttles.size
    },
    /** The upstream refused a request with this key, and named a time. Returns until when the key rests now. */
    refused(key: string, waitMs: number, nowMs: number): number {
      const untilMs = nowMs + waitMs
      const known = throttles.get(key)
      if (known === undefined) throttles.set(key, { untilMs, window: 1, trying: 0 })
      else {
        known.untilMs = Math.max(known.untilMs, untilMs)
        known.window = 1
      }
      return known?.untilMs ?? untilMs
    },
    /** Milliseconds until a key's rest is over; 0 when it has none. */
    restMs,
    stateOf(key: string, nowMs: number): ThrottleState {
      const throttle = throttles.get(key)
      if (throttle === undefined) return 'open'
      if (throttle.untilMs > nowMs) return 'rest'
      if (throttle.untilMs + recoveryMs <= nowMs) {
        throttles.delete(key)
        return 'open'
      }
      return throttle.trying < throttle.window ? 'open' : 'full'
    },
    /** A request begins. True when it is one of those that try; `ended` belongs to it then. */
    begun(key: string, nowMs: number): boolean {
      const throttle = throttles.get(key)
      if (throttle === undefined || throttle.untilMs > nowMs) return false
      throttle.trying += 1
      return true
    },
    /** A request that tried is over. `accepted`: the upstream answered, and not with 429. */
    ended(key: string, accepted: boolean): void {
      const throttle = throttles.get(key)
      if (throttle === undefined) return
      throttle.trying = Math.max(0, throttle.trying - 1)
      if (accepted) throttle.window += 1
      if (throttle.window >= recovered) throttles.delete(key)
    },
    /** Milliseconds until the next rest is over; null when nothing rests. */
    nextMs(nowMs: number): number | null {
      let next: number | null = null
      for (const { untilMs } of throttles.values())
        if (untilMs > nowMs && (next === null || untilMs - nowMs < next)) next = untilMs - nowMs
      return next
    },
  }
}
