// The folder in which sandboxes keep their keys and records, and say that they run, so that other commands find them.

import { readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeFolder } from '../config/values/writing.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** `GATEWAY_SANDBOX_STATE`, else the user's cache folder, else the temporary one: the first that can be written. */
export async function sandboxStateDirectory(env: Environment): Promise<string> {
  for (const place of placesIn(env)) {
    try {
      makeFolder(place, 0o700)
      await chmod(place, 0o700)
      return place
    } catch {
      // Read-only or somebody else's: the next place.
    }
  }
  throw new Error("no folder for the sandbox's keys: set GATEWAY_SANDBOX_STATE to one that can be written")
}

function placesIn(env: Environment): string[] {
  const own = env['GATEWAY_SANDBOX_STATE'] ?? ''
  return [
    ...(own === '' ? [] : [own]),
    join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'devin-gateway', 'sandbox'),
    join(tmpdir(), `devin-gateway-sandbox-${process.getuid?.() ?? 0}`),
  ]
}

/** A sandbox that runs. */
export interface RunningSandbox {
  readonly pid: number
  /** Real path of its configuration. */
  readonly config: string
  /** Addresses of its two listeners: `http://127.0.0.1:8080`. */
  readonly gateway: string
  readonly admin: string
  /** Its folder of records. A sandbox of an earlier version does not say it. */
  readonly records?: string
  /** Where its issuer publishes the signing keys. A sandbox of an earlier version does not say it. */
  readonly jwksUri?: string
  readonly startedAtMs: number
}

/** Notes a sandbox of this process. Returns what removes the note. */
export function noteSandbox(directory: string, { config, ...about }: Omit<RunningSandbox, 'pid'>): () => void {
  const folder = join(directory, 'running')
  makeFolder(folder, 0o700)
  const file = join(folder, `${process.pid}-${about.startedAtMs}.json`)
  const note: RunningSandbox = { pid: process.pid, config: realpathSync(config), ...about }
  writeFileSync(file, JSON.stringify(note), { mode: 0o600 })
  const remove = (): void => rmSync(file, { force: true })
  process.once('exit', remove)
  return () => {
    process.off('exit', remove)
    remove()
  }
}

/** The sandboxes that run, the latest first. */
export function runningSandboxes(env: Environment): readonly RunningSandbox[] {
  const own = env['GATEWAY_SANDBOX_STATE'] ?? ''
  const places = own === '' ? placesIn(env) : [own]
  return places.flatMap(notesIn).sort((a, b) => b.startedAtMs - a.startedAtMs)
}

/** The latest sandbox that runs a configuration; null when none does. */
export function sandboxOf(env: Environment, config: string): RunningSandbox | null {
  let real: string
  try {
    real = realpathSync(config)
  } catch {
    return null
  }
  return runningSandboxes(env).find((sandbox) => sandbox.config === real) ?? null
}

function notesIn(directory: string): RunningSandbox[] {
  const folder = join(directory, 'running')
  let names: string[] = []
  try {
    // In the temporary folder somebody else could say that a sandbox runs, and where commands should ask.
    if (statSync(folder).uid === (process.getuid?.() ?? 0)) names = readdirSync(folder)
  } catch {
    // No sandbox has run there.
  }
  return names.flatMap((name) => {
    try {
      // Written by noteSandbox above.
      const note = JSON.parse(readFileSync(join(folder, name), 'utf8')) as RunningSandbox
      return isAlive(note.pid) ? [note] : []
    } catch {
      // It has ended meanwhile.
      return []
    }
  })
}

/** Whether the process runs and, where this can be seen, is a sandbox: ids of killed processes are given again. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    // Gone, or somebody else's, who is no sandbox of ours.
    return false
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes('sandbox')
  } catch {
    // Not Linux.
    return true
  }
}
