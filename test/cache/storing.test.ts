// What is stored, for how long, and what is reused: RFC 9111 sections 3 and 4, and the classes of the operations.

import { describe, expect, it } from 'vitest'
import type { CacheRule } from '../../src/cache/cache-request.ts'
import { classRule, httpDate, rfc9111, Setting, startMs, type Ask } from './support.ts'

const guessing: CacheRule = { kind: 'rfc9111', heuristics: true }
const date = httpDate(startMs)
type Fields = Record<string, string | string[]>

/** Whether a second, equal request some seconds later comes from the store. */
function isReused(rule: CacheRule, fields: Fields, seconds = 3, status = 200, ask: Ask = {}): boolean {
  const setting = new Setting(rule)
  setting.ask('/things', ask)
  setting.call.answer(status, fields)
  setting.pass(seconds)
  setting.ask('/things', ask)
  return setting.calls.length === 1
}

describe('rfc9111: the upstream’s fields alone decide', () => {
  it.each<[string, Fields, boolean]>([
    ['3: nothing said', {}, false],
    ['4.2.1: max-age', { 'cache-control': 'max-age=60' }, true],
    ['4.2.1: max-age over', { 'cache-control': 'max-age=2' }, false],
    ['4.2.1: s-maxage before max-age', { 'cache-control': 'max-age=60, s-maxage=1' }, false],
    ['4.2.1: max-age before Expires', { 'cache-control': 'max-age=60', expires: '0' }, true],
    ['4.2.1: max-age=0 before Expires', { 'cache-control': 'max-age=0', expires: httpDate(startMs + 60_000) }, false],
    ['5.3: Expires', { expires: httpDate(startMs + 60_000), date }, true],
    ['5.3: Expires without Date', { expires: httpDate(startMs + 60_000) }, true],
    [
      '5.3: Expires of another clock',
      { expires: httpDate(startMs - 7_140_000), date: httpDate(startMs - 7_200_000) },
      false,
    ],
    ['5.3: malformed Expires', { expires: 'Thu, 18 Aug 2050 2:01:18 GMT', date }, false],
    ['5.3: two Expires', { expires: [httpDate(startMs + 60_000), httpDate(startMs + 90_000)], date }, false],
    ['4.2.3: Date long ago', { 'cache-control': 'max-age=3600', date: httpDate(startMs - 7_200_000) }, false],
    ['4.2.3: Age beyond max-age', { 'cache-control': 'max-age=3600', age: '7200' }, false],
    ['5.1: the first of several Ages, old', { 'cache-control': 'max-age=3600', age: ['7200', '0'] }, false],
    ['5.1: the first of several Ages, new', { 'cache-control': 'max-age=3600', age: '0, 7200' }, true],
    ['5.1: Age that is no number', { 'cache-control': 'max-age=3600', age: '7200.0' }, true],
    ['5.1: negative Age', { 'cache-control': 'max-age=3600', age: '-7200' }, true],
    ['1.2.2: Age that overflows', { 'cache-control': 'max-age=3600', age: '99999999999' }, false],
    ['5.2.2.5: no-store', { 'cache-control': 'max-age=60, no-store' }, false],
    ['5.2.2.4: no-cache', { 'cache-control': 'max-age=60, no-cache' }, false],
    ['5.2.2.7: private', { 'cache-control': 'max-age=60, private' }, false],
    ['5.2.2.3: must-understand lifts no-store', { 'cache-control': 'max-age=60, no-store, must-understand' }, true],
    ['4.1: Vary: *', { 'cache-control': 'max-age=60', vary: 'accept, *' }, false],
    ['RFC 9213: targeted no-store', { 'cache-control': 'max-age=60', 'cdn-cache-control': 'no-store' }, false],
    ['RFC 9213: targeted max-age', { 'cache-control': 'no-store', 'cdn-cache-control': 'max-age=60' }, true],
    [
      'RFC 9213: Expires does not count',
      { expires: httpDate(startMs + 60_000), 'cdn-cache-control': 'max-age=1' },
      false,
    ],
    ['4.2.2: no guessing unless allowed', { 'last-modified': httpDate(startMs - 864_000_000), date }, false],
  ])('RFC 9111 section %s', (_name, fields, reused) => {
    expect(isReused(rfc9111, fields)).toBe(reused)
  })

  it.each([200, 204, 299, 301, 307, 400, 404, 410, 500, 503, 599])(
    'section 3: status %d with explicit freshness',
    (status) => {
      expect(isReused(rfc9111, { 'cache-control': 'max-age=60' }, 3, status)).toBe(true)
      expect(isReused(rfc9111, { 'cache-control': 'max-age=1' }, 3, status)).toBe(false)
    },
  )

  it.each([301, 400, 403, 405, 414, 501])('status %d without it is never kept, nor guessed about', (status) => {
    const fields = { etag: '"a"', 'last-modified': httpDate(startMs - 1e8), date, 'cache-control': 'public' }
    for (const rule of [rfc9111, guessing]) expect(isReused(rule, fields, 3, status)).toBe(false)
  })

  it('section 3.4: parts are never kept', () => {
    expect(isReused(rfc9111, { 'cache-control': 'max-age=60', 'content-range': 'bytes 0-3/9' }, 3, 206)).toBe(false)
  })

  it('section 5.2.2.3: must-understand forbids statuses that are not understood', () => {
    expect(isReused(rfc9111, { 'cache-control': 'max-age=60, must-understand' }, 3, 599)).toBe(false)
  })

  it.each<[string, Fields, number, boolean]>([
    ['a tenth of the time since the change', { 'last-modified': httpDate(startMs - 100_000), date }, 9, true],
    ['and no longer', { 'last-modified': httpDate(startMs - 100_000), date }, 11, false],
    ['a day at most', { 'last-modified': httpDate(startMs - 1e11), date }, 86_401, false],
    [
      'never against what is said',
      { 'last-modified': httpDate(startMs - 1e8), 'cache-control': 'max-age=1' },
      3,
      false,
    ],
  ])('section 4.2.2: guessing where the class allows it: %s', (_name, fields, seconds, reused) => {
    expect(isReused(guessing, fields, seconds)).toBe(reused)
  })

  it('section 4.2.2: guessing is for some statuses, and for all with public', () => {
    const fields = { 'last-modified': httpDate(startMs - 1e8), date }
    expect(isReused(guessing, fields, 3, 299)).toBe(false)
    expect(isReused(guessing, { ...fields, 'cache-control': 'public' }, 3, 299)).toBe(true)
  })
})

