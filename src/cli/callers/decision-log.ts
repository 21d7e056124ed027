// Finds one decision in logs of decision records: files, compressed ones, or standard input.

import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { createInterface } from 'node:readline'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import type { RecordedDecision } from '../../policy/tools/replay.ts'
import { plainError } from '../input.ts'

/** The decision with this id, or with this request id (the last one of several). Throws a sentence where there is none. */
export async function findDecision(id: string, files: readonly string[]): Promise<RecordedDecision> {
  let decisions = 0
  let others = 0
  let byRequest: RecordedDecision | null = null
  for (const file of files) {
    for await (const line of linesOf(file)) {
      if (!line.includes(id)) {
        if (line !== '') others += 1
        continue
      }
      const record = parsed(line)
      if (record === null) {
        others += 1
        continue
      }
      decisions += 1
      if (record.decision_id === id) return record
      if (record.request_id === id) byRequest = record
    }
  }
  if (byRequest !== null) return byRequest
  const looked = `${decisions + others} line${decisions + others === 1 ? '' : 's'} of ${files.join(', ')}`
  throw new Error(
    `no decision ${JSON.stringify(id)} in ${looked}. Its id is in the Gateway-Decision field of the answer; say every log file, rotated ones too`,
  )
}

interface Found extends RecordedDecision {
  readonly request_id?: string
}

/** The decision record of a line; null for an access record, a line of something else, or half a line. */
function parsed(line: string): Found | null {
  try {
    const value: unknown = JSON.parse(line)
    return isDecision(value) ? value : null
  } catch {
    return null
  }
}

function isDecision(value: unknown): value is Found {
  if (typeof value !== 'object' || value === null) return false
  const texts = ['decision_id', 'effect', 'reason'].map((name): unknown => Reflect.get(value, name))
  return texts.every((text) => typeof text === 'string')
}

async function* linesOf(file: string): AsyncGenerator<string> {
  const source: Readable = file === '-' ? process.stdin : createReadStream(file)
  const expand = file.endsWith('.gz') ? createGunzip() : file.endsWith('.zst') ? createZstdDecompress() : null
  const stream = expand === null ? source : source.on('error', (error) => expand.destroy(error)).pipe(expand)
  let failure: unknown = null
  stream.on('error', (error) => (failure ??= error))
  try {
    yield* createInterface({ input: stream, crlfDelay: Infinity })
  } catch (error) {
    failure ??= error
  }
  if (failure !== null) throw plainError(file, failure)
}
