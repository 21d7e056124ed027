// Places outside that take checkpoints: a file, standard output, an HTTP address. Syslog: syslog.ts.

import { open } from 'node:fs/promises'
import { codeInWords } from '../../config/values/file-errors.ts'
import { endsWithLineFeed } from '../target.ts'
import type { CheckpointTarget } from '../../config/records/checkpoint-schema.ts'
import type { CheckpointPlace } from './place.ts'
import { syslogPlace } from './syslog.ts'

export function openPlace(target: CheckpointTarget): CheckpointPlace {
  switch (target.kind) {
    case 'file':
      return { name: target.file, send: (line) => appendLine(target.file, line) }
    case 'stdout':
      return { name: 'stdout', send: writeOut }
    case 'http':
      return { name: nameOf(target.url), send: (line, signal) => post(target.url, line, signal) }
    case 'syslog':
      return syslogPlace(target)
  }
}

/** Without a query, which may hold a password. */
function nameOf(url: string): string {
  const { origin, pathname } = new URL(url)
  return `${origin}${pathname}`
}

/** The file is opened for each line, so that it may be moved away at any time. */
async function appendLine(file: string, line: string): Promise<void> {
  try {
    await using handle = await open(file, 'a', 0o640)
    const { size } = await handle.stat()
    // A full disk has left half a line.
    const isWhole = size === 0 || endsWithLineFeed(file, size)
    await handle.appendFile(`${isWhole ? '' : '\n'}${line}\n`)
    await handle.datasync()
  } catch (error) {
    throw new Error(codeInWords(codeOf(error)), { cause: error })
  }
}

function writeOut(line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(`${line}\n`, (error) => {
      if (error) reject(new Error(codeInWords(codeOf(error)), { cause: error }))
      else resolve()
    })
  })
}

async function post(url: string, line: string, signal: AbortSignal): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method: 'POST', body: line, headers, redirect: 'manual', signal }).catch(
    (error: unknown) => {
      throw new Error(signal.aborted ? 'it did not answer in time' : codeInWords(codeOf(causeOf(error))), {
        cause: error,
      })
    },
  )
  await response.body?.cancel()
  if (!response.ok) throw new Error(`it answered ${response.status}`)
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? (error.cause ?? error) : error
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
}
