// Record files that move away by themselves while lines come, from one process and from two: no line is lost, torn or doubled.

import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { describe, expect, test, vi } from 'vitest'
import { verifyChain } from '../../support/chain.ts'
import { createRotation, type RotationSettings } from '../../../src/records/rotation/rotation.ts'
import { createSinks } from '../../../src/records/sinks.ts'
import { LineWriter } from '../../../src/records/line-writer.ts'
import { callCommand } from '../../support/command.ts'
import { startProgram } from '../child.ts'
import { accessEntry } from '../entry.ts'
import { freshFolder } from '../folder.ts'

const settings: RotationSettings = {
  maxBytes: 20_000,
  daily: false,
  compress: 'gzip',
  keepMs: null,
  keepBytes: null,
}

/** Names of the rotated files, the oldest first. */
function rotatedOf(path: string): string[] {
  const name = path.slice(dirname(path).length + 1)
  return readdirSync(dirname(path))
    .filter((each) => each.startsWith(`${name}.2`))
    .sort()
    .map((each) => `${dirname(path)}/${each}`)
}

function textOf(file: string): string {
  const bytes = readFileSync(file)
  if (file.endsWith('.gz')) return gunzipSync(bytes).toString()
  return (file.endsWith('.zst') ? zstdDecompressSync(bytes) : bytes).toString()
}

/** Every line of a stream, over all its files. */
function linesOf(path: string): string[] {
  return [...rotatedOf(path), path]
    .flatMap((file) => (existsSync(file) ? textOf(file).split('\n') : []))
    .filter((line) => line !== '')
}

const fast = { checkMs: 5, graceMs: 50 }
const silent = { onTrouble: () => {} }

/** Looks after one file, which moves only with a writer. */
function rotationOf(
  path: string,
  more: Partial<RotationSettings> = {},
  nowMs: () => number = Date.now,
  onTrouble: (text: string) => void = () => {},
  writer: LineWriter | null = null,
) {
  return createRotation({
    settings: { ...settings, ...more },
    files: [{ stream: 'access', path, rotate: (to) => writer?.rotate(to) ?? false }],
    nowMs,
    onTrouble: (_stream, text) => onTrouble(text),
    ...fast,
  })
}

