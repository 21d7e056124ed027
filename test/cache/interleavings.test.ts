// The calls that are under way, driven in any order: whoever stays gets exactly one answer, no call is forgotten, and at most one
// lease for the same is out unless an answer was its leader's alone.

import * as fc from 'fast-check'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { ProblemKindName } from '../../src/problem-kinds.ts'
import { classRule, rfc9111, Setting, type Call, type Caller } from './support.ts'

type Step =
  | { readonly do: 'ask'; readonly noCache: boolean }
  | { readonly do: 'answer'; readonly call: number; readonly status: number; readonly fields: Record<string, string> }
  | { readonly do: 'begin'; readonly call: number; readonly bytes: number }
  | { readonly do: 'fail'; readonly call: number; readonly kind: ProblemKindName }
  | { readonly do: 'leave'; readonly caller: number }
  | { readonly do: 'write' }
  | { readonly do: 'wait' }
  | { readonly do: 'age' }

const place = fc.nat(30)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('ask' as const), noCache: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      call: place,
      status: fc.constantFrom(200, 204, 304, 400, 404, 429, 500, 503),
      fields: fc.constantFrom<Record<string, string>>(
        {},
        { 'cache-control': 'no-store' },
        { etag: '"a"' },
        { vary: '*' },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('begin' as const), call: place, bytes: fc.constantFrom(1, 20_000) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('fail' as const),
      call: place,
      kind: fc.constantFrom<ProblemKindName>(
        'upstream-unreachable',
        'upstream-timeout',
        'rate-limit-exceeded',
        'overloaded',
        'key-unavailable',
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('leave' as const), caller: place }) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ do: 'write' }, { do: 'wait' }, { do: 'age' }) },
)

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** Calls that have no end yet, with what they have begun to answer. */
class Play {
  readonly setting: Setting
  readonly callers: Caller[] = []
  readonly left = new Set<Caller>()
  readonly over = new Set<Call>()
  readonly begun = new Set<Call>()

  constructor(setting: Setting) {
    this.setting = setting
  }

  at(index: number): Call | undefined {
    const open = this.setting.calls.filter((call) => !this.over.has(call) && !call.aborted)
    return open[index % Math.max(1, open.length)]
  }

  take(one: Step): void {
    const { setting } = this
    if (one.do === 'ask')
      this.callers.push(setting.ask('/things', one.noCache ? { fields: { 'cache-control': 'no-cache' } } : {}))
    else if (one.do === 'leave') {
      const caller = this.callers[one.caller % Math.max(1, this.callers.length)]
      if (caller === undefined || !isOpen(caller)) return
      this.left.add(caller)
      caller.source?.abort()
    } else if (one.do === 'write') setting.cache.invalidate(['things.list']).catch(() => undefined)
    else if (one.do === 'wait') vi.advanceTimersByTime(10_000)
    else if (one.do === 'age') setting.pass(31)
    else {
      const call = this.at(one.call)
      if (call === undefined) return
      if (one.do === 'begin') {
        if (this.begun.has(call)) return
        this.begun.add(call)
        call.head(200)
        call.sink.data(Buffer.alloc(one.bytes))
        return
      }
      this.over.add(call)
      if (one.do === 'fail') call.fail(one.kind)
      else if (this.begun.has(call)) call.sink.end(null)
      else call.answer(one.status, one.fields)
    }
  }

  /** Everything that is under way comes to a good end. */
  finish(): void {
    for (let call = this.at(0); call !== undefined; call = this.at(0)) {
      this.over.add(call)
      if (this.begun.has(call)) call.sink.end(null)
      else call.answer(200)
    }
  }
}

function isOpen(caller: Caller): boolean {
  return !caller.ended && caller.problem === null
}

it.each([
  ['class', classRule],
  ['always collapsed', { ...classRule, alwaysCollapsed: true }],
  ['rfc9111', rfc9111],
] as const)('whoever stays gets one answer, and nothing is left under way: %s', (_name, rule) => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => {
      const play = new Play(new Setting(rule))
      for (const one of steps) play.take(one)
      play.finish()
      for (const caller of play.callers)
        if (!play.left.has(caller)) expect([isOpen(caller), caller.outcomes.length]).toEqual([false, 1])
      expect(play.setting.cache.stats().fetches).toBe(0)
      // What came to an end behind everybody's back is not given to who comes now.
      const late = play.setting.ask('/things', { fields: { 'cache-control': 'no-cache' } })
      expect(late.isWaiting).toBe(true)
    }),
    { numRuns: 1_500 },
  )
})

it('while the answers may be shared, one call is under way at a time, whoever leaves, fails or is refused', () => {
  const calm = step.filter(
    (one) =>
      one.do === 'leave' ||
      (one.do === 'ask' && !one.noCache) ||
      (one.do === 'answer' &&
        one.status === 200 &&
        one.fields['vary'] === undefined &&
        one.fields['cache-control'] === undefined) ||
      (one.do === 'fail' && one.kind === 'rate-limit-exceeded'),
  )
  fc.assert(
    fc.property(fc.array(calm, { minLength: 5, maxLength: 40 }), (steps) => {
      const play = new Play(new Setting(classRule))
      for (const one of steps) {
        play.take(one)
        const open = play.setting.calls.filter((call) => !play.over.has(call) && !call.aborted)
        expect(open.length).toBeLessThanOrEqual(1)
      }
    }),
    { numRuns: 1_000 },
  )
})
