// Reading an audit file: its end, to go on from there, and its lines, to check them.

import { closeSync, openSync, readSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { describeTorn, genesis, readChainLine, type ChainHead } from './chain.ts'

export interface AuditTail {
  /** The last whole line. */
  readonly head: ChainHead
  /** What a crash or a full disk left of lines after it. */
  readonly torn: readonly string[]
  /** The file does not end with a line feed. */
  readonly endsMidLine: boolean
}

/** Of a file that holds nothing. */
export const emptyTail: AuditTail = { head: { seq: 0, hash: genesis }, torn: [], endsMidLine: false }

/** What a segment line has to say: unfinished lines before it, the chain that ended in another file; null for neither. */
export function seamOf(torn: readonly string[], previous: ChainHead | null): Readonly<Record<string, unknown>> | null {
  if (torn.length === 0 && previous === null) return null
  const { lines, sha256 } = describeTorn(torn)
  return {
    ...(torn.length > 0 ? { torn_lines: lines, torn_sha256: sha256 } : {}),
    ...(previous === null ? {} : { previous_seq: previous.seq, previous_hash: previous.hash }),
  }
}

const firstWindowBytes = 64 * 1024

/**
 * The end of a chain on disk. Throws when the last readable line is no line of a chain or was changed: going on from
 * there would hide it.
 */
export function readAuditTail(path: string, size: number): AuditTail {
  const descriptor = openSync(path, 'r')
  try {
    for (let windowBytes = firstWindowBytes; ; windowBytes *= 4) {
      const start = Math.max(0, size - windowBytes)
      const bytes = readRange(descriptor, start, size)
      const tail = findTail(bytes.toString('utf8').split('\n'), start === 0, path)
      if (tail !== null) return tail
    }
  } finally {
    closeSync(descriptor)
  }
}

/** Null when the window holds no whole readable line and does not begin at the file's start. */
function findTail(lines: readonly string[], isWholeFile: boolean, path: string): AuditTail | null {
  const endsMidLine = lines.at(-1) !== ''
  const complete = endsMidLine ? lines : lines.slice(0, -1)
  const firstWhole = isWholeFile ? 0 : 1
  for (let index = complete.length - 1; index >= firstWhole; index -= 1) {
    const read = readChainLine(complete[index] ?? '')
    if (read.kind === 'foreign') {
      throw new Error(
        `the last readable line of ${path} ${read.problem}; check it with "devin-gateway audit verify" and move the file away`,
      )
    }
    if (read.kind === 'line') {
      return { head: { seq: read.seq, hash: read.hash }, torn: complete.slice(index + 1), endsMidLine }
    }
  }
  return isWholeFile ? { head: { seq: 0, hash: genesis }, torn: complete, endsMidLine } : null
}

function readRange(descriptor: number, start: number, end: number): Buffer {
  const bytes = Buffer.alloc(end - start)
  let filled = 0
  while (filled < bytes.length) {
    const read = readSync(descriptor, bytes, filled, bytes.length - filled, start + filled)
    // The file became shorter while it was read; the size check before the next write notices that.
    if (read === 0) break
    filled += read
  }
  return bytes.subarray(0, filled)
}

/**
 * The lines of an audit file, or of a stream of its text, without their line feeds, for `ChainCheck`; of a file that gzip or Zstandard has compressed as well. Splits at line feeds and nothing else:
 * node's readline would also drop carriage returns, and so hide them.
 */
export async function* auditLines(from: string | Readable): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of typeof from === 'string' ? await openText(from) : from.setEncoding('utf8')) {
    const lines = (rest + String(chunk)).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (rest !== '') yield rest
}

async function openText(path: string): Promise<Readable> {
  const handle = await open(path, 'r')
  const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0)
  const bytes = handle.createReadStream({ start: 0 })
  const isGzip = buffer.readUInt16BE(0) === 0x1f8b
  const isZstandard = buffer.readUInt32LE(0) === 0xfd2fb528
  if (!isGzip && !isZstandard) return bytes.setEncoding('utf8')
  return pipeline(bytes, isGzip ? createGunzip() : createZstdDecompress(), () => {
    // The reader of the text hears of the error.
  }).setEncoding('utf8')
}