describe('a file that is rotated', () => {
  test.each(['gzip', 'zstd', 'none'] as const)(
    'by size, under load, from two writers, with %s: every line is there once',
    async (compress) => {
      const path = freshFolder()('access.ndjson')
      const troubles: string[] = []
      const writers = [1, 2].map(
        () =>
          new LineWriter({
            target: path,
            flushMs: 1,
            checkMs: 10,
            isRotated: true,
            onTrouble: (text) => troubles.push(text),
          }),
      )
      const rotations = writers.map((writer) =>
        createRotation({
          settings: { ...settings, compress },
          files: [{ path, rotate: (to) => writer.rotate(to), stream: 'access' }],
          nowMs: Date.now,
          onTrouble: (_stream, text) => troubles.push(text),
          ...fast,
        }),
      )
      const wanted: string[] = []
      for (let round = 0; round < 60; round += 1) {
        for (const [index, writer] of writers.entries())
          for (let line = 0; line < 20; line += 1) {
            const text = JSON.stringify({ writer: index, round, line, text: 'x'.repeat(60) })
            wanted.push(text)
            writer.write(`${text}\n`)
          }
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      const end = compress === 'gzip' ? '.gz' : compress === 'zstd' ? '.zst' : 'Z'
      await vi.waitFor(
        () => expect(rotatedOf(path).filter((file) => file.endsWith(end)).length).toBeGreaterThan(2),
        10_000,
      )
      await Promise.all(writers.map((writer) => writer.close()))
      await Promise.all(rotations.map((rotation) => rotation.close()))
      expect(linesOf(path).sort()).toEqual(wanted.sort())
      expect(troubles).toEqual([])
    },
  )

  test('at midnight: the file of yesterday moves away once, with what came until then', async () => {
    const path = freshFolder()('decisions.ndjson')
    let nowMs = Date.now()
    let looks = 0
    const writer = new LineWriter({ target: path, flushMs: 1, ...silent })
    const rotation = createRotation({
      settings: { ...settings, maxBytes: 1e9, daily: true, compress: 'none' },
      files: [{ path, rotate: (to) => writer.rotate(to), stream: 'access' }],
      nowMs: () => {
        looks += 1
        return nowMs
      },
      ...silent,
      ...fast,
    })
    writer.write('today\n')
    writer.flush()
    nowMs += 86_400_000
    await vi.waitFor(() => expect(rotatedOf(path)).toHaveLength(1), 10_000)
    // The file stays empty for a day: it has nothing of that day, so it does not move with the first line of the next.
    nowMs += 86_400_000
    const looked = async (): Promise<void> => {
      const before = looks
      await vi.waitFor(() => expect(looks).toBeGreaterThan(before + 4), 10_000)
    }
    await looked()
    writer.write('tomorrow\n')
    writer.flush()
    await looked()
    expect(rotatedOf(path)).toHaveLength(1)
    await writer.close()
    await rotation.close()
    expect(rotatedOf(path).map(textOf)).toEqual(['today\n'])
    expect(textOf(path)).toBe('tomorrow\n')
  })

  test('is deleted when it is old, or when all of a stream are too large; what a crash left is put in order', async () => {
    const path = freshFolder()('access.ndjson')
    const nowMs = Date.parse('2026-11-29T12:00:00Z')
    const names = [
      '2026-10-01T000000.000Z.gz',
      '2026-11-27T000000.000Z.gz',
      '2026-11-28T000000.000Z.zst',
      // Compressed, and not deleted any more.
      '2026-11-28T000000.000Z',
      '2026-11-29T000000.000Z',
    ]
    for (const name of names) writeFileSync(`${path}.${name}`, 'x'.repeat(100))
    const parts = ['2026-11-29T000000.000Z.gz.part', '2026-11-20T000000.000Z.gz.part']
    for (const part of parts) {
      writeFileSync(`${path}.${part}`, 'cut off')
      utimesSync(`${path}.${part}`, 0, 0)
    }
    const rotation = rotationOf(path, { keepMs: 30 * 86_400_000, keepBytes: 150 }, () => nowMs)
    await vi.waitFor(
      () =>
        expect(rotatedOf(path)).toEqual([`${path}.2026-11-28T000000.000Z.zst`, `${path}.2026-11-29T000000.000Z.gz`]),
      10_000,
    )
    expect(textOf(`${path}.2026-11-29T000000.000Z.gz`)).toBe('x'.repeat(100))
    await rotation.close()
  })

  test('nothing is deleted or compressed that has another name, or is no file', async () => {
    const at = freshFolder()
    const path = at('access.ndjson')
    const others = [
      'access.ndjson.1',
      'access.ndjson.2.gz',
      'access.ndjson-20261001.gz',
      'access.ndjson.2026-10-01',
      'access.ndjson.2026-10-01T000000.000Z.gz.bak',
      'access.ndjson.2026-10-01T000000.000Z.bz2',
      'access.ndjson.2026-10-01T999999.000Z',
      'access.ndjson.2026-13-01T000000.000Z.gz',
      'access.ndjsonx.2026-10-01T000000.000Z.gz',
      'my-access.ndjson.2026-10-01T000000.000Z.gz',
      'accessXndjson.2026-10-01T000000.000Z.gz',
    ]
    for (const name of others) writeFileSync(at(name), name)
    mkdirSync(at('access.ndjson.2026-10-02T000000.000Z'))
    symlinkSync(at('access.ndjson.1'), at('access.ndjson.2026-10-03T000000.000Z.gz'))
    const own = at('access.ndjson.2026-10-04T000000.000Z')
    writeFileSync(own, 'x')
    const rotation = rotationOf(path, { keepMs: 0, keepBytes: 0 })
    await vi.waitFor(() => expect(existsSync(own)).toBe(false), 10_000)
    await rotation.close()
    expect(readdirSync(at('.')).sort()).toEqual(
      [...others, 'access.ndjson.2026-10-02T000000.000Z', 'access.ndjson.2026-10-03T000000.000Z.gz'].sort(),
    )
    for (const name of others) expect(readFileSync(at(name), 'utf8')).toBe(name)
  })

  test('moves itself and not the link that leads to it', async () => {
    const [at, elsewhere] = [freshFolder(), freshFolder()]
    const [link, path] = [at('access.ndjson'), elsewhere('today.ndjson')]
    symlinkSync(path, link)
    const writer = new LineWriter({ target: link, flushMs: 1, checkMs: 10, isRotated: true, ...silent })
    const rotation = rotationOf(link, { maxBytes: 2_000 }, Date.now, () => {}, writer)
    const wanted = Array.from({ length: 200 }, (_, line) => `${line} ${'x'.repeat(60)}`)
    for (const line of wanted) {
      writer.write(`${line}\n`)
      if (line.startsWith('100 ')) await vi.waitFor(() => expect(rotatedOf(path).length).toBeGreaterThan(0), 10_000)
    }
    await vi.waitFor(() => expect(rotatedOf(path).some((file) => file.endsWith('.gz'))).toBe(true), 10_000)
    await writer.close()
    await rotation.close()
    expect([readdirSync(at('.')), lstatSync(link).isSymbolicLink()]).toEqual([['access.ndjson'], true])
    expect(linesOf(path).sort()).toEqual(wanted.sort())
  })

  test('is kept though nothing is in it yet, where another process was quicker and has it open', async () => {
    const path = freshFolder()('access.ndjson')
    writeFileSync(path, 'x'.repeat(settings.maxBytes))
    let [moved, theirs] = ['', -1]
    const rotation = createRotation({
      settings,
      files: [
        {
          stream: 'access',
          path,
          rotate(to) {
            // Between the look at the file and its move.
            renameSync(path, `${path}.other`)
            theirs = openSync(path, 'a')
            renameSync(path, (moved = to))
            return true
          },
        },
      ],
      nowMs: Date.now,
      onTrouble: () => {},
      ...fast,
      graceMs: 1e6,
    })
    await vi.waitFor(() => expect(theirs).not.toBe(-1), 10_000)
    writeSync(theirs, 'their line\n')
    closeSync(theirs)
    await rotation.close()
    expect(readFileSync(moved, 'utf8')).toBe('their line\n')
  })

  test('is whole after a process was killed that compressed it', async () => {
    const path = freshFolder()('access.ndjson')
    const [moved, part] = [`${path}.2026-11-29T000000.000Z`, `${path}.2026-11-29T000000.000Z.gz.part`]
    const text = Array.from({ length: 150_000 }, (_, line) => `${line} ${Math.sin(line)}\n`).join('')
    writeFileSync(moved, text)
    const child = startProgram(`
import { createRotation } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../../src/records/rotation/rotation.ts')).href)}
createRotation({
  settings: ${JSON.stringify(settings)}, nowMs: Date.now, onTrouble: say, graceMs: 1,
  files: [{ stream: 'access', path: ${JSON.stringify(path)}, rotate: () => false }],
})
setInterval(() => {}, 1000)`)
    await vi.waitFor(() => expect(statSync(part).size).toBeGreaterThan(0), { timeout: 20_000, interval: 1 })
    child.kill('SIGKILL')
    await once(child, 'close')
    expect(existsSync(part)).toBe(true)
    utimesSync(part, 0, 0)
    const rotation = rotationOf(path)
    await vi.waitFor(() => expect(rotatedOf(path)).toEqual([`${moved}.gz`]), 20_000)
    expect(textOf(`${moved}.gz`) === text).toBe(true)
    await rotation.close()
  }, 60_000)

  test('moves away on a full disk as well; what is too old makes room, and every line is there once', async () => {
    const at = freshFolder()
    const disk = at('disk')
    mkdirSync(disk)
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=96k', 'tmpfs', disk]).status !== 0) return
    try {
      const path = `${disk}/access.ndjson`
      // Random, so that a compressed file is not much smaller.
      const lines = (count: number): string[] =>
        Array.from({ length: count }, () => `${randomBytes(500).toString('base64')}\n`)
      const wanted = lines(36)
      writeFileSync(`${path}.2026-10-01T000000.000Z.gz`, randomBytes(40 * 1024))
      writeFileSync(`${path}.2026-11-29T000000.000Z`, wanted.join(''))
      const troubles: string[] = []
      const onTrouble = (text: string): number => troubles.push(text)
      const writer = new LineWriter({ target: path, flushMs: 1, retryMs: 5, isRotated: true, onTrouble })
      for (const line of lines(60)) {
        wanted.push(line)
        writer.write(line)
      }
      await vi.waitFor(() => expect(writer.health().error).toBe('ENOSPC'), 10_000)
      const keepsAll = rotationOf(path, {}, Date.now, onTrouble, writer)
      const order = 'cannot be put in order (ENOSPC: the disk is full); that is tried again'
      await vi.waitFor(() => expect(troubles.join()).toContain(order), 10_000)
      await keepsAll.close()
      expect(rotatedOf(path)).toHaveLength(2)
      const rotation = rotationOf(path, { keepMs: 30 * 86_400_000 }, Date.now, onTrouble, writer)
      await vi.waitFor(() => expect(writer.health().healthy).toBe(true), 10_000)
      await vi.waitFor(() => expect(rotatedOf(path).filter((file) => file.endsWith('.gz'))).toHaveLength(2), 10_000)
      await writer.close()
      await rotation.close()
      expect(linesOf(path)).toEqual(wanted.map((line) => line.trim()))
    } finally {
      spawnSync('umount', ['-l', disk])
    }
  })
})

test('the streams rotate by their settings, and the chain of the audit log holds over its files, which stay', async () => {
  const at = freshFolder()
  const troubles: string[] = []
  const sinks = createSinks({
    access: at('access.ndjson'),
    decisions: 'stderr',
    audit: at('audit.ndjson'),
    nowMs: Date.now,
    onTrouble: (_stream, text) => troubles.push(text),
    rotation: { ...settings, maxBytes: 1000, keepMs: 0, keepBytes: 1, compress: 'none' },
  })
  for (let round = 0; rotatedOf(at('audit.ndjson')).length < 2; round += 1) {
    sinks.access(accessEntry(`r${round}`))
    for (let count = 0; count < 5; count += 1) await sinks.audit('changed', 'me', { round, count })
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await sinks.close()
  const lines = linesOf(at('audit.ndjson'))
  expect(await verifyChain(lines)).toMatchObject({ ok: true })
  expect(lines.filter((line) => line.includes('"event":"changed"')).length % 5).toBe(0)
  expect(rotatedOf(at('access.ndjson')).length).toBeGreaterThan(0)
  // Compressed, they are still the whole log, and no setting deletes them.
  const count = rotatedOf(at('audit.ndjson')).length
  const archive = createRotation({
    settings: { ...settings, keepMs: 0, keepBytes: 0, compress: 'zstd' },
    files: [{ stream: 'audit', path: at('audit.ndjson'), rotate: () => false }],
    nowMs: Date.now,
    onTrouble: (_stream, text) => troubles.push(text),
    ...fast,
  })
  await vi.waitFor(() => expect(rotatedOf(at('audit.ndjson')).every((file) => file.endsWith('.gz'))).toBe(true), 10_000)
  await archive.close()
  expect(rotatedOf(at('audit.ndjson'))).toHaveLength(count)
  // As a shell's pattern names them: the note of the head, and half a compressed file, are none of the log.
  writeFileSync(at('audit.ndjson.2026-11-29T120000.000Z.gz.part'), 'cut off')
  const named = readdirSync(at('.')).filter((name) => name.startsWith('audit.ndjson'))
  expect(named).toContain('audit.ndjson.head')
  expect(await callCommand(['audit', 'verify', ...named.map(at)])).toMatchObject({
    code: 0,
    out: expect.stringContaining(`unbroken: ${lines.length} entries`),
  })
  const without = named.map(at).filter((file) => file !== rotatedOf(at('audit.ndjson'))[1])
  expect(without).toHaveLength(named.length - 1)
  expect((await callCommand(['audit', 'verify', ...without])).code).toBe(1)
  expect(troubles).toEqual([])
}, 20_000)
