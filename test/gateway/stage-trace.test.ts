// The way of three requests through the stages, over real sockets, held against the list in src/README.md.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RequestContext } from '../../src/gateway/context.ts'
import { stageNames } from '../../src/gateway/stages/names.ts'
import { stageChannel } from '../../src/gateway/stages/stage.ts'
import { startTestGateway, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const traces = new Map<string, string[]>()
const note = (message: unknown): void => {
  const { context, stage } = message as { context: RequestContext; stage: string }
  traces.set(context.decisionId, [...(traces.get(context.decisionId) ?? []), stage])
}

let running: RunningGateway
/** The rows of the table: a stage, and the trips that pass it. */
let rows: { readonly stage: string; readonly passes: readonly boolean[] }[]
beforeAll(async () => {
  const map = await readFile(join(import.meta.dirname, '../../src/README.md'), 'utf8')
  const section = map.slice(map.indexOf('## The way of a request'), map.indexOf('## Reading order'))
  rows = [...section.matchAll(/^\| `(?<stage>[a-z-]+)` \|[^|]*\|(?<marks>(?:[^|]*\|){3})$/gm)].map(({ groups }) => ({
    stage: groups?.['stage'] ?? '',
    passes: (groups?.['marks'] ?? '')
      .split('|')
      .slice(0, 3)
      .map((mark) => mark.trim() !== ''),
  }))
  stageChannel.subscribe(note)
  running = await startTestGateway({
    policies: {
      'teams/payments.yaml': `${(usualPolicies['teams/payments.yaml'] ?? '').replace('cache: { at_most: 0s }\n', '')}limits: { requests: 1000/min, acus: 500/month }
`,
      'guardrails.yaml': `guardrails:
  - { id: bounded, on: [org.sessions.create], teams: all, body: { max_acu_limit: { default: 10, at_most: 25 } } }
`,
    },
  })
})
afterAll(async () => {
  stageChannel.unsubscribe(note)
  await running.close()
})

async function traceOf(answer: Promise<Response>): Promise<string[]> {
  const { status, headers } = await answer
  expect(status).toBeLessThan(300)
  const id = headers.get('gateway-decision') ?? ''
  await running.recordsOf(id)
  return traces.get(id) ?? []
}

const listed = (trip: number): string[] => rows.filter(({ passes }) => passes[trip]).map(({ stage }) => stage)

test('the list names every stage, in the order in which they are declared', () => {
  expect(rows.map(({ stage }) => stage)).toEqual([...stageNames])
})

test('a read that has to be forwarded, and the same one from the cache', async () => {
  running.upstream.respond((_request, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"items":[]}'),
  )
  expect(await traceOf(running.call(sessions))).toEqual(listed(1))
  expect(await traceOf(running.call(sessions))).toEqual(listed(0))
})

test('a create whose body is judged and that is paid from a budget', async () => {
  running.upstream.respond((_request, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"session_id":"devin-1"}'),
  )
  const create = {
    method: 'POST',
    body: '{"prompt":"x"}',
    headers: { 'content-type': 'application/json', 'idempotency-key': 'k-1' },
  }
  expect(await traceOf(running.call(sessions, create))).toEqual(listed(2))
})
