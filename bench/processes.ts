// Child processes of the bench: started, pinned to a core where that is possible, watched, and always stopped.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { connect } from 'node:net'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

export interface RunningProcess {
  readonly pid: number
  /** What it wrote, both streams, the last part of it. */
  output(): string
  /** The exit code, once it has ended; 128 and more for a signal. */
  readonly ended: Promise<number>
  /** Asks it to end, insists after five seconds, and waits until it is gone. */
  stop(): Promise<void>
}

export interface StartOptions {
  /** The core it may use, or null for any. */
  readonly core: number | null
  readonly env?: Readonly<Record<string, string>>
}

const alive = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

/** Starts a program. Throws when it cannot be started at all. */
export function startProcess(
  command: string,
  args: readonly string[],
  { core, env = {} }: StartOptions,
): RunningProcess {
  const [file, ...rest] = core === null ? [command, ...args] : ['taskset', '-c', String(core), command, ...args]
  const child = spawn(file ?? command, rest, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  alive.add(child)
  let text = ''
  const keep = (chunk: Buffer): void => {
    text = (text + chunk.toString()).slice(-20_000)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const ended = new Promise<number>((resolve) => {
    child.once('error', () => resolve(127))
    child.once('close', (code, signal) => resolve(signal === null ? (code ?? 1) : 128))
  })
  void ended.then(() => alive.delete(child))
  if (child.pid === undefined) throw new Error(`${command} could not be started`)
  return {
    pid: child.pid,
    output: () => text,
    ended,
    async stop() {
      child.kill('SIGTERM')
      const insist = setTimeout(() => child.kill('SIGKILL'), 5000)
      await ended
      clearTimeout(insist)
    },
  }
}

/** Waits until a condition holds, for at most fifteen seconds; throws with the program's output when it does not. */
export async function untilReady(
  name: string,
  program: RunningProcess,
  isReady: () => Promise<boolean>,
): Promise<void> {
  let over = false
  void program.ended.then(() => (over = true))
  const deadline = performance.now() + 15_000
  while (!(await isReady())) {
    if (over || performance.now() > deadline) {
      await program.stop()
      throw new Error(`${name} ${over ? 'ended' : 'was not ready in time'}:\n${program.output()}`)
    }
    await sleep(5)
  }
}

/** Whether something accepts connections at a loopback port. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** Whether a program is installed, and what it says of its version. */
export function versionOf(command: string, args: readonly string[]): string | null {
  const result = spawnSync(command, args, { encoding: 'utf8', timeout: 5000 })
  if (result.error !== undefined) return null
  return /\d+(?:\.\d+)+/.exec(`${result.stdout}${result.stderr}`)?.[0] ?? 'unknown version'
}

/** The cores for the measured process and for everything else; null where nothing can be pinned. */
export function coresToUse(): { readonly peer: number; readonly load: number } | null {
  if (availableParallelism() < 2) return null
  const works = spawnSync('taskset', ['-c', '0,1', process.execPath, '--version'], { timeout: 5000 })
  return works.status === 0 ? { peer: 0, load: 1 } : null
}
