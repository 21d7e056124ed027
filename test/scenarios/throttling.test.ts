// An upstream that throttles, over real sockets: 429 is passed on and remembered by key, teams take turns, and
// waiting requests are served or refused with Retry-After.

import { afterEach, describe, expect, test } from 'vitest'
import { startTestGateway, until, type RunningGateway } from '../support/start-gateway.ts'
import { fieldOf } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
let running: RunningGateway
afterEach(() => running.close())

const teamFile = (name: string, limits: string, cache = 'cache: { at_most: 0s }\n'): string => `team: ${name}
members: [{ groups: [${name}] }]
organizations: [org-payments]
grants: [{ id: all, allow: [ViewOrgSessions, ManageOrgSessions] }]
${cache}limits: ${limits}
`
const as = (team: string): { claims: Record<string, unknown> } => ({ claims: { groups: [team], sub: team } })

function start(queue: string, more: Parameters<typeof startTestGateway>[0] = {}): Promise<RunningGateway> {
  return startTestGateway({
    ...more,
    policies: {
      'teams/high.yaml': teamFile('high', '{ priority: high }'),
      'teams/normal.yaml': teamFile('normal', '{ weight: 1 }'),
      'teams/more.yaml': teamFile('more', '{ weight: 3 }'),
      'teams/low.yaml': teamFile('low', '{ priority: low }', ''),
      'limits.yaml': `limits: { ${queue} }\n`,
      ...more.policies,
    },
  })
}

/** The upstream answers 429 once, then as usual. */
function refuseOnce(fields: Record<string, string>): void {
  running.upstream.respond((_request, response) => {
    running.upstream.respond((_again, next) => next.writeHead(200, { 'content-type': 'application/json' }).end('{}'))
    response.writeHead(429, { 'content-type': 'application/json', ...fields }).end('{"detail":"slow down"}')
  })
}

