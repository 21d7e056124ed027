// A policy set as time passes: what is in force of it is found anew when a right ends, and when the clock is set back.

import { endedBy } from './ending.ts'
import type { PolicySet } from './policy-set.ts'
import type { Steps } from './steps.ts'

export class PolicyInTime {
  readonly #now: () => number
  readonly #ahead: (steps: Steps<PolicySet>) => void
  #policy: PolicySet
  /** The instants between which `#policy` is what is in force. */
  #fromMs = 0
  #untilMs = 0

  /**
   * `now`: milliseconds since the epoch. `ahead`: runs the steps that make the set of the next instant at which a right
   * ends; without it that set is made when it is asked for.
   */
  constructor(policy: PolicySet, now: () => number, ahead: (steps: Steps<PolicySet>) => void = () => {}) {
    this.#now = now
    this.#ahead = ahead
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
    const over = endedBy(ends, nowMs)
    this.#fromMs = ends[over - 1] ?? -Infinity
    this.#untilMs = ends[over] ?? Infinity
    if (this.#untilMs !== Infinity) this.#ahead(this.#policy.prepare(this.#untilMs))
  }
}
