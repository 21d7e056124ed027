// The tables: ratios with the goals beside them, then the figures they come from. Markdown, as docs/performance.md shows it.

import { isDeepStrictEqual } from 'node:util'
import type { Environment } from './environment.ts'
import type { Footprint } from './footprint.ts'
import type { Sample } from './measure.ts'
import type { Peer } from './peers/peer.ts'
import { difference, figure, ratio, type Comparison, type Series } from './series.ts'
import { spreadOf, spreadOver, type Spread } from './statistics.ts'
import { disturbance, faults, judge, list, spread, table, type Judged } from './tables.ts'
import { footprintGoals, idleConnections, pacedGoalsMs, type Workload } from './workloads.ts'

/** A server that stood beside the gateway. */
export interface Compared {
  readonly peer: Pick<Peer, 'id' | 'title' | 'guards'>
  readonly series: Series
}

export interface WorkloadResult {
  readonly workload: Workload
  readonly gateway: Series
  readonly others: readonly Compared[]
}

export interface PacedResult {
  readonly ratePerSecond: number
  /** The upstream alone. */
  readonly direct: Series
  readonly gateway: Series
  readonly others: readonly Compared[]
}

/** Everything that was measured, as data: what --json writes and --merge reads. */
export interface Results {
  /** When each run began, ISO 8601 in UTC. */
  readonly begun: readonly string[]
  readonly environment: Environment
  readonly conditions: readonly string[]
  /** Of all runs. */
  readonly rounds: number
  /** Nothing is judged in a smoke run. */
  readonly quick: boolean
  readonly workloads: readonly WorkloadResult[]
  readonly paced: PacedResult | null
  /** One of each run that measured it. */
  readonly footprints: readonly Footprint[]
}

/** The whole report. */
export function formatReport(results: Results): string {
  const { environment, conditions, workloads, paced, footprints } = results
  const sections = [list([...Object.values(environment), ...conditions, datesOf(results)])]
  if (workloads.length > 0) sections.push(ratioTable(results))
  if (paced !== null) sections.push(pacedTable(paced, results))
  if (footprints.length > 0) sections.push(footprintTable(footprints))
  if (workloads.length > 0) sections.push(figureTable(workloads))
  return `${sections.join('\n\n')}\n`
}

function datesOf({ begun }: Results): string {
  const dates = begun.map((time) => `${time.slice(0, 16).replace('T', ' ')} UTC`)
  if (dates.length === 1) return `begun ${dates.join()}`
  return `${dates.length} runs, begun ${dates.join(', ')}: medians of their medians, with the smallest and the largest value of all rounds`
}

const cpu = (sample: Sample): number | null => sample.cpuMsPer1000
const rate = (sample: Sample): number => sample.requestsPerSecond

function ratioTable(results: Results): string {
  const compared = results.workloads[0]?.others.map(({ peer }) => peer) ?? []
  const rows = results.workloads.flatMap(({ workload, gateway, others }) => {
    const cells = others.map(({ peer, series }) =>
      cell(ratio(gateway, series, cpu), { atMost: workload.goals.cpu[peer.id] }, results, [gateway, series]),
    )
    const row = [workload.title, spread(figure(gateway, cpu), 1), ...cells]
    const { throughput } = workload.goals
    const bare = others.find(({ peer }) => peer.id === 'bare')
    if (throughput === undefined || bare === undefined) return [row]
    const both = [gateway, bare.series]
    return [
      row,
      [
        `${workload.title}, requests per second`,
        spread(figure(gateway, rate), 0),
        ...others.map((other) =>
          other === bare ? cell(ratio(gateway, bare.series, rate), { atLeast: throughput }, results, both) : '',
        ),
      ],
    ]
  })
  return table(
    'CPU time of the process tree, ms per 1,000 requests, and its ratio to each peer',
    ['workload', 'gateway', ...compared.map(({ title }) => `to ${title}`)],
    rows,
  )
}

function cell(compared: Comparison, goal: Judged['goal'], { rounds, quick }: Results, series: Series[]): string {
  return [spread(compared.spread, 2), judge({ compared, goal, rounds, quick, series })].filter(Boolean).join('; ')
}

