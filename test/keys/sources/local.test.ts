// Secrets that this machine keeps: variables, files, and programs that print them.

import { execFileSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { ExecReference } from '../../../src/config/secret-schema.ts'
import { envSource } from '../../../src/keys/sources/env-source.ts'
import { execSource } from '../../../src/keys/sources/exec-source.ts'
import { fileSource, isBeingWritten } from '../../../src/keys/sources/file-source.ts'
import { createRemoteSources } from '../../../src/keys/sources/open.ts'
import { SourceFault } from '../../../src/keys/sources/source.ts'
import { describeSource } from './contract.ts'

const isRoot = process.getuid?.() === 0
const never = new AbortController().signal

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'source-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

function program(command: readonly string[], changes: Partial<ExecReference> = {}): ExecReference {
  return { command, timeoutMs: 5_000, env: [], refreshMs: 60_000, ...changes }
}

async function messageOf(ask: Promise<unknown>): Promise<string> {
  const error: unknown = await ask.then(
    () => null,
    (reason: unknown) => reason,
  )
  return error instanceof SourceFault ? `${error.kind}: ${error.message}` : String(error)
}

describeSource('a variable', () => {
  const env: Record<string, string | undefined> = {}
  return Promise.resolve({
    source: envSource('KEY', env),
    keep: (text) => Promise.resolve(void (env['KEY'] = text)),
    empty: () => Promise.resolve(void delete env['KEY']),
    forbid: null,
    silence: null,
    refuseWriting: null,
    credentials: [],
  })
})

describeSource('a file', async () => {
  const inside = await folder()
  const file = join(inside, 'key')
  return {
    source: fileSource(file),
    keep: (text) => writeFile(file, `${text}\n`),
    empty: () => rm(file),
    forbid: isRoot ? null : () => chmod(file, 0),
    silence: null,
    // A name so long that the one of a new file beside it is too long.
    async refuseWriting() {
      const long = join(inside, 'k'.repeat(250))
      await rename(file, long)
      await symlink(long, file)
    },
    credentials: [],
  }
})

describeSource('what a program prints', async () => {
  const inside = await folder()
  const file = join(inside, 'kept')
  const script = join(inside, 'print')
  await writeFile(
    script,
    '#!/bin/sh\necho "secret-of-standard-error $(cat "$1")" >&2\n[ -e "$1.hangs" ] && sleep 60\ncat "$1"\n',
    { mode: 0o755 },
  )
  return {
    source: execSource(program([script, file]), process.env),
    keep: (text) => writeFile(file, `${text}\n`),
    empty: () => rm(script),
    forbid: () => chmod(script, 0o600),
    silence: () => writeFile(`${file}.hangs`, ''),
    refuseWriting: null,
    credentials: ['secret-of-standard-error'],
  }
})

describe('a file', () => {
  test('is replaced with its owner, its mode, its link and its final line break as they were, and nothing is left beside it', async () => {
    const inside = await folder()
    await mkdir(join(inside, 'generation'))
    const target = join(inside, 'generation', 'key')
    await writeFile(target, 'cog_1', { mode: 0o640 })
    await symlink(target, join(inside, 'key'))
    const before = await stat(target)
    const source = fileSource(join(inside, 'key'))
    await source.write?.('cog_2', never)
    expect(await readFile(target, 'utf8')).toBe('cog_2')
    expect(await readdir(join(inside, 'generation'))).toEqual(['key'])
    expect((await readdir(inside)).sort()).toEqual(['generation', 'key'])
    const after = await stat(target)
    expect([after.mode, after.uid, after.gid]).toEqual([before.mode, before.uid, before.gid])
    expect(after.ino).not.toBe(before.ino)
    await writeFile(target, 'cog_3\r\n')
    await source.write?.('cog_4', never)
    expect(await readFile(target, 'utf8')).toBe('cog_4\n')
  })

  test('is made for its owner alone where there was none', async () => {
    const file = join(await folder(), 'new')
    await fileSource(file).write?.('cog_1', never)
    expect(await readFile(file, 'utf8')).toBe('cog_1\n')
    expect((await stat(file)).mode % 0o1000).toBe(0o600)
  })

  test('is not replaced once the writer has given up', async () => {
    const inside = await folder()
    const file = join(inside, 'key')
    await writeFile(file, 'cog_1')
    const gone = AbortSignal.abort()
    expect(await messageOf(fileSource(file).write?.('cog_2', gone) ?? Promise.resolve())).toMatch(/^unavailable: /)
    expect(await readFile(file, 'utf8')).toBe('cog_1')
    expect(await readdir(inside)).toEqual(['key'])
  })

  test.each([
    ['a folder', (inside: string) => join(inside, 'sub'), /^wrong: .* it is a directory$/],
    ['missing, with its folder', (inside: string) => join(inside, 'none', 'key'), /^absent: .* there is no such file$/],
  ])('that is %s cannot be written', async (_, place, message) => {
    const inside = await folder()
    await mkdir(join(inside, 'sub'))
    expect(await messageOf(fileSource(place(inside)).write?.('cog_1', never) ?? Promise.resolve())).toMatch(message)
    expect(await readdir(inside)).toEqual(['sub'])
  })

  test('that is no key but a device or a long text is not read to its end', async () => {
    const file = join(await folder(), 'long')
    await writeFile(file, 'cog_needle'.repeat(10_000))
    for (const path of [file, '/dev/zero'])
      expect(await messageOf(fileSource(path).read(never))).toBe(
        `wrong: the file ${path} is too long for a key: it is larger than 64 KiB`,
      )
  })

  test.skipIf(process.platform === 'win32')('that is a pipe is refused, and nobody waits for its writer', async () => {
    const pipe = join(await folder(), 'pipe')
    execFileSync('mkfifo', [pipe])
    expect(await messageOf(fileSource(pipe).read(never))).toContain('cannot be read: it is a pipe; name a file')
  })

  test('that is being written is known by its name, and no other is', () => {
    expect(isBeingWritten('..key.0123456789ab.new')).toBe(true)
    for (const name of ['..limits.yaml', 'key.new', '..key.new', '.key.0123456789ab.new', '..data'])
      expect(isBeingWritten(name)).toBe(false)
  })
})

describe('a program', () => {
  test('gets its arguments as they are written: no shell reads them', async () => {
    const reference = program(['printf', 'cog_%s', '$HOME;`id`*'])
    expect((await execSource(reference, process.env).read(never)).text).toBe('cog_$HOME;`id`*')
  })

  test('gets a few variables, those that are named, and no others', async () => {
    const env = {
      PATH: process.env['PATH'],
      HOME: '/home/x',
      VAULT_TOKEN: 'named',
      ANALYTICS_KEY: 'cog_needle',
      LANG: 'C',
    }
    const source = execSource(program(['env'], { env: ['VAULT_TOKEN', 'MISSING', 'constructor'] }), env)
    const lines = (await source.read(never)).text.split('\n').filter((line) => !/^(_|PWD|SHLVL)=/.test(line))
    expect(lines.sort()).toEqual(['HOME=/home/x', 'LANG=C', `PATH=${process.env['PATH']}`, 'VAULT_TOKEN=named'])
  })

  test('is killed with its children when its time is over', async () => {
    const pid = join(await folder(), 'pid')
    const script = `sleep 300 & echo $! > ${pid}.new; mv ${pid}.new ${pid}; sleep 300`
    const gone = new AbortController()
    const asked = messageOf(execSource(program(['sh', '-c', script]), process.env).read(gone.signal))
    while ((await readFile(pid, 'utf8').catch(() => '')) === '') await new Promise(setImmediate)
    gone.abort()
    expect(await asked).toBe('unavailable: the program sh was stopped')
    await expectGone(Number(await readFile(pid, 'utf8')))
    expect(await messageOf(execSource(program(['sleep', '300'], { timeoutMs: 20 }), process.env).read(never))).toBe(
      'unavailable: the program sleep did not end within 20 ms',
    )
  })

  test('that leaves a child behind is not waited for, and the child ends', async () => {
    const script = 'sleep 300 & echo $! ; exit 0'
    const { text } = await execSource(program(['sh', '-c', script]), process.env).read(never)
    await expectGone(Number(text))
  })

  test.each<[string, readonly string[], string]>([
    [
      'prints without end',
      ['yes', 'cog_needle'],
      'wrong: the program yes printed more than 64 KiB: it should print the key alone',
    ],
    [
      'fails',
      ['sh', '-c', 'echo cog_needle; echo cog_needle >&2; exit 3'],
      "unavailable: the program sh ended with 3; run it by hand, as the gateway's user, to see what it says",
    ],
    [
      'is killed',
      ['sh', '-c', 'kill -9 $$'],
      "unavailable: the program sh was ended by SIGKILL; run it by hand, as the gateway's user, to see what it says",
    ],
    [
      'does not exist',
      ['/nowhere/needle-free'],
      'absent: the program /nowhere/needle-free cannot be run: there is no such program; write its whole path, or put it on PATH',
    ],
    [
      'is no program',
      ['/etc/hostname'],
      'denied: the program /etc/hostname cannot be run: it is no program that this user may run',
    ],
  ])('that %s is a fault that says so', async (_, command, message) => {
    expect(await messageOf(execSource(program(command), process.env).read(never))).toBe(message)
  })

  test('waits for its turn when many are asked, and all get theirs', async () => {
    const remote = createRemoteSources({ env: process.env, monotonic: () => performance.now() })
    const sources = Array.from({ length: 20 }, (_, index) => remote.of({ exec: program(['echo', `cog_${index}`]) }))
    const texts = await Promise.all(sources.map(async (source) => (await source.read(never)).text))
    expect(texts).toEqual(sources.map((_, index) => `cog_${index}`))
  })

  test('that hangs holds others only for as long as it may, and who has waited long enough leaves', async () => {
    const remote = createRemoteSources({ env: process.env, monotonic: () => performance.now() })
    const gone = new AbortController()
    const hanging = Array.from({ length: 8 }, (_, index) =>
      messageOf(remote.of({ exec: program(['sleep', `3${index}`]) }).read(gone.signal)),
    )
    const waiting = remote.of({ exec: program(['echo', 'cog_1']) })
    expect(await messageOf(waiting.read(AbortSignal.timeout(20)))).toBe(
      'unavailable: the program echo was not asked in time: earlier questions are not answered yet',
    )
    const asked = waiting.read(never)
    gone.abort()
    await Promise.all(hanging)
    expect((await asked).text).toBe('cog_1')
  })
})

async function expectGone(pid: number): Promise<void> {
  expect(pid).toBeGreaterThan(1)
  for (let tries = 0; tries < 1000; tries += 1) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    // A zombie that nobody has waited for yet still has its number.
    if ((await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'Z')).includes(') Z')) return
    await new Promise(setImmediate)
  }
  throw new Error(`process ${pid} is still there`)
}
