// What policies say of themselves, as callers and operators see it over the wire: refusals that name the owner, grants in some
// organizations, rules in mode `warn`, and the caller's own page.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startTestGateway, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const owner = 'payments-policy@corp.example'
let running: RunningGateway
beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'teams/payments.yaml': `team: payments
owner: ${owner}
contact: "#payments-access"
description: Sessions of the payments squad
members: [{ groups: [sso-payments-eng] }]
organizations: [org-payments, org-tools]
grants:
  - { id: see, allow: [ViewOrgSessions], organizations: [org-payments] }
  - { id: old-create, allow: [ManageOrgSessions], organizations: [org-payments], mode: warn, owner: sessions@corp.example }
  - { id: never-used, allow: [org.playbooks.list], mode: warn }
limits:
  requests: { rate: 600/min, burst: 50 }
  writes: 3/h
cache: { at_most: 0s }
`,
      'guardrails.yaml': `guardrails:
  - id: bounded
    description: What a session may cost
    owner: cost@corp.example
    on: [org.sessions.create]
    body: { max_acu_limit: { default: 10, at_most: 25 }, tags: { add: ["team:\${team}"] } }
  - { id: cheaper, on: [org.sessions.create], mode: warn, body: { max_acu_limit: { at_most: 5 } } }
  - { id: tried, on: [org.sessions.create], mode: shadow, body: { title: { require: true } } }
`,
    },
  })
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
})

const sessions = '/v3/organizations/org-payments/sessions'
const json = { 'content-type': 'application/json' }
const create = (body: unknown) => running.call(sessions, { method: 'POST', headers: json, body: JSON.stringify(body) })

interface Me {
  readonly teams: readonly unknown[]
  readonly operations: readonly {
    readonly id: string
    readonly method: string
    readonly path: string
    readonly grant: string | null
    readonly organizations: unknown
    readonly mode?: string
    readonly owner: string | null
    readonly guardrails: readonly string[]
  }[]
  readonly guardrails: readonly { readonly id: string }[]
  readonly limits: Readonly<Record<string, readonly { readonly name: string }[]>>
}
const me = async (): Promise<{ page: Me; answer: Response }> => {
  const answer = await running.call('/gateway/v1/me')
  return { page: (await answer.json()) as Me, answer }
}

test('a refusal names the owner in its sentence and as members, and the record names it', async () => {
  const refused = await running.call('/v3/organizations/org-payments/secrets')
  expect(refused.status).toBe(403)
  expect(await refused.json()).toMatchObject({
    reason: 'not-granted',
    owner,
    contact: '#payments-access',
    detail: expect.stringContaining(`Ask ${owner} (#payments-access) for a grant of`) as string,
  })
  const { decision } = await running.recordsOf(refused.headers.get('gateway-decision'))
  expect(decision).toMatchObject({ effect: 'deny', owner, email_verified: true, warn: [] })

  const bounded = await create({ prompt: 'x', max_acu_limit: 99 })
  expect(await bounded.json()).toMatchObject({
    reason: 'guardrail',
    owner: 'cost@corp.example',
    detail: expect.stringMatching(/\(guardrail bounded\)\. Change the request, or ask cost@corp\.example\.$/) as string,
  })
})

test('a grant holds in its organizations alone', async () => {
  expect((await running.call(sessions)).status).toBe(200)
  const refused = await running.call('/v3/organizations/org-tools/sessions')
  expect([refused.status, await refused.json()]).toMatchObject([
    403,
    {
      reason: 'organization-not-granted',
      owner,
      detail: expect.stringContaining(
        'Grant see of team payments allows org.sessions.list in org-payments only',
      ) as string,
    },
  ])
  expect(running.upstream.seen).toHaveLength(1)
})

describe('what rests on a rule in mode warn', () => {
  test('is sent, recorded as what would be denied, and counted by team and rule', async () => {
    const sent = await create({ prompt: 'x' })
    expect([sent.status, running.upstream.seen.length]).toEqual([200, 1])
    const { decision } = await running.recordsOf(sent.headers.get('gateway-decision'))
    expect(decision).toMatchObject({
      effect: 'allow',
      grant: 'old-create',
      owner: 'sessions@corp.example',
      shadow: [],
      warn: [
        {
          team: 'payments',
          grant: 'old-create',
          guardrail: null,
          effect: 'deny',
          reason: 'not-granted',
          detail: expect.stringContaining('No grant of team payments allows org.sessions.create') as string,
        },
        {
          team: 'payments',
          grant: null,
          guardrail: 'cheaper',
          effect: 'deny',
          reason: 'guardrail',
          detail: 'max_acu_limit must be at most 5, and is 10',
        },
      ],
    })
    const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text()
    const counted = metrics.split('\n').filter((line) => line.startsWith('gateway_warned_requests_total{'))
    expect(counted.toSorted()).toEqual([
      'gateway_warned_requests_total{team="payments",grant="never-used",guardrail="none",effect="deny"} 0',
      'gateway_warned_requests_total{team="payments",grant="none",guardrail="cheaper",effect="deny"} 1',
      'gateway_warned_requests_total{team="payments",grant="old-create",guardrail="none",effect="deny"} 1',
    ])
  })

  test('is no warning of a request that is refused anyway, or that rests on another grant', async () => {
    const refused = await create({ prompt: 'x', max_acu_limit: 99 })
    expect((await running.recordsOf(refused.headers.get('gateway-decision'))).decision.warn).toEqual([])
    const read = await running.call(sessions)
    expect((await running.recordsOf(read.headers.get('gateway-decision'))).decision.warn).toEqual([])
  })

  test('is a step of the page that explains', async () => {
    const asked = `/gateway/v1/explain?method=POST&path=${encodeURIComponent(sessions)}&body=${encodeURIComponent('{"max_acu_limit":9}')}`
    const found = (await (await running.call(asked)).json()) as {
      warn: unknown
      steps: { stage: string; text: string }[]
    }
    expect(found.warn).toMatchObject([
      { grant: 'old-create', effect: 'deny' },
      { guardrail: 'cheaper', effect: 'deny' },
    ])
    expect(found.steps.filter(({ stage }) => stage === 'warn').map(({ text }) => text)).toEqual([
      expect.stringMatching(/^guardrail cheaper \(.*guardrails\.yaml:\d+\) is in warn mode and would refuse: /),
      expect.stringMatching(
        /^grant old-create of team payments is in warn mode; without it this would be denied \(not-granted\): /,
      ),
    ])
  })
})

