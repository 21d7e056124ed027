// What the watcher of files reads: only what held still before and was the same afterwards.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { readInOneState, StillChanging, watchFiles, type ReadFiles } from '../../src/runtime/file-watcher.ts'

let directory: string
let one: string
let two: string
/** What is done while the files are read, once each time. */
let during: (() => Promise<void>)[]
const found = new Set<string>()
const taken: { readonly outcome: ReadFiles<string>['outcome']; readonly actor: string; readonly onDemand: boolean }[] =
  []
const closing: (() => void)[] = []

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  directory = await mkdtemp(join(tmpdir(), 'watched-'))
  one = join(directory, 'one')
  two = join(directory, 'two')
  await writeFile(one, 'a')
  await writeFile(two, 'a')
  during = []
  found.clear()
  taken.length = 0
})
afterEach(async () => {
  for (const close of closing.splice(0)) close()
  vi.useRealTimers()
  await rm(directory, { recursive: true, force: true })
})

const watched = {
  files: async () => [one, two],
  found,
  /** One file after the other, as policies are read. */
  read: async () => {
    const first = await readFile(one, 'utf8')
    await during.shift()?.()
    return first + (await readFile(two, 'utf8'))
  },
}

/** Each text of another length: a disk may tell times only roughly. */
async function writeBoth(text: string): Promise<void> {
  await writeFile(one, text)
  await writeFile(two, text)
}

/** Lets time pass as fast as the disk allows. */
async function passTime(isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await vi.advanceTimersByTimeAsync(100)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function inPassingTime<T>(work: Promise<T>): Promise<T> {
  let isOver = false
  const over = (): void => void (isOver = true)
  void work.then(over, over)
  await passTime(() => isOver)
  return await work
}

async function watch(files = watched): Promise<ReturnType<typeof watchFiles<string, string>>> {
  const { signature } = await inPassingTime(readInOneState(files))
  const watcher = watchFiles<string, string>({
    watched: files,
    signature,
    take: (outcome, actor, onDemand) => {
      taken.push({ outcome, actor, onDemand })
      return 'value' in outcome ? outcome.value : 'refused'
    },
    isDeferred: (result) => result === 'later',
  })
  closing.push(() => watcher.close())
  return watcher
}

describe('files that change while they are read', () => {
  test('are read again, at the start', async () => {
    during.push(() => writeBoth('be'))
    expect((await inPassingTime(readInOneState(watched))).outcome).toEqual({ value: 'bebe' })
  })

  test('are read again, on demand', async () => {
    const watcher = await watch()
    during.push(
      () => writeBoth('be'),
      () => writeBoth('sea'),
    )
    expect(await inPassingTime(watcher.reload('somebody'))).toBe('seasea')
    expect(taken).toEqual([{ outcome: { value: 'seasea' }, actor: 'somebody', onDemand: true }])
  })

  test('are read again when the change was found', async () => {
    await watch()
    during.push(() => writeBoth('sea'))
    await writeBoth('be')
    await passTime(() => taken.length > 0)
    expect(taken).toEqual([{ outcome: { value: 'seasea' }, actor: 'file watch', onDemand: false }])
  })

  test.each([
    ['by the watch', () => {}],
    ['on demand', (watcher: Awaited<ReturnType<typeof watch>>) => void watcher.reload('somebody')],
  ])('are not read before they hold still, %s', async (_how, ask) => {
    let [isWritten, wasRead, looks] = [false, false, 0]
    /** They change from one look to the next, and never while they are read: a copy that goes on. */
    const watcher = await watch({
      ...watched,
      files: async () => {
        if (isWritten && !wasRead) await writeBoth('x'.repeat((looks += 1) + 1))
        wasRead = false
        return [one, two]
      },
      read: async () => {
        wasRead = true
        return await watched.read()
      },
    })
    isWritten = true
    ask(watcher)
    await passTime(() => looks > 5)
    expect(taken).toEqual([])
    isWritten = false
    await passTime(() => taken.length > 0)
    const whole = 'x'.repeat(2 * (looks + 1))
    expect(taken[0]?.outcome).toEqual({ value: whole })
  })

  test('refuse nothing of a state that is over', async () => {
    const watcher = await watch()
    during.push(async () => {
      await writeBoth('be')
      throw new Error('half written')
    })
    expect(await inPassingTime(watcher.reload('somebody'))).toBe('bebe')
    expect(taken).toHaveLength(1)
  })

  test('without end are given up, on demand and at the start', async () => {
    const watcher = await watch()
    let count = 0
    during = Array.from({ length: 300 }, () => () => writeBoth('x'.repeat((count += 1))))
    await inPassingTime(watcher.reload('somebody'))
    expect(taken).toMatchObject([{ outcome: { error: expect.any(StillChanging) } }])
    expect((await inPassingTime(readInOneState(watched))).outcome).toMatchObject({ error: expect.any(StillChanging) })
  })
})

test('files that stay as they are are read once, and what was deferred is read again', async () => {
  await watch()
  const values = (): unknown[] => taken.map(({ outcome }) => ('value' in outcome ? outcome.value : null))
  for (const text of ['be', 'sea']) {
    await writeBoth(text)
    await passTime(() => values().includes(text + text))
  }
  let turns = 0
  await passTime(() => (turns += 1) > 50)
  expect(values()).toEqual(['bebe', 'seasea'])
  expect(values()).toEqual(['bebe', 'seasea'])
  await writeFile(one, 'la')
  await writeFile(two, 'ter')
  await passTime(() => taken.length === 4)
  expect(values()).toEqual(['bebe', 'seasea', 'later', 'later'])
})

test('a file that reading finds out about is watched from then on', async () => {
  const secret = join(directory, 'secret')
  await writeFile(secret, 'x')
  during.push(async () => void found.add(secret))
  await watch()
  await writeFile(secret, 'other')
  await passTime(() => taken.length > 0)
  expect(taken).toHaveLength(1)
})
