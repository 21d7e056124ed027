// What traces cost: forwarded reads at a fixed rate through gateways without telemetry and with several shares of traces, in turn.
// node bench/tracing.ts [--rate N] [--rounds N] [--seconds N]

import { parseArgs } from 'node:util'
import { fileURLToPath } from 'node:url'
import { freePorts } from '../test/support/free-ports.ts'
import { openAccounting } from './accounting.ts'
import { checkAnswers, probe } from './answers.ts'
import { describeEnvironment } from './environment.ts'
import { chooseLoad } from './load.ts'
import type { Laboratory } from './measure.ts'
import { gateway } from './peers/node.ts'
import { startServer } from './peers/peer.ts'
import { accepts, coresToUse, startProcess, untilReady } from './processes.ts'
import { difference, figure, ratio, runRounds, type Entrant, type Series } from './series.ts'
import { openGround } from './site.ts'
import { disturbance, faults, list, spread, table } from './tables.ts'
import { startUpstream } from './upstream.ts'
import { pacedRequest } from './workloads.ts'

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '500' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    connections: { type: 'string', default: '32' },
    noise: { type: 'string', default: '15' },
    'quiet-wait': { type: 'string', default: '20' },
  },
})
const order = {
  connections: Number(values.connections),
  seconds: Number(values.seconds),
  warmSeconds: 1,
  ratePerSecond: Number(values.rate),
}

/** Shares of the traces that are exported; null: without telemetry. */
const shares = [null, 0, 0.1, 1] as const

const closers: (() => Promise<void>)[] = []
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
try {
  const [collectorPort = 0] = await freePorts(1)
  const server = fileURLToPath(new URL('upstream-server.ts', import.meta.url))
  // It takes everything and decodes nothing, beside the load and not on the core of the gateway.
  const collector = startProcess(process.execPath, [server, String(collectorPort)], {
    core: coresToUse()?.load ?? null,
  })
  closers.push(() => collector.stop())
  await untilReady('the collector', collector, () => accepts(collectorPort))
  const contenders = []
  for (const sample of shares) {
    const telemetry = sample === null ? null : { otlp: `http://127.0.0.1:${collectorPort}`, sample }
    const ground = await openGround({ telemetry })
    closers.push(() => ground.close())
    const title = sample === null ? 'no telemetry' : `${sample * 100} % of the traces`
    const running = await startServer({ ...gateway, title }, ground.site)
    ground.onClose(() => running.process.stop())
    await checkAnswers(running, ground.site, [pacedRequest], ground.callers)
    const { process: upstream } = await startUpstream(
      ground.site.ports.upstream,
      ground.site.installation.directory,
      ground.loadCore,
    )
    ground.onClose(() => upstream.stop())
    contenders.push({ ground, running, upstream })
  }
  const lab: Laboratory = {
    accounting: openAccounting(),
    load: chooseLoad('own', contenders[0]?.ground.loadCore ?? null),
    company: [collector, ...contenders.flatMap(({ ground, upstream }) => [upstream, ground.identity])],
    noisePercent: Number(values.noise),
    quietSeconds: Number(values['quiet-wait']),
    onRepeat: () => {},
  }
  const entrants = contenders.map(({ ground, running }): Entrant => {
    const prepared = ground.prepare(pacedRequest, running.port, order)
    return {
      name: running.server.title,
      process: running.process,
      order: prepared.order,
      probe: () => probe(running.port, prepared.requests, pacedRequest.status),
      tidy: () => ground.emptyRecords(),
    }
  })
  for (const { order: paced, tidy } of entrants) {
    await lab.load.run({ ...paced, seconds: 5, ratePerSecond: null })
    tidy()
  }
  const series = await runRounds(lab, entrants, Number(values.rounds), 0)
  const dropped = await Promise.all(contenders.map(({ ground }) => droppedSpans(ground.site.ports.admin)))
  const [without] = series
  if (without === undefined) throw new Error('nothing was measured')
  const rows = series.map((each, index) => [
    each.name,
    spread(figure(each, cpu), 1),
    each === without ? '' : spread(ratio(each, without, cpu).spread, 2),
    ...([50, 99] as const).map((percentile) =>
      each === without
        ? spread(figure(each, latency(percentile)), 2)
        : spread(difference(each, without, latency(percentile)).spread, 2),
    ),
    spread(
      figure(each, ({ rssBytes }) => (rssBytes === null ? null : rssBytes / 1e6)),
      0,
    ),
    dropped[index] ?? '',
    String(faults(each)),
    disturbance(each),
  ])
  const heads = [
    'telemetry',
    'CPU ms per 1,000',
    'ratio',
    'p50 ms, or more than without',
    'p99 ms, or more',
    'RSS MB',
    'spans dropped',
    'wrong answers',
    'foreign CPU %',
  ]
  const { machine, system, runtime } = describeEnvironment()
  process.stdout.write(
    `${list([machine, system, runtime])}\n\n${table(`Forwarded GETs at ${values.rate} a second`, heads, rows)}\n`,
  )
} finally {
  for (const close of closers.toReversed()) await close()
}

function cpu({ cpuMsPer1000 }: Series['runs'][number][number]): number | null {
  return cpuMsPer1000
}

function latency(percentile: 50 | 99) {
  return ({ p50Us, p99Us }: Series['runs'][number][number]): number => (percentile === 50 ? p50Us : p99Us) / 1_000
}

/** Of all that were made, as the gateway counts them. */
async function droppedSpans(port: number): Promise<string> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const count = (result: string): number =>
    Number(new RegExp(`^gateway_telemetry_spans_total\\{result="${result}"\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
  const [lost, taken] = [count('dropped'), count('exported')]
  return lost + taken === 0 ? '' : `${lost} of ${lost + taken}`
}
