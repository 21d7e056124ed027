// Reads the lines of a compressed record file for a bounded time. It can be read forwards alone, so that lines which may be wanted are
// kept until its end, and handed over the newest first.

import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline, type Readable } from 'node:stream'
import { constants, createGunzip, createZstdDecompress } from 'node:zlib'

export interface CompressedSearch {
  readonly file: string
  /** Of what comes out. */
  readonly maxBytes: number
  /** Whether a line may be wanted. */
  readonly isWanted: (line: string) => boolean
  /** Called after each piece with its length; false gives the file up. */
  readonly goOn: (bytes: number) => Promise<boolean>
}

export interface CompressedLines {
  /** Those that may be wanted, the newest first. */
  readonly lines: readonly string[]
  /** The oldest line of the file, wanted or not; of those that were kept, where there were too many. */
  readonly first: string | null
  /** Whether older ones were left out, because there were too many. */
  readonly isCut: boolean
  /** Whether the file ended as it should. */
  readonly isWhole: boolean
}

const chunkBytes = 64 * 1024
/** Characters of lines that are kept; the oldest ones go first. */
const mostKept = 16 * 1024 * 1024
/** A longer line is no record of ours. */
const longestLine = 4 * 1024 * 1024

export function isReadable(file: string): boolean {
  return /\.(?:gz|zst)$/.test(file)
}

/** Null where the file is too large for the bounds. */
export async function readCompressed(search: CompressedSearch): Promise<CompressedLines | null> {
  const { file, maxBytes, isWanted, goOn } = search
  const expected = await notedLength(file)
  if (expected !== null && expected > maxBytes) return null
  const kept: string[] = []
  let [keptLength, length, isCut, isWhole] = [0, 0, false, true]
  let first: string | null = null
  let rest = ''
  const text = openText(file)
  try {
    for await (const chunk of text) {
      const lines = (rest + String(chunk)).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > longestLine) rest = ''
      for (const line of lines) {
        if (line === '') continue
        first ??= line
        if (!isWanted(line)) continue
        kept.push(line)
        keptLength += line.length
      }
      if (keptLength > mostKept) {
        isCut = true
        let dropped = 0
        while (keptLength > mostKept / 2) keptLength -= kept[dropped++]?.length ?? 0
        kept.splice(0, dropped)
      }
      const bytes = Buffer.byteLength(String(chunk))
      length += bytes
      if (!(await goOn(bytes))) return null
    }
  } catch {
    // What stands before the place where it is broken counts.
    isWhole = false
  } finally {
    text.destroy()
  }
  if (expected !== null && length !== expected) isWhole = false
  return { lines: kept.toReversed(), first: isCut ? (kept[0] ?? null) : first, isCut, isWhole }
}

/** Of a gzip file that ends in the middle all that is there is read; its length then is not the one that it notes. */
function openText(file: string): Readable {
  const decoder = file.endsWith('.gz')
    ? createGunzip({ chunkSize: chunkBytes, finishFlush: constants.Z_SYNC_FLUSH })
    : createZstdDecompress({ chunkSize: chunkBytes })
  return pipeline(createReadStream(file), decoder, () => {
    // The reader of the text hears of the error.
  }).setEncoding('utf8')
}

/** What comes out of a gzip file, modulo 2^32, by its end (RFC 1952 section 2.3.1); null where nothing says it, -1 where it is no gzip file. */
async function notedLength(file: string): Promise<number | null> {
  if (!file.endsWith('.gz')) return null
  await using handle = await open(file)
  const { size } = await handle.stat()
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, Math.max(0, size - 4))
  return bytesRead === 4 ? buffer.readUInt32LE() : -1
}
