// The caller as the taker of an answer, over a real connection: what comes too late, and answers that come in pieces.

import { createServer, type ServerResponse } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { answerProblem } from '../../src/gateway/answering.ts'
import { Caller } from '../../src/gateway/caller.ts'
import { openExchange, type Exchange } from '../../src/gateway/exchange.ts'
import { admitInTurn } from '../../src/gateway/turn.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import { Problem } from '../../src/problems.ts'

/** Answers one request with what `act` does, and gives what the caller got. */
async function answered(act: (caller: Caller, exchange: Exchange, response: ServerResponse) => void): Promise<string> {
  let failure: unknown = null
  const server = createServer((request, response) => {
    // Nothing that answers looks at the policy.
    const exchange = openExchange('0b0e8ab4', 'GET', request.url ?? '', {} as PolicySet, 0)
    try {
      act(new Caller(exchange, response, 1000, () => {}), exchange, response)
    } catch (error) {
      failure = error
      response.destroy()
    }
  })
  onTestFinished(() => void server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const answer = await fetch(`http://127.0.0.1:${port}/`)
  const text = `${answer.status} ${await answer.text()}`
  expect(failure).toBe(null)
  return text
}

test.each([
  ['an answer', (caller: Caller) => caller.end(null)],
  [
    'a refusal',
    (_caller: Caller, exchange: Exchange, response: ServerResponse) =>
      answerProblem(exchange, response, new Problem('draining', 'Go elsewhere.')),
  ],
])('%s stands at once, and leaves with the others of its turn', async (_name, act) => {
  const states: boolean[][] = []
  await answered((caller, exchange, response) => {
    caller.attach({ resume: () => {}, abort: () => {} })
    if (_name === 'an answer') caller.head({ status: 204, fields: [], length: null })
    act(caller, exchange, response)
    states.push([exchange.answered, response.writableEnded])
    admitInTurn(() => states.push([exchange.answered, response.writableEnded]))
  })
  expect(states).toEqual([
    [true, false],
    [true, false],
  ])
})

const late = (caller: Caller): void => {
  caller.head({ status: 200, fields: [], length: 4 })
  expect(caller.data(Buffer.from('late'))).toBe(true)
  caller.end(Buffer.from('late'))
}

test('an answer that comes after a refusal of the same turn changes nothing', async () => {
  const text = await answered((caller, exchange, response) => {
    answerProblem(exchange, response, new Problem('malformed-request', 'The body broke off.'))
    late(caller)
  })
  expect(text).toMatch(/^400 \{.*"detail":"The body broke off\."/)
})

test('nor does one after an answer', async () => {
  const text = await answered((caller) => {
    caller.head({ status: 200, fields: [], length: 5 })
    caller.end(Buffer.from('whole'))
    late(caller)
  })
  expect(text).toBe('200 whole')
})

test.each([
  ['with a length', 9],
  ['without one', null],
])('pieces of one turn and of several arrive whole, %s', async (_name, length) => {
  const inOneTurn = await answered((caller) => {
    caller.head({ status: 200, fields: [], length })
    for (const piece of ['one', 'two']) caller.data(Buffer.from(piece))
    caller.end(Buffer.from('end'))
  })
  const inSeveral = await answered((caller) => {
    caller.head({ status: 200, fields: [], length })
    caller.data(Buffer.from('one'))
    setImmediate(() => {
      caller.data(Buffer.from('two'))
      setImmediate(() => caller.end(Buffer.from('end')))
    })
  })
  expect([inOneTurn, inSeveral]).toEqual(['200 onetwoend', '200 onetwoend'])
})
