// Custody of key values: how they are read, replaced, reported as rejected and set aside.

import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { KeyHandle } from '../../src/keys/key.ts'
import { createKeyring, type Keyring, type KeyVersion } from '../../src/keys/keyring.ts'
import { resolveSecrets, type ResolvedSecrets } from '../../src/keys/reading.ts'
import { Secret } from '../../src/keys/secret.ts'
import { keyOf } from '../support/policies.ts'

const origin = 'https://api.corp.example'

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'keyring-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

function envKey(id: string, name = 'KEY'): KeyHandle {
  return keyOf(id, { secret: { env: name } })
}

function fileKey(id: string, file: string): KeyHandle {
  return keyOf(id, { secret: { file } })
}

/** What one reference resolves to: `value: …`, or the message. */
async function resolved(handle: KeyHandle, env: Record<string, string | undefined> = {}): Promise<string> {
  const { values, unresolved } = await resolveSecrets([handle], { env, origin })
  const secret = values.get(handle.id)?.secret
  expect(unresolved).toHaveLength(secret === undefined ? 1 : 0)
  return secret === undefined ? (unresolved[0]?.message ?? '') : `value: ${secret.reveal(origin)}`
}

describe('a secret is read from the environment', () => {
  test('as it stands', async () => {
    expect(await resolved(envKey('a'), { KEY: 'cog_abc' })).toBe('value: cog_abc')
  })

  test.each([
    [{}, 'key "a": the environment variable KEY is not set: it should hold the key'],
    [{ KEY: '' }, 'key "a": the environment variable KEY is empty: it should hold the key'],
    [{ KEY: undefined }, 'key "a": the environment variable KEY is not set: it should hold the key'],
    [
      { KEY: 'cog_abc\n' },
      'key "a": the environment variable KEY does not hold a service-user key: it ends with an empty line; keep the key alone, in one line',
    ],
    [
      { KEY: 'apk_user_needle' },
      'key "a": the environment variable KEY does not hold a service-user key: it is an older API key (apk_…); create a service user at Devin, whose key begins with cog_',
    ],
  ])('or refused with a sentence that holds no part of it: %j', async (env, message) => {
    expect(await resolved(envKey('a'), env)).toBe(message)
  })
})

describe('a secret is read from a file', () => {
  test.each([
    ['cog_abc', 'as it stands'],
    ['cog_abc\n', 'without one final line feed'],
    ['cog_abc\r\n', 'without one final CRLF'],
  ])('%j, %s', async (content) => {
    const file = join(await folder(), 'key')
    await writeFile(file, content)
    expect(await resolved(fileKey('a', file))).toBe('value: cog_abc')
  })

  const form = 'it must be cog_ followed by letters, digits and . _ ~ + / = -'
  test.each([
    ['cog_abc\n\n', 'it ends with an empty line; keep the key alone, in one line'],
    ['cog_abc\r\n\r\n', 'it ends with an empty line; keep the key alone, in one line'],
    ['cog_abc\r', 'it ends with an empty line; keep the key alone, in one line'],
    ['\ncog_abc', 'it begins with white space; remove it'],
    ['cog_abc \n', 'it ends with white space; remove it'],
    ['cog_abc\t', 'it ends with white space; remove it'],
    ['cog_abc\u00A0', 'it ends with white space; remove it'],
    [' cog_abc', 'it begins with white space; remove it'],
    ['cog_needle other', 'it holds white space; remove it'],
    ['\uFEFFcog_abc', 'it begins with a byte order mark; save it as UTF-8 without one'],
    [Buffer.from('cog_needle', 'utf16le'), 'it is not UTF-8 text; save it as UTF-8'],
    ['cog_needle\ncog_other\n', 'it has a second line; keep the key alone, in one line'],
    ['# my key\ncog_needle', 'it has a second line; keep the key alone, in one line'],
    ['\n', 'it holds nothing but white space; put the key in'],
    ['"cog_needle"\n', 'it stands in quotes; remove them'],
    ["'cog_needle'", 'it stands in quotes; remove them'],
    ['Bearer cog_needle', 'it begins with "Bearer"; keep the key alone'],
    ['DEVIN_KEY=cog_needle', 'it begins with a name and "="; keep the key alone'],
    ['export DEVIN_KEY=cog_needle', 'it begins with a name and "="; keep the key alone'],
    [Buffer.from('cog_needle').toString('base64'), 'it is encoded in Base64; put the decoded key in'],
    ['${DEVIN_KEY}', 'it is a placeholder; put the key in'],
    ['<your key>', 'it is a placeholder; put the key in'],
    ['apk_needle', 'it is an older API key (apk_…); create a service user at Devin, whose key begins with cog_'],
    ['cog_', 'it ends behind "cog_"; put the whole key in'],
    ['needle', form],
    ['cog_nee|dle', form],
  ])('and refused when it holds anything else: %j', async (content, fault) => {
    const file = join(await folder(), 'key')
    await writeFile(file, content)
    const message = await resolved(fileKey('a', file))
    expect(message).toBe(`key "a": the file ${file} does not hold a service-user key: ${fault}`)
    expect(message).not.toContain('needle')
  })

  test('and refused when the file is empty, missing, or no file', async () => {
    const path = await folder()
    await writeFile(join(path, 'empty'), '')
    await mkdir(join(path, 'directory'))
    expect(await resolved(fileKey('a', join(path, 'empty')))).toBe(
      `key "a": the file ${join(path, 'empty')} is empty: it should hold the key`,
    )
    expect(await resolved(fileKey('a', join(path, 'missing')))).toBe(
      `key "a": the file ${join(path, 'missing')} cannot be read: there is no such file`,
    )
    expect(await resolved(fileKey('a', join(path, 'directory')))).toBe(
      `key "a": the file ${join(path, 'directory')} cannot be read: it is a directory`,
    )
  })

  test.skipIf(process.getuid?.() === 0)('and refused when this user may not read it', async () => {
    const file = join(await folder(), 'key')
    await writeFile(file, 'cog_abc')
    await chmod(file, 0o000)
    expect(await resolved(fileKey('a', file))).toBe(
      `key "a": the file ${file} cannot be read: permission denied to this user`,
    )
  })
})

