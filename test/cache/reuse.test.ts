// Which stored answer a request may have: Vary, request directives, stale answers. RFC 9111 sections 4.1, 4.2.4 and 5.2.1.

import { describe, expect, it } from 'vitest'
import type { ProblemKindName } from '../../src/problem-kinds.ts'
import { Problem } from '../../src/problems.ts'
import { classRule, rfc9111, Setting, type Ask } from './support.ts'

describe('Vary (RFC 9111 section 4.1)', () => {
  const fields = { 'cache-control': 'max-age=60', vary: 'Foo, Bar' }

  function reuses(first: Ask['fields'], second: Ask['fields'], vary = 'Foo, Bar'): boolean {
    const setting = new Setting()
    setting.ask('/things', first === undefined ? {} : { fields: first })
    setting.call.answer(200, { ...fields, vary })
    setting.ask('/things', second === undefined ? {} : { fields: second })
    return setting.calls.length === 1
  }

  it.each<[string, Ask['fields'], Ask['fields'], boolean]>([
    ['equal', { foo: '1', bar: 'a' }, { bar: 'a', foo: '1' }, true],
    ['different', { foo: '1' }, { foo: '2' }, false],
    ['absent now', { foo: '1' }, {}, false],
    ['absent before', {}, { foo: '1' }, false],
    ['absent in both', { foo: '1' }, { foo: '1' }, true],
    ['absent is not empty', {}, { foo: '' }, false],
    [
      'a field that is not named: it is part of the key all the same',
      { foo: '1', other: '1' },
      { foo: '1', other: '2' },
      false,
    ],
    ['one that never goes upstream', { foo: '1', 'user-agent': '1' }, { foo: '1', 'user-agent': '2' }, true],
    ['lines joined', { foo: '1, 2' }, { foo: ['1', '2'] }, true],
    ['optional whitespace', { foo: '1,2' }, { foo: ' 1,  2 ' }, true],
    ['order of members', { foo: '1, 2' }, { foo: '2, 1' }, false],
  ])('selecting fields: %s', (_name, first, second, reused) => {
    expect(reuses(first, second)).toBe(reused)
  })

  it('language ranges have no case, and their order is a preference', () => {
    const vary = 'accept-language'
    expect(reuses({ 'accept-language': 'en, de' }, { 'accept-language': 'EN,de' }, vary)).toBe(true)
    expect(reuses({ 'accept-language': 'en, de' }, { 'accept-language': 'de, en' }, vary)).toBe(false)
  })

  it('keeps variants side by side', () => {
    const setting = new Setting()
    for (let foo = 0; foo < 10; foo += 1) {
      setting.ask('/things', { fields: { foo: String(foo) } })
      setting.call.answer(200, fields, `body ${foo}`)
    }
    expect(setting.cache.stats().entries).toBe(10)
    for (let foo = 0; foo < 10; foo += 1)
      expect(setting.ask('/things', { fields: { foo: String(foo) } }).body).toBe(`body ${foo}`)
  })

  it('of a field that never goes upstream makes none: all send the same', () => {
    for (const rule of [classRule, rfc9111]) {
      const setting = new Setting(rule)
      setting.ask('/things', { fields: { 'user-agent': 'one' } })
      setting.call.answer(200, { 'cache-control': 'max-age=60', vary: 'user-agent' })
      expect(setting.call.shared).toEqual([])
      setting.ask('/things', { fields: { 'user-agent': 'two' } })
      expect(setting.calls).toHaveLength(1)
    }
  })
})

