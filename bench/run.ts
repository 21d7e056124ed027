// npm run bench: the gateway with everything on beside bare @fastify/http-proxy and, where they are installed, HAProxy and
// nginx with Lua doing the same work, on the same upstream, in turn. Prints tables; docs/performance.md explains them.
// Everything stays on loopback and everything that is started is stopped.

import { writeFileSync } from 'node:fs'
import { openAccounting } from './accounting.ts'
import { checkAnswers, checkRecords, probe } from './answers.ts'
import { teams } from './company.ts'
import { describeEnvironment } from './environment.ts'
import { measureMemory, measureStarts, type Footprint } from './footprint.ts'
import type { Caller } from './identity.ts'
import { chooseLoad } from './load.ts'
import type { Laboratory } from './measure.ts'
import { merge, readRun } from './merge.ts'
import { parseCommand, usage, UsageError, type BenchOptions } from './options.ts'
import { gateway as gatewayServer } from './peers/node.ts'
import { startServer, type Peer, type Running, type Server } from './peers/peer.ts'
import { peers } from './peers/peers.ts'
import { formatReport, type PacedResult, type Results, type WorkloadResult } from './report.ts'
import { runRounds, type Entrant, type Series } from './series.ts'
import { openGround, type Ground } from './site.ts'
import { startUpstream } from './upstream.ts'
import { pacedRequest, workloads, type RequestSpec } from './workloads.ts'

interface Stage {
  readonly options: BenchOptions
  readonly ground: Ground
  readonly lab: Laboratory
  readonly gateway: Running
  readonly others: readonly Running<Peer>[]
}

const nobody: Series = { name: '', runs: [] }
const say = (text: string): void => void process.stderr.write(`${text}\n`)

async function main(argv: readonly string[]): Promise<number> {
  try {
    const command = parseCommand(argv)
    if (command.do === 'help') process.stdout.write(`${usage}\n`)
    else if (command.do === 'merge') process.stdout.write(formatReport(merge(command.files.map(readRun))))
    else await bench(command.options)
    return 0
  } catch (error) {
    if (error instanceof UsageError) {
      say(`${error.message}\n${usage}`)
      return 2
    }
    say(error instanceof Error ? `${error.name}: ${error.message}` : String(error))
    return 1
  }
}

