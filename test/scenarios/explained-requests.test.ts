// What the explanation says is what the gateway does: random policies, callers and requests, each explained and then sent; and the
// same of keys that are set aside.

import * as fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { parseCheckedBody } from '../../src/policy/decision/checked-body.ts'
import { runSuites } from '../../src/policy/tools/suite.ts'
import { explain } from '../../src/policy/tools/explain.ts'
import type { Explanation } from '../../src/policy/tools/explanation.ts'
import { principalOf } from '../support/policies.ts'
import { startTestGateway, usualKeys, type RunningGateway } from '../support/start-gateway.ts'

let running: RunningGateway
beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'teams/analytics.yaml': null,
      'keys.yaml': keysText(['a-all', 'e']),
      'teams/payments.yaml': teamText('payments', {}),
    },
  })
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
})

const keyLines: Readonly<Record<string, string>> = {
  'a-all':
    '{ id: a-all, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions, ManageOrgSecrets, ImpersonateOrgSessions], secret: { env: PAYMENTS_RUNNER_KEY } }',
  'a-read':
    '{ id: a-read, scope: organization, organization: org-a, permissions: [ViewOrgSessions], secret: { env: PAYMENTS_IMPERSONATOR_KEY } }',
  'a-ended':
    '{ id: a-ended, scope: organization, organization: org-a, permissions: [ViewOrgSessions], expires: 2020-01-01, secret: { env: PAYMENTS_IMPERSONATOR_KEY } }',
  e: '{ id: e, scope: enterprise, permissions: [ViewAccountSessions, ManageOrganizations], serves_organizations: [org-b], secret: { env: ANALYTICS_KEY } }',
}

function keysText(ids: readonly string[]): string {
  return `keys:${ids.length === 0 ? ' []' : ''}\n${[...new Set(ids)].map((id) => `  - ${keyLines[id] ?? ''}\n`).join('')}`
}

interface TeamParts {
  readonly members?: string
  readonly organizations?: string
  readonly grants?: readonly string[]
  readonly limits?: string
}

function teamText(id: string, { members, organizations, grants, limits }: TeamParts): string {
  return `team: ${id}
owner: owner-of-${id}
members: ${members ?? '[{ groups: [sso-payments-eng] }]'}
organizations: ${organizations ?? '[org-a, org-b]'}
grants:${(grants ?? []).length === 0 ? ' []' : ''}
${(grants ?? []).map((grant, index) => `  - { id: g${index}, ${grant} }\n`).join('')}cache: { at_most: 0s }
${limits === undefined || limits === '' ? '' : `limits: ${limits}\n`}`
}

const issuers = () => running.issuer.issuer

// Sets are drawn as parts of YAML texts, so that a failure can be read and pasted.
const word = fc.constantFrom(
  'ViewOrgSessions',
  'ViewOrgSessions',
  'ManageOrgSessions',
  'ManageOrgSessions',
  'ImpersonateOrgSessions',
  'org.secrets.*',
  'org.secrets.list',
  'ent.sessions.list',
  'ViewAccountSessions',
)
const grant = fc
  .record({
    allow: fc.uniqueArray(word, { minLength: 1, maxLength: 3 }),
    when: fc.constantFrom(
      '',
      '',
      ', when: { app: [cli] }',
      ', when: { claims: { unit: [red] } }',
      ', when: { issuer: [ISSUER] }',
    ),
    organizations: fc.constantFrom('', '', ', organizations: [org-a]', ', organizations: [org-b]'),
    mode: fc.constantFrom('', '', '', ', mode: warn', ', mode: shadow', ', mode: "off"'),
  })
  .map(({ allow, when, organizations, mode }) => `allow: [${allow.join(', ')}]${when}${organizations}${mode}`)
