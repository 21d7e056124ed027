// Writes: what they make stale is gone before their caller has its answer, and no read that was under way brings it back.

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { classRule, rfc9111, Setting, type Ask, type Caller, type Call } from './support.ts'

const write: Ask = { method: 'POST', tags: ['things.list'] }

function stored(...targets: string[]): Setting {
  const setting = new Setting(classRule)
  for (const target of targets) {
    setting.ask(target, { tags: [] })
    setting.call.answer(200)
  }
  return setting
}

describe('what a write drops (RFC 9111 section 4.4)', () => {
  it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'M-SEARCH'])(
    '%s drops its own path, with every query, for all',
    (method) => {
      const setting = stored('/things', '/things?a=1', '/others')
      setting.ask('/things', { partition: 'key-2', tags: [] })
      setting.call.answer(200)
      const caller = setting.ask('/things?b', { method, tags: [] })
      setting.call.answer(201)
      expect(caller.fields['cache-status']).toBe('devin-gateway; fwd=method; fwd-status=201')
      expect(setting.cache.stats().entries).toBe(1)
      expect(setting.ask('/others', { tags: [] }).result).toBe('hit')
    },
  )

  it.each(['GET', 'HEAD', 'OPTIONS', 'TRACE'])('%s drops nothing', (method) => {
    const setting = stored('/things')
    setting.ask('/things', { method, rule: { kind: 'never' }, tags: ['things.list'] })
    setting.call.answer(200)
    expect(setting.cache.stats().entries).toBe(1)
  })

  it('and what has one of its tags', () => {
    const setting = new Setting(classRule)
    for (const [target, tags] of [
      ['/a', ['one', 'two']],
      ['/b', ['two']],
      ['/c', ['three']],
    ] as const) {
      setting.ask(target, { tags })
      setting.call.answer(200)
    }
    setting.ask('/x', { method: 'POST', tags: ['two', 'four'] })
    setting.call.answer(204)
    expect(setting.cache.stats().entries).toBe(1)
    expect(setting.ask('/c', { tags: ['three'] }).result).toBe('hit')
  })

  it.each([
    ['location', '/things/1'],
    ['location', 'things/1'],
    ['location', '/things/1?x#y'],
    ['content-location', 'https://api.example/things/1'],
  ])('and what %s: %s names', (name, value) => {
    const setting = stored('/things/1')
    setting.ask('/things', { method: 'POST', tags: [] })
    setting.call.answer(201, { [name]: value })
    expect(setting.cache.stats().entries).toBe(0)
  })

  it.each(['https://app.example/things/1', '//other.example/things/1', 'https://api.example.org/things/1', 'http:'])(
    'but not on another origin: %s',
    (value) => {
      const setting = stored('/things/1')
      setting.ask('/things', { method: 'POST', tags: [] })
      setting.call.answer(201, { location: value })
      expect(setting.cache.stats().entries).toBe(1)
    },
  )

  it.each<[string, 'class' | 'rfc9111', (call: Call, caller: Caller) => void, number]>([
    ['200', 'class', (call) => call.answer(200), 0],
    ['303', 'class', (call) => call.answer(303), 0],
    ['400', 'class', (call) => call.answer(400), 1],
    ['409', 'class', (call) => call.answer(409), 1],
    ['500, which tells nothing', 'class', (call) => call.answer(500), 0],
    ['500, by the RFC alone', 'rfc9111', (call) => call.answer(500), 1],
    ['504 of a proxy on the way', 'rfc9111', (call) => call.answer(504), 0],
    ['a broken connection', 'rfc9111', (call) => call.fail(), 0],
    ['a time-out', 'class', (call) => call.fail('upstream-timeout'), 0],
    ['a caller who leaves', 'class', (_call, caller) => caller.source?.abort(), 0],
  ])('after %s (%s)', (_name, kind, end, left) => {
    const setting = stored('/things')
    const caller = setting.ask('/things', { ...write, rule: kind === 'class' ? classRule : rfc9111 })
    end(setting.call, caller)
    expect(setting.cache.stats().entries).toBe(left)
  })

  it('before its caller has the answer', () => {
    const setting = stored('/things')
    const caller = setting.ask('/things', write)
    let entries = -1
    caller.head = () => {
      entries = setting.cache.stats().entries
    }
    setting.call.head(200)
    expect(entries).toBe(0)
  })

  it('what was refused before it was sent drops nothing', () => {
    const setting = stored('/things')
    setting.throws = new Error('overloaded')
    expect(() => setting.ask('/things', write)).toThrow('overloaded')
    expect(setting.cache.stats().entries).toBe(1)
  })
})

