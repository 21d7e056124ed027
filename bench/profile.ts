// Where the gateway spends its CPU time: node bench/profile.ts [--workloads LIST] [--seconds N] [--keep DIRECTORY]
// A fresh gateway with V8's sampling profiler for each workload; prints the top self times and the sum by part.

import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openAccounting } from './accounting.ts'
import { selfTimes, type CpuProfile, type SelfTime } from './cpu-profile.ts'
import { chooseLoad } from './load.ts'
import { untilQuiet } from './measure.ts'
import { barePeer, gateway } from './peers/node.ts'
import { startServer } from './peers/peer.ts'
import { openGround, type Ground } from './site.ts'
import { startUpstream } from './upstream.ts'
import { workloads, type Workload } from './workloads.ts'

const { values } = parseArgs({
  options: {
    workloads: { type: 'string', default: 'get,post,denied' },
    seconds: { type: 'string', default: '6' },
    keep: { type: 'string' },
    peer: { type: 'string', default: 'gateway' },
    top: { type: 'string', default: '20' },
    'quiet-wait': { type: 'string', default: '20' },
  },
})
const seconds = Number(values.seconds)
const warmSeconds = 8

async function profile(ground: Ground, workload: Workload): Promise<void> {
  const { site, loadCore } = ground
  const server = values.peer === 'bare' ? barePeer : gateway
  const directory = join(site.installation.directory, `profile-${workload.id}`)
  // 200 µs between samples: fine enough for functions of a microsecond over some seconds.
  const flags = ['--cpu-prof', `--cpu-prof-dir=${directory}`, '--cpu-prof-interval=200']
  const running = await startServer(server, site, flags)
  const spec = server.guards ? workload.request : workload.reference
  const rest = { connections: 32, seconds: warmSeconds, warmSeconds: 0, ratePerSecond: null }
  const { order } = ground.prepare(spec, running.port, rest)
  const load = chooseLoad('auto', loadCore)
  await load.run(order)
  await untilQuiet(openAccounting(), Number(values['quiet-wait']))
  const fromUs = monotonicUs()
  const { requests } = await load.run({ ...order, seconds })
  const toUs = monotonicUs()
  await running.process.stop()
  const [name] = readdirSync(directory)
  if (name === undefined) throw new Error(`no profile was written:\n${running.process.output()}`)
  const file = join(directory, name)
  if (values.keep !== undefined) {
    mkdirSync(values.keep, { recursive: true })
    copyFileSync(file, join(values.keep, `${values.peer}-${workload.id}.cpuprofile`))
  }
  // Written by V8.
  print(workload, selfTimes(JSON.parse(readFileSync(file, 'utf8')) as CpuProfile, fromUs, toUs), requests)
}

function print(workload: Workload, times: readonly SelfTime[], requests: number): void {
  const totalUs = times.reduce((sum, { us }) => sum + us, 0)
  const share = (us: number): string => `${((100 * us) / totalUs).toFixed(1)} | ${(us / requests).toFixed(2)}`
  const groups = new Map<string, number>()
  for (const { group, us } of times) groups.set(group, (groups.get(group) ?? 0) + us)
  const lines = [
    `### ${workload.title}: ${(totalUs / requests).toFixed(1)} µs per request, ${requests} requests`,
    '',
    '| function | where | % | µs per request |',
    '| --- | --- | --- | --- |',
    ...times.slice(0, Number(values.top)).map(({ name, place, us }) => `| ${name} | ${place} | ${share(us)} |`),
    '',
    '| part | % | µs per request |',
    '| --- | --- | --- |',
    ...[...groups].sort(([, a], [, b]) => b - a).map(([group, us]) => `| ${group} | ${share(us)} |`),
    '',
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1000n)
}

process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
const chosen = values.workloads.split(',')
const ground = await openGround()
try {
  const upstream = await startUpstream(ground.site.ports.upstream, ground.site.installation.directory, ground.loadCore)
  ground.onClose(() => upstream.process.stop())
  for (const workload of workloads) if (chosen.includes(workload.id)) await profile(ground, workload)
} finally {
  await ground.close()
}