const team = fc.record({
  members: fc.constantFrom(
    '[{ groups: [sso-payments-eng] }]',
    '[{ groups: [sso-payments-eng] }]',
    '[{ issuer: [ISSUER] }]',
    '[{ issuer: ["https://other.test"] }, { issuer: [ISSUER], groups: [sso-payments-eng] }]',
    '[{ groups: [others] }]',
  ),
  organizations: fc.constantFrom('[org-a, org-b]', '[org-a, org-b]', 'all'),
  grants: fc.array(grant, { minLength: 1, maxLength: 4 }),
  limits: fc.constantFrom(
    '',
    '',
    '{ requests: 40/h }',
    '{ requests: { rate: 60/h, burst: 3 } }',
    '{ writes: 2/h, attempts: 30/h }',
    '{ attempts: 2/h }',
    '{ acus: 12/month }',
    '{ open_sessions: 2 }',
    '{ requests: 1/h, mode: shadow }',
  ),
})
const guardrail = fc.constantFrom(
  'on: [org.sessions.create], body: { max_acu_limit: { default: 10, at_most: 25 } }',
  'on: [org.sessions.create], mode: warn, body: { max_acu_limit: { at_most: 5 } }',
  'on: [org.sessions.create], teams: [payments], body: { title: { require: true } }',
  'on: [org.sessions.create], body: { create_as_user_id: { equals: principal.devin_user_id } }',
  'on: [org.sessions.list], query: { first: { at_most: 50, default: 20 } }',
  'on: [org.secrets.list, org.secrets.create], grants: named',
  'on: [ent.sessions.list], response: { filter_items_by: organizations }',
)
const list = '/v3/organizations/org-a/sessions'
const create = fc
  .constantFrom(
    null,
    '{"prompt":"x"}',
    '{"prompt":"x","max_acu_limit":4}',
    '{"prompt":"x","max_acu_limit":4,"title":"t"}',
    '{"prompt":"x","max_acu_limit":20,"title":"t"}',
    '{"prompt":"x","max_acu_limit":99}',
    '{"create_as_user_id":"u-ann","max_acu_limit":4,"title":"t"}',
    '{"create_as_user_id":"u-other","title":"t"}',
    '{"MaxAcuLimit":4}',
    '[]',
  )
  .map((body) => ({ method: 'POST', path: list, body }))
const read = fc
  .constantFrom(
    list,
    list,
    list,
    '/v3/organizations/org-b/sessions?first=99',
    '/v3/organizations/org-x/sessions',
    '/v3/organizations/org-a/sessions/devin-1',
    '/v3/organizations/org-a/secrets',
    '/v3/enterprise/sessions',
    '/v3/enterprise/sessions?org_ids=org-a',
    '/v3/self',
  )
  .map((path) => ({ method: 'GET', path, body: null }))
const odd = fc.constantFrom<{ method: string; path: string; body: string | null }>(
  { method: 'HEAD', path: list, body: null },
  { method: 'POST', path: '/v3/organizations/org-a/secrets', body: '{"key":"A","value":"b"}' },
  { method: 'DELETE', path: '/v3/organizations/org-a/sessions/devin-1', body: null },
  { method: 'POST', path: '/v3/organizations/org-a/sessions/devin-1/messages', body: '{"message":"x"}' },
  { method: 'GET', path: list, body: '{}' },
  { method: 'PUT', path: list, body: '{}' },
  { method: 'GET', path: '/v3/organizations/org%2Da/sessions', body: null },
  { method: 'GET', path: '/v3/enterprise/sessions?ORG_IDS=org-a', body: null },
  { method: 'GET', path: '/v3/enterprise/sessions?colour=red', body: null },
  { method: 'GET', path: '/v1/sessions', body: null },
  { method: 'GET', path: '/v3/organisations/org-a/sessions', body: null },
  { method: 'GET', path: '/v3//self', body: null },
  { method: 'GET', path: '/gateway/v1/problems/not-granted', body: null },
  { method: 'GET', path: '/gateway/v1/problems', body: null },
  { method: 'GET', path: '/gateway/v1/problems/nothing', body: null },
  { method: 'GET', path: '/gateway/v1/me', body: null },
  { method: 'POST', path: '/gateway/v1/me', body: null },
  { method: 'GET', path: '/gateway/v1/nothing', body: null },
)
const call = fc.oneof({ weight: 4, arbitrary: create }, { weight: 4, arbitrary: read }, { weight: 2, arbitrary: odd })
const set = fc.record({
  teams: fc.array(team, { minLength: 1, maxLength: 2 }),
  guardrails: fc.uniqueArray(guardrail, { maxLength: 3 }),
  keys: fc
    .subarray(['a-read', 'a-ended', 'e'])
    .chain((some) => fc.constantFrom(['a-all', ...some], ['a-all', 'e'], [...some, 'e'])),
  requests: fc.array(
    fc.record({
      call,
      app: fc.constantFrom(null, 'cli'),
      unit: fc.constantFrom(null, 'red'),
      groups: fc.constantFrom(...Array.from({ length: 7 }, () => ['sso-payments-eng']), ['nobody']),
    }),
    { minLength: 15, maxLength: 15 },
  ),
})