describe('references that cannot be resolved', () => {
  test('are listed all at once, beside those that can', async () => {
    const handles = [envKey('a', 'A'), envKey('b', 'B'), envKey('c', 'C'), fileKey('d', '/nowhere/key')]
    const { values, unresolved } = await resolveSecrets(handles, { env: { A: 'cog_a', B: 'needle' }, origin })
    expect([...values.keys()]).toEqual(['a'])
    expect(unresolved.map(({ handle }) => handle.id)).toEqual(['b', 'c', 'd'])
    expect(inspect(unresolved, { depth: null, showHidden: true })).not.toContain('needle')
  })

  test('never show any part of a value, whatever is wrong with it', async () => {
    for (const value of [
      'cog_needle\n',
      'needle',
      'cog_needle needle',
      'apk_needle',
      'Bearer cog_needle',
      'cog_needle\u0000',
    ]) {
      expect(await resolved(envKey('a'), { KEY: value })).not.toContain('needle')
    }
  })

  test('are not found on the prototype of the environment', async () => {
    expect(await resolved(envKey('a', 'constructor'), {})).toMatch(/^key "a": /)
    expect(await resolved(envKey('a', 'toString'), {})).toMatch(/^key "a": /)
  })
})

describe('every value that is read', () => {
  test('is known to the leak guard before anything can use it, and an invalid value is not', async () => {
    const file = join(await folder(), 'key')
    await writeFile(file, 'cog_file\n')
    const protectedValues: string[] = []
    const handles = [envKey('a', 'A'), fileKey('b', file), envKey('c', 'C'), envKey('d', 'D')]
    const env = { A: 'cog_a', C: 'needle', D: '' }
    const { values } = await resolveSecrets(handles, {
      env,
      origin,
      protect: (value) => void protectedValues.push(value),
    })
    expect(protectedValues).toEqual(['cog_a', 'cog_file'])
    expect([...values.keys()]).toEqual(['a', 'b'])
  })
})

interface Bench {
  readonly keyring: Keyring
  /** Values as they are read and events, in the order they came: `value cog_1`, `key-version a 2`. */
  readonly events: string[]
  readonly env: Record<string, string>
  nowMs: number
  /** Of the clock that nobody sets. */
  monotonicMs: number
}

