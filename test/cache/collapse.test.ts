// One upstream call for identical concurrent reads: who waits, who may have the answer, and what happens when it does not come.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { followAcquired } from '../../src/cache/acquired.ts'
import type { CacheRule } from '../../src/cache/cache-request.ts'
import { Caller, classRule, rfc9111, Setting, type Ask } from './support.ts'

const fresh = { 'cache-control': 'max-age=60' }
const several = [1, 2, 3, 4, 5]

const always = { ...classRule, alwaysCollapsed: true }

describe('identical concurrent reads', () => {
  it.each([
    ['class', classRule],
    ['rfc9111', rfc9111],
  ] as const)('cost one upstream call: %s', (_name, rule) => {
    const setting = new Setting(rule)
    const callers = several.map(() => setting.ask())
    expect(setting.calls).toHaveLength(1)
    setting.call.answer(200, fresh)
    expect(callers.map(({ result }) => result)).toEqual(['miss', ...Array(4).fill('collapsed')])
    for (const caller of callers) expect(caller).toMatchObject({ body: 'body', ended: true, status: 200 })
    expect(callers[1]?.fields['cache-status']).toMatch(/^devin-gateway; fwd=uri-miss; fwd-status=200;.* collapsed/)
    expect(callers[1]?.fields['age']).toBe('0')
    expect(setting.cache.stats().operations.get('things.list')).toMatchObject({ misses: 1, collapsed: 4 })
    expect(setting.cache.stats().fetches).toBe(0)
  })

  it('validate with one call, too', () => {
    const setting = new Setting()
    setting.store({ 'cache-control': 'max-age=1', etag: '"a"' })
    setting.pass(5)
    const callers = several.map(() => setting.ask())
    setting.call.answer(304, { ...fresh, etag: '"a"' })
    expect(setting.calls).toHaveLength(2)
    expect(callers.map(({ body }) => body)).toEqual(several.map(() => 'body'))
  })

  it.each<[string, Ask, Ask]>([
    ['another partition', {}, { partition: 'key-2' }],
    ['another target', { target: '/things?a=1' }, { target: '/things?a=2' }],
    ['another field', { fields: { accept: 'a/b' } }, { fields: { accept: 'a/c' } }],
    ['no-cache', {}, { fields: { 'cache-control': 'no-cache' } }],
    ['HEAD', {}, { method: 'HEAD' }],
  ])('%s is another request', (_name, first, second) => {
    const setting = new Setting(classRule)
    setting.ask(first.target, first)
    setting.ask(second.target, second)
    expect(setting.calls).toHaveLength(2)
  })

  it('get parts of the whole that is asked for, whoever asked first', () => {
    for (const rule of [classRule, rfc9111]) {
      const setting = new Setting(rule)
      const first = setting.ask('/things', { fields: { range: 'bytes=1-2' } })
      const whole = setting.ask('/things')
      const last = setting.ask('/things', { fields: { range: 'bytes=-1' } })
      expect(setting.calls).toHaveLength(1)
      setting.call.answer(200, fresh)
      expect([first, whole, last].map(({ status, body }) => [status, body])).toEqual([
        [206, 'od'],
        [200, 'body'],
        [206, 'y'],
      ])
    }
  })

  it('get what suits them: 304 for who has it already', () => {
    const setting = new Setting()
    const leader = setting.ask('/things')
    const knowing = setting.ask('/things', { fields: { 'if-none-match': '"a"' } })
    setting.call.answer(200, { ...fresh, etag: '"a"', vary: 'foo' })
    expect(leader).toMatchObject({ status: 200, body: 'body' })
    expect(knowing).toMatchObject({ status: 304, result: 'collapsed' })
    expect(setting.calls).toHaveLength(1)
  })
})