describe('class rules: the class decides, the upstream shortens or forbids', () => {
  it.each<[string, Fields, number, boolean]>([
    ['the class', {}, 29, true],
    ['the class, over', {}, 30, false],
    ['max-age that is shorter', { 'cache-control': 'max-age=10' }, 11, false],
    ['max-age that is longer', { 'cache-control': 'max-age=3600' }, 31, false],
    ['Age takes from max-age', { 'cache-control': 'max-age=20', age: '15' }, 6, false],
    ['Age does not take from the class', { age: '15' }, 29, true],
    ['Expires that is shorter', { expires: httpDate(startMs + 5_000), date }, 6, false],
    ['no-store', { 'cache-control': 'no-store' }, 1, false],
    ['private', { 'cache-control': 'private' }, 1, false],
    ['no-cache', { 'cache-control': 'no-cache' }, 1, false],
    ['Vary: *', { vary: '*' }, 1, false],
    ['a cookie', { 'set-cookie': 'a=b' }, 1, false],
    ['a coding that cannot be undone', { 'content-encoding': 'dcb' }, 1, false],
  ])('%s', (_name, fields, seconds, reused) => {
    expect(isReused(classRule, fields, seconds)).toBe(reused)
  })

  it.each([
    [200, 29, true],
    [203, 29, true],
    [204, 29, true],
    [404, 1, true],
    [404, 2, false],
    [410, 1, true],
    [301, 1, false],
    [400, 1, false],
    [403, 1, false],
    [429, 1, false],
    [500, 1, false],
  ])('status %d after %d s', (status, seconds, reused) => {
    expect(isReused(classRule, {}, seconds, status)).toBe(reused)
  })

  it('a team can shorten the lifetime for itself, and turn the cache off', () => {
    expect(isReused(classRule, {}, 9, 200, { atMostMs: 10_000 })).toBe(true)
    expect(isReused(classRule, {}, 10, 200, { atMostMs: 10_000 })).toBe(false)
    expect(isReused(classRule, {}, 0, 200, { atMostMs: 0 })).toBe(false)
    const setting = new Setting(classRule)
    setting.store()
    setting.pass(15)
    setting.ask('/things', { atMostMs: 10_000 })
    expect(setting.calls).toHaveLength(2)
    expect(setting.ask().result).toBe('hit')
  })

  it('a class that was made shorter meanwhile counts at once', () => {
    const setting = new Setting(classRule)
    setting.store()
    setting.pass(3)
    setting.ask('/things', { rule: { ...classRule, ttlMs: 2_000 } })
    expect(setting.calls).toHaveLength(2)
  })

  it('`never` keeps nothing and says so', () => {
    const setting = new Setting({ kind: 'never' })
    const caller = setting.store({ 'cache-control': 'max-age=60' })
    expect(caller.fields['cache-status']).toBe('devin-gateway; fwd=bypass; fwd-status=200')
    setting.ask()
    expect(setting.calls).toHaveLength(2)
  })

  it.each(['no-store', 'private'])('not %s, also where reads are always collapsed', (directive) => {
    const setting = new Setting({ ...classRule, alwaysCollapsed: true })
    const first = setting.store({ 'cache-control': directive })
    expect(first.fields['cache-status']).toBe(`devin-gateway; fwd=uri-miss; fwd-status=200; detail=${directive}`)
    setting.ask()
    expect(setting.calls).toHaveLength(2)
    expect(setting.cache.stats()).toMatchObject({ entries: 0, bytes: 0 })
  })
})