function bench(env: Record<string, string> = {}): Bench {
  const events: string[] = []
  const own: Bench = {
    events,
    env,
    nowMs: 1_000_000,
    monotonicMs: 500,
    keyring: createKeyring({
      sources: { env, origin, protect: (value) => void events.push(`value ${value}`) },
      now: () => own.nowMs,
      monotonic: () => own.monotonicMs,
      onChange: (event, handle, version) => void events.push(`${event} ${handle.id} ${version}`),
    }),
  }
  return own
}

function adopt(keyring: Keyring, values: Readonly<Record<string, string>>, handles?: readonly KeyHandle[]): void {
  keyring.adopt(handles ?? Object.keys(values).map((id) => envKey(id)), read(values))
}

/** What reading a set has come to. */
function read(values: Readonly<Record<string, string>>): ResolvedSecrets {
  return {
    values: new Map(
      Object.entries(values).map(([id, value]) => [id, { secret: new Secret(value, origin), sourceVersion: null }]),
    ),
    away: new Map(),
  }
}

function opened(keyring: Keyring, handle = envKey('a')): KeyVersion {
  const version = keyring.open(handle)
  if (typeof version === 'string') throw new Error(`key ${handle.id} is ${version}`)
  return version
}

/** `a 1 ready` for each key. */
function states(keyring: Keyring): string[] {
  return keyring.status().map(({ handle, version, state }) => `${handle.id} ${version} ${state}`)
}

