// An overloaded process: teams that make more than their share of the load are refused first, then those of low priority;
// admitted requests are served, and operators see all of it.

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
  for (const [reading, reached, expected] of [
    [150, 1, [200, 200, 200, 200]],
    [400, 2, [503, 200, 200, 200]],
    [3000, 3, [503, 503, 503, 503]],
  ] as const) {
    delayMs = reading
    await until(async () => (await level()) === reached, 'the level')
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
  expect(said[0]).toMatchObject({ refused: [], refused_beyond_share: ['low', 'normal'] })
  expect(said.at(-1)).toMatchObject({ refused: [], refused_beyond_share: [] })
})

test('refuses the team that makes the load before others of its priority, while its requests are under way', async () => {
  const held: ServerResponse[] = []
  running.upstream.takeOver((request, response) => {
    request.resume()
    held.push(response)
  })
  const many = Array.from({ length: 30 }, () => call('sso-payments-eng'))
  await until(() => held.length === many.length, 'the requests under way')
  running.upstream.takeOver(null)
  delayMs = 150
  await until(async () => (await level()) === 1, 'the level')
  expect(await statuses()).toEqual([200, 200, 200, 503])
  delayMs = 400
  await until(async () => (await level()) === 2, 'the next level')
  expect((await call('normal')).status).toBe(200)
  for (const response of held) response.writeHead(200).end('{}')
  expect((await Promise.all(many)).map(({ status }) => status)).toEqual(many.map(() => 200))
  // What it has begun is forgotten within a few readings.
  await until(
    async () => (await call('normal')).status === 200 && (await call('sso-payments-eng')).status === 200,
    'it to be served',
  )
  expect(await level()).toBe(2)
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
