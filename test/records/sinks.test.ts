import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { verifyChain } from '../support/chain.ts'
import { createSinks, type SinksOptions } from '../../src/records/sinks.ts'
import { recordJson } from '../../src/records/safe-text.ts'
import { startProgram, textOf } from './child.ts'
import { accessEntry, anyAccessEntry, anyDecisionEntry, decisionHead } from './entry.ts'
import { freshFolder, linesOf, readJsonLines } from './folder.ts'

const onLinux = it.skipIf(process.platform !== 'linux')

function open(at: (name: string) => string, options: Partial<SinksOptions> = {}) {
  const troubles: string[] = []
  const sinks = createSinks({
    access: at('access.ndjson'),
    decisions: at('decisions.ndjson'),
    audit: at('audit.ndjson'),
    nowMs: () => Date.UTC(2026, 10, 24, 10),
    onTrouble: (stream, text) => troubles.push(`${stream}: ${text}`),
    pace: { flushMs: 5, retryMs: 20 },
    ...options,
  })
  return { sinks, troubles }
}

function idsOf(path: string): unknown[] {
  return readJsonLines(path).map(({ request_id: id }) => id)
}

function ids(count: number, prefix = 'r'): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`)
}

describe('the streams of records', () => {
  it('give every entry back exactly, whatever text it holds that may be recorded', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyAccessEntry), fc.array(anyDecisionEntry), async (requests, verdicts) => {
        const at = freshFolder()
        const { sinks, troubles } = open(at)
        for (const entry of requests) sinks.access(entry)
        for (const { time, decision_id: id, request_id: request, ended, ...content } of verdicts)
          sinks.decision({ time, decision_id: id, request_id: request, ended }, () => recordJson(content))
        await sinks.close()
        const plain = (entries: readonly unknown[]): unknown => entries.map((entry) => JSON.parse(recordJson(entry)))
        expect(readJsonLines(at('access.ndjson'))).toEqual(plain(requests))
        expect(readJsonLines(at('decisions.ndjson'))).toEqual(plain(verdicts))
        expect(troubles).toEqual([])
      }),
      { numRuns: 30 },
    )
  })

  it('are written soon without being asked', async () => {
    const at = freshFolder()
    const { sinks } = open(at, { access: at('a/b/access.ndjson') })
    sinks.access(accessEntry('r1'))
    await vi.waitFor(() => expect(idsOf(at('a/b/access.ndjson'))).toEqual(['r1']), 10_000)
    await sinks.close()
  })

  it('are in their files when flush returns', async () => {
    const at = freshFolder()
    const { sinks } = open(at, { pace: { flushMs: 600_000 } })
    sinks.access(accessEntry('r1'))
    sinks.decision(decisionHead('r1'), () => '{"effect":"allow"}')
    sinks.flush()
    expect([idsOf(at('access.ndjson')), idsOf(at('decisions.ndjson'))]).toEqual([['r1'], ['r1']])
    await sinks.close()
  })

  it('are complete and in order when close has resolved', async () => {
    const at = freshFolder()
    const { sinks } = open(at)
    for (const id of ids(5000)) sinks.access(accessEntry(id))
    await sinks.close()
    expect(idsOf(at('access.ndjson'))).toEqual(ids(5000))
    expect(sinks.health()).toEqual([
      { stream: 'access', healthy: true, lost: 0, error: null },
      { stream: 'decisions', healthy: true, lost: 0, error: null },
      { stream: 'audit', healthy: true, lost: 0, error: null },
    ])
  })

  it('may share a file, and their lines stay whole', async () => {
    const at = freshFolder()
    const { sinks } = open(at, { decisions: at('access.ndjson') })
    for (const id of ids(1000)) {
      sinks.access(accessEntry(id))
      sinks.decision(decisionHead(id), () => '{"effect":"allow"}')
    }
    await sinks.close()
    expect(idsOf(at('access.ndjson'))).toEqual(ids(1000).flatMap((id) => [id, id]))
  })

  it('refuse an audit file that another stream writes to, by whatever spelling', () => {
    const at = freshFolder()
    expect(() => open(at, { audit: at('x/../access.ndjson') })).toThrow(
      `the audit log needs a file of its own: ${at('access.ndjson')} is also the target of another stream`,
    )
  })

  it('go to a new file after a rotation, with nothing lost and nothing doubled', async () => {
    const at = freshFolder()
    const { sinks } = open(at)
    for (const id of ids(3000, 'a')) sinks.access(accessEntry(id))
    // Some of it is being written just now, some waits.
    for (const name of ['access', 'decisions', 'audit']) renameSync(at(`${name}.ndjson`), at(`${name}.1`))
    sinks.reopen()
    expect(existsSync(at('audit.ndjson'))).toBe(true)
    for (const id of ids(3000, 'b')) sinks.access(accessEntry(id))
    await sinks.close()
    expect([...idsOf(at('access.1')), ...idsOf(at('access.ndjson'))]).toEqual([...ids(3000, 'a'), ...ids(3000, 'b')])
    expect(idsOf(at('access.ndjson')).length).toBeGreaterThan(0)
    expect(linesOf(at('decisions.ndjson'))).toEqual([])
    expect(linesOf(at('audit.ndjson'))).toEqual([])
  })

  it('do not glue a line to half a line that a crash left', async () => {
    const at = freshFolder()
    writeFileSync(at('access.ndjson'), '{"request_id":"r0"}\n{"request_')
    const { sinks } = open(at)
    sinks.access(accessEntry('r1'))
    await sinks.close()
    expect(readFileSync(at('access.ndjson'), 'utf8')).toBe(
      `{"request_id":"r0"}\n{"request_\n${JSON.stringify(accessEntry('r1'))}\n`,
    )
  })

  it('count and report an entry that is no JSON, and do not throw', async () => {
    const at = freshFolder()
    const { sinks, troubles } = open(at)
    sinks.access({ ...accessEntry('r1'), bytes_in: 1n } as never) // against the type, as a defect elsewhere could
    expect(sinks.health()[0]).toEqual({ stream: 'access', healthy: true, lost: 1, error: null })
    expect(troubles).toEqual(['access: an entry could not be written as JSON; 1 are lost since start'])
    await sinks.close()
  })
})

