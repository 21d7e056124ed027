// What several workers carry: forwarded reads through one process and through several, in turn, with nothing pinned, so that
// load and upstream use the same cores. node bench/workers.ts [--workers N] [--rounds N] [--seconds N]
// Needs valkey-server (or redis-server), because workers share a store.

import { parseArgs } from 'node:util'
import { freePorts } from '../test/support/free-ports.ts'
import { openAccounting } from './accounting.ts'
import { checkAnswers, probe } from './answers.ts'
import { describeEnvironment } from './environment.ts'
import { chooseLoad } from './load.ts'
import type { Laboratory } from './measure.ts'
import { gateway } from './peers/node.ts'
import { startServer, type Running, type Server } from './peers/peer.ts'
import { accepts, startProcess, untilReady, versionOf } from './processes.ts'
import { figure, ratio, runRounds, type Entrant } from './series.ts'
import { openGround, type Ground } from './site.ts'
import { disturbance, faults, judge, list, spread, table } from './tables.ts'
import { startUpstream } from './upstream.ts'
import { pacedRequest, workersGoal } from './workloads.ts'

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    warm: { type: 'string', default: '8' },
    connections: { type: 'string', default: '64' },
    noise: { type: 'string', default: '15' },
    'quiet-wait': { type: 'string', default: '20' },
  },
})
const [rounds, seconds, warmSeconds] = [Number(values.rounds), Number(values.seconds), Number(values.warm)]

const storeProgram = ['valkey-server', 'redis-server'].find((name) => versionOf(name, ['--version']) !== null)
if (storeProgram === undefined) throw new Error('neither valkey-server nor redis-server is installed')

const severalWorkers: Server = {
  ...gateway,
  title: `${values.workers} workers, limits in the store`,
  prepare(site, nodeFlags) {
    const { file, args } = gateway.prepare(site, nodeFlags)
    return { file, args: [...args, '--workers', values.workers] }
  },
}

/** A gateway on ground of its own, so that nothing is started anew between rounds. */
interface Contender {
  readonly ground: Ground
  readonly running: Running
}

async function contend(server: Server, options: Parameters<typeof openGround>[0]): Promise<Contender> {
  const ground = await openGround({ pinned: false, ...options })
  closers.push(() => ground.close())
  const running = await startServer(server, ground.site)
  ground.onClose(() => running.process.stop())
  await checkAnswers(running, ground.site, [pacedRequest], ground.callers)
  return { ground, running }
}

const closers: (() => Promise<void>)[] = []
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
try {
  const [storePort = 0] = await freePorts(1)
  const store = startProcess(storeProgram, ['--port', String(storePort), '--save', '', '--appendonly', 'no'], {
    core: null,
  })
  closers.push(() => store.stop())
  await untilReady('the store', store, () => accepts(storePort))
  const address = `valkey://127.0.0.1:${storePort}`
  const contenders = [
    await contend({ ...gateway, title: 'one process' }, {}),
    await contend(severalWorkers, { store: address }),
    await contend(
      { ...severalWorkers, title: `${values.workers} workers, teams without limits` },
      { store: address, limits: false },
    ),
  ]
  const upstreams = await Promise.all(
    contenders.map(async ({ ground }) => {
      const { process } = await startUpstream(ground.site.ports.upstream, ground.site.installation.directory, null)
      ground.onClose(() => process.stop())
      return process
    }),
  )
  const lab: Laboratory = {
    accounting: openAccounting(),
    load: chooseLoad('auto', null),
    company: [...upstreams, ...contenders.map(({ ground }) => ground.identity), store],
    noisePercent: Number(values.noise),
    quietSeconds: Number(values['quiet-wait']),
    onRepeat: () => {},
  }
  const entrants = contenders.map(({ ground, running }): Entrant => {
    const rest = { connections: Number(values.connections), seconds, warmSeconds: 0, ratePerSecond: null }
    const { order, requests } = ground.prepare(pacedRequest, running.port, rest)
    return {
      name: running.server.title,
      process: running.process,
      order,
      probe: () => probe(running.port, requests, pacedRequest.status),
      tidy: () => ground.emptyRecords(),
    }
  })
  const series = await runRounds(lab, entrants, rounds, warmSeconds)
  const [single] = series
  if (single === undefined) throw new Error('nothing was measured')
  const rows = series.map((each) => {
    const compared = ratio(each, single, ({ requestsPerSecond }) => requestsPerSecond)
    const verdict = { compared, goal: { atLeast: workersGoal }, rounds, quick: false, series: [each, single] }
    return [
      each.name,
      spread(
        figure(each, ({ requestsPerSecond }) => requestsPerSecond),
        0,
      ),
      each === single ? '' : `${spread(compared.spread, 2)}; ${judge(verdict)}`,
      spread(
        figure(each, ({ cpuMsPer1000 }) => cpuMsPer1000),
        1,
      ),
      spread(
        figure(each, ({ rssBytes }) => (rssBytes === null ? null : rssBytes / 1e6)),
        0,
      ),
      String(faults(each)),
      disturbance(each),
    ]
  })
  const heads = [
    'server',
    'requests/s',
    'to one process',
    'CPU ms per 1,000',
    'RSS MB',
    'wrong answers',
    'foreign CPU %',
  ]
  const { machine, system, runtime } = describeEnvironment()
  process.stdout.write(
    `${list([machine, system, runtime])}\n\n${table('Forwarded GETs, nothing pinned', heads, rows)}\n`,
  )
} finally {
  for (const close of closers.toReversed()) await close()
}
