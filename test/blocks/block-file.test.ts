// The file of blocks: what was written is read again, it is whole whatever happens, and what is no such file refuses the start.

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readBlockFile, writeBlockFile, type KeptBlocks } from '../../src/blocks/block-file.ts'
import { blockKinds, slotOf, type Block } from '../../src/blocks/block.ts'

let folder: string
let file: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gateway-block-file-'))
  file = join(folder, 'state', 'blocks.json')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 12 })
const timeMs = fc.integer({ min: 0, max: 8e15 })
const block: fc.Arbitrary<Block> = fc.record({
  kind: fc.constantFrom(...blockKinds),
  value: fc.oneof(text, fc.constantFrom('__proto__', 'a b', '"', '\n', '\u{1f680}', '\ud800')),
  reason: text,
  note: fc.option(text),
  by: text,
  sinceMs: timeMs,
  untilMs: fc.option(timeMs),
})
const kept: fc.Arbitrary<KeptBlocks> = fc
  .array(fc.tuple(block, fc.boolean()), { maxLength: 6 })
  .map((entries) => entries.map(([each, isUnsent]) => [slotOf(each.kind, each.value), each, isUnsent] as const))
  .map((entries) => {
    const blocks = new Map(entries.map(([slot, each]) => [slot, each]))
    return { blocks, unsent: new Set(entries.flatMap(([slot, , isUnsent]) => (isUnsent ? [slot] : []))) }
  })

const some: Block = { kind: 'app', value: 'bot', reason: 'r', note: null, by: 'b', sinceMs: 1, untilMs: null }
const one: KeptBlocks = { blocks: new Map([['app bot', some]]), unsent: new Set() }

describe('what was written', () => {
  test('is read again, letter by letter', async () => {
    await fc.assert(
      fc.asyncProperty(kept, async (blocks) => {
        await writeBlockFile(file, blocks)
        expect(await readBlockFile(file)).toEqual(blocks)
      }),
      { numRuns: 40 },
    )
  })

  test("is nobody else's to read, and leaves nothing beside it", async () => {
    await writeBlockFile(file, one)
    expect((await stat(file)).mode & 0o007).toBe(0)
    expect(await readdir(join(folder, 'state'))).toEqual(['blocks.json'])
  })

  test('by several at once is whole: it is what one of them wrote', async () => {
    const many = Array.from({ length: 8 }, (_, index) => {
      const blocks = Array.from({ length: 200 }, (_unused, place) => ({ ...some, value: `${index}-${place}` }))
      return { blocks: new Map(blocks.map((each) => [slotOf('app', each.value), each])), unsent: new Set<string>() }
    })
    await Promise.all(many.map((each) => writeBlockFile(file, each)))
    expect(many).toContainEqual(await readBlockFile(file))
  })

  test('is none where nobody was ever blocked', async () => {
    expect(await readBlockFile(join(folder, 'absent.json'))).toBe(null)
  })
})

describe('a file is refused, with what to do,', () => {
  const refusal = /the blocked callers cannot be read: .*Repair the file, or remove it/

  test('that is half written, wherever it breaks off', async () => {
    await writeBlockFile(file, one)
    const whole = await readFile(file)
    const cut = join(folder, 'cut.json')
    // Without its last line break it is whole.
    for (let end = 0; end < whole.length - 1; end += 1) {
      await writeFile(cut, whole.subarray(0, end))
      await expect(readBlockFile(cut), `${end} bytes`).rejects.toThrow(refusal)
    }
  })

  const entry = { kind: 'app', value: 'bot', reason: 'r', note: null, by: 'b', since: 1, until: null }
  test.each<[string, unknown]>([
    ['of a later version', { form: 2, blocks: [entry] }],
    ['of no version', { blocks: [entry] }],
    ['of a version that is no number', { form: '1', blocks: [entry] }],
    ['that is a list', [entry]],
    ['that is nothing', null],
    ['whose blocks are no list', { form: 1, blocks: { 'app bot': entry } }],
    ['without blocks', { form: 1 }],
    ['with a kind that there is not', { form: 1, blocks: [{ ...entry, kind: 'apps' }] }],
    ['with a kind of every object', { form: 1, blocks: [{ ...entry, kind: 'constructor' }] }],
    ['with an entry that is a text', { form: 1, blocks: ['app bot'] }],
    ['with a value that is empty', { form: 1, blocks: [{ ...entry, value: '' }] }],
    ['with a value that is a number', { form: 1, blocks: [{ ...entry, value: 7 }] }],
    ['without a reason', { form: 1, blocks: [{ ...entry, reason: undefined }] }],
    ['with a note that is no text', { form: 1, blocks: [{ ...entry, note: false }] }],
    ['without a beginning', { form: 1, blocks: [{ ...entry, since: undefined }] }],
    ['with an end in words', { form: 1, blocks: [{ ...entry, until: '2026-12-24T18:00:00Z' }] }],
    ['with an end that no clock reaches', { form: 1, blocks: [{ ...entry, until: 1e300 }] }],
    ['without an end, said or not', { form: 1, blocks: [{ ...entry, until: undefined }] }],
  ])('%s', async (_what, content) => {
    const other = join(folder, 'other.json')
    await writeFile(other, JSON.stringify(content))
    await expect(readBlockFile(other)).rejects.toThrow(refusal)
  })

  test('with one bad entry among good ones, which it names: nobody is let in by what cannot be read', async () => {
    const other = join(folder, 'other.json')
    await writeFile(other, JSON.stringify({ form: 1, blocks: [entry, { ...entry, kind: 'ap' }] }))
    await expect(readBlockFile(other)).rejects.toThrow('entry 2 is no block')
  })

  test('that is a folder', async () => {
    await mkdir(join(folder, 'folder.json'))
    await expect(readBlockFile(join(folder, 'folder.json'))).rejects.toThrow(refusal)
  })

  test('of the same caller twice holds its last entry', async () => {
    const other = join(folder, 'other.json')
    await writeFile(other, JSON.stringify({ form: 1, blocks: [entry, { ...entry, until: 9, unsent: true }] }))
    const { blocks, unsent } = (await readBlockFile(other)) ?? { blocks: null, unsent: null }
    expect([...(blocks ?? [])]).toEqual([['app bot', { ...some, untilMs: 9 }]])
    expect([...(unsent ?? [])]).toEqual(['app bot'])
  })
})

describe('where the disk is full', () => {
  test('the file before stays whole, the writer is told, and no half file is left behind', async () => {
    await writeBlockFile(file, one)
    const before = await readFile(file)
    // The disk takes one block of this file and no more.
    const program = `
      import { writeBlockFile } from ${JSON.stringify(fileURLToPath(new URL('../../src/blocks/block-file.ts', import.meta.url)))}
      const block = { kind: 'app', value: 'x'.repeat(9000), reason: 'r', note: null, by: 'b', sinceMs: 1, untilMs: null }
      await writeBlockFile(process.argv[1], { blocks: new Map([['app x', block]]), unsent: new Set() }).then(
        () => console.log('written'),
        (error) => console.log(error.code),
      )`
    const flags = ['--no-warnings', '--input-type=module-typescript', '-e', program, file]
    const command = `ulimit -f 2; exec "$0" "$@"`
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', command, process.execPath, ...flags])
    expect(stdout.trim()).toBe('EFBIG')
    expect(await readFile(file)).toEqual(before)
    expect(await readdir(join(folder, 'state'))).toEqual(['blocks.json'])
  })
})
