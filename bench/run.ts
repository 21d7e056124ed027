// npm run bench: the gateway with everything on beside bare @fastify/http-proxy, on the same upstream, in turn. Prints
// tables; docs/performance.md explains them. Everything stays on loopback and everything that is started is stopped.

import { writeFileSync } from 'node:fs'
import { openAccounting } from './accounting.ts'
import { checkAnswers, checkRecords, probe } from './answers.ts'
import { describeEnvironment } from './environment.ts'
import { chooseLoad } from './load.ts'
import type { Laboratory } from './measure.ts'
import { parseOptions, usage, UsageError, type BenchOptions } from './options.ts'
import { barePeer, gatewayPeer, startPeer, type RunningPeer } from './peers.ts'
import { formatReport, type PacedResult, type Results, type WorkloadResult } from './report.ts'
import { runRounds, type Entrant, type Series } from './series.ts'
import { openGround, type Ground } from './site.ts'
import { startUpstream } from './upstream.ts'
import { pacedRequest, workloads, type RequestSpec } from './workloads.ts'

interface Stage {
  readonly options: BenchOptions
  readonly ground: Ground
  readonly lab: Laboratory
  readonly gateway: RunningPeer
  readonly bare: RunningPeer
}

const nobody: Series = { name: '', samples: [] }
const say = (text: string): void => void process.stderr.write(`${text}\n`)

async function main(argv: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(argv)
    if (options === null) process.stdout.write(`${usage}\n`)
    else await bench(options)
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
  const { site, callers, loadCore } = ground
  const gateway = await startPeer(gatewayPeer, site)
  ground.onClose(() => gateway.process.stop())
  const bare = await startPeer(barePeer, site)
  ground.onClose(() => bare.process.stop())
  const specs = workloads.map(({ request }) => request)
  await checkRecords(site, await checkAnswers(gateway, site, specs, callers))
  await checkAnswers(bare, site, specs, callers)
  say('the answers of both are right, and every request of the gateway left its records')

  const upstream = await startUpstream(site.ports.upstream, site.installation.directory, loadCore)
  ground.onClose(() => upstream.process.stop())
  const lab: Laboratory = {
    accounting: openAccounting(),
    load: chooseLoad(options.generator, loadCore),
    upstream: upstream.process,
    noisePercent: options.noisePercent,
    quietSeconds: options.quietSeconds,
    onRepeat: (percent) => say(`  other processes used ${percent.toFixed(0)} % of a core: once more`),
  }
  const stage = { options, ground, lab, gateway, bare }
  return {
    environment: describeEnvironment(),
    conditions: [
      `load: ${lab.load.description}, ${options.connections} connections; upstream: ${upstream.description}`,
      site.peerCore === null
        ? 'nothing is pinned to a core'
        : `measured server on core ${site.peerCore}, load and upstream on core ${loadCore}`,
      `${options.rounds} rounds of ${options.seconds} s in turn after ${options.warmSeconds} s of warm-up; 20 RS256 tokens of 5 teams in turn, ${callers[0]?.token.length ?? 0} bytes`,
    ],
    rounds: options.rounds,
    quick: options.quick,
    readyMs: { gateway: gateway.readyMs, bare: bare.readyMs },
    workloads: await measureWorkloads(stage),
    paced: options.ratePerSecond === 0 ? null : await measurePaced(stage),
  }
}

async function measureWorkloads(stage: Stage): Promise<readonly WorkloadResult[]> {
  const results: WorkloadResult[] = []
  for (const workload of stage.options.workloads) {
    say(workload.title)
    const [gateway = nobody, bare = nobody] = await rounds(stage, null, [
      [stage.gateway, workload.request],
      [stage.bare, workload.reference],
    ])
    results.push({ workload, gateway, bare })
  }
  return results
}

async function measurePaced(stage: Stage): Promise<PacedResult> {
  const { ratePerSecond } = stage.options
  say(`latency at ${ratePerSecond} requests a second`)
  const [direct = nobody, bare = nobody, gateway = nobody] = await rounds(stage, ratePerSecond, [
    [null, pacedRequest],
    [stage.bare, pacedRequest],
    [stage.gateway, pacedRequest],
  ])
  return { ratePerSecond, direct, bare, gateway }
}

/** Measures some servers in turn; null is the upstream alone. */
function rounds(
  { options, ground, lab }: Stage,
  ratePerSecond: number | null,
  servers: readonly (readonly [RunningPeer | null, RequestSpec])[],
): Promise<readonly Series[]> {
  const { connections, seconds, warmSeconds } = options
  const entrants = servers.map(([peer, spec]): Entrant => {
    const port = peer?.port ?? ground.site.ports.upstream
    const rest = { connections, seconds, warmSeconds: ratePerSecond === null ? 0 : 1, ratePerSecond }
    const { order, requests } = ground.prepare(spec, port, rest)
    return {
      name: peer?.peer.title ?? 'the upstream alone',
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
