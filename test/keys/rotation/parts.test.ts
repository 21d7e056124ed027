// What a rotation leans on: the two values of a key, the requests that use them, when keys are due, and what operators may ask.

import { describe, expect, test } from 'vitest'
import { readAsked } from '../../../src/admin/rotations-api.ts'
import { createKeyring, type KeyVersion } from '../../../src/keys/keyring.ts'
import { createAbsentFleet, createLocalFleet, type KeyPeers } from '../../../src/keys/rotation/fleet.ts'
import { dueAtMs, failedBefore, madeAtMs, retryAtMs } from '../../../src/keys/rotation/schedule.ts'
import type { Rotation } from '../../../src/keys/rotation/rotation.ts'
import { Secret } from '../../../src/keys/secret.ts'
import type { RotationPlan } from '../../../src/keys/rotation/prepare.ts'
import { RotationRefused } from '../../../src/keys/rotation/asked.ts'
import { watchSchedule, type ScheduleOptions } from '../../../src/runtime/keys/rotation-schedule.ts'
import { mergeRotations } from '../../../src/workers/merged-keys.ts'
import { keyOf } from '../../support/policies.ts'

const origin = 'https://api.devin.example'
const secret = (text: string): Secret => new Secret(`cog_${text}-0123456789abcdef`, origin)
const [old, fresh] = [secret('old'), secret('fresh')]
const day = 86_400_000

function ringOf(kept: { text: string }) {
  const handle = keyOf('runner', { secret: { file: '/keys/runner' } })
  let monotonicMs = 0
  const keyring = createKeyring({
    sources: {
      env: {},
      origin,
      given: () => ({
        place: 'memory',
        read: () => Promise.resolve({ text: kept.text, version: null }),
        write: null,
      }),
    },
    now: () => 0,
    monotonic: () => monotonicMs,
    onChange: () => {},
  })
  const read = (value: Secret) => ({
    values: new Map([['runner', { secret: value, sourceVersion: null }]]),
    away: new Map(),
  })
  keyring.adopt([handle], read(old))
  const open = (): KeyVersion => {
    const version = keyring.open(handle)
    if (typeof version === 'string') throw new Error(version)
    return version
  }
  const opened = (times: number): Secret[] => Array.from({ length: times }, () => open().secret)
  return {
    keyring,
    handle,
    open,
    opened,
    adopt: (value: Secret): void => keyring.adopt([handle], read(value)),
    holds: (value: Secret): boolean => keyring.holds(handle, read(value)),
    later: (ms: number): void => void (monotonicMs += ms),
  }
}

describe('a key with two values', () => {
  test('holds the new one back, gives it to a share, and then to all, without a gap in the versions', () => {
    const ring = ringOf({ text: '' })
    ring.keyring.hold('runner', fresh)
    ring.adopt(fresh)
    expect(ring.opened(50).every((value) => value === old)).toBe(true)
    expect(ring.holds(fresh)).toBe(true)
    const trial = ring.keyring.tryOut('runner', fresh, 10)
    const versions = Array.from({ length: 100 }, () => ring.open())
    const shared = versions.filter(({ version }) => version === 2)
    expect([versions.length, shared.length]).toEqual([100, 10])
    expect(shared.every((each) => each.secret === fresh)).toBe(true)
    for (const version of shared) ring.keyring.accepted(version)
    expect(trial).toMatchObject({ answered: 10, isRejected: false })
    ring.keyring.use('runner', secret('fresh'))
    expect(ring.open()).toMatchObject({ version: 2 })
    // The same object: connections are kept by it.
    expect(ring.open().secret).toBe(fresh)
  })

  test('stops giving the new one when Devin rejects it, which says nothing of the old one', async () => {
    const ring = ringOf({ text: old.reveal(origin) })
    ring.keyring.hold('runner', fresh)
    const trial = ring.keyring.tryOut('runner', fresh, 1)
    await ring.keyring.rejected(ring.open())
    expect(trial?.isRejected).toBe(true)
    expect(ring.opened(5).every((value) => value === old)).toBe(true)
    expect(ring.keyring.status()[0]?.state).toBe('ready')
  })

  test('takes the new one at once when Devin rejects the old one', async () => {
    const ring = ringOf({ text: fresh.reveal(origin) })
    ring.keyring.hold('runner', fresh)
    await ring.keyring.rejected(ring.open())
    expect(ring.open().secret.equals(fresh)).toBe(true)
  })

  test('is not thrown back by a reading that had begun before, but by one that began a minute later', () => {
    const ring = ringOf({ text: '' })
    ring.keyring.use('runner', fresh)
    ring.adopt(old)
    expect(ring.open().secret).toBe(fresh)
    ring.later(60_001)
    ring.adopt(old)
    expect(ring.open().secret.equals(old)).toBe(true)
  })

  test('seals cursors with the value that other instances have, and opens those of before and after', () => {
    const ring = ringOf({ text: '' })
    ring.keyring.hold('runner', fresh)
    ring.keyring.tryOut('runner', fresh, 1)
    expect(ring.open().sealing?.seal).toBe(old)
    ring.keyring.use('runner', fresh)
    expect(ring.open().sealing).toMatchObject({ seal: old, open: [fresh, old] })
    ring.keyring.release('runner')
    expect(ring.open().sealing).toMatchObject({ seal: fresh, open: [fresh, old] })
  })
})

