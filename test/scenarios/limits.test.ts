// Limits over real sockets: what a caller sees when a team has used what it may.

import { afterEach, describe, expect, test } from 'vitest'
import { startTestGateway, until, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer } from '../support/valkey.ts'

const sessions = '/v3/organizations/org-payments/sessions'
let running: RunningGateway
afterEach(() => running.close())

function withLimits(limits: string): Promise<RunningGateway> {
  return startTestGateway({
    policies: { 'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}limits: ${limits}\n` },
  })
}

describe('a team with limits', () => {
  test('sees what is left, is refused beyond it with Retry-After, and its refusals cost nothing', async () => {
    running = await withLimits('{ requests: 3/h, writes: 1/h }')
    const first = await running.call(sessions)
    expect(first.headers.get('ratelimit-policy')).toBe('"requests";q=3;w=3600')
    expect(first.headers.get('ratelimit')).toBe('"requests";r=2;t=3600')
    // A denied request counts nowhere.
    expect((await running.call('/v3/organizations/org-other/sessions')).status).toBe(403)
    expect((await running.call(sessions, { method: 'POST', body: '{"prompt":"x"}' })).status).toBe(200)
    // The write is refused; all or nothing, so the request it was does not count either.
    const write = await running.call(sessions, { method: 'POST', body: '{"prompt":"x"}' })
    expect(write.status).toBe(429)
    expect(await write.json()).toMatchObject({
      type: '/gateway/v1/problems/rate-limit-exceeded',
      detail: expect.stringContaining('writes of 1 per hour'),
    })
    expect((await running.call(sessions)).status).toBe(200)
    const refused = await running.call(sessions)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(3500)
    expect(running.upstream.seen).toHaveLength(3)
    const me = (await (await running.call('/gateway/v1/me')).json()) as {
      limits: Record<string, { name: string; remaining: number }[]>
    }
    expect(me.limits['payments']?.map(({ name, remaining }) => [name, remaining])).toEqual([
      ['requests', 0],
      ['writes', 0],
    ])
  })

  test('may have so many requests under way, and a slot is free again however a request ends', async () => {
    running = await withLimits('{ concurrent: 1 }')
    let release = (): void => {}
    running.upstream.takeOver((_request, response) => {
      release = () => void response.end('{}')
    })
    const leave = new AbortController()
    const slow = running.call(sessions, { signal: leave.signal })
    slow.catch(() => {})
    await until(() => running.upstream.seen.length === 1, 'the first request')
    const second = await running.call(sessions)
    expect(second.status).toBe(429)
    expect(await second.json()).toMatchObject({ type: '/gateway/v1/problems/concurrency-exceeded' })
    leave.abort()
    await until(async () => {
      running.upstream.takeOver(null)
      return (await running.call(sessions)).status === 200
    }, 'the slot to be free')
    release()
  })

  test('counts successful session creates only', async () => {
    running = await withLimits('{ sessions: 1/day }')
    const create = (): Promise<Response> => running.call(sessions, { method: 'POST', body: '{"prompt":"x"}' })
    running.upstream.respond((_request, response) => response.writeHead(422).end('{}'))
    expect((await create()).status).toBe(422)
    running.upstream.respond((_request, response) => response.writeHead(200).end('{}'))
    await until(async () => (await create()).status === 200, 'the failed create to be given back')
    const refused = await create()
    expect(refused.status).toBe(429)
    expect(await refused.json()).toMatchObject({ type: '/gateway/v1/problems/budget-exceeded' })
  })

  test('bounds an app and a principal inside it on their own', async () => {
    running = await withLimits(
      '{ requests: 100/h, apps: { payments-bot: { requests: 1/h } }, per_principal: { requests: 2/h } }',
    )
    const bot = { azp: 'payments-bot', sub: 'bot' }
    expect((await running.call(sessions, { claims: bot })).status).toBe(200)
    expect((await running.call(sessions, { claims: bot })).status).toBe(429)
    expect((await running.call(sessions, { claims: { sub: 'bob' } })).status).toBe(200)
    expect((await running.call(sessions, { claims: { sub: 'bob' } })).status).toBe(200)
    expect((await running.call(sessions, { claims: { sub: 'bob' } })).status).toBe(429)
    expect((await running.call(sessions, { claims: { sub: 'eve' } })).status).toBe(200)
  })

  test('shows its callers the limits of groups of operations, too, but not of those they may not call', async () => {
    running = await withLimits(
      '{ requests: 9/h, operations: { org.sessions.list: { requests: 2/h }, "org.secrets.*": { requests: 1/h } } }',
    )
    await running.call(sessions)
    const me = (await (await running.call('/gateway/v1/me')).json()) as {
      limits: Record<string, { name: string; remaining: number }[]>
    }
    expect(me.limits['payments']?.map(({ name, remaining }) => [name, remaining])).toEqual([
      ['requests', 8],
      ['org.sessions.list-requests', 1],
    ])
  })

  test('keeps what was used when the policies are replaced', async () => {
    running = await withLimits('{ requests: 2/h }')
    await running.call(sessions)
    await running.writePolicy(
      'teams/payments.yaml',
      `${usualPolicies['teams/payments.yaml'] ?? ''}limits: { requests: 1/h }\n`,
    )
    expect(await running.gateway.reload('test')).toBe('replaced')
    expect((await running.call(sessions)).status).toBe(429)
  })
})

describe('the limits of the whole gateway', () => {
  const bob = { claims: { groups: ['sso-other'], sub: 'bob' } }
  const other = `team: other
members: [{ groups: [sso-other] }]
organizations: [org-payments]
grants: [{ id: all, allow: [ViewOrgSessions] }]
cache: { at_most: 0s }
limits: { requests: 3/h }
`

  test('are of all teams together, judged with their own, and say whose they are', async () => {
    running = await startTestGateway({
      policies: { 'teams/other.yaml': other, 'limits.yaml': 'limits: { requests: 2/h, writes: 1/h }\n' },
    })
    const first = await running.call(sessions, bob)
    expect(first.headers.get('ratelimit-policy')).toBe('"requests";q=3;w=3600, "gateway-requests";q=2;w=3600')
    expect((await running.call(sessions)).status).toBe(200)
    const refused = await running.call(sessions, bob)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(3500)
    expect(await refused.json()).toMatchObject({
      type: '/gateway/v1/problems/rate-limit-exceeded',
      detail: expect.stringMatching(/^All teams together have used .* is the gateway's, not your team's/),
    })
    // All or nothing: what the gateway's limit refused did not count against the team's.
    const me = (await (await running.call('/gateway/v1/me', bob)).json()) as {
      limits: Record<string, { name: string; remaining: number }[]>
    }
    expect(me.limits['other']?.map(({ name, remaining }) => [name, remaining])).toEqual([
      ['requests', 2],
      ['gateway-requests', 0],
      ['gateway-writes', 1],
    ])
    await running.recorded(4)
    expect((await running.access()).map(({ limit }) => limit)).toEqual([null, null, 'gateway-requests', null])
  })

  test('change with the policies, without a restart, and keep what was used', async () => {
    running = await startTestGateway({ policies: { 'limits.yaml': 'limits: { requests: 1/h }\n' } })
    expect((await running.call(sessions)).status).toBe(200)
    expect((await running.call(sessions)).status).toBe(429)
    await running.writePolicy('limits.yaml', 'limits: { requests: 2/h }\n')
    expect(await running.gateway.reload('test')).toBe('replaced')
    expect((await running.call(sessions)).status).toBe(200)
    expect((await running.call(sessions)).status).toBe(429)
  })

  test('bound what is under way for all teams, and groups of operations', async () => {
    running = await startTestGateway({
      policies: {
        'teams/other.yaml': other,
        'limits.yaml': 'limits: { concurrent: 1, operations: { org.sessions.get: { requests: 1/h } } }\n',
      },
    })
    running.upstream.takeOver(() => {})
    const leave = new AbortController()
    running.call(sessions, { signal: leave.signal }).catch(() => {})
    await until(() => running.upstream.seen.length === 1, 'the first request')
    const refused = await running.call(sessions, bob)
    expect(await refused.json()).toMatchObject({
      type: '/gateway/v1/problems/concurrency-exceeded',
      detail: expect.stringMatching(/^All teams together may have 1 /),
    })
    leave.abort()
    running.upstream.takeOver(null)
    await until(async () => (await running.call(`${sessions}/devin-1`)).status === 200, 'the slot to be free')
    const second = await running.call(`${sessions}/devin-2`)
    expect(await second.json()).toMatchObject({ detail: expect.stringContaining('gateway-org.sessions.get-requests') })
  })
})

describe('a team whose answers from the cache are free', () => {
  const free = (limits: string): Record<string, string> => ({
    'teams/payments.yaml': `${(usualPolicies['teams/payments.yaml'] ?? '').replace('cache: { at_most: 0s }\n', '')}limits: ${limits}\n`,
  })

  test('is charged for what asks upstream only, and has them also when its limit is used up', async () => {
    running = await startTestGateway({ policies: free('{ requests: 2/h, concurrent: 5, cached: free }') })
    const one = `${sessions}/devin-1`
    const first = await running.call(one)
    expect(first.headers.get('ratelimit')).toMatch(/^"requests";r=1;t=3600, "concurrent";r=4/)
    for (let count = 0; count < 4; count += 1) {
      const hit = await running.call(one)
      expect([hit.status, hit.headers.get('cache-status')]).toEqual([200, expect.stringContaining('; hit')])
    }
    expect((await running.call(`${sessions}/devin-2`)).status).toBe(200)
    const refused = await running.call(`${sessions}/devin-3`)
    expect([refused.status, refused.headers.get('ratelimit')]).toEqual([429, expect.stringContaining('"requests";r=0')])
    expect(await refused.json()).toMatchObject({ detail: expect.stringContaining('requests of 2 per hour') })
    // The slots were given back, and what is stored is still there.
    expect((await running.call(`${sessions}/devin-2`)).headers.get('cache-status')).toContain('; hit')
    expect((await running.call(sessions, { method: 'POST', body: '{"prompt":"x"}' })).status).toBe(429)
    expect(running.upstream.seen).toHaveLength(2)
  })

  test('is charged for the same where a guardrail has to look the caller up first', async () => {
    running = await startTestGateway({
      policies: {
        ...free('{ requests: 2/h, cached: free }'),
        'guardrails.yaml':
          'guardrails:\n  - id: own\n    on: [org.sessions.list]\n    query: { user_ids: { equals: principal.devin_user_id } }\n',
      },
    })
    running.upstream.respond((request, response) => {
      const isMembers = request.url?.includes('/members/') === true
      const items = isMembers ? [{ user_id: 'u-ann', email: 'ann@corp.example' }] : []
      const page = { items, has_next_page: false, end_cursor: null }
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(page))
    })
    const claims = { groups: ['sso-payments-eng'], email: 'ann@corp.example' }
    const own = (page: number) => running.call(`${sessions}?user_ids=u-ann&first=${page}`, { claims })
    expect((await own(1)).headers.get('ratelimit')).toMatch(/^"requests";r=1;/)
    expect((await own(1)).headers.get('cache-status')).toContain('; hit')
    expect([(await own(2)).status, (await own(3)).status]).toEqual([200, 429])
  })

  test('counts them by default', async () => {
    running = await startTestGateway({ policies: free('{ requests: 2/h }') })
    for (const status of [200, 200, 429]) expect((await running.call(`${sessions}/devin-1`)).status).toBe(status)
    expect(running.upstream.seen).toHaveLength(1)
  })
})

