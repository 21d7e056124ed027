// Lines on their way to a target, and how far they have got. Pure; used by line-writer.ts.

export interface Batch {
  /** Whole lines, each with its line feed. */
  readonly bytes: Buffer
  /** How many of the bytes the target has taken. */
  readonly written: number
}

const lineFeed = 0x0a

/** The next bytes to write: whole lines up to the limit, or the one line that is longer than it. */
export function nextChunk({ bytes, written }: Batch, maxBytes: number): Buffer {
  if (bytes.length - written <= maxBytes) return bytes.subarray(written)
  const lastEnd = bytes.lastIndexOf(lineFeed, written + maxBytes - 1)
  const end = lastEnd >= written ? lastEnd : bytes.indexOf(lineFeed, written)
  return bytes.subarray(written, end + 1)
}

/**
 * What is left of a batch for a target that was opened anew, so that no line is lost or cut and none is glued to half a
 * line. `moved`: it is another file than the one that took the first part. `endsMidLine`: what is there ends in half a line.
 */
export function resumeBatch(batch: Batch | null, moved: boolean, endsMidLine: boolean): Batch | null {
  const { bytes, written } = batch ?? { bytes: Buffer.alloc(0), written: 0 }
  const isInsideLine = written > 0 && bytes[written - 1] !== lineFeed
  if (isInsideLine && !moved) return batch
  const start = isInsideLine ? bytes.lastIndexOf(lineFeed, written - 1) + 1 : written
  const rest = endsMidLine ? Buffer.concat([Buffer.from('\n'), bytes.subarray(start)]) : bytes.subarray(start)
  return rest.length === 0 ? null : { bytes: rest, written: 0 }
}

/** Number of lines the target has not taken whole. */
export function linesLeft(batch: Batch | null): number {
  if (batch === null) return 0
  let lines = 0
  for (let at = batch.bytes.indexOf(lineFeed, batch.written); at >= 0; at = batch.bytes.indexOf(lineFeed, at + 1))
    lines += 1
  return lines
}
