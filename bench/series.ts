// The rounds of one workload: peers in turn (A B A B …), and the ratios of what they did in the same round.

import { measure, type Laboratory, type Sample } from './measure.ts'
import type { LoadOrder } from './load.ts'
import type { RunningProcess } from './processes.ts'
import { spreadOf, spreadOver, type Spread } from './statistics.ts'

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

/** What one participant did. */
export interface Series {
  readonly name: string
  /** By run of the bench, then by round; several runs only once they were merged. */
  readonly runs: readonly (readonly Sample[])[]
}

/** Warms everybody up, then measures in turn. */
export async function runRounds(
  lab: Laboratory,
  entrants: readonly Entrant[],
  rounds: number,
  warmSeconds: number,
): Promise<readonly Series[]> {
  const samples = entrants.map((): Sample[] => [])
  for (const { order, tidy } of entrants) {
    if (order.ratePerSecond === null) await lab.load.run({ ...order, seconds: warmSeconds })
    tidy()
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, { order, process, probe, tidy }] of entrants.entries()) {
      await probe()
      samples[index]?.push(await measure(lab, order, process))
      await probe()
      tidy()
    }
  }
  return entrants.map(({ name }, index) => ({ name, runs: [samples[index] ?? []] }))
}

/** The spread of one figure over the rounds that were not disturbed. */
export function figure({ runs }: Series, value: (sample: Sample) => number | null): Spread | null {
  return overRuns(runs.map((samples) => samples.flatMap((sample) => (sample.noisy ? [] : (value(sample) ?? [])))))
}

function overRuns(values: readonly (readonly number[])[]): Spread | null {
  return spreadOver(values.flatMap((ofOneRun) => spreadOf(ofOneRun) ?? []))
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
  const joined = of.runs.map((samples, run) =>
    samples.flatMap((sample, round) => {
      const other = to.runs[run]?.[round]
      if (other === undefined || sample.noisy || other.noisy) return []
      const ours = value(sample)
      const theirs = value(other)
      return ours === null || theirs === null || theirs === 0 ? [] : [join(ours, theirs)]
    }),
  )
  return { spread: overRuns(joined), rounds: joined.flat().length }
}
