// What a decision of the limits costs, without sockets to callers: `node bench/limits/run.ts`. Decisions a second of the
// limiter of one instance, and of that of several over a real valkey-server on loopback, by how many are asked at once.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Limit, Limiter } from '../../src/limits/limiter.ts'
import { createLocalLimiter } from '../../src/limits/local/local-limiter.ts'
import { createSharedLimiter } from '../../src/limits/shared/shared-limiter.ts'
import { createStore } from '../../src/store/client.ts'
import { spreadOf } from '../statistics.ts'

const rate = (meter: string, amount: number, perMs: number, burst: number | null = null): Limit => ({
  meter,
  name: meter,
  kind: 'rate',
  scope: 'team',
  quota: { amount, perMs, calendar: null, burst, timeZone: 'UTC' },
  most: 0,
  shadow: false,
})

const kinds: readonly (readonly [name: string, limits: readonly Limit[]])[] = [
  ['one rate', [rate('requests', 1e9, 60_000)]],
  ['one rate with a burst', [rate('burst', 1e9, 60_000, 1e9)]],
  [
    'two rates and concurrency',
    [
      rate('requests-2', 1e9, 60_000),
      rate('writes-2', 1e9, 3_600_000),
      { ...rate('concurrent', 0, 1), kind: 'concurrency', quota: null, most: 1e9 },
    ],
  ],
  ['one rate that refuses', [rate('refusing', 1000, 3_600_000)]],
]

const clocks = { now: Date.now, monotonic: () => performance.now() }

/** Takes and releases so many times, so many at once; returns decisions a second. */
async function measure(limiter: Limiter, limits: readonly Limit[], count: number, atOnce: number): Promise<number> {
  const began = performance.now()
  let left = count
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (left > 0) {
        left -= 1
        const taken = limiter.take(limits)
        // The limiter of one instance answers at once, and is not made to wait for a promise.
        const allowance = taken instanceof Promise ? await taken : taken
        if (allowance.granted) limiter.release(limits)
      }
    }),
  )
  return (count * 1000) / (performance.now() - began)
}

async function report(
  name: string,
  limiter: Limiter,
  limits: readonly Limit[],
  count: number,
  atOnce: number,
): Promise<void> {
  await measure(limiter, limits, count, atOnce)
  const rounds: number[] = []
  for (let round = 0; round < 5; round += 1) rounds.push(await measure(limiter, limits, count, atOnce))
  const spread = spreadOf(rounds)
  const shown = (value: number): string => `${(value / 1000).toFixed(1)} k`
  if (spread !== null) print(name, `${shown(spread.median)}/s (${shown(spread.min)}–${shown(spread.max)})`)
}

async function startServer(): Promise<{ port: number; close(): void }> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  // A bound server has an address with a port.
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  const directory = mkdtempSync(join(tmpdir(), 'bench-limits-'))
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', directory]
  const child = spawn('valkey-server', settings, { stdio: 'ignore' })
  await once(child, 'spawn')
  const answers = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
  while (!(await answers())) await new Promise((resolve) => setTimeout(resolve, 20))
  return {
    port,
    close() {
      child.kill('SIGKILL')
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function print(name: string, value: string): void {
  process.stdout.write(`${name.padEnd(52)} ${value}\n`)
}

async function main(): Promise<void> {
  print('machine', `${cpus()[0]?.model ?? ''}, ${cpus().length} cores, Node ${process.version}`)
  for (const [name, limits] of kinds) await report(`memory: ${name}`, createLocalLimiter(clocks), limits, 200_000, 1)
  const server = await startServer()
  const store = createStore({
    settings: {
      kind: 'single',
      nodes: [{ host: '127.0.0.1', port: server.port }],
      tls: null,
      sentinel: null,
      user: null,
      password: null,
      database: 0,
      prefix: 'bench',
      timeoutMs: 5000,
    },
    ...clocks,
  })
  await new Promise<void>((resolve) => store.onChange((away) => (away ? undefined : resolve())))
  const limiter = createSharedLimiter({
    store,
    ...clocks,
    budgetsWhenAway: 'refuse',
  })
  for (const [name, limits] of kinds)
    for (const atOnce of [1, 50]) await report(`valkey: ${name}, ${atOnce} at once`, limiter, limits, 10_000, atOnce)
  await limiter.close()
  await store.close()
  server.close()
}

await main()
