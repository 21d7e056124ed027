// Reads decision records from their files, the newest first, for a bounded time and a bounded number of bytes. Rotated files are read as
// they are, also compressed ones.

import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { parseObject } from '../../json/untyped.ts'
import { isReadable, readCompressed } from './compressed-file.ts'
import { isCompressed, recordFilesOf } from './record-files.ts'

/** How far was read. */
export interface FilesRead {
  /** Names of the files that were opened. */
  readonly names: readonly string[]
  readonly bytes: number
  /** Time of the oldest record that was read. */
  readonly oldest: string | null
  /** Nothing older is left in these files. */
  readonly isComplete: boolean
  /** Compressed files that were not read to their end: too large for the bounds, broken, or in another form. */
  readonly unread: readonly string[]
}

export interface FileSearch {
  /** The file that is written; rotated ones beside it are found by its name. */
  readonly file: string
  readonly maxBytes: number
  readonly maxMs: number
  /** How long a compressed file that was begun may take. */
  readonly maxMsOfCompressed: number
  readonly monotonic: () => number
  /** Leaves the process to others for so many milliseconds. */
  readonly rest?: (ms: number) => Promise<unknown>
  /** Texts that a line has to hold; others are not parsed. */
  readonly texts: readonly string[]
  /** Time of the newest record that may be wanted; null: any. */
  readonly until: string | null
  /** Takes a record; false ends the search. */
  readonly take: (record: Readonly<Record<string, unknown>>) => boolean
}

const chunkBytes = 64 * 1024
/** After so much work the requests of callers have the process for as long. */
const restAfterMs = 5
const longestRestMs = 50
/** A longer line is no record of ours. */
const longestLine = 4 * 1024 * 1024

interface Progress {
  readonly names: string[]
  readonly unread: string[]
  bytes: number
  oldest: string | null
}

/** When to rest, and when to stop. */
interface Pace {
  /** Rests where it is time to. False: the bounds are reached, with so much time more. */
  readonly goOn: (moreMs?: number) => Promise<boolean>
}

/** Reads from the end of the newest file to the beginning of the oldest one. Rejects where the folder cannot be read. */
export async function readNewestFirst(search: FileSearch): Promise<FilesRead> {
  const read: Progress = { names: [], unread: [], bytes: 0, oldest: null }
  const pace = paceOf(search, read)
  let isComplete = true
  for (const file of await recordFilesOf(search.file)) {
    const isRead = isCompressed(file) ? readForwards : readBackwards
    if (await isRead(file, search, read, pace)) continue
    isComplete = false
    break
  }
  return { ...read, isComplete }
}

function paceOf({ maxBytes, maxMs, monotonic, rest = wait }: FileSearch, read: Progress): Pace {
  const untilMs = monotonic() + maxMs
  let workedFromMs = monotonic()
  return {
    async goOn(moreMs = 0) {
      const workedMs = monotonic() - workedFromMs
      if (workedMs >= restAfterMs) {
        await rest(Math.min(workedMs, longestRestMs))
        workedFromMs = monotonic()
      }
      return read.bytes < maxBytes && monotonic() <= untilMs + moreMs
    },
  }
}

/** True when older files are next: all of this one was read, or it cannot be. */
async function readForwards(file: string, search: FileSearch, read: Progress, pace: Pace): Promise<boolean> {
  if (!(await pace.goOn())) return false
  const name = basename(file)
  const { texts, until, take, maxBytes, maxMsOfCompressed } = search
  const found = !isReadable(file)
    ? null
    : await readCompressed({
        file,
        maxBytes: maxBytes - read.bytes,
        isWanted: (line) =>
          texts.every((each) => line.includes(each)) && (until === null || (timeOf(line) ?? '') <= until),
        async goOn(bytes) {
          read.bytes += bytes
          return await pace.goOn(maxMsOfCompressed)
        },
      }).catch(() => null)
  if (found?.isWhole !== true) read.unread.push(name)
  if (found === null) return true
  read.names.push(name)
  for (const line of found.lines) {
    const record = parseObject(line)
    if (record !== null && !take(record)) {
      read.oldest = timeOf(line) ?? read.oldest
      return false
    }
  }
  read.oldest = (found.first === null ? null : timeOf(found.first)) ?? read.oldest
  return !found.isCut
}

/** Of a record that the gateway has written. */
function timeOf(line: string): string | null {
  return /^\{"time":"([^"]{10,40})"/.exec(line)?.[1] ?? null
}

/** True when its beginning was reached. */
async function readBackwards(file: string, { texts, take }: FileSearch, read: Progress, pace: Pace): Promise<boolean> {
  read.names.push(basename(file))
  const handle = await open(file).catch(() => null)
  if (handle === null) return true
  try {
    let position = (await handle.stat()).size
    // The beginning of a line whose end was read before.
    let tail = Buffer.alloc(0)
    while (position > 0) {
      if (!(await pace.goOn())) return false
      const length = Math.min(chunkBytes, position)
      position -= length
      const chunk = Buffer.alloc(length)
      await handle.read(chunk, 0, length, position)
      read.bytes += length
      const text = tail.length === 0 ? chunk : Buffer.concat([chunk, tail])
      const begin = position === 0 ? 0 : text.indexOf(0x0a) + 1
      if (begin === 0 && position > 0) {
        tail = text.length > longestLine ? Buffer.alloc(0) : text
        continue
      }
      tail = text.subarray(0, begin)
      for (const line of text.subarray(begin).toString('utf8').split('\n').toReversed()) {
        if (line === '') continue
        read.oldest = timeOf(line) ?? read.oldest
        if (!texts.every((each) => line.includes(each))) continue
        const record = parseObject(line)
        if (record !== null && !take(record)) return false
      }
    }
    return true
  } finally {
    await handle.close()
  }
}
