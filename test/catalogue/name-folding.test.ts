// What names come to for the most lenient reader, and that folding is a law and not a list of cases.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { devinApi } from '../../src/catalogue/data.ts'
import { foldedHolders, foldName, foldParameterName, quotedName } from '../../src/catalogue/name-folding.ts'
import { inQuery, spellingOf } from '../support/spellings.ts'

const names = ['max_acu_limit', 'bypass_approval', 'org_id', 'org_ids', 'create_as_user_id', 'tags', 'repos', 'kiosk']

test.each([
  ['MAX_ACU_LIMIT', 'maxaculimit'],
  ['maxAcuLimit', 'maxaculimit'],
  ['max-acu.limit', 'maxaculimit'],
  ['max_acu_limit\u0000', 'maxaculimit'],
  ['bypaſs_approval', 'bypassapproval'],
  ['B\u0131G', 'big'],
  ['\u0130D', 'id'],
  ['\u212aiosk', 'kiosk'],
  ['ＯＲＧ＿ＩＤ', 'orgid'],
  ['org_ids[]', 'orgids'],
  ['org_ids[0][id]', 'orgids'],
  ['[org_ids]', 'orgids'],
  ['org_ids.0', 'orgids'],
  ['org_ids=', 'orgids'],
  ['re\u0301sume\u0301', 'resume'],
  ['ﬁle', 'file'],
  ['Straße', 'strasse'],
  ['STRAẞE', 'strasse'],
  ['sha256', 'sha256'],
  ['', ''],
  ['\u200b', ''],
  ['имя_поля', 'имяполя'],
])('%j folds to %j', (name, folded) => {
  expect(foldName(name)).toBe(folded)
})

test.each([
  ['org%5Fids', 'orgids'],
  ['org%255Fids', 'orgids'],
  ['org%25255Fids', 'orgids'],
  ['org+ids', 'orgids'],
  ['org%u005fids', 'orgids'],
  ['%EF%BC%AFrg_ids', 'orgids'],
  ['org_ids%ff', 'orgids'],
  ['org_ids%', 'orgids'],
  ['org_ids%00', 'orgids'],
  ['org_ids%5B%5D', 'orgids'],
  ['%c5%bfession', 'session'],
])('the raw parameter %s folds to %s', (name, folded) => {
  expect(foldParameterName(name)).toBe(folded)
})

test.each([
  ['local_agent.billing_org_id', ['localagent']],
  ['Session-Secrets:0.key', ['sessionsecrets', 'sessionsecrets0']],
  ['org．ids．x', ['org', 'orgids']],
  ['..max_acu_limit.', ['maxaculimit']],
  [`${'a'.repeat(30)}.b`, []],
  ['plain', []],
])('%j has the holders %j', (name, holders) => {
  expect([...foldedHolders(name, 20)]).toEqual(holders)
})

test('whatever is folded stays as it is when it is folded again', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) => {
      expect(foldName(foldName(name))).toBe(foldName(name))
    }),
    { numRuns: 5000 },
  )
})

test('every spelling folds to the fold of its name, in bodies and in queries', () => {
  const spelled = fc.constantFrom(...names).chain((name) => fc.tuple(fc.constant(name), spellingOf(name)))
  fc.assert(
    fc.property(
      spelled.chain(([name, spelling]) => fc.tuple(fc.constant(name), fc.constant(spelling), inQuery(spelling))),
      ([name, spelling, raw]) => {
        expect(foldName(spelling)).toBe(foldName(name))
        expect(foldParameterName(raw), raw).toBe(foldName(name))
      },
    ),
    { numRuns: 5000 },
  )
})

test('no operation documents two names that fold alike: the one could not be sent where the other is bounded', () => {
  for (const { id, body, query } of devinApi.operations) {
    for (const documented of [body.map(({ name }) => name), query]) {
      const folded = new Set(documented.map(foldName))
      expect(folded.size, id).toBe(new Set(documented).size)
    }
  }
})

describe('a name in a message', () => {
  test.each([
    ['org_ids[]', '"org_ids[]"'],
    ['a\u0000b', '"a\\u{0}b"'],
    ['bypaſs', '"bypa\\u{17f}s"'],
    ['a"b\\c', '"a\\"b\\\\c"'],
    ['\u202etxt', '"\\u{202e}txt"'],
    ['😀', '"\\u{1f600}"'],
    ['n'.repeat(65), `"${'n'.repeat(64)}…"`],
  ])('%j is %s', (name, shown) => {
    expect(quotedName(name)).toBe(shown)
  })
})
