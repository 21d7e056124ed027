// A shadow set over the wire: decided beside the policies in force for every kind of request, shown to operators, and never
// applied, whatever is wrong with it.

import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { ShadowAnswer } from '../../src/admin/views.ts'
import { callCommand } from '../support/command.ts'
import { startTestGateway, until, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const organization = '/v3/organizations/org-payments'
const json = { 'content-type': 'application/json' }
const hour = 3_600_000

const reader = `keys:
  - id: payments-reader
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions]
    secret: { file: /nowhere/payments-reader }
`
/** Its keys hold nothing: no variable and no file that they name exists. */
const shadowKeys = (usualPolicies['keys.yaml'] ?? '')
  .replace(/env: (\w+)/g, 'env: NOT_SET_$1')
  .replace('keys:\n', reader)
const bounded = (most: number, extra = ''): string => `guardrails:
  - { id: bounded, on: [org.sessions.create], body: { max_acu_limit: { default: 10, at_most: ${most} } } }
${extra}`

let running: RunningGateway
let shiftMs = 0
beforeAll(async () => {
  const ends = new Date(Date.now() + hour).toISOString().replace(/\.\d+Z$/, 'Z')
  running = await startTestGateway({
    now: () => Date.now() + shiftMs,
    config: 'shadow_policies: next',
    policies: {
      'guardrails.yaml': bounded(50),
      '../next/teams/payments.yaml': `team: payments
members: [{ groups: [sso-payments-eng] }]
organizations: [org-payments]
grants:
  - { id: run-sessions, allow: [ViewOrgSessions, ManageOrgSessions] }
  - { id: knowledge, allow: [org.playbooks.list] }
  - { id: passing, allow: [beta.org.repositories.*], until: ${ends}, reason: INC-4711 }
`,
      '../next/keys.yaml': shadowKeys.replace(
        'permissions: [ViewOrgSessions, Man',
        'permissions: [ViewOrgSessions, ManageOrgPlaybooks, Man',
      ),
      '../next/guardrails.yaml': bounded(
        25,
        '  - { id: quiet, on: [org.sessions.get], response: { fields: [title] } }\n',
      ).replace('default: 10', 'default: 5'),
    },
  })
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
})

const shadow = async (): Promise<ShadowAnswer> =>
  (await (await fetch(`${running.adminUrl}/api/shadow`)).json()) as ShadowAnswer
const create = (body: unknown) =>
  running.call(`${organization}/sessions`, { method: 'POST', headers: json, body: JSON.stringify(body) })
const reload = async (): Promise<unknown> =>
  await (await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })).json()
const samples = async (name: string): Promise<readonly string[]> =>
  (await (await fetch(`${running.adminUrl}/metrics`)).text()).split('\n').filter((line) => line.startsWith(name))
const looked = ({ decided, undecided, dropped }: ShadowAnswer): number =>
  Object.values(undecided).reduce((sum, count) => sum + count, decided + dropped)

/** Waits until so many more requests than before were looked at. */
async function after(count: number, requests: () => Promise<unknown>): Promise<ShadowAnswer> {
  const before = looked(await shadow())
  await requests()
  await until(async () => looked(await shadow()) >= before + count, `${count} shadow decisions`)
  return await shadow()
}