describe('request directives (RFC 9111 section 5.2.1)', () => {
  it.each<[string, number, boolean]>([
    ['max-age=0', 3, false],
    ['max-age=2', 3, false],
    ['max-age=4', 3, true],
    ['min-fresh=56', 3, true],
    ['min-fresh=58', 3, false],
    ['no-cache', 3, false],
    ['max-stale', 3_600, true],
    ['max-stale=10', 69, true],
    ['max-stale=10', 71, false],
    ['max-stale=10, max-age=65', 69, false],
    ['max-stale=10, min-fresh=1', 69, false],
    ['nothing-to-see-here', 3, true],
  ])('%s after %d s of 60', (cacheControl, seconds, reused) => {
    const setting = new Setting()
    setting.store({ 'cache-control': 'max-age=60' })
    setting.pass(seconds)
    setting.ask('/things', { fields: { 'cache-control': cacheControl } })
    expect(setting.calls.length === 1).toBe(reused)
  })

  it.each(['must-revalidate', 'proxy-revalidate', 's-maxage=60'])('max-stale has no say against %s', (directive) => {
    const setting = new Setting()
    setting.store({ 'cache-control': `max-age=60, ${directive}` })
    setting.pass(61)
    setting.ask('/things', { fields: { 'cache-control': 'max-stale' } })
    expect(setting.calls).toHaveLength(2)
  })

  it('no-cache asks the upstream, and its answer is stored', () => {
    const setting = new Setting(classRule)
    setting.store()
    const caller = setting.ask('/things', { fields: { 'cache-control': 'no-cache' } })
    setting.call.answer(200, {}, 'new')
    expect(caller.fields['cache-status']).toContain('fwd=request; fwd-status=200; stored')
    expect(setting.ask().body).toBe('new')
  })

  it('no-store goes by the cache altogether', () => {
    const setting = new Setting(classRule)
    setting.store()
    const caller = setting.ask('/things', { fields: { 'cache-control': 'no-store' } })
    setting.call.answer(200, {}, 'other')
    expect(caller.body).toBe('other')
    expect(setting.ask().body).toBe('body')
  })

  it('only-if-cached: the stored answer or 504, and the upstream is not asked', () => {
    const setting = new Setting(classRule)
    const fields = { 'cache-control': 'only-if-cached' }
    expect(setting.ask('/things', { fields }).problem?.status).toBe(504)
    expect(setting.calls).toHaveLength(0)
    setting.store()
    expect(setting.ask('/things', { fields }).result).toBe('hit')
  })

  it.each(['if-match', 'if-unmodified-since'])('%s is for the origin (section 4.3.2)', (name) => {
    const setting = new Setting(classRule)
    setting.store()
    setting.ask('/things', { fields: { [name]: '"x"' } })
    expect(setting.call.shared).toBeNull()
    expect(setting.calls).toHaveLength(2)
  })
})