describe('the keyring', () => {
  test('opens the values it adopted, from version 1, and has none of keys it does not know', () => {
    const { keyring, events } = bench()
    expect(keyring.open(envKey('a'))).toBe('replaced')
    expect(keyring.status()).toEqual([])
    adopt(keyring, { a: 'cog_1' })
    expect(opened(keyring)).toMatchObject({ version: 1, handle: { id: 'a' } })
    expect(opened(keyring).secret.reveal(origin)).toBe('cog_1')
    expect(keyring.open(envKey('b'))).toBe('replaced')
    expect(events).toEqual([])
  })

  test('tells once of a set that is adopted, and of each value that is found new later', async () => {
    const { keyring } = bench()
    const told: number[] = []
    keyring.whenChanged(() => void told.push(keyring.versions().length))
    adopt(keyring, { a: 'cog_1', b: 'cog_2', c: 'cog_3' })
    expect(told).toEqual([3])
    adopt(keyring, { a: 'cog_4', b: 'cog_5', c: 'cog_6' })
    expect(told).toEqual([3, 3])
    const file = join(await folder(), 'key')
    await writeFile(file, 'cog_7', { mode: 0o600 })
    keyring.adopt([fileKey('a', file)], read({ a: 'cog_4' }))
    await keyring.refresh('a')
    expect(opened(keyring, fileKey('a', file)).secret.reveal(origin)).toBe('cog_7')
    expect(told).toEqual([3, 3, 1, 1])
  })

  test('names the first of several keys that have one value', () => {
    const { keyring } = bench()
    adopt(keyring, { a: 'cog_1', b: 'cog_2', c: 'cog_1', d: 'cog_1', e: 'cog_3' })
    expect(keyring.status().map(({ sameValueAs }) => sameValueAs)).toEqual([null, null, 'a', 'a', null])
  })

  test('counts a version only when the value changes', () => {
    const { keyring, events } = bench()
    adopt(keyring, { a: 'cog_1', b: 'cog_9' })
    adopt(keyring, { a: 'cog_1', b: 'cog_9' })
    expect(states(keyring)).toEqual(['a 1 ready', 'b 1 ready'])
    adopt(keyring, { a: 'cog_2', b: 'cog_9' })
    expect(states(keyring)).toEqual(['a 2 ready', 'b 1 ready'])
    expect(events).toEqual(['key-version a 2'])
    expect(keyring.holds(envKey('a'), read({ a: 'cog_2' }))).toBe(true)
    expect(keyring.holds(envKey('a'), read({ a: 'cog_1' }))).toBe(false)
    expect(keyring.holds(envKey('c'), read({ c: 'cog_2' }))).toBe(false)
  })

  test('forgets keys that are gone from the set, and those that came without a value', () => {
    const { keyring } = bench()
    adopt(keyring, { a: 'cog_1', b: 'cog_2' })
    adopt(keyring, { b: 'cog_2' })
    expect(keyring.open(envKey('a'))).toBe('replaced')
    adopt(keyring, {}, [envKey('b')])
    expect(states(keyring)).toEqual([])
  })

  test('takes over what a changed handle says and keeps the version of an unchanged value', () => {
    const { keyring } = bench()
    adopt(keyring, { a: 'cog_1' })
    const changed = keyOf('a', { secret: { env: 'KEY' }, permissions: new Set(['ViewOrgSessions']) })
    adopt(keyring, { a: 'cog_1' }, [changed])
    expect(opened(keyring, changed)).toMatchObject({
      version: 1,
      handle: { permissions: new Set(['ViewOrgSessions']) },
    })
    // A request that was decided before the change may still use it: it is the same key.
    expect(opened(keyring, envKey('a')).version).toBe(1)
  })

  test.each<[string, Partial<KeyHandle>]>([
    ['organization', { organization: 'org-b' }],
    ['scope', { scope: 'enterprise', organization: null }],
    ['secret', { secret: { env: 'OTHER' } }],
    ['secret file', { secret: { file: '/run/secrets/a' } }],
  ])('gives a request decided before the change no value of another key that took the id: another %s', (_, change) => {
    const { keyring } = bench()
    const before = envKey('a')
    const after = { ...before, ...change }
    adopt(keyring, { a: 'cog_1' }, [before])
    adopt(keyring, { a: 'cog_2' }, [after])
    expect(keyring.open(before)).toBe('replaced')
    expect(opened(keyring, after).secret.reveal(origin)).toBe('cog_2')
  })

  test('leaves the versions of requests under way as they were', () => {
    const { keyring } = bench()
    adopt(keyring, { a: 'cog_1' })
    const underWay = opened(keyring)
    adopt(keyring, { a: 'cog_2' })
    expect(underWay.secret.reveal(origin)).toBe('cog_1')
    expect(opened(keyring).secret.reveal(origin)).toBe('cog_2')
  })

  test('remembers when a key was used and which permissions calls needed from it', () => {
    const own = bench()
    adopt(own.keyring, { a: 'cog_1', b: 'cog_2' })
    own.nowMs = 2_000_000
    own.keyring.used(envKey('a'), ['ViewOrgSessions'])
    own.keyring.used(envKey('a'), ['ManageOrgSessions', 'ViewOrgSessions'])
    own.keyring.used(envKey('unknown'), ['ViewOrgSessions'])
    const [a, b] = own.keyring.status()
    expect(a).toMatchObject({ lastUsedAtMs: 2_000_000, loadedAtMs: 1_000_000 })
    expect([...(a?.usedPermissions ?? [])].sort()).toEqual(['ManageOrgSessions', 'ViewOrgSessions'])
    expect(b).toMatchObject({ lastUsedAtMs: null })
    expect(b?.usedPermissions.size).toBe(0)
  })

  test('shows no value in its status', () => {
    const { keyring } = bench()
    adopt(keyring, { a: 'cog_needle' })
    expect(inspect(keyring.status(), { depth: null, showHidden: true })).not.toContain('needle')
    expect(inspect(opened(keyring), { depth: null, showHidden: true })).not.toContain('needle')
    expect(JSON.stringify([keyring.status(), opened(keyring)])).not.toContain('needle')
  })
})

