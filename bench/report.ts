// The tables: figures with their spread, ratios, and the goals beside them. Markdown, as docs/performance.md shows it.

import type { Environment } from './environment.ts'
import type { Sample } from './measure.ts'
import { difference, figure, ratio, type Comparison, type Series } from './series.ts'
import type { Spread } from './statistics.ts'
import { pacedGoalsMs, type Workload } from './workloads.ts'

export interface WorkloadResult {
  readonly workload: Workload
  readonly gateway: Series
  readonly bare: Series
}

export interface PacedResult {
  readonly ratePerSecond: number
  /** The upstream alone. */
  readonly direct: Series
  readonly bare: Series
  readonly gateway: Series
}

export interface Results {
  readonly environment: Environment
  readonly conditions: readonly string[]
  readonly rounds: number
  /** Nothing is judged in a smoke run. */
  readonly quick: boolean
  readonly readyMs: { readonly gateway: number; readonly bare: number }
  readonly workloads: readonly WorkloadResult[]
  readonly paced: PacedResult | null
}

/** The whole report. */
export function formatReport(results: Results): string {
  const { environment, conditions, workloads, paced } = results
  const sections = [
    list([environment.machine, environment.system, environment.runtime, environment.packages, ...conditions]),
  ]
  if (workloads.length > 0) {
    sections.push(cpuTable(results), throughputTable(results), runTable(workloads))
  }
  if (paced !== null) sections.push(pacedTable(paced, results))
  const { gateway, bare } = results.readyMs
  sections.push(`From process start to ready: gateway ${gateway.toFixed(0)} ms, bare proxy ${bare.toFixed(0)} ms.`)
  return `${sections.join('\n\n')}\n`
}

const cpu = (sample: Sample): number | null => sample.cpuMsPer1000
const rate = (sample: Sample): number => sample.requestsPerSecond

function cpuTable({ workloads, rounds, quick }: Results): string {
  const rows = workloads.map(({ workload, gateway, bare }) => {
    const compared = ratio(gateway, bare, cpu)
    const beside = workload.reference === workload.request ? '' : ' (forwarded GET)'
    return [
      workload.title,
      spread(figure(gateway, cpu), 1),
      spread(figure(bare, cpu), 1) + beside,
      spread(compared.spread, 2),
      workload.goals.cpu === null ? '' : `≤ ${workload.goals.cpu.toFixed(2)}`,
      verdict(compared, { atMost: workload.goals.cpu }, { rounds, quick, series: [gateway, bare] }),
    ]
  })
  return table(
    'CPU time of the process tree, ms per 1,000 requests',
    ['workload', 'gateway', 'bare http-proxy', 'ratio', 'goal', ''],
    rows,
  )
}

function throughputTable({ workloads, rounds, quick }: Results): string {
  const rows = workloads.map(({ workload, gateway, bare }) => {
    const compared = ratio(gateway, bare, rate)
    return [
      workload.title,
      spread(figure(gateway, rate), 0),
      spread(figure(bare, rate), 0),
      spread(compared.spread, 2),
      workload.goals.throughput === null ? '' : `≥ ${workload.goals.throughput.toFixed(2)}`,
      verdict(compared, { atLeast: workload.goals.throughput }, { rounds, quick, series: [gateway, bare] }),
    ]
  })
  return table('Requests per second', ['workload', 'gateway', 'bare http-proxy', 'ratio', 'goal', ''], rows)
}

function runTable(workloads: readonly WorkloadResult[]): string {
  const rows = workloads.flatMap(({ workload, gateway, bare }) =>
    [gateway, bare].map((series) => [
      workload.title,
      series.name,
      spread(
        figure(series, ({ p50Us }) => p50Us / 1000),
        2,
      ),
      spread(
        figure(series, ({ p99Us }) => p99Us / 1000),
        2,
      ),
      spread(
        figure(series, ({ corePercent }) => corePercent),
        0,
      ),
      spread(
        figure(series, ({ rssBytes }) => (rssBytes === null ? null : rssBytes / 2 ** 20)),
        0,
      ),
      String(faults(series)),
      disturbance(series),
    ]),
  )
  const heads = ['workload', 'server', 'p50 ms', 'p99 ms', 'core %', 'RSS MiB', 'wrong answers', 'foreign CPU %']
  return table('At saturation', heads, rows)
}