test('what it decides otherwise is shown by kind, team and operation, and changes nothing for anybody', async () => {
  const answer = await after(9, async () => {
    const statuses = [
      await running.call(`${organization}/sessions`),
      await running.call(`${organization}/sessions`),
      await running.call(`${organization}/sessions/devin-1`),
      await running.call(`${organization}/playbooks?first=secretly`),
      await running.call(`${organization}/secrets`),
      await create({ prompt: 'x' }),
      await create({ prompt: 'x', max_acu_limit: 40 }),
      await create({ prompt: 'x', max_acu_limit: 20 }),
      await running.call('/v3/enterprise/sessions', { claims: { sub: 'kim', groups: ['sso-analytics'] } }),
      // No policy decides these.
      await running.call('/v3/self', { token: null }),
      await running.call('/v3/nothing'),
      await running.call('/gateway/v1/me'),
    ].map(({ status }) => status)
    expect(statuses).toEqual([200, 200, 200, 403, 403, 200, 200, 200, 200, 401, 403, 200])
  })
  const sent = running.upstream.seen
    .filter(({ method }) => method === 'POST')
    .map(({ body }) => JSON.parse(String(body)))
  expect(sent).toMatchObject([{ max_acu_limit: 10 }, { max_acu_limit: 40 }, { max_acu_limit: 20 }])
  expect(looked(answer)).toBe(9)
  expect(answer).toMatchObject({ same: 2, different: 7, dropped: 0, not_shown: 0, last_refusal: null })
  expect(answer.disagreements).toMatchObject([
    {
      change: 'gained',
      team: 'payments',
      operation: 'org.playbooks.list',
      count: 1,
      examples: [
        {
          method: 'GET',
          path: `${organization}/playbooks`,
          organization: 'org-payments',
          subject: 'ann',
          from: 'denied (not-granted)',
          to: 'allowed by grant knowledge of team payments, with key payments-runner (organization)',
          final: true,
        },
      ],
    },
    { change: 'lost', team: 'payments', operation: 'org.sessions.create', examples: [{ to: 'denied (guardrail)' }] },
    { change: 'lost', team: 'analytics', operation: 'ent.sessions.list', examples: [{ subject: 'kim' }] },
    {
      change: 'key',
      operation: 'org.sessions.list',
      count: 2,
      examples: [{ to: 'key payments-reader (organization)' }],
    },
    { change: 'key', operation: 'org.sessions.get', count: 1 },
    {
      change: 'guardrail',
      operation: 'org.sessions.create',
      count: 1,
      examples: [{ from: 'added body max_acu_limit: 10', to: 'added body max_acu_limit: 5' }],
    },
    {
      change: 'filter',
      operation: 'org.sessions.get',
      count: 1,
      examples: [{ to: expect.stringContaining('title') as string }],
    },
  ])
  expect(JSON.stringify(answer)).not.toContain('secretly')
  expect(await samples('gateway_shadow_disagreements_total{')).toContain(
    'gateway_shadow_disagreements_total{team="payments",operation="org.playbooks.list",change="gained"} 1',
  )
  expect(await samples('gateway_shadow_decisions_total{')).toEqual([
    'gateway_shadow_decisions_total{result="same"} 2',
    'gateway_shadow_decisions_total{result="different"} 7',
    'gateway_shadow_decisions_total{result="undecided"} 0',
    'gateway_shadow_decisions_total{result="dropped"} 0',
  ])
})