describe('an answer that tells nothing of what was asked for', () => {
  const rules: [string, CacheRule][] = [
    ['class', classRule],
    ['always collapsed', always],
    ['rfc9111', rfc9111],
  ]
  const statuses = [301, 307, 400, 403, 405, 408, 409, 413, 414, 421, 422, 428, 431, 451]

  it.each(rules.flatMap(([name, rule]) => statuses.map((status) => [name, status, rule] as const)))(
    'is nobody else’s and is not stored: %s, %i',
    (_name, status, rule) => {
      const setting = new Setting(rule)
      const callers = several.map(() => setting.ask())
      const said = rule.kind === 'class' ? { 'cache-control': 'public, s-maxage=60' } : { 'cache-control': 'public' }
      setting.call.answer(status, said, 'of the first')
      expect(setting.calls).toHaveLength(5)
      for (const [index, call] of setting.calls.slice(1).entries()) call.answer(200, fresh, `own ${index}`)
      expect(callers.map(({ body }) => body)).toEqual(['of the first', 'own 0', 'own 1', 'own 2', 'own 3'])
      expect(setting.ask().body).toBe('own 3')
    },
  )

  it.each(rules)(
    '404 and 410 are, where there is one thing to be absent, and no answer of a list: %s',
    (_name, rule) => {
      for (const status of [404, 410]) {
        const absent = new Setting(rule)
        const callers = several.map(() => absent.ask())
        absent.call.answer(status, fresh, 'gone')
        expect(callers.map((caller) => [caller.status, caller.body])).toEqual(several.map(() => [status, 'gone']))
        expect(absent.ask().result).toBe('hit')
        const list = new Setting(rule)
        for (const _ of several) list.ask('/things', { mayBeAbsent: false })
        list.call.answer(status, rule.kind === 'class' ? fresh : {}, 'gone')
        expect(list.calls).toHaveLength(5)
        expect(list.cache.stats().entries).toBe(0)
      }
    },
  )

  it.each(rules)(
    '429 is not shared either, and costs no more calls: waiters are refused with Retry-After (%s)',
    (_name, rule) => {
      const setting = new Setting(rule)
      const callers = several.map(() => setting.ask())
      setting.call.answer(429, { 'retry-after': '7', 'cache-control': 'max-age=60' }, 'of the first')
      expect(setting.calls).toHaveLength(1)
      expect(callers[0]).toMatchObject({ status: 429, body: 'of the first' })
      for (const caller of callers.slice(1)) {
        expect(caller.problem).toMatchObject({
          kind: 'rate-limit-exceeded',
          reason: 'upstream-throttled',
          fields: { 'retry-after': '7' },
        })
      }
      setting.ask()
      expect(setting.calls).toHaveLength(2)
    },
  )

  it('is nobody else’s where a field says so that does not cross, and not stored', () => {
    for (const [, rule] of rules) {
      const setting = new Setting(rule)
      for (const _ of several) setting.ask()
      setting.call.sink.head({ status: 200, fields: ['cache-control', 'max-age=60'], length: 1, unshared: 'cookie' })
      setting.call.sink.end(Buffer.from('x'))
      expect(setting.calls).toHaveLength(5)
      expect(setting.cache.stats().entries).toBe(0)
    }
  })
})

describe('an answer that must not be stored', () => {
  it.each<[string, CacheRule, number, Record<string, string>]>([
    ['no-store where reads are always collapsed', always, 200, { 'cache-control': 'no-store' }],
    ['private where reads are always collapsed', always, 200, { 'cache-control': 'private' }],
  ])('is for all who wait, and for nobody later: %s', (_name, rule, status, fields) => {
    const setting = new Setting(rule)
    const callers = several.map(() => setting.ask())
    setting.call.answer(status, fields)
    expect(setting.calls).toHaveLength(1)
    for (const caller of callers) expect(caller).toMatchObject({ status, body: 'body', fields })
    expect(callers[4]?.result).toBe('collapsed')
    expect(setting.cache.stats().entries).toBe(0)
    setting.ask()
    expect(setting.calls).toHaveLength(2)
  })

  it('leaves what is stored alone when it says that there were too many requests', () => {
    const setting = new Setting(classRule)
    setting.store()
    setting.pass(31)
    setting.ask()
    setting.call.answer(429)
    const caller = setting.ask()
    setting.call.fail()
    expect(caller).toMatchObject({ result: 'stale', body: 'body' })
  })
})

