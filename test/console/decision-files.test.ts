// Decisions that have left the memory: found in the files, the newest first, as far as the bounds allow.

import { mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readDecisionQuery } from '../../src/admin/console/query.ts'
import { readNewestFirst } from '../../src/records/search/decision-files.ts'
import { openFileDecisions } from '../../src/runtime/console/decisions/file-decisions.ts'

let folder: string
let file: string
const timeOf = (number: number): string => new Date(1_800_000_000_000 + number * 1000).toISOString()
const lineOf = (number: number): string =>
  JSON.stringify({
    time: timeOf(number),
    decision_id: `d${number}`,
    request_id: `r${number}`,
    ended: { how: 'forwarded', stage: 'forward', sent: true },
    effect: number % 3 === 0 ? 'deny' : 'allow',
    reason: number % 3 === 0 ? 'not-granted' : 'granted',
    detail: 'ü'.repeat((number * 37) % 900),
    subject: `s${number % 7}`,
    team: 'payments',
    operation: 'org.sessions.list',
    organizations: ['org-payments'],
    key: null,
  })
const linesOf = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, index) => `${lineOf(from + index)}\n`).join('')

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'decision-files-'))
  file = join(folder, 'decisions.ndjson')
  await writeFile(`${file}.1`, linesOf(0, 500))
  await utimes(`${file}.1`, 1, 1)
  await writeFile(file, `${linesOf(500, 1500)}{"time":"cut off`)
  await writeFile(join(folder, 'decisions.ndjson.2.gz'), 'x')
  // The same as in the file beside it.
  await writeFile(join(folder, 'decisions.ndjson.1.gz.part'), linesOf(0, 3))
  await writeFile(join(folder, 'other.ndjson'), linesOf(5000, 5001))
})
afterAll(() => rm(folder, { recursive: true }))

test('reads every line of all files once, the newest first', async () => {
  const seen: unknown[] = []
  const read = await readNewestFirst({
    file,
    maxBytes: 1e9,
    maxMs: 1e6,
    maxMsOfCompressed: 1e6,
    monotonic: () => 0,
    texts: [],
    until: null,
    take: ({ decision_id: id }) => seen.push(id) > 0,
  })
  expect(seen).toEqual(Array.from({ length: 1500 }, (_, index) => `d${1499 - index}`))
  expect(read).toMatchObject({ isComplete: true, oldest: timeOf(0), unread: ['decisions.ndjson.2.gz'] })
})

test('stops at its bounds, and says how far it came', async () => {
  const count = async (maxBytes: number, times: readonly number[]): Promise<[number, boolean]> => {
    let [lines, readings] = [0, 0]
    const monotonic = (): number => times[Math.min(readings++, times.length - 1)] ?? 0
    const read = await readNewestFirst({
      file,
      maxBytes,
      maxMs: 10,
      maxMsOfCompressed: 10,
      monotonic,
      texts: [],
      until: null,
      take: () => (lines += 1) > 0,
    })
    return [lines, read.isComplete]
  }
  const [byBytes, isComplete] = await count(300_000, [0])
  expect([byBytes > 0 && byBytes < 1500, isComplete]).toEqual([true, false])
  expect(await count(1e9, [0, 0, 11])).toEqual([expect.any(Number), false])
})

test('leaves half of the time to others, and rests no longer than it has worked', async () => {
  let nowMs = 0
  const rests: number[] = []
  const read = await readNewestFirst({
    file,
    maxBytes: 1e9,
    maxMs: 1e6,
    maxMsOfCompressed: 1e6,
    monotonic: () => (nowMs += 4),
    rest: async (ms) => rests.push(ms),
    texts: [],
    until: null,
    take: () => true,
  })
  expect(read.isComplete).toBe(true)
  expect(rests.length).toBeGreaterThan(3)
  expect(rests.every((ms) => ms >= 5)).toBe(true)
  const restedMs = rests.reduce((sum, ms) => sum + ms, 0)
  // A piece below the least that is rested for may be left at the end of each of the two files.
  expect(restedMs).toBeGreaterThan(nowMs / 3)
  expect(restedMs).toBeLessThanOrEqual(nowMs)
})

test('finds by filters, page by page', async () => {
  const decisions = openFileDecisions(file, () => 0)
  const found = await decisions.search(readDecisionQuery({ subject: 's3', effect: 'deny' }), 5, () => false)
  const wanted = Array.from({ length: 1500 }, (_, index) => 1499 - index).filter(
    (each) => each % 7 === 3 && each % 3 === 0,
  )
  expect(found?.entries.map(({ decision_id: id }) => id)).toEqual(wanted.slice(0, 5).map((each) => `d${each}`))
  const cursor = `${timeOf(wanted[4] ?? 0)}~d${wanted[4] ?? 0}`
  const next = await decisions.search(readDecisionQuery({ subject: 's3', effect: 'deny', cursor }), 2, () => false)
  expect(next?.entries.map(({ decision_id: id }) => id)).toEqual(wanted.slice(5, 7).map((each) => `d${each}`))
  const known = await decisions.search(readDecisionQuery({ id: 'r7' }), 2, (id) => id === 'd7')
  expect(known?.entries).toEqual([])
  const between = await decisions.search(readDecisionQuery({ from: timeOf(3), to: timeOf(5) }), 10, () => false)
  expect(between?.entries.map(({ decision_id: id }) => id)).toEqual(['d5', 'd4', 'd3'])
})