async function take(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files))
    await running.writePolicy(name, text.replaceAll('ISSUER', JSON.stringify(issuers())))
  const reload = await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
  const answer = await reload.text()
  expect(answer).toMatch(/replaced|unchanged/)
}

test('for random policies, callers and requests', async () => {
  const tally: Record<string, number> = {}
  await fc.assert(
    fc.asyncProperty(set, async ({ teams, guardrails, keys, requests }) => {
      const names = ['payments', 'tools']
      const unused = teamText('tools', { members: '[{ groups: [nobody-at-all] }]' })
      await take({
        'teams/tools.yaml': unused,
        ...Object.fromEntries(
          teams.map((each, index) => [`teams/${names[index] ?? ''}.yaml`, teamText(names[index] ?? '', each)]),
        ),
        'guardrails.yaml': `guardrails:${guardrails.length === 0 ? ' []' : ''}\n${guardrails.map((each, index) => `  - { id: r${index}, ${each} }\n`).join('')}`,
        'keys.yaml': keysText(keys),
        'devin-users.yaml': 'devin_users: [{ subject: ann, issuer: ISSUER, id: u-ann }]\n',
      })
      for (const { call, app, unit, groups } of requests) {
        const { method, path, body } = call
        const claims = { groups, ...(app === null ? {} : { azp: app }), ...(unit === null ? {} : { unit }) }
        const token = await running.token(claims)
        const asked = `method=${method}&path=${encodeURIComponent(path)}${body === null ? '' : `&body=${encodeURIComponent(body)}`}`
        const page = (await (await running.call(`/gateway/v1/explain?${asked}`, { token })).json()) as Explanation
        const sent = running.upstream.seen.length
        const answer = await answerTo(token, method, path, body)
        const label = `${method} ${path} ${body ?? ''} by ${JSON.stringify(claims)}: ${JSON.stringify(page.steps)}`
        const problem = answer.problem?.type.split('/').at(-1) ?? null
        expect([page.effect, page.problem], `${label} → ${answer.status} ${JSON.stringify(answer.problem)}`).toEqual([
          answer.status < 400 ? 'allow' : 'deny',
          method === 'HEAD' && answer.status >= 400 ? page.problem : problem,
        ])
        if (answer.problem !== null && page.problem !== 'unknown-operation' && page.reason !== 'key-unavailable')
          expect(page.reason, label).toBe(answer.problem.reason)
        const used = running.upstream.seen.at(sent)?.headers['authorization']
        if (used !== undefined) expect(`Bearer ${usualKeys[secretOf(page.key)] ?? ''}`, label).toBe(used)

        // The command and policy tests know the policies and not the moment: they differ in nothing but that.
        const caller = principalOf({
          subject: 'ann',
          issuer: issuers(),
          email: 'ann@corp.example',
          groups,
          app,
          claims,
        })
        const policy = running.gateway.policy()
        const parsed = body === null ? null : parseCheckedBody(Buffer.from(body))
        const alone = explain(policy, caller, { method, target: path, body: parsed })
        const momentary = ['rate-limit-exceeded', 'budget-exceeded', 'attempts-exceeded', 'concurrency-exceeded']
        if (!momentary.includes(page.problem ?? '') && page.reason !== 'key-expired') {
          expect([alone.effect, alone.reason, alone.grant, alone.key, alone.warn], label).toEqual([
            page.effect,
            page.reason,
            page.grant,
            page.key,
            page.warn,
          ])
          const cases = [
            {
              do: `${method} ${path}`,
              expect: page.effect,
              ...(parsed === null ? {} : { body: JSON.parse(body ?? '') as unknown }),
            },
          ]
          const as = {
            subject: 'ann',
            issuer: issuers(),
            email: 'ann@corp.example',
            groups,
            claims,
            ...(app === null ? {} : { app }),
          }
          const suite = {
            kind: 'tests' as const,
            file: 'x',
            blocks: [{ as, cases }],
            positionOf: () => ({ line: 1, column: 1 }),
          }
          expect(runSuites(policy, [suite]).failures, label).toEqual([])
        }
        const what = page.effect === 'allow' ? (page.warn.length > 0 ? 'warned' : 'allowed') : (page.problem ?? '')
        tally[what] = (tally[what] ?? 0) + 1
      }
    }),
    { numRuns: 27, endOnFailure: true },
  )
  // It means something only if many outcomes came up.
  for (const what of ['allowed', 'warned', 'guardrail', 'not-granted', 'organization-not-granted', 'unknown-operation'])
    expect(tally[what] ?? 0, `${what} of ${JSON.stringify(tally)}`).toBeGreaterThan(0)
}, 120_000)

