// The rotated files of one record file: compressed away from the event loop, and deleted when they are old or too many. What to do is
// read from the folder, so a process that ends in the middle leaves nothing undone.

import { createReadStream, createWriteStream } from 'node:fs'
import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip, createZstdCompress } from 'node:zlib'

export interface ArchiveOptions {
  /** The file that is written; rotated ones stand beside it. */
  readonly path: string
  readonly compress: 'gzip' | 'zstd' | 'none'
  readonly keepMs: number | null
  readonly keepBytes: number | null
  readonly nowMs: () => number
  readonly graceMs: number
  readonly onTrouble: (text: string) => void
}

interface Rotated {
  readonly file: string
  readonly atMs: number
  readonly isCompressed: boolean
}

const timeForm = /^(\d{4}-\d{2}-\d{2}T)(\d{2})(\d{2})(\d{2}\.\d{3}Z)(\.gz|\.zst)?$/

const everyMs = 3_600_000
/** A file that another process has begun to compress is left to it for so long. */
const abandonedMs = 600_000

export function createArchive(options: ArchiveOptions) {
  const { path, compress, keepMs, keepBytes, nowMs, graceMs, onTrouble } = options
  const beginning = `${basename(path)}.`
  const stopping = new AbortController()
  let timer: NodeJS.Timeout | null = null
  let isSoon = false
  let running: Promise<void> = Promise.resolve()

  /** The oldest first. */
  async function rotated(): Promise<Rotated[]> {
    const names = await readdir(dirname(path))
    return names
      .flatMap((name) => {
        const rest = name.startsWith(beginning) ? name.slice(beginning.length) : ''
        const [, day, hour, minute, second, end] = timeForm.exec(rest) ?? []
        if (day === undefined) return []
        const atMs = Date.parse(`${day}${hour}:${minute}:${second}`)
        return [{ file: join(dirname(path), name), atMs, isCompressed: end !== undefined }]
      })
      .sort((a, b) => a.atMs - b.atMs)
  }

  async function pack(file: string): Promise<void> {
    const target = `${file}${compress === 'zstd' ? '.zst' : '.gz'}`
    const part = `${target}.part`
    const begun = await stat(part).catch(() => null)
    if (begun !== null && Date.now() - begun.mtimeMs < abandonedMs) return
    if (begun !== null) await rm(part, { force: true })
    // A file that another process begins at the same moment is its own: the flag lets one of them through.
    const output = createWriteStream(part, { flags: 'wx', mode: 0o640 })
    try {
      const coder = compress === 'zstd' ? createZstdCompress() : createGzip()
      await pipeline(createReadStream(file), coder, output, { signal: stopping.signal })
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') await rm(part, { force: true })
      if (!stopping.signal.aborted && codeOf(error) !== 'EEXIST') throw error
      return
    }
    await using written = await open(part, 'r+')
    await written.sync()
    await rename(part, target)
    await rm(file)
  }

  async function prune(): Promise<void> {
    let total = 0
    for (const { file, atMs } of (await rotated()).reverse()) {
      total += (await stat(file)).size
      const isOld = keepMs !== null && nowMs() - atMs > keepMs
      if (isOld || (keepBytes !== null && total > keepBytes)) await rm(file, { force: true })
    }
  }

  /** Whether everything is in order; else there is more to do soon. */
  async function tidy(): Promise<boolean> {
    try {
      for (const { file, atMs, isCompressed } of await rotated())
        if (compress !== 'none' && !isCompressed && nowMs() - atMs >= graceMs) await pack(file)
      await prune()
      return compress === 'none' || (await rotated()).every(({ isCompressed }) => isCompressed)
    } catch (error) {
      // Another process was quicker, or the folder is not there yet.
      if (codeOf(error) !== 'ENOENT')
        onTrouble(`rotated files of ${path} cannot be put in order (${codeOf(error)}); that is tried again`)
      return true
    }
  }

  function schedule(afterMs: number): void {
    clearTimeout(timer ?? undefined)
    isSoon = afterMs === graceMs
    timer = setTimeout(() => {
      isSoon = false
      running = running.then(async () => {
        const isInOrder = await tidy()
        if (!stopping.signal.aborted && !isSoon) schedule(isInOrder ? everyMs : graceMs)
      })
    }, afterMs).unref()
  }

  return {
    /** Compresses and deletes what is due, once no other process writes to the latest any more. */
    tidySoon(): void {
      if (!isSoon) schedule(graceMs)
    },
    async close(): Promise<void> {
      stopping.abort()
      clearTimeout(timer ?? undefined)
      await running
    },
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
