// The command line of the bench: what to measure, how often and how long.

import { parseArgs } from 'node:util'
import { peerIds, type PeerId } from './peers/peer.ts'
import { workloads, type Workload } from './workloads.ts'

export interface BenchOptions {
  readonly rounds: number
  readonly seconds: number
  readonly warmSeconds: number
  readonly connections: number
  readonly ratePerSecond: number
  readonly workloads: readonly Workload[]
  /** Servers to compare with, those that are not installed left out. */
  readonly peers: readonly PeerId[]
  /** Whether to measure starting, memory and idle connections. */
  readonly footprint: boolean
  /** A smoke run: short, and nothing is judged. */
  readonly quick: boolean
  /** File for everything that was measured, or null. */
  readonly json: string | null
  /** Most CPU time of other processes during a run, in percent of one core. */
  readonly noisePercent: number
  /** How long a run waits for the machine to become quiet. */
  readonly quietSeconds: number
  readonly generator: 'wrk' | 'own' | 'auto'
}

/** A command line that cannot be understood; the message says what is wrong. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

const usualPeers: readonly PeerId[] = ['bare', 'haproxy', 'haproxy-memo', 'nginx-memo']

export const usage = `node bench/run.ts [options]
node bench/run.ts --merge FILE…
  --rounds N         rounds of every peer in turn (default 5)
  --seconds N        length of one run (default 6)
  --warm N           warm-up of every server before its first round, in seconds (default 8)
  --workloads LIST   of ${workloads.map(({ id }) => id).join(', ')} (default all; none: latency only)
  --peers LIST       of ${peerIds.join(', ')} (default ${usualPeers.join(', ')};
                     those that are not installed are left out; all, or none)
  --no-footprint     leave out the time to start, memory and idle connections
  --rate N           requests per second of the latency runs (default 1000; 0: none)
  --connections N    connections of the load at saturation (default 32)
  --noise N          repeat a run in which other processes used more than N % of a core (default 15)
  --quiet-wait N     wait at most N seconds before a run until the machine is quiet (default 20)
  --generator NAME   wrk, own or auto: wrk if it is installed (default auto)
  --json FILE        write everything that was measured to FILE
  --merge FILE…      measure nothing: one report of several runs, from the files that --json wrote
  --quick            a few seconds for a smoke run; ratios are printed and not judged`

export type Command =
  | { readonly do: 'help' }
  | { readonly do: 'measure'; readonly options: BenchOptions }
  /** Files that --json wrote. */
  | { readonly do: 'merge'; readonly files: readonly string[] }

/** Reads the command line. Throws `UsageError`. */
export function parseCommand(argv: readonly string[]): Command {
  const { values, positionals } = parse(argv)
  if (values.help === true) return { do: 'help' }
  if (values.merge === true) {
    if (positionals.length === 0) throw new UsageError('--merge needs the files that --json wrote')
    return { do: 'merge', files: positionals }
  }
  const [unexpected] = positionals
  if (unexpected !== undefined) throw new UsageError(`"${unexpected}" is not an option; only --merge takes files`)
  return { do: 'measure', options: optionsOf(values) }
}

function optionsOf(values: ReturnType<typeof parse>['values']): BenchOptions {
  const quick = values.quick === true
  const number = (name: NumberOption, usual: number, quickly: number): number =>
    numberOf(name, values[name]) ?? (quick ? quickly : usual)
  return {
    rounds: Math.max(1, Math.round(number('rounds', 5, 1))),
    seconds: Math.max(1, number('seconds', 6, 1)),
    // The gateway needs some 60,000 requests until the compiler has settled.
    warmSeconds: number('warm', 8, 1),
    connections: Math.max(1, Math.round(number('connections', 32, 32))),
    ratePerSecond: Math.round(number('rate', 1000, 500)),
    workloads: chosen(values.workloads, quick),
    peers: chosenPeers(values.peers, quick),
    footprint: values['no-footprint'] !== true && !quick,
    quick,
    json: values.json ?? null,
    noisePercent: number('noise', 15, 1000),
    quietSeconds: number('quiet-wait', 20, 0),
    generator: generatorOf(values.generator ?? 'auto'),
  }
}

const flags = {
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  warm: { type: 'string' },
  workloads: { type: 'string' },
  peers: { type: 'string' },
  'no-footprint': { type: 'boolean' },
  rate: { type: 'string' },
  connections: { type: 'string' },
  noise: { type: 'string' },
  'quiet-wait': { type: 'string' },
  generator: { type: 'string' },
  json: { type: 'string' },
  merge: { type: 'boolean' },
  quick: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

const quickWorkloads: readonly string[] = ['get', 'post', 'denied']

type NumberOption = 'rounds' | 'seconds' | 'warm' | 'rate' | 'connections' | 'noise' | 'quiet-wait'

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: flags, allowPositionals: true, strict: true })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function numberOf(name: NumberOption, written: string | undefined): number | null {
  if (written === undefined) return null
  const value = Number(written)
  if (written.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new UsageError(`--${name} must be a number that is not negative, not "${written}"`)
  }
  return value
}

function chosen(list: string | undefined, quick: boolean): readonly Workload[] {
  if (list === undefined) return quick ? workloads.filter(({ id }) => quickWorkloads.includes(id)) : workloads
  if (list === 'none') return []
  return list.split(',').map((id) => {
    const found = workloads.find((workload) => workload.id === id)
    if (found === undefined) throw new UsageError(`--workloads: no workload is called "${id}"`)
    return found
  })
}

function chosenPeers(list: string | undefined, quick: boolean): readonly PeerId[] {
  if (list === undefined) return quick ? ['bare'] : usualPeers
  if (list === 'all') return peerIds
  if (list === 'none') return []
  return list.split(',').map((written) => {
    const found = peerIds.find((id) => id === written)
    if (found === undefined) throw new UsageError(`--peers: no peer is called "${written}"`)
    return found
  })
}

function generatorOf(written: string): BenchOptions['generator'] {
  if (written === 'wrk' || written === 'own' || written === 'auto') return written
  throw new UsageError(`--generator must be wrk, own or auto, not "${written}"`)
}
