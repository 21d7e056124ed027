// The chain of messages: a head is known only to who took every message up to it, in order.

import { describe, expect, it } from 'vitest'
import { MessageLog } from '../../src/store/membership/message-log.ts'

const start = '0'.repeat(40)

function begun(name: string): MessageLog {
  const log = new MessageLog()
  log.start(start, `{"joined":"${name}"}`)
  return log
}

function send(log: MessageLog, payload: string): string {
  expect(log.follow(log.head ?? '', payload)).toBe(true)
  return log.head ?? ''
}

describe('a head', () => {
  it('is known to who joined before it, and not to who joined later or has joined anew', () => {
    const [early, late] = [begun('one'), new MessageLog()]
    const before = early.head ?? ''
    late.start(before, '{"joined":"two"}')
    expect(early.follow(before, '{"joined":"two"}')).toBe(true)
    expect([early.knows(before), late.knows(before)]).toEqual([true, false])
    expect(late.knows(early.head ?? '')).toBe(true)
    early.start(early.head ?? '', '{"joined":"three"}')
    expect(early.knows(before)).toBe(false)
  })

  it('is forgotten after thousands of messages', () => {
    const log = begun('one')
    const old = send(log, '{}')
    for (let index = 0; index < 5_000; index += 1) send(log, `{"n":${index}}`)
    expect([log.knows(old), log.knows(log.head ?? '')]).toEqual([false, true])
  })
})

describe('a message', () => {
  it('that does not follow on the last one is not taken, wherever it comes from', () => {
    const log = begun('one')
    const first = log.head ?? ''
    send(log, '{"n":1}')
    for (const before of [first, start, '']) expect(log.follow(before, '{"n":1}')).toBe(false)
    expect(new MessageLog().follow(start, '{}')).toBe(false)
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
