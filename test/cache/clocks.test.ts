// A wall clock that is set, forward or back, changes neither the age of a stored answer nor how long it lives.

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { CacheRule } from '../../src/cache/cache-request.ts'
import { classRule, httpDate, rfc9111, Setting } from './support.ts'

const hourMs = 3_600_000
const rules: [string, CacheRule][] = [
  ['class', classRule],
  ['rfc9111', rfc9111],
  ['rfc9111 with guesses', { kind: 'rfc9111', heuristics: true }],
]

/** What an upstream may say of time, by a clock of its own that is right. */
const said = (nowMs: number): Record<string, Record<string, string>> => ({
  nothing: {},
  date: { date: httpDate(nowMs) },
  'max-age': { date: httpDate(nowMs), 'cache-control': 'max-age=20' },
  'max-age without a date': { 'cache-control': 'max-age=20' },
  expires: { date: httpDate(nowMs), expires: httpDate(nowMs + 20_000) },
  age: { date: httpDate(nowMs), age: '5', 'cache-control': 'max-age=20' },
  modified: { date: httpDate(nowMs), 'last-modified': httpDate(nowMs - 200_000) },
  stale: { date: httpDate(nowMs), 'cache-control': 'max-age=5, stale-while-revalidate=10, stale-if-error=20' },
})

interface Step {
  readonly seconds: number
  readonly stepMs: number
}

/** How each of the reads was answered, while the wall clock is set between them. */
function read(rule: CacheRule, kind: string, steps: readonly Step[], isSet: boolean): string[] {
  const setting = new Setting(rule)
  const answers: string[] = []
  for (const { seconds, stepMs } of steps) {
    const before = setting.calls.length
    const caller = setting.ask()
    for (const call of setting.calls.slice(before)) call.answer(200, said(setting.nowMs)[kind])
    answers.push(`${caller.result} ${caller.fields['age']} ${caller.fields['cache-status']}`)
    setting.pass(seconds)
    if (isSet) setting.steppedMs += stepMs
  }
  return answers
}

describe.each(rules)('under a rule of %s', (_name, rule) => {
  it('every read is answered as if the clock had not been set', () => {
    const step = fc.record({
      seconds: fc.constantFrom(0, 1, 4, 9, 25, 40),
      stepMs: fc.constantFrom(0, -hourMs, hourMs, -24 * hourMs, 24 * hourMs, -1_500, 1_500),
    })
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 2, maxLength: 12 }),
        fc.constantFrom(...Object.keys(said(0))),
        (steps, kind) => {
          const answers = read(rule, kind, steps, true)
          expect(answers).toEqual(read(rule, kind, steps, false))
          expect(answers.join()).not.toMatch(/-\d+ devin/)
        },
      ),
      { numRuns: 500 },
    )
  })

  it.each([-hourMs, hourMs])('Expires without a Date makes nothing longer-lived after a step of %i ms', (stepMs) => {
    const setting = new Setting(rule)
    setting.steppedMs = stepMs
    setting.store({ expires: httpDate(setting.nowMs + 20_000) })
    setting.pass(21)
    setting.ask()
    expect(setting.calls).toHaveLength(2)
  })
})

it('what a write left unclear is kept out of the store for its time, whatever the clock is set to', () => {
  for (const stepMs of [-hourMs, hourMs]) {
    const setting = new Setting(classRule)
    setting.ask('/things', { method: 'POST' })
    setting.call.fail()
    setting.steppedMs = stepMs
    setting.pass(29)
    setting.store()
    expect(setting.ask().result).not.toBe('hit')
    setting.call.answer(200)
    setting.pass(2)
    setting.store()
    expect(setting.ask().result).toBe('hit')
  }
})
