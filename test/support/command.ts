// The command `devin-gateway` as a process of its own: run to its end, or left running until a test stops it.

import { spawn, type ChildProcess } from 'node:child_process'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { run } from '../../src/cli/command.ts'
import { until } from './start-gateway.ts'

export const commandFile = fileURLToPath(new URL('../../bin/devin-gateway.mjs', import.meta.url))

/** Many processes share the cores, where threads that help to collect cost more than they give. */
export const processFlags = ['--single-threaded-gc']

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Another file than the command of this checkout. */
  readonly file?: string
  /** Arguments between that file and those of the command. */
  readonly before?: readonly string[]
  /** Another Node than the one that runs the tests. */
  readonly node?: string
  /** Ends a command that should have ended by itself; default 50 s. */
  readonly timeoutMs?: number
}

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface RunningCommand {
  readonly pid: number
  readonly child: ChildProcess
  /** What it has written so far. */
  readonly out: string
  readonly err: string
  signal(name: NodeJS.Signals): void
  /** Resolves when it has ended, by itself or by a signal. */
  readonly ended: Promise<Ended & { readonly signal: NodeJS.Signals | null }>
  /** Ends it at once if it still runs. */
  kill(): Promise<void>
}

/** Only what is given and what a process needs anyway: a variable of the machine must not change a test. */
function environment(env: Readonly<Record<string, string>> = {}): Record<string, string> {
  const { PATH = '', HOME = '' } = process.env
  return { PATH, HOME, ...env }
}

export function startCommand(args: readonly string[], options: CommandOptions = {}): RunningCommand {
  const [node, ...flags] = options.node === undefined ? [process.execPath, ...processFlags] : [options.node]
  const child = spawn(node ?? '', [...flags, options.file ?? commandFile, ...(options.before ?? []), ...args], {
    env: environment(options.env),
    cwd: options.cwd ?? fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const chunks = { out: [] as Buffer[], err: [] as Buffer[] }
  child.stdout.on('data', (chunk: Buffer) => chunks.out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => chunks.err.push(chunk))
  const text = (which: 'out' | 'err'): string => Buffer.concat(chunks[which]).toString('utf8')
  const ended = new Promise<Ended & { signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, out: text('out'), err: text('err') }))
  })
  ended.catch(() => {})
  return {
    pid: child.pid ?? 0,
    child,
    get out() {
      return text('out')
    },
    get err() {
      return text('err')
    },
    signal: (name) => void child.kill(name),
    ended,
    async kill() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await ended
    },
  }
}

/** Runs a command to its end. */
export async function runCommand(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  const running = startCommand(args, options)
  const timer = setTimeout(() => running.signal('SIGKILL'), options.timeoutMs ?? 50_000)
  const { code, out, err } = await running.ended
  clearTimeout(timer)
  return { code, out, err }
}

/** The same in this process, for tables: a process for each row would take a second. */
export async function callCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  command: typeof run = run,
): Promise<Ended> {
  const [out, err] = [new PassThrough(), new PassThrough()]
  const code = await command(args, { env, out, err })
  const text = (stream: PassThrough): string => Buffer.from((stream.read() as Buffer | null) ?? []).toString('utf8')
  return { code, out: text(out), err: text(err) }
}

export interface StartedGateway extends RunningCommand {
  readonly port: number
  readonly adminPort: number
}

/** `start` with a configuration file; resolves when it listens and, by default, is ready. */
export async function startGatewayProcess(
  configFile: string,
  options: CommandOptions & { readonly awaitReady?: boolean; readonly options?: readonly string[] } = {},
): Promise<StartedGateway> {
  const running = startCommand(['start', '--config', configFile, ...(options.options ?? [])], options)
  const started = (): { gateway: { port: number }; admin: { port: number } } | null => {
    // The line that the gateway logs when both listeners are bound. Each worker logs one of its own; operators ask the pool.
    const event = options.options?.includes('--workers') === true ? 'workers-started' : 'started'
    const line = running.err.split('\n').find((each) => each.includes(`"event":"${event}"`))
    return line === undefined ? null : (JSON.parse(line) as { gateway: { port: number }; admin: { port: number } })
  }
  await until(() => {
    if (running.child.exitCode !== null) throw new Error(`the gateway did not start: ${running.err}`)
    return started() !== null
  }, 'the gateway to listen')
  const port = started()?.gateway.port ?? 0
  const adminPort = started()?.admin.port ?? 0
  if (options.awaitReady !== false)
    await until(async () => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok, 'the gateway to be ready')
  return Object.assign(running, { port, adminPort })
}