describe('stale answers (RFC 9111 section 4.2.4, RFC 5861)', () => {
  it('stale-while-revalidate: served at once, and fetched anew in the background', () => {
    const setting = new Setting()
    setting.store({ 'cache-control': 'max-age=1, stale-while-revalidate=60', etag: '"a"' })
    setting.pass(3)
    const first = setting.ask()
    expect(first).toMatchObject({ result: 'stale', body: 'body', ended: true })
    expect(first.fields['cache-status']).toBe('devin-gateway; hit; ttl=-2; detail=stale-while-revalidate')
    expect(setting.ask().result).toBe('stale')
    expect(setting.calls).toHaveLength(2)
    expect(setting.call.conditions).toMatchObject({ 'if-none-match': '"a"' })
    setting.call.answer(200, { 'cache-control': 'max-age=60' }, 'new')
    expect(setting.ask()).toMatchObject({ result: 'hit', body: 'new' })
  })

  it('stale-while-revalidate ends with its window', () => {
    const setting = new Setting()
    setting.store({ 'cache-control': 'max-age=1, stale-while-revalidate=4' })
    setting.pass(6)
    expect(setting.ask().isWaiting).toBe(true)
  })

  type Failure = ProblemKindName | 500 | 503
  it.each<[string, string, Failure, number, boolean]>([
    ['disconnected', 'max-age=2', 'upstream-unreachable', 5, true],
    ['timed out', 'max-age=2', 'upstream-timeout', 5, true],
    ['disconnected for longer than five lifetimes', 'max-age=2', 'upstream-unreachable', 13, false],
    ['5xx without permission', 'max-age=2', 503, 5, false],
    ['5xx with permission', 'max-age=2, stale-if-error=60', 503, 50, true],
    ['500 with permission', 'max-age=2, stale-if-error=60', 500, 50, true],
    ['after the permitted time', 'max-age=2, stale-if-error=60', 503, 63, false],
    ['must-revalidate', 'max-age=2, must-revalidate', 'upstream-unreachable', 5, false],
    ['proxy-revalidate', 'max-age=2, proxy-revalidate', 'upstream-unreachable', 5, false],
    ['s-maxage', 's-maxage=2', 'upstream-unreachable', 5, false],
    ['no-cache', 'max-age=2, no-cache', 'upstream-unreachable', 1, false],
    ['a rejected key', 'max-age=2', 'upstream-credential-rejected', 5, false],
    ['a certificate that is not accepted', 'max-age=2', 'upstream-tls-failed', 5, false],
  ])('stand in for a failing upstream: %s', (_name, cacheControl, failure, seconds, served) => {
    const setting = new Setting()
    setting.store({ 'cache-control': cacheControl, etag: '"a"' })
    setting.pass(seconds)
    const caller = setting.ask()
    if (typeof failure === 'number') setting.call.answer(failure, {}, 'sorry')
    else setting.call.fail(failure)
    if (served) expect(caller).toMatchObject({ result: 'stale', status: 200, body: 'body', ended: true })
    else if (typeof failure === 'number') expect(caller).toMatchObject({ status: failure, body: 'sorry' })
    else expect(caller.problem?.kind).toBe(failure)
  })

  it('are marked as such', () => {
    const setting = new Setting(classRule)
    setting.store()
    setting.pass(40)
    const caller = setting.ask()
    setting.call.answer(503)
    const status = 'devin-gateway; fwd=stale; fwd-status=503; ttl=-10; detail=stale-if-error'
    expect(caller.fields).toMatchObject({ age: '40', 'cache-status': status })
  })

  it('class rules allow five lifetimes, an hour at most, and less for a team that shortened them', () => {
    const served = (ttlMs: number, seconds: number, atMostMs: number | null = null): boolean => {
      const setting = new Setting({ ...classRule, ttlMs })
      setting.store()
      setting.pass(seconds)
      const caller = setting.ask('/things', { atMostMs })
      setting.call.answer(500)
      return caller.status === 200
    }
    expect(served(30_000, 179)).toBe(true)
    expect(served(30_000, 180)).toBe(false)
    expect(served(3_600_000, 7_199)).toBe(true)
    expect(served(3_600_000, 7_200)).toBe(false)
    expect(served(30_000, 59, 10_000)).toBe(true)
    expect(served(30_000, 60, 10_000)).toBe(false)
  })

  it.each(['no-cache', 'max-age=5'])('a caller who asked for %s gets the failure', (cacheControl) => {
    const setting = new Setting(classRule)
    setting.store()
    setting.pass(10)
    const caller = setting.ask('/things', { fields: { 'cache-control': cacheControl } })
    setting.call.answer(503)
    expect(caller.status).toBe(503)
  })

  it('stand in when the call cannot even be made; a defect is no such case', () => {
    const setting = new Setting(rfc9111)
    setting.store({ 'cache-control': 'max-age=2' })
    setting.pass(3)
    setting.throws = new Problem('overloaded', 'too many')
    expect(setting.ask()).toMatchObject({ result: 'stale', body: 'body' })
    setting.throws = new Error('a defect')
    expect(setting.ask().problem?.kind).toBe('internal')
  })

  it('never what the upstream has meanwhile answered otherwise', () => {
    const setting = new Setting(classRule)
    setting.store()
    setting.pass(40)
    setting.ask()
    setting.call.answer(403)
    const caller = setting.ask()
    setting.call.fail()
    expect(caller.problem?.kind).toBe('upstream-unreachable')
  })
})
