// A policy set as time passes: what is in force of it is found anew when a right ends, and when the clock is set back.

import type { PolicySet } from './policy-set.ts'

export class PolicyInTime {
  readonly #now: () => number
  #policy: PolicySet
  /** The instants between which `#policy` is what is in force. */
  #fromMs = 0
  #untilMs = 0

  /** `now`: milliseconds since the epoch. */
  constructor(policy: PolicySet, now: () => number) {
    this.#now = now
    const nowMs = now()
    this.#policy = policy.at(nowMs)
    this.#setSpan(nowMs)
  }

  /** What is in force now. */
  get current(): PolicySet {
    return this.at(this.#now())
  }

  /** What is in force at an instant. */
  at(nowMs: number): PolicySet {
    if (nowMs >= this.#untilMs || nowMs < this.#fromMs) {
      this.#policy = this.#policy.at(nowMs)
      this.#setSpan(nowMs)
    }
    return this.#policy
  }

  /** From the latest end up to an instant to the next one after it. */
  #setSpan(nowMs: number): void {
    const { ends } = this.#policy
    this.#fromMs = ends.findLast((each) => each <= nowMs) ?? -Infinity
    this.#untilMs = ends.find((each) => each > nowMs) ?? Infinity
  }
}
