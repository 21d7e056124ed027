// The check of several audit files against checkpoints: whatever is done to them is found, or said not to be anchored.

import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { whyUnreadable } from '../../../src/config/values/file-errors.ts'
import { auditLines } from '../../../src/records/audit/audit-tail.ts'
import { chainLine, genesis, segmentEvent, type ChainHead } from '../../../src/records/audit/chain.ts'
import { verifyAudit, type AuditVerdict } from '../../../src/records/audit/verification.ts'
import { readSigningKey, signCheckpoint, type Checkpoint } from '../../../src/records/checkpoints/checkpoint.ts'
import { freshFolder } from '../folder.ts'

const { privateKey } = generateKeyPairSync('ed25519')
const signer = readSigningKey(String(privateKey.export({ type: 'pkcs8', format: 'pem' })))

interface Log {
  readonly files: readonly (readonly string[])[]
  readonly heads: readonly ChainHead[]
}

/** A log of files of these lengths; each file but the first begins with a segment line. `salt` makes another one of the same shape. */
function logOf(lengths: readonly number[], salt = ''): Log {
  const files: string[][] = []
  const heads: ChainHead[] = []
  let head: ChainHead = { seq: 0, hash: genesis }
  for (const length of lengths) {
    const file: string[] = []
    for (let index = 0; index < length; index += 1) {
      const isSegment = index === 0 && head.seq > 0
      const details = isSegment ? { previous_seq: head.seq, previous_hash: head.hash } : { n: head.seq, salt }
      const event = isSegment ? segmentEvent : 'reload'
      const line = chainLine(head.hash, head.seq + 1, {
        time: '2026-11-29T12:00:00.000Z',
        event,
        actor: 'test',
        details,
      })
      file.push(line.text)
      head = { seq: line.seq, hash: line.hash }
      heads.push(head)
    }
    files.push(file)
  }
  return { files, heads }
}

const checkpointOf = (head: ChainHead): Checkpoint =>
  signCheckpoint('test/log', head, '2026-11-29T12:01:00.000Z', signer)

async function check(
  files: readonly (readonly string[])[],
  checkpoints: readonly Checkpoint[] | null = null,
  from: number | null = null,
): Promise<AuditVerdict> {
  const sources = files.map((lines, index) => ({ name: `file-${index}`, lines }))
  return await verifyAudit(sources, { checkpoints, expectedHead: null, from })
}

const lengths = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 })
const seed = fc.nat(1_000_000)
const covers = (ranges: readonly { from: number; to: number }[], seq: number): boolean =>
  ranges.some(({ from, to }) => seq >= from && seq <= to)

