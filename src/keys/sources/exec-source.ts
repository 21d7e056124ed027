// A secret that a program prints. No shell reads its arguments, it gets a few environment variables, and it is killed with its
// children when it takes too long. What it says on standard error may hold the value, so nobody reads it.

import { spawn, type ChildProcess } from 'node:child_process'
import type { ExecReference } from '../../config/secret-schema.ts'
import { errorCode, whyUnreadable } from '../../config/values/file-errors.ts'
import { mostBytes, SourceFault, withoutFinalBreak, type SecretSource } from './source.ts'

/** What programs need to run at all; everything else of the gateway's environment stays with the gateway. */
const usualVariables = ['PATH', 'HOME', 'USER', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'SystemRoot']

type Environment = Readonly<Record<string, string | undefined>>

/** The source that runs a program at each reading. */
export function execSource(reference: ExecReference, env: Environment): SecretSource {
  const { command, timeoutMs } = reference
  const [program = ''] = command
  // Arguments may hold what is not to be printed.
  const place = `the program ${program}`
  return {
    place,
    async read(signal) {
      const timeout = AbortSignal.timeout(timeoutMs)
      const result = await run(reference, env, AbortSignal.any([signal, timeout]))
      if (result.kind === 'not-started') throw notStarted(place, result.error)
      if (result.kind === 'too-much')
        throw new SourceFault(
          'wrong',
          `${place} printed more than ${mostBytes / 1024} KiB: it should print the key alone`,
        )
      if (result.kind === 'ended') {
        if (result.code === 0) return { text: withoutFinalBreak(result.output), version: null }
        const how = result.code === null ? `was ended by ${result.signal ?? 'a signal'}` : `ended with ${result.code}`
        throw new SourceFault(
          'unavailable',
          `${place} ${how}; run it by hand, as the gateway's user, to see what it says`,
        )
      }
      const why = timeout.aborted ? `did not end within ${timeoutMs} ms` : 'was stopped'
      throw new SourceFault('unavailable', `${place} ${why}`)
    },
    write: null,
  }
}

type Result =
  | { readonly kind: 'ended'; readonly code: number | null; readonly signal: string | null; readonly output: string }
  | { readonly kind: 'not-started'; readonly error: unknown }
  | { readonly kind: 'too-much' | 'stopped' }

function run({ command, env: names }: ExecReference, env: Environment, signal: AbortSignal): Promise<Result> {
  const [program = '', ...rest] = command
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve({ kind: 'stopped' })
      return
    }
    const child = spawn(program, rest, {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: environmentOf([...usualVariables, ...names], env),
      // A process group of its own, so that its children can be ended with it.
      detached: process.platform !== 'win32',
      windowsHide: true,
    })
    const chunks: Buffer[] = []
    let bytes = 0
    const end = (result: Result): void => {
      signal.removeEventListener('abort', stop)
      for (const chunk of chunks) chunk.fill(0)
      child.stdout.destroy()
      resolve(result)
    }
    const stop = (): void => {
      killGroup(child)
      end({ kind: 'stopped' })
    }
    signal.addEventListener('abort', stop)
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      chunks.push(chunk)
      if (bytes <= mostBytes) return
      killGroup(child)
      end({ kind: 'too-much' })
    })
    child.stdout.on('error', () => {})
    child.on('error', (error) => end({ kind: 'not-started', error }))
    // A child that it left behind would hold the output open for ever.
    child.on('exit', () => killGroup(child))
    child.on('close', (code, ended) =>
      end({ kind: 'ended', code, signal: ended, output: Buffer.concat(chunks).toString('utf8') }),
    )
  })
}

function environmentOf(names: readonly string[], env: Environment): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = Object.hasOwn(env, name) ? env[name] : undefined
      return value === undefined ? [] : [[name, value]]
    }),
  )
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    if (process.platform === 'win32') child.kill('SIGKILL')
    else process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has ended, and so have its children.
  }
}

function notStarted(place: string, error: unknown): SourceFault {
  const code = errorCode(error)
  if (code === 'ENOENT')
    return new SourceFault(
      'absent',
      `${place} cannot be run: there is no such program; write its whole path, or put it on PATH`,
    )
  if (code === 'EACCES' || code === 'EPERM')
    return new SourceFault('denied', `${place} cannot be run: it is no program that this user may run`)
  return new SourceFault('unavailable', `${place} cannot be run: ${whyUnreadable(error)}`)
}