const secrets: Readonly<Record<string, string>> = {
  'a-all': 'PAYMENTS_RUNNER_KEY',
  'a-read': 'PAYMENTS_IMPERSONATOR_KEY',
  e: 'ANALYTICS_KEY',
}
const secretOf = (key: string | null): string => secrets[key ?? ''] ?? ''

interface Answered {
  readonly status: number
  readonly problem: { readonly type: string; readonly reason: string } | null
}

/** A request as it stands; `fetch` sends no body with GET, which is sent raw. */
async function answerTo(token: string, method: string, path: string, body: string | null): Promise<Answered> {
  const { request } = await import('node:http')
  return await new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port: running.port,
        method,
        path,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
        },
      },
      (answer) => {
        let text = ''
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()))
        answer.on('end', () => {
          const isProblem = answer.headers['content-type'] === 'application/problem+json' && text !== ''
          resolve({
            status: answer.statusCode ?? 0,
            problem: isProblem ? (JSON.parse(text) as Answered['problem']) : null,
          })
        })
      },
    )
    sent.on('error', reject)
    sent.end(body ?? undefined)
  })
}

describe('what only a running gateway knows', () => {
  const sessions = '/v3/organizations/org-a/sessions'
  const page = async (query: string): Promise<Explanation> =>
    (await (await running.call(`/gateway/v1/explain?${query}`)).json()) as Explanation
  const asked = (method: string, body?: string): string =>
    `method=${method}&path=${encodeURIComponent(sessions)}${body === undefined ? '' : `&body=${encodeURIComponent(body)}`}`

  test('a key that is set aside, with the sentence of the refusal', async () => {
    await take({
      'teams/payments.yaml': teamText('payments', { grants: ['allow: [ViewOrgSessions]'] }),
      'teams/tools.yaml': teamText('tools', { members: '[{ groups: [nobody-at-all] }]' }),
      'guardrails.yaml': 'guardrails: []\n',
      'keys.yaml': keysText(['a-read']),
    })
    expect((await page(asked('GET'))).effect).toBe('allow')
    running.upstream.respond((_request, response) => void response.writeHead(401).end())
    for (let sent = 0; sent < 3; sent += 1) expect((await running.call(sessions)).status).toBe(502)
    running.upstream.respond((_request, response) => void response.writeHead(200).end('{}'))
    const refused = await running.call(sessions)
    const { detail, reason } = (await refused.json()) as { detail: string; reason: string }
    expect([refused.status, reason]).toEqual([503, 'key-set-aside'])
    const found = await page(asked('GET'))
    expect([found.effect, found.reason]).toEqual(['deny', 'key-set-aside'])
    // What is stored would be given all the same, and the page cannot know what is.
    expect(found.steps.at(-1)).toEqual({ stage: 'key', ok: false, text: `${detail} Only a stored answer is given.` })
  })

  test('what is left of limits and budgets, which the page does not count against', async () => {
    // A team and a caller of their own: nothing of theirs is used yet.
    await take({
      'teams/fresh.yaml': teamText('fresh', {
        members: '[{ groups: [fresh] }]',
        grants: ['allow: [ManageOrgSessions]'],
        limits: '{ writes: { rate: 1/h, burst: 1 }, attempts: 100/min, acus: 5/month }',
      }),
      'guardrails.yaml': 'guardrails: []\n',
      'keys.yaml': keysText(['a-all']),
    })
    const claims = { sub: 'zoe', groups: ['fresh'] }
    const page = async (query: string): Promise<Explanation> =>
      (await (await running.call(`/gateway/v1/explain?${query}`, { claims })).json()) as Explanation
    const create = asked('POST', '{"prompt":"x","max_acu_limit":4}')
    for (let times = 0; times < 2; times += 1) {
      const found = await page(create)
      expect([
        found.effect,
        found.steps.filter(({ text }) => text.startsWith('limit ')).map(({ text }) => text),
      ]).toEqual(['allow', ['limit writes of 1 per hour, at most 1 at once: 1 left; all of it is back in 0 s']])
    }
    expect(await page(asked('POST', '{"prompt":"x","max_acu_limit":9}'))).toMatchObject({
      effect: 'deny',
      problem: 'budget-exceeded',
      detail: expect.stringContaining('No waiting lets this through') as string,
    })
    const options = {
      claims,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"prompt":"x","max_acu_limit":4}',
    }
    expect((await running.call(sessions, options)).status).toBe(200)
    const found = await page(create)
    expect(found).toMatchObject({ effect: 'deny', problem: 'rate-limit-exceeded' })
    expect((await running.call(sessions, options)).status).toBe(429)
  })

  test('several requests at once: a path without a method, a pattern of operations', async () => {
    const several = (await (
      await running.call(`/gateway/v1/explain?path=${encodeURIComponent('/v3/organizations/{org_id}/sessions')}`)
    ).json()) as {
      explanations: Explanation[]
    }
    expect(several.explanations.map(({ method, path, effect }) => [method, path, effect])).toEqual([
      ['POST', '/v3/organizations/org-a/sessions', expect.any(String)],
      ['GET', '/v3/organizations/org-a/sessions', expect.any(String)],
    ])
    const one = await page('operation=org.sessions.get&organization=org-b')
    expect([one.method, one.path]).toEqual(['GET', '/v3/organizations/org-b/sessions/any-devin-id'])
    const unknown = await running.call('/gateway/v1/explain?operation=org.sesions.get')
    expect([unknown.status, await unknown.json()]).toMatchObject([
      400,
      { reason: 'parameter-unclear', detail: expect.stringContaining('did you mean "org.sessions.get"?') as string },
    ])
    const near = await page(`method=GET&path=${encodeURIComponent('/v3/organization/org-a/sessions')}`)
    expect([near.problem, near.nearest]).toEqual([
      'unknown-operation',
      'GET /v3/organizations/{org_id}/sessions (org.sessions.list)',
    ])
  })
})
