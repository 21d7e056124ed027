// How the lines of a busy moment reach their file: in few writes, so that a gateway at its limit keeps up with itself.

import fs from 'node:fs'
import { expect, it, vi } from 'vitest'
import { LineWriter } from '../../src/records/line-writer.ts'
import { freshFolder, linesOf } from './folder.ts'

const line = `${JSON.stringify({ text: 'x'.repeat(700) })}\n`

it('writes what a thousand requests of one turn leave in two writes: the first that is due, and all the rest', async () => {
  const path = freshFolder()('access.ndjson')
  const troubles: string[] = []
  const writer = new LineWriter({ target: path, onTrouble: (text) => troubles.push(text) })
  // Counted and passed on: a write that ends late is what the rest waits for.
  const write = vi.spyOn(fs, 'write')
  for (let count = 0; count < 1000; count += 1) expect(writer.write(line)).toBe(true)
  await writer.close()
  expect(write).toHaveBeenCalledTimes(2)
  write.mockRestore()
  expect(linesOf(path)).toHaveLength(1000)
  expect(troubles).toEqual([])
})

it('writes no more than 1 MiB at once, and ends each write at the end of a line', async () => {
  const path = freshFolder()('access.ndjson')
  const writer = new LineWriter({ target: path, onTrouble: () => {} })
  const write = vi.spyOn(fs, 'write')
  for (let count = 0; count < 5000; count += 1) writer.write(line)
  await writer.close()
  // `fs.write(descriptor, bytes, …)`
  const pieces = write.mock.calls.map(([, bytes]) => Buffer.from(bytes as unknown as Buffer))
  write.mockRestore()
  expect(pieces.length).toBeGreaterThan(4)
  for (const piece of pieces) {
    expect(piece.length).toBeLessThanOrEqual(1024 * 1024)
    expect(piece.at(-1)).toBe(0x0a)
  }
  expect(linesOf(path)).toHaveLength(5000)
})
