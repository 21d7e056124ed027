// Runs a short program in a process of its own, for what only a process can show: its standard streams and its end.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { ChildProcessByStdio } from 'node:child_process'
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

/** Starts a program that has \`open\` (sinks on stdout), \`createLog\`, \`accessEntry\`, \`troubles\` and \`say\` (JSON to stderr). */
export function startProgram(program: string, shellPrefix = ''): ChildProcessByStdio<null, Readable, Readable> {
  const code = `${preamble}${program}`
  const command = `${shellPrefix} exec "$0" "$@"`
  const options = ['--no-warnings', '--input-type=module-typescript', '-e', code]
  const child = spawn('/bin/sh', ['-c', command, process.execPath, ...options], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

/** Everything a stream gives, as text. */
export async function textOf(stream: Readable): Promise<string> {
  let text = ''
  for await (const chunk of stream.setEncoding('utf8')) text += String(chunk)
  return text
}
