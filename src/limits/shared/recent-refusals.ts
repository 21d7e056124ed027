// Remembers recent refusals by a rate. Rates only fall with time, so such a refusal holds until its Retry-After, and
// is repeated without asking; a second at most, so that the figures of the other limits in it are not old. Time is
// passed in.

import type { Limit, LimitDecision } from '../limiter.ts'

const keptMs = 1000

/** Beyond this size all are dropped, because the number of callers is unbounded. */
const mostKept = 1000

export class RecentRefusals {
  readonly #kept = new Map<string, { readonly decision: LimitDecision; readonly askedMs: number }>()

  /** To be called with each refusal, and when its request was asked about. */
  note(limits: readonly Limit[], decision: LimitDecision, askedMs: number): void {
    if (decision.exceeded?.kind !== 'rate') return
    if (this.#kept.size >= mostKept) this.#kept.clear()
    this.#kept.set(nameOf(limits), { decision, askedMs })
  }

  /** The refusal that holds still for a request with these limits; null when the store has to be asked. */
  find(limits: readonly Limit[], nowMs: number): LimitDecision | null {
    if (this.#kept.size === 0) return null
    const name = nameOf(limits)
    const known = this.#kept.get(name)
    if (known === undefined) return null
    const { decision, askedMs } = known
    const ageMs = nowMs - askedMs
    const isSame = decision.statuses.every(({ limit }, index) => says(limit, limits[index]))
    if (!isSame || ageMs >= Math.min(keptMs, decision.retryAfterMs)) {
      this.#kept.delete(name)
      return null
    }
    return { ...decision, retryAfterMs: decision.retryAfterMs - ageMs }
  }

  clear(): void {
    this.#kept.clear()
  }
}

function nameOf(limits: readonly Limit[]): string {
  return limits.map(({ meter }) => meter).join('\n')
}

/** New policies make new quotas. */
function says(one: Limit, other: Limit | undefined): boolean {
  return one.quota === other?.quota && one.most === other.most && one.shadow === other.shadow
}
