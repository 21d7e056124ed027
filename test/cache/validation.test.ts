// Validation and what follows from it: RFC 9111 sections 4.3 and 3.2.

import { describe, expect, it } from 'vitest'
import type { CacheRule } from '../../src/cache/cache-request.ts'
import { classRule, Setting } from './support.ts'

const lastModified = 'Wed, 01 Jan 2020 00:00:00 GMT'

/** With one answer stored and gone stale. */
function stale(fields: Record<string, string>, rule?: CacheRule): Setting {
  const setting = new Setting(rule)
  setting.store({ 'cache-control': 'max-age=2', test: 'A', ...fields })
  setting.pass(rule === undefined ? 3 : 31)
  return setting
}

describe('asking whether it is still the one (section 4.3.1)', () => {
  it.each([
    [{ etag: '"a"' }, { 'if-none-match': '"a"' }],
    [{ etag: 'W/"a"' }, { 'if-none-match': 'W/"a"' }],
    [{ 'last-modified': lastModified }, { 'if-modified-since': lastModified }],
    [{}, {}],
  ])('with %j', (fields, conditions) => {
    const setting = stale(fields)
    setting.ask('/things', { fields: { 'if-none-match': '"mine"', 'if-modified-since': lastModified } })
    expect(setting.call.conditions).toEqual(conditions)
  })

  it('never with an ETag of the cache’s own, which the upstream does not know', () => {
    const setting = stale({}, classRule)
    setting.ask()
    expect(setting.call.conditions).toEqual({})
  })

  it('also for no-cache, of the answer and of the caller', () => {
    const setting = new Setting()
    setting.store({ 'cache-control': 'max-age=60, no-cache', etag: '"a"' })
    setting.ask()
    expect(setting.call.conditions).toEqual({ 'if-none-match': '"a"' })
    const other = new Setting()
    other.store({ 'cache-control': 'max-age=60', etag: '"a"' })
    other.ask('/things', { fields: { 'cache-control': 'no-cache' } })
    expect(other.call.conditions).toEqual({ 'if-none-match': '"a"' })
  })
})

describe('a 304', () => {
  it('leaves the cache’s own ETag the cache’s own', () => {
    const setting = new Setting(classRule)
    const { etag } = setting.store({ 'last-modified': lastModified }).fields
    for (const _ of [1, 2]) {
      setting.pass(31)
      const caller = setting.ask()
      expect(setting.call.conditions).toEqual({ 'if-modified-since': lastModified })
      setting.call.answer(304)
      expect(caller.fields['etag']).toBe(etag)
    }
  })

  it('sections 4.3.4 and 3.2: freshens what is stored; fields of the body stay', () => {
    const setting = stale({ etag: '"a"', 'content-type': 'text/plain', kept: 'yes' })
    const caller = setting.ask()
    setting.call.answer(304, {
      etag: '"a"',
      test: 'B',
      'cache-control': 'max-age=60',
      'content-encoding': 'gzip',
      'content-length': '1',
    })
    const expected = { test: 'B', kept: 'yes', 'content-type': 'text/plain', 'cache-control': 'max-age=60' }
    expect(caller).toMatchObject({ result: 'validated', status: 200, body: 'body', fields: expected })
    expect(caller.fields['cache-status']).toBe('devin-gateway; fwd=stale; fwd-status=304; stored; ttl=60')
    expect(caller.fields).not.toHaveProperty('content-encoding')
    setting.pass(50)
    expect(setting.ask()).toMatchObject({ result: 'hit', fields: { ...expected, age: '50' } })
  })

  it('section 4.3.2: a caller who has it already gets 304', () => {
    const setting = stale({ etag: '"a"' })
    const caller = setting.ask('/things', { fields: { 'if-none-match': '"a"' } })
    setting.call.answer(304, { etag: '"a"' })
    expect(caller).toMatchObject({ status: 304, body: '' })
  })

  it('that says no-store takes it out of the store', () => {
    const setting = stale({ etag: '"a"' })
    const caller = setting.ask()
    setting.call.answer(304, { etag: '"a"', 'cache-control': 'no-store' })
    expect(caller.body).toBe('body')
    expect(setting.cache.stats().entries).toBe(0)
  })

  it('that came with a cookie takes it out of the store, and is nobody else’s', () => {
    const setting = stale({ etag: '"a"' })
    const [first, second] = [setting.ask(), setting.ask()]
    setting.call.sink.head({ status: 304, fields: ['etag', '"a"'], length: null, unshared: 'cookie' })
    expect([first.body, second.isWaiting, setting.cache.stats().entries]).toEqual(['body', true, 0])
  })

  it('about another answer: the upstream is asked again, without a condition', () => {
    const setting = stale({ etag: '"a"' })
    const caller = setting.ask()
    setting.call.answer(304, { etag: '"b"' })
    expect(setting.calls).toHaveLength(3)
    expect(setting.call.conditions).toEqual({})
    setting.call.answer(200, {}, 'new')
    expect(caller.body).toBe('new')
  })

  it('a new answer takes the place of the stored one', () => {
    const setting = stale({ etag: '"a"' })
    const caller = setting.ask()
    setting.call.answer(200, { etag: '"b"', 'cache-control': 'max-age=60' }, 'new')
    expect(caller).toMatchObject({ result: 'miss', body: 'new' })
    expect(setting.ask().body).toBe('new')
    expect(setting.cache.stats().entries).toBe(1)
  })

  it('that nobody asked for is passed on', () => {
    const setting = new Setting()
    const caller = setting.ask()
    setting.call.answer(304)
    expect(caller.status).toBe(304)
  })
})

