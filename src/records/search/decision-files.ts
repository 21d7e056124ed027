// Reads decision records from their files, the newest first, for a bounded time and a bounded number of bytes.

import { open, readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { parseObject } from '../../json/untyped.ts'

/** How far was read. */
export interface FilesRead {
  /** Names of the files that were opened. */
  readonly names: readonly string[]
  readonly bytes: number
  /** Time of the oldest record that was read. */
  readonly oldest: string | null
  /** Nothing older is left in these files. */
  readonly isComplete: boolean
  /** Compressed files, which are not read. */
  readonly compressed: readonly string[]
}

export interface FileSearch {
  /** The file that is written; rotated ones beside it are found by its name. */
  readonly file: string
  readonly maxBytes: number
  readonly maxMs: number
  readonly monotonic: () => number
  /** Leaves the process to others for so many milliseconds. */
  readonly rest?: (ms: number) => Promise<unknown>
  /** Texts that a line has to hold; others are not parsed. */
  readonly texts: readonly string[]
  /** Takes a record; false ends the search. */
  readonly take: (record: Readonly<Record<string, unknown>>) => boolean
}

const chunkBytes = 64 * 1024
/** After so much work the requests of callers have the process for as long. */
const restAfterMs = 5
const longestRestMs = 50
/** A longer line is no record of ours. */
const longestLine = 4 * 1024 * 1024

/** Reads from the end of the newest file to the beginning of the oldest one. Rejects where the folder cannot be read. */
export async function readNewestFirst(search: FileSearch): Promise<FilesRead> {
  const { plain, compressed } = await filesOf(search.file)
  const untilMs = search.monotonic() + search.maxMs
  const read = { names: [] as string[], bytes: 0, oldest: null as string | null }
  let isComplete = true
  for (const file of plain) {
    read.names.push(basename(file))
    if (await readBackwards(file, search, read, untilMs)) continue
    isComplete = false
    break
  }
  return { ...read, isComplete, compressed: compressed.map((file) => basename(file)) }
}

/** True when its beginning was reached. */
async function readBackwards(
  file: string,
  { maxBytes, monotonic, texts, take, rest = wait }: FileSearch,
  read: { bytes: number; oldest: string | null },
  untilMs: number,
): Promise<boolean> {
  const handle = await open(file).catch(() => null)
  if (handle === null) return true
  try {
    let position = (await handle.stat()).size
    // The beginning of a line whose end was read before.
    let tail = Buffer.alloc(0)
    let workedFromMs = monotonic()
    while (position > 0) {
      const workedMs = monotonic() - workedFromMs
      if (workedMs >= restAfterMs) {
        await rest(Math.min(workedMs, longestRestMs))
        workedFromMs = monotonic()
      }
      if (read.bytes >= maxBytes || monotonic() > untilMs) return false
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
        const time = /^\{"time":"([^"]{10,40})"/.exec(line)?.[1]
        if (time !== undefined) read.oldest = time
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

/** The file and those that a rotation has moved beside it, the newest first. What is being compressed stands there as it was, too. */
async function filesOf(
  file: string,
): Promise<{ readonly plain: readonly string[]; readonly compressed: readonly string[] }> {
  const [folder, name] = [dirname(file), basename(file)]
  const stem = name.replace(/\.[a-z]+$/, '')
  const names = (await readdir(folder)).filter(
    (each) =>
      !each.endsWith('.part') &&
      (each === name || each.startsWith(`${name}.`) || (each.startsWith(`${stem}-`) && each !== name)),
  )
  const found = await Promise.all(
    names.map(async (each) => {
      const path = join(folder, each)
      const stats = await stat(path).catch(() => null)
      return {
        path,
        isFile: stats?.isFile() === true,
        mtimeMs: each === name ? Number.POSITIVE_INFINITY : (stats?.mtimeMs ?? 0),
      }
    }),
  )
  const files = found.filter(({ isFile }) => isFile).toSorted((a, b) => b.mtimeMs - a.mtimeMs)
  const paths = files.map(({ path }) => path)
  const isCompressed = (path: string): boolean => /\.(gz|zst|xz|bz2)$/.test(path)
  return { plain: paths.filter((path) => !isCompressed(path)), compressed: paths.filter(isCompressed) }
}
