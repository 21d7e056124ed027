// What a request gets from the cache: the answer, a lease, or a wait; and where a lease goes that cannot be used.

import { describe, expect, it } from 'vitest'
import type { CacheAnswer, CacheWait, FetchLease } from '../../src/cache/acquired.ts'
import { Problem } from '../../src/problems.ts'
import { Caller, classRule, Setting, type Ask } from './support.ts'

type Granted = CacheAnswer | FetchLease

function lease(setting: Setting, ask: Ask = {}): FetchLease {
  const acquired = setting.cache.acquire(setting.request('/things', ask))
  if (acquired.kind !== 'fetch') throw new Error(`${acquired.kind} in place of a lease`)
  return acquired
}

/** Waits, and remembers what it was granted. */
class Waiting {
  readonly granted: Granted[] = []
  readonly wait: CacheWait

  constructor(setting: Setting, ask: Ask = {}) {
    const acquired = setting.cache.acquire(setting.request('/things', ask))
    if (acquired.kind !== 'wait') throw new Error(`${acquired.kind} in place of waiting`)
    this.wait = acquired
    acquired.onGrant((granted) => this.granted.push(granted))
  }

  get kind(): string | undefined {
    return this.granted[0]?.kind
  }

  get lease(): FetchLease {
    const [granted] = this.granted
    if (granted?.kind !== 'fetch') throw new Error('no lease')
    return granted
  }
}

function answer(held: FetchLease, body: string, status = 200): Caller {
  const caller = new Caller()
  const sink = held.sinkBehind(caller, () => undefined)
  sink.head({ status, fields: [], length: body.length })
  sink.end(Buffer.from(body))
  return caller
}

function refuse(held: FetchLease, kind: Problem['kind']): Caller {
  const caller = new Caller()
  held.sinkBehind(caller, () => undefined).fail(new Problem(kind, 'refused'))
  return caller
}

const limited = 'rate-limit-exceeded'

describe('what is acquired', () => {
  it('is the lease for the first, waiting for those who ask the same, and the answer for all once it is there', () => {
    const setting = new Setting(classRule)
    const first = lease(setting)
    const others = [new Waiting(setting), new Waiting(setting)]
    answer(first, 'body')
    for (const { granted } of others) {
      const caller = new Caller()
      expect(granted).toHaveLength(1)
      if (granted[0]?.kind === 'answer') granted[0].sendTo(caller)
      expect(caller).toMatchObject({ body: 'body', result: 'collapsed' })
    }
    expect(setting.cache.acquire(setting.request('/things')).kind).toBe('answer')
  })

  it('is a lease without fields of the cache’s own where nobody else gets the answer', () => {
    const setting = new Setting(classRule)
    const asks: Ask[] = [
      { method: 'POST' },
      { rule: { kind: 'never' } },
      { fields: { 'if-match': '"a"' } },
      { atMostMs: 0 },
    ]
    for (const ask of asks) expect([lease(setting, ask).fields, lease(setting, ask).fields]).toEqual([null, null])
  })
})

describe('a lease', () => {
  it('goes to one of those who wait when its holder is refused, and the others go on waiting', () => {
    const setting = new Setting(classRule)
    const first = lease(setting)
    const [second, third, fourth] = [new Waiting(setting), new Waiting(setting), new Waiting(setting)]
    expect(refuse(first, limited).problem?.kind).toBe(limited)
    expect([second.kind, third.kind, fourth.kind]).toEqual(['fetch', undefined, undefined])
    // However many are refused for their own limits, none of the others pays for it.
    refuse(second.lease, 'concurrency-exceeded')
    expect([third.kind, fourth.kind]).toEqual(['fetch', undefined])
    answer(third.lease, 'body')
    expect(fourth.kind).toBe('answer')
  })

  it('whose holder leaves stays with the call while somebody waits for it', () => {
    const setting = new Setting(classRule)
    const caller = new Caller()
    const sink = lease(setting).sinkBehind(caller, () => undefined)
    let aborted = 0
    sink.attach({ resume: () => undefined, abort: () => (aborted += 1) })
    const [one, other] = [new Waiting(setting), new Waiting(setting)]
    caller.source?.abort()
    one.wait.leave()
    expect(aborted).toBe(0)
    other.wait.leave()
    expect(aborted).toBe(1)
    expect(lease(setting).kind).toBe('fetch')
  })

  it('is not given to one who has left', () => {
    const setting = new Setting(classRule)
    const first = lease(setting)
    const [gone, next] = [new Waiting(setting), new Waiting(setting)]
    gone.wait.leave()
    refuse(first, 'upstream-unreachable')
    expect([gone.kind, next.kind]).toEqual([undefined, 'fetch'])
  })

  it('whose holder leaves before it has asked goes on to nobody, and is given anew to who comes', () => {
    const setting = new Setting(classRule)
    const caller = new Caller()
    const sink = lease(setting).sinkBehind(caller, () => undefined)
    caller.source?.abort()
    expect(lease(setting).kind).toBe('fetch')
    let aborted = false
    sink.attach({ resume: () => undefined, abort: () => (aborted = true) })
    expect(aborted).toBe(true)
  })
})

describe('a write', () => {
  it('that was refused before anything was sent makes nothing stale', () => {
    for (const kind of [limited, 'overloaded', 'key-unavailable'] as const) {
      const setting = new Setting(classRule)
      setting.store()
      const caller = refuse(lease(setting, { method: 'PUT' }), kind)
      expect([caller.problem?.kind, setting.ask().result]).toEqual([kind, 'hit'])
    }
  })
})