test('the command shows the same, as text and as data', async () => {
  const config = join(running.directory, 'asking.yaml')
  const written = await readFile(join(running.directory, 'gateway.yaml'), 'utf8')
  await writeFile(config, written.replace(/admin: "[^"]*"/, `admin: "${new URL(running.adminUrl).host}"`))
  const shown = await callCommand(['shadow', '--config', config, '--team', 'payments'])
  expect(shown).toMatchObject({ code: 0, err: '' })
  expect(shown.out).toContain(
    `gained  org.playbooks.list  team payments  1 request\n    GET ${organization}/playbooks  by ann`,
  )
  expect(shown.out).toContain('        in force: denied (not-granted)\n        shadow:   allowed by grant knowledge')
  expect(shown.out).not.toContain('analytics')
  const unknown = await callCommand(['shadow', '--config', config, '--team', 'paymnts'])
  expect([unknown.code, unknown.err.split('\n')[0]]).toEqual([
    2,
    'devin-gateway shadow: unknown team "paymnts"; did you mean "payments"?',
  ])
  const budgetless = await callCommand(['budget', '--config', config, '--team', 'payments'])
  expect(budgetless).toMatchObject({ code: 0, out: 'team payments has no budgets\n' })
  const { out } = await callCommand(['shadow', '--config', config, '--json'])
  expect(JSON.parse(out)).toEqual(JSON.parse(JSON.stringify(await shadow())))
})

test('a right that ends in it ends on time', async () => {
  const index = () =>
    running.call('/v3beta1/organizations/org-payments/repositories', {
      claims: { exp: Math.floor((Date.now() + 4 * hour) / 1000) },
    })
  expect((await after(1, index)).disagreements.filter(({ operation }) => operation.includes('repositories'))).toEqual(
    [],
  )
  shiftMs = 2 * hour
  expect((await after(1, index)).disagreements).toContainEqual(
    expect.objectContaining({
      change: 'lost',
      team: 'payments',
      operation: expect.stringContaining('repositories') as string,
      count: 1,
    }),
  )
  shiftMs = 0
})

test('a broken one hurts nothing: the one before goes on, and status, readiness and metrics tell', async () => {
  const { revision } = await shadow()
  await running.writePolicy('../next/teams/payments.yaml', 'team: payments\nmembers: [{ gruops: [x] }]\n')
  expect(await reload()).toMatchObject({
    result: 'unchanged',
    diagnostics: [],
    shadow: {
      result: 'refused',
      diagnostics: [expect.any(String), expect.stringMatching(/next\/teams\/payments\.yaml:2:13: .*groups/) as string],
    },
  })
  const ready = await fetch(`${running.adminUrl}/readyz`)
  expect([ready.status, await ready.json()]).toMatchObject([
    200,
    {
      notes: [
        expect.stringMatching(/^the shadow set was refused, and the policies in force are not concerned: /) as string,
      ],
    },
  ])
  const status = (await (await fetch(`${running.adminUrl}/api/status`)).json()) as { shadow_policies: unknown }
  expect(status.shadow_policies).toMatchObject({ revision, last_refusal: { diagnostics: { length: 2 } } })
  expect(await samples('gateway_shadow_refused')).toEqual(['gateway_shadow_refused 1'])
  const { status: served } = await running.call(`${organization}/sessions`)
  expect([served, (await shadow()).revision]).toEqual([200, revision])
  for (const form of [[], ['--json']]) {
    const { code, out } = await callCommand(['shadow', '--config', join(running.directory, 'asking.yaml'), ...form])
    expect([code, out], form.join()).toEqual([1, expect.stringContaining('gruops')])
  }
})

test('commands that ask about a name which nothing has say so', async () => {
  const config = ['--config', join(running.directory, 'asking.yaml')]
  const purged = await callCommand(['purge', '--organization', 'somewhere', ...config])
  expect(purged).toMatchObject({
    code: 0,
    err: 'note: no team and no key names the organization "somewhere": only Devin knows whether there is one\n',
  })
  const known = await callCommand(['purge', '--organization', 'org-payments', ...config])
  expect(known).toMatchObject({ code: 0, err: '' })
  const unknown = await callCommand(['budget', '--team', 'paymnts', ...config])
  expect([unknown.code, unknown.err]).toEqual([
    2,
    expect.stringContaining('unknown team "paymnts"; did you mean "payments"?'),
  ])
  // The shadow set is refused now: the team could be in it.
  const perhaps = await callCommand(['shadow', '--team', 'nobody', ...config])
  expect(perhaps).toMatchObject({
    code: 1,
    err: expect.stringMatching(
      /^note: the policies at \S+next cannot be used, so it is not known whether there is a team "nobody"\n$/,
    ) as string,
  })
})

test('a changed one is taken, and what was counted of the one before is not shown beside it', async () => {
  await running.writePolicy('../next/teams/payments.yaml', usualPolicies['teams/payments.yaml'] ?? '')
  expect(await reload()).toMatchObject({ result: 'unchanged', shadow: { result: 'replaced' } })
  expect(await shadow()).toMatchObject({ decided: 0, disagreements: [], last_refusal: null })
  await rm(join(running.directory, 'next'), { recursive: true })
  expect(await reload()).toMatchObject({ shadow: { result: 'refused' } })
  expect((await running.call(`${organization}/sessions`)).status).toBe(200)
})

test('without one there is nothing to show', async () => {
  const plain = await startTestGateway()
  try {
    const asked = await fetch(`${plain.adminUrl}/api/shadow`)
    expect([asked.status, await asked.text()]).toEqual([404, expect.stringContaining('shadow_policies')])
    expect(await (await fetch(`${plain.adminUrl}/api/status`)).json()).not.toHaveProperty('shadow_policies')
  } finally {
    await plain.close()
  }
})
