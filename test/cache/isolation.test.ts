// Who shares what with whom: two requests share an entry or a call only when an independent reading of both says that the
// upstream would see the same credential and request, and the caller the same filter and variant.

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { orderedTarget } from '../../src/cache/parsed-request.ts'
import { classRule, rfc9111, Setting, type Ask } from './support.ts'

type Fields = Record<string, string>
interface Asked {
  readonly partition: string
  readonly path: string
  readonly query: readonly string[]
  readonly fields: Fields
}

const text = fc.constantFrom('a', 'b', 'a\nb', 'a|b', '', 'key-1')
const asked: fc.Arbitrary<Asked> = fc.record({
  partition: text,
  path: fc.constantFrom('/p', '/p/q', '/P', '/p%2Fq', '/p/a=1'),
  query: fc.array(fc.constantFrom('a=1', 'a=2', 'b=1', 'b', 'B=1', '', 'a', '%61=1', 'a+=1', 'c=1;a=3', 'a[]=1'), {
    maxLength: 4,
  }),
  fields: fc.dictionary(
    fc.constantFrom('accept', 'accept-language', 'prefer', 'user-agent', 'traceparent'),
    fc.constantFrom('x', 'y', 'x, y', 'x,y', '*', '*/*'),
    { maxKeys: 3 },
  ),
})

/** What decides, spelled out slowly. Query parameters: sorted by name where no two readings of the names are possible. */
function meaning({ partition, path, query, fields }: Asked, relevant: readonly string[]): string {
  const asSent = query.join('&')
  // `a` and `A`, or an empty or escaped name: somebody could read the same parameters in another order, so they keep theirs.
  const names = query.map((pair) => pair.split('=')[0] ?? '')
  const ambiguous =
    asSent.includes(';') || names.some((name) => /^$|[^a-z]/i.test(name) || (name === 'B' && names.includes('b')))
  const byName = new Map<string, string[]>()
  for (const pair of query)
    byName.set(pair.split('=')[0] ?? '', [...(byName.get(pair.split('=')[0] ?? '') ?? []), pair])
  const sorted = [...byName].sort(([one], [other]) => (one < other ? -1 : 1)).flatMap(([, pairs]) => pairs)
  const values = relevant.map((name) => {
    const value = fields[name]?.replaceAll(', ', ',')
    const silent = (name === 'accept' && value === '*/*') || (name === 'accept-language' && value === '*')
    return silent ? undefined : value
  })
  return JSON.stringify([
    partition,
    path,
    query.length > 0,
    ambiguous && sorted.join('&') !== asSent ? asSent : sorted,
    values.map((value) => value ?? null),
  ])
}

function targetOf({ path, query }: Asked): string {
  return query.length === 0 ? path : `${path}?${query.join('&')}`
}

function cacheRequestOf(one: Asked): Ask {
  return { partition: one.partition, fields: one.fields }
}

describe('two requests share', () => {
  const keyed = ['accept', 'accept-language', 'prefer']

  it.each([
    ['an entry of a class', classRule, true],
    ['a call of a class', classRule, false],
    ['an entry by the fields of the upstream', rfc9111, true],
    ['a call by the fields of the upstream', rfc9111, false],
  ])('%s only if they mean the same', (_name, rule, answered) => {
    fc.assert(
      fc.property(asked, asked, (one, other) => {
        const setting = new Setting(rule)
        setting.ask(targetOf(one), cacheRequestOf(one))
        if (answered) setting.call.answer(200, { 'cache-control': 's-maxage=60', vary: 'accept, user-agent' })
        setting.ask(targetOf(other), cacheRequestOf(other))
        expect(setting.calls.length === 1).toBe(meaning(one, keyed) === meaning(other, keyed))
      }),
      { numRuns: 2_000 },
    )
  })

  it('followers of a call only within their partition, also after failures', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(2), { minLength: 1, maxLength: 8 }),
        fc.array(fc.boolean()),
        (partitions, failures) => {
          const setting = new Setting(classRule)
          const callers = partitions.map((partition) => setting.ask('/things', { partition: `key-${partition}` }))
          const owner = new Map<unknown, number>()
          const failing = [...failures]
          for (let place = 0; place < setting.calls.length; place += 1) {
            const call = setting.calls[place]
            if (failing.pop() === true) call?.fail()
            else call?.answer(200, { call: String(place) }, String(place))
          }
          for (const [index, caller] of callers.entries()) {
            if (caller.status === null) continue
            const call = caller.fields['call']
            owner.set(call, owner.get(call) ?? partitions[index] ?? -1)
            expect(owner.get(call)).toBe(partitions[index])
          }
        },
      ),
    )
  })
})

describe('fields in the key', () => {
  it.each<[Ask['fields'], Ask['fields'], boolean]>([
    [{ accept: 'a', prefer: 'b' }, { prefer: 'b', accept: 'a' }, true],
    [{ prefer: 'b', accept: 'a' }, { prefer: 'b', accept: 'x' }, false],
    [{ accept: ['a', 'b'] }, { accept: 'a, b' }, true],
    [{ accept: ['a', 'b'] }, { accept: 'b, a' }, false],
    [{ accept: 'a', 'x-new': '1' }, { accept: 'a' }, false],
    [{ accept: '*/*', 'accept-language': '*' }, {}, true],
    [{ traceparent: '1', 'user-agent': 'a' }, { traceparent: '2', 'user-agent': 'b' }, true],
  ])('%j and %j', (first = {}, second = {}, shared) => {
    const setting = new Setting(classRule)
    setting.ask('/things', { fields: first })
    setting.ask('/things', { fields: second })
    expect(setting.calls.length === 1).toBe(shared)
  })
})

describe('query parameters in the key', () => {
  it.each([
    ['/p?b=1&a=2', '/p?a=2&b=1'],
    ['/p?b&a=2&b=1', '/p?a=2&b&b=1'],
    ['/p?a=2&a=1', '/p?a=2&a=1'],
    ['/p?b=1&%61=2', '/p?b=1&%61=2'],
    ['/p?b=1;c=2&a=3', '/p?b=1;c=2&a=3'],
    ['/p?ORG=1&org=2&a=3', '/p?ORG=1&org=2&a=3'],
    ['/p?org_ids=1&a=3&orgIds=2', '/p?org_ids=1&a=3&orgIds=2'],
    ['/p?b.c=1&a=3', '/p?b.c=1&a=3'],
    ['/p?b[]=1&a=3', '/p?b[]=1&a=3'],
    ['/p?b=1&&a=3', '/p?b=1&&a=3'],
    ['/p?b=1&a=%20;', '/p?b=1&a=%20;'],
    ['/p?b=1', '/p?b=1'],
    ['/p', '/p'],
    ['/p?', '/p?'],
  ])('%s is kept as %s', (target, ordered) => {
    expect(orderedTarget(target)).toBe(ordered)
  })
})
