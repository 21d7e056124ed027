// The breaker before an upstream that does not answer, with a clock of the test's own.

import { describe, expect, test } from 'vitest'
import { createBreakers, type Breakers, type CallResult } from '../../../src/gateway/upstream/breakers.ts'

interface Run {
  readonly breakers: Breakers
  readonly events: string[]
  nowMs: number
  /** Sends a request if it may be sent: what became of it, or the milliseconds it has to wait. */
  ask(result: CallResult, caller?: string, key?: string): CallResult | number
}

function start(): Run {
  const events: string[] = []
  const run: Run = {
    events,
    nowMs: 0,
    breakers: createBreakers({ now: () => run.nowMs, onEvent: (key, event) => events.push(`${key} ${event}`) }),
    ask(result, caller = 'ann', key = 'key') {
      const passage = run.breakers.begin(key, caller)
      if (typeof passage === 'number') return passage
      run.breakers.ended(key, caller, passage, result)
      return result
    },
  }
  return run
}

describe('no connection can be made', () => {
  test("five times: the breaker of that key opens for every caller, and no other key's does", () => {
    const run = start()
    for (let count = 0; count < 5; count += 1) expect(run.ask('unsent', `caller-${count % 2}`)).toBe('unsent')
    expect(run.ask('answered', 'bob')).toBe(1000)
    expect(run.breakers.refusalMs('key', 'bob')).toBe(1000)
    expect(run.ask('answered', 'bob', 'other')).toBe('answered')
    expect(run.events).toEqual(['key opened'])
  })

  test('and is tried with one request at a time, ever more rarely, until one is answered', () => {
    const run = start()
    for (let count = 0; count < 5; count += 1) run.ask('unsent')
    const pauses: number[] = []
    for (let round = 0; round < 8; round += 1) {
      const wait = run.ask('answered')
      if (typeof wait !== 'number') throw new Error('it was sent')
      pauses.push(wait)
      run.nowMs += wait
      const probe = run.breakers.begin('key', 'ann')
      expect(probe).toBe('probe')
      // One shows it for all.
      expect(run.breakers.begin('key', 'bob')).toBe(1000)
      run.breakers.ended('key', 'ann', 'probe', 'unsent')
    }
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
    run.nowMs += 30_000
    expect(run.ask('answered')).toBe('answered')
    expect(run.breakers.troubled).toBe(false)
    expect(run.events.at(-1)).toBe('key closed')
    for (let count = 0; count < 4; count += 1) expect(run.ask('unsent')).toBe('unsent')
    expect(run.ask('answered')).toBe('answered')
  })

  test('a probe whose caller leaves makes room for another', () => {
    const run = start()
    for (let count = 0; count < 5; count += 1) run.ask('unsent')
    run.nowMs += 1000
    expect(run.breakers.begin('key', 'ann')).toBe('probe')
    run.breakers.ended('key', 'ann', 'probe', 'abandoned')
    expect(run.breakers.begin('key', 'bob')).toBe('probe')
  })

  test('answers between failures, of whatever caller, keep it closed', () => {
    const run = start()
    for (let count = 0; count < 50; count += 1) {
      run.ask('unsent')
      run.ask('unsent')
      expect(run.ask('answered', `caller-${count}`)).toBe('answered')
    }
    expect(run.events).toEqual([])
  })
})

describe('requests are sent and not answered', () => {
  test('those of one caller hold up that caller alone', () => {
    const run = start()
    for (let count = 0; count < 5; count += 1) expect(run.ask('unanswered', 'mallory')).toBe('unanswered')
    expect(run.ask('answered', 'mallory')).toBe(1000)
    expect(run.ask('answered', 'ann')).toBe('answered')
  })

  test('those of three callers hold up all', () => {
    const run = start()
    for (const caller of ['a', 'b', 'c', 'a', 'b']) expect(run.ask('unanswered', caller)).toBe('unanswered')
    expect(run.ask('answered', 'd')).toBe(1000)
  })

  test('one of them cannot keep the others waiting by trying with more of the same', () => {
    const run = start()
    for (const caller of ['a', 'b', 'c', 'a', 'b']) run.ask('unanswered', caller)
    for (let round = 0; round < 10; round += 1) {
      run.nowMs += 1000
      // Whether it may try or has to wait for its own breaker, the others wait a second at most.
      run.ask('unanswered', 'a')
      expect(run.breakers.refusalMs('key', 'd') ?? 0).toBeLessThanOrEqual(1000)
    }
    run.nowMs += 1000
    expect(run.ask('answered', 'd')).toBe('answered')
    expect(run.ask('answered', 'e')).toBe('answered')
  })

  test('abandoned requests count neither way', () => {
    const run = start()
    for (let count = 0; count < 50; count += 1) expect(run.ask('abandoned', `caller-${count}`)).toBe('abandoned')
    expect(run.breakers.troubled).toBe(false)
  })

  test('the number of callers does not let memory grow without bound', () => {
    const run = start()
    for (let count = 0; count < 20_000; count += 1) {
      run.ask('unanswered', `caller-${count}`)
      run.nowMs += 60_000
    }
    expect(run.breakers.refusalMs('key', 'caller-1')).not.toBeUndefined()
  })
})
