// The journal on the disk: it survives a crash at every byte and at every touch of the file system, forgets nothing that was
// promised, and refuses what something else than a crash has done to it.

import { open, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { BudgetsUnavailable, type BudgetStore } from '../../src/budgets/budget-store.ts'
import { createBudgets } from '../../src/budgets/budgets.ts'
import { frameOf, readFrames } from '../../src/budgets/file/frames.ts'
import type { JournalFiles } from '../../src/budgets/file/journal.ts'
import { budgetOf, folder, fileStore, noon, sumOf } from './stores.ts'

const budgets = [budgetOf('acus', 100), budgetOf('sessions', 50)]

/** Reserves an ACU for each id; resolves with those that were granted. */
async function reserveEach(budgetStore: BudgetStore, ids: readonly string[]): Promise<string[]> {
  const service = createBudgets({ budgetStore, now: () => noon })
  const granted: string[] = []
  for (const id of ids) {
    const { reservation } = await service.reserve({ id, organization: 'org-a', bound: 1_000_000, budgets })
    if (reservation !== null) granted.push(id)
  }
  return granted
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `create-${index}`)

async function idsIn(budgetStore: BudgetStore): Promise<string[]> {
  return (await budgetStore.reservations()).map(({ id }) => id).sort()
}

/** Accounts agree with reservations, whatever happened. */
async function expectConsistent(budgetStore: BudgetStore): Promise<void> {
  const sums = sumOf(await budgetStore.reservations())
  for (const [name, account] of await budgetStore.accounts([...sums.keys()]))
    expect(account).toMatchObject(sums.get(name) ?? {})
}

describe('the journal', () => {
  test('is the same after a restart, with what was under way unclear', async () => {
    const file = join(await folder(), 'deep', 'budgets.journal')
    const budgetStore = fileStore(file)
    const service = createBudgets({ budgetStore, now: () => noon })
    await reserveEach(budgetStore, names(3))
    const { reservation } = await service.reserve({ id: 'known', organization: 'org-a', bound: 5_000_000, budgets })
    reservation?.opened('abc')
    await service.close()
    await budgetStore.close()
    const again = fileStore(file)
    expect(await idsIn(again)).toEqual(['create-0', 'create-1', 'create-2', 'known'])
    expect(await again.findSession('devin-abc')).toMatchObject({ id: 'known', state: 'open', bound: 5_000_000 })
    expect(await again.find('create-0')).toMatchObject({ state: 'unclear' })
    await expectConsistent(again)
    expect(again.troubles).toEqual([])
  })

  test('cut at any byte holds every entry that was whole, and nothing else', async () => {
    const directory = await folder()
    const file = join(directory, 'whole.journal')
    const budgetStore = fileStore(file)
    await reserveEach(budgetStore, names(2))
    await budgetStore.close()
    const whole = await readFile(file)
    const { payloads } = readFrames(whole)
    const ends: number[] = []
    let end = 0
    for (const payload of payloads) ends.push((end += frameOf(payload).length))
    expect(ends.at(-1)).toBe(whole.length)
    const cut = join(directory, 'cut.journal')
    for (let bytes = 0; bytes <= whole.length; bytes++) {
      await writeFile(cut, whole.subarray(0, bytes))
      const again = fileStore(cut, { files: counting(() => {}, false) })
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
    const budgetStore = fileStore(file)
    await reserveEach(budgetStore, names(3))
    await budgetStore.close()
    await writeFile(file, (await readFile(file)).subarray(0, -5))
    const again = fileStore(file)
    await reserveEach(again, ['later'])
    await again.close()
    expect(await idsIn(fileStore(file))).toEqual(['create-0', 'create-1', 'later'])
  })

  test('damaged in its middle, or not a journal at all, is refused with a sentence and left as it is', async () => {
    const file = join(await folder(), 'budgets.journal')
    const budgetStore = fileStore(file)
    await reserveEach(budgetStore, names(4))
    await budgetStore.close()
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
      const again = fileStore(file)
      await expect(again.ready()).rejects.toThrow(sentence)
      await expect(again.change({ id: 'x', version: 0, after: null, steps: [] })).rejects.toThrow(BudgetsUnavailable)
      await again.close()
      expect(await readFile(file)).toEqual(Buffer.from(content))
    }
  })

  test('that cannot be opened is refused with a sentence, without codes and calls', async () => {
    const place = await folder()
    await writeFile(join(place, 'file'), '')
    const file = join(place, 'file', 'budgets.journal')
    await expect(fileStore(file).ready()).rejects.toThrow(
      new RegExp(
        `^the journal of budgets ${file} cannot be used: ${join(place, 'file')}[^:]*: (?:a part of the path is a file, not a folder|a file of that name is in the way)$`,
      ),
    )
  })

  test('belongs to one process, and a lock whose owner was killed is no lock', async () => {
    const file = join(await folder(), 'budgets.journal')
    const budgetStore = fileStore(file)
    await budgetStore.ready()
    const other = fileStore(file)
    await expect(other.ready()).rejects.toThrow('another process uses it')
    await budgetStore.close()
    await other.ready()
    await other.close()
    // What a killed process leaves behind: a socket that nobody listens on.
    await writeFile(`${file}.lock`, '')
    await fileStore(file).ready()
  })

  test('writes what waits together with one sync, and stays small', async () => {
    const file = join(await folder(), 'budgets.journal')
    let syncs = 0
    const files = counting((what) => {
      if (what === 'sync') syncs += 1
    })
    const budgetStore = fileStore(file, { files, compactAboveBytes: 20_000 })
    await budgetStore.ready()
    const many = createBudgets({ budgetStore, now: () => noon })
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
    await budgetStore.close()
    expect((await readFile(file)).length).toBeLessThan(60_000)
    const again = fileStore(file)
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
      const broken = fileStore(file, { files, compactAboveBytes: 600 })
      const promised: string[] = []
      for (const id of names(8)) {
        const granted = await reserveEach(broken, [id]).catch((error: unknown) => {
          expect(error).toBeInstanceOf(BudgetsUnavailable)
          return []
        })
        promised.push(...granted)
      }
      await broken.close()
      const again = fileStore(file)
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
    const budgetStore = fileStore(file, { files })
    await reserveEach(budgetStore, ['first'])
    full = true
    await expect(reserveEach(budgetStore, ['second'])).rejects.toThrow('no space left on device')
    await expect(reserveEach(budgetStore, ['third'])).rejects.toThrow(BudgetsUnavailable)
    full = false
    await reserveEach(budgetStore, ['fourth'])
    expect(await idsIn(budgetStore)).toEqual(expect.arrayContaining(['first', 'fourth']))
    expect(await idsIn(budgetStore)).not.toContain('third')
    await expectConsistent(budgetStore)
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
