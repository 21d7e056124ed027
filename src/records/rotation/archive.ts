// The rotated files of one record file: compressed away from the event loop, and deleted when they are old or too many. What to do is
// read from the folder, so a process that ends in the middle leaves nothing undone.

import { createReadStream, createWriteStream } from 'node:fs'
import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip, createZstdCompress } from 'node:zlib'
import { codeInWords, codeOrText } from '../../config/values/file-errors.ts'
import { syncFolder } from '../../config/values/writing.ts'
import { withoutLinks } from '../target.ts'

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
  /** A compressed file, one that is being compressed, or null for one as it was written. */
  readonly form: 'compressed' | 'part' | null
}

const timeForm = /^(\d{4}-\d{2}-\d{2}T)(\d{2})(\d{2})(\d{2}\.\d{3}Z)((?:\.gz|\.zst)(\.part)?)?$/
const compressedEnds = ['.gz', '.zst']

const everyMs = 3_600_000
const retryAfterGraces = 6
/** A file that another process has begun to compress is left to it for so long. */
const abandonedMs = 600_000

export function createArchive(options: ArchiveOptions) {
  const { path, compress, keepMs, keepBytes, nowMs, graceMs, onTrouble } = options
  const stopping = new AbortController()
  let timer: NodeJS.Timeout | null = null
  let isSoon = false
  let trouble: string | null = null
  let running: Promise<void> = Promise.resolve()

  /** The files whose names `rotation.ts` gives, the oldest first. All others in the folder are somebody else's. */
  async function rotated(): Promise<Rotated[]> {
    const real = withoutLinks(path)
    const [folder, beginning] = [dirname(real), `${basename(real)}.`]
    const entries = await readdir(folder, { withFileTypes: true })
    return entries
      .flatMap((entry): Rotated[] => {
        const rest = entry.isFile() && entry.name.startsWith(beginning) ? entry.name.slice(beginning.length) : ''
        const atMs = rotatedAtMs(rest)
        const [, end, part] = /(\.gz|\.zst)?(\.part)?$/.exec(rest) ?? []
        const form = part !== undefined ? 'part' : end !== undefined ? 'compressed' : null
        return atMs === null ? [] : [{ file: join(folder, entry.name), atMs, form }]
      })
      .sort((a, b) => a.atMs - b.atMs)
  }

  async function pack(file: string): Promise<void> {
    // A process ended after it had compressed this file and before it deleted it.
    for (const end of compressedEnds)
      if ((await stat(`${file}${end}`).catch(() => null)) !== null) return await rm(file, { force: true })
    const target = `${file}${compress === 'zstd' ? '.zst' : '.gz'}`
    const part = `${target}.part`
    // A file that another process begins at the same moment is its own: the flag lets one of them through.
    const output = createWriteStream(part, { flags: 'wx', mode: 0o640 })
    try {
      const coder = compress === 'zstd' ? createZstdCompress() : createGzip()
      await pipeline(createReadStream(file), coder, output, { signal: stopping.signal })
      await using written = await open(part, 'r+')
      await written.sync()
      await rename(part, target)
    } catch (error) {
      if (codeOrText(error) === 'EEXIST') return
      await rm(part, { force: true })
      if (!stopping.signal.aborted) throw error
      return
    }
    // Not every file system can; what the file holds is on the disk.
    await syncFolder(dirname(file)).catch(() => {})
    await rm(file)
  }

  async function prune(): Promise<void> {
    let total = 0
    for (const { file, atMs, form } of (await rotated()).reverse()) {
      if (form === 'part') continue
      total += (await stat(file)).size
      const isOld = keepMs !== null && nowMs() - atMs > keepMs
      if (isOld || (keepBytes !== null && total > keepBytes)) await rm(file, { force: true })
    }
  }

  async function packAll(): Promise<void> {
    const files = await rotated()
    for (const { file, form } of files)
      if (form === 'part' && Date.now() - (await stat(file)).mtimeMs > abandonedMs) await rm(file, { force: true })
    for (const { file, atMs, form } of files)
      if (compress !== 'none' && form === null && nowMs() - atMs >= graceMs) await pack(file)
  }

  /** Returns after how long there is more to do. */
  async function tidy(): Promise<number> {
    try {
      try {
        await packAll()
      } finally {
        // A disk that is too full to compress gets room all the same.
        await prune()
      }
      trouble = null
      return compress === 'none' || (await rotated()).every(({ form }) => form === 'compressed') ? everyMs : graceMs
    } catch (error) {
      // Another process was quicker, or the folder is not there yet.
      if (codeOrText(error) === 'ENOENT') return retryAfterGraces * graceMs
      const text = `rotated files of ${path} cannot be put in order (${codeInWords(codeOrText(error))}); that is tried again`
      if (trouble !== text) onTrouble(text)
      trouble = text
      return retryAfterGraces * graceMs
    }
  }

  function schedule(afterMs: number): void {
    clearTimeout(timer ?? undefined)
    isSoon = afterMs === graceMs
    timer = setTimeout(() => {
      isSoon = false
      running = running.then(async () => {
        const nextMs = await tidy()
        if (!stopping.signal.aborted && !isSoon) schedule(nextMs)
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

/** When a file was moved away, by what `rotation.ts` adds to its name; null for other endings. */
export function rotatedAtMs(ending: string): number | null {
  const [, day, hour, minute, second] = timeForm.exec(ending) ?? []
  const atMs = Date.parse(`${day}${hour}:${minute}:${second}`)
  return Number.isNaN(atMs) ? null : atMs
}

/** Half a compressed file, whose whole text is in the file beside it: a shell's pattern names it as well. */
export function isBeingCompressed(file: string): boolean {
  return compressedEnds.some((end) => file.endsWith(`${end}.part`))
}