describe('a sound log', () => {
  test('is unbroken in any order of its files, and is anchored as far as the last checkpoint', async () => {
    await fc.assert(
      fc.asyncProperty(lengths, seed, async (each, chosen) => {
        const { files, heads } = logOf(each)
        const anchor = heads[chosen % heads.length] ?? { seq: 0, hash: genesis }
        const shuffled = files.toSorted((a, b) => ((a.length * 7 + chosen) % 5) - ((b.length * 7 + chosen) % 5))
        for (const given of [files, files.toReversed(), shuffled]) {
          const verdict = await check(given, [checkpointOf(anchor)])
          expect(verdict.problems).toEqual([])
          expect(verdict.entries).toBe(heads.length)
          expect(verdict.head).toBe(heads.at(-1)?.hash)
          expect(verdict.anchored).toEqual([{ from: 1, to: anchor.seq }])
          expect(verdict.unanchored).toEqual(
            anchor.seq === heads.length ? [] : [{ from: anchor.seq + 1, to: heads.length }],
          )
        }
      }),
      { numRuns: 60 },
    )
  })

  test('of files that an earlier version began anew is unbroken too', async () => {
    const [first, second] = [logOf([3]), logOf([1])]
    const end = first.heads.at(-1) ?? { seq: 0, hash: genesis }
    const entry = {
      time: 't',
      event: segmentEvent,
      actor: 'gateway',
      details: { previous_seq: end.seq, previous_hash: end.hash },
    }
    const anew = chainLine(genesis, 1, entry)
    expect((await check([[anew.text], first.files[0] ?? []])).problems).toEqual([])
    expect((await check([second.files[0] ?? [], first.files[0] ?? []])).ok).toBe(false)
  })

  test('may end a file in the middle of a line when another file goes on', async () => {
    const [first = [], second = []] = logOf([3, 2]).files
    expect((await check([[...first, '{"seq":4,"ti'], second])).problems).toEqual([])
    expect((await check([first, [...second, '{"seq":6,"ti']])).problems).toMatchObject([
      { file: 'file-1', problem: expect.stringContaining('cut off') },
    ])
  })

  test('of which older files were removed on purpose is unbroken from where it has to begin', async () => {
    const { files, heads } = logOf([4, 3, 3])
    const kept = files.slice(1)
    const last = [checkpointOf(heads[8] ?? { seq: 0, hash: genesis })]
    expect(await check(kept, last, 5)).toMatchObject({
      ok: true,
      beginsAfter: { seq: 4 },
      anchored: [{ from: 5, to: 9 }],
    })
    expect((await check(kept, last)).problems[0]?.problem).toContain(
      '4 line(s) before it were removed, or are in a file',
    )
    // One file by itself, which says which one it follows.
    expect(await check([files[2] ?? []])).toMatchObject({ ok: true, beginsAfter: { seq: 7 } })
    expect(await check([files[2]?.slice(1) ?? []])).toMatchObject({ ok: false })
  })

  test.each([
    ['gzip', gzipSync],
    ['Zstandard', zstdCompressSync],
  ])('is read from files that %s has compressed', async (_name, compress) => {
    const at = freshFolder()
    const { files } = logOf([3, 2])
    writeFileSync(at('audit.ndjson.1.gz'), compress(`${(files[0] ?? []).join('\n')}\n`))
    writeFileSync(at('audit.ndjson'), `${(files[1] ?? []).join('\n')}\n`)
    const sources = ['audit.ndjson', 'audit.ndjson.1.gz'].map((name) => ({ name, lines: auditLines(at(name)) }))
    expect(await verifyAudit(sources, { checkpoints: null, expectedHead: null, from: null })).toMatchObject({
      ok: true,
      entries: 5,
    })
    writeFileSync(at('half.gz'), compress('x'.repeat(1000)).subarray(0, -5))
    await expect(
      verifyAudit([{ name: 'half', lines: auditLines(at('half.gz')) }], {
        checkpoints: null,
        expectedHead: null,
        from: null,
      }),
    ).rejects.toSatisfy((error) => whyUnreadable(error) === 'the compressed file ends early')
  })
})