describe('the requests of a gateway', () => {
  const clock = { now: () => 0, sleep: () => Promise.resolve() }
  const { signal } = new AbortController()

  test('are waited for, here first and then elsewhere, and what is waited for is told once', async () => {
    const ring = ringOf({ text: '' })
    let here = 3
    const answers = ['the others hang', 'the others hang', null]
    const announced: string[] = []
    const peers: KeyPeers = {
      announce: (key) => Promise.resolve(void announced.push(key)),
      waitFor: () => Promise.resolve(answers.shift() ?? null),
      withdraw: (key) => void announced.push(`no more ${key}`),
    }
    const fleet = createLocalFleet({
      key: 'runner',
      keyring: ring.keyring,
      underWay: () => Math.max(0, (here -= 1)),
      peers,
      settleMs: 0,
      clock,
    })
    const told: string[] = []
    await fleet.use(fresh, (text) => void told.push(text), signal)
    fleet.release()
    expect(told).toEqual([
      'it waits: 2 requests with the other value are under way',
      'it waits: 1 request with the other value is under way',
      'it waits: the others hang',
    ])
    expect(announced).toEqual(['runner', 'no more runner'])
    expect(ring.open().secret.equals(fresh)).toBe(true)
  })

  test('that never end hold the old key, and the rotation stops after an hour', async () => {
    const fleet = createLocalFleet({
      key: 'runner',
      keyring: ringOf({ text: '' }).keyring,
      underWay: () => 1,
      peers: null,
      settleMs: 0,
      clock,
    })
    await expect(fleet.use(fresh, () => {}, signal)).rejects.toThrow('after an hour it still waits: 1 request')
  })

  test('elsewhere, of which nobody knows, are given time', async () => {
    const slept: number[] = []
    const counting = { now: () => 0, sleep: (ms: number) => Promise.resolve(void slept.push(ms)) }
    await createAbsentFleet(7_000, counting).use(fresh, () => {}, signal)
    const ring = ringOf({ text: '' })
    const parts = { key: 'runner', keyring: ring.keyring, underWay: () => 0, peers: null, clock: counting }
    await createLocalFleet({ ...parts, settleMs: 9_000 }).use(fresh, () => {}, signal)
    expect(slept).toEqual([7_000, 9_000])
  })
})

