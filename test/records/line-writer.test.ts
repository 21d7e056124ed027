// What a line writer promises: few writes, flushed lines are in the file, and a file that was moved away is noticed.

import fs, { appendFileSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { expect, it, onTestFinished, vi } from 'vitest'
import { LineWriter, type LineWriterOptions } from '../../src/records/line-writer.ts'
import { freshFolder, linesOf } from './folder.ts'

const line = `${JSON.stringify({ text: 'x'.repeat(700) })}\n`

function open(path: string, more: Partial<LineWriterOptions> = {}) {
  const troubles: string[] = []
  // Nothing is written by itself while a test looks.
  const options = { flushMs: 600_000, checkMs: 0, ...more }
  const writer = new LineWriter({ target: path, onTrouble: (text) => troubles.push(text), ...options })
  onTestFinished(() => writer.close().catch(() => {}))
  return { writer, troubles }
}

/** The writes that a piece of work makes: how long each is, and its last byte. */
async function writesOf(work: () => Promise<void>): Promise<{ length: number; last: number | undefined }[]> {
  const write = vi.spyOn(fs, 'writeSync')
  syncBuiltinESMExports()
  await work()
  const calls = write.mock.calls.map((call) => {
    // `fs.writeSync(descriptor, bytes)`
    const bytes = call[1] as unknown as Buffer
    return { length: bytes.length, last: bytes.at(-1) }
  })
  write.mockRestore()
  syncBuiltinESMExports()
  return calls
}

it('gathers lines and writes them together', async () => {
  const path = freshFolder()('access.ndjson')
  const { writer } = open(path)
  const writes = await writesOf(async () => {
    for (let count = 0; count < 1000; count += 1) expect(writer.write(line)).toBe(true)
    await writer.close()
  })
  expect(writes.length).toBeGreaterThan(0)
  expect(writes.length).toBeLessThan(20)
  expect(linesOf(path)).toHaveLength(1000)
})

it('writes at most so many bytes at once, and ends each write at the end of a line', async () => {
  const path = freshFolder()('access.ndjson')
  const { writer } = open(path, { maxWriteBytes: 4096 })
  const long = `${'y'.repeat(9000)}\n`
  const writes = await writesOf(async () => {
    for (let count = 0; count < 100; count += 1) writer.write(count === 50 ? long : line)
    await writer.close()
  })
  expect(writes.filter(({ length }) => length > 4096)).toEqual([{ length: long.length, last: 0x0a }])
  for (const { last } of writes) expect(last).toBe(0x0a)
  expect(linesOf(path)).toHaveLength(100)
})

it('has everything in the file when flush returns', () => {
  const path = freshFolder()('access.ndjson')
  const { writer } = open(path)
  writer.write('{"a":1}\n')
  expect(linesOf(path)).toEqual([])
  writer.flush()
  expect(linesOf(path)).toEqual(['{"a":1}'])
  writer.write('{"a":2}\n')
  writer.write('{"a":3}\n')
  writer.flush()
  expect(linesOf(path)).toEqual(['{"a":1}', '{"a":2}', '{"a":3}'])
})

it('notices a file that was deleted at the next write, says so once, and loses no line that comes later', () => {
  const path = freshFolder()('access.ndjson')
  const { writer, troubles } = open(path)
  writer.write('{"a":1}\n')
  writer.flush()
  rmSync(path)
  for (const text of ['{"a":2}\n', '{"a":3}\n']) {
    writer.write(text)
    writer.flush()
  }
  expect(linesOf(path)).toEqual(['{"a":2}', '{"a":3}'])
  expect(troubles).toEqual([`${path} was deleted without a reload; lines go to a new file under its name`])
  expect(writer.health()).toMatchObject({ healthy: true, lost: 0 })
})

it.each([
  ['moved away', (_path: string) => {}],
  ['replaced by another file', (path: string) => writeFileSync(path, 'half a line')],
])('goes on in a new file when one was %s and nobody asked to reopen it', (_what, put) => {
  const path = freshFolder()('access.ndjson')
  const { writer, troubles } = open(path)
  writer.write('{"a":1}\n')
  writer.flush()
  renameSync(path, `${path}.1`)
  put(path)
  for (const text of ['{"a":2}\n', '{"a":3}\n', '{"a":4}\n']) {
    writer.write(text)
    writer.flush()
  }
  const all = `${readFileSync(`${path}.1`, 'utf8')}${readFileSync(path, 'utf8')}`.split('\n')
  for (const text of ['{"a":1}', '{"a":2}', '{"a":3}', '{"a":4}']) expect(all).toContain(text)
  expect(linesOf(path)).toContain('{"a":4}')
  expect(troubles).toEqual([`${path} was moved or replaced without a reload; lines go to a new file under its name`])
})

it('reports nothing about a rotation that asks to reopen', () => {
  const path = freshFolder()('access.ndjson')
  const { writer, troubles } = open(path)
  writer.write('{"a":1}\n')
  writer.flush()
  renameSync(path, `${path}.1`)
  writer.write('{"a":2}\n')
  writer.flush()
  writer.reopen()
  writer.write('{"a":3}\n')
  writer.flush()
  expect([linesOf(`${path}.1`), linesOf(path)]).toEqual([['{"a":1}', '{"a":2}'], ['{"a":3}']])
  expect(troubles).toEqual([])
})

it('says when somebody else has cut the file short, and goes on at its end', () => {
  const path = freshFolder()('access.ndjson')
  const { writer, troubles } = open(path)
  for (const text of ['{"a":1}\n', '{"a":2}\n']) {
    writer.write(text)
    writer.flush()
  }
  appendFileSync(path, '{"b":1}\n')
  writer.write('{"a":3}\n')
  writer.flush()
  expect(troubles).toEqual([])
  truncateSync(path)
  writer.write('{"a":4}\n')
  writer.flush()
  expect(linesOf(path)).toEqual(['{"a":4}'])
  expect(troubles).toEqual([`${path} was cut short by somebody else; lines in it are lost`])
})

it('notices that a file was cut short although it has its old length again', () => {
  const path = freshFolder()('access.ndjson')
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const { writer, troubles } = open(path, { checkMs: 1000 })
  vi.advanceTimersByTime(1000)
  for (const [text, act] of [
    ['{"a":1}\n', () => truncateSync(path)],
    ['{"a":2}\n', () => {}],
    ['{"a":3}\n', () => vi.advanceTimersByTime(1000)],
  ] as const) {
    writer.write(text)
    writer.flush()
    act()
  }
  expect(linesOf(path)).toEqual(['{"a":2}', '{"a":3}'])
  expect(troubles).toEqual([`${path} was cut short by somebody else; lines in it are lost`])
})

it.each([
  ['deleted', (path: string) => rmSync(path), 'was deleted'],
  ['moved away', (path: string) => renameSync(path, `${path}.1`), 'was moved or replaced'],
])('notices that a file was %s although no line comes behind the one that it took', (_what, act, words) => {
  const path = freshFolder()('access.ndjson')
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const { writer, troubles } = open(path, { checkMs: 1000 })
  act(path)
  writer.write('{"a":1}\n')
  writer.flush()
  expect(troubles).toEqual([])
  vi.advanceTimersByTime(3000)
  expect(troubles).toEqual([`${path} ${words} without a reload; lines go to a new file under its name`])
})
