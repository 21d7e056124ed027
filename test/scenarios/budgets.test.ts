// Budgets through the real gateway, in front of the simulator of the Devin API: sessions that begin, consume, sleep, wake
// and end, and what their team may still spend. Gateway and simulator share one clock, which the tests move.

import { writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { createSimulator, type Simulator } from '../../src/sandbox/simulator/server.ts'
import type { BudgetView } from '../../src/budgets/budget-status.ts'
import { folder } from '../budgets/stores.ts'
import { testWorld, keyOf } from '../sandbox/simulator-support.ts'
import { startTestGateway, until, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const minuteMs = 60_000
const dayMs = 86_400_000

let shiftMs = 0
const now = (): number => Date.now() + shiftMs
let simulator: Simulator
let running: RunningGateway
afterEach(async () => {
  await running.close()
  await simulator.close()
  shiftMs = 0
})

interface SiteOptions {
  readonly limits?: string
  readonly gatewayLimits?: string
  /** Members of `budgets` in the configuration, with a comma in front. */
  readonly budgets?: string
  readonly guardrails?: string
  /** In front of the recording upstream, whose answers the test gives. */
  readonly upstream?: 'recording'
  readonly connections?: number
}

const keys = `keys:
  - id: payments-runner
    scope: organization
    organization: org-payments
    permissions: [ManageOrgSessions, UseDevinSessions]
    secret: { env: PAYMENTS_RUNNER_KEY }
  - id: payments-reader
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ViewOrgConsumption, ViewOrgMetrics]
    secret: { env: PAYMENTS_READER_KEY }
`

async function start(options: SiteOptions): Promise<void> {
  const { limits, gatewayLimits, guardrails, connections = 128 } = options
  simulator = await createSimulator({ world: testWorld(), now })
  const origin = options.upstream === 'recording' ? 'ORIGIN' : simulator.origin
  running = await startTestGateway({
    now,
    upstream: `{ origin: "${origin}", connections: ${connections} }`,
    env: { PAYMENTS_RUNNER_KEY: keyOf('payments-runner'), PAYMENTS_READER_KEY: keyOf('payments-reader') },
    config: `budgets: { poll: 100ms${options.budgets ?? ''} }`,
    policies: {
      'keys.yaml': keys,
      'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}${limits === undefined ? '' : `limits: ${limits}\n`}`,
      ...(gatewayLimits === undefined ? {} : { 'limits.yaml': `limits: ${gatewayLimits}\n` }),
      ...(guardrails === undefined ? {} : { 'guardrails.yaml': `guardrails: ${guardrails}\n` }),
    },
  })
}

/** A call whose token is of the test's time. */
function call(
  path: string,
  init: RequestInit & { claims?: Readonly<Record<string, unknown>> } = {},
): Promise<Response> {
  const seconds = Math.floor(now() / 1000)
  return running.call(path, { ...init, claims: { iat: seconds, exp: seconds + 600, ...init.claims } })
}

function create(bound: number | null, claims = {}): Promise<Response> {
  const body = JSON.stringify(bound === null ? { prompt: 'x' } : { prompt: 'x', max_acu_limit: bound })
  return call(sessions, { method: 'POST', body, claims })
}

async function created(bound: number): Promise<string> {
  const response = await create(bound)
  expect(response.status).toBe(200)
  return ((await response.json()) as { session_id: string }).session_id
}

async function budget(name: string): Promise<BudgetView> {
  const views = (await (await fetch(`${running.adminUrl}/api/budgets`)).json()) as BudgetView[]
  const found = views.find((view) => view.name === name)
  if (found === undefined) throw new Error(`no budget ${name}`)
  return found
}

function untilBudget(name: string, expected: Partial<BudgetView>): Promise<void> {
  return until(async () => {
    const view = await budget(name)
    return Object.entries(expected).every(([key, value]) => view[key as keyof BudgetView] === value)
  }, JSON.stringify(expected))
}

describe('a budget of ACUs', () => {
  test('reserves what a session may cost before the upstream sees it, and refuses what does not fit', async () => {
    await start({ limits: '{ acus: 25/month }' })
    const first = await create(10)
    expect(first.status).toBe(200)
    expect(first.headers.get('ratelimit-policy')).toBe('"acus";q=25;qu="acus"')
    expect(first.headers.get('ratelimit')).toMatch(/^"acus";r=15;t=\d+$/)
    await created(10)
    const seen = simulator.requests.filter(({ method }) => method === 'POST').length
    const refused = await create(6)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    const problem = (await refused.json()) as { type: string; detail: string; budget: BudgetView }
    expect(problem.type).toBe('/gateway/v1/problems/budget-exceeded')
    expect(problem.detail).toMatch(
      /^The budget acus of team payments has 5 ACUs left of 25 per month: 0(\.\d+)? spent, \d+(\.\d+)? reserved by sessions under way\. This session may cost 6\. It begins anew at 20\d\d-\d\d-01T08:00:00\.000Z; .* The budget stands in payments\.yaml, for its owner to change\.$/,
    )
    expect(problem.budget).toMatchObject({ name: 'acus', left: 5, policy: 'payments.yaml' })
    expect(simulator.requests.filter(({ method }) => method === 'POST')).toHaveLength(seen)
    // What fits is let through.
    await created(5)
    expect(await budget('acus')).toMatchObject({ left: 0, used_percent: 100, level: 100 })
    const never = await create(26)
    expect(never.status).toBe(429)
    expect(never.headers.get('retry-after')).toBeNull()
  })

  test('is settled by what sessions consume while they run, sleep, wake and end', async () => {
    await start({ limits: '{ acus: 25/month }' })
    const id = await created(10)
    await untilBudget('acus', { reserved: 10, spent: 0 })
    // It works for a minute after four seconds of start, at an ACU a minute, and waits for half an hour.
    shiftMs += 34_000
    await until(async () => (await budget('acus')).spent >= 0.5, 'consumption')
    expect(await budget('acus')).toMatchObject({ left: 15 })
    shiftMs += 5 * minuteMs
    await untilBudget('acus', { spent: 1, reserved: 9 })
    shiftMs += 40 * minuteMs
    await untilBudget('acus', { spent: 1, reserved: 0, left: 24 })
    // A message wakes it: what it had given back is taken again, before the message is sent.
    const message = (): Promise<Response> =>
      call(`${sessions}/${id.replace('devin-', '')}/messages`, { method: 'POST', body: '{"message":"go on"}' })
    expect((await message()).status).toBe(200)
    expect(await budget('acus')).toMatchObject({ reserved: 9, left: 15 })
    shiftMs += 5 * minuteMs
    await untilBudget('acus', { spent: 2, reserved: 8 })
    expect((await call(`${sessions}/${id}`, { method: 'DELETE' })).status).toBe(200)
    await untilBudget('acus', { spent: 2, reserved: 0, left: 23 })
  })

  test('lets no message wake a session whose rest was given to others', async () => {
    await start({ limits: '{ acus: 25/month }' })
    const id = await created(20)
    shiftMs += 40 * minuteMs
    await untilBudget('acus', { spent: 1, reserved: 0 })
    await created(20)
    // The same session by another spelling of its id, which Devin reads alike.
    for (const name of [id, id.replace('-', '%2D'), `%64${id.slice(1)}`]) {
      const refused = await call(`${sessions}/${name}/messages`, { method: 'POST', body: '{"message":"go on"}' })
      expect(refused.status).toBe(429)
      expect(await refused.json()).toMatchObject({
        type: '/gateway/v1/problems/budget-exceeded',
        reason: 'session-asleep',
        detail: expect.stringContaining('may cost 19 ACUs'),
      })
    }
    expect(simulator.requests.some(({ target }) => target.endsWith('/messages'))).toBe(false)
  })

  test('has the last word from the bill of the day, and then forgets the session', async () => {
    await start({ limits: '{ acus: 25/month }' })
    const id = await created(10)
    const createdMs = now()
    shiftMs += 5 * minuteMs
    await untilBudget('acus', { spent: 1 })
    expect((await call(`${sessions}/${id}?archive=true`, { method: 'DELETE' })).status).toBe(200)
    await untilBudget('acus', { spent: 1, reserved: 0 })
    const bills = (): number =>
      simulator.requests.filter(({ target }) => target.includes(`/consumption/daily/sessions/${id}`)).length
    expect(bills()).toBe(0)
    shiftMs += 26 * 60 * minuteMs
    await until(() => bills() === 1, 'the bill to be asked for')
    const bill = simulator.requests.find(({ target }) => target.includes('/consumption/'))
    expect(bill?.serviceUser).toBe('payments-reader')
    // Of the session's whole life: without bounds it might be of the present cycle alone.
    const { searchParams } = new URL(bill?.target ?? '', simulator.origin)
    const [after, before] = ['time_after', 'time_before'].map((name) => Number(searchParams.get(name)) * 1000)
    expect(after).toBeLessThanOrEqual(createdMs - dayMs)
    expect(before).toBeGreaterThan(createdMs + dayMs)
  })

  test('refuses a create that says no bound', async () => {
    await start({ limits: '{ acus: 25/month }' })
    for (const body of [
      '{"prompt":"x"}',
      '{"prompt":"x","max_acu_limit":null}',
      '{"prompt":"x","max_acu_limit":"5"}',
    ]) {
      const refused = await call(sessions, { method: 'POST', body })
      expect(refused.status).toBe(403)
      expect(await refused.json()).toMatchObject({
        type: '/gateway/v1/problems/guardrail',
        reason: 'budget-needs-bound',
        detail: expect.stringContaining('send max_acu_limit'),
      })
    }
    expect(simulator.requests.some(({ method }) => method === 'POST')).toBe(false)
  })

  test('gives back what a create that the upstream refused had reserved', async () => {
    await start({ limits: '{ acus: 25/month, sessions: 3/day }' })
    const refused = await call(sessions, {
      method: 'POST',
      body: '{"prompt":"x","max_acu_limit":10,"platform":"amiga"}',
    })
    expect(refused.status).toBe(400)
    await untilBudget('acus', { reserved: 0, spent: 0 })
    expect(await budget('sessions')).toMatchObject({ reserved: 0, spent: 0, left: 3 })
  })

  test('begins anew at 08:00 UTC', async () => {
    shiftMs = nextEight() - 30 * minuteMs - Date.now()
    await start({ limits: '{ acus: 10/day }' })
    await created(10)
    const refused = await create(1)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(1800)
    shiftMs += 31 * minuteMs
    await created(10)
  })

  test('is of an app, of every caller, of an organization and of all teams, each for itself', async () => {
    await start({
      limits: '{ apps: { payments-bot: { acus: 5/day } }, per_principal: { acus: 8/day } }',
      gatewayLimits: '{ acus: 30/month, organizations: { org-payments: { acus: 20/month } } }',
    })
    const bot = { azp: 'payments-bot', sub: 'bot' }
    expect((await create(5, bot)).status).toBe(200)
    const detail = async (response: Response): Promise<string> => {
      expect(response.status).toBe(429)
      return ((await response.json()) as { detail: string }).detail
    }
    expect(await detail(await create(1, bot))).toContain(
      'The budget app-acus of app payments-bot of team payments has 0',
    )
    expect((await create(8)).status).toBe(200)
    expect(await detail(await create(1))).toContain(
      'The budget principal-acus of ann in team payments has 0 ACUs left of 8',
    )
    expect(await detail(await create(8, { sub: 'bob' }))).toContain(
      'The budget organization-acus of organization org-payments has 7 ACUs left of 20 per month',
    )
    expect(await budget('gateway-acus')).toMatchObject({ left: 17, owner: 'all teams together', team: null })
    const me = (await (await call('/gateway/v1/me')).json()) as { budgets: Record<string, BudgetView[]> }
    expect(me.budgets['payments']?.map(({ name, left }) => [name, left])).toEqual([
      ['principal-acus', 0],
      ['organization-acus', 7],
      ['gateway-acus', 17],
    ])
  })

  test('warns at 50, 80 and 100 percent and above its soft bound, once each, and a soft bound alone refuses nothing', async () => {
    await start({ limits: '{ acus: { hard: 20/month, soft: 15/month }, open_sessions: { soft: 1 } }' })
    await created(10)
    await created(6)
    await created(4)
    const entries = running.logLines
      .map((line) => JSON.parse(line) as { event?: string; level?: unknown; owner?: string; budget?: BudgetView })
      .filter(({ event }) => event === 'budget-level' || event === 'budget-soft')
    expect(entries.map(({ event, budget: view }) => [event, view?.name, view?.used_percent])).toEqual([
      ['budget-level', 'acus', 50],
      ['budget-level', 'acus', 80],
      ['budget-soft', 'acus', 80],
      ['budget-soft', 'open_sessions', null],
      ['budget-level', 'acus', 100],
    ])
    const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text()
    expect(metrics).toContain('gateway_budget_limit{owner="team payments",budget="acus"} 20')
    expect(metrics).toContain('gateway_budget_level_percent{owner="team payments",budget="acus"} 100')
    expect(metrics).toContain('gateway_budget_requests_total{result="reserved"} 3')
  })

  test('in shadow mode counts and tells, and refuses nothing', async () => {
    await start({ limits: '{ acus: 10/month, mode: shadow }' })
    await created(8)
    await created(8)
    expect((await create(null)).status).toBe(200)
    expect(await budget('acus')).toMatchObject({ used_percent: 160, mode: 'shadow' })
    const creates = async () => (await running.access()).filter(({ operation }) => operation === 'org.sessions.create')
    await until(async () => (await creates()).length === 3, 'the records')
    expect((await creates()).map(({ limit }) => limit)).toEqual([null, 'acus', 'acus'])
  })
})

describe('budgets of sessions', () => {
  test('bound those that are open, and one that ends or sleeps makes room', async () => {
    await start({ limits: '{ open_sessions: 2 }' })
    const id = await created(1)
    await created(1)
    const refused = await create(1)
    expect(refused.status).toBe(429)
    expect(await refused.json()).toMatchObject({
      detail: expect.stringMatching(
        /^The budget open_sessions of team payments has 0 open sessions left of 2 at once: 0 spent, 2 reserved by sessions under way\. Wait until a session has ended, or end one\./,
      ),
    })
    expect((await call(`${sessions}/${id}`, { method: 'DELETE' })).status).toBe(200)
    await untilBudget('open_sessions', { left: 1 })
    await created(1)
    shiftMs += 40 * minuteMs
    await untilBudget('open_sessions', { left: 2 })
  })

  test('bound those of a day, over a restart', async () => {
    const journal = join(await folder(), 'budgets.journal')
    await start({ limits: '{ sessions: 2/day }', budgets: `, journal: ${journal}` })
    await created(1)
    await created(1)
    await untilBudget('sessions', { spent: 2 })
    await running.close()
    await simulator.close()
    await start({ limits: '{ sessions: 2/day }', budgets: `, journal: ${journal}` })
    const refused = await create(1)
    expect(refused.status).toBe(429)
    expect(await refused.json()).toMatchObject({
      detail: expect.stringContaining('The budget sessions of team payments has 0 sessions left of 2 per day'),
    })
  })
})

describe('a create', () => {
  const answers: readonly (readonly [string, (response: ServerResponse) => void, number, number])[] = [
    ['that breaks off', (response) => response.socket?.destroy(), 502, 10],
    ['that is answered with a 503', (response) => response.writeHead(503).end('{}'), 503, 10],
    ['whose answer names no session', (response) => response.writeHead(200).end('[]'), 200, 10],
    ['that is answered with a 422', (response) => response.writeHead(422).end('{}'), 422, 0],
    ['whose key is rejected', (response) => response.writeHead(401).end('{}'), 502, 0],
  ]
  test('stays reserved when nobody knows what became of it, and is given back when it surely came to nothing', async () => {
    await start({ limits: '{ acus: 1000/month }', upstream: 'recording' })
    let reserved = 0
    for (const [name, answer, status, stays] of answers) {
      running.upstream.respond((_request, response) => answer(response))
      expect((await create(10)).status, name).toBe(status)
      reserved += stays
      await untilBudget('acus', { reserved })
    }
    await running.upstream.close()
    expect((await create(10)).status).toBe(502)
    await untilBudget('acus', { reserved })
  })

  test('that waits for the upstream and whose caller leaves is given back; one that was sent is not', async () => {
    await start({ limits: '{ acus: 1000/month }', upstream: 'recording', connections: 1 })
    running.upstream.takeOver((request) => void request.resume())
    const leave = new AbortController()
    const body = JSON.stringify({ prompt: 'x', max_acu_limit: 10 })
    const sent = call(sessions, { method: 'POST', body, signal: leave.signal })
    sent.catch(() => {})
    await until(() => running.upstream.seen.length === 1, 'the first create')
    const waits = call(sessions, { method: 'POST', body, signal: leave.signal })
    waits.catch(() => {})
    await untilBudget('acus', { reserved: 20 })
    leave.abort()
    await untilBudget('acus', { reserved: 10 })
    expect(running.upstream.seen).toHaveLength(1)
  })

  test('with an idempotency key is reserved once, and its repetition costs nothing', async () => {
    await start({ limits: '{ acus: 15/month }' })
    const body = JSON.stringify({ prompt: 'x', max_acu_limit: 10 })
    const headers = { 'idempotency-key': '"once"' }
    const [first, second] = [
      await call(sessions, { method: 'POST', body, headers }),
      await call(sessions, { method: 'POST', body, headers }),
    ]
    expect([first.status, second.status]).toEqual([200, 200])
    expect(await second.json()).toEqual(await first.json())
    await untilBudget('acus', { left: 5 })
    // What was refused was not done: the same key may be used again.
    const other = { 'idempotency-key': '"later"' }
    expect((await call(sessions, { method: 'POST', body, headers: other })).status).toBe(429)
    expect((await call(sessions, { method: 'POST', body, headers: other })).status).toBe(429)
  })

  test('gets its bound from a guardrail, and that is what is reserved and sent', async () => {
    await start({
      limits: '{ acus: 15/month }',
      upstream: 'recording',
      guardrails: '[{ id: bounded, on: [org.sessions.create], body: { max_acu_limit: { default: 9 } } }]',
    })
    running.upstream.respond((_request, response) => response.writeHead(200).end('{"session_id":"devin-1"}'))
    const headers = { 'content-type': 'application/json' }
    expect((await call(sessions, { method: 'POST', body: '{"prompt":"x"}', headers })).status).toBe(200)
    expect(running.upstream.seen.find(({ method }) => method === 'POST')?.body.toString()).toContain(
      '"max_acu_limit":9',
    )
    expect(await budget('acus')).toMatchObject({ left: 6 })
  })

  test.each([
    ['refuse', 503],
    ['allow', 200],
  ])('while nobody can tell what is left: %s', async (whenUnavailable, status) => {
    const journal = join(await folder(), 'budgets.journal')
    await writeFile(journal, 'nonsense')
    await start({ budgets: `, journal: ${journal}, when_unavailable: ${whenUnavailable}` })
    // A journal is nobody's business while there are no budgets.
    await running.writePolicy('limits.yaml', 'limits: { acus: 5/month }\n')
    expect(await running.gateway.reload('test')).toBe('replaced')
    const response = await create(1)
    expect(response.status).toBe(status)
    if (status === 503) {
      expect(response.headers.get('retry-after')).toBe('5')
      expect(await response.json()).toMatchObject({ type: '/gateway/v1/problems/budget-unavailable' })
      expect(simulator.requests.some(({ method }) => method === 'POST')).toBe(false)
    }
    expect((await fetch(`${running.adminUrl}/api/budgets`)).status).toBe(503)
    expect((await call('/gateway/v1/me')).status).toBe(200)
    expect(running.logLines.some((line) => line.includes('does not begin with a snapshot'))).toBe(true)
    // Reads cost nothing.
    expect((await call(`${sessions}?first=1`)).status).toBe(200)
  })
})

function nextEight(): number {
  return Math.ceil((Date.now() - 8 * 60 * minuteMs) / dayMs) * dayMs + 8 * 60 * minuteMs
}
