// Records the log that `simulate` and `suggest` are shown with: runs the sandbox, sends what its teams would send, and spreads the
// decisions over six weeks. `node tools/record-sandbox.ts` writes examples/decisions.ndjson.

import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const command = join(root, 'bin/devin-gateway.mjs')
const target = join(root, 'examples/decisions.ndjson')
const firstMs = Date.parse('2026-05-18T06:00:00Z')
const spanMs = 42 * 86_400_000

const org = '/v3/organizations/org-payments'
type Call = readonly [method: string, path: string, body?: object]

/** What each caller sends, again and again. */
const traffic: readonly {
  readonly caller: readonly string[]
  readonly calls: readonly Call[]
  readonly times: number
}[] = [
  {
    caller: ['--team', 'payments', '--sub', 'ada'],
    calls: [
      ['GET', `${org}/sessions`],
      ['GET', `${org}/sessions?first=20`],
      ['GET', `${org}/playbooks`],
      ['POST', `${org}/sessions`, { prompt: 'Update the changelog', tags: ['docs'] }],
      ['GET', `${org}/secrets`],
      ['GET', '/v3/self'],
    ],
    times: 10,
  },
  {
    caller: ['--team', 'payments', '--sub', 'ben'],
    calls: [
      ['GET', `${org}/sessions`],
      ['POST', `${org}/sessions`, { prompt: 'Fix the build', max_acu_limit: 8 }],
      ['POST', `${org}/sessions`, { prompt: 'Rewrite everything', max_acu_limit: 500 }],
      ['GET', '/v3/organizations/org-research/sessions'],
      ['GET', `${org}/consumption/daily`],
    ],
    times: 6,
  },
  {
    caller: ['--team', 'analytics', '--sub', 'cost-report'],
    calls: [
      ['GET', '/v3/enterprise/consumption/cycles'],
      ['GET', '/v3/enterprise/sessions?first=50'],
      ['GET', '/v3/enterprise/organizations'],
    ],
    times: 12,
  },
  {
    caller: ['--team', 'audit', '--sub', 'eve'],
    calls: [['GET', '/v3/enterprise/audit-logs']],
    times: 8,
  },
  {
    caller: ['--team', 'release-bot', '--sub', 'release'],
    calls: [
      ['POST', '/v3/organizations/org-platform/sessions', { prompt: 'Prepare the release', repos: ['corp/web'] }],
      ['GET', '/v3/organizations/org-platform/sessions/devin-1'],
    ],
    times: 8,
  },
]

const state = await mkdtemp(join(tmpdir(), 'record-sandbox-'))
const env = { ...process.env, GATEWAY_SANDBOX_STATE: state }
const sandbox = spawn(process.execPath, [command, 'sandbox', '--json', '--port', '0', '--admin-port', '0'], {
  env,
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
})
try {
  const addresses = await new Promise<{ gateway: string }>((found, fail) => {
    sandbox.once('exit', () => fail(new Error('the sandbox has ended')))
    sandbox.stdout.once('data', (line: Buffer) => found(JSON.parse(line.toString()) as { gateway: string }))
  })
  for (const { caller, calls, times } of traffic) {
    const { stdout } = await run(process.execPath, [command, 'token', ...caller], { env, cwd: root })
    for (let time = 0; time < times; time += 1) {
      for (const [method, path, body] of calls) {
        const answer = await fetch(`${addresses.gateway}${path}`, {
          method,
          headers: { authorization: `Bearer ${stdout.trim()}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })
        await answer.arrayBuffer()
        if (time === 0) console.log(`${answer.status} ${caller[1]} ${method} ${path}`)
      }
    }
  }
  const ended = new Promise((resolve) => void sandbox.once('exit', resolve))
  sandbox.kill('SIGTERM')
  await ended
  const lines = (await readFile(join(state, 'records/decisions.ndjson'), 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
  // Callers take turns: in the file one follows the other, in six weeks they come side by side.
  const placed = lines.map((line, index) => ({ line, at: (index * 61) % lines.length }))
  const records = placed
    .toSorted((a, b) => a.at - b.at)
    .map(({ line }, index) => {
      const time = new Date(firstMs + Math.round((index / (lines.length - 1)) * spanMs)).toISOString()
      return line.replace(/^\{"time":"[^"]*"/, `{"time":"${time}"`)
    })
  await writeFile(target, `${records.join('\n')}\n`)
  console.log(`${records.length} decisions in ${target}`)
} finally {
  sandbox.kill('SIGKILL')
  await rm(state, { recursive: true, force: true })
}