describe('what is kept of an answer', () => {
  it('sections 3.1 and 5.2.2: not what is for one hop or withheld, which the first caller gets all the same', () => {
    const setting = new Setting()
    const fields = {
      'cache-control': ['max-age=60, private="b"', 'no-cache="A"'],
      a: '1',
      b: '2',
      c: '3',
      'proxy-authenticate': 'x',
      'keep-alive': 'y',
    }
    expect(setting.store(fields).fields).toMatchObject({ a: '1', b: '2', c: '3' })
    const { fields: second } = setting.ask()
    expect(second).toMatchObject({ c: '3' })
    for (const name of ['a', 'b', 'proxy-authenticate', 'keep-alive']) expect(second).not.toHaveProperty(name)
  })

  it('section 3.3: not an answer that is shorter than it says', () => {
    const setting = new Setting(classRule)
    const caller = setting.ask()
    setting.call.head(200, {}, 100)
    setting.call.sink.end(Buffer.from('short'))
    expect(caller.problem?.kind).toBe('upstream-unreachable')
    expect(setting.cache.stats().entries).toBe(0)
  })

  it('not a body beyond the limit, which still reaches its caller whole', () => {
    for (const rule of [classRule, rfc9111]) {
      for (const length of [null, 30_000]) {
        const setting = new Setting(rule)
        const caller = setting.ask()
        setting.call.head(200, { 'cache-control': 'max-age=60' }, length)
        for (const _ of [1, 2, 3]) setting.call.sink.data(Buffer.alloc(9_000, 'x'))
        setting.call.sink.end(Buffer.alloc(3_000, 'y'))
        expect(caller.body).toBe('x'.repeat(27_000) + 'y'.repeat(3_000))
        expect(setting.cache.stats().entries).toBe(0)
      }
    }
  })

  it('RFC 9110 section 6.6.1: the time it came, where the upstream does not say when it was made', () => {
    const setting = new Setting(classRule)
    setting.store()
    setting.pass(5)
    expect(setting.ask().fields).toMatchObject({ date, age: '5' })
  })

  it('the stored body is a copy in memory of its own', () => {
    const setting = new Setting(classRule)
    const large = Buffer.alloc(64_000, 'x')
    setting.ask()
    setting.call.head(200, {}, 100)
    setting.call.sink.end(large.subarray(0, 100))
    const [stored] = setting.ask().chunks
    expect(stored?.buffer.byteLength).toBe(100)
  })
})

describe('Age and Cache-Status', () => {
  it('RFC 9111 section 5.1: Age counts on from what came; Date stays', () => {
    const setting = new Setting()
    setting.store({ 'cache-control': 'max-age=3600', age: '30', date })
    setting.pass(3)
    expect(setting.ask().fields).toMatchObject({ age: '33', date })
  })

  it('section 4.2.3: the time the upstream took counts as age', () => {
    const setting = new Setting()
    setting.ask()
    setting.pass(5)
    setting.call.answer(200, { 'cache-control': 'max-age=3600' })
    expect(setting.ask().fields['age']).toBe('5')
  })

  it('RFC 9211: what was done, why, and for how long it will do', () => {
    const setting = new Setting(classRule)
    expect(setting.store().fields['cache-status']).toBe('devin-gateway; fwd=uri-miss; fwd-status=200; stored; ttl=30')
    setting.pass(10)
    expect(setting.ask().fields['cache-status']).toBe('devin-gateway; hit; ttl=20')
    setting.pass(25)
    expect(setting.store().fields['cache-status']).toBe('devin-gateway; fwd=stale; fwd-status=200; stored; ttl=30')
    setting.ask('/things', { fields: { 'cache-control': 'no-cache' } })
    expect(setting.calls).toHaveLength(3)
  })

  it.each([
    [{ 'cache-control': 'no-store' }, 'no-store'],
    [{ 'cache-control': 'private' }, 'private'],
    [{ vary: '*' }, 'vary'],
    [{ 'set-cookie': 'a' }, 'cookie'],
  ])('%j is named as the reason for not keeping', (fields, detail) => {
    const caller = new Setting(classRule).store(fields)
    expect(caller.fields['cache-status']).toBe(`devin-gateway; fwd=uri-miss; fwd-status=200; detail=${detail}`)
  })

  it('a Cache-Status of the upstream’s own stays before ours', () => {
    const caller = new Setting(classRule).store({ 'cache-status': 'cdn; hit' })
    expect(caller.fields['cache-status']).toMatch(/^cdn; hit, devin-gateway; fwd=uri-miss/)
  })
})
