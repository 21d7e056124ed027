// Two drills: what one team's attacks do to the latency of the other teams, and to the gateway's memory. Calm and attack
// alternate in one run on one gateway. node bench/drills/run.ts [--rounds N] [--seconds N] [--only TEXT]

import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import { openAccounting } from '../accounting.ts'
import { describeEnvironment } from '../environment.ts'
import { startProcess } from '../processes.ts'
import { spreadOf } from '../statistics.ts'
import { attacks, type AttackName, type Target } from './attacks.ts'
import { openNeighbourhood, type Experience } from './neighbours.ts'
import { attackingTeams, homeOf, openDrillSite } from './site.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '10' },
    only: { type: 'string', default: '' },
  },
})
const [rounds, periodMs] = [Number(values.rounds), Number(values.seconds) * 1000]
const perSecond = 200

interface Round {
  readonly calm: Experience
  readonly attacked: Experience
  /** Resident memory above the calm before, at its highest; null where it cannot be read. */
  readonly addedBytes: number | null
}

const site = await openDrillSite()
process.once('SIGINT', () => process.exit(130))
const accounting = openAccounting()
const neighbours = openNeighbourhood(site.gateway.port, site.ca, site.neighbours)
/** What an attack is aimed at, with the tokens of its team. */
function targetOf(name: AttackName): Target {
  const team = attackingTeams[attacks[name].team]
  const tokens = site.attackers.filter((caller) => caller.team === team).map(({ token }) => token)
  return { port: site.gateway.port, ca: site.ca, home: homeOf(team), tokens }
}

function rss(): number | null {
  return accounting?.treeRssBytes(site.gateway.process.pid) ?? null
}

async function runRound(name: AttackName): Promise<Round> {
  const calm = await neighbours.live(periodMs, perSecond)
  const before = rss()
  let highest = before
  const watch = setInterval(() => {
    const now = rss()
    if (now !== null && highest !== null) highest = Math.max(highest, now)
  }, 100)
  const attacker = startProcess(process.execPath, [fileURLToPath(new URL('attacker.ts', import.meta.url))], {
    core: site.ground.loadCore,
    env: { DRILL_ATTACK: JSON.stringify({ name, target: targetOf(name), ms: periodMs + 2000 }) },
  })
  // The attack is under way when the neighbours are asked.
  await sleep(1500)
  const attacked = await neighbours.live(periodMs, perSecond)
  clearInterval(watch)
  await attacker.stop()
  await sleep(500)
  site.ground.emptyRecords()
  return { calm, attacked, addedBytes: before === null || highest === null ? null : highest - before }
}

const text = (value: number | undefined, unit: string): string =>
  value === undefined ? 'not available' : `${value.toFixed(value < 10 ? 2 : 0)} ${unit}`

void site.gateway.process.ended.then((code) => {
  if (isOver) return
  process.stderr.write(`the gateway ended with ${code}:\n${site.gateway.process.output()}\n`)
  process.exit(1)
})
let isOver = false
try {
  process.stdout.write(`${Object.values(describeEnvironment()).join('; ')}\n\n`)
  await neighbours.live(5000, perSecond)
  process.stdout.write(
    `| attack | others' median, calm | attacked | times | p99, attacked | failed | memory added |\n| --- | --- | --- | --- | --- | --- | --- |\n`,
  )
  for (const name of Object.keys(attacks) as AttackName[]) {
    if (!`${name}.`.includes(values.only)) continue
    const seen: Round[] = []
    for (let round = 0; round < rounds; round += 1) seen.push(await runRound(name))
    const of = (pick: (round: Round) => number): ReturnType<typeof spreadOf> => spreadOf(seen.map(pick))
    const times = of(({ calm, attacked }) => attacked.medianMs / calm.medianMs)
    const added = seen.flatMap(({ addedBytes }) => (addedBytes === null ? [] : [addedBytes / (1 << 20)]))
    const cells = [
      name,
      text(of(({ calm }) => calm.medianMs)?.median, 'ms'),
      text(of(({ attacked }) => attacked.medianMs)?.median, 'ms'),
      times === null ? 'not available' : `${times.median.toFixed(2)} (${times.min.toFixed(2)}-${times.max.toFixed(2)})`,
      text(of(({ attacked }) => attacked.p99Ms)?.median, 'ms'),
      seen.map(({ attacked }) => `${attacked.failed} of ${attacked.requests}`).join(', '),
      text(spreadOf(added)?.max, 'MB'),
    ]
    process.stdout.write(`| ${cells.join(' | ')} |\n`)
  }
} finally {
  isOver = true
  neighbours.close()
  await site.ground.close()
}
process.exit(0)