describe('a read that is under way while a write happens', () => {
  it.each([
    ['began before the write', true],
    ['began during the write', false],
  ])('%s: it is answered and not stored, and nobody else joins it', (_name, before) => {
    const setting = new Setting(classRule)
    const reads = [before ? setting.ask() : null]
    setting.ask('/things', write)
    const writing = setting.call
    if (!before) reads.push(setting.ask())
    const parsed = before ? setting.calls[0] : setting.call
    writing.answer(200)
    const late = setting.ask()
    parsed?.answer(200, {}, 'old')
    expect(reads.at(-1)?.body).toBe('old')
    expect(reads.at(-1)?.fields['cache-status']).toContain('detail=superseded')
    expect(late.isWaiting).toBe(true)
    setting.call.answer(200, {}, 'new')
    expect(late.body).toBe('new')
    expect(setting.ask().body).toBe('new')
  })

  it('does not bring a dropped entry back by validating it, nor by standing in', () => {
    const setting = new Setting()
    setting.store({ 'cache-control': 'max-age=1', etag: '"a"' })
    setting.pass(2)
    setting.ask()
    const validating = setting.call
    setting.ask('/things', write)
    setting.call.answer(200)
    validating.answer(304, { etag: '"a"', 'cache-control': 'max-age=60' })
    expect(setting.cache.stats().entries).toBe(0)

    setting.store({ 'cache-control': 'max-age=60' })
    setting.pass(61)
    const caller = setting.ask()
    const failing = setting.call
    setting.ask('/things', write)
    setting.call.answer(200)
    failing.fail()
    expect(caller.problem?.kind).toBe('upstream-unreachable')
  })

  it('an older answer never takes the place of a newer one', () => {
    const setting = new Setting(classRule)
    setting.ask()
    const slow = setting.call
    setting.ask('/things', { fields: { 'cache-control': 'no-cache' } })
    setting.call.answer(200, {}, 'new')
    slow.answer(200, {}, 'old')
    expect(setting.ask().body).toBe('new')
  })
})

describe('a write of unknown outcome', () => {
  it('keeps what it touches out of the store for some time', () => {
    const setting = new Setting(classRule)
    setting.ask('/things', write)
    setting.call.fail('upstream-timeout')
    setting.store()
    expect(setting.cache.stats().entries).toBe(0)
    setting.ask('/others', { tags: ['others'] })
    setting.call.answer(200)
    expect(setting.cache.stats().entries).toBe(1)
    setting.pass(31)
    setting.store()
    expect(setting.cache.stats().entries).toBe(2)
  })

  it('counts however many follow', () => {
    const setting = new Setting(classRule)
    for (let number = 0; number < 10_050; number += 1) {
      setting.ask(`/things/${number}`, { method: 'POST', tags: [] })
      setting.call.fail('upstream-timeout')
    }
    const isKept = (target: string): boolean => {
      const before = setting.cache.stats().entries
      setting.ask(target, { tags: [] })
      setting.call.answer(200)
      return setting.cache.stats().entries > before
    }
    expect(['/things/0', '/things/10049'].map(isKept)).toEqual([false, false])
    setting.pass(31)
    expect(['/things/0', '/things/10049'].map(isKept)).toEqual([true, true])
  })
})