describe('a target that fails', () => {
  onLinux('keeps the entries, and writes them all when the disk has room again', async () => {
    const at = freshFolder()
    symlinkSync('/dev/full', at('access.ndjson'))
    const { sinks, troubles } = open(at)
    for (const id of ids(500)) sinks.access(accessEntry(id))
    await vi.waitFor(
      () => expect(sinks.health()[0]).toEqual({ stream: 'access', healthy: false, lost: 0, error: 'ENOSPC' }),
      10_000,
    )
    for (const id of ids(500, 's')) sinks.access(accessEntry(id))
    rmSync(at('access.ndjson'))
    await vi.waitFor(() => expect(sinks.health()[0]).toMatchObject({ healthy: true, lost: 0 }), 10_000)
    await sinks.close()
    expect(idsOf(at('access.ndjson'))).toEqual([...ids(500), ...ids(500, 's')])
    expect(troubles).toEqual([
      `access: cannot write to ${at('access.ndjson')} (ENOSPC: the disk is full); lines wait in memory and are tried again`,
      `access: writing to ${at('access.ndjson')} again`,
    ])
  })

  onLinux(
    'loses what does not fit into memory, counts it, reports it, and rejects on close with the rest',
    async () => {
      const at = freshFolder()
      symlinkSync('/dev/full', at('decisions.ndjson'))
      const lineLength = JSON.stringify(accessEntry('r0')).length + 1
      const { sinks, troubles } = open(at, {
        access: at('decisions.ndjson'),
        pace: { flushMs: 5, retryMs: 20, maxWaitingBytes: 10 * lineLength },
      })
      for (const id of ids(10)) sinks.access(accessEntry(id))
      sinks.decision(decisionHead('r0'), () => '{"effect":"allow"}')
      sinks.access(accessEntry('r1'))
      expect(sinks.health().map(({ lost }) => lost)).toEqual([1, 1, 0])
      const report = `2 line(s) for ${at('decisions.ndjson')} were lost since start`
      await vi.waitFor(() => expect(troubles.join('\n')).toContain(report), 10_000)
      const ending: unknown = await sinks.close().catch((error: unknown) => error)
      expect(ending).toBeInstanceOf(Error)
      expect(String(ending)).toContain(`10 line(s) could not be written to ${at('decisions.ndjson')} (ENOSPC)`)
    },
  )

  it('shows at once when it cannot be opened, and heals when it can', async () => {
    const at = freshFolder()
    writeFileSync(at('file'), '')
    const { sinks } = open(at, { access: at('file/access.ndjson') })
    expect(sinks.health()[0]).toMatchObject({ healthy: false })
    rmSync(at('file'))
    await vi.waitFor(() => expect(sinks.health()[0]).toMatchObject({ healthy: true }), 10_000)
    sinks.access(accessEntry('r1'))
    await sinks.close()
    expect(idsOf(at('file/access.ndjson'))).toEqual(['r1'])
  })

  it('has nothing to reject on close when nothing was lost', async () => {
    const at = freshFolder()
    writeFileSync(at('file'), '')
    const { sinks } = open(at, { access: at('file/access.ndjson') })
    await sinks.close()
    expect(sinks.health()[0]).toMatchObject({ healthy: false, lost: 0 })
  })

  onLinux('names every stream that could not be saved when close rejects', async () => {
    const at = freshFolder()
    for (const name of ['access', 'decisions', 'audit']) symlinkSync('/dev/full', at(`${name}.ndjson`))
    const { sinks } = open(at)
    sinks.access(accessEntry('r1'))
    sinks.decision(decisionHead('r1'), () => '{"effect":"allow"}')
    expect(await sinks.audit('stop', 'test', {})).toBe(false)
    expect(sinks.auditHealthy()).toBe(false)
    await expect(sinks.close()).rejects.toThrow(
      /access\.ndjson \(ENOSPC\).*decisions\.ndjson \(ENOSPC\).*1 audit entry .*ENOSPC/,
    )
  })
})

