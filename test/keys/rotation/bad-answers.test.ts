// What Devin, the disk and the inventory may answer while a key is rotated: each is told in a sentence, and nothing is lost.

import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadCatalogue } from '../../../src/catalogue/load.ts'
import type { Catalogue } from '../../../src/catalogue/catalogue.ts'
import type { KeyHandle } from '../../../src/keys/key.ts'
import { createDevinKeys, DevinFault, type AskDevin, type DevinAnswer } from '../../../src/keys/rotation/devin-keys.ts'
import { journalFile, readJournal, readJournals, writeJournal } from '../../../src/keys/rotation/journal.ts'
import { chooseRotating, newRotation, prepareRotation, type PrepareParts } from '../../../src/keys/rotation/prepare.ts'
import { fingerprintOf, type Rotation } from '../../../src/keys/rotation/rotation.ts'
import { createRotations, type RotationsOptions } from '../../../src/keys/rotation/service.ts'
import { Secret } from '../../../src/keys/secret.ts'
import { enterpriseKeyOf } from '../../support/policies.ts'
import { origin, rotating, simulateDevin } from './simulated-devin.ts'

const { signal } = new AbortController()
const oldValue = 'cog_old-value-0123456789abcdef'
const secret = (text: string): Secret => new Secret(text, origin)

describe('an answer of Devin', () => {
  const answering = (answer: Partial<DevinAnswer> & { text?: string }) =>
    createDevinKeys(
      () => Promise.resolve({ status: 200, waitMs: 0, body: Buffer.from(answer.text ?? '{}'), ...answer }),
      () => rotating,
    )
  const faultOf = async (work: Promise<unknown>): Promise<DevinFault> => {
    const error: unknown = await work.then(
      () => null,
      (reason: unknown) => reason,
    )
    if (!(error instanceof DevinFault)) throw new Error('it was taken')
    return error
  }

  test.each([
    ['without a value', { text: '{"api_key_id":"api-key-1"}' }, 'unreadable'],
    ['with an empty value', { text: '{"api_key_id":"api-key-1","token":""}' }, 'unreadable'],
    ['that is no JSON', { text: '<html>cog_secret-in-a-page</html>' }, 'unreadable'],
    ['that is a list', { text: '[]' }, 'unreadable'],
    ['with 401', { status: 401 }, 'rejected'],
    ['with 403', { status: 403 }, 'denied'],
    ['with 404', { status: 404 }, 'absent'],
    ['with 429', { status: 429, waitMs: 7_000 }, 'throttled'],
    ['with 500', { status: 500 }, 'unavailable'],
    ['with 503', { status: 503 }, 'unavailable'],
    ['with a redirect', { status: 302 }, 'unreadable'],
  ] as const)('to a creation %s is a fault of its kind, without a word of its body', async (_what, answer, kind) => {
    const fault = await faultOf(answering(answer).create('user', 'name', null, signal))
    expect(fault.kind).toBe(kind)
    expect(fault.message).not.toContain('cog_')
    expect(fault.waitMs).toBe('waitMs' in answer ? answer.waitMs : 0)
  })

  test.each([
    ['of which more follows', '{"items":[],"has_next_page":true}'],
    ['without items', '{"has_next_page":false}'],
    ['of a key without an id', '{"items":[{"is_active":true}],"has_next_page":false}'],
    ['of a key that does not say whether it is active', '{"items":[{"api_key_id":"a"}],"has_next_page":false}'],
  ])('with a list %s is not taken for a whole one', async (_what, text) => {
    expect((await faultOf(answering({ text }).active('user', signal))).kind).toBe('unreadable')
  })

  test.each(['pat_user', 'devin_brain', undefined])('that says %s is no key of a service user', async (type) => {
    const text = JSON.stringify({ principal_type: type, service_user_id: 'a', user_id: 'b' })
    expect((await faultOf(answering({ text }).self(rotating, signal))).kind).toBe('unreadable')
  })

  test.each([404, 409])('with %s to a revocation says that it is done', async (status) => {
    await answering({ status }).revoke('user', 'api-key-1', signal)
  })
})