describe('an answer that must not be shared', () => {
  it.each<[string, Record<string, string>]>([
    ['no-store', { 'cache-control': 'no-store' }],
    ['private', { 'cache-control': 'private, max-age=60' }],
    ['nothing that makes it fresh', {}],
    ['Vary: *', { ...fresh, vary: '*' }],
    ['no-cache', { 'cache-control': 'no-cache', etag: '"a"' }],
  ])('%s: the others ask for themselves, at once and all together', (_name, fields) => {
    const setting = new Setting()
    const callers = several.map(() => setting.ask())
    setting.calls[0]?.head(200, fields)
    expect(setting.calls).toHaveLength(5)
    for (const [index, call] of setting.calls.entries()) {
      if (index > 0) call.head(200, fields)
      call.sink.end(Buffer.from(`body ${index}`))
    }
    expect(callers.map(({ body }) => body)).toEqual([0, 1, 2, 3, 4].map((index) => `body ${index}`))
    // For a while nobody waits for it in vain.
    for (const _ of several) setting.ask()
    expect(setting.calls).toHaveLength(10)
    setting.pass(11)
    for (const _ of several) setting.ask()
    expect(setting.calls).toHaveLength(11)
  })

  it('one that grows too large reaches the leader as it comes, and the others ask for themselves', () => {
    const setting = new Setting(classRule)
    const callers = [setting.ask(), setting.ask()]
    setting.call.head(200)
    setting.call.sink.data(Buffer.alloc(9_000))
    expect(callers[0]?.isWaiting).toBe(true)
    setting.call.sink.data(Buffer.alloc(9_000))
    expect(callers[0]?.chunks).toHaveLength(2)
    expect(setting.calls).toHaveLength(2)
    expect(callers[0]?.fields['cache-status']).toContain('detail=too-large')
  })

  it('one that says it is too large is not waited for', () => {
    const setting = new Setting(classRule)
    setting.ask()
    setting.ask()
    setting.call.head(200, {}, 20_000)
    expect(setting.calls).toHaveLength(2)
  })
})

describe('callers who leave', () => {
  it.each([
    ['the leader', 0],
    ['a follower', 1],
  ])('%s does no harm to the others', (_name, index) => {
    const setting = new Setting(classRule)
    const callers = several.map(() => setting.ask())
    callers[index]?.source?.abort()
    expect(setting.call.aborted).toBe(false)
    setting.call.answer(200)
    for (const [place, caller] of callers.entries()) expect(caller.ended).toBe(place !== index)
    expect(setting.cache.stats().entries).toBe(1)
  })

  it('half way through the body neither', () => {
    const setting = new Setting()
    const callers = several.map(() => setting.ask())
    setting.call.head(200, fresh)
    setting.call.sink.data(Buffer.from('bo'))
    callers[0]?.source?.abort()
    setting.call.sink.end(Buffer.from('dy'))
    expect(callers[1]?.body).toBe('body')
    expect(callers[0]?.ended).toBe(false)
  })

  it('all of them: then the upstream is let go', () => {
    const setting = new Setting(classRule)
    const callers = several.map(() => setting.ask())
    for (const caller of callers) caller.source?.abort()
    expect(setting.call.aborted).toBe(true)
    expect(setting.cache.stats().fetches).toBe(0)
    setting.ask()
    expect(setting.calls).toHaveLength(2)
  })

  it('before the upstream is even attached: it is let go as soon as it is', () => {
    const setting = new Setting(classRule)
    const caller = new Caller()
    let attach = (): void => undefined
    let aborted = false
    followAcquired(setting.cache.acquire(setting.request('/things')), caller, (_shared, sink) => {
      attach = () => sink.attach({ abort: () => (aborted = true), resume: () => undefined })
    })
    caller.source?.abort()
    attach()
    expect(aborted).toBe(true)
  })

  it('alone in the middle of an answer that is stored: the upstream is let go', () => {
    const setting = new Setting()
    const caller = setting.ask()
    setting.call.head(200, fresh)
    caller.source?.abort()
    expect(setting.call.aborted).toBe(true)
  })
})