async function bench(options: BenchOptions): Promise<void> {
  const ground = await openGround()
  try {
    const results = await measureAll(options, ground)
    process.stdout.write(formatReport(results))
    if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`)
  } finally {
    await ground.close()
  }
}

async function measureAll(options: BenchOptions, ground: Ground): Promise<Results> {
  const begun = new Date().toISOString()
  const { site, callers, loadCore } = ground
  const compared = peers.filter((peer) => options.peers.includes(peer.id) && isInstalled(peer))
  const load = chooseLoad(options.generator, loadCore)
  const surroundings = {
    accounting: openAccounting(),
    load,
    noisePercent: options.noisePercent,
    quietSeconds: options.quietSeconds,
    onRepeat: (percent: number) => say(`  other processes used ${percent.toFixed(0)} % of a core: once more`),
  }
  const start = async <Kind extends Server>(server: Kind): Promise<Running<Kind>> => {
    const running = await startServer(server, site)
    ground.onClose(() => running.process.stop())
    return running
  }
  const specs = workloads.map(({ request }) => request)
  const gateway = await start(gatewayServer)
  await checkRecords(site, await checkAnswers(gateway, site, specs, callers))
  const others: Running<Peer>[] = []
  for (const peer of compared) {
    const running = await start(peer)
    await checkAnswers(running, site, specs, callers)
    others.push(running)
  }
  say('the answers of all are right, and every request of the gateway left its records')

  const upstream = await startUpstream(site.ports.upstream, site.installation.directory, loadCore)
  ground.onClose(() => upstream.process.stop())
  const stage = {
    options,
    ground,
    lab: { ...surroundings, company: [upstream.process, ground.identity] },
    gateway,
    others,
  }
  return {
    begun: [begun],
    environment: describeEnvironment(),
    conditions: [
      `load: ${load.description}, ${options.connections} connections; upstream: ${upstream.description}`,
      ...compared.filter(({ id }) => id !== 'bare').map((peer) => `${peer.title}: version ${peer.installed() ?? '?'}`),
      site.peerCore === null
        ? 'nothing is pinned to a core'
        : `measured server on core ${site.peerCore}, load and upstream on core ${loadCore}`,
      `${options.rounds} rounds of ${options.seconds} s in turn after ${options.warmSeconds} s of warm-up; noise: more than ${options.noisePercent} % of a core used by other processes`,
      `${describeTokens(callers)}, from an OpenID provider found by its metadata`,
    ],
    rounds: options.rounds,
    quick: options.quick,
    workloads: await measureWorkloads(stage),
    paced: options.ratePerSecond === 0 ? null : await measurePaced(stage),
    footprints: options.footprint ? [await measureFootprint(stage)] : [],
  }
}

function describeTokens(callers: readonly Caller[]): string {
  const usual = callers.filter(({ limited }) => !limited)
  const bytes = usual.map(({ token }) => token.length)
  return `${usual.length} RS256 tokens of ${teams.usual.length} teams, ${Math.min(...bytes)} to ${Math.max(...bytes)} bytes, in turn`
}

function isInstalled(peer: Peer): boolean {
  const version = peer.installed()
  if (version === null) say(`${peer.title}: not installed, left out`)
  return version !== null
}

async function measureWorkloads(stage: Stage): Promise<readonly WorkloadResult[]> {
  const results: WorkloadResult[] = []
  for (const workload of stage.options.workloads) {
    say(workload.title)
    const [gateway = nobody, ...others] = await rounds(stage, null, [
      [stage.gateway, workload.request],
      ...stage.others.map((other) => [other, other.server.guards ? workload.request : workload.reference] as const),
    ])
    results.push({ workload, gateway, others: named(stage, others) })
  }
  return results
}

async function measurePaced(stage: Stage): Promise<PacedResult> {
  const { ratePerSecond } = stage.options
  say(`latency at ${ratePerSecond} requests a second`)
  const [direct = nobody, gateway = nobody, ...others] = await rounds(stage, ratePerSecond, [
    [null, pacedRequest],
    [stage.gateway, pacedRequest],
    ...stage.others.map((other) => [other, pacedRequest] as const),
  ])
  return { ratePerSecond, direct, gateway, others: named(stage, others) }
}

async function measureFootprint({ options, ground, lab, gateway, others }: Stage): Promise<Footprint> {
  say('start, memory, idle connections')
  // The ports are needed, and what earlier runs left in memory is not to count.
  for (const running of [gateway, ...others]) await running.process.stop()
  return {
    starts: await measureStarts(lab, ground.site, Math.max(5, options.rounds)),
    memory: await measureMemory(lab, ground, options),
  }
}

function named({ others }: Stage, series: readonly Series[]): WorkloadResult['others'] {
  return others.map(({ server }, index) => ({ peer: server, series: series[index] ?? nobody }))
}

/** Measures some servers in turn; null is the upstream alone. */
function rounds(
  { options, ground, lab }: Stage,
  ratePerSecond: number | null,
  servers: readonly (readonly [Running | null, RequestSpec])[],
): Promise<readonly Series[]> {
  const { connections, seconds, warmSeconds } = options
  const entrants = servers.map(([peer, spec]): Entrant => {
    const port = peer?.port ?? ground.site.ports.upstream
    const rest = { connections, seconds, warmSeconds: ratePerSecond === null ? 0 : 1, ratePerSecond }
    const { order, requests } = ground.prepare(spec, port, rest)
    return {
      name: peer?.server.title ?? 'the upstream alone',
      process: peer?.process ?? null,
      order,
      probe: () => probe(port, requests, spec.status),
      tidy: () => ground.emptyRecords(),
    }
  })
  return runRounds(lab, entrants, options.rounds, warmSeconds)
}

process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
process.exitCode = await main(process.argv.slice(2))
