import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { linesLeft, nextChunk, resumeBatch } from '../../src/records/batch.ts'
import type { Batch } from '../../src/records/batch.ts'

const someLines = fc.array(fc.string({ unit: fc.constantFrom('a', 'ü', '€', '😀'), maxLength: 12 }), {
  minLength: 1,
  maxLength: 8,
})
const lineFeed = 0x0a

/** Lines of which a target has taken some bytes. */
const anyBatch = fc.tuple(someLines, fc.nat()).map(([lines, taken]): Batch => {
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
  return { bytes, written: taken % (bytes.length + 1) }
})

describe('nextChunk', () => {
  it('takes whole lines up to the limit, or one that is longer, until nothing is left', () => {
    fc.assert(
      fc.property(someLines, fc.integer({ min: 1, max: 40 }), (lines, maxBytes) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
        const chunks: Buffer[] = []
        for (let written = 0; written < bytes.length; written += chunks.at(-1)?.length ?? 0) {
          chunks.push(nextChunk({ bytes, written }, maxBytes))
        }
        expect(Buffer.concat(chunks)).toEqual(bytes)
        for (const chunk of chunks) {
          expect(chunk.at(-1)).toBe(lineFeed)
          if (chunk.length > maxBytes) expect(chunk.indexOf(lineFeed)).toBe(chunk.length - 1)
        }
      }),
    )
  })
})

describe('resumeBatch', () => {
  it('goes on exactly where the same file stopped', () => {
    fc.assert(
      fc.property(anyBatch, (batch) => {
        const endsMidLine = batch.written > 0 && batch.bytes[batch.written - 1] !== lineFeed
        const rest = resumeBatch(batch, false, endsMidLine)
        const file = Buffer.concat([
          batch.bytes.subarray(0, batch.written),
          rest?.bytes.subarray(rest.written) ?? Buffer.alloc(0),
        ])
        expect(file).toEqual(batch.bytes)
      }),
    )
  })

  it('leaves every line whole in the old file or in a new one, and none in both', () => {
    fc.assert(
      fc.property(anyBatch, fc.constantFrom('', 'whole\n', 'half'), (batch, there) => {
        const rest = resumeBatch(batch, true, there === 'half')
        const wholeBefore = batch.bytes.subarray(
          0,
          batch.bytes.lastIndexOf(lineFeed, Math.max(0, batch.written - 1)) + 1,
        )
        const oldFile = batch.written === 0 ? '' : wholeBefore.toString()
        const newFile = there + (rest?.bytes.subarray(rest.written).toString() ?? '')
        const prefix = there === 'half' ? 'half\n' : there
        expect(newFile.startsWith(prefix)).toBe(true)
        expect(oldFile + newFile.slice(prefix.length)).toBe(batch.bytes.toString())
      }),
    )
  })

  it('has nothing to do when nothing waits and the file ends well', () => {
    expect(resumeBatch(null, true, false)).toBeNull()
  })
})

describe('linesLeft', () => {
  it('counts the lines that were not taken whole', () => {
    const bytes = Buffer.from('one\ntwo\nthree\n')
    expect([0, 2, 4, 5, 8, 13, 14].map((written) => linesLeft({ bytes, written }))).toEqual([3, 3, 2, 2, 1, 1, 0])
    expect(linesLeft(null)).toBe(0)
  })
})
