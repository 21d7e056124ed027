// Refuses requests while the event loop lags: of teams of low priority first, of high priority last. What was admitted goes on.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Precedence } from '../limits/precedence.ts'
import { Problem } from '../problems.ts'

export const priorities = ['low', 'normal', 'high'] as const satisfies readonly Precedence['priority'][]

/** Delays of the event loop from which requests of a priority are refused. */
const boundsMs = { low: 100, normal: 250, high: 1_000 } as const
/** Readings in a row before a further priority is refused: a single pause of the process is no overload. */
const readingsToRise = 2
/**
 * Readings in a row below half of a bound before a priority is served again: the delay is short only because requests
 * are refused.
 */
const readingsToFall = 6
/** Between two readings. */
export const readingMs = 500
const retryAfterSeconds = 3

/** How many of the priorities are refused: 0 to 3. */
export type OverloadLevel = 0 | 1 | 2 | 3

export class Overload {
  readonly #onChange: (level: OverloadLevel, delayMs: number) => void
  #level: OverloadLevel = 0
  readonly #above: OverloadLevel[] = []
  #calm = 0
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

  /** Takes a reading of the event loop's delay. */
  take(delayMs: number): void {
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
    this.#calm = 0
    this.#onChange(level, delayMs)
  }

  /** The refusal of a request of this priority, or null. */
  refusal(priority: Precedence['priority']): Problem | null {
    if (this.#level === 0 || priorities.indexOf(priority) >= this.#level) return null
    this.#refused[priority] += 1
    return shed()
  }
}

function levelOf(delayMs: number): OverloadLevel {
  return priorities.filter((priority) => delayMs >= boundsMs[priority]).length as OverloadLevel
}

function least(levels: readonly OverloadLevel[]): OverloadLevel {
  return Math.min(...levels) as OverloadLevel
}

function shed(): Problem {
  return new Problem(
    'overloaded',
    'The gateway has more to do than it can, and serves teams of higher priority first. Nothing was sent; try again after Retry-After.',
    { reason: 'gateway-busy', fields: { 'retry-after': String(retryAfterSeconds) } },
  )
}

export interface DelayReader {
  /** Mean delay of the event loop since the last reading, in milliseconds; null when there was none. */
  read(): number | null
  close(): void
}

const resolutionMs = 20

export function createDelayReader(): DelayReader {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs })
  histogram.enable()
  let before = { count: 0, sum: 0 }
  return {
    read() {
      const { count, mean } = histogram
      // Resetting the histogram would lose the first sample after it, which under overload is the only one.
      const now = { count, sum: count === 0 ? 0 : count * mean }
      const [samples, sum] = [now.count - before.count, now.sum - before.sum]
      before = now
      // A sample is the time between two wake-ups, which is the resolution when nothing delays them.
      return samples === 0 ? null : Math.max(0, sum / samples / 1e6 - resolutionMs)
    },
    close: () => void histogram.disable(),
  }
}
