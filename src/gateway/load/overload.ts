// Refuses requests while the event loop lags: of teams that make more than their fair share of the load first, and of teams of low
// priority before those of high priority. What was admitted goes on.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Precedence } from '../../limits/precedence.ts'
import { Problem } from '../../problems.ts'
import { TeamLoads, type TeamLoad } from './team-loads.ts'

export const priorities = ['low', 'normal', 'high'] as const satisfies readonly Precedence['priority'][]

/** Delays of the event loop from which a level holds. */
const boundsMs = [100, 250, 1_000] as const
/** Readings in a row before the level rises: a single pause of the process is no overload. */
const readingsToRise = 2
/** Readings in a row below half of a bound before the level falls: the delay is short because requests are refused. */
const readingsToFall = 2
export const readingMs = 250
const retryAfterSeconds = 3

/** How much too much there is to do: 0, nobody is refused, to 3, everybody is. */
export type OverloadLevel = 0 | 1 | 2 | 3

/** The levels from which teams of a priority are refused: those that make more than their share of the load, and the others. */
const refusedFrom = {
  low: { beyondShare: 1, withinShare: 2 },
  normal: { beyondShare: 1, withinShare: 3 },
  high: { beyondShare: 2, withinShare: 3 },
} as const satisfies Record<Precedence['priority'], Record<'beyondShare' | 'withinShare', OverloadLevel>>

/** The priorities of which teams are refused at a level: those that make more than their share of the load, and the others. */
export function refusedAt(level: OverloadLevel): Readonly<Record<'beyondShare' | 'withinShare', readonly string[]>> {
  const refused = (load: 'beyondShare' | 'withinShare'): readonly string[] =>
    priorities.filter((priority) => level >= refusedFrom[priority][load])
  return { beyondShare: refused('beyondShare'), withinShare: refused('withinShare') }
}

/** A request costs as much as a small one more for each so many bytes of its body. */
const bytesOfCost = 64 * 1024
/** What a body without a length may be. */
const unknownBodyBytes = 1024 * 1024

export type LoadOwner = Pick<Precedence, 'team' | 'priority' | 'weight'>

export class Overload {
  readonly #onChange: (level: OverloadLevel, delayMs: number) => void
  #level: OverloadLevel = 0
  readonly #above: OverloadLevel[] = []
  #calm = 0
  readonly #loads = new TeamLoads()
  readonly #refused = { low: 0, normal: 0, high: 0 }

  constructor(onChange: (level: OverloadLevel, delayMs: number) => void) {
    this.#onChange = onChange
  }

  get level(): OverloadLevel {
    return this.#level
  }

  /** Requests that were refused since the start, by priority. */
  get refused(): Readonly<Record<Precedence['priority'], number>> {
    return this.#refused
  }

  take(delayMs: number): void {
    this.#loads.age()
    const wanted = levelOf(delayMs)
    if (wanted > this.#level) {
      this.#calm = 0
      this.#above.push(wanted)
      if (this.#above.length >= readingsToRise) this.#change(least(this.#above), delayMs)
      return
    }
    this.#above.length = 0
    this.#calm = this.#level > 0 && levelOf(delayMs * 2) < this.#level ? this.#calm + 1 : 0
    if (this.#calm >= readingsToFall) this.#change((this.#level - 1) as OverloadLevel, delayMs)
  }

  #change(level: OverloadLevel, delayMs: number): void {
    this.#level = level
    this.#above.length = 0
    this.#onChange(level, delayMs)
  }

  /** Counts a request of a team; null: nobody knows the size yet. Returns its refusal, or what to call when it is over. */
  admit({ team, priority, weight }: LoadOwner, bodyBytes: number | null): Problem | (() => void) {
    const load = this.#loads.begin(team, weight, 1 + (bodyBytes ?? unknownBodyBytes) / bytesOfCost)
    if (this.#isRefused(priority, load)) {
      this.#refused[priority] += 1
      return shed()
    }
    load.inFlight += 1
    return load.leave
  }

  #isRefused(priority: Precedence['priority'], load: TeamLoad): boolean {
    const { beyondShare, withinShare } = refusedFrom[priority]
    if (this.#level < beyondShare) return false
    return this.#level >= withinShare || this.#loads.exceedsShare(load)
  }
}

function levelOf(delayMs: number): OverloadLevel {
  return boundsMs.filter((bound) => delayMs >= bound).length as OverloadLevel
}

function least(levels: readonly OverloadLevel[]): OverloadLevel {
  return Math.min(...levels) as OverloadLevel
}

function shed(): Problem {
  return new Problem(
    'overloaded',
    'The gateway is overloaded. It first refuses teams that make more load than their share, then teams of lower priority. Nothing was sent. Try again after Retry-After.',
    { reason: 'gateway-busy', fields: { 'retry-after': String(retryAfterSeconds) } },
  )
}

const resolutionMs = 20

export function createDelayReader() {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs })
  histogram.enable()
  let before = { count: 0, sum: 0 }
  return {
    /** Mean delay of the event loop since the last reading, in milliseconds; null when there was none. */
    read(): number | null {
      const { count, mean } = histogram
      // Resetting the histogram would lose the first sample after it, which under overload is the only one.
      const now = { count, sum: count === 0 ? 0 : count * mean }
      const [samples, sum] = [now.count - before.count, now.sum - before.sum]
      before = now
      // A sample is the time between two wake-ups, which is the resolution when nothing delays them.
      return samples === 0 ? null : Math.max(0, sum / samples / 1e6 - resolutionMs)
    },
    close: (): void => void histogram.disable(),
  }
}
