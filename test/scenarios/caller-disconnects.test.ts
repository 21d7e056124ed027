// What happens at Devin when a caller leaves, and what is recorded of it: a slot lives as long as the call, a write that was sent is
// waited for, a read is not.

import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startTestGateway, until, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
let running: RunningGateway
/** The calls that Devin has not answered. */
let calls: ServerResponse[]
let lost: number
beforeEach(async () => {
  calls = []
  lost = 0
  running = await startTestGateway({
    policies: { 'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}limits: { concurrent: 2 }\n` },
  })
  running.upstream.respond((_request, response) => {
    calls.push(response)
    response.once('close', () => {
      if (!response.writableFinished) lost += 1
    })
  })
})
afterEach(async () => {
  for (const call of calls) call.destroy()
  await running.close()
})

/** Sends a request and leaves when Devin has it. Resolves with its request id. */
async function leave(method: string, path: string, key: string | null = null): Promise<string> {
  const before = calls.length
  const id = `left-${before}-${Math.random().toString(36).slice(2)}`
  const controller = new AbortController()
  const sent = running.call(path, {
    method,
    signal: controller.signal,
    ...(method === 'GET' ? {} : { body: method === 'POST' ? '{"prompt":"x"}' : '{"tags":["a"]}' }),
    headers: {
      'content-type': 'application/json',
      'x-request-id': id,
      ...(key === null ? {} : { 'idempotency-key': key }),
    },
  })
  await until(() => calls.length === before + 1, 'the request at the upstream')
  controller.abort()
  await sent.catch(() => {})
  return id
}

test.each([
  ['POST', sessions, null],
  ['POST', sessions, 'a-key'],
  ['PUT', `${sessions}/devin-1/tags`, null],
  ['DELETE', `${sessions}/devin-1`, null],
])('a %s whose caller leaves is waited for, and its record says how Devin has answered', async (method, path, key) => {
  const id = await leave(method, path, key)
  await running.call('/gateway/v1/me')
  // A session takes a second or two to be made.
  if (key !== null) await new Promise((resolve) => setTimeout(resolve, 1300))
  expect(lost).toBe(0)
  calls[0]?.writeHead(202, { 'content-type': 'application/json' }).end('{"session_id":"devin-1"}')
  const { access, decision } = await running.recordsOf(id)
  expect(access).toMatchObject({ outcome: 'aborted', status: null, upstream_status: 202 })
  expect(decision).toMatchObject({ ended: { how: 'aborted', stage: 'forward', sent: true } })
})

test('a write whose answer never comes is recorded as sent, and given up', async () => {
  const id = await leave('POST', sessions)
  await until(() => lost === 1, 'the upstream to be let go')
  const { access, decision } = await running.recordsOf(id)
  expect(access).toMatchObject({ outcome: 'aborted', upstream_status: null })
  expect(decision).toMatchObject({ ended: { how: 'aborted', stage: 'forward', sent: true } })
})

test('a read whose caller leaves is let go at once', async () => {
  const id = await leave('GET', sessions)
  await until(() => lost === 1, 'the upstream to be let go')
  expect((await running.recordsOf(id)).access).toMatchObject({ outcome: 'aborted', upstream_status: null })
})

describe('concurrent', () => {
  test.each([
    ['with an Idempotency-Key', 'key'],
    ['without one', null],
  ])('counts calls to Devin, not callers: creates %s', async (_name, key) => {
    await leave('POST', sessions, key === null ? null : `${key}-1`)
    await leave('POST', sessions, key === null ? null : `${key}-2`)
    for (let more = 0; more < 5; more++) {
      const headers = {
        'content-type': 'application/json',
        ...(key === null ? {} : { 'idempotency-key': `more-${more}` }),
      }
      const answer = await running.call(sessions, { method: 'POST', body: '{"prompt":"x"}', headers })
      expect([answer.status, ((await answer.json()) as { reason: string }).reason]).toEqual([
        429,
        'concurrency-exceeded',
      ])
    }
    expect(calls).toHaveLength(2)
    calls[0]?.writeHead(201).end('{"session_id":"devin-1"}')
    await until(async () => {
      const { limits } = (await (await running.call('/gateway/v1/me')).json()) as {
        limits: { payments: { name: string; remaining: number }[] }
      }
      return limits.payments.some(({ name, remaining }) => name === 'concurrent' && remaining === 1)
    }, 'a slot to be free')
    const next = running.call(sessions, { method: 'POST', body: '{"prompt":"y"}' })
    await until(() => calls.length === 3, 'the next create')
    calls[2]?.writeHead(201).end('{"session_id":"devin-3"}')
    expect((await next).status).toBe(201)
  })
})