describe('a named pipe', () => {
  function readLinkOrNull(path: string): string | null {
    try {
      return readlinkSync(path)
    } catch {
      // The descriptor of the listing itself, which is closed by now.
      return null
    }
  }

  let sawEnd = false
  function readAvailable(descriptor: number): string {
    const buffer = Buffer.alloc(65_536)
    try {
      const bytes = readSync(descriptor, buffer)
      sawEnd ||= bytes === 0
      return buffer.toString('utf8', 0, bytes)
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return ''
      throw error
    }
  }

  onLinux('may be read slowly, be without a reader, and get one again', async () => {
    const at = freshFolder()
    const path = at('access.ndjson')
    execFileSync('mkfifo', [path])
    const { sinks, troubles } = open(at)
    // Without a reader opening it would block the process; it must not.
    expect(sinks.health()[0]).toMatchObject({ healthy: false, error: 'ENXIO' })
    const first = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    await vi.waitFor(() => expect(sinks.health()[0]).toMatchObject({ healthy: true }), 10_000)

    // More than the pipe holds: the rest waits, and that is no trouble.
    for (const id of ids(1000)) sinks.access(accessEntry(id))
    let text = ''
    await vi.waitFor(
      () => {
        text += readAvailable(first)
        expect(text.split('\n')).toHaveLength(1001)
      },
      { timeout: 20_000, interval: 5 },
    )
    expect(sinks.health()[0]).toMatchObject({ healthy: true, lost: 0 })
    expect(troubles.join()).not.toContain('EAGAIN')
    // Closing the pipe in between would have sent an ordinary reader away.
    expect(sawEnd).toBe(false)
    const line = (id: string) => `${JSON.stringify(accessEntry(id))}\n`
    expect(text).toBe(ids(1000).map(line).join(''))

    closeSync(first)
    sinks.access(accessEntry('later'))
    await vi.waitFor(() => expect(sinks.health()[0]).toMatchObject({ healthy: false, lost: 0 }), 10_000)
    const openFiles = () => readdirSync('/proc/self/fd').map((name) => readLinkOrNull(`/proc/self/fd/${name}`))
    await vi.waitFor(() => expect(openFiles()).not.toContain(path), 10_000)
    const second = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    await vi.waitFor(() => expect(readAvailable(second)).toBe(line('later')), 10_000)
    await sinks.close()
    closeSync(second)
  })

  onLinux('does not hold up close when nobody reads it: what is left is counted', async () => {
    const at = freshFolder()
    const path = at('access.ndjson')
    execFileSync('mkfifo', [path])
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const { sinks } = open(at, { pace: { flushMs: 5, retryMs: 20, closeMs: 50 } })
    for (const id of ids(1000)) sinks.access(accessEntry(id))
    const ending: unknown = await sinks.close().catch((error: unknown) => error)
    const [, left] = /(\d+) line\(s\) could not be written to \S+ \(it takes too long\)$/.exec(String(ending)) ?? []
    const whole = readAvailable(reader).split('\n').length - 1
    expect(whole).toBeGreaterThan(0)
    expect(Number(left) + whole).toBe(1000)
    closeSync(reader)
  })
})

