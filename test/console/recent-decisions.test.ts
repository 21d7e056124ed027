// The memory for decisions: bounded, in order, and with totals that outlive what is kept.

import { expect, test } from 'vitest'
import { readDecisionQuery, cursorText } from '../../src/admin/console/query.ts'
import { RecentDecisions } from '../../src/records/search/recent-decisions.ts'
import { searchRecent } from '../../src/runtime/console/decisions/recent-search.ts'
import { callerTroubles } from '../../src/runtime/console/moment/traffic-troubles.ts'
import { policyFrom } from '../support/policies.ts'
import { remember } from './recent.ts'

test('keeps the latest so many, and counts all', () => {
  const recent = new RecentDecisions({ most: 3 })
  for (const id of ['a', 'b', 'c', 'd', 'e']) remember(recent, { decision_id: id })
  expect([...recent.newestFirst()].map(({ decision_id: id }) => id)).toEqual(['e', 'd', 'c'])
  expect([recent.size, recent.total, recent.oldest?.decision_id]).toEqual([3, 5, 'c'])
  expect(recent.totals.outcomes.forwarded).toBe(5)
  expect([recent.find('d')?.access.decision_id, recent.find('a')]).toEqual(['d', null])
})

test('keeps so many bytes at most, of whatever size decisions are', () => {
  const recent = new RecentDecisions({ maxBytes: 20_000 })
  for (let count = 0; count < 200; count += 1) {
    remember(recent, {}, 'x'.repeat((count * 977) % 9_000))
    expect(recent.bytes).toBeLessThanOrEqual(20_000)
  }
  remember(recent, {}, 'x'.repeat(30_000))
  expect([recent.size, recent.bytes, recent.total]).toEqual([0, 0, 201])
  remember(recent, { decision_id: 'after' })
  expect([...recent.newestFirst()].map(({ decision_id: id }) => id)).toEqual(['after'])
})

test('gives back the latest ones whole and in order, however long they are and however often the memory was filled', () => {
  const recent = new RecentDecisions({ most: 100 })
  const added: string[] = []
  for (let count = 0; count < 1_200; count += 1) {
    const path = `/${count}/${'é'.repeat((count * 7919) % (count % 50 === 0 ? 9_000 : 700))}`
    remember(recent, { path }, `content ${count}`)
    added.push(path)
    const kept = [...recent.newestFirst()].map((each) => recent.whole(each))
    expect(kept.map(({ access }) => access.path)).toEqual(added.slice(added.length - kept.length).toReversed())
    expect(kept.map(({ content }) => content)).toEqual(kept.map((_, index) => `content ${count - index}`))
    expect(kept.length).toBeGreaterThan(0)
  }
}, 60_000)

test('counts what asked the cache, and what it answered', () => {
  const recent = new RecentDecisions()
  for (const cache of ['hit', 'stale', 'validated', 'collapsed', 'miss', 'bypass', null]) remember(recent, { cache })
  expect(recent.totals).toMatchObject({ cacheAsked: 6, cacheAnswered: 4 })
})

test('pages hold every decision once, those of one millisecond and of a growing memory too', () => {
  const recent = new RecentDecisions()
  const times = ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.001Z', '2026-01-01T00:00:00.002Z']
  const ids = Array.from({ length: 40 }, (_, index) => `d${String((index * 17) % 40).padStart(2, '0')}`)
  for (const [index, id] of ids.entries())
    remember(recent, { decision_id: id, time: times[Math.floor(index / 14)] ?? '' })
  for (const limit of [1, 3, 7, 40]) {
    const seen: string[] = []
    for (let cursor = ''; ;) {
      const found = searchRecent(
        recent,
        readDecisionQuery({ limit: String(limit), ...(cursor === '' ? {} : { cursor }) }),
      )
      const page = found.slice(0, limit)
      seen.push(...page.map(({ decision_id }) => decision_id))
      const last = page.at(-1)
      if (found.length <= limit || last === undefined) break
      cursor = cursorText({ time: last.time, id: last.decision_id })
    }
    expect(seen.toSorted()).toEqual(ids.toSorted())
  }
})

test('what a caller chose is masked and made visible as it is in the files', () => {
  const recent = new RecentDecisions()
  remember(recent, { request_id: 'cog_0123456789abcdef', path: '/a\u202eb', subject: 'token=hunter2' })
  const [found] = searchRecent(recent, readDecisionQuery({}))
  expect(found).toMatchObject({ request_id: 'cog_[masked]', path: '/a\\u202eb', subject: 'token=[masked]' })
  // It is found by what is shown.
  for (const query of [{ subject: 'token=[masked]' }, { id: 'cog_[masked]' }])
    expect(searchRecent(recent, readDecisionQuery(query))).toHaveLength(1)
  for (const query of [{ subject: 'ann' }, { id: 'd2' }, { team: 'search' }])
    expect(searchRecent(recent, readDecisionQuery(query))).toEqual([])
})

test('a caller who keeps being refused is named as in the files', () => {
  const recent = new RecentDecisions()
  for (let count = 0; count < 20; count += 1)
    remember(recent, { outcome: 'refused', reason: 'no-grant', subject: 'token=hunter2' })
  const [trouble] = callerTroubles([...recent.newestFirst()], policyFrom({}), [])
  expect(trouble).toMatchObject({ name: 'token=[masked]' })
  expect(JSON.stringify(trouble)).not.toContain('hunter2')
})

test.each([
  ['a misspelled filter', { subjct: 'ann' }, /no parameter "subjct"; did you mean "subject"/],
  ['a filter said twice', { team: ['a', 'b'] }, /Say team once/],
  ['a limit of none', { limit: '0' }, /from 1 to 200/],
  ['too many', { limit: '201' }, /from 1 to 200/],
  ['a time that is none', { from: 'yesterday' }, /2026-01-31T12:00:00Z/],
  ['a cursor of another kind', { cursor: 'abc' }, /`next` of the page before/],
  ['a long text', { subject: 'x'.repeat(600) }, /512 characters/],
])('%s is refused with what to do', (_name, fields, message) => {
  expect(() => readDecisionQuery(fields)).toThrow(message)
})

test('a summary says what the record says, also in a place that was used before', () => {
  const recent = new RecentDecisions({ most: 1 })
  remember(recent, {})
  remember(recent, { decision_id: 'e', cache: 'hit', upstream_status: 429, waited_ms: 7, limit: 'requests', key: null })
  const [summary] = recent.newestFirst()
  if (summary === undefined) throw new Error('nothing is kept')
  const { number, content, stage, sent, time, decision_id, ...said } = summary
  expect([number, content, stage, sent]).toEqual([1, '{"effect":"allow"}', 'forward', true])
  expect([time, decision_id]).toEqual(['2026-01-01T00:00:00.000Z', 'e'])
  expect(recent.whole(summary).access).toMatchObject(said)
  expect(said).toMatchObject({ cache: 'hit', upstream_status: 429, waited_ms: 7, limit: 'requests', key: null })
})
