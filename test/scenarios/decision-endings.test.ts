// What a decision record says of how its request ended, whatever stopped it.

import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import type { AccessEntry, DecisionEntry } from '../../src/records/entries.ts'
import {
  startTestGateway,
  until,
  usualPolicies,
  type RunningGateway,
  type StartOptions,
} from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const payments = usualPolicies['teams/payments.yaml'] ?? ''

let running: RunningGateway | null = null
afterEach(async () => {
  await running?.close()
  running = null
})
async function start(options: StartOptions = {}): Promise<RunningGateway> {
  running = await startTestGateway(options)
  return running
}

const create = (gateway: RunningGateway, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  gateway.call(sessions, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })

describe('a decision record', () => {
  const guarded = { 'content-type': 'application/json' }
  const limited = (limits: string) => ({ 'teams/payments.yaml': `${payments}limits: ${limits}\n` })
  async function lastOf(
    gateway: RunningGateway,
    answer: Response,
  ): Promise<{ access: AccessEntry; decision: DecisionEntry }> {
    await answer.arrayBuffer()
    return await gateway.recordsOf(answer.headers.get('gateway-decision'))
  }

  test.each<[string, string, number, (gateway: RunningGateway) => Promise<Response>]>([
    ['a rate of reads', '{ requests: 1/min }', 429, async (g) => (await g.call(sessions), g.call(sessions))],
    [
      'a rate of writes',
      '{ writes: 1/min }',
      429,
      async (g) => (await create(g, { prompt: 'x' }), create(g, { prompt: 'x' })),
    ],
    [
      'a rate of sessions',
      '{ sessions: 1/h }',
      429,
      async (g) => {
        g.upstream.respond((_q, r) => r.writeHead(200, guarded).end('{"session_id":"devin-1"}'))
        await (await create(g, { prompt: 'x' })).arrayBuffer()
        return create(g, { prompt: 'x' })
      },
    ],
    [
      'sessions of a day',
      '{ sessions: 1/day }',
      429,
      async (g) => {
        g.upstream.respond((_q, r) => r.writeHead(200, guarded).end('{"session_id":"devin-1"}'))
        await (await create(g, { prompt: 'x' })).arrayBuffer()
        return create(g, { prompt: 'x' })
      },
    ],
    ['a budget of ACUs', '{ acus: 10/month }', 429, (g) => create(g, { prompt: 'x', max_acu_limit: 11 })],
    [
      'the limit of an app',
      '{ apps: { payments-bot: { requests: 1/min } } }',
      429,
      async (g) => {
        await (await g.call(sessions, { claims: { azp: 'payments-bot' } })).arrayBuffer()
        return g.call(sessions, { claims: { azp: 'payments-bot' } })
      },
    ],
    [
      'slots',
      '{ concurrent: 1 }',
      429,
      async (g) => {
        const held: ServerResponse[] = []
        g.upstream.takeOver((_q, r) => held.push(r))
        const first = g.call(sessions)
        await until(() => held.length === 1, 'a call under way')
        const second = await g.call(sessions)
        held[0]?.writeHead(200).end('{}')
        await (await first).arrayBuffer()
        return second
      },
    ],
  ])('says that %s stopped the request, and that nothing was sent', async (_name, limits, status, act) => {
    const gateway = await start({ policies: limited(limits) })
    const answer = await act(gateway)
    expect(answer.status).toBe(status)
    const { access, decision } = await lastOf(gateway, answer)
    expect(decision.ended).toMatchObject({ how: 'refused', sent: false })
    expect(access.outcome).toBe('refused')
    expect(decision.ended.stage).not.toMatch(/forward|answer/)
  })

  test('says that a missing key stopped the request', async () => {
    const gateway = await start({
      policies: {
        'keys.yaml': (usualPolicies['keys.yaml'] ?? '').replaceAll('ViewOrgSessions, ManageOrgSessions, ', ''),
      },
    })
    const answer = await gateway.call(sessions)
    expect(answer.status).toBe(503)
    const { decision } = await lastOf(gateway, answer)
    expect(decision.ended).toMatchObject({ how: 'failed', sent: false })
  })

  test('tells what was sent from what was not where Devin fails', async () => {
    const gateway = await start()
    gateway.upstream.respond((_request, response) => void response.socket?.destroy())
    const { decision } = await lastOf(gateway, await create(gateway, { prompt: 'x' }))
    expect(decision.ended).toMatchObject({ how: 'failed', sent: true })
    await gateway.upstream.close()
    const refused = await lastOf(gateway, await create(gateway, { prompt: 'x' }))
    expect(refused.decision.ended).toMatchObject({ how: 'failed', sent: false })
  })
})
