// The rounds of one workload: peers in turn (A B A B …), and the ratios of what they did in the same round.

import { measure, type Laboratory, type Sample } from './measure.ts'
import type { LoadOrder } from './load.ts'
import type { RunningProcess } from './processes.ts'
import { spreadOf, type Spread } from './statistics.ts'

/** One participant of a workload: whom to load, and with what. */
export interface Entrant {
  readonly name: string
  readonly process: RunningProcess | null
  readonly order: LoadOrder
  /** Before and after each run: throws unless the answer is right. */
  readonly probe: () => Promise<void>
  /** After each run. */
  readonly tidy: () => void
}

/** What one participant did, by round. */
export interface Series {
  readonly name: string
  readonly samples: readonly Sample[]
}

/** Warms everybody up, then measures in turn. */
export async function runRounds(
  lab: Laboratory,
  entrants: readonly Entrant[],
  rounds: number,
  warmSeconds: number,
): Promise<readonly Series[]> {
  const series = entrants.map(({ name }) => ({ name, samples: [] as Sample[] }))
  for (const { order, tidy } of entrants) {
    if (order.ratePerSecond === null) await lab.load.run({ ...order, seconds: warmSeconds })
    tidy()
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, { order, process, probe, tidy }] of entrants.entries()) {
      await probe()
      series[index]?.samples.push(await measure(lab, order, process))
      await probe()
      tidy()
    }
  }
  return series
}

/** The spread of one figure over the rounds that were not disturbed. */
export function figure({ samples }: Series, value: (sample: Sample) => number | null): Spread | null {
  return spreadOf(samples.flatMap((sample) => (sample.noisy ? [] : (value(sample) ?? []))))
}

/** Two series held against each other, round by round. */
export interface Comparison {
  readonly spread: Spread | null
  /** Rounds that count: undisturbed on both sides. */
  readonly rounds: number
}

/** Ratios of one figure, each taken inside one round. */
export function ratio(of: Series, to: Series, value: (sample: Sample) => number | null): Comparison {
  return compare(of, to, value, (above, below) => above / below)
}

/** Differences of one figure, each taken inside one round. */
export function difference(of: Series, to: Series, value: (sample: Sample) => number | null): Comparison {
  return compare(of, to, value, (above, below) => above - below)
}

function compare(
  of: Series,
  to: Series,
  value: (sample: Sample) => number | null,
  join: (ours: number, theirs: number) => number,
): Comparison {
  const joined = of.samples.flatMap((sample, round) => {
    const other = to.samples[round]
    if (other === undefined || sample.noisy || other.noisy) return []
    const ours = value(sample)
    const theirs = value(other)
    return ours === null || theirs === null || theirs === 0 ? [] : [join(ours, theirs)]
  })
  return { spread: spreadOf(joined), rounds: joined.length }
}
