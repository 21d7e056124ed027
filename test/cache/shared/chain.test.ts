// The chain of messages: what was asked for under a head may be used exactly as long as nothing under its names was dropped
// after it, and only by those who have seen that head.

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Chain } from '../../../src/cache/shared/chain.ts'

const start = '0'.repeat(40)

function begun(name: string): Chain {
  const chain = new Chain()
  chain.start(start, `{"joined":"${name}"}`)
  return chain
}

function send(chain: Chain, payload: string, names: readonly string[] | null = []): string {
  expect(chain.follow(chain.head ?? '', payload)).toBe(true)
  chain.dropped(names)
  return chain.head ?? ''
}

describe('an answer that was asked for under a head', () => {
  it('may be used if and only if none of its names was dropped since', () => {
    const names = fc.subarray(['a', 'b', 'c', 'd'])
    fc.assert(
      fc.property(fc.array(fc.oneof(names, fc.constant(null)), { maxLength: 12 }), names, (drops, asked) => {
        const chain = begun('one')
        const heads = [chain.head ?? '']
        for (const [index, dropped] of drops.entries()) heads.push(send(chain, `{"n":${index}}`, dropped))
        for (const [place, head] of heads.entries()) {
          const since = drops.slice(place)
          const expected = since.every((dropped) => dropped !== null && !dropped.some((name) => asked.includes(name)))
          expect(chain.allows(head, asked)).toBe(expected)
        }
      }),
    )
  })

  it('is of no use to who joined later, or has joined anew', () => {
    const [early, late] = [begun('one'), new Chain()]
    const asked = early.head ?? ''
    late.start(asked, '{"joined":"two"}')
    expect(early.follow(asked, '{"joined":"two"}')).toBe(true)
    expect([early.allows(asked, []), late.allows(asked, [])]).toEqual([true, false])
    expect(late.allows(early.head ?? '', [])).toBe(true)
    early.start(early.head ?? '', '{"joined":"three"}')
    expect(early.allows(asked, [])).toBe(false)
  })

  it('counts as dropped when it is too old to be remembered', () => {
    const chain = begun('one')
    const old = send(chain, '{}', ['a'])
    for (let index = 0; index < 5_000; index += 1) send(chain, `{"n":${index}}`, [`n${index}`])
    expect([chain.knows(old), chain.allows(old, ['b'])]).toEqual([false, false])
    const head = chain.head ?? ''
    const many = Array.from({ length: 20_000 }, (_, index) => `m${index}`)
    send(chain, '{"many":true}', many)
    expect([chain.allows(head, ['b']), chain.allows(chain.head ?? '', ['b'])]).toEqual([false, true])
  })
})

describe('a message', () => {
  it('that does not follow on the last one is not taken, wherever it comes from', () => {
    const chain = begun('one')
    const first = chain.head ?? ''
    send(chain, '{"n":1}')
    for (const before of [first, start, '']) expect(chain.follow(before, '{"n":1}')).toBe(false)
    expect(new Chain().follow(start, '{}')).toBe(false)
  })

  it('gives another head in another order', () => {
    const [one, other] = [begun('one'), begun('one')]
    send(one, '{"n":1}')
    send(one, '{"n":2}')
    send(other, '{"n":2}')
    send(other, '{"n":1}')
    expect(one.head).not.toBe(other.head)
  })
})
