// How long a change of the policies holds the event loop of a running gateway: the longest delay while each of some large or broken
// sets is reloaded. node bench/reloads.ts [TEXT]: only what has this in its name. Each set is measured in a process of its own.

import { fork } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import { compileCatalogue } from '../src/catalogue/catalogue.ts'
import { devinApi } from '../src/catalogue/data.ts'
import { startTestGateway } from '../test/support/start-gateway.ts'
import { table } from './tables.ts'

type Files = Readonly<Record<string, string>>

const { catalogue } = compileCatalogue({ data: devinApi, stability: ['stable', 'beta'], extensions: [] })
const ids = catalogue.operations.map(({ id }) => id)
const permissions = [...catalogue.permissions.names]
const ofOrganizations = permissions.filter((name) => catalogue.permissions.isOrganizationPermission(name)).join(', ')

const lines = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join('')
const teamOf = (name: string, grants: string, organizations = `[org-${name}]`): string =>
  `team: ${name}\nmembers:\n  - groups: [sso-${name}]\norganizations: ${organizations}\ngrants:\n${grants}`
const keyOf = (id: string, organization: string): string =>
  `  - { id: ${id}, scope: organization, organization: ${organization}, permissions: [${ofOrganizations}], secret: { env: RELOAD_KEY } }\n`

/** Words of all three kinds, a different one for each number up to some hundreds. */
function wordOf(number: number): string {
  const id = ids[number % ids.length] ?? ''
  const permission = permissions[number % permissions.length] ?? ''
  return [permission, id, `${id.slice(0, id.lastIndexOf('.'))}.*`][number % 3] ?? ''
}

const fiftyGrants = (team: number): string =>
  lines(
    50,
    (index) => `  - { id: g${index}, allow: [${wordOf(team * 31 + index * 7)}, ${wordOf(team * 17 + index)}] }\n`,
  )

const sets: Readonly<Record<string, () => Files>> = {
  '1,000 teams with 50 grants': () => ({
    ...Object.fromEntries(
      Array.from({ length: 1000 }, (_, index) => [`teams/t${index}.yaml`, teamOf(`t${index}`, fiftyGrants(index))]),
    ),
    'keys.yaml': `keys:\n${lines(1000, (index) => keyOf(`k${index}`, `org-t${index}`))}`,
  }),
  'one team with 4,000 words': () => ({
    'teams/large.yaml': teamOf('large', `  - id: g\n    allow: [${lines(4000, (index) => `${wordOf(index)}, `)}]\n`),
  }),
  'one team with 2,000 grants': () => ({
    'teams/large.yaml': teamOf(
      'large',
      lines(2000, (index) => `  - { id: g${index}, allow: [org.*], when: { groups: [x${index}] } }\n`),
    ),
  }),
  '1 MB of syntax errors': () => ({ 'teams/large.yaml': 'a: {b: c} d\n'.repeat(87_000) }),
  '10,000 organizations': () => ({
    'teams/large.yaml': teamOf(
      'large',
      '  - { id: g, allow: [org.*] }\n',
      `[${lines(10_000, (index) => `org-${index}, `)}]`,
    ),
    'limits.yaml': `limits:\n  organizations:\n${lines(10_000, (index) => `    org-${index}: { acus: 100/month }\n`)}`,
  }),
  '1,000 teams whose rights end together': () =>
    Object.fromEntries(
      Array.from({ length: 1000 }, (_, index) => {
        const grants = lines(
          20,
          (each) => `  - { id: g${each}, allow: [org.sessions.*], until: 2099-01-01T00:00:00Z }\n`,
        )
        return [`teams/t${index}.yaml`, teamOf(`t${index}`, grants)]
      }),
    ),
}

/** The child: the longest delay at rest, and the longest during the reload, in milliseconds. */
async function measure(files: Files) {
  const running = await startTestGateway({ env: { RELOAD_KEY: 'cog_reload-0123456789abcdef' } })
  // A first reload, so that nothing is measured that happens once in the life of a process.
  await running.gateway.reload('bench')
  await setTimeout(2000)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const longestOf = async (work: () => Promise<unknown>): Promise<number> => {
    delay.reset()
    delay.enable()
    await work()
    await setTimeout(300)
    delay.disable()
    return delay.max / 1e6
  }
  const restMs = await longestOf(() => setTimeout(2000))
  for (const [name, text] of Object.entries(files)) {
    const file = join(running.directory, 'policies', name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  const startedMs = performance.now()
  let tookMs = 0
  let result = ''
  const reloadMs = await longestOf(async () => {
    result = await running.gateway.reload('bench')
    tookMs = performance.now() - startedMs
  })
  await running.close()
  return { result, restMs, reloadMs, tookMs }
}

const name = process.argv[2] ?? ''
if (process.send !== undefined) {
  process.send(await measure(sets[name]?.() ?? {}))
  process.exit(0)
}
const rows: string[][] = []
for (const each of Object.keys(sets).filter((one) => one.includes(name))) {
  const found = await new Promise<Awaited<ReturnType<typeof measure>>>((resolve, reject) => {
    const child = fork(import.meta.filename, [each], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    child.once('message', (message) => resolve(message as Awaited<ReturnType<typeof measure>>))
    child.once('exit', (code) => reject(new Error(`the measuring process ended with ${code}`)))
  })
  rows.push([each, found.result, found.restMs.toFixed(1), found.reloadMs.toFixed(1), (found.tookMs / 1000).toFixed(1)])
}
process.stdout.write(
  `${table('the longest hold of the event loop', ['set', 'result', 'at rest, ms', 'during the reload, ms', 'reload took, s'], rows)}\n`,
)
