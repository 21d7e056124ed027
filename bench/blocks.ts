// How soon a block is in force: `node bench/blocks.ts [ROUNDS]`. Four gateways over a real valkey-server, each asked without a pause by
// several callers of one subject. In each round one gateway is told to block it. Rounds take turns: all run; one is paused for that
// time; one is cut off from the store for that time. In the end one is killed, and the last rounds go on without it.

import { spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../test/support/free-ports.ts'
import { startInstances } from '../test/support/instances.ts'
import { startRelay } from '../test/support/relay.ts'

const path = '/v3/organizations/org-payments/sessions'
const [count, loopsEach, awayMs] = [4, 4, 1_500]
/** It reaches the store through a relay. */
const apart = count - 1
const rounds = Number(process.argv[2] ?? 30)

/** Requests that were let through: where, and when each was sent. */
let allowed: { readonly instance: number; readonly sentMs: number }[] = []
const ending = new AbortController()

const port = await freePort()
const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', tmpdir(), '--save', '', '--appendonly', 'no']
const valkey = spawn('valkey-server', settings, { stdio: 'ignore' })
await sleep(500)
const store = { address: `valkey://127.0.0.1:${port}` }
const relay = await startRelay(port)
const gateways = await startInstances({
  count,
  store,
  configOf: (index, text) =>
    index === apart
      ? `${text.replace(store.address, `valkey://127.0.0.1:${relay.port}`)}budgets: { journal: apart.journal }\n`
      : text,
})

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
    if (response?.status === 200) allowed.push({ instance, sentMs })
    else await sleep(1)
  }
}

const states = ['all run', 'one is paused', 'one is cut off from the store', 'one was killed'] as const
type State = (typeof states)[number]

interface Round {
  readonly state: State
  /** Milliseconds from the command to its answer, and to the last request that was let through after it. */
  readonly answeredMs: number
  readonly lastMs: number
  /** Of the one that was cut off: from when it reached the store again to its last request. */
  readonly afterReturnMs: number
  /** Requests that were let through later than a second after the answer, where the store could be reached. */
  readonly late: number
}

const killed = 0

async function round(number: number, state: State): Promise<Round> {
  const living = state === 'one was killed' ? [1, 2] : [0, 1, 2]
  const told = living[number % living.length] ?? 1
  const paused = gateways.processes[living[(number + 1) % living.length] ?? 2]?.child
  // One that was away has to be back.
  await sleep(state === 'all run' ? 3_000 : 300)
  allowed = []
  if (state === 'one is paused') paused?.kill('SIGSTOP')
  if (state === 'one is cut off from the store') relay.cut()
  const beganMs = performance.now()
  const asked = ask(told, 'POST')
  let returnedMs = Number.POSITIVE_INFINITY
  const returned = sleep(awayMs).then(() => {
    if (state === 'one is paused') paused?.kill('SIGCONT')
    if (state === 'one is cut off from the store') relay.mend()
    returnedMs = performance.now()
  })
  await asked
  const answeredMs = performance.now()
  await returned
  await sleep(state === 'one is cut off from the store' ? 5_000 : 1_500)
  const isAway = (instance: number): boolean => state === 'one is cut off from the store' && instance === apart
  const ofOthers = allowed.filter(({ instance }) => !isAway(instance)).map(({ sentMs }) => sentMs)
  const ofAway = allowed.filter(({ instance }) => isAway(instance)).map(({ sentMs }) => sentMs)
  const result = {
    state,
    answeredMs: answeredMs - beganMs,
    lastMs: Math.max(beganMs, ...ofOthers) - beganMs,
    afterReturnMs: Math.max(returnedMs, ...ofAway) - returnedMs,
    late: ofOthers.filter((sentMs) => sentMs > answeredMs + 1_000).length,
  }
  await ask(told, 'DELETE')
  return result
}

const loops = Array.from({ length: count * loopsEach }, (_, index) => loop(index % count))
const results: Round[] = []
for (let number = 0; number < rounds; number += 1) results.push(await round(number, states[number % 3] ?? 'all run'))
await gateways.processes[killed]?.kill()
for (let number = 0; number < rounds / 3; number += 1) results.push(await round(number, 'one was killed'))
ending.abort()
await Promise.all(loops)
await gateways.close()
relay.close()
valkey.kill()

for (const state of states) {
  const of = results.filter((each) => each.state === state)
  const line = (what: string, values: readonly number[]): string => {
    const sorted = values.toSorted((a, b) => a - b)
    const [half, most] = [sorted[Math.floor(sorted.length / 2)] ?? 0, sorted.at(-1) ?? 0]
    return `  ${what.padEnd(60)} p50 ${Math.round(half)} ms, most ${Math.round(most)} ms\n`
  }
  process.stdout.write(
    [
      `${state}: ${of.length} rounds\n`,
      line(
        'command to answer',
        of.map(({ answeredMs }) => answeredMs),
      ),
      line(
        'command to last allowed request',
        of.map(({ lastMs }) => lastMs),
      ),
      state === 'one is cut off from the store'
        ? line(
            'store reached again to last request of the one cut off',
            of.map(({ afterReturnMs }) => afterReturnMs),
          )
        : '',
      `  allowed later than a second after the answer: ${of.reduce((sum, { late }) => sum + late, 0)}\n`,
    ].join(''),
  )
}
