// How many requests without a valid token go on, by a clock of the test's own.

import { describe, expect, test } from 'vitest'
import type { RequestContext } from '../../src/gateway/context.ts'
import { createAnonymousRequests, mostHeld } from '../../src/gateway/load/anonymous-requests.ts'
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

test('so many refusals wait at a time; one more is answered at once and ends its connection', () => {
  const anonymous = createAnonymousRequests({
    maxAnonymous: 0,
    maxAnonymousPerAddress: 1,
    isProxy: () => false,
    onAnonymous: () => {},
    isRemembered: () => false,
    now,
  })
  const closings: (() => void)[] = []
  const answers: (Problem | undefined)[] = []
  const context = (): RequestContext =>
    ({
      history: from('a'),
      principal: null,
      problem: null,
      request: { rawHeaders: [], socket: {} },
      whenClosed: (release: () => void) => closings.push(release),
    }) as unknown as RequestContext
  const admit = (): void => anonymous.admit(context(), (refusal) => answers.push(refusal))
  admit()
  expect(answers).toEqual([undefined])
  anonymous.ended(context())
  for (let count = 0; count < mostHeld; count += 1) admit()
  expect(answers).toHaveLength(1)
  admit()
  expect(answers[1]).toMatchObject({ kind: 'too-many-anonymous', fields: { connection: 'close', 'retry-after': '1' } })
  closings.pop()?.()
  admit()
  expect(answers).toHaveLength(2)
  for (const close of closings) close()
})
