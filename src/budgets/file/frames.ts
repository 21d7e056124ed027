// The form of the journal's file: frames, each with its length and checksum, and what a crash may have left behind them.
// Pure. A frame is written in one piece and synced before the next one is begun, so only the last one can be torn.

import { crc32 } from 'node:zlib'

/** What a file holds: its whole frames, and how many bytes they take. */
export interface Frames {
  readonly payloads: readonly string[]
  /** Where the next frame belongs. Bytes after it are a torn frame, which was never confirmed. */
  readonly wholeBytes: number
}

/** `1a2b3c4d 17 {"some":"json"}` and a line feed: checksum and length of the payload in bytes. Payloads are single lines. */
export function frameOf(payload: string): Buffer {
  const bytes = Buffer.from(payload, 'utf8')
  return Buffer.concat([Buffer.from(`${checksum(bytes)} ${bytes.length} `), bytes, lineFeed])
}

/**
 * Reads frames to the first that is not whole. Throws when a whole one follows later: a crash does not do
 * that, and what stood between may have been a promise.
 */
export function readFrames(file: Buffer): Frames {
  const payloads: string[] = []
  let place = 0
  for (let frame = frameAt(file, 0); frame !== null; frame = frameAt(file, place)) {
    payloads.push(frame.payload)
    place = frame.end
  }
  for (let next = file.indexOf(lineFeed, place); next !== -1; next = file.indexOf(lineFeed, next + 1)) {
    if (frameAt(file, next + 1) !== null)
      throw new Error(`its bytes from ${place} on are damaged, and whole entries follow them`)
  }
  return { payloads, wholeBytes: place }
}

const lineFeed = Buffer.from('\n')
const headForm = /^([0-9a-f]{8}) (\d{1,10}) /

function frameAt(file: Buffer, start: number): { payload: string; end: number } | null {
  const [head = '', sum = '', length = ''] = headForm.exec(file.toString('latin1', start, start + 20)) ?? []
  if (head === '') return null
  const from = start + head.length
  const to = from + Number(length)
  if (file[to] !== lineFeed[0]) return null
  const bytes = file.subarray(from, to)
  return checksum(bytes) === sum ? { payload: bytes.toString('utf8'), end: to + 1 } : null
}

function checksum(bytes: Buffer): string {
  return crc32(bytes).toString(16).padStart(8, '0')
}
