// How many colours a picture of a page begins with: enough to tell a page from an empty area. Reads PNG as browsers write it, 8 bits a channel.

import { constants, inflateSync } from 'node:zlib'

/** What is read of the picture, compressed: some rows of any page. */
const readBytes = 16_384

/** Counts up to `most` colours, row by row from the top. Throws for what is no whole PNG. */
export function colorsOf(png: Buffer, most: number): number {
  const isWhole =
    png.subarray(0, 8).equals(Buffer.from('89504e470d0a1a0a', 'hex')) && png.subarray(-8, -4).toString() === 'IEND'
  const [depth, kind, interlaced] = [png[24], png[25], png[28]]
  if (!isWhole || depth !== 8 || (kind !== 2 && kind !== 6) || interlaced !== 0) throw new Error('another kind of file')
  const channels = kind === 2 ? 3 : 4
  const length = png.readUInt32BE(16) * channels
  const rows = inflateSync(pixelData(png).subarray(0, readBytes), { finishFlush: constants.Z_SYNC_FLUSH })
  const colors = new Set<number>()
  let above = Buffer.alloc(length)
  for (let start = 0; start + length < rows.length && colors.size < most; start += length + 1) {
    const row = Buffer.from(rows.subarray(start + 1, start + 1 + length))
    for (let at = 0; at < length; at += 1) {
      const [left, over, corner] = [row[at - channels] ?? 0, above[at] ?? 0, above[at - channels] ?? 0]
      row[at] = (row[at] ?? 0) + predicted(rows[start] ?? 0, left, over, corner)
    }
    for (let at = 0; at < length && colors.size < most; at += channels) colors.add(row.readUIntBE(at, 3))
    above = row
  }
  return colors.size
}

function pixelData(png: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 8; at + 12 <= png.length; at += 12 + png.readUInt32BE(at))
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT')
      parts.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)))
  return Buffer.concat(parts)
}

/** The filters of PNG: what the byte is written as the difference from. */
function predicted(filter: number, left: number, over: number, corner: number): number {
  if (filter === 0) return 0
  if (filter === 1) return left
  if (filter === 2) return over
  if (filter === 3) return (left + over) >> 1
  const guess = left + over - corner
  const [byLeft, byOver, byCorner] = [Math.abs(guess - left), Math.abs(guess - over), Math.abs(guess - corner)]
  return byLeft <= byOver && byLeft <= byCorner ? left : byOver <= byCorner ? over : corner
}
