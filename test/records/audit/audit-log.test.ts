import {
  appendFileSync,
  existsSync,
  fstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { auditLines } from '../../../src/records/audit/audit-tail.ts'
import { AuditLog, type AuditLogOptions } from '../../../src/records/audit/audit-log.ts'
import { genesis, segmentEvent } from '../../../src/records/audit/chain.ts'
import { verifyChain } from '../../support/chain.ts'
import { freshFolder, linesOf, readJsonLines } from '../folder.ts'

const onLinux = it.skipIf(process.platform !== 'linux')

function open(target: string, retryMs = 60_000, more: Partial<AuditLogOptions> = {}) {
  const troubles: string[] = []
  let nowMs = Date.UTC(2026, 10, 24, 10)
  const onTrouble = (text: string): unknown => troubles.push(text)
  const log = new AuditLog({ target, nowMs: () => nowMs++, onTrouble, retryMs, ...more })
  return { log, troubles }
}

/** A disk whose syncs end when the test says so. */
function heldDisk() {
  const syncs: { readonly descriptor: number; readonly end: (error?: Error) => void }[] = []
  const sync = (descriptor: number): Promise<void> =>
    new Promise((resolve, reject) =>
      syncs.push({ descriptor, end: (error) => (error === undefined ? resolve() : reject(error)) }),
    )
  return { syncs, sync }
}

/** What a promise has come to once everything that can go on has gone on; undefined while it waits. */
async function stateOf<T>(promise: Promise<T>): Promise<T | undefined> {
  let state: T | undefined
  void promise.then((value) => (state = value))
  await new Promise((resolve) => setImmediate(resolve))
  return state
}

async function verdictOf(path: string) {
  return verifyChain(auditLines(path))
}

function eventsOf(path: string): unknown[] {
  return readJsonLines(path).map(({ event }) => event)
}

describe('the audit log', () => {
  it('has an entry in the file when write returns and on the disk when it resolves, with folders created', async () => {
    const path = freshFolder()('deep/er/audit.ndjson')
    const { log } = open(path)
    await log.write('policy.replaced', 'poller', { revision: 'r1', teams: ['payments'], note: 'zürich "x"\n' })
    const [line] = readJsonLines(path)
    expect(line).toEqual({
      seq: 1,
      time: '2026-11-24T10:00:00.000Z',
      event: 'policy.replaced',
      actor: 'poller',
      details: { revision: 'r1', teams: ['payments'], note: 'zürich "x"\n' },
      previous: genesis,
      hash: log.head().hash,
    })
    expect(log.healthy()).toBe(true)
    await log.close()
  })

  it('continues the chain over restarts, however the entries are spread', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: 5 }), async (runs) => {
        const path = freshFolder()('audit.ndjson')
        for (const [run, entries] of runs.entries()) {
          const { log } = open(path)
          for (let index = 0; index < entries; index += 1) await log.write('event', 'test', { run, index })
          await log.close()
        }
        const total = runs.reduce((sum, entries) => sum + entries, 0)
        expect(await verdictOf(path)).toMatchObject({ ok: true, entries: total, tornLines: [] })
      }),
      { numRuns: 20 },
    )
  })

  it('finds the end of a chain behind a long unfinished tail', async () => {
    const path = freshFolder()('audit.ndjson')
    const first = open(path)
    await first.log.write('long', 'test', { text: Array.from({ length: 90 }, () => 'x'.repeat(4000)) })
    await first.log.close()
    // Whatever piece of it is read first, it is JSON by itself.
    appendFileSync(path, `{"seq":2,"n":${'1'.repeat(200_000)}`)
    const second = open(path)
    await second.log.write('start', 'test', {})
    expect(second.log.head().seq).toBe(3)
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 3, tornLines: [2] })
  })

  it('notes a line that a crash cut off, wherever it was cut, and loses nothing', async () => {
    const path = freshFolder()('audit.ndjson')
    const whole = open(path)
    for (const event of ['start', 'reload', 'stop']) await whole.log.write(event, 'test', {})
    const text = readFileSync(path, 'utf8')
    const lastStart = text.lastIndexOf('\n', text.length - 2) + 1
    for (let length = lastStart + 1; length < text.length - 1; length += 1) {
      writeFileSync(path, text.slice(0, length))
      const { log, troubles } = open(path)
      await log.write('start', 'test', {})
      await log.close()
      expect(readFileSync(path, 'utf8').startsWith(`${text.slice(0, length)}\n`)).toBe(true)
      expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 4, tornLines: [3] })
      const lines = linesOf(path).toSpliced(2, 1)
      expect(lines.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual([
        'start',
        'reload',
        segmentEvent,
        'start',
      ])
      expect(troubles).toEqual([])
    }
  })

  it('takes a last line that lacks only its line feed as written', async () => {
    const path = freshFolder()('audit.ndjson')
    const first = open(path)
    await first.log.write('start', 'test', {})
    await first.log.close()
    truncateSync(path, readFileSync(path).length - 1)
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 1 })
    const second = open(path)
    await second.log.write('start', 'test', {})
    expect(eventsOf(path)).toEqual(['start', 'start'])
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 2, tornLines: [] })
  })

  it('starts a chain after a file that holds only a line that was cut off', async () => {
    const path = freshFolder()('audit.ndjson')
    writeFileSync(path, '{"seq":1,"ti')
    const { log } = open(path)
    await log.write('start', 'test', {})
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 2, tornLines: [1] })
  })

  it.each([
    [
      'was changed',
      (text: string) => text.replace('"actor":"test"', '"actor":"mallory"'),
      'was changed: its hash does not fit what it says',
    ],
    ['is no audit line', (text: string) => `${text}{"level":"info"}\n`, 'is JSON, but no line of an audit log'],
  ])('does not go on after a line that %s, and heals when the file is moved away', async (_name, change, problem) => {
    const path = freshFolder()('audit.ndjson')
    const first = open(path)
    await first.log.write('start', 'test', {})
    await first.log.close()
    const changed = change(readFileSync(path, 'utf8'))
    writeFileSync(path, changed)

    const { log, troubles } = open(path)
    expect(log.healthy()).toBe(false)
    await log.write('start', 'test', {})
    expect(log.error()).toBe(
      `the last readable line of ${path} ${problem}; check it with "devin-gateway audit verify" and move the file away`,
    )
    expect(troubles).toHaveLength(1)
    expect(readFileSync(path, 'utf8')).toBe(changed)

    renameSync(path, `${path}.bad`)
    log.reopen()
    await vi.waitFor(() => expect(log.healthy()).toBe(true), 10_000)
    // It goes on from the last line that was whole.
    expect(eventsOf(path)).toEqual([segmentEvent, 'start'])
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 2 })
  })

  onLinux('keeps entries in order while the disk is full, and writes them when it is not', async () => {
    const at = freshFolder()
    const path = at('audit.ndjson')
    symlinkSync('/dev/full', path)
    const { log, troubles } = open(path)
    await log.write('first', 'test', {})
    expect(log.healthy()).toBe(false)
    expect(log.error()).toBe('ENOSPC')
    await log.write('second', 'test', {})
    expect(log.healthy()).toBe(false)
    await expect(log.close()).rejects.toThrow(`2 audit entries could not be written to ${path} (ENOSPC)`)

    rmSync(path)
    await log.write('third', 'test', {})
    expect(log.healthy()).toBe(true)
    expect(eventsOf(path)).toEqual(['first', 'second', 'third'])
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 3 })
    expect(troubles).toEqual([
      `audit entries cannot be written to ${path} (ENOSPC: the disk is full); 1 waits in memory`,
      `writing audit entries to ${path} again`,
    ])
    await log.close()
  })

  onLinux('tries again by itself', async () => {
    const path = freshFolder()('audit.ndjson')
    symlinkSync('/dev/full', path)
    const { log } = open(path, 20)
    await log.write('first', 'test', {})
    expect(log.healthy()).toBe(false)
    rmSync(path)
    await vi.waitFor(() => expect(log.healthy()).toBe(true), 10_000)
    expect(eventsOf(path)).toEqual(['first'])
    await log.close()
  })

  it('rejects on close while entries are in memory only', async () => {
    const at = freshFolder()
    writeFileSync(at('file'), '')
    const { log } = open(at('file/audit.ndjson'))
    await log.write('lost', 'test', { n: 1 })
    const error: unknown = await log.close().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(Error)
    expect(String(error)).toContain('1 audit entry could not be written')
  })

  it('is unhealthy from the start when the file cannot be opened', () => {
    const at = freshFolder()
    mkdirSync(at('folder'))
    const { log, troubles } = open(at('folder'))
    expect(log.healthy()).toBe(false)
    expect(troubles).toEqual([
      `audit entries cannot be written to ${at('folder')} (EISDIR: it is a directory); 0 wait in memory`,
    ])
  })

  it('begins a new file after a rotation, linked to the old one, without a signal', async () => {
    const path = freshFolder()('audit.ndjson')
    const { log } = open(path)
    await log.write('start', 'test', {})
    await log.write('reload', 'test', {})
    const before = log.head()
    renameSync(path, `${path}.1`)
    await log.write('after', 'test', {})
    expect(readJsonLines(path)).toMatchObject([
      {
        seq: 3,
        event: segmentEvent,
        actor: 'gateway',
        details: { previous_seq: 2, previous_hash: before.hash },
        previous: before.hash,
      },
      { seq: 4, event: 'after' },
    ])
    expect(await verdictOf(`${path}.1`)).toMatchObject({ ok: true, entries: 2, head: before.hash })
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 2 })
    await log.close()
  })

  it('notices a file that was deleted, and one that was emptied, and says so', async () => {
    const path = freshFolder()('audit.ndjson')
    const { log, troubles } = open(path)
    await log.write('one', 'test', {})
    rmSync(path)
    await log.write('two', 'test', {})
    expect(existsSync(path)).toBe(true)
    expect(eventsOf(path)).toEqual([segmentEvent, 'two'])
    truncateSync(path)
    await log.write('three', 'test', {})
    expect(eventsOf(path)).toEqual([segmentEvent, 'three'])
    expect(await verdictOf(path)).toMatchObject({ ok: true })
    expect(troubles).toEqual([
      `${path} was deleted; the chain goes on in a new file under its name`,
      `${path} was cut short by somebody else; audit lines in it are lost`,
    ])
    // A rotation is not worth a word.
    renameSync(path, `${path}.1`)
    log.reopen()
    await log.write('four', 'test', {})
    expect(troubles).toHaveLength(2)
    await log.close()
  })

  it('shares a file with another process that takes turns, as in a rolling restart', async () => {
    const path = freshFolder()('audit.ndjson')
    const [old, fresh] = [open(path).log, open(path).log]
    await old.write('start', 'old', {})
    await fresh.write('start', 'new', {})
    await old.write('stop', 'old', {})
    await fresh.write('reload', 'new', {})
    expect(readJsonLines(path).map(({ actor, event }) => [actor, event])).toEqual([
      ['old', 'start'],
      ['new', 'start'],
      ['old', 'stop'],
      ['new', 'reload'],
    ])
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 4 })
  })

  it('waits for the disk away from the event loop, in order, and says so only when it is done', async () => {
    const path = freshFolder()('audit.ndjson')
    const { sync, syncs } = heldDisk()
    const { log } = open(path, 60_000, { sync })
    const first = log.write('first', 'test', {})
    const second = log.write('second', 'test', {})
    expect(eventsOf(path)).toEqual(['first', 'second'])
    await vi.waitFor(() => expect(syncs).toHaveLength(1), 10_000)
    expect([await stateOf(first), await stateOf(second), log.healthy()]).toEqual([undefined, undefined, true])
    syncs[0]?.end()
    expect([await first, await stateOf(second)]).toEqual([true, undefined])
    await vi.waitFor(() => expect(syncs).toHaveLength(2), 10_000)
    syncs[1]?.end()
    expect(await second).toBe(true)
    expect(syncs).toHaveLength(2)
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 2 })
  })

  it('is unhealthy while the disk takes too long, and says of an entry that it is not there', async () => {
    const { sync, syncs } = heldDisk()
    const { log, troubles } = open(freshFolder()('audit.ndjson'), 60_000, { sync, slowSyncMs: 1 })
    expect(await log.write('first', 'test', {})).toBe(false)
    expect([log.healthy(), troubles.length]).toEqual([false, 1])
    await vi.waitFor(() => expect(syncs).toHaveLength(1), 10_000)
    syncs[0]?.end()
    await vi.waitFor(() => expect([log.healthy(), troubles.length]).toEqual([true, 2]), 10_000)
  })

  it('is unhealthy after a sync that failed, until another one has succeeded in the file opened anew', async () => {
    const path = freshFolder()('audit.ndjson')
    const { sync, syncs } = heldDisk()
    const { log } = open(path, 1, { sync })
    const entries = [log.write('first', 'test', {}), log.write('second', 'test', {})]
    await vi.waitFor(() => expect(syncs).toHaveLength(1), 10_000)
    syncs[0]?.end(new Error('EIO'))
    expect(await entries[0]).toBe(false)
    expect(log.healthy()).toBe(false)
    // What the kernel has forgotten it does not complain of twice: the file is opened anew.
    expect([await entries[1], log.healthy()]).toEqual([false, false])
    await vi.waitFor(() => expect(syncs).toHaveLength(2), 10_000)
    syncs[1]?.end()
    await vi.waitFor(() => expect(log.healthy()).toBe(true), 10_000)
    expect(eventsOf(path)).toEqual(['first', 'second'])
  })

  it('closes a file that was moved away only when it is on the disk', async () => {
    const path = freshFolder()('audit.ndjson')
    const { sync, syncs } = heldDisk()
    const { log } = open(path, 60_000, { sync })
    const before = log.write('before', 'test', {})
    await vi.waitFor(() => expect(syncs).toHaveLength(1), 10_000)
    renameSync(path, `${path}.1`)
    const after = log.write('after', 'test', {})
    await vi.waitFor(() => expect(syncs).toHaveLength(2), 10_000)
    const [old, fresh] = syncs
    expect(fstatSync(old?.descriptor ?? -1).ino).toBe(statSync(`${path}.1`).ino)
    fresh?.end()
    old?.end()
    expect([await before, await after]).toEqual([true, true])
    expect(eventsOf(`${path}.1`)).toEqual(['before'])
    await log.close()
  })

  it('masks secrets in details', async () => {
    const path = freshFolder()('audit.ndjson')
    const { log } = open(path)
    await log.write('key.read', 'keyring', {
      key: 'payments-runner',
      version: 2,
      value: 'cog_abcdef',
      nested: [{ token: 'plain' }],
    })
    expect(readJsonLines(path)).toMatchObject([
      { details: { key: 'payments-runner', version: 2, value: 'cog_[masked]', nested: [{ token: '[redacted]' }] } },
    ])
    await log.close()
  })
})

describe('auditLines', () => {
  it('splits at line feeds only, and gives the last line with or without one', async () => {
    const path = freshFolder()('audit.ndjson')
    for (const end of ['', '\n']) {
      writeFileSync(path, `a\r\nb\u2028c\n\n${'d'.repeat(200_000)}ü${end}`)
      const lines: string[] = []
      for await (const line of auditLines(path)) lines.push(line)
      expect(lines).toEqual(['a\r', 'b\u2028c', '', `${'d'.repeat(200_000)}ü`])
    }
  })
})
