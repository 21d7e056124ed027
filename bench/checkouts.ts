// What a change costs: the gateway of this checkout, of others, and the bare proxy, in turn, on the same upstream.
// node bench/checkouts.ts [--workloads LIST] [--rounds N] [--seconds N] [--warm N] [--rate N] [--no-bare] CHECKOUT…
// A checkout is a directory with its own node_modules; flags for Node may follow it: 'before --min-semi-space-size=8'.
// `--without KEY,KEY` leaves out lines of gateway.yaml that an older checkout does not know.

import { cpSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { freePorts } from '../test/support/free-ports.ts'
import { openAccounting } from './accounting.ts'
import { probe } from './answers.ts'
import { chooseLoad } from './load.ts'
import type { Laboratory } from './measure.ts'
import { answersOk, barePeer, gatewayCommand } from './peers/node.ts'
import { startServer, type Running, type Server } from './peers/peer.ts'
import { ratio, figure, runRounds, type Entrant } from './series.ts'
import { openGround, type Ground } from './site.ts'
import { spread } from './tables.ts'
import { startUpstream } from './upstream.ts'
import { pacedRequest, workloads, type RequestSpec } from './workloads.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    workloads: { type: 'string', default: 'cached,get,denied' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    warm: { type: 'string', default: '6' },
    rate: { type: 'string', default: '0' },
    'no-bare': { type: 'boolean', default: false },
    without: { type: 'string', default: '' },
  },
})
/** The length of a run at a fixed rate is that of 8,000 requests at 1,000 a second. */
const pacedSeconds = 8
const say = (text: string): void => void process.stderr.write(`${text}\n`)

/** A copy of the installation on ports of its own, served by the code of a checkout. `tidy` empties its records. */
async function gatewayOf(named: string, ground: Ground): Promise<{ server: Server; tidy: () => void }> {
  const [root = '', ...flags] = named.split(' ')
  const { installation, ports } = ground.site
  const [gatewayPort = 0, adminPort = 0] = await freePorts(2)
  const directory = join(installation.directory, `checkout-${gatewayPort}`)
  for (const name of ['policies', 'secrets', 'records', 'gateway.yaml'])
    cpSync(join(installation.directory, name), join(directory, name), { recursive: true })
  const file = join(directory, 'gateway.yaml')
  writeFileSync(
    file,
    readFileSync(file, 'utf8')
      .replaceAll(`127.0.0.1:${ports.gateway}`, `127.0.0.1:${gatewayPort}`)
      .replaceAll(`127.0.0.1:${ports.admin}`, `127.0.0.1:${adminPort}`)
      .replaceAll(`${installation.directory}/`, `${directory}/`)
      .split('\n')
      .filter((line) => !values.without.split(',').includes(line.trim().split(':')[0] ?? ''))
      .join('\n'),
  )
  const server: Server = {
    title: named,
    guards: true,
    installed: () => named,
    port: () => gatewayPort,
    prepare: (_site, nodeFlags) => gatewayCommand(join(root, 'bin/devin-gateway.mjs'), file, [...nodeFlags, ...flags]),
    isReady: () => answersOk(adminPort, '/readyz'),
  }
  const tidy = (): void => {
    for (const name of ['access', 'decisions']) truncateSync(join(directory, `records/${name}.ndjson`))
  }
  return { server, tidy }
}

const ground = await openGround()
try {
  const { site } = ground
  const servers: (Running & { tidy: () => void })[] = []
  for (const root of [resolve(import.meta.dirname, '..'), ...positionals.map((each) => resolve(each))]) {
    const { server, tidy } = await gatewayOf(root, ground)
    const running = await startServer(server, site)
    ground.onClose(() => running.process.stop())
    servers.push({ ...running, tidy })
  }
  if (!values['no-bare']) {
    const bare = await startServer(barePeer, site)
    ground.onClose(() => bare.process.stop())
    servers.push({ ...bare, tidy: () => undefined })
  }
  const upstream = await startUpstream(site.ports.upstream, site.installation.directory, ground.loadCore)
  ground.onClose(() => upstream.process.stop())
  const lab: Laboratory = {
    accounting: openAccounting(),
    load: chooseLoad('auto', ground.loadCore),
    noisePercent: 15,
    quietSeconds: 5,
    onRepeat: (percent) => say(`  other processes used ${percent.toFixed(0)} % of a core: once more`),
    company: [upstream.process, ground.identity],
  }
  const entrants = (spec: (server: Server) => RequestSpec, ratePerSecond: number | null) =>
    servers.map((running): Entrant => {
      const request = spec(running.server)
      const { order, requests } = ground.prepare(request, running.port, {
        connections: 32,
        seconds: ratePerSecond === null ? Number(values.seconds) : pacedSeconds,
        warmSeconds: ratePerSecond === null ? 0 : 1,
        ratePerSecond,
      })
      return {
        name: running.server.title,
        process: running.process,
        order,
        probe: () => probe(running.port, requests, request.status),
        tidy: running.tidy,
      }
    })
  for (const id of values.workloads === 'none' ? [] : values.workloads.split(',')) {
    const workload = workloads.find((each) => each.id === id)
    if (workload === undefined) throw new Error(`no workload is called "${id}"`)
    const series = await runRounds(
      lab,
      entrants(({ guards }) => (guards ? workload.request : workload.reference), null),
      Number(values.rounds),
      Number(values.warm),
    )
    process.stdout.write(`\n${workload.title}\n`)
    for (const each of series) {
      const last = series.at(-1)
      process.stdout.write(
        `  ${each.name}: CPU ms per 1,000 ${spread(
          figure(each, (sample) => sample.cpuMsPer1000),
          2,
        )}` +
          `; of the last ${last === undefined ? '' : spread(ratio(each, last, (sample) => sample.cpuMsPer1000).spread, 2)}\n`,
      )
    }
  }
  if (Number(values.rate) > 0) {
    const series = await runRounds(
      lab,
      entrants(() => pacedRequest, Number(values.rate)),
      Number(values.rounds),
      0,
    )
    process.stdout.write(`\n${values.rate} forwarded reads a second: ms\n`)
    for (const each of series) {
      const [p50, p99, slowest] = (['p50Us', 'p99Us', 'slowestUs'] as const).map((name) =>
        spread(
          figure(each, (sample) => sample[name] / 1000),
          2,
        ),
      )
      process.stdout.write(`  ${each.name}: p50 ${p50} p99 ${p99} slowest ${slowest}\n`)
    }
  }
} finally {
  await ground.close()
}