describe('standard streams', () => {
  it('take all three streams without mixing lines on a full pipe, and the audit chain is kept there too', async () => {
    const program = startProgram(
      `
      const sinks = open({ pace: { flushMs: 1 } })
      for (let index = 0; index < 3000; index += 1) {
        sinks.access(accessEntry('r' + index))
        if (index % 300 === 299) {
          await new Promise((resolve) => setTimeout(resolve, 5))
          sinks.audit('tick', 'test', { index })
        }
      }
      await sinks.close()
      say(troubles)
    `,
      { throughSlowPipe: true },
    )
    const [out, err] = await Promise.all([textOf(program.stdout), textOf(program.stderr)])
    expect(err).toBe('[]\n')
    const lines = out.split('\n').slice(0, -1)
    const audit = lines.filter((line) => line.startsWith('{"seq":'))
    const requests = lines.filter((line) => !line.startsWith('{"seq":'))
    expect(requests).toEqual(ids(3000).map((id) => JSON.stringify(accessEntry(id))))
    expect(await verifyChain(audit)).toMatchObject({ ok: true, entries: 10 })
  })

  it('keep the entries when the reader has gone, without a throw or a crash', async () => {
    const program = startProgram(`
      const sinks = open({ pace: { flushMs: 1, retryMs: 5 }, audit: 'stderr' })
      sinks.access(accessEntry('r1'))
      await new Promise((resolve) => setTimeout(resolve, 50))
      while (sinks.health()[0].healthy) {
        sinks.access(accessEntry('r2'))
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      for (let index = 0; index < 100; index += 1) sinks.access(accessEntry('r3'))
      const health = sinks.health()[0]
      const ending = await sinks.close().catch((error) => error.message)
      say({ health, troubles: troubles.slice(0, 1), ending })
    `)
    program.stdout.once('data', () => program.stdout.destroy())
    const report = JSON.parse(await textOf(program.stderr)) as { ending: string }
    expect(report).toMatchObject({
      health: { stream: 'access', healthy: false, lost: 0, error: 'EPIPE' },
      troubles: ['access: cannot write to stdout (EPIPE); lines wait in memory and are tried again'],
    })
    expect(report.ending).toMatch(/^1\d\d line\(s\) could not be written to stdout \(EPIPE\)$/)
  })

  it('get what waits when the process exits without closing', async () => {
    const program = startProgram(`
      const sinks = open({ pace: { flushMs: 60_000 } })
      const log = createLog({ level: 'info' })
      for (let index = 0; index < 50; index += 1) sinks.access(accessEntry('r' + index))
      log.error({}, 'going down')
      process.exit(3)
    `)
    const [out, err] = await Promise.all([textOf(program.stdout), textOf(program.stderr)])
    expect(out).toBe(
      ids(50)
        .map((id) => `${JSON.stringify(accessEntry(id))}\n`)
        .join(''),
    )
    expect(JSON.parse(err)).toMatchObject({ level: 'error', msg: 'going down' })
  })

  it('do not keep a process alive', async () => {
    const program = startProgram(`
      const sinks = open({ pace: { flushMs: 60_000 } })
      sinks.access(accessEntry('r1'))
    `)
    expect(await textOf(program.stdout)).toBe(`${JSON.stringify(accessEntry('r1'))}\n`)
  })
})

