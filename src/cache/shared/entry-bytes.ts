// A stored answer as bytes, and back: a line of JSON with everything but the body, then the body. Used by sealed-answers.ts,
// which makes sure that only what was written here is read here.

import type { Entry } from '../entry.ts'

const lineFeed = 0x0a

export interface Written {
  readonly entry: Entry
  /** Position at which the answer was asked for. */
  readonly position: string
}

export function writeEntry({ entry, position }: Written): Buffer {
  const { body, ...rest } = entry
  return Buffer.concat([Buffer.from(JSON.stringify({ position, ...rest })), Buffer.of(lineFeed), body])
}

/** Of bytes that `writeEntry` made. */
export function readEntry(bytes: Buffer): Written {
  const end = bytes.indexOf(lineFeed)
  const { position, ...rest } = JSON.parse(bytes.toString('utf8', 0, end)) as Omit<Entry, 'body'> & { position: string }
  // Memory of its own: what was received is part of a larger buffer.
  const body = Buffer.allocUnsafeSlow(bytes.length - end - 1)
  bytes.copy(body, 0, end + 1)
  return { position, entry: { ...rest, body } }
}
