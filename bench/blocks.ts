// How soon a block is in force: `node bench/blocks.ts [ROUNDS]`. Four gateways over a real valkey-server, each asked without a pause by
// several callers of one subject. In each round one gateway is told to block it; in every third, another one is paused for that time.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { startInstances } from '../test/support/instances.ts'

const path = '/v3/organizations/org-payments/sessions'
const [count, loopsEach, pausedMs] = [4, 4, 1_500]
const rounds = Number(process.argv[2] ?? 30)

/** A request that was let through: when it was sent. */
let allowedMs: number[] = []
const ending = new AbortController()

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

const port = await freePort()
const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', tmpdir(), '--save', '', '--appendonly', 'no']
const valkey = spawn('valkey-server', settings, { stdio: 'ignore' })
await sleep(500)
const store = { address: `valkey://127.0.0.1:${port}` }
const gateways = await startInstances({ count, store })

const addressOf = (instance: number): string => `http://127.0.0.1:${gateways.processes[instance]?.adminPort}/api/blocks`

async function ask(instance: number, method: 'POST' | 'DELETE'): Promise<{ unconfirmed: number }> {
  const fields = { kind: 'subject', value: 'ann', ...(method === 'POST' ? { reason: 'bench' } : {}) }
  const response = await fetch(addressOf(instance), {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(fields),
  })
  if (!response.ok) throw new Error(await response.text())
  // Our own listener's answer.
  return (await response.json()) as { unconfirmed: number }
}

async function loop(instance: number): Promise<void> {
  while (!ending.signal.aborted) {
    const sentMs = performance.now()
    const response = await gateways.call(instance, path).catch(() => null)
    await response?.arrayBuffer().catch(() => null)
    if (response?.status === 200) allowedMs.push(sentMs)
    else await sleep(1)
  }
}

/** Milliseconds from the command to the answer, and to the last request that was let through after it. */
async function round(number: number): Promise<{ paused: boolean; answeredMs: number; lastMs: number; late: number }> {
  const paused = number % 3 === 2
  const told = number % count
  const child = gateways.processes[(told + 1) % count]?.child
  await sleep(300)
  allowedMs = []
  if (paused) child?.kill('SIGSTOP')
  const beganMs = performance.now()
  const asked = ask(told, 'POST')
  const resumed = paused ? sleep(pausedMs).then(() => child?.kill('SIGCONT')) : null
  await asked
  const answeredMs = performance.now()
  await resumed
  await sleep(1_500)
  const last = Math.max(beganMs, ...allowedMs)
  const late = allowedMs.filter((sentMs) => sentMs > answeredMs + 1_000).length
  await ask(told, 'DELETE')
  return { paused, answeredMs: answeredMs - beganMs, lastMs: last - beganMs, late }
}

const loops = Array.from({ length: count * loopsEach }, (_, index) => loop(index % count))
const results = []
for (let number = 0; number < rounds; number += 1) results.push(await round(number))
ending.abort()
await Promise.all(loops)
await gateways.close()
valkey.kill()

for (const paused of [false, true]) {
  const of = results.filter((each) => each.paused === paused)
  const sorted = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b)
  const [answered, last] = [sorted(of.map(({ answeredMs }) => answeredMs)), sorted(of.map(({ lastMs }) => lastMs))]
  const at = (values: readonly number[], part: number): string =>
    `${Math.round(values[Math.min(values.length - 1, Math.floor(values.length * part))] ?? 0)} ms`
  const late = of.reduce((sum, each) => sum + each.late, 0)
  process.stdout.write(
    `${paused ? 'one gateway paused' : 'all gateways running'}: ${of.length} rounds\n` +
      `  command to answer:               p50 ${at(answered, 0.5)}, most ${at(answered, 1)}\n` +
      `  command to last allowed request: p50 ${at(last, 0.5)}, most ${at(last, 1)}\n` +
      `  allowed later than a second after the answer: ${late}\n`,
  )
}