describe('what is looked at before a rotation begins', () => {
  let catalogue: Catalogue
  beforeAll(async () => {
    ;({ catalogue } = await loadCatalogue({ stability: ['stable', 'beta'], files: [] }))
  })
  const analytics = enterpriseKeyOf('analytics', { permissions: new Set(['ViewAccountMetrics']) })
  const officer = enterpriseKeyOf('rotator', {
    permissions: new Set(['ManageAccountServiceUsers']),
  })
  const now = Date.UTC(2026, 10, 27)

  function partsOf(devin: ReturnType<typeof simulateDevin>, changes: Partial<PrepareParts> = {}): PrepareParts {
    const ask: AskDevin = devin.ask
    return {
      handle: analytics,
      keys: [analytics, officer],
      operation: (id) => catalogue.operation(id),
      permissions: catalogue.permissions,
      source: {
        place: 'the file /etc/keys/analytics',
        read: () => Promise.resolve({ text: oldValue, version: null }),
        write: () => Promise.resolve(),
      },
      devin: () => createDevinKeys(ask, () => rotating),
      valueInUse: (key) => (key === 'rotator' ? rotating : null),
      unusable: () => null,
      secretOf: secret,
      latest: null,
      oldApiKey: null,
      signal,
      ...changes,
    }
  }

  test('names the key in use where it is the only one, an operator names it, or an earlier rotation created it', async () => {
    const devin = simulateDevin(oldValue, () => now)
    const [only] = devin.keys()
    const first = await prepareRotation(partsOf(devin))
    expect([first.refusals, first.old?.id]).toEqual([[], only?.id])
    const latest = newRotation(first, analytics, null, 'ann', now)
    if (latest === null) throw new Error('refused')
    devin.issue('of somebody')
    const unclear = await prepareRotation(partsOf(devin))
    expect(unclear.refusals).toEqual([
      expect.stringMatching(
        /^the service user analytics has 2 active keys, and Devin does not say which .*--old-key: api-key-/,
      ),
    ])
    expect((await prepareRotation(partsOf(devin, { oldApiKey: only?.id ?? '' }))).old?.id).toBe(only?.id)
    expect((await prepareRotation(partsOf(devin, { oldApiKey: 'api-key-other' }))).refusals).toEqual([
      expect.stringContaining('has no active key api-key-other'),
    ])
    const done: Rotation = {
      ...latest,
      phase: 'done',
      created: [{ apiKeyId: only?.id ?? '', fingerprint: fingerprintOf(secret(oldValue), latest), sealedOld: null }],
    }
    expect((await prepareRotation(partsOf(devin, { latest: done }))).old?.id).toBe(only?.id)
  })

  test('refuses a value of another service user than the inventory says', async () => {
    const devin = simulateDevin(oldValue, () => now)
    const handle = { ...analytics, serviceUser: 'reporting' }
    expect((await prepareRotation(partsOf(devin, { handle }))).refusals).toEqual([
      'its value is a key of the service user analytics, and the inventory says reporting: put the right value into the file /etc/keys/analytics first',
    ])
  })

  test('refuses all at once what is known', async () => {
    const devin = simulateDevin(oldValue, () => now)
    const { refusals } = await prepareRotation(
      partsOf(devin, {
        keys: [analytics],
        valueInUse: () => null,
        source: {
          place: 'the program get-key',
          read: () => Promise.resolve({ text: 'nothing', version: null }),
          write: null,
        },
      }),
    )
    expect(refusals).toEqual([
      expect.stringContaining('the program get-key cannot be written'),
      expect.stringContaining('no enterprise key of the inventory holds the permission ManageAccountServiceUsers'),
      expect.stringContaining('the program get-key does not hold a service-user key'),
    ])
  })

  test.each<[string, Partial<KeyHandle>[], string]>([
    ['the least powerful', [{ permissions: new Set(['ManageAccountServiceUsers', 'ManageBilling']) }], 'rotator'],
    ['one under another name of the permission', [{ permissions: new Set(['ManageServiceUsers']) }], 'rotator'],
  ])('takes %s of the keys that may', (_what, others, chosen) => {
    const keys = [analytics, ...others.map((each) => enterpriseKeyOf('wide', each)), officer]
    const found = chooseRotating({
      handle: analytics,
      keys,
      operation: (id) => catalogue.operation(id),
      permissions: catalogue.permissions,
      unusable: () => null,
    })
    expect(typeof found === 'string' ? found : found.id).toBe(chosen)
  })

  test('takes another key where the least powerful one is to be rotated, and none in place of one that cannot be used', () => {
    const wide = enterpriseKeyOf('wide', { permissions: new Set(['ManageAccountServiceUsers', 'ManageBilling']) })
    const parts = {
      keys: [analytics, officer, wide],
      operation: (id: string) => catalogue.operation(id),
      permissions: catalogue.permissions,
    }
    expect(chooseRotating({ ...parts, handle: officer, unusable: () => null })).toBe(wide)
    expect(
      chooseRotating({
        ...parts,
        handle: analytics,
        unusable: ({ id }) => (id === 'rotator' ? 'it is set-aside' : null),
      }),
    ).toBe('key "rotator", which would rotate it, cannot be used: it is set-aside')
  })
})

