// The last known state of limits in the store. While the store is away an instance may use its part of what was left
// then, besides its own earlier uses, so that all instances together stay within the limit. Time is passed in.

import type { LimitStatus, Limit } from '../limiter.ts'

interface Heard {
  /** What this instance had used. */
  readonly own: number
  readonly remaining: number
  /** After this the uses of others have expired or are unknown. */
  readonly untilMs: number
}

/** Requests rarely run longer. */
const slotsForMs = 60_000

/** Meters of single callers come and go. */
const mostKnown = 10_000

export class LastKnownLimits {
  readonly #heard = new Map<string, Heard>()

  /** Notes the state of a limit in the store, and this instance's part of its use. */
  note({ limit, remaining, resetMs }: LimitStatus, own: number, nowMs: number): void {
    // A bucket refills by itself in the meantime.
    if (limit.shadow || limit.quota?.burst != null) return
    if (this.#heard.size > mostKnown) this.#heard.clear()
    const untilMs = nowMs + (limit.quota === null ? slotsForMs : resetMs)
    this.#heard.set(limit.meter, { own, remaining, untilMs })
  }

  /** Milliseconds for which nothing is left for this instance, which has used so much; 0 when something is, or nobody knows. */
  waitMs(limit: Limit, own: number, instances: number, nowMs: number): number {
    const heard = this.#heard.get(limit.meter)
    if (heard === undefined || limit.shadow || heard.untilMs <= nowMs) return 0
    if (own < heard.own + Math.floor(heard.remaining / instances)) return 0
    return limit.quota === null ? 1000 : heard.untilMs - nowMs
  }
}
