// Bodies that would cost more than their bytes deserve, through the real gateway: refused by a bound that the refusal names,
// while a long text passes.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startTestGateway, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
let running: RunningGateway

beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'guardrails.yaml': `guardrails:
  - id: bounded-sessions
    on: [org.sessions.create]
    body:
      max_acu_limit: { default: 10, at_most: 25 }
      title: { matches: "^[a-z ]*$" }
      repos: { each_matches: "corp/*" }
`,
    },
  })
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
})

async function post(body: string): Promise<{ status: number; kind: string; reason: string; detail: string }> {
  const answer = await running.call(sessions, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  })
  const document = (await answer.json()) as { type?: string; reason?: string; detail?: string }
  const kind = document.type?.split('/').at(-1) ?? ''
  return { status: answer.status, kind, reason: document.reason ?? '', detail: document.detail ?? '' }
}

const list = (item: string, count: number) => `{"prompt":"x","list":[${Array(count).fill(item).join(',')}]}`

describe('a body', () => {
  test.each([
    ['numbers', list('0', 500_000)],
    ['texts', list('""', 10_000)],
    ['lists', list('[]', 10_000)],
    ['objects', list('{"a":1}', 4_000)],
    ['members', `{${Array.from({ length: 5_001 }, (_, index) => `"n${index}":1`).join(',')}}`],
  ])('of too many %s is refused, and the bound is named', async (_what, body) => {
    const answer = await post(body)
    expect(answer).toMatchObject({ status: 400, kind: 'body-unreadable', reason: 'body-too-many-values' })
    expect(answer.detail).toMatch(/more than 10000 values and names at byte \d+.*Send a smaller document/)
    expect(running.upstream.seen).toEqual([])
  })

  test.each([
    ['brackets', '['.repeat(1_000_000)],
    ['objects', `${'{"a":'.repeat(65)}1${'}'.repeat(65)}`],
  ])('of too deep %s is refused, and the bound is named', async (_what, body) => {
    const answer = await post(body)
    expect(answer).toMatchObject({ status: 400, kind: 'body-unreadable', reason: 'body-too-deep' })
    expect(answer.detail).toContain('nested deeper than 64')
    expect(running.upstream.seen).toEqual([])
  })

  test.each([
    ['plain', 'a'.repeat(1_000_000)],
    ['of line breaks', '\n'.repeat(500_000)],
    ['of characters of four bytes', '😀'.repeat(250_000)],
  ])('with a long prompt passes: %s', async (_what, prompt) => {
    expect((await post(JSON.stringify({ prompt }))).status).toBe(200)
    const seen = JSON.parse(running.upstream.seen[0]?.body.toString() ?? '') as {
      prompt: string
      max_acu_limit: number
    }
    expect([seen.prompt === prompt, seen.max_acu_limit]).toEqual([true, 10])
  })

  test('with as many values as are let through is held against every rule', async () => {
    const repos = (last: string) => JSON.stringify({ repos: [...Array(9_990).fill('corp/a'), last] })
    expect((await post(repos('corp/b'))).status).toBe(200)
    expect(await post(repos('corp/../evil'))).toMatchObject({ status: 403, kind: 'guardrail' })
  })

  test('with more text than a regular expression looks at is refused by the guardrail', async () => {
    const answer = await post(JSON.stringify({ title: 'a'.repeat(65_537) }))
    expect(answer).toMatchObject({ status: 403, kind: 'guardrail' })
    expect(answer.detail).toContain('beyond the 65536 characters')
  })
})