function pacedTable({ ratePerSecond, direct, gateway, others }: PacedResult, { rounds, quick }: Results): string {
  const p50 = (sample: Sample): number => sample.p50Us / 1000
  const p99 = (sample: Sample): number => sample.p99Us / 1000
  const rows = [direct, ...others.map(({ series }) => series), gateway].map((series) => {
    const added = (value: (sample: Sample) => number, atMost: number): string => {
      if (series === direct) return ''
      const compared = difference(series, direct, value)
      const goal = series === gateway ? { atMost } : {}
      return [spread(compared.spread, 3), judge({ compared, goal, rounds, quick, series: [series, direct] })]
        .filter(Boolean)
        .join('; ')
    }
    return [
      series.name,
      spread(figure(series, p50), 3),
      spread(figure(series, p99), 3),
      added(p50, pacedGoalsMs.p50),
      added(p99, pacedGoalsMs.p99),
      String(faults(series)),
      disturbance(series),
    ]
  })
  const heads = ['server', 'p50 ms', 'p99 ms', 'added p50', 'added p99', 'wrong answers', 'foreign CPU %']
  return table(`Latency of forwarded GETs at ${ratePerSecond} requests a second`, heads, rows)
}

function footprintTable(footprints: readonly Footprint[]): string {
  const starts = (of: 'gateway' | 'bare'): Spread | null =>
    spreadOver(footprints.flatMap(({ starts }) => starts[of] ?? []))
  const memory = (of: 'cacheBytes' | 'loadedBytes' | 'idleBytes', unit: number): Spread | null =>
    spreadOf(footprints.flatMap(({ memory }) => (memory[of] === null ? [] : memory[of] / unit)))
  const rows: readonly (readonly [string, Spread | null, number | null])[] = [
    ['start to ready, ms', starts('gateway'), footprintGoals.readyMs],
    ['start to ready of the bare proxy, ms', starts('bare'), null],
    [
      `memory under load, ${spread(memory('cacheBytes', 2 ** 20), 0)} MiB of answers stored, MB`,
      memory('loadedBytes', 1e6),
      footprintGoals.loadedMb,
    ],
    [`${idleConnections} idle connections, MB more`, memory('idleBytes', 1e6), footprintGoals.idleMb],
  ]
  return table(
    'Start and memory of the gateway',
    ['what', 'measured', 'goal'],
    rows.map(([what, measured, goal]) => [
      what,
      spread(measured, 0),
      goal === null ? '' : `≤ ${goal}: ${held(measured, goal)}`,
    ]),
  )
}

function held(measured: Spread | null, goal: number): string {
  if (measured === null) return 'not judged'
  return measured.median <= goal ? 'met' : 'missed'
}

function figureTable(workloads: readonly WorkloadResult[]): string {
  const columns: readonly [string, (sample: Sample) => number | null, number][] = [
    ['CPU ms', cpu, 1],
    ['requests/s', rate, 0],
    ['p50 ms', ({ p50Us }) => p50Us / 1000, 2],
    ['p99 ms', ({ p99Us }) => p99Us / 1000, 2],
    ['core %', ({ corePercent }) => corePercent, 0],
    ['RSS MB', ({ rssBytes }) => (rssBytes === null ? null : rssBytes / 1e6), 0],
  ]
  const shown = (value: Spread | null, digits: number): string => spread(value, digits)
  const rows = workloads.flatMap(({ workload, gateway, others }) =>
    [{ peer: null, series: gateway }, ...others].map(({ peer, series }) => [
      peer !== null && !peer.guards && !isDeepStrictEqual(workload.reference, workload.request)
        ? `${workload.title} (here: forwarded GET)`
        : workload.title,
      series.name,
      ...columns.map(([, value, digits]) => shown(figure(series, value), digits)),
      String(faults(series)),
      disturbance(series),
    ]),
  )
  const heads = ['workload', 'server', ...columns.map(([head]) => head), 'wrong answers', 'foreign CPU %']
  return table('At saturation', heads, rows)
}
