// Record files that move away by themselves while lines come, from one process and from two: no line is lost, torn or doubled.

import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { describe, expect, test, vi } from 'vitest'
import { verifyChain } from '../../../src/records/audit/chain.ts'
import { createRotation, type RotationSettings } from '../../../src/records/rotation/rotation.ts'
import { createSinks } from '../../../src/records/sinks.ts'
import { LineWriter } from '../../../src/records/line-writer.ts'
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
          files: [{ path, rotate: (to) => writer.rotate(to), isAudit: false }],
          nowMs: Date.now,
          onTrouble: (_path, text) => troubles.push(text),
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
    const writer = new LineWriter({ target: path, flushMs: 1, ...silent })
    const rotation = createRotation({
      settings: { ...settings, maxBytes: 1e9, daily: true, compress: 'none' },
      files: [{ path, rotate: (to) => writer.rotate(to), isAudit: false }],
      nowMs: () => nowMs,
      ...silent,
      ...fast,
    })
    writer.write('today\n')
    writer.flush()
    nowMs += 86_400_000
    await vi.waitFor(() => expect(rotatedOf(path)).toHaveLength(1))
    writer.write('tomorrow\n')
    await writer.close()
    await rotation.close()
    expect(rotatedOf(path).map(textOf)).toEqual(['today\n'])
    expect(textOf(path)).toBe('tomorrow\n')
  })

  test('is deleted when it is old, or when all of a stream are too large; a crash left one to be compressed', async () => {
    const path = freshFolder()('access.ndjson')
    const nowMs = Date.parse('2026-11-29T12:00:00Z')
    const names = [
      '2026-10-01T000000.000Z.gz',
      '2026-11-27T000000.000Z.gz',
      '2026-11-28T000000.000Z.gz',
      '2026-11-29T000000.000Z',
    ]
    for (const name of names) writeFileSync(`${path}.${name}`, 'x'.repeat(100))
    writeFileSync(`${path}.2026-11-29T000000.000Z.gz.part`, 'cut off')
    utimesSync(`${path}.2026-11-29T000000.000Z.gz.part`, 0, 0)
    writeFileSync(`${path}.note`, 'of somebody else')
    const rotation = createRotation({
      settings: { ...settings, keepMs: 30 * 86_400_000, keepBytes: 150 },
      files: [{ path, rotate: () => false, isAudit: false }],
      nowMs: () => nowMs,
      ...silent,
      ...fast,
    })
    await vi.waitFor(() =>
      expect(rotatedOf(path)).toEqual([`${path}.2026-11-28T000000.000Z.gz`, `${path}.2026-11-29T000000.000Z.gz`]),
    )
    expect(textOf(`${path}.2026-11-29T000000.000Z.gz`)).toBe('x'.repeat(100))
    expect(existsSync(`${path}.note`)).toBe(true)
    await rotation.close()
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
  expect(troubles).toEqual([])
}, 20_000)
