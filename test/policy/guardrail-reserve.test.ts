// Beginnings of texts that only the gateway gives: who may send them, in which spelling they are found, and what is wrong with
// a rule that reserves nothing.

import * as fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import type { PolicySet } from '../../src/policy/model/policy-set.ts'
import { ask, compileFiles, policyFrom, principalOf } from '../support/policies.ts'
import { spellingOf } from '../support/spellings.ts'

const team = `team: payments
members: [{ groups: eng }]
organizations: [org-a]
grants: [{ id: run, allow: [ManageOrgSessions] }]
`
const engineer = principalOf({ groups: ['eng'], app: 'cli' })

describe('a reserved beginning', () => {
  const reserving = (rules: string, more = '') =>
    policyFrom({
      'teams/payments.yaml': team,
      'guardrails.yaml': `guardrails:\n  - { id: g, on: [org.sessions.create], body: { tags: { ${rules} } } }\n${more}`,
    })
  const sent = (policy: PolicySet, tags: unknown) =>
    ask(policy, engineer, 'POST /v3/organizations/org-a/sessions', {
      prompt: 'x',
      ...(tags === undefined ? {} : { tags }),
    })

  test.each<[tags: unknown, at: string]>([
    [['team:payments'], 'tags.0 must not begin with team:'],
    [['urgent', 'team:'], 'tags.1 must not begin with team:'],
    [['TEAM:payments'], 'tags.0 must not begin with team:'],
    [['ｔｅａｍ：payments'], 'tags.0 must not begin with team:'],
    [[' team:x'], 'tags.0 must not begin with team:'],
    [['te\u200bam:x'], 'tags.0 must not begin with team:'],
    [['team :x'], 'tags.0 must not begin with team:'],
    [['t-e_a.m:x'], 'tags.0 must not begin with team:'],
    [['\u0000team:x'], 'tags.0 must not begin with team:'],
    [['téam:x'], 'tags.0 must not begin with team:'],
    [['team\u2236x'], 'tags.0 must not begin with team:'],
    [['urgent,team:x'], 'tags.0 must not begin with team:'],
    [['urgent\nteam:x'], 'tags.0 must not begin with team:'],
    ['team:x', 'tags must not begin with team:'],
    [[['team:x']], 'tags.0 must be a text'],
    [[{ name: 'team:x' }], 'tags.0 must be a text'],
    [{ 0: 'team:x' }, 'tags must be a text'],
  ])('refuses %j', (tags, text) => {
    const { decision } = sent(reserving('reserve: ["team:"]'), tags)
    expect(decision.effect).toBe('deny')
    expect(decision.detail).toContain(text)
  })

  test.each<[unknown]>([
    [['teammates', 'team', 'my-team:x', 'x team:', 'steam:x', '1']],
    [[]],
    [null],
    [undefined],
    [[7, true, null]],
  ])('lets %j through', (tags) => {
    expect(sent(reserving('reserve: ["team:"]'), tags).decision.effect).toBe('allow')
  })

  test.each<[name: string, tags: unknown, because: string | null]>([
    ['texts of ASCII', Array.from({ length: 9000 }, (_, index) => `${index} `.repeat(12)), null],
    ['texts outside ASCII', Array.from({ length: 4000 }, () => 'ж'.repeat(100)), null],
    ['more of them', Array.from({ length: 4097 }, () => 'ж'), 'tags.4096 is beyond the 4096 characters outside ASCII'],
    ['pieces of one text', ['ж,'.repeat(4097)], 'tags.0 is beyond the 4096 characters outside ASCII'],
    ['what is overlooked in front', ['\u200b'.repeat(4097)], 'tags.0 is beyond the 4096 characters outside ASCII'],
    ['the last of them', ['x', 'ж,'.repeat(4095) + 'ｔeam:'], 'tags.1 must not begin with team:'],
    ['the last piece of many', [`${'x,'.repeat(400_000)}team:`], 'tags.0 must not begin with team:'],
  ])('looks at so many characters that take long, and refuses what is beyond: %s', (_name, tags, because) => {
    const { decision } = sent(reserving('reserve: ["team:"]'), tags)
    expect(decision.effect).toBe(because === null ? 'allow' : 'deny')
    if (because !== null) expect(decision.detail).toContain(because)
  })

  test("lets the caller's own text through, letter by letter", () => {
    const policy = reserving('reserve: ["team:${team}", "app:${app}"]')
    expect(sent(policy, ['team:payments', 'urgent']).decision.effect).toBe('allow')
    for (const tag of ['team:payments2', 'team:Payments', 'team: payments', 'team:research', 'team:'])
      expect(sent(policy, [tag]).decision.effect, tag).toBe('deny')
  })

  test('lets through what a guardrail adds, whichever of them it is, and adds it behind the others', () => {
    const policy = reserving(
      'reserve: ["team:"]',
      '  - id: adds\n    on: [org.sessions.create]\n    body: { tags: { add: ["team:${team}"] } }\n',
    )
    expect(sent(policy, ['urgent']).body?.valuesAt('tags.*')).toEqual(['urgent', 'team:payments'])
    expect(sent(policy, ['team:payments']).body?.valuesAt('tags.*')).toEqual(['team:payments'])
    expect(sent(policy, ['urgent', 'team:research']).decision.effect).toBe('deny')
  })

  test('needs a text in front of the attribute', () => {
    const { lines } = compileFiles({
      'guardrails.yaml':
        'guardrails:\n  - id: g\n    on: [org.sessions.create]\n    body: { tags: { reserve: ["${team}", "_:", "-", "x:${teem}"] } }\n',
    })
    expect(lines).toEqual([
      'guardrails.yaml:4:31: say what is reserved in front of the attribute, as in "team:${team}"',
      'guardrails.yaml:4:48: say what is reserved in front of the attribute, as in "team:${team}"',
      expect.stringContaining('unknown attribute "teem": a value may name'),
    ])
  })

  test('holds in every spelling of its letters', () => {
    const policy = reserving('reserve: ["cost_center:"]')
    const spelled = fc.tuple(spellingOf('cost_center'), fc.string())
    fc.assert(
      fc.property(spelled, ([spelling, rest]) => {
        // What an ending cuts off a name is part of a text.
        fc.pre(!/[[\]=［］:/]|\.0/.test(spelling))
        const { decision } = sent(policy, [`${spelling}:${rest}`])
        expect(decision.effect, spelling).toBe('deny')
      }),
      { numRuns: 1000 },
    )
  })

  test('is found in every piece of a text as in a text of its own', () => {
    const policy = reserving('reserve: ["team:", "a-pp|x:"]')
    const piece = fc.string({ unit: fc.constantFrom(...'team:apx- \t_.ｔé\u200b|,;\n\r'), maxLength: 16 })
    const isRefused = (text: string): boolean => sent(policy, [text]).decision.effect === 'deny'
    fc.assert(
      fc.property(piece, piece, (first, second) => {
        const text = `${first},${second}`
        const pieces = text.split(/[,;|\n\r]/)
        if (pieces.some(isRefused)) expect(isRefused(text), text).toBe(true)
        else if (!isRefused(first.replaceAll(/[\n\r]/g, '')))
          expect(isRefused(text.replaceAll(/[\n\r]/g, ' ')), text).toBe(false)
      }),
      { numRuns: 1500 },
    )
  })

  test('is looked for in a text of any number of pieces, and few of them are compared', () => {
    const policy = reserving('reserve: ["team:"]')
    const compared = vi.spyOn(String.prototype, 'codePointAt')
    for (const near of ['team,', 'tea;', ',', 't-e-a-m|', 'TEAM \n']) {
      compared.mockClear()
      expect(sent(policy, [near.repeat(20_000)]).decision.effect).toBe('allow')
      expect(compared.mock.calls.length).toBeLessThan(100)
      expect(sent(policy, [`${near.repeat(20_000)},team:x`]).decision.effect).toBe('deny')
    }
    compared.mockRestore()
  })
})