describe("the caller's own page", () => {
  test('says who owns what, and of each operation method, path, reach, mode and guardrails', async () => {
    const { page } = await me()
    expect(page.teams).toEqual([
      {
        team: 'payments',
        description: 'Sessions of the payments squad',
        owner,
        contact: '#payments-access',
        organizations: ['org-payments', 'org-tools'],
        default_organization: 'org-payments',
      },
    ])
    const one = (id: string) => page.operations.find((each) => each.id === id)
    expect(one('org.sessions.list')).toEqual({
      id: 'org.sessions.list',
      method: 'GET',
      path: '/v3/organizations/{org_id}/sessions',
      team: 'payments',
      grant: 'see',
      organizations: ['org-payments'],
      owner,
      contact: '#payments-access',
      guardrails: [],
    })
    expect(one('org.sessions.create')).toMatchObject({
      method: 'POST',
      grant: 'old-create',
      mode: 'warn',
      owner: 'sessions@corp.example',
      contact: null,
      guardrails: ['bounded', 'cheaper'],
    })
    expect(one('self.get')).toMatchObject({
      grant: null,
      path: '/v3/self',
      organizations: ['org-payments', 'org-tools'],
    })
  })

  test('shows the bounds of guardrails as the policy spells them, and none that is only tried', async () => {
    expect((await me()).page.guardrails).toEqual([
      {
        id: 'bounded',
        description: 'What a session may cost',
        owner: 'cost@corp.example',
        contact: null,
        body: { max_acu_limit: { default: 10, at_most: 25 }, tags: { add: ['team:${team}'] } },
        query: {},
        response: null,
      },
      {
        id: 'cheaper',
        mode: 'warn',
        description: null,
        owner: null,
        contact: null,
        body: { max_acu_limit: { at_most: 5 } },
        query: {},
        response: null,
      },
    ])
  })

  test('shows limits as they are felt: a bucket lets no more than its burst through at once', async () => {
    const { page, answer } = await me()
    const requests = page.limits['payments']?.find(({ name }) => name === 'requests')
    expect(requests).toMatchObject({ limit: '600 per minute, at most 50 at once', burst: 50 })
    const policy = answer.headers.get('ratelimit-policy') ?? ''
    // 50 at once, and full again after five seconds: the same rate.
    expect(policy).toContain('"requests";q=50;w=5')
    expect(policy).toContain('"writes";q=3;w=3600')
    const remaining = Number(/"requests";r=(\d+)/.exec(answer.headers.get('ratelimit') ?? '')?.[1])
    expect(remaining).toBeLessThanOrEqual(50)
    expect((await running.call(sessions)).headers.get('ratelimit-policy')).toBe('"requests";q=50;w=5')
  })

  test('asks nobody to wait: it counts against no limit', async () => {
    const left = async () => /"writes";r=(\d+)/.exec((await me()).answer.headers.get('ratelimit') ?? '')?.[1]
    expect(await left()).toBe(await left())
  })
})

test('a limit that is used up names the owner of the team', async () => {
  let refused = await create({ prompt: 'x' })
  for (let sent = 0; sent < 4 && refused.status !== 429; sent += 1) refused = await create({ prompt: 'x' })
  expect([refused.status, await refused.json()]).toMatchObject([
    429,
    {
      owner,
      contact: '#payments-access',
      detail: expect.stringContaining(
        `The limit stands in payments.yaml, for ${owner} (#payments-access) to change.`,
      ) as string,
    },
  ])
})

test('a policy whose grant reaches beyond its team changes nothing and is named with its place', async () => {
  const text = (usualPolicies['teams/analytics.yaml'] ?? '').replace(
    'organizations: all',
    'organizations: [org-payments]',
  )
  await running.writePolicy(
    'teams/analytics.yaml',
    text.replace('- id: read-consumption', '- id: read-consumption\n    organizations: [org-else]'),
  )
  const reload = await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
  expect(await reload.text()).toMatch(/organization \\"org-else\\" is not among the team's organizations/)
})