describe('a key that the upstream rejects', () => {
  test('is read again at once, and a rotated value serves the next call', async () => {
    const { keyring, env, events } = bench({ KEY: 'cog_1' })
    adopt(keyring, { a: 'cog_1' })
    const first = opened(keyring)
    env['KEY'] = 'cog_2'
    await keyring.rejected(first)
    expect(opened(keyring).secret.reveal(origin)).toBe('cog_2')
    expect(states(keyring)).toEqual(['a 2 ready'])
    expect(events).toEqual(['value cog_2', 'key-version a 2'])
  })

  test('is read again from its file', async () => {
    const file = join(await folder(), 'key')
    await writeFile(file, 'cog_2\n')
    const { keyring } = bench()
    adopt(keyring, { a: 'cog_1' }, [fileKey('a', file)])
    await keyring.rejected(opened(keyring, fileKey('a', file)))
    expect(opened(keyring, fileKey('a', file)).secret.reveal(origin)).toBe('cog_2')
  })

  test('stays in use as rejected while its value is the same, and is set aside after the third time in a row', async () => {
    const { keyring, events } = bench({ KEY: 'cog_1' })
    adopt(keyring, { a: 'cog_1' })
    for (const state of ['rejected', 'rejected', 'set-aside']) {
      await keyring.rejected(opened(keyring))
      expect(states(keyring)).toEqual([`a 1 ${state}`])
    }
    expect(keyring.open(envKey('a'))).toBe('set-aside')
    expect(events.filter((event) => !event.startsWith('value'))).toEqual([
      'key-rejected a 1',
      'key-rejected a 1',
      'key-set-aside a 1',
    ])
  })

  test('is rejected by a check, which does not count towards setting it aside, until it is accepted', async () => {
    const { keyring, events } = bench({ KEY: 'cog_1' })
    adopt(keyring, { a: 'cog_1' })
    for (let count = 0; count < 4; count += 1) await keyring.rejected(opened(keyring), true)
    expect([states(keyring), events.filter((event) => event.startsWith('key-set'))]).toEqual([['a 1 rejected'], []])
    await keyring.rejected(opened(keyring))
    await keyring.rejected(opened(keyring))
    expect(states(keyring)).toEqual(['a 1 rejected'])
    keyring.accepted(opened(keyring))
    expect(states(keyring)).toEqual(['a 1 ready'])
  })

  test('counts as rejected also when its secret cannot be read any more, and keeps the value it has', async () => {
    const { keyring, events } = bench({})
    adopt(keyring, { a: 'cog_1' })
    await keyring.rejected(opened(keyring))
    expect(states(keyring)).toEqual(['a 1 rejected'])
    expect(opened(keyring).secret.reveal(origin)).toBe('cog_1')
    expect(events).toEqual(['key-rejected a 1'])
  })

  test('is ready again with the first answer that accepts it, and the count starts anew', async () => {
    const { keyring } = bench({ KEY: 'cog_1' })
    adopt(keyring, { a: 'cog_1' })
    await keyring.rejected(opened(keyring))
    await keyring.rejected(opened(keyring))
    keyring.accepted(opened(keyring))
    expect(states(keyring)).toEqual(['a 1 ready'])
    await keyring.rejected(opened(keyring))
    await keyring.rejected(opened(keyring))
    expect(states(keyring)).toEqual(['a 1 rejected'])
  })

  test('is set aside for a minute and tried again, whatever the clock on the wall says; a further rejection sets it aside at once, an acceptance frees it', async () => {
    const own = bench({ KEY: 'cog_1' })
    const { keyring } = own
    adopt(keyring, { a: 'cog_1' })
    const version = opened(keyring)
    for (let time = 0; time < 3; time += 1) await keyring.rejected(version)
    own.monotonicMs += 59_999
    // Setting the clock on the wall ends and prolongs nothing.
    for (const ms of [-3_600_000, 7_200_000]) {
      own.nowMs += ms
      expect(keyring.open(envKey('a'))).toBe('set-aside')
    }
    expect(keyring.open(envKey('a'))).toBe('set-aside')
    own.monotonicMs += 1
    expect(opened(keyring).version).toBe(1)
    expect(states(keyring)).toEqual(['a 1 rejected'])
    await keyring.rejected(version)
    expect(keyring.open(envKey('a'))).toBe('set-aside')
    own.monotonicMs += 60_000
    keyring.accepted(opened(keyring))
    expect(states(keyring)).toEqual(['a 1 ready'])
  })

  test('comes back at once with a new value, also while it is set aside', async () => {
    const { keyring, env } = bench({ KEY: 'cog_1' })
    adopt(keyring, { a: 'cog_1' })
    const version = opened(keyring)
    for (let time = 0; time < 3; time += 1) await keyring.rejected(version)
    adopt(keyring, { a: 'cog_2' })
    expect(states(keyring)).toEqual(['a 2 ready'])
    env['KEY'] = 'cog_2'
    await keyring.rejected(opened(keyring))
    expect(states(keyring)).toEqual(['a 2 rejected'])
  })

  test('does not come back because the policies were loaded again with the same value', async () => {
    const { keyring } = bench({ KEY: 'cog_1' })
    adopt(keyring, { a: 'cog_1' })
    const version = opened(keyring)
    for (let time = 0; time < 3; time += 1) await keyring.rejected(version)
    adopt(keyring, { a: 'cog_1' })
    expect(states(keyring)).toEqual(['a 1 set-aside'])
    expect(keyring.open(envKey('a'))).toBe('set-aside')
  })

  test('touches no other key', async () => {
    const { keyring } = bench({ KEY: 'cog_1' })
    adopt(keyring, { a: 'cog_1', b: 'cog_2' })
    const version = opened(keyring)
    for (let time = 0; time < 3; time += 1) await keyring.rejected(version)
    expect(states(keyring)).toEqual(['a 1 set-aside', 'b 1 ready'])
    expect(opened(keyring, envKey('b')).version).toBe(1)
  })
})