describeWithValkey('over a shared store', () => {
  test('answers from the cache are free, too, and a refusal is about the one who asked only', async () => {
    const store = await startStoreServer()
    try {
      running = await startTestGateway({
        config: `store: "${store.address}"`,
        policies: {
          'teams/payments.yaml': `${(usualPolicies['teams/payments.yaml'] ?? '').replace('cache: { at_most: 0s }\n', '')}limits: { per_principal: { requests: 1/h }, cached: free }\n`,
        },
      })
      const ask = (name: string, sub: string): Promise<Response> =>
        running.call(`${sessions}/${name}`, { claims: { sub } })
      expect((await ask('devin-1', 'ann')).status).toBe(200)
      expect((await ask('devin-1', 'ann')).headers.get('cache-status')).toContain('; hit')
      // Ann asks first and is refused while Bob and Eve wait for her call: Bob asks for himself, Eve shares his answer. Whose
      // connection is served first is not ours to say: when Ann is not the first, she shares an answer, too.
      let statuses: number[] = []
      for (let attempt = 1; statuses[0] !== 429 && attempt <= 20; attempt += 1) {
        const before = running.upstream.seen.length
        const answers = await Promise.all(
          ['ann', `bob-${attempt}`, `eve-${attempt}`].map((sub) => ask(`devin-2${attempt}`, sub)),
        )
        statuses = answers.map(({ status }) => status)
        expect(statuses.slice(1)).toEqual([200, 200])
        expect(running.upstream.seen.length - before).toBeLessThanOrEqual(2)
      }
      expect(statuses[0]).toBe(429)
    } finally {
      await store.close()
    }
  })
})