describe('HEAD', () => {
  it('is answered from a stored GET', () => {
    const setting = new Setting(classRule)
    setting.store({ 'content-type': 'text/plain' })
    const caller = setting.ask('/things', { method: 'HEAD' })
    expect(caller).toMatchObject({ status: 200, length: 4, body: '', result: 'hit' })
    expect(caller.fields['content-type']).toBe('text/plain')
  })

  it('goes to the upstream as HEAD when there is none, and stores nothing', () => {
    const setting = new Setting(classRule)
    const caller = setting.ask('/things', { method: 'HEAD' })
    setting.call.head(200, {}, 100)
    setting.call.sink.end(null)
    expect(caller).toMatchObject({ status: 200, length: 100, ended: true })
    expect(setting.cache.stats().entries).toBe(0)
  })

  it('section 4.3.5: its answer freshens what is stored', () => {
    const setting = stale({ etag: '"a"' })
    const caller = setting.ask('/things', { method: 'HEAD' })
    setting.call.head(200, { etag: '"a"', test: 'B', 'cache-control': 'max-age=60' }, 4)
    setting.call.sink.end(null)
    expect(caller.fields['test']).toBe('B')
    expect(setting.ask()).toMatchObject({ result: 'hit', body: 'body', fields: { test: 'B' } })
  })

  it('whose answer has no validator gives a class-cached body no new life', () => {
    const setting = stale({}, classRule)
    setting.ask('/things', { method: 'HEAD' })
    setting.call.head(200, {}, 4)
    setting.call.sink.end(null)
    setting.ask()
    expect(setting.calls).toHaveLength(3)
  })

  it.each<[string, Record<string, string>, number]>([
    ['another ETag', { etag: '"b"' }, 4],
    ['another length', { etag: '"a"' }, 5],
  ])('section 4.3.5: %s shows that it is outdated', (_name, fields, length) => {
    const setting = stale({ etag: '"a"' })
    setting.ask('/things', { method: 'HEAD' })
    setting.call.head(200, fields, length)
    setting.call.sink.end(null)
    expect(setting.cache.stats().entries).toBe(0)
  })
})