test('nothing is searched where records go to a pipe, and few may search at once', async () => {
  expect(await openFileDecisions('stdout', () => 0).search(readDecisionQuery({}), 1, () => false)).toBeNull()
  const decisions = openFileDecisions(file, () => 0)
  const searches = await Promise.allSettled(
    Array.from({ length: 6 }, () => decisions.search(readDecisionQuery({}), 1, () => false)),
  )
  expect(searches.map(({ status }) => status)).toEqual([...Array(4).fill('fulfilled'), ...Array(2).fill('rejected')])
})

describe('rotated files', () => {
  const at = (hour: number, end: string): string => `${file}.2027-01-15T0${hour}0000.000Z${end}`
  const idsOf = (from: number, to: number): readonly string[] =>
    Array.from({ length: to - from }, (_, index) => `d${to - 1 - index}`)
  const search = (query: Readonly<Record<string, string>>, most: number, maxBytes?: number) =>
    openFileDecisions(file, () => 0, maxBytes).search(readDecisionQuery(query), most, () => false)

  beforeEach(async () => {
    await rm(folder, { recursive: true })
    await mkdir(folder)
    // In the order of their names, whatever their times are.
    await writeFile(file, linesOf(400, 450))
    await writeFile(at(3, '.zst'), zstdCompressSync(linesOf(300, 400)))
    await writeFile(at(2, '.gz'), gzipSync(linesOf(200, 300)))
    await writeFile(at(1, ''), linesOf(100, 200))
  })

  test('are searched in compressed form as well, in their order and page by page', async () => {
    // Compressed and not deleted yet: each record is found once.
    await writeFile(at(1, '.gz'), gzipSync(linesOf(100, 200)))
    const all = await search({}, 1_000)
    expect(all?.entries.map(({ decision_id: id }) => id)).toEqual(idsOf(100, 450))
    expect(all?.read).toMatchObject({ isComplete: true, unread: [], oldest: timeOf(100) })
    const pages: string[] = []
    for (let cursor: string | null = null; pages.length < 350;) {
      const page = await search(cursor === null ? {} : { cursor }, 60)
      const ids = page?.entries.map(({ decision_id: id }) => id) ?? []
      expect(ids.length).toBeGreaterThan(0)
      pages.push(...ids)
      cursor = `${page?.entries.at(-1)?.time}~${ids.at(-1)}`
    }
    expect(pages).toEqual(idsOf(100, 450))
    const one = await search({ id: 'r205' }, 1)
    expect(one?.entries.map(({ decision_id: id }) => id)).toEqual(['d205'])
  })

  test('that are broken are searched as far as they go, and named', async () => {
    const whole = gzipSync(linesOf(10_000, 13_000))
    // Its last four bytes would be its length.
    await writeFile(at(2, '.gz'), Buffer.concat([whole.subarray(0, whole.length / 2), Buffer.alloc(4)]))
    await writeFile(at(3, '.zst'), 'no Zstandard')
    await writeFile(at(4, '.xz'), 'x')
    await mkdir(at(5, '.gz'))
    await symlink('/dev/zero', at(6, ''))
    const { entries = [], read } = (await search({}, 10_000)) ?? {}
    const ids = entries.map(({ decision_id: id }) => id)
    const inBroken = ids.length - 150
    expect(inBroken > 1_000 && inBroken < 2_000).toBe(true)
    expect(ids).toEqual([...idsOf(400, 450), ...idsOf(10_000, 10_000 + inBroken), ...idsOf(100, 200)])
    expect(read?.isComplete).toBe(true)
    expect(read?.unread.map((name) => name.slice(-3))).toEqual(['zst', '.gz', '.xz'])
  })

  test('that are larger than the bound are named, and older ones are searched', async () => {
    await writeFile(at(2, '.gz'), gzipSync(Buffer.alloc(1_000_000, 'x')))
    const { entries = [], read } = (await search({}, 1_000, 500_000)) ?? {}
    expect(entries.map(({ decision_id: id }) => id)).toEqual([...idsOf(300, 450), ...idsOf(100, 200)])
    expect(read).toMatchObject({ isComplete: true, unread: [basename(at(2, '.gz'))] })
  })
})