describe('a leader that fails', () => {
  it('lets the next try, for all who wait', () => {
    const setting = new Setting(classRule)
    const callers = several.map(() => setting.ask())
    setting.call.fail()
    expect(callers[0]?.problem?.kind).toBe('upstream-unreachable')
    expect(setting.calls).toHaveLength(2)
    setting.call.answer(200)
    for (const caller of callers.slice(1)) expect(caller.body).toBe('body')
  })

  it('for want of room in its own limits: says nothing about the others, however many have none', () => {
    const setting = new Setting(classRule)
    const callers = several.map(() => setting.ask())
    for (const _ of [1, 2, 3, 4]) setting.call.fail('rate-limit-exceeded')
    expect(setting.calls).toHaveLength(5)
    setting.call.answer(200)
    expect(callers.map(({ problem, body }) => problem?.kind ?? body)).toEqual([
      ...[1, 2, 3, 4].map(() => 'rate-limit-exceeded'),
      'body',
    ])
  })

  it.each(['upstream-unreachable', 'upstream-timeout', 'upstream-credential-rejected'] as const)(
    'three times with %s: nobody tries for ever',
    (kind) => {
      const setting = new Setting(classRule)
      const callers = several.map(() => setting.ask())
      for (const _ of [1, 2, 3]) setting.call.fail(kind)
      expect(setting.calls).toHaveLength(3)
      for (const caller of callers) expect(caller.problem?.kind).toBe(kind)
      expect(setting.cache.stats().fetches).toBe(0)
    },
  )

  it.each([
    ['class', classRule],
    ['rfc9111', rfc9111],
  ] as const)(
    'with errors of the upstream: one after another asks, three in all; then each for itself (%s)',
    (_name, rule) => {
      const setting = new Setting(rule)
      const callers = several.map(() => setting.ask())
      for (const attempt of [1, 2, 3]) {
        expect(setting.calls).toHaveLength(attempt)
        setting.call.answer(503, {}, `error ${attempt}`)
      }
      expect(setting.calls).toHaveLength(5)
      for (const attempt of [4, 5]) setting.calls[attempt - 1]?.answer(503, {}, `error ${attempt}`)
      expect(callers.map(({ body }) => body)).toEqual(['error 1', 'error 2', 'error 3', 'error 4', 'error 5'])
      expect(setting.cache.stats().entries).toBe(0)
    },
  )

  it('half way through the body: it is cut off, the others have another try', () => {
    const setting = new Setting()
    const callers = [setting.ask(), setting.ask()]
    setting.call.head(200, fresh)
    setting.call.sink.data(Buffer.from('bo'))
    setting.call.fail()
    expect(callers[0]).toMatchObject({ status: 200, ended: false })
    expect(callers[0]?.problem?.kind).toBe('upstream-unreachable')
    setting.call.answer(200, fresh)
    expect(callers[1]?.body).toBe('body')
  })

  it.each(['upstream-answer-refused', 'overloaded', 'key-unavailable'] as const)(
    'with %s: another try would meet the same, so it is everybody’s at once',
    (kind) => {
      const setting = new Setting(classRule)
      const callers = several.map(() => setting.ask())
      setting.call.fail(kind)
      expect(setting.calls).toHaveLength(1)
      for (const caller of callers) expect(caller.problem?.kind).toBe(kind)
    },
  )

  it('before anything is sent', () => {
    const setting = new Setting(classRule)
    setting.throws = new Error('defect')
    expect(setting.ask().problem?.kind).toBe('internal')
    setting.throws = null
    setting.ask()
    expect(setting.calls).toHaveLength(1)
  })
})