describe('the journal', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gateway-journal-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))
  const rotation: Rotation = {
    id: '20261127-0123abcd',
    key: 'analytics',
    serviceUser: 'service-user-1',
    by: 'ann',
    beganAtMs: 1,
    endedAtMs: null,
    phase: 'writing',
    old: { apiKeyId: 'api-key-1', fingerprint: 'f' },
    created: [{ apiKeyId: 'api-key-2', fingerprint: 'g', sealedOld: 'h' }],
    fresh: null,
    lifetimeMs: null,
    reason: null,
    fault: { atMs: 2, text: 'sealed' },
    failures: 1,
    notes: [{ atMs: 1, text: 'begun' }],
  }

  test('gives back what was written, and nothing where nothing was', async () => {
    expect(await readJournal(folder, 'analytics')).toBeNull()
    await writeJournal(folder, rotation)
    expect(await readJournal(folder, 'analytics')).toEqual(rotation)
    expect(await readJournals(folder)).toEqual([rotation])
    expect(await readdir(folder)).toEqual(['analytics.rotation.json'])
  })

  test.each([
    ['no JSON', () => '{'],
    ['another form', (text: string) => text.replace('"form": 1', '"form": 2')],
    ['another key', (text: string) => text.replace('"key": "analytics"', '"key": "other"')],
    ['an unknown step', (text: string) => text.replace('"phase": "writing"', '"phase": "thinking"')],
    ['a created key without fingerprint', (text: string) => text.replace('"fingerprint": "g",', '')],
    ['no old key', (text: string) => text.replace('"apiKeyId": "api-key-1",', '')],
  ])('with %s is not guessed at', async (_what, change) => {
    await writeJournal(folder, rotation)
    const file = journalFile(folder, 'analytics')
    await writeFile(file, change(await readFile(file, 'utf8')))
    await expect(readJournal(folder, 'analytics')).rejects.toThrow(
      `${file} is no journal that this version can read: repair it`,
    )
    expect(await readJournals(folder)).toEqual([])
  })

  test.each(['revoking', 'creating', 'trying'] as const)(
    'without the old value, in step "%s", has no way back, whoever asks',
    async (phase) => {
      const created = rotation.created.map((each) => ({ ...each, sealedOld: null }))
      await writeJournal(folder, { ...rotation, phase, created })
      const rotations = createRotations({
        folder,
        keys: () => [enterpriseKeyOf('analytics', {})],
        lock: () => Promise.resolve(() => Promise.resolve()),
        lease: null,
      } as unknown as RotationsOptions)
      await expect(rotations.undo({ key: 'analytics', by: 'ann' })).rejects.toThrow(
        'the old key api-key-1 is being revoked, which cannot be undone: finish with --resume',
      )
      expect((await readJournal(folder, 'analytics'))?.phase).toBe(phase)
    },
  )

  test('stays as it was when it cannot be replaced', async () => {
    await writeJournal(folder, rotation)
    const other = join(folder, 'a-file')
    await writeFile(other, '')
    await expect(writeJournal(join(other, 'inside'), rotation)).rejects.toThrow(/analytics\.rotation\.json: /)
    expect(await readJournal(folder, 'analytics')).toEqual(rotation)
  })

  test('stays as it was on a disk that is full', async () => {
    const disk = join(folder, 'disk')
    await mkdir(disk)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', disk], { stdio: 'ignore' })
    } catch {
      // Not allowed here; the seeded runs have a disk that is full at each step.
      return
    }
    try {
      await writeJournal(disk, rotation)
      const large = { ...rotation, notes: Array.from({ length: 400 }, () => ({ atMs: 1, text: 'x'.repeat(200) })) }
      await expect(writeJournal(disk, large)).rejects.toThrow('the disk is full')
      expect(await readJournal(disk, 'analytics')).toEqual(rotation)
      expect(await readdir(disk)).toEqual(['analytics.rotation.json'])
      await writeJournal(disk, { ...rotation, phase: 'trying' })
    } finally {
      execFileSync('umount', [disk])
    }
  })
})
