// The cache over real sockets: who shares an answer, how long, and what drops it.

import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { rawRequest, sendRaw } from '../support/raw-request.ts'
import { startTestGateway, until, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'
import { fieldOf } from '../support/upstream.ts'

const payments = '/v3/organizations/org-payments'
let running: RunningGateway
let count = 0

const cached = (text: string | undefined): string => (text ?? '').replace('cache: { at_most: 0s }\n', '')
const other = `team: other
members: [{ groups: [sso-other] }]
organizations: [org-payments, org-other]
grants: [{ id: all, allow: [ViewOrgSessions, ManageAccountPlaybooks] }]
`
const uncached = `team: uncached
members: [{ groups: [sso-uncached] }]
organizations: [org-payments]
cache: { at_most: 0s }
grants: [{ id: all, allow: [ViewOrgSessions, ManageAccountPlaybooks] }]
`

beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'teams/payments.yaml': cached(usualPolicies['teams/payments.yaml']).replace(
        'org.attachments.*',
        'org.attachments.*, org.playbooks.*',
      ),
      'teams/other.yaml': other,
      'teams/analytics.yaml': cached(usualPolicies['teams/analytics.yaml']),
      'teams/uncached.yaml': uncached,
      'keys.yaml':
        (usualPolicies['keys.yaml'] ?? '').replaceAll(
          'UseDevinSessions',
          'UseDevinSessions, ManageAccountPlaybooks, ManageOrgPlaybooks',
        ) +
        `  - id: other-runner
    scope: organization
    organization: org-other
    permissions: [ViewOrgSessions, ManageAccountPlaybooks]
    secret: { env: OTHER_KEY }
`,
    },
    env: { OTHER_KEY: 'cog_other-runner-0123456789abcdef' },
  })
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
  running.upstream.takeOver(null)
  running.upstream.respond((_request, response) => {
    count += 1
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ count }))
  })
})

/** A path that no test has asked for before. */
let fresh = 0
function playbooks(): string {
  fresh += 1
  return `${payments}/playbooks?first=${fresh}`
}

