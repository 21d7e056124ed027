// Several runs of the bench as one report: what it shows, what it judges, and which files it takes.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Sample } from '../../bench/measure.ts'
import { merge, readRun } from '../../bench/merge.ts'
import { parseCommand } from '../../bench/options.ts'
import { barePeer } from '../../bench/peers/node.ts'
import { formatReport, type Results } from '../../bench/report.ts'
import type { Series } from '../../bench/series.ts'
import { workloads } from '../../bench/workloads.ts'

const [first = '2026-11-27T06:10:00.000Z', second = '', third = ''] = ['06', '09', '13'].map(
  (hour) => `2026-11-27T${hour}:10:00.000Z`,
)

/** CPU milliseconds per 1,000 requests by round; negative: the round was disturbed. */
function series(name: string, cpu: readonly number[]): Series {
  const sample = (value: number): Sample => ({
    requests: 1000,
    requestsPerSecond: 1e6 / Math.abs(value),
    p50Us: 1000,
    p99Us: 2000,
    slowestUs: 3000,
    unexpected: 0,
    errors: 0,
    cpuMsPer1000: Math.abs(value),
    corePercent: 100,
    rssBytes: 150e6,
    foreignPercent: 0,
    noisy: value < 0,
  })
  return { name, runs: [cpu.map(sample)] }
}

interface RunOptions {
  readonly gateway: readonly number[]
  readonly bare: readonly number[]
  readonly readyMs?: number
  readonly loadedMb?: number
}

function resultsOf(begun: string, { gateway, bare, readyMs = 600, loadedMb = 180 }: RunOptions): Results {
  const sides = { gateway: series('gateway', gateway), others: [{ peer: barePeer, series: series('bare', bare) }] }
  return {
    begun: [begun],
    environment: { machine: '2 cores', system: 'Linux', runtime: 'Node.js 24', packages: 'fastify 5' },
    conditions: ['nothing is pinned to a core'],
    rounds: gateway.length,
    quick: false,
    workloads: workloads.filter(({ id }) => id === 'get').map((workload) => ({ workload, ...sides })),
    paced: { ratePerSecond: 1000, direct: series('upstream', gateway), ...sides },
    footprints: [
      {
        starts: { gateway: { median: readyMs, min: readyMs - 10, max: readyMs + 10 }, bare: null },
        memory: { cacheBytes: 64 * 2 ** 20, loadedBytes: loadedMb * 1e6, idleBytes: null },
      },
    ],
  }
}

function reportOf(...results: readonly Results[]): readonly string[] {
  return formatReport(merge(results.map((each, index) => ({ name: `${index}.json`, results: each })))).split('\n')
}

describe('the report of several runs', () => {
  const report = reportOf(
    resultsOf(second, { gateway: [40, 50, 60], bare: [100, 100, 100], readyMs: 720, loadedMb: 210 }),
    resultsOf(first, { gateway: [10, 20, 90], bare: [100, 100, 100], readyMs: 500, loadedMb: 190 }),
    resultsOf(third, { gateway: [25, 30, 95], bare: [50, 50, 50], readyMs: 650, loadedMb: 205 }),
  )

  it('says when each run began, in order', () => {
    expect(report).toContain(
      '- 3 runs, begun 2026-11-27 06:10 UTC, 2026-11-27 09:10 UTC, 2026-11-27 13:10 UTC: medians of their medians, with the smallest and the largest value of all rounds',
    )
  })

  it("shows the median of the runs' medians, the smallest and largest of all rounds, ratios of one round, and the goal", () => {
    // Medians of the runs: 20, 50 and 30, where that of all nine rounds is 40; medians of their ratios: 0.2, 0.5 and 0.6.
    expect(report).toContain('| forwarded GET, 2 KiB answer | 30.0 (10.0–95.0) | 0.50 (0.10–1.90); ≤ 0.80: met |')
  })

  it('shows starts and memory over the runs', () => {
    expect(report).toContain('| start to ready, ms | 650 (490–730) | ≤ 700: met |')
    expect(report).toContain('| memory under load, 64 MiB of answers stored, MB | 205 (190–210) | ≤ 200: missed |')
    expect(report).toContain('| 10000 idle connections, MB more | – | ≤ 150: not judged |')
  })

  it('leaves disturbed rounds out, and judges nothing where less than half of all are left', () => {
    const calm = resultsOf(first, { gateway: [20, 20], bare: [100, 100] })
    const noisy = resultsOf(second, { gateway: [-90, 40], bare: [100, -100] })
    expect(reportOf(calm, noisy)).toContain('| forwarded GET, 2 KiB answer | 30.0 (20.0–40.0) | 0.20; ≤ 0.80: met |')
    const noisier = resultsOf(third, { gateway: [-90, -90], bare: [100, 100] })
    expect(reportOf(calm, noisy, noisier)).toContain(
      '| forwarded GET, 2 KiB answer | 30.0 (20.0–40.0) | 0.20; ≤ 0.80: not judged, noise |',
    )
  })

  it('is that of a single run for one file', () => {
    const results = resultsOf(first, { gateway: [20, 30], bare: [100, 100] })
    expect(reportOf(results).join('\n')).toBe(formatReport(results))
    expect(formatReport(results)).toContain('- begun 2026-11-27 06:10 UTC\n')
  })

  it('is refused where runs were not measured alike', () => {
    const results = resultsOf(first, { gateway: [20], bare: [100] })
    const elsewhere = { ...results, environment: { ...results.environment, machine: '64 cores' } }
    expect(() => reportOf(results, elsewhere)).toThrow(
      '0.json and 1.json were not measured alike: only one of them says "2 cores"',
    )
    expect(() => reportOf(results, { ...results, workloads: [] })).toThrow(
      'only one of them says "forwarded GET, 2 KiB answer: gateway, bare @fastify/http-proxy, no checks"',
    )
    expect(() => reportOf(results, { ...results, conditions: [...results.conditions, 'more'] })).toThrow('"more"')
  })
})

describe('the files', () => {
  const directory = (): string => {
    const made = mkdtempSync(join(tmpdir(), 'bench-merge-'))
    onTestFinished(() => rmSync(made, { recursive: true }))
    return made
  }

  it('are those that --json writes', () => {
    const results = resultsOf(first, { gateway: [20, 30], bare: [100, 100] })
    const file = join(directory(), 'run.json')
    writeFileSync(file, JSON.stringify(results))
    expect(formatReport(readRun(file).results)).toBe(formatReport(results))
  })

  it('are refused when they are others, with a sentence', () => {
    const file = join(directory(), 'other.json')
    expect(() => readRun(file)).toThrow(`${file} cannot be read: ENOENT`)
    writeFileSync(file, '[')
    expect(() => readRun(file)).toThrow(`${file} cannot be read: `)
    writeFileSync(file, '{"rounds": 5}')
    expect(() => readRun(file)).toThrow(`${file} is not a file that --json of this bench wrote`)
  })

  it('stand behind --merge, and nowhere else', () => {
    expect(parseCommand(['--merge', 'a.json', 'b.json'])).toEqual({ do: 'merge', files: ['a.json', 'b.json'] })
    expect(() => parseCommand(['--merge'])).toThrow('--merge needs the files that --json wrote')
    expect(() => parseCommand(['a.json'])).toThrow('"a.json" is not an option; only --merge takes files')
  })
})
