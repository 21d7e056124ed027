// Several runs of the bench as one: what --merge of run.ts makes of the files that --json wrote.

import { readFileSync } from 'node:fs'
import type { Compared, PacedResult, Results, WorkloadResult } from './report.ts'
import type { Series } from './series.ts'

/** The results of one run, and how messages call them. */
export interface Run {
  readonly name: string
  readonly results: Results
}

/** Reads a file that --json wrote. Throws for another one. */
export function readRun(file: string): Run {
  let results: unknown
  try {
    results = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new Error(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
  if (!isResults(results)) throw new Error(`${file} is not a file that --json of this bench wrote`)
  return { name: file, results }
}

/**
 * All runs as one, in the order in which they began. Throws unless all measured the same on the same machine
 * with the same versions: a median over different things is that of none.
 */
export function merge(runs: readonly Run[]): Results {
  const [first, ...others] = runs.toSorted((a, b) => (a.results.begun[0] ?? '').localeCompare(b.results.begun[0] ?? ''))
  if (first === undefined) throw new Error('there is nothing to merge')
  for (const other of others) {
    const theirs = new Set(linesOf(other.results))
    const missing = linesOf(first.results).find((line) => !theirs.delete(line)) ?? [...theirs][0]
    if (missing !== undefined) {
      throw new Error(`${first.name} and ${other.name} were not measured alike: only one of them says "${missing}"`)
    }
  }
  return others.reduce((whole, { results }) => joined(whole, results), first.results)
}

/** What has to be the same. */
function linesOf({ environment, conditions, quick, workloads, paced, footprints }: Results): readonly string[] {
  const beside = (others: readonly Compared[]): string => others.map(({ peer }) => `, ${peer.title}`).join('')
  return [
    ...Object.values(environment),
    ...conditions,
    ...workloads.map(({ workload, others }) => `${workload.title}: gateway${beside(others)}`),
    paced === null ? 'no latency' : `latency at ${paced.ratePerSecond} a second: gateway${beside(paced.others)}`,
    footprints.length === 0 ? 'no start and memory' : 'start and memory',
    quick ? 'a smoke run' : 'no smoke run',
  ]
}

/** Two results that have the same lines, so that each thing is in both. */
function joined(one: Results, other: Results): Results {
  return {
    ...one,
    begun: [...one.begun, ...other.begun],
    rounds: one.rounds + other.rounds,
    workloads: one.workloads.map((result): WorkloadResult => {
      const same = other.workloads.find(({ workload }) => workload.id === result.workload.id)
      return { ...result, ...joinedSides(result, same) }
    }),
    paced: one.paced && {
      ...one.paced,
      ...joinedSides(one.paced, other.paced),
      direct: joinedSeries(one.paced.direct, other.paced?.direct),
    },
    footprints: [...one.footprints, ...other.footprints],
  }
}

type Sides = Pick<PacedResult, 'gateway' | 'others'>

function joinedSides(one: Sides, other: Sides | null | undefined): Sides {
  return {
    gateway: joinedSeries(one.gateway, other?.gateway),
    others: one.others.map(({ peer, series }) => {
      const same = other?.others.find((compared) => compared.peer.id === peer.id)
      return { peer, series: joinedSeries(series, same?.series) }
    }),
  }
}

function joinedSeries(one: Series, other: Series | undefined): Series {
  return { ...one, runs: [...one.runs, ...(other?.runs ?? [])] }
}

function isResults(value: unknown): value is Results {
  // What else is in it was written by run.ts.
  return typeof value === 'object' && value !== null && 'begun' in value && 'footprints' in value
}
