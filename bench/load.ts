// One dose of load on a port, by wrk or by our own generator, and what came of it.

import { fileURLToPath } from 'node:url'
import { startProcess, versionOf } from './processes.ts'

/** Options of a load generator. */
export interface LoadOrder {
  readonly port: number
  /** Written by `writeRequests`. */
  readonly requestsFile: string
  readonly connections: number
  readonly seconds: number
  /** Only at a fixed rate: seconds before latencies count. */
  readonly warmSeconds: number
  /** Null for as much as the connections carry. */
  readonly ratePerSecond: number | null
  /** The only right status of an answer. */
  readonly status: number
}

export interface LoadResult {
  /** Complete answers, those of the warm-up too: CPU time is shared out over all of them. */
  readonly requests: number
  readonly requestsPerSecond: number
  readonly p50Us: number
  readonly p99Us: number
  readonly slowestUs: number
  /** Answers with another status than the right one. */
  readonly unexpected: number
  /** Connections that failed or answers that did not come. */
  readonly errors: number
}

export interface Load {
  /** Name and version of what makes the load at saturation. */
  readonly description: string
  run(order: LoadOrder): Promise<LoadResult>
}

const ownGenerator = fileURLToPath(new URL('load-generator.ts', import.meta.url))
const wrkScript = fileURLToPath(new URL('wrk.lua', import.meta.url))

/** Chooses the generator for runs at saturation; a fixed rate is always our own, since wrk has none. */
export function chooseLoad(wanted: 'wrk' | 'own' | 'auto', core: number | null): Load {
  const wrkVersion = wanted === 'own' ? null : versionOf('wrk', ['--version'])
  if (wanted === 'wrk' && wrkVersion === null) throw new Error('wrk is not installed')
  return {
    description: wrkVersion === null ? 'own generator on node:net, one process' : `wrk ${wrkVersion}, one thread`,
    run: (order) => (wrkVersion === null || order.ratePerSecond !== null ? runOwn(order, core) : runWrk(order, core)),
  }
}

async function runOwn(order: LoadOrder, core: number | null): Promise<LoadResult> {
  const line = await lastLine(process.execPath, [ownGenerator, JSON.stringify(order)], order, core)
  // Written by load-generator.ts.
  return JSON.parse(line) as LoadResult
}

async function runWrk(order: LoadOrder, core: number | null): Promise<LoadResult> {
  const args = ['-t1', `-c${order.connections}`, `-d${order.seconds}s`, '--timeout', '10s', '-s', wrkScript]
  const line = await lastLine(
    'wrk',
    [...args, `http://127.0.0.1:${order.port}/`, '--', order.requestsFile],
    order,
    core,
  )
  // Written by wrk.lua.
  const told = JSON.parse(line) as Record<
    'requests' | 'micros' | 'p50' | 'p99' | 'slowest' | 'refused' | 'errors',
    number
  >
  return {
    requests: told.requests,
    requestsPerSecond: (told.requests * 1e6) / told.micros,
    p50Us: told.p50,
    p99Us: told.p99,
    slowestUs: told.slowest,
    // wrk tells how many statuses were 400 or more; the exact status is checked before and after the run.
    unexpected: order.status >= 400 ? told.requests - told.refused : told.refused,
    errors: told.errors,
  }
}

async function lastLine(
  command: string,
  args: readonly string[],
  order: LoadOrder,
  core: number | null,
): Promise<string> {
  const program = startProcess(command, args, { core })
  const cut = setTimeout(() => void program.stop(), (order.seconds + order.warmSeconds + 15) * 1000)
  const code = await program.ended
  clearTimeout(cut)
  const line = program.output().trim().split('\n').at(-1) ?? ''
  if (code !== 0 || !line.startsWith('{')) throw new Error(`the load generator failed (${code}):\n${program.output()}`)
  return line
}
