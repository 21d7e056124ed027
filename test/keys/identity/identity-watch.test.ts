// When keys are asked who they are, and what follows from the answers. The clock is the test's.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createIdentityWatch, type IdentityWatch, type SelfAnswer } from '../../../src/keys/identity/identity-watch.ts'
import type { KeyHandle } from '../../../src/keys/key.ts'
import type { KeyVersion } from '../../../src/keys/keyring.ts'
import { Secret } from '../../../src/keys/secret.ts'
import { keyOf } from '../../support/policies.ts'

const secret = new Secret('cog_x', 'https://devin.test')
const hour = 3_600_000

function answerOf(serviceUser: string, organization: string | null = 'org-a'): SelfAnswer {
  return { kind: 'identity', identity: { principal: 'service_user', serviceUser, name: null, organization } }
}

let versions: KeyVersion[]
let answers: Map<string, SelfAnswer | (() => Promise<SelfAnswer>)>
let asked: string[]
let events: string[]
let unaskable: Set<string>
let watch: IdentityWatch

function has(...keys: [handle: KeyHandle, version: number][]): void {
  versions = keys.map(([handle, version]) => ({ handle, version, secret }))
}

beforeEach(() => {
  vi.useFakeTimers()
  ;[asked, events, unaskable, answers] = [[], [], new Set(), new Map()]
  has([keyOf('a'), 1], [keyOf('b'), 1])
  watch = createIdentityWatch({
    versions: () => versions,
    mayAsk: ({ id }) => !unaskable.has(id),
    ask: async ({ handle, version }) => {
      asked.push(`${handle.id} ${version}`)
      const answer = answers.get(handle.id) ?? answerOf(`service-user-${handle.id}`)
      return typeof answer === 'function' ? await answer() : answer
    },
    askAccount: ({ serviceUser }) =>
      Promise.resolve({ endsAtMs: serviceUser === 'service-user-a' ? 5 : null, roles: null }),
    onEvent: (event, { handle, version }) => void events.push(`${event} ${handle.id} ${version}`),
    now: Date.now,
    monotonic: Date.now,
    random: () => 0.5,
  })
})

afterEach(() => {
  watch.close()
  vi.useRealTimers()
})

describe('keys are asked', () => {
  test('at the start, and then once an hour', async () => {
    await vi.advanceTimersByTimeAsync(hour)
    expect(asked).toEqual([])
    watch.start()
    await vi.advanceTimersByTimeAsync(0)
    expect([asked, watch.isFirstPassOver, watch.statusOf('a').endsAtMs]).toEqual([['a 1', 'b 1'], true, 5])
    await vi.advanceTimersByTimeAsync(hour - 60_000)
    expect(asked).toHaveLength(2)
    await vi.advanceTimersByTimeAsync(120_000)
    expect(asked).toHaveLength(4)
  })

  test('one at a time, also while new values come', async () => {
    let answer: ((found: SelfAnswer) => void) | undefined
    answers.set('a', () => new Promise((resolve) => (answer = resolve)))
    watch.start()
    has([keyOf('a'), 1], [keyOf('b'), 2])
    watch.follow()
    watch.follow()
    await vi.advanceTimersByTimeAsync(hour)
    expect([asked, watch.isFirstPassOver]).toEqual([['a 1'], false])
    answers.delete('a')
    answer?.(answerOf('service-user-a'))
    await vi.advanceTimersByTimeAsync(0)
    expect(asked).toEqual(['a 1', 'b 2'])
  })

  test('after each new value, at once', async () => {
    watch.start()
    await vi.advanceTimersByTimeAsync(1000)
    has([keyOf('a'), 2], [keyOf('b'), 1])
    watch.follow()
    await vi.advanceTimersByTimeAsync(0)
    expect(asked).toEqual(['a 1', 'b 1', 'a 2'])
  })

  test('not while they must not be sent, and soon afterwards', async () => {
    unaskable.add('a')
    watch.start()
    await vi.advanceTimersByTimeAsync(hour / 2)
    expect(asked).toEqual(['b 1'])
    unaskable.clear()
    await vi.advanceTimersByTimeAsync(20_000)
    expect(asked).toEqual(['b 1', 'a 1'])
  })

  test('while Devin is away one of them after growing waits, and nothing changes', async () => {
    watch.start()
    await vi.advanceTimersByTimeAsync(0)
    answers.set('b', answerOf('service-user-b', null))
    has([keyOf('a'), 1], [keyOf('b'), 2])
    watch.follow()
    await vi.advanceTimersByTimeAsync(0)
    expect(watch.isQuarantined('b', 2)).toBe(true)
    answers = new Map(['a', 'b'].map((id) => [id, { kind: 'away', why: 'no route' }] as const))
    asked.length = 0
    await vi.advanceTimersByTimeAsync(hour * 2)
    // Never both in one go.
    expect(asked.length).toBeGreaterThan(3)
    expect(asked.length).toBeLessThan(20)
    expect([watch.isQuarantined('a', 1), watch.isQuarantined('b', 2)]).toEqual([false, true])
    expect(watch.statusOf('a')).toMatchObject({ trouble: 'no route', identity: { serviceUser: 'service-user-a' } })
    answers.clear()
    await vi.advanceTimersByTimeAsync(hour)
    expect(watch.isQuarantined('b', 2)).toBe(false)
    expect(events).toEqual(['key-quarantined b 2', 'key-released b 2'])
  })
})