describe('invalidate', () => {
  it('drops by tag or path and says how many', async () => {
    const setting = new Setting(classRule)
    for (const target of ['/things', '/things?a', '/others']) {
      setting.ask(target)
      setting.call.answer(200)
    }
    const alone = { instances: 1, silent: 0, reached: true }
    expect(await setting.cache.invalidate(['nobody'])).toEqual({ dropped: 0, ...alone })
    expect(await setting.cache.invalidate(['/things'])).toEqual({ dropped: 2, ...alone })
    expect(await setting.cache.invalidate(['org-1', 'things.list'])).toEqual({ dropped: 1, ...alone })
    expect(setting.cache.stats()).toMatchObject({ entries: 0, bytes: 0 })
  })

  it('keeps reads that are under way from being stored', () => {
    const setting = new Setting(classRule)
    setting.ask()
    void setting.cache.invalidate(['org-1'])
    setting.call.answer(200)
    expect(setting.cache.stats().entries).toBe(0)
  })
})

describe('in any order of reads, writes, answers and failures', () => {
  /** An upstream that holds one value per thing, and does what it was asked at the moment its call is worked on. */
  interface Pending {
    readonly call: Call
    readonly thing: number
    readonly isWrite: boolean
    readonly conditional: boolean
    value: number | null
  }

  const step = fc.record({
    what: fc.constantFrom(
      'read',
      'read',
      'no-cache',
      'head',
      'write',
      'work',
      'work',
      'answer',
      'answer',
      'fail',
      'leave',
      'wait',
    ),
    thing: fc.nat(1),
    pick: fc.nat(20),
  })

  it.each([
    ['class', classRule, {}],
    ['rfc9111', rfc9111, { 'cache-control': 'max-age=5, stale-while-revalidate=5, stale-if-error=9' }],
  ] as const)('nobody reads a value older than the last write acknowledged before (%s)', (_name, rule, fields) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const setting = new Setting(rule)
        const values = [0, 0]
        const acknowledged = [0, 0]
        const pending: Pending[] = []
        const reads: { readonly caller: Caller; readonly atLeast: number }[] = []
        let seen = 0
        const collect = (thing: number, isWrite: boolean): void => {
          for (const call of setting.calls.slice(seen)) {
            pending.push({ call, thing, isWrite, conditional: 'if-none-match' in call.conditions, value: null })
          }
          seen = setting.calls.length
        }
        const work = (one: Pending): number => {
          if (one.value === null) {
            if (one.isWrite) values[one.thing] = (values[one.thing] ?? 0) + 1
            one.value = values[one.thing] ?? 0
          }
          return one.value
        }
        for (const { what, thing, pick } of steps) {
          const target = `/things/${thing}`
          const tags = [`thing-${thing}`]
          const one = pending[pick % Math.max(1, pending.length)]
          if (what === 'read' || what === 'no-cache' || what === 'head') {
            const ask: Ask = {
              tags,
              ...(what === 'head' ? { method: 'HEAD' } : {}),
              ...(what === 'no-cache' ? { fields: { 'cache-control': 'no-cache' } } : {}),
            }
            reads.push({ caller: setting.ask(target, ask), atLeast: acknowledged[thing] ?? 0 })
            collect(thing, false)
          } else if (what === 'write') {
            setting.ask(target, { method: 'PUT', tags })
            collect(thing, true)
          } else if (what === 'wait') setting.pass(pick / 4)
          else if (what === 'leave') reads[pick % Math.max(1, reads.length)]?.caller.source?.abort()
          else if (one !== undefined && what === 'work') work(one)
          else if (one !== undefined) {
            pending.splice(pending.indexOf(one), 1)
            if (what === 'fail') {
              // The write may have been worked on all the same.
              if (pick % 2 === 0) work(one)
              one.call.fail()
            } else {
              const value = work(one)
              const etag = `"${value}"`
              const same = one.call.conditions['if-none-match'] === etag
              // A write counts as acknowledged when its caller has the answer.
              one.call.answer(same ? 304 : 200, { ...fields, etag, value: String(value) }, String(value))
              if (one.isWrite) acknowledged[one.thing] = Math.max(acknowledged[one.thing] ?? 0, value)
            }
            collect(one.thing, false)
          }
          collect(thing, false)
        }
        for (const { caller, atLeast } of reads) {
          if (caller.status === 200) expect(Number(caller.fields['value'])).toBeGreaterThanOrEqual(atLeast)
          if (caller.ended && caller.chunks.length > 0) expect(caller.body).toBe(caller.fields['value'])
        }
      }),
      { numRuns: 2_000 },
    )
  })
})