function pacedTable({ ratePerSecond, direct, bare, gateway }: PacedResult, { rounds, quick }: Results): string {
  const p50 = (sample: Sample): number => sample.p50Us / 1000
  const p99 = (sample: Sample): number => sample.p99Us / 1000
  const rows = [direct, bare, gateway].map((series) => {
    const added50 = difference(series, direct, p50)
    const added99 = difference(series, direct, p99)
    const judged = { rounds, quick, series: [series, direct] }
    const own = series === gateway
    return [
      series.name,
      spread(figure(series, p50), 3),
      spread(figure(series, p99), 3),
      series === direct ? '' : spread(added50.spread, 3),
      own ? `≤ ${pacedGoalsMs.p50} ${verdict(added50, { atMost: pacedGoalsMs.p50 }, judged)}` : '',
      series === direct ? '' : spread(added99.spread, 3),
      own ? `≤ ${pacedGoalsMs.p99} ${verdict(added99, { atMost: pacedGoalsMs.p99 }, judged)}` : '',
      String(faults(series)),
      disturbance(series),
    ]
  })
  const heads = [
    'server',
    'p50 ms',
    'p99 ms',
    'added p50',
    'goal',
    'added p99',
    'goal',
    'wrong answers',
    'foreign CPU %',
  ]
  return table(`Latency of forwarded GETs at ${ratePerSecond} requests a second`, heads, rows)
}

interface Goal {
  readonly atMost?: number | null
  readonly atLeast?: number | null
}

/** Whether a goal is met. Nothing is said of a smoke run, of wrong answers, or where noise left less than half the rounds. */
function verdict(
  { spread, rounds: counted }: Comparison,
  { atMost = null, atLeast = null }: Goal,
  { rounds, quick, series }: { rounds: number; quick: boolean; series: readonly Series[] },
): string {
  if (atMost === null && atLeast === null) return ''
  if (quick) return 'not judged: smoke run'
  if (series.some((each) => faults(each) > 0)) return 'not judged: wrong answers'
  if (spread === null) return series.some(isNoisy) ? 'not judged: noise' : 'not available here'
  if (counted * 2 < rounds) return 'not judged: noise'
  const met = (atMost === null || spread.median <= atMost) && (atLeast === null || spread.median >= atLeast)
  return met ? 'met' : 'missed'
}

function isNoisy({ samples }: Series): boolean {
  return samples.some(({ noisy }) => noisy)
}

function faults({ samples }: Series): number {
  return samples.reduce((total, { unexpected, errors }) => total + unexpected + errors, 0)
}

/** Foreign CPU over all rounds, and how many of them do not count. */
function disturbance({ samples }: Series): string {
  const values = samples.flatMap(({ foreignPercent }) => foreignPercent ?? [])
  if (values.length === 0) return 'not available'
  const noisy = samples.filter((sample) => sample.noisy).length
  const most = `≤ ${Math.max(...values).toFixed(0)}`
  return noisy === 0 ? most : `${most}, ${noisy} of ${samples.length} rounds left out`
}

function spread(value: Spread | null, digits: number): string {
  if (value === null) return '–'
  const [median, min, max] = [value.median, value.min, value.max].map((number) => number.toFixed(digits))
  return min === max ? `${median}` : `${median} (${min}–${max})`
}

function list(items: readonly string[]): string {
  return items.map((item) => `- ${item}`).join('\n')
}

function table(title: string, heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [`### ${title}`, '', line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n')
}