describe('a key that is another one than declared', () => {
  test('is quarantined until a new value is the right one', async () => {
    answers.set('a', answerOf('service-user-a', 'org-b'))
    watch.start()
    await vi.advanceTimersByTimeAsync(0)
    expect([watch.isQuarantined('a', 1), watch.isQuarantined('b', 1)]).toEqual([true, false])
    expect(watch.statusOf('a').fault?.kind).toBe('organization')
    await vi.advanceTimersByTimeAsync(hour * 3)
    // Told once.
    expect(events).toEqual(['key-quarantined a 1'])
    answers.delete('a')
    has([keyOf('a'), 2], [keyOf('b'), 1])
    watch.follow()
    await vi.advanceTimersByTimeAsync(0)
    expect(watch.isQuarantined('a', 2)).toBe(false)
  })

  test('is released when the inventory is corrected, and quarantined when it turns wrong, without a question', async () => {
    watch.start()
    await vi.advanceTimersByTimeAsync(0)
    has([keyOf('a', { serviceUser: 'service-user-z' }), 1], [keyOf('b'), 1])
    watch.follow()
    expect(watch.isQuarantined('a', 1)).toBe(true)
    has([keyOf('a', { serviceUser: 'service-user-a' }), 1], [keyOf('b'), 1])
    watch.follow()
    expect(watch.isQuarantined('a', 1)).toBe(false)
    expect([asked.length, events]).toEqual([2, ['key-quarantined a 1', 'key-released a 1']])
  })

  test('is asked anew when the entry stands for another place', async () => {
    answers.set('a', answerOf('service-user-a', 'org-b'))
    watch.start()
    await vi.advanceTimersByTimeAsync(0)
    has([keyOf('a', { organization: 'org-b' }), 1], [keyOf('b'), 1])
    watch.follow()
    await vi.advanceTimersByTimeAsync(0)
    expect([asked, watch.isQuarantined('a', 1)]).toEqual([['a 1', 'b 1', 'a 1'], false])
  })

  test('without a declared service user is told, and stays in use', async () => {
    watch.start()
    await vi.advanceTimersByTimeAsync(0)
    answers.set('a', answerOf('service-user-other'))
    has([keyOf('a'), 2], [keyOf('b'), 1])
    watch.follow()
    await vi.advanceTimersByTimeAsync(hour * 2)
    expect([watch.isQuarantined('a', 2), events]).toEqual([false, ['key-service-user-changed a 2']])
    expect(watch.statusOf('a').changedFrom?.serviceUser).toBe('service-user-a')
    has([keyOf('a', { serviceUser: 'service-user-other' }), 2], [keyOf('b'), 1])
    watch.follow()
    expect(watch.statusOf('a').changedFrom).toBeNull()
  })
})

test('an answer about a value that was replaced meanwhile says nothing of the new one', async () => {
  let answer: ((found: SelfAnswer) => void) | undefined
  answers.set('a', () => new Promise((resolve) => (answer = resolve)))
  watch.start()
  has([keyOf('a'), 2], [keyOf('b'), 1])
  watch.follow()
  answers.delete('a')
  answer?.(answerOf('service-user-a', 'org-b'))
  await vi.advanceTimersByTimeAsync(0)
  expect([watch.isQuarantined('a', 1), watch.isQuarantined('a', 2), events]).toEqual([false, false, []])
  expect(asked).toContain('a 2')
})

test('a rejected key and an answer of another form change nothing and are told', async () => {
  answers.set('a', { kind: 'rejected' }).set('b', { kind: 'unclear', why: 'odd' })
  watch.start()
  await vi.advanceTimersByTimeAsync(0)
  expect([watch.statusOf('a').trouble, watch.statusOf('b').trouble]).toEqual(['Devin rejected the key (401)', 'odd'])
  expect(events).toEqual([])
})
