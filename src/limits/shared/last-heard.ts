// How limits stood when the store told of them last. While the store is away an instance may take its part of what was left
// then, beside what it had used itself: so all of them together come to the limit and no more, if they had heard the same.
// Time is passed in.

import type { LimitStatus, Limit } from '../limiter.ts'

interface Heard {
  /** What this instance had used. */
  readonly own: number
  readonly remaining: number
  /** Then what others had used is over, or nobody knows. */
  readonly untilMs: number
}

/** A request seldom runs for longer. */
const slotsForMs = 60_000

/** Meters of single callers come and go. */
const mostKnown = 10_000

export class LastHeard {
  readonly #heard = new Map<string, Heard>()

  /** The store has told how a limit stands, and this instance has used so much of it. */
  note({ limit, remaining, resetMs }: LimitStatus, own: number, nowMs: number): void {
    // A bucket fills again while nobody tells of it.
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