describe('a disk that takes half a line', () => {
  it('costs no line and cuts none: access goes on in the next file, audit explains the half line', async () => {
    const at = freshFolder()
    // Two blocks of 512 bytes are the largest file this process may write; the signal that comes with it is not for us.
    const program = startProgram(
      `
      process.on('SIGXFSZ', () => {})
      const at = (name) => ${JSON.stringify(`${at('')}/`)} + name
      const { renameSync } = await import('node:fs')
      const sinks = open({ access: at('access'), decisions: at('decisions'), audit: at('audit'), pace: { flushMs: 1, retryMs: 10 } })
      for (let index = 0; index < 2; index += 1) sinks.access(accessEntry('r' + index))
      for (let index = 0; index < 5; index += 1) sinks.audit('event' + index, 'test', {})
      while (sinks.health()[0].healthy) await new Promise((resolve) => setTimeout(resolve, 5))
      const before = sinks.health()
      for (const name of ['access', 'audit']) renameSync(at(name), at(name + '.1'))
      sinks.reopen()
      while (!sinks.health()[0].healthy) await new Promise((resolve) => setTimeout(resolve, 5))
      await sinks.close()
      say(before)
    `,
      { before: 'ulimit -f 2' },
    )
    const report: unknown = JSON.parse(await textOf(program.stderr))
    expect(report).toMatchObject([
      { healthy: false, lost: 0, error: 'EFBIG' },
      { healthy: true },
      { healthy: false, error: 'EFBIG' },
    ])

    const accessBefore = readFileSync(at('access.1'), 'utf8')
    expect(accessBefore).toHaveLength(1024)
    const whole = accessBefore.split('\n').slice(0, -1)
    expect(
      [...whole, ...linesOf(at('access'))].map((line) => (JSON.parse(line) as { request_id: string }).request_id),
    ).toEqual(ids(2))

    const auditBefore = readFileSync(at('audit.1'), 'utf8').split('\n')
    const cut = await verifyChain(auditBefore)
    expect(cut).toMatchObject({ ok: false, problem: expect.stringContaining('is cut off') })
    const events = [...auditBefore.slice(0, -1), ...linesOf(at('audit'))].map(
      (line) => (JSON.parse(line) as { event: string }).event,
    )
    expect(events.filter((event) => event.startsWith('event'))).toEqual(ids(5, 'event'))
    expect(await verifyChain(linesOf(at('audit')))).toMatchObject({ ok: true })
  })

  const subject = ['', 'a', 'aa']
    .map((start) => start + '€'.repeat(400))
    .find((text) => {
      const bytes = Buffer.from(JSON.stringify({ ...accessEntry('r0'), subject: text }))
      return ((bytes[1024] ?? 0) & 0xc0) === 0x80
    })
  const canLift = existsSync('/usr/bin/prlimit')
  it.skipIf(!canLift)(
    'costs nothing when there is room again: both go on at the very byte, inside a character',
    async () => {
      const at = freshFolder()
      const program = startProgram(
        `
      process.on('SIGXFSZ', () => {})
      const at = (name) => ${JSON.stringify(`${at('')}/`)} + name
      const { execFileSync } = await import('node:child_process')
      const sinks = open({ access: at('access'), decisions: at('decisions'), audit: at('audit'), pace: { flushMs: 1, retryMs: 10 } })
      const subject = ${JSON.stringify(subject)}
      for (let index = 0; index < 3; index += 1) sinks.access({ ...accessEntry('r' + index), subject })
      for (let index = 0; index < 5; index += 1) sinks.audit('event' + index, 'test', {})
      while (sinks.health()[0].healthy) await new Promise((resolve) => setTimeout(resolve, 5))
      const before = sinks.health().map(({ healthy }) => healthy)
      execFileSync('/usr/bin/prlimit', ['--pid', String(process.pid), '--fsize=unlimited'])
      while (!sinks.health()[0].healthy || !sinks.auditHealthy()) await new Promise((resolve) => setTimeout(resolve, 5))
      await sinks.close()
      say(before)
    `,
        { before: 'ulimit -S -f 2' },
      )
      expect(JSON.parse(await textOf(program.stderr))).toEqual([false, true, false])
      expect(linesOf(at('access'))).toEqual(ids(3).map((id) => JSON.stringify({ ...accessEntry(id), subject })))
      expect(await verifyChain(linesOf(at('audit')))).toMatchObject({ ok: true, entries: 5, tornLines: [] })
    },
  )
})