describe('429 of the upstream', () => {
  test('is passed on, and holds traffic of lower priority of its key for that time, and no other', async () => {
    running = await start('')
    await running.call('/v3/organizations/org-payments/sessions?first=9', as('low'))
    refuseOnce({ 'retry-after': '7' })
    const first = await running.call(sessions, as('normal'))
    expect([first.status, first.headers.get('retry-after'), await first.json()]).toEqual([
      429,
      '7',
      { detail: 'slow down' },
    ])
    expect(first.headers.get('cache-status')).not.toContain('stored')

    const held = await running.call(sessions, as('low'))
    expect([held.status, Number(held.headers.get('retry-after')) >= 6]).toEqual([429, true])
    expect(await held.json()).toMatchObject({
      type: '/gateway/v1/problems/rate-limit-exceeded',
      reason: 'upstream-throttled',
      detail: expect.stringContaining('with the key payments-runner'),
    })
    expect((await running.call(sessions, { ...as('low'), method: 'POST', body: '{"prompt":"x"}' })).status).toBe(429)
    expect(running.upstream.seen).toHaveLength(2)
    expect((await running.call(sessions, as('normal'))).status).toBe(200)
    // What needs no call upstream is not held.
    const cached = await running.call('/v3/organizations/org-payments/sessions?first=9', as('low'))
    expect([cached.status, cached.headers.get('cache-status')]).toEqual([200, expect.stringContaining('; hit')])
    expect((await running.call(sessions, as('high'))).status).toBe(200)
    expect((await running.call('/v3/enterprise/sessions', { claims: { groups: ['sso-analytics'] } })).status).toBe(200)

    const records = await running.access()
    await running.recorded(8)
    expect((await running.access()).slice(2, 3)).toMatchObject([
      { team: 'low', outcome: 'refused', reason: 'upstream-throttled', upstream_status: null, waited_ms: null },
    ])
    expect(records.length).toBeLessThanOrEqual(8)
    const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text()
    expect(metrics).toContain('gateway_upstream_throttled_total{key="payments-runner"} 1')
    expect(metrics).toContain('gateway_held_total{team="low",result="refused"} 2')
  })

  test('is waited for where the policy says so, and then served in turns by weight', async () => {
    running = await start('queue: { max_wait: 10s }')
    refuseOnce({ 'retry-after-ms': '600' })
    expect((await running.call(sessions, as('high'))).status).toBe(429)
    const ask = (team: string): Promise<Response> => running.call(`${sessions}?first=${team}`, as(team))
    const answers = [1, 2, 3, 4, 5, 6].map(() => ask('normal'))
    await waiting(6)
    answers.push(...[1, 2, 3, 4, 5, 6].map(() => ask('more')))
    await waiting(12)
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(200)
    const order = running.upstream.seen.slice(1).map(({ target }) => target.split('=')[1])
    // One of `normal` to three of `more`, whoever came first.
    for (const count of [4, 8])
      expect(order.slice(0, count).filter((team) => team === 'more').length).toBe((count * 3) / 4)
    await running.recorded(13)
    const waits = (await running.access()).map(({ waited_ms: waited }) => waited)
    expect(waits.filter((waited) => waited !== null && waited > 0)).toHaveLength(12)
  })

  test('a request that cannot be served within the wait is refused at once, and one that leaves frees its place', async () => {
    running = await start('queue: { max_wait: 2s }', {
      upstream: '{ origin: "ORIGIN", connections: 4, max_waiting: 1 }',
    })
    refuseOnce({ 'retry-after-ms': '1500' })
    expect((await running.call(sessions, as('high'))).status).toBe(429)
    const leave = new AbortController()
    const waits = running.call(sessions, { ...as('normal'), signal: leave.signal })
    waits.catch(() => {})
    await waiting(1)
    expect(await (await running.call(sessions, as('more'))).json()).toMatchObject({
      type: '/gateway/v1/problems/overloaded',
    })
    leave.abort()
    await waiting(0)
    const second = running.call(sessions, as('more'))
    await waiting(1)
    // A longer pause, seen by a request of high priority: waiting requests could not be served in time.
    refuseOnce({ 'retry-after': '30' })
    expect((await running.call(sessions, as('high'))).status).toBe(429)
    const refused = await second
    expect([refused.status, Number(refused.headers.get('retry-after'))]).toEqual([429, 30])
  })

  test('is not stored, and a stored answer that has just expired stands in for those who are held', async () => {
    running = await start('', { policies: { 'teams/low.yaml': teamFile('low', '{ priority: low }', '') } })
    const path = `${sessions}?first=3`
    running.upstream.respond((_request, response) =>
      response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=1' }).end('{"old":1}'),
    )
    await running.call(path, as('low'))
    refuseOnce({ 'retry-after': '60' })
    await running.call(sessions, as('normal'))
    await until(async () => {
      const answer = await running.call(path, as('low'))
      return answer.headers.get('cache-status')?.includes('detail=upstream-silent') === true && answer.status === 200
    }, 'the stored answer to stand in')
    expect(running.upstream.seen).toHaveLength(2)
  })
})

describe('a saturated upstream', () => {
  test('is shared by weight between teams, in the order of arrival inside a team', async () => {
    running = await start('', { upstream: '{ origin: "ORIGIN", connections: 1 }' })
    const finish: (() => void)[] = []
    running.upstream.takeOver((_request, response) => {
      finish.push(() => void response.writeHead(200, { 'content-type': 'application/json' }).end('{}'))
    })
    const answers: Promise<Response>[] = []
    const ask = async (team: string, count: number): Promise<void> => {
      const before = answers.length
      for (let index = 0; index < count; index += 1) {
        answers.push(running.call(sessions, { ...as(team), headers: { 'x-request-id': `${team}-${index}` } }))
        // The first one takes the connection, the others wait.
        if (before + index === 0) await until(() => finish.length === 1, 'the first request to arrive')
        else await waiting(before + index)
      }
    }
    await ask('normal', 5)
    await ask('more', 6)
    for (let done = 0; done < 11; done += 1) {
      await until(() => finish.length > done, 'the next request')
      finish[done]?.()
    }
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(200)
    const order = running.upstream.seen.map((seen) => fieldOf(seen, 'x-request-id') ?? '')
    expect(order.slice(1, 9).filter((id) => id.startsWith('more'))).toHaveLength(6)
    for (const team of ['normal', 'more'])
      expect(order.filter((id) => id.startsWith(team))).toEqual(
        order
          .filter((id) => id.startsWith(team))
          .toSorted((one, other) => Number(one.split('-')[1]) - Number(other.split('-')[1])),
      )
  })
})

async function waiting(count: number): Promise<void> {
  await until(async () => {
    const status = (await (await fetch(`${running.adminUrl}/api/status`)).json()) as { upstream: { waiting: number } }
    return status.upstream.waiting === count
  }, `${count} to wait`)
}
