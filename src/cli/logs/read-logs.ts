// Reads logs line by line: files in the order of their first records, compressed ones, standard input. What is missing in them is
// told as gaps, and nothing of it is guessed.

import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib'
import { errorCode } from '../../config/values/file-errors.ts'
import { isBeingCompressed } from '../../records/rotation/archive.ts'
import { plainError } from '../input.ts'

/**
 * `half-line`: the last line has no end. `cut-line`: a line is not whole. `cut-file`: a compressed file ends early. `lost-records`:
 * the gateway could not write so many.
 */
export type GapKind = 'half-line' | 'cut-line' | 'cut-file' | 'lost-records'

export interface Gap {
  readonly kind: GapKind
  readonly file: string
  /** Counted from 1. */
  readonly line: number
  readonly count: number
}

export interface LogReader {
  /** A whole line, without its end. */
  readonly line: (text: string, file: string, number: number) => void
  /** The last line, which has no end; true when it is whole for all that. */
  readonly rest: (text: string, file: string, number: number) => boolean
  readonly gap: (gap: Gap) => void
  /** Told now and then how many bytes of the files were read; `total` is null where it is not known. */
  readonly progress: (bytes: number, total: number | null) => void
}

/** Longer lines are none of ours. */
const longestLine = 4 * 1024 * 1024

/** Reads all logs. `-` is standard input. Throws a sentence for a file that cannot be read. */
export async function readLogs(names: readonly string[], input: Readable, reader: LogReader): Promise<void> {
  const files = await inOrder(names)
  const sizes = await Promise.all(files.map(async (file) => (file === '-' ? null : (await stat(file)).size)))
  const total = sizes.includes(null) ? null : sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
  let bytes = 0
  for (const file of files) {
    const source: Readable = file === '-' ? input : createReadStream(file, { highWaterMark: 32 * 1024 })
    await readOne(file, source, reader, (count) => {
      bytes += count
      reader.progress(bytes, total)
    })
  }
}

async function readOne(
  file: string,
  source: Readable,
  reader: LogReader,
  read: (bytes: number) => void,
): Promise<void> {
  const name = file === '-' ? 'standard input' : file
  let kept: Buffer = Buffer.alloc(0)
  let number = 0
  try {
    for await (const chunk of await expanded(source, read)) {
      const data = kept.length === 0 ? chunk : Buffer.concat([kept, chunk])
      let start = 0
      for (let end = data.indexOf(10, start); end !== -1; end = data.indexOf(10, start)) {
        number += 1
        const last = end > start && data[end - 1] === 13 ? end - 1 : end
        if (last > start) reader.line(data.toString('utf8', start, last), name, number)
        start = end + 1
      }
      kept = data.subarray(start)
      if (kept.length > longestLine)
        throw new Error(
          `${name} has a line of more than ${longestLine} bytes at line ${number + 1}: it is no decision log`,
        )
    }
  } catch (error) {
    if (!isCut(error)) throw plainError(file, error)
    reader.gap({ kind: 'cut-file', file: name, line: number + 1, count: 1 })
  }
  if (kept.length > 0 && !reader.rest(kept.toString('utf8'), name, number + 1))
    reader.gap({ kind: 'half-line', file: name, line: number + 1, count: 1 })
}

/** The content of a stream, whatever its name says: compressed data tells by its first bytes. */
async function expanded(source: Readable, read: (bytes: number) => void): Promise<AsyncIterable<Buffer>> {
  const chunks = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  const first = await chunks.next()
  if (first.done === true) return none()
  const head = Buffer.from(first.value)
  async function* all(): AsyncGenerator<Buffer> {
    read(head.length)
    yield head
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
      const chunk = Buffer.from(next.value)
      read(chunk.length)
      yield chunk
    }
  }
  const isGzip = head[0] === 0x1f && head[1] === 0x8b
  const isZstandard = head.length > 3 && head.readUInt32LE(0) === 0xfd2fb528
  return isGzip ? inflated(all(), createGunzip) : isZstandard ? inflated(all(), createZstdDecompress) : all()
}

/** Every frame of compressed data: a decompressor of Node.js may end with the first one. */
async function* inflated(
  source: AsyncGenerator<Buffer>,
  create: () => Gunzip | ZstdDecompress,
): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = []
  for (;;) {
    const frame = create()
    let unread: Buffer[] = []
    let forgotten = 0
    const feeding = (async () => {
      for (;;) {
        const next = waiting.shift() ?? (await source.next()).value
        if (next === undefined || frame.readableEnded || frame.destroyed) {
          if (next !== undefined) unread.push(next)
          return void frame.end()
        }
        unread.push(next)
        while (unread[0] !== undefined && forgotten + unread[0].length <= frame.bytesWritten)
          forgotten += unread.shift()?.length ?? 0
        if (!frame.write(next))
          await new Promise<void>((go) => void frame.once('drain', go).once('end', go).once('close', go))
      }
    })().catch((error: unknown) => void frame.destroy(error instanceof Error ? error : new Error(String(error))))
    yield* frame as AsyncIterable<Buffer>
    await feeding
    const rest = Buffer.concat(unread).subarray(frame.bytesWritten - forgotten)
    if (rest.length > 0) waiting = [rest]
    else {
      const next = await source.next()
      if (next.done === true) return
      waiting = [next.value]
    }
  }
}

async function* none(): AsyncGenerator<Buffer> {}

/** Whether decompression came to an end that is none. */
function isCut(error: unknown): boolean {
  const code = errorCode(error) ?? ''
  return ['Z_BUF_ERROR', 'Z_DATA_ERROR', 'ZSTD_error_srcSize_wrong', 'ERR_BUFFER_TOO_LARGE'].includes(code)
}

/** Rotated files by the time of their first record; what says no time stays behind the others, as it was given. */
async function inOrder(names: readonly string[]): Promise<readonly string[]> {
  const files = [...new Set(names.map((name) => (name === '-' ? name : resolve(name))))].filter(
    (file) => !isBeingCompressed(file),
  )
  const begun = await Promise.all(
    files.map(async (file) => ({ file, time: file === '-' ? '~' : await firstTime(file) })),
  )
  return begun.toSorted((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0)).map(({ file }) => file)
}

const headBytes = 64 * 1024

async function firstTime(file: string): Promise<string> {
  const handle = await open(file).catch((error: unknown) => {
    throw plainError(file, error)
  })
  try {
    const source = handle.createReadStream({ autoClose: false, end: headBytes })
    let text = ''
    for await (const chunk of await expanded(source, () => {})) {
      text += chunk.toString('utf8')
      const found = /"time":"([^"]{10,40})"/.exec(text)
      if (found?.[1] !== undefined) return found[1]
      if (text.length > headBytes) break
    }
  } catch (error) {
    // The head of a compressed file ends in the midst of it.
    if (!isCut(error)) throw plainError(file, error)
  } finally {
    await handle.close()
  }
  return '~'
}
