// The journal on the disk: it survives a crash at every byte and at every touch of the file system, forgets nothing that was
// promised, and refuses what something else than a crash has done to it.

import { open, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { BookUnavailable, type Book } from '../../src/budgets/book.ts'
import { createBudgets } from '../../src/budgets/budgets.ts'
import { frameOf, readFrames } from '../../src/budgets/frames.ts'
import type { JournalFiles } from '../../src/budgets/journal.ts'
import { budgetOf, folder, journalBook, noon, sumOf } from './books.ts'

const budgets = [budgetOf('acus', 100), budgetOf('sessions', 50)]

/** Reserves an ACU for each id; resolves with those that were granted. */
async function reserveEach(book: Book, ids: readonly string[]): Promise<string[]> {
  const service = createBudgets({ book, now: () => noon })
  const granted: string[] = []
  for (const id of ids) {
    const { reservation } = await service.reserve({ id, organization: 'org-a', bound: 1_000_000, budgets })
    if (reservation !== null) granted.push(id)
  }
  return granted
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `create-${index}`)

async function idsIn(book: Book): Promise<string[]> {
  return (await book.holdings()).map(({ id }) => id).sort()
}

/** Accounts agree with holdings, whatever happened. */
async function expectConsistent(book: Book): Promise<void> {
  const sums = sumOf(await book.holdings())
  for (const [name, account] of await book.accounts([...sums.keys()]))
    expect(account).toMatchObject(sums.get(name) ?? {})
}

describe('the journal', () => {
  test('is the same after a restart, with what was under way unclear', async () => {
    const file = join(await folder(), 'deep', 'budgets.journal')
    const book = journalBook(file)
    const service = createBudgets({ book, now: () => noon })
    await reserveEach(book, names(3))
    const { reservation } = await service.reserve({ id: 'known', organization: 'org-a', bound: 5_000_000, budgets })
    reservation?.opened('abc')
    await service.close()
    await book.close()
    const again = journalBook(file)
    expect(await idsIn(again)).toEqual(['create-0', 'create-1', 'create-2', 'known'])
    expect(await again.findSession('devin-abc')).toMatchObject({ id: 'known', state: 'open', bound: 5_000_000 })
    expect(await again.find('create-0')).toMatchObject({ state: 'unclear' })
    await expectConsistent(again)
    expect(again.troubles).toEqual([])
  })

  test('cut at any byte holds every entry that was whole, and nothing else', async () => {
    const directory = await folder()
    const file = join(directory, 'whole.journal')
    const book = journalBook(file)
    await reserveEach(book, names(2))
    await book.close()
    const whole = await readFile(file)
    const { payloads } = readFrames(whole)
    const ends: number[] = []
    let end = 0
    for (const payload of payloads) ends.push((end += frameOf(payload).length))
    expect(ends.at(-1)).toBe(whole.length)
    const cut = join(directory, 'cut.journal')
    for (let bytes = 0; bytes <= whole.length; bytes++) {
      await writeFile(cut, whole.subarray(0, bytes))
      const again = journalBook(cut, { files: counting(() => {}, false) })
      const frames = ends.filter((each) => each <= bytes).length
      // A new journal appears whole: one without its beginning was not cut by a crash.
      if (frames === 0) {
        await expect(again.ready()).rejects.toThrow('does not begin with a snapshot')
      } else {
        expect(await idsIn(again), `cut at ${bytes}`).toEqual(names(frames - 1))
        expect(again.troubles).toHaveLength(ends.includes(bytes) ? 0 : 1)
      }
      await again.close()
    }
  })

  test('goes on after a torn entry as if it had not been', async () => {
    const file = join(await folder(), 'budgets.journal')
    const book = journalBook(file)
    await reserveEach(book, names(3))
    await book.close()
    await writeFile(file, (await readFile(file)).subarray(0, -5))
    const again = journalBook(file)
    await reserveEach(again, ['later'])
    await again.close()
    expect(await idsIn(journalBook(file))).toEqual(['create-0', 'create-1', 'later'])
  })

  test('damaged in its middle, or not a journal at all, is refused with a sentence and left as it is', async () => {
    const file = join(await folder(), 'budgets.journal')
    const book = journalBook(file)
    await reserveEach(book, names(4))
    await book.close()
    const whole = await readFile(file)
    const damaged = Buffer.from(whole)
    const place = whole.indexOf('create-1')
    damaged.writeUInt8(whole.readUInt8(place) ^ 1, place)
    const texts: readonly (readonly [Buffer | string, RegExp])[] = [
      [damaged, /its bytes from \d+ on are damaged, and whole entries follow them/],
      ['', /does not begin with a snapshot/],
      ['something else\n', /does not begin with a snapshot/],
      [frameOf('{"journal":"another","form":1,"snapshot":{}}'), /not a journal of budgets that this version can read/],
      [frameOf('{"journal":"devin-gateway budgets","form":2}'), /not a journal of budgets that this version can read/],
    ]
    for (const [content, sentence] of texts) {
      await writeFile(file, content)
      const again = journalBook(file)
      await expect(again.ready()).rejects.toThrow(sentence)
      await expect(again.change({ id: 'x', version: 0, after: null, steps: [] })).rejects.toThrow(BookUnavailable)
      await again.close()
      expect(await readFile(file)).toEqual(Buffer.from(content))
    }
  })

  test('belongs to one process, and a lock whose owner was killed is no lock', async () => {
    const file = join(await folder(), 'budgets.journal')
    const book = journalBook(file)
    await book.ready()
    const other = journalBook(file)
    await expect(other.ready()).rejects.toThrow('another process uses it')
    await book.close()
    await other.ready()
    await other.close()
    // What a killed process leaves behind: a socket that nobody listens on.
    await writeFile(`${file}.lock`, '')
    await journalBook(file).ready()
  })

  test('writes what waits together with one sync, and stays small', async () => {
    const file = join(await folder(), 'budgets.journal')
    let syncs = 0
    const files = counting((what) => {
      if (what === 'sync') syncs += 1
    })
    const book = journalBook(file, { files, compactAboveBytes: 20_000 })
    await book.ready()
    const many = createBudgets({ book, now: () => noon })
    const before = syncs
    await Promise.all(
      names(50).map((id) =>
        many.reserve({ id, organization: 'org-a', bound: 1_000_000, budgets: budgets.slice(0, 1) }),
      ),
    )
    expect(syncs - before).toBeLessThan(5)
    for (let round = 0; round < 200; round++) {
      const { reservation } = await many.reserve({ id: `round-${round}`, organization: 'org-a', bound: 1, budgets: [] })
      reservation?.released()
    }
    await many.close()
    await book.close()
    expect((await readFile(file)).length).toBeLessThan(60_000)
    const again = journalBook(file)
    expect(await idsIn(again)).toHaveLength(50)
    await expectConsistent(again)
  })

  test('that fails at any touch of the disk keeps every promise, and loses none when it works again', async () => {
    const directory = await folder()
    for (let failAt = 1; ; failAt++) {
      const file = join(directory, `fail-${failAt}.journal`)
      let touches = 0
      const files = counting(() => {
        touches += 1
        // A crash or a disk that is full: this touch and all that follow fail, until the file is opened anew.
        if (touches >= failAt) throw new Error('the disk failed')
      })
      const broken = journalBook(file, { files, compactAboveBytes: 600 })
      const promised: string[] = []
      for (const id of names(8)) {
        const granted = await reserveEach(broken, [id]).catch((error: unknown) => {
          expect(error).toBeInstanceOf(BookUnavailable)
          return []
        })
        promised.push(...granted)
      }
      await broken.close()
      const again = journalBook(file)
      const kept = await idsIn(again)
      // What was not promised may be there, at most the one entry that was being written.
      expect(kept).toEqual(expect.arrayContaining(promised))
      expect(kept.length).toBeLessThanOrEqual(promised.length + 1)
      await expectConsistent(again)
      await again.close()
      if (touches < failAt) {
        expect(promised).toHaveLength(8)
        expect(failAt).toBeGreaterThan(20)
        return
      }
    }
  })

  test('works again by itself after the disk did not take an entry', async () => {
    const file = join(await folder(), 'budgets.journal')
    let full = false
    const files = counting(() => {
      if (full) throw new Error('ENOSPC: no space left on device')
    })
    const book = journalBook(file, { files })
    await reserveEach(book, ['first'])
    full = true
    await expect(reserveEach(book, ['second'])).rejects.toThrow('no space left on device')
    await expect(reserveEach(book, ['third'])).rejects.toThrow(BookUnavailable)
    full = false
    await reserveEach(book, ['fourth'])
    expect(await idsIn(book)).toEqual(expect.arrayContaining(['first', 'fourth']))
    expect(await idsIn(book)).not.toContain('third')
    await expectConsistent(book)
  })
})

/** The real disk, with a look at every touch of it. */
function counting(touch: (what: 'create' | 'write' | 'sync' | 'rename') => void, syncs = true): JournalFiles {
  return {
    async create(path) {
      touch('create')
      const handle = await open(path, 'w')
      return {
        write: (async (bytes: Buffer, offset: number, length: number, position: number) => {
          touch('write')
          // Never all at once, so that a failure can leave half a frame behind.
          const part = Math.max(1, Math.ceil(length / 2))
          return await handle.write(bytes, offset, part, position)
        }) as typeof handle.write,
        datasync: async () => {
          touch('sync')
          if (syncs) await handle.datasync()
        },
        close: () => handle.close(),
      }
    },
    async read(path) {
      return await readFile(path).catch(() => null)
    },
    async rename(from, to) {
      touch('rename')
      await rename(from, to)
    },
    async syncFolder() {
      touch('sync')
      await Promise.resolve()
    },
  }
}
