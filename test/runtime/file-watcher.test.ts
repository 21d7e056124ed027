// What the watcher of files reads: only what held still before and was the same afterwards.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type * as timersModule from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { readInOneState, StillChanging, watchFiles, type ReadFiles } from '../../src/runtime/file-watcher.ts'

/** While set, the watcher does not really wait. */
let withoutWaits = false
vi.mock('node:timers/promises', async (original) => {
  const timers = await original<typeof timersModule>()
  return { ...timers, setTimeout: (ms: number) => timers.setTimeout(withoutWaits ? 0 : ms) }
})

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

async function writeBoth(text: string): Promise<void> {
  await writeFile(one, text)
  await writeFile(two, text)
}

async function watch(): Promise<ReturnType<typeof watchFiles<string, string>>> {
  const { signature } = await readInOneState(watched)
  const watcher = watchFiles<string, string>({
    watched,
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
    during.push(() => writeBoth('b'))
    expect((await readInOneState(watched)).outcome).toEqual({ value: 'bb' })
  })

  test('are read again, on demand', async () => {
    const watcher = await watch()
    during.push(
      () => writeBoth('b'),
      () => writeBoth('c'),
    )
    expect(await watcher.reload('somebody')).toBe('cc')
    expect(taken).toEqual([{ outcome: { value: 'cc' }, actor: 'somebody', onDemand: true }])
  })

  test('are read again when the change was found', async () => {
    await watch()
    during.push(() => writeBoth('c'))
    await writeBoth('b')
    await vi.waitUntil(() => taken.length > 0, { timeout: 10_000 })
    expect(taken).toEqual([{ outcome: { value: 'cc' }, actor: 'file watch', onDemand: false }])
  })

  test('refuse nothing of a state that is over', async () => {
    const watcher = await watch()
    during.push(async () => {
      await writeBoth('b')
      throw new Error('half written')
    })
    expect(await watcher.reload('somebody')).toBe('bb')
    expect(taken).toHaveLength(1)
  })

  test('without end are given up, on demand and at the start', async () => {
    withoutWaits = true
    try {
      const watcher = await watch()
      let count = 0
      during = Array.from({ length: 300 }, () => () => writeBoth(String((count += 1))))
      await watcher.reload('somebody')
      expect(taken).toMatchObject([{ outcome: { error: expect.any(StillChanging) } }])
      expect((await readInOneState(watched)).outcome).toMatchObject({ error: expect.any(StillChanging) })
    } finally {
      withoutWaits = false
    }
  })
})

test('files that stay as they are are read once, and what was deferred is read again', async () => {
  await watch()
  const values = (): unknown[] => taken.map(({ outcome }) => ('value' in outcome ? outcome.value : null))
  for (const text of ['b', 'c']) {
    await writeBoth(text)
    await vi.waitUntil(() => values().includes(text + text), { timeout: 10_000 })
  }
  expect(values()).toEqual(['bb', 'cc'])
  await writeFile(one, 'la')
  await writeFile(two, 'ter')
  await vi.waitUntil(() => taken.length === 4, { timeout: 10_000 })
  expect(values()).toEqual(['bb', 'cc', 'later', 'later'])
})

test('a file that reading finds out about is watched from then on', async () => {
  const secret = join(directory, 'secret')
  await writeFile(secret, 'x')
  during.push(async () => void found.add(secret))
  await watch()
  await writeFile(secret, 'other')
  await vi.waitUntil(() => taken.length > 0, { timeout: 10_000 })
  expect(taken).toHaveLength(1)
})
