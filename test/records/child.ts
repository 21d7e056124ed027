// Runs a short program in a process of its own, for what only a process can show: its standard streams and its end.

import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { Readable } from 'node:stream'

const source = fileURLToPath(new URL('../../src/records/', import.meta.url))

const preamble = `
import { createSinks } from ${JSON.stringify(`${source}sinks.ts`)}
import { createLog } from ${JSON.stringify(`${source}log.ts`)}
import { accessEntry } from ${JSON.stringify(fileURLToPath(new URL('entry.ts', import.meta.url)))}
const troubles = []
const open = (options) => createSinks({
  access: 'stdout', decisions: 'stdout', audit: 'stdout', nowMs: Date.now,
  onTrouble: (stream, text) => troubles.push(stream + ': ' + text), ...options,
})
const say = (value) => process.stderr.write(JSON.stringify(value) + '\\n')
`

// Copies slowly, a little at a time, so that a pipe in front of it is full.
const slowCopy = `
const buffer = Buffer.alloc(3000)
const lock = new Int32Array(new SharedArrayBuffer(4))
for (let size; (size = fs.readSync(0, buffer)) > 0; ) {
  Atomics.wait(lock, 0, 0, 1)
  fs.writeSync(1, buffer, 0, size)
}
`

export interface ProgramOptions {
  /** Shell text to run before, such as `ulimit -f 2`. */
  readonly before?: string
  /** Gives the program a pipe as stdout, and reads it slowly. */
  readonly throughSlowPipe?: boolean
}

/** Starts a program that has `open` (sinks on stdout), `createLog`, `accessEntry`, `troubles` and `say` (JSON to stderr). */
export function startProgram(
  program: string,
  options: ProgramOptions = {},
): ChildProcessByStdio<null, Readable, Readable> {
  const { before = 'true', throughSlowPipe = false } = options
  const command = `${before}; ${throughSlowPipe ? `"$0" "$@" | "$0" -e '${slowCopy}'` : 'exec "$0" "$@"'}`
  const flags = ['--no-warnings', '--input-type=module-typescript', '-e', `${preamble}${program}`]
  const child = spawn('/bin/sh', ['-c', command, process.execPath, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

/** Everything a stream gives, as text. */
export async function textOf(stream: Readable): Promise<string> {
  let text = ''
  for await (const chunk of stream.setEncoding('utf8')) text += String(chunk)
  return text
}
