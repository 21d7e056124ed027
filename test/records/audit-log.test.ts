import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { auditLines } from '../../src/records/audit-tail.ts'
import { AuditEntriesLost, AuditLog } from '../../src/records/audit-log.ts'
import { genesis, segmentEvent, verifyChain } from '../../src/records/chain.ts'
import { freshFolder, linesOf, readJsonLines } from './folder.ts'

const onLinux = it.skipIf(process.platform !== 'linux')

function open(target: string, retryMs = 60_000) {
  const troubles: string[] = []
  let nowMs = Date.UTC(2026, 10, 24, 10)
  const log = new AuditLog({ target, nowMs: () => nowMs++, onTrouble: (text) => troubles.push(text), retryMs })
  return { log, troubles }
}

async function verdictOf(path: string) {
  return verifyChain(auditLines(path))
}

function eventsOf(path: string): unknown[] {
  return readJsonLines(path).map(({ event }) => event)
}

describe('the audit log', () => {
  it('has an entry on the disk when write returns, with folders created', async () => {
    const path = freshFolder()('deep/er/audit.ndjson')
    const { log } = open(path)
    log.write('policy.replaced', 'poller', { revision: 'r1', teams: ['payments'], note: 'zürich "x"\n' })
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
          for (let index = 0; index < entries; index += 1) log.write('event', 'test', { run, index })
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
    first.log.write('long', 'test', { text: Array.from({ length: 90 }, () => 'x'.repeat(4000)) })
    await first.log.close()
    // Whatever piece of it is read first, it is JSON by itself.
    appendFileSync(path, `{"seq":2,"n":${'1'.repeat(200_000)}`)
    const second = open(path)
    second.log.write('start', 'test', {})
    expect(second.log.head().seq).toBe(3)
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 3, tornLines: [2] })
  })

  it('notes a line that a crash cut off, wherever it was cut, and loses nothing', async () => {
    const path = freshFolder()('audit.ndjson')
    const whole = open(path)
    for (const event of ['start', 'reload', 'stop']) whole.log.write(event, 'test', {})
    const text = readFileSync(path, 'utf8')
    const lastStart = text.lastIndexOf('\n', text.length - 2) + 1
    for (let length = lastStart + 1; length < text.length - 1; length += 1) {
      writeFileSync(path, text.slice(0, length))
      const { log, troubles } = open(path)
      log.write('start', 'test', {})
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
    first.log.write('start', 'test', {})
    await first.log.close()
    truncateSync(path, readFileSync(path).length - 1)
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 1 })
    const second = open(path)
    second.log.write('start', 'test', {})
    expect(eventsOf(path)).toEqual(['start', 'start'])
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 2, tornLines: [] })
  })

  it('starts a chain after a file that holds only a line that was cut off', async () => {
    const path = freshFolder()('audit.ndjson')
    writeFileSync(path, '{"seq":1,"ti')
    const { log } = open(path)
    log.write('start', 'test', {})
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
    first.log.write('start', 'test', {})
    await first.log.close()
    const changed = change(readFileSync(path, 'utf8'))
    writeFileSync(path, changed)

    const { log, troubles } = open(path)
    expect(log.healthy()).toBe(false)
    log.write('start', 'test', {})
    expect(log.error()).toBe(
      `the last readable line of ${path} ${problem}; check it with "devin-gateway audit verify" and move the file away`,
    )
    expect(troubles).toHaveLength(1)
    expect(readFileSync(path, 'utf8')).toBe(changed)

    renameSync(path, `${path}.bad`)
    log.reopen()
    expect(log.healthy()).toBe(true)
    expect(eventsOf(path)).toEqual(['start'])
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 1 })
  })

  onLinux('keeps entries in order while the disk is full, and writes them when it is not', async () => {
    const at = freshFolder()
    const path = at('audit.ndjson')
    symlinkSync('/dev/full', path)
    const { log, troubles } = open(path)
    log.write('first', 'test', {})
    expect(log.healthy()).toBe(false)
    expect(log.error()).toBe('ENOSPC')
    log.write('second', 'test', {})
    expect(log.healthy()).toBe(false)
    await expect(log.close()).rejects.toThrow(`2 audit entries could not be written to ${path} (ENOSPC)`)

    rmSync(path)
    log.write('third', 'test', {})
    expect(log.healthy()).toBe(true)
    expect(eventsOf(path)).toEqual(['first', 'second', 'third'])
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 3 })
    expect(troubles).toEqual([
      `audit entries cannot be written to ${path} (ENOSPC); 1 wait in memory`,
      `writing audit entries to ${path} again`,
    ])
    await log.close()
  })

  onLinux('tries again by itself', async () => {
    const path = freshFolder()('audit.ndjson')
    symlinkSync('/dev/full', path)
    const { log } = open(path, 20)
    log.write('first', 'test', {})
    expect(log.healthy()).toBe(false)
    rmSync(path)
    await vi.waitFor(() => expect(log.healthy()).toBe(true), 10_000)
    expect(eventsOf(path)).toEqual(['first'])
    await log.close()
  })

  it('rejects on close with the entries that are in memory only', async () => {
    const at = freshFolder()
    writeFileSync(at('file'), '')
    const { log } = open(at('file/audit.ndjson'))
    log.write('lost', 'test', { n: 1 })
    const error: unknown = await log.close().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(AuditEntriesLost)
    expect(error).toMatchObject({ entries: [{ event: 'lost', details: { n: 1 } }] })
    expect(String(error)).toContain('1 audit entry could not be written')
  })

  it('is unhealthy from the start when the file cannot be opened', () => {
    const at = freshFolder()
    mkdirSync(at('folder'))
    const { log, troubles } = open(at('folder'))
    expect(log.healthy()).toBe(false)
    expect(troubles).toEqual([`audit entries cannot be written to ${at('folder')} (EISDIR); 0 wait in memory`])
  })

  it('begins a new file after a rotation, linked to the old one, without being told', async () => {
    const path = freshFolder()('audit.ndjson')
    const { log } = open(path)
    log.write('start', 'test', {})
    log.write('reload', 'test', {})
    const before = log.head()
    renameSync(path, `${path}.1`)
    log.write('after', 'test', {})
    expect(readJsonLines(path)).toMatchObject([
      { seq: 1, event: segmentEvent, actor: 'gateway', details: { previous_seq: 2, previous_hash: before.hash } },
      { seq: 2, event: 'after' },
    ])
    expect(await verdictOf(`${path}.1`)).toMatchObject({ ok: true, entries: 2, head: before.hash })
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 2 })
    await log.close()
  })

  it('notices a file that was deleted, and one that was emptied', async () => {
    const path = freshFolder()('audit.ndjson')
    const { log } = open(path)
    log.write('one', 'test', {})
    rmSync(path)
    log.write('two', 'test', {})
    expect(existsSync(path)).toBe(true)
    expect(eventsOf(path)).toEqual([segmentEvent, 'two'])
    truncateSync(path)
    log.write('three', 'test', {})
    expect(eventsOf(path)).toEqual([segmentEvent, 'three'])
    expect(await verdictOf(path)).toMatchObject({ ok: true })
    await log.close()
  })

  it('shares a file with another process that takes turns, as in a rolling restart', async () => {
    const path = freshFolder()('audit.ndjson')
    const [old, fresh] = [open(path).log, open(path).log]
    old.write('start', 'old', {})
    fresh.write('start', 'new', {})
    old.write('stop', 'old', {})
    fresh.write('reload', 'new', {})
    expect(readJsonLines(path).map(({ actor, event }) => [actor, event])).toEqual([
      ['old', 'start'],
      ['new', 'start'],
      ['old', 'stop'],
      ['new', 'reload'],
    ])
    expect(await verdictOf(path)).toMatchObject({ ok: true, entries: 4 })
  })

  it('masks secrets in details', async () => {
    const path = freshFolder()('audit.ndjson')
    const { log } = open(path)
    log.write('key.read', 'keyring', {
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