describe('waiting is bounded', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('in time: one of those who wait asks again, the leader’s own call goes on', () => {
    const setting = new Setting(classRule)
    const callers = several.map(() => setting.ask())
    vi.advanceTimersByTime(9_999)
    expect(setting.calls).toHaveLength(1)
    vi.advanceTimersByTime(1)
    expect(setting.calls).toHaveLength(2)
    expect(callers.filter(({ isWaiting }) => isWaiting)).toHaveLength(5)
    setting.calls[1]?.answer(200, {}, 'second')
    expect(callers.slice(1).map(({ body }) => body)).toEqual(['second', 'second', 'second', 'second'])
    setting.calls[0]?.answer(200, {}, 'first')
    expect(callers[0]?.body).toBe('first')
    // The later answer is the younger one.
    expect(setting.ask().body).toBe('second')
  })

  it('in time, at last: each asks for itself', () => {
    const setting = new Setting(classRule)
    for (const _ of several) setting.ask()
    vi.advanceTimersByTime(30_000)
    expect(setting.calls).toHaveLength(5)
    expect(setting.calls.every(({ aborted }) => !aborted)).toBe(true)
  })

  it('in number', () => {
    const setting = new Setting(classRule)
    for (let caller = 0; caller < 1 + 4_096; caller += 1) setting.ask()
    expect(setting.calls).toHaveLength(1)
    setting.ask()
    setting.ask()
    expect(setting.calls).toHaveLength(3)
  })

  it('in memory: what all collect together', () => {
    const setting = new Setting(classRule, { maxBytes: 100_000, maxEntryBytes: 10_000 })
    const callers = several.map((_, index) => setting.ask(`/things/${index}`))
    for (const call of setting.calls) {
      call.head(200)
      call.sink.data(Buffer.alloc(6_000))
    }
    expect(callers.map(({ chunks }) => chunks.length)).toEqual([0, 0, 1, 1, 1])
    for (const { sink } of setting.calls) sink.end(null)
    const later = setting.ask('/things/later')
    setting.call.head(200)
    setting.call.sink.data(Buffer.alloc(6_000))
    expect(later.chunks).toHaveLength(0)
  })
})

describe('a slow leader', () => {
  it('slows nobody while the answer is collected, and gets all of it at its pace', () => {
    const setting = new Setting()
    const callers = [setting.ask(), setting.ask()]
    const [leader, follower] = callers
    if (leader === undefined || follower === undefined) throw new Error('no callers')
    leader.hasRoom = false
    setting.call.head(200, fresh)
    for (const part of ['a', 'b', 'c']) expect(setting.call.sink.data(Buffer.from(part))).toBe(true)
    setting.call.sink.end(Buffer.from('d'))
    expect(follower).toMatchObject({ ended: true, body: 'abcd' })
    expect(leader).toMatchObject({ ended: false, body: 'a' })
    leader.source?.resume()
    expect(leader).toMatchObject({ ended: false, body: 'ab' })
    leader.hasRoom = true
    leader.source?.resume()
    expect(leader).toMatchObject({ ended: true, body: 'abcd' })
  })

  it('sets the upstream’s pace once the answer is too large', () => {
    const setting = new Setting()
    const leader = setting.ask()
    setting.call.head(200, fresh)
    leader.hasRoom = false
    expect(setting.call.sink.data(Buffer.alloc(9_000))).toBe(true)
    expect(setting.call.sink.data(Buffer.alloc(9_000))).toBe(false)
    expect(leader.chunks).toHaveLength(1)
    leader.hasRoom = true
    leader.source?.resume()
    expect(leader.chunks).toHaveLength(2)
    expect(setting.call.resumed).toBe(1)
    expect(setting.call.sink.data(Buffer.alloc(9_000))).toBe(true)
    setting.call.sink.end(null)
    expect(leader.ended).toBe(true)
  })
})
