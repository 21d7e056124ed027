// An overloaded process: teams of low priority are refused first, those of high priority last; admitted requests are
// served, and operators see all of it.

import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startTestGateway, until, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const priorities = ['low', 'normal', 'high'] as const

let delayMs = 0
let running: RunningGateway
beforeEach(async () => {
  delayMs = 0
  const team = (priority: string): string =>
    (usualPolicies['teams/payments.yaml'] ?? '')
      .replace('team: payments', `team: ${priority}`)
      .replace(/members:[^]*?organizations:/, `members: [{ groups: [${priority}] }]\norganizations:`)
      .concat(`limits: { priority: ${priority} }\n`)
  running = await startTestGateway({
    policies: Object.fromEntries(priorities.map((priority) => [`teams/${priority}.yaml`, team(priority)])),
    eventLoopDelay: () => delayMs,
  })
})
afterEach(() => running.close())

const call = (team: string): Promise<Response> => running.call(sessions, { claims: { groups: [team] } })
const statuses = async (): Promise<readonly number[]> =>
  await Promise.all([...priorities, 'sso-payments-eng'].map(async (team) => (await call(team)).status))
const level = async (): Promise<number> =>
  Number(/^gateway_overload_level (\d)$/m.exec(await (await fetch(`${running.adminUrl}/metrics`)).text())?.[1])

test('refuses by priority, says why, and serves all again', async () => {
  expect(await statuses()).toEqual([200, 200, 200, 200])
  for (const [reading, expected] of [
    [150, [503, 200, 200, 200]],
    [400, [503, 503, 200, 503]],
    [3000, [503, 503, 503, 503]],
  ] as const) {
    delayMs = reading
    await until(
      async () => (await level()) === expected.slice(0, 3).filter((status) => status === 503).length,
      'the level',
    )
    expect(await statuses()).toEqual(expected)
  }
  const before = running.upstream.seen.length
  const refused = await call('high')
  expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
  expect(await refused.json()).toMatchObject({ type: '/gateway/v1/problems/overloaded', reason: 'gateway-busy' })
  expect(running.upstream.seen).toHaveLength(before)
  const { access, decision } = await running.recordsOf(refused.headers.get('gateway-decision'))
  expect(access).toMatchObject({ team: 'high', problem: 'overloaded', reason: 'gateway-busy', outcome: 'failed' })
  expect(decision.effect).toBe('allow')
  // A denied request gets its denial, and not the overload.
  expect((await running.call('/v3/organizations/org-other/sessions')).status).toBe(403)
  expect((await running.call(sessions, { token: null })).status).toBe(401)
  delayMs = 0
  await until(async () => (await level()) === 0, 'the end')
  expect(await statuses()).toEqual([200, 200, 200, 200])
  const said = running.logLines
    .filter((line) => line.includes('"event":"overload"'))
    .map((line) => JSON.parse(line) as { refused: string[] })
  expect(said[0]?.refused).toEqual(['low'])
  expect(said.at(-1)?.refused).toEqual([])
})

test('never refuses operators, own pages or what was admitted before', async () => {
  const held: ServerResponse[] = []
  running.upstream.takeOver((request, response) => {
    request.resume()
    held.push(response)
  })
  const admitted = call('low')
  await until(() => held.length === 1, 'a request under way')
  delayMs = 3000
  await until(async () => (await level()) === 3, 'the overload')
  running.upstream.takeOver(null)
  expect((await call('high')).status).toBe(503)
  for (const path of ['/livez', '/readyz', '/metrics', '/api/status'])
    expect((await fetch(`${running.adminUrl}${path}`)).status).toBe(200)
  expect(running.gateway.readiness().notes?.join()).toContain('low, normal, high')
  expect((await running.call('/gateway/v1/me')).status).toBe(200)
  held[0]?.writeHead(200).end('{}')
  expect((await admitted).status).toBe(200)
  const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text()
  expect(metrics).toContain('gateway_overload_refused_total{priority="high"} 1')
  expect(metrics).toContain('gateway_overload_refused_total{priority="low"} 0')
})