describe('the schedule', () => {
  test('is never late, at most a tenth early, and not the same for all keys', () => {
    const due = Array.from({ length: 200 }, (_, index) => dueAtMs(`key-${index}`, 30 * day, 0))
    expect(due.every((at) => at > 27 * day && at <= 30 * day)).toBe(true)
    expect(new Set(due).size).toBeGreaterThan(190)
  })

  const ended = {
    phase: 'done',
    created: [],
    endedAtMs: 5,
    reason: null,
    fault: null,
    failures: 0,
  } as unknown as Rotation
  test.each<[Rotation | null, number | null]>([
    [null, null],
    [ended, 5],
    [{ ...ended, phase: 'undone' }, null],
    [{ ...ended, phase: 'writing' }, null],
  ])('knows how old a key is by its journal: %#', (latest, made) => {
    expect(madeAtMs(latest)).toBe(made)
  })

  test('waits longer after each failure', () => {
    const minutes = [1, 2, 3, 10].map((failures) => retryAtMs({ fault: { text: '', atMs: 0 }, failures }) / 60_000)
    expect(minutes).toEqual([5, 10, 20, 360])
    expect(retryAtMs(failedBefore({ ...ended, phase: 'undone', reason: 'rejected', failures: 2 }))).toBe(5 + 600_000)
    expect(retryAtMs(failedBefore({ ...ended, phase: 'undone' }))).toBe(0)
  })

  function scheduleOf(changes: Partial<ScheduleOptions['rotations']>) {
    const asked: string[] = []
    const clock = { nowMs: 100 * day }
    const logged: string[] = []
    const measured: object[] = []
    const note = (text: string): void => void logged.push(text)
    const log = { debug() {}, info() {}, warn() {}, error: (_fields: object, text = '') => note(text), close() {} }
    const made = { atMs: 60 * day }
    const schedule = watchSchedule({
      rotations: {
        latest: () => Promise.resolve(null),
        list: () => Promise.resolve([]),
        plan: () =>
          Promise.resolve({ refusals: [], old: { createdAtMs: made.atMs } } as unknown as RotationPlan & {
            handle: ReturnType<typeof keyOf>
            latest: null
          }),
        begin: ({ key, by }) => Promise.resolve(void asked.push(`begin ${key} by ${by}`) as unknown as Rotation),
        resume: ({ key }) => Promise.resolve(void asked.push(`resume ${key}`) as unknown as Rotation),
        whenEnded: () => Promise.resolve(void (made.atMs = clock.nowMs)),
        ...changes,
      },
      keys: () => [
        keyOf('by-hand'),
        keyOf('runner', { rotate: { everyMs: 30 * day, lifetimeMs: null, settleMs: null } }),
      ],
      now: () => clock.nowMs,
      log: log as unknown as ScheduleOptions['log'],
      instruments: { keyRotationStates: (states) => void measured.push(...states) },
    })
    return { schedule, asked, clock, logged, measured }
  }

  test('rotates what is due by Devin, once, and leaves the rest', async () => {
    const { schedule, asked, clock } = scheduleOf({})
    await schedule.lookNow()
    await schedule.lookNow()
    expect(asked).toEqual(['begin runner by schedule'])
    clock.nowMs += 31 * day
    await schedule.lookNow()
    expect(asked).toHaveLength(2)
  })

  test('tells of a key that it may not rotate, and tries again after growing waits', async () => {
    let plans = 0
    const { schedule, clock, logged, measured } = scheduleOf({
      plan: () => {
        plans += 1
        return Promise.reject(new RotationRefused(['the vault is sealed']))
      },
    })
    for (let minute = 0; minute < 60; minute += 1) {
      await schedule.lookNow()
      clock.nowMs += 60_000
    }
    expect(plans).toBe(4)
    expect(logged).toHaveLength(4)
    expect(schedule.notes).toEqual(['key "runner" cannot be rotated: the vault is sealed'])
    expect(measured.at(-1)).toMatchObject({ key: 'runner', isFailing: true })
  })

  test('takes up what has stopped, and says so meanwhile', async () => {
    const stopped = {
      ...ended,
      id: 'r-1',
      key: 'runner',
      phase: 'writing',
      endedAtMs: null,
      fault: { text: 'sealed', atMs: 100 * day },
      failures: 1,
    } as Rotation
    const { schedule, asked, clock } = scheduleOf({
      latest: () => Promise.resolve(stopped),
      list: () => Promise.resolve([{ rotation: stopped, live: false, waiting: null }]),
    })
    await schedule.lookNow()
    expect(asked).toEqual([])
    expect(schedule.notes[0]).toContain('the rotation r-1 of key "runner" has stopped: sealed. Take it up with')
    clock.nowMs += 6 * 60_000
    await schedule.lookNow()
    expect(asked).toEqual(['resume runner'])
  })

  test.each([
    ['creating', 'sealed', ', or go back with --undo'],
    ['settling', 'sealed', ', or go back with --undo'],
    ['revoking', 'sealed', ': its old key is being revoked, so there is no way back'],
    ['revoking', null, ': its old key is being revoked, so there is no way back'],
    // Another new key is made, because the one before was rejected after that.
    ['creating', null, ': its old key is being revoked, so there is no way back'],
    ['undoing', 'sealed', ': it is going back to the old key'],
  ] as const)(
    'offers a way back in step %s with the old value %s only where there is one',
    async (phase, sealedOld, end) => {
      const created = [{ apiKeyId: 'api-key-2', fingerprint: 'f', sealedOld }]
      const rotation: Rotation = { ...ended, id: 'r-1', key: 'runner', phase, created, endedAtMs: null }
      const { schedule } = scheduleOf({
        latest: () => Promise.resolve(rotation),
        list: () => Promise.resolve([{ rotation, live: false, waiting: null }]),
      })
      await schedule.lookNow()
      expect(schedule.notes[0]).toMatch(new RegExp(`--resume"${end}$`))
    },
  )
})

describe('what operators ask of the listener', () => {
  test('is read strictly', () => {
    expect(readAsked({ key: 'a', settle: '0s', old_key: 'api-key-1', action: 'plan', by: 'ann' })).toEqual({
      key: 'a',
      action: 'plan',
      by: 'ann',
      oldApiKey: 'api-key-1',
      settleMs: 0,
    })
    expect(readAsked({ key: 'a' })).toMatchObject({ action: 'begin', by: "operators' listener", oldApiKey: null })
  })

  test.each([
    [{}, 'key: name a key of the inventory'],
    [{ key: 1 }, 'key: name a key of the inventory'],
    [{ key: 'a', action: 'force' }, 'action: it is one of begin, resume, undo, plan'],
    [{ key: 'a', by: 1 }, 'by: say who asks'],
    [{ key: 'a', old_key: '' }, 'old_key: name the id'],
    [{ key: 'a', settle: 5 }, 'settle: write it like 30s'],
    [{ key: 'a', value: 'x' }, 'value: there are key, action'],
  ])('%j is refused', (fields, text) => {
    expect(readAsked(fields)).toEqual(expect.stringContaining(text))
  })

  test('of several workers is answered by the one that rotates', () => {
    const row = (key: string, state: string) => ({ key, state })
    const lists = [[row('a', 'stopped'), row('b', 'done')], [row('a', 'running')], []]
    expect(mergeRotations(lists)).toEqual([row('a', 'running'), row('b', 'done')])
  })
})