describe('an allowed read of a cached class', () => {
  test('costs one call upstream, says so, and is recorded', async () => {
    const path = playbooks()
    const first = await running.call(path)
    expect(first.headers.get('cache-status')).toMatch(/^devin-gateway; fwd=uri-miss; fwd-status=200; stored; ttl=\d+$/)
    const second = await running.call(path)
    expect(second.headers.get('cache-status')).toMatch(/^devin-gateway; hit; ttl=\d+$/)
    expect(second.headers.get('age')).toMatch(/^\d+$/)
    expect(await second.json()).toEqual(await first.json())
    expect(running.upstream.seen).toHaveLength(1)
    expect((await running.recordsOf(second.headers.get('gateway-decision'))).access).toMatchObject({
      outcome: 'cached',
      cache: 'hit',
      key: 'payments-runner',
      upstream_status: null,
      status: 200,
    })
  })

  test('is shared by teams that would use the same key, and never across keys', async () => {
    const path = playbooks()
    await running.call(path)
    const shared = await running.call(path, { claims: { groups: ['sso-other'], sub: 'bob' } })
    expect(shared.headers.get('cache-status')).toContain('; hit')
    const elsewhere = await running.call(path.replace('org-payments', 'org-other'), {
      claims: { groups: ['sso-other'], sub: 'bob' },
    })
    expect(elsewhere.headers.get('cache-status')).toContain('fwd=uri-miss')
    expect(running.upstream.seen.map((seen) => fieldOf(seen, 'authorization'))).toEqual([
      'Bearer cog_payments-runner-0123456789abcdef',
      'Bearer cog_other-runner-0123456789abcdef',
    ])
  })

  test('is decided first: who may not see it gets 403, however warm the cache', async () => {
    const path = playbooks()
    await running.call(path)
    expect((await running.call(path, { claims: { groups: ['sso-analytics'] } })).status).toBe(403)
    expect((await running.call(path, { token: null })).status).toBe(401)
  })

  test('is not kept for a team that wants no cache', async () => {
    const path = playbooks()
    await running.call(path)
    const answer = await running.call(path, { claims: { groups: ['sso-uncached'], sub: 'eve' } })
    expect(answer.headers.get('cache-status')).toContain('fwd=bypass')
    expect(running.upstream.seen).toHaveLength(2)
  })

  test('honours no-cache and no-store of the caller', async () => {
    const path = playbooks()
    await running.call(path)
    const again = await running.call(path, { headers: { 'cache-control': 'no-cache' } })
    expect(again.headers.get('cache-status')).toContain('fwd=request')
    await running.call(path, { headers: { 'cache-control': 'no-store' } })
    expect(running.upstream.seen).toHaveLength(3)
  })

  test('has an own weak ETag, so that a caller who has it gets 304', async () => {
    const path = playbooks()
    const first = await running.call(path)
    const etag = first.headers.get('etag') ?? ''
    expect(etag).toMatch(/^W\/"/)
    // Not by `fetch`, which adds `no-cache` to a condition of the caller's own.
    const token = await running.token()
    const second = await sendRaw(
      running.port,
      rawRequest('GET', path, [`Authorization: Bearer ${token}`, `If-None-Match: ${etag}`]),
    )
    expect(second.status).toBe(304)
    expect(running.upstream.seen).toHaveLength(1)
  })

  test('answers HEAD from a stored GET, and each caller in a coding it asked for', async () => {
    const path = playbooks()
    running.upstream.respond((_request, response) =>
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
        .end(gzipSync('{"coded":true}')),
    )
    const coded = await fetch(`${running.url}${path}`, {
      headers: { authorization: `Bearer ${await running.token()}`, 'accept-encoding': 'gzip' },
    })
    expect(await coded.json()).toEqual({ coded: true })
    const plain = await running.call(path, { headers: { 'accept-encoding': 'identity' } })
    expect(plain.headers.get('content-encoding')).toBeNull()
    expect(await plain.json()).toEqual({ coded: true })
    const head = await running.call(path, { method: 'HEAD' })
    expect([head.status, head.headers.get('cache-status')]).toEqual([200, expect.stringContaining('; hit')])
    expect(running.upstream.seen).toHaveLength(1)
    expect(gunzipSync(gzipSync('x')).toString()).toBe('x')
  })
})

async function inFlight(): Promise<number> {
  const text = await (await fetch(`${running.adminUrl}/metrics`)).text()
  return Number(/^gateway_in_flight (\d+)$/m.exec(text)?.[1])
}

describe('identical reads at once', () => {
  test('cost one call, and one caller that leaves harms nobody', async () => {
    const path = playbooks()
    let finish = (): void => {}
    running.upstream.takeOver((_request, response) => {
      finish = () => void response.writeHead(200, { 'content-type': 'application/json' }).end('{"one":1}')
    })
    const leave = new AbortController()
    const token = await running.token()
    const first = running.call(path, { token, signal: leave.signal })
    first.catch(() => {})
    await until(() => running.upstream.seen.length === 1, 'the first call')
    const rest = Array.from({ length: 20 }, () => running.call(path, { token }))
    await until(async () => (await inFlight()) === 21, 'the others to arrive')
    leave.abort()
    await until(async () => (await inFlight()) === 20, 'the first caller to be gone')
    finish()
    const answers = await Promise.all(rest)
    for (const answer of answers) expect(await answer.json()).toEqual({ one: 1 })
    expect(running.upstream.seen).toHaveLength(1)
  })
})

describe('a write', () => {
  test('drops what it makes stale before it is answered, in its organization only', async () => {
    const path = `${payments}/sessions/devin-1`
    const elsewhere = '/v3/organizations/org-other/sessions/devin-1'
    const bob = { claims: { groups: ['sso-other'], sub: 'bob' } }
    const before = await (await running.call(path)).json()
    await running.call(elsewhere, bob)
    expect(
      (await running.call(`${payments}/sessions/devin-1/messages`, { method: 'POST', body: '{"message":"x"}' })).status,
    ).toBe(200)
    const after = await running.call(path)
    expect(after.headers.get('cache-status')).toContain('fwd=uri-miss')
    expect(await after.json()).not.toEqual(before)
    expect((await running.call(elsewhere, bob)).headers.get('cache-status')).toContain('; hit')
  })
})

describe('a purge', () => {
  test('drops what is about a resource or an organization, is recorded, and is refused without saying what', async () => {
    const purge = async (query: string): Promise<[number, unknown]> => {
      const response = await fetch(`${running.adminUrl}/api/purge${query}`, { method: 'POST' })
      return [response.status, await response.json()]
    }
    const [one, other] = [`${payments}/playbooks/playbook-1`, `${payments}/playbooks/playbook-2`]
    await running.call(one)
    await running.call(other)
    expect(await purge('?resource=playbook-1')).toEqual([
      200,
      { dropped: 1, instances: 1, silent: 0, everywhere: true },
    ])
    expect((await running.call(one)).headers.get('cache-status')).toContain('fwd=uri-miss')
    expect((await running.call(other)).headers.get('cache-status')).toContain('; hit')
    const [status, body] = await purge('?organization=org-payments')
    expect([status, (body as { dropped: number }).dropped > 1]).toEqual([200, true])
    expect((await running.call(other)).headers.get('cache-status')).toContain('fwd=uri-miss')
    expect(await running.auditText()).toContain('"event":"cache-purged"')
    for (const query of ['', '?organization=a&resource=b', '?everything=1']) expect((await purge(query))[0]).toBe(400)
  })

  test('of an organization drops enterprise reads that name it or none, and not those about others', async () => {
    const of = (query: string): Promise<Response> =>
      running.call(`/v3/enterprise/consumption/daily?time_before=1700000000${query}`, {
        claims: { groups: ['sso-analytics'] },
      })
    const queries = ['&org_ids=org-payments', '&org_ids=org-other&org_ids=org-payments', '', '&org_ids=org-other']
    for (const query of queries) await of(query)
    await fetch(`${running.adminUrl}/api/purge?organization=org-payments`, { method: 'POST' })
    const outcomes: (string | null)[] = []
    for (const query of queries) outcomes.push((await of(query)).headers.get('cache-status'))
    expect(outcomes.map((outcome) => outcome?.includes('; hit'))).toEqual([false, false, false, true])
  })
})

describe('a failing upstream', () => {
  test('is stood in for by a stored answer that has just expired, marked as such', async () => {
    const path = `${payments}/sessions?first=77`
    await running.call(path)
    running.upstream.respond((_request, response) => response.writeHead(503).end('busy'))
    let answer = await running.call(path)
    await until(async () => {
      if (answer.headers.get('cache-status')?.includes('; hit') === true) answer = await running.call(path)
      return answer.headers.get('cache-status')?.includes('; hit') === false
    }, 'the stored answer to expire')
    expect(answer.status).toBe(200)
    expect(answer.headers.get('cache-status')).toContain('fwd=stale; fwd-status=503')
  })
})

describe('what is never kept', () => {
  test.each([`${payments}/sessions/devin-1/messages`, `${payments}/sessions/devin-1/attachments`])(
    '%s',
    async (path) => {
      await running.call(path)
      await running.call(path)
      expect(running.upstream.seen).toHaveLength(2)
    },
  )
})

describe('a wall clock that is set', () => {
  test('changes neither the age of a stored answer, nor whether it is used', async () => {
    let stepMs = 0
    const stepped = await startTestGateway({
      policies: {
        'teams/payments.yaml': cached(usualPolicies['teams/payments.yaml']).replace(
          'org.attachments.*',
          'org.attachments.*, org.playbooks.*',
        ),
        'keys.yaml': (usualPolicies['keys.yaml'] ?? '').replaceAll(
          'UseDevinSessions',
          'UseDevinSessions, ManageOrgPlaybooks',
        ),
      },
      now: () => Date.now() + stepMs,
    })
    try {
      const read = async (path: string): Promise<[string | undefined, number]> => {
        const { fields } = await sendRaw(
          stepped.port,
          rawRequest('GET', path, [`Authorization: Bearer ${await stepped.token()}`]),
        )
        return [fields['cache-status']?.split(';')[1]?.trim(), Number(fields['age'] ?? 0)]
      }
      // As far as tokens allow: of one from the future nobody is believed.
      for (const [index, step] of [-20_000, 20_000].entries()) {
        stepMs = 0
        const path = `${payments}/playbooks?first=${index}`
        await read(path)
        stepMs = step
        const [status, age] = await read(path)
        expect([step, status]).toEqual([step, 'hit'])
        expect([age >= 0, age < 10]).toEqual([true, true])
      }
    } finally {
      await stepped.close()
    }
  })
})
