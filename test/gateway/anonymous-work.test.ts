// How many requests without a valid token go on, by a clock of the test's own.

import { describe, expect, test, vi } from 'vitest'
import type { RequestContext } from '../../src/gateway/context.ts'
import { createAnonymousRequests, mostTriedAtOnce, mostHeld } from '../../src/gateway/load/anonymous-requests.ts'
import { AnonymousWork } from '../../src/gateway/load/anonymous-work.ts'
import type { ConnectionHistory } from '../../src/gateway/load/connection-history.ts'
import type { Problem } from '../../src/problems.ts'

let nowMs = 0
const now = (): number => nowMs
const from = (address: string): ConnectionHistory => ({
  address,
  isProxy: false,
  failuresInRow: 0,
  wasVerified: false,
})

/** Fails until a bound refuses; how often that was, and the bound. */
function failUntilRefused(work: AnonymousWork, history: () => ConnectionHistory): [number, string | null] {
  for (let count = 0; count < 100_000; count += 1) {
    const each = history()
    const bound = work.exceeded(each)
    if (bound !== null) return [count, bound]
    work.failed(each, false)
  }
  return [100_000, null]
}

describe('the bound of an address', () => {
  test('is a minute’s worth, of which a quarter is kept for connections that have failed twice at most', () => {
    const work = new AnonymousWork({ maxAnonymous: 0, maxAnonymousPerAddress: 1000 }, now)
    const struck = from('a')
    expect(failUntilRefused(work, () => struck)).toEqual([750, 'address'])
    expect(failUntilRefused(work, () => from('a'))).toEqual([250, 'address'])
    expect(work.exceeded(from('b'))).toBeNull()
  })

  test('comes back with time, and no more than all of it', () => {
    const work = new AnonymousWork({ maxAnonymous: 0, maxAnonymousPerAddress: 60 }, now)
    failUntilRefused(work, () => from('a'))
    nowMs += 10_000
    expect(failUntilRefused(work, () => from('a'))[0]).toBe(10)
    nowMs += 3_600_000
    expect(failUntilRefused(work, () => from('a'))[0]).toBe(60)
  })

  test('is owed what was begun at once, up to as much again', () => {
    const work = new AnonymousWork({ maxAnonymous: 0, maxAnonymousPerAddress: 60 }, now)
    for (let count = 0; count < 1000; count += 1) work.failed(from('a'), false)
    nowMs += 59_000
    expect(work.exceeded(from('a'))).toBe('address')
    nowMs += 2_000
    expect(work.exceeded(from('a'))).toBeNull()
  })

  test('is not used by what it refuses', () => {
    const work = new AnonymousWork({ maxAnonymous: 0, maxAnonymousPerAddress: 60 }, now)
    const struck = from('a')
    failUntilRefused(work, () => struck)
    for (let count = 0; count < 1000; count += 1) work.failed(struck, true)
    expect(work.exceeded(from('a'))).toBeNull()
  })

  test('holds up nobody who was verified on the connection, unless failures follow', () => {
    const work = new AnonymousWork({ maxAnonymous: 0, maxAnonymousPerAddress: 60 }, now)
    failUntilRefused(work, () => from('a'))
    const known = from('a')
    work.verified(known)
    for (let failures = 0; failures < 3; failures += 1) {
      expect(work.exceeded(known)).toBeNull()
      work.failed(known, false)
    }
    expect(work.exceeded(known)).toBe('address')
    work.verified(known)
    expect(work.exceeded(known)).toBeNull()
  })
})

test('the bound of all counts every address, and 0 is none', () => {
  const work = new AnonymousWork({ maxAnonymous: 200, maxAnonymousPerAddress: 0 }, now)
  let number = 0
  expect(failUntilRefused(work, () => from(`address ${(number += 1)}`))).toEqual([200, 'all'])
  const none = new AnonymousWork({ maxAnonymous: 0, maxAnonymousPerAddress: 0 }, now)
  expect(failUntilRefused(none, () => from('a'))).toEqual([100_000, null])
})

/** The admission of requests of callers at one address, which end when the test says so. */
function openAdmission(maxAnonymousPerAddress: number) {
  const anonymous = createAnonymousRequests({
    maxAnonymous: 0,
    maxAnonymousPerAddress,
    isProxy: () => false,
    onAnonymous: () => {},
    isRemembered: (credentials) => credentials === 'known',
    now,
  })
  const admitted: { refusal: Problem | undefined; end: () => void }[] = []
  const waiting: (() => void)[] = []
  return {
    admitted,
    /** All that are under way and were not admitted. */
    leave: (): void => waiting.splice(0).forEach((close) => close()),
    admit(failuresInRow: number, credentials = ''): void {
      const closings: (() => void)[] = []
      const context = {
        history: { ...from('a'), failuresInRow },
        principal: null,
        problem: null,
        isOpen: true,
        request: { rawHeaders: ['authorization', credentials], socket: {} },
        whenClosed: (release: () => void) => closings.push(release),
      }
      const end = (): void => {
        context.isOpen = false
        for (const close of closings.splice(0)) close()
        anonymous.ended(context as unknown as RequestContext)
      }
      waiting.push(end)
      anonymous.admit(context as unknown as RequestContext, (refusal) => {
        waiting.splice(waiting.indexOf(end), 1)
        admitted.push({ refusal, end })
      })
    },
  }
}

test('so many refusals wait at a time; one more is answered at once and ends its connection', () => {
  const { admit, admitted, leave } = openAdmission(1)
  admit(0)
  admitted[0]?.end()
  for (let count = 0; count < mostHeld; count += 1) admit(0)
  expect(admitted).toHaveLength(1)
  admit(0)
  expect(admitted[1]?.refusal).toMatchObject({
    kind: 'too-many-anonymous',
    fields: { connection: 'close', 'retry-after': '1' },
  })
  leave()
  admit(0)
  expect(admitted).toHaveLength(2)
  leave()
})

test('connections with failures alone take turns, a few at a time, and hold up nobody else', async () => {
  const { admit, admitted, leave } = openAdmission(1000)
  for (let count = 0; count < 3 * mostTriedAtOnce; count += 1) admit(3)
  expect(admitted).toHaveLength(mostTriedAtOnce)
  admit(3, 'known')
  admit(2)
  expect(admitted.map(({ refusal }) => refusal)).toEqual(Array.from({ length: mostTriedAtOnce + 2 }, () => undefined))
  for (const { end } of admitted.slice(0, mostTriedAtOnce)) end()
  await vi.waitFor(() => expect(admitted).toHaveLength(2 * mostTriedAtOnce + 2), 10_000)
  // Those who leave do not have their turn.
  leave()
  for (const { end } of admitted) end()
  admit(3)
  expect(admitted.at(-1)?.refusal).toBeUndefined()
  leave()
})