describe('a log that somebody has changed', () => {
  /** Whatever a hand can do to the lines, without care for the chain. */
  const edits: Readonly<Record<string, (lines: string[], at: number, other: number) => string[]>> = {
    edit: (lines, at) => lines.with(at, (lines[at] ?? '').replace('"test"', '"tset"')),
    remove: (lines, at) => lines.toSpliced(at, 1),
    repeat: (lines, at) => lines.toSpliced(at, 0, lines[at] ?? ''),
    insert: (lines, at) => lines.toSpliced(at, 0, '{"seq":1}'),
    'insert garbage': (lines, at) => lines.toSpliced(at, 0, 'garbage'),
    swap: (lines, at, other) => lines.with(at, lines[other] ?? '').with(other, lines[at] ?? ''),
    'cut a line': (lines, at) => lines.with(at, (lines[at] ?? '').slice(0, -5)),
    'cut the end': (lines, at) => lines.slice(0, at),
  }

  test('by hand is broken, or is shorter than a checkpoint has seen', async () => {
    await fc.assert(
      fc.asyncProperty(
        lengths,
        fc.constantFrom(...Object.keys(edits)),
        seed,
        seed,
        async (each, name, first, second) => {
          const { files, heads } = logOf(each)
          const index = first % files.length
          const lines = [...(files[index] ?? [])]
          const [at, other] = [first % lines.length, second % lines.length]
          const changed = edits[name]?.(lines, at, other) ?? lines
          if (changed.join('\n') === lines.join('\n')) return
          const verdict = await check(files.with(index, changed), [
            checkpointOf(heads.at(-1) ?? { seq: 0, hash: genesis }),
          ])
          expect([name, verdict.ok]).toEqual([name, false])
          expect(verdict.problems[0]?.problem).not.toBe('')
        },
      ),
      { numRuns: 300 },
    )
  })

  test('and rewritten with a chain that is sound in itself does not fit the checkpoints, or is not anchored there', async () => {
    await fc.assert(
      fc.asyncProperty(lengths, seed, seed, async (each, from, anchored) => {
        const real = logOf(each)
        const first = from % real.heads.length
        const anchor = real.heads[anchored % real.heads.length] ?? { seq: 0, hash: genesis }
        // Everything from `first` on is said otherwise, and chained anew.
        const kept = real.heads[first - 1] ?? { seq: 0, hash: genesis }
        let head = kept
        const rewritten = real.files.map((lines) =>
          lines.map((line) => {
            const { seq, time, actor, event, details } = JSON.parse(line) as Record<
              'time' | 'actor' | 'event',
              string
            > & { seq: number; details: object }
            if (seq <= kept.seq) return line
            const said =
              event === segmentEvent
                ? { previous_seq: head.seq, previous_hash: head.hash }
                : { ...details, forged: true }
            const made = chainLine(head.hash, seq, { time, actor, event, details: said })
            head = { seq: made.seq, hash: made.hash }
            return made.text
          }),
        )
        const verdict = await check(rewritten, [checkpointOf(anchor)])
        if (head.hash === real.heads.at(-1)?.hash) return
        const firstForged = real.heads.findIndex(({ hash }, index) => hash !== hashesOf(rewritten)[index]) + 1
        if (anchor.seq >= firstForged) {
          expect(verdict.ok).toBe(false)
          expect(verdict.problems[0]?.problem).toContain(`the log was written anew`)
        } else {
          expect(verdict.ok).toBe(true)
          for (let seq = firstForged; seq <= real.heads.length; seq += 1) {
            expect(covers(verdict.unanchored, seq)).toBe(true)
            expect(covers(verdict.anchored, seq)).toBe(false)
          }
        }
      }),
      { numRuns: 150 },
    )
  })

  test('lacks a file: a gap in between, the end, the beginning', async () => {
    const { files, heads } = logOf([3, 4, 2, 5])
    const all = heads.map(checkpointOf)
    const problemOf = async (given: readonly (readonly string[])[]): Promise<string> =>
      (await check(given, all)).problems.map(({ problem }) => problem).join('; ')
    expect(await problemOf([files[0] ?? [], files[3] ?? [], files[1] ?? []])).toContain(
      'a file with the lines of seq 8 to 9 is missing',
    )
    expect(await problemOf(files.slice(0, 3))).toContain('the lines of seq 10 to 14 are gone: a checkpoint of 2026')
    expect(await problemOf(files.slice(1))).toContain(
      '3 line(s) before it were removed, or are in a file that was not given',
    )
    expect(await problemOf([])).toContain('the lines of seq 1 to 14 are gone')
    expect(await problemOf([[]])).toContain('the lines of seq 1 to 14 are gone')
    expect(await problemOf([...files, files[1] ?? []])).toContain('was given twice')
  })

  test('has a file of another log in it', async () => {
    const [one, other] = [logOf([3, 4, 2]), logOf([3, 4, 2], 'other')]
    expect((await check(one.files.with(1, other.files[1] ?? []))).ok).toBe(false)
    expect((await check(one.files.with(2, other.files[2] ?? []))).ok).toBe(false)
    expect((await check(other.files, one.heads.map(checkpointOf))).problems[0]?.problem).toContain(
      'seq 1 is not the one',
    )
  })

  test('is anchored apart on both sides of a gap', async () => {
    const { files, heads } = logOf([3, 3, 3])
    const given = [files[0] ?? [], files[2] ?? []]
    const verdict = await check(given, [
      checkpointOf(heads[1] ?? { seq: 0, hash: '' }),
      checkpointOf(heads[7] ?? { seq: 0, hash: '' }),
    ])
    expect(verdict.anchored).toEqual([
      { from: 1, to: 2 },
      { from: 7, to: 8 },
    ])
    expect(verdict.unanchored).toEqual([
      { from: 3, to: 3 },
      { from: 9, to: 9 },
    ])
  })
})

/** Of all lines, in their order. */
function hashesOf(files: readonly (readonly string[])[]): string[] {
  return files.flat().map((line) => String((JSON.parse(line) as Record<string, unknown>)['hash']))
}
