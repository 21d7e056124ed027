// Writing an answer to the caller over a real connection: late answers, and answers in pieces.

import { createServer } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { RequestContext } from '../../src/gateway/context.ts'
import { scheduleAdmission } from '../../src/gateway/event-loop-batch.ts'
import { ClientResponseWriter } from '../../src/gateway/responses/client.ts'
import { answerFailure } from '../../src/gateway/responses/own-answer.ts'
import { shortBytes, StreamTurns } from '../../src/gateway/stream-turns.ts'
import type { PolicySet } from '../../src/policy/model/policy-set.ts'
import { Problem } from '../../src/problems.ts'

/** Answers one request with what `act` does, and gives what the caller got. */
async function answered(act: (writer: ClientResponseWriter, context: RequestContext) => void): Promise<string> {
  let failure: unknown = null
  const server = createServer((request, response) => {
    // Nothing that answers looks at the policy.
    const opening = { decisionId: '0b0e8ab4', method: 'GET', rawTarget: '/', policy: {} as PolicySet, nowMs: 0 }
    const context = new RequestContext(request, response, opening, { failed() {}, leaving() {}, ended() {} })
    try {
      act(new ClientResponseWriter(context, { turns: new StreamTurns((work) => setImmediate(work)) }), context)
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
  ['an answer', (writer: ClientResponseWriter) => writer.end(null)],
  [
    'a refusal',
    (_writer: ClientResponseWriter, context: RequestContext) =>
      answerFailure(context, new Problem('draining', 'Go elsewhere.')),
  ],
])('%s stands at once, and leaves with the others of its batch', async (_name, act) => {
  const states: boolean[][] = []
  await answered((writer, context) => {
    const { response } = context
    writer.attach({ resume: () => {}, abort: () => {} })
    if (_name === 'an answer') writer.head({ status: 204, fields: [], length: null })
    act(writer, context)
    states.push([context.isComplete, response.writableEnded])
    scheduleAdmission(() => states.push([context.isComplete, response.writableEnded]))
  })
  expect(states).toEqual([
    [true, false],
    [true, false],
  ])
})

const late = (writer: ClientResponseWriter): void => {
  writer.head({ status: 200, fields: [], length: 4 })
  expect(writer.data(Buffer.from('late'))).toBe(true)
  writer.end(Buffer.from('late'))
}

test('an answer that comes after a refusal of the same batch changes nothing', async () => {
  const text = await answered((writer, context) => {
    answerFailure(context, new Problem('malformed-request', 'The body broke off.'))
    late(writer)
  })
  expect(text).toMatch(/^400 \{.*"detail":"The body broke off\."/)
})

test('nor does one after an answer', async () => {
  const text = await answered((writer) => {
    writer.head({ status: 200, fields: [], length: 5 })
    writer.end(Buffer.from('whole'))
    late(writer)
  })
  expect(text).toBe('200 whole')
})

test.each([
  ['with a length', 9],
  ['without one', null],
])('pieces of one batch and of several arrive whole, %s', async (_name, length) => {
  const inOneBatch = await answered((writer) => {
    writer.head({ status: 200, fields: [], length })
    for (const piece of ['one', 'two']) writer.data(Buffer.from(piece))
    writer.end(Buffer.from('end'))
  })
  const inSeveral = await answered((writer) => {
    writer.head({ status: 200, fields: [], length })
    writer.data(Buffer.from('one'))
    setImmediate(() => {
      writer.data(Buffer.from('two'))
      setImmediate(() => writer.end(Buffer.from('end')))
    })
  })
  expect([inOneBatch, inSeveral]).toEqual(['200 onetwoend', '200 onetwoend'])
})

test.each([
  ['from a store', (writer: ClientResponseWriter, body: Buffer) => writer.end(body)],
  [
    'decoded at once',
    (writer: ClientResponseWriter, body: Buffer) => {
      writer.data(body)
      writer.end(null)
    },
  ],
])('of a long answer %s little is handed over at a time, and all of it arrives', async (_name, give) => {
  const body = Buffer.from('0123456789abcdef'.repeat(300_000))
  let most = 0
  const states: boolean[] = []
  const text = await answered((writer, context) => {
    const { response } = context
    writer.head({ status: 200, fields: [], length: body.length })
    give(writer, body)
    states.push(context.isComplete)
    const look = setInterval(() => (most = Math.max(most, response.writableLength)))
    most = response.writableLength
    response.once('close', () => {
      states.push(context.isComplete)
      clearInterval(look)
    })
  })
  expect(text === `200 ${body.toString()}`).toBe(true)
  expect(states).toEqual([false, true])
  expect(most).toBeLessThanOrEqual(3 * shortBytes)
})