describe('reports that come together', () => {
  test('share one reading and count once', async () => {
    const { keyring, events } = bench({ KEY: 'cog_1' })
    adopt(keyring, { a: 'cog_1' })
    const version = opened(keyring)
    await Promise.all([
      keyring.rejected(version),
      keyring.rejected(version),
      keyring.rejected(version),
      keyring.rejected(version),
    ])
    expect(states(keyring)).toEqual(['a 1 rejected'])
    expect(events).toEqual(['value cog_1', 'key-rejected a 1'])
  })

  test('all wait for the new value', async () => {
    const { keyring, env } = bench({ KEY: 'cog_1' })
    adopt(keyring, { a: 'cog_1' })
    const version = opened(keyring)
    env['KEY'] = 'cog_2'
    const seen = await Promise.all(
      [1, 2, 3].map(async () => {
        await keyring.rejected(version)
        return opened(keyring).version
      }),
    )
    expect(seen).toEqual([2, 2, 2])
  })
})

describe('a report about an older version', () => {
  test('says nothing about the current one', async () => {
    const { keyring, events } = bench({ KEY: 'cog_1' })
    adopt(keyring, { a: 'cog_1' })
    const old = opened(keyring)
    adopt(keyring, { a: 'cog_2' })
    await keyring.rejected(old)
    keyring.accepted(old)
    expect(states(keyring)).toEqual(['a 2 ready'])
    expect(opened(keyring).secret.reveal(origin)).toBe('cog_2')
    expect(events).not.toContain('key-rejected a 2')
  })

  test('does not forgive the current one', async () => {
    const { keyring } = bench({ KEY: 'cog_2' })
    adopt(keyring, { a: 'cog_1' })
    const old = opened(keyring)
    adopt(keyring, { a: 'cog_2' })
    await keyring.rejected(opened(keyring))
    keyring.accepted(old)
    expect(states(keyring)).toEqual(['a 2 rejected'])
  })

  test('about a key that is gone is nothing', async () => {
    const { keyring, events } = bench({ KEY: 'cog_2' })
    adopt(keyring, { a: 'cog_1' })
    const old = opened(keyring)
    adopt(keyring, {})
    await keyring.rejected(old)
    keyring.accepted(old)
    expect(events).toEqual([])
  })

  test('does not count against a value that came into use while the secret was being read again', async () => {
    const { keyring, env, events } = bench({ KEY: 'cog_1' })
    adopt(keyring, { a: 'cog_1' })
    env['KEY'] = 'cog_2'
    const report = keyring.rejected(opened(keyring))
    adopt(keyring, { a: 'cog_2' })
    await report
    expect(states(keyring)).toEqual(['a 2 ready'])
    expect(events).not.toContain('key-rejected a 2')
  })

  test('does not bring an old value back over one that came into use while the secret was being read again', async () => {
    const file = join(await folder(), 'key')
    await writeFile(file, 'cog_1')
    const { keyring, events } = bench()
    adopt(keyring, { a: 'cog_1' }, [fileKey('a', file)])
    const report = keyring.rejected(opened(keyring, fileKey('a', file)))
    // The policies name another file from now on.
    adopt(keyring, { a: 'cog_2' }, [envKey('a')])
    await report
    expect(opened(keyring).secret.reveal(origin)).toBe('cog_2')
    expect(events).toEqual(['key-version a 2', 'value cog_1'])
  })

  test('announces nothing about a key that went while its secret was being read again', async () => {
    const { keyring, env, events } = bench({ KEY: 'cog_1' })
    adopt(keyring, { a: 'cog_1' })
    env['KEY'] = 'cog_2'
    const report = keyring.rejected(opened(keyring))
    adopt(keyring, {})
    await report
    expect(events).toEqual(['value cog_2'])
  })
})
