// What would allow a denied request: changes that were tried, and nothing beyond them.

import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AllowingView, MatrixView, PolicyChangesView } from '../../src/admin/console/analysis-view.ts'
import { documentedRoutes, expectDocumented } from '../support/admin-api.ts'
import { startTestGateway, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

let running: RunningGateway
beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}owner: payments-leads\n`,
      'keys.yaml': `${usualPolicies['keys.yaml'] ?? ''}  - id: other-reader
    scope: organization
    organization: org-other
    permissions: [ViewOrgSessions, Read]
    secret: { env: OTHER_KEY }
  - id: payments-secrets
    scope: organization
    organization: org-payments
    permissions: [ManageOrgSecrets]
    secret: { env: SECRETS_KEY }
`,
      'invariants.yaml': `invariants:
  - { id: nobody-deletes-secrets, never: { teams: all, do: [org.secrets.delete] } }
`,
      'guardrails.yaml': `guardrails:
  - { id: small, on: [org.sessions.create], teams: all, body: { max_acu_limit: { at_most: 5 } } }
`,
    },
    env: { OTHER_KEY: 'cog_other-reader-0123456789abcdef', SECRETS_KEY: 'cog_payments-secrets-0123456789abcdef' },
  })
})
afterAll(() => running.close())

async function asked(path: string, init: Parameters<RunningGateway['call']>[1] = {}): Promise<AllowingView> {
  const answer = await running.call(path, init)
  expect(answer.status).toBeGreaterThanOrEqual(400)
  const id = answer.headers.get('gateway-decision') ?? ''
  await running.recordsOf(id)
  return await expectDocumented<AllowingView>(await fetch(`${running.adminUrl}/api/decisions/${id}/what-would-allow`))
}

test('/api/policies/changes has nothing to compare while the first set is in force', async () => {
  const answer = await fetch(`${running.adminUrl}/api/policies/changes`)
  expect(answer.status).toBe(404)
  await expectDocumented(answer)
})

describe('a request that no grant covers', () => {
  test('is allowed by a grant for the caller, or for the team, and nothing else is gained', async () => {
    const found = await asked('/v3/organizations/org-payments/secrets')
    expect(found).toMatchObject({ allowed_now: false, why_none: null, rejected: [] })
    expect(found.proposals.map(({ what }) => what)).toEqual([
      'allow org.secrets.list in org-payments for ann in team payments',
      'allow org.secrets.list in org-payments for every member of team payments',
    ])
    const [first, second] = found.proposals
    expect(first).toMatchObject({ owner: 'payments-leads', file: 'policies/teams/payments.yaml', invariants: 1 })
    for (const { gains } of found.proposals) {
      expect(gains.length).toBeGreaterThan(0)
      for (const gain of gains) expect(gain).toMatch(/of team payments gain org\.secrets\.list in org-payments$/)
    }
    // The patch applies, and the gateway allows what it allowed not.
    const copy = await mkdtemp(join(tmpdir(), 'what-would-allow-'))
    try {
      await cp(join(running.directory, 'policies'), join(copy, 'policies'), { recursive: true })
      await writeFile(join(copy, 'change.patch'), second?.patch ?? '')
      execFileSync('git', ['apply', '--unsafe-paths', 'change.patch'], { cwd: copy })
      const changed = execFileSync('cat', [join(copy, 'policies/teams/payments.yaml')], { encoding: 'utf8' })
      await running.writePolicy('teams/payments.yaml', changed)
    } finally {
      await rm(copy, { recursive: true })
    }
    await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
    expect((await running.call('/v3/organizations/org-payments/secrets')).status).toBe(200)
    expect((await running.call('/v3/organizations/org-payments/secrets', { method: 'POST' })).status).toBe(403)
  })

  test('in an organization outside the fence widens the fence for the new grant alone', async () => {
    const { proposals, rejected } = await asked('/v3/organizations/org-other/sessions')
    expect(rejected).toEqual([])
    expect(proposals.map(({ what }) => what)).toEqual([
      'allow org.sessions.list in org-other for ann in team payments, with org-other in its fence for this grant alone',
      'allow org.sessions.list in org-other for every member of team payments, with org-other in its fence for this grant alone',
    ])
    expect(proposals[1]?.patch).toContain('+    organizations: [org-payments]')
    for (const { gains } of proposals) expect(gains.every((gain) => gain.endsWith('in org-other'))).toBe(true)
  })

  test('against an invariant, or without a key, has changes that were tried and rejected', async () => {
    const forbidden = await asked('/v3/organizations/org-payments/secrets/s', { method: 'DELETE' })
    expect(forbidden.proposals).toEqual([])
    expect(forbidden.rejected.map(({ why }) => why).join()).toMatch(/nobody-deletes-secrets/)
    expect(forbidden.why_none).toMatch(/ask the owner/)
    const keyless = await asked('/v3/organizations/org-third/sessions')
    expect(keyless.proposals).toEqual([])
    expect(keyless.rejected.map(({ why }) => why).join()).toMatch(/key/)
  })
})

test.each([
  ['a refused token', '/v3/self', { token: null }, /No policy change helps: the caller was not known/],
  ['a caller in no team', '/v3/organizations/org-payments/sessions', { claims: { groups: ['others'] } }, /`members`/],
  [
    'a guardrail',
    '/v3/organizations/org-payments/sessions',
    { method: 'POST', body: '{"prompt":"x","max_acu_limit":99}', headers: { 'content-type': 'application/json' } },
    /guardrail bounds what is granted/,
  ],
  [
    'a body that is no JSON',
    '/v3/organizations/org-payments/sessions',
    { method: 'POST', body: 'x' },
    /The policies allowed it/,
  ],
  ['a path that is none', '/v3/organizations/org-payments/nothing', {}, /no operation was found/],
])('%s says what helps instead', async (_name, path, init, why) => {
  const { proposals, why_none: reason } = await asked(path, init)
  expect(proposals).toEqual([])
  expect(reason).toMatch(why)
})

test('/api/matrix has the rows that fit the filters', async () => {
  const all = await expectDocumented<MatrixView>(await fetch(`${running.adminUrl}/api/matrix`))
  expect(new Set(all.rows.map(({ team }) => team))).toEqual(new Set(['analytics', 'payments']))
  const some = await expectDocumented<MatrixView>(
    await fetch(`${running.adminUrl}/api/matrix?team=payments&operation=org.sessions.list&limit=1`),
  )
  expect(some.rows).toMatchObject([{ team: 'payments', operation: 'org.sessions.list', effect: 'allow' }])
})

test('/api/policies/changes says what the last replacement changed', async () => {
  const asked = () => fetch(`${running.adminUrl}/api/policies/changes`)
  const team = `${usualPolicies['teams/payments.yaml'] ?? ''}owner: payments-leads\n`
  await running.writePolicy('teams/payments.yaml', team.replace('ViewOrgSessions, ', '').replace('shadow', 'enforce'))
  await running.writePolicy(
    'teams/added.yaml',
    'team: added\nmembers: [{ groups: [sso-added] }]\norganizations: [org-other]\ngrants: [{ id: see, allow: [org.sessions.list] }]\n',
  )
  const reload = await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
  expect(await reload.json()).toMatchObject({ result: 'replaced', diagnostics: [] })
  const { files, changes, undecided } = await expectDocumented<PolicyChangesView>(await asked())
  expect(undecided).toBe(0)
  expect(files).toEqual([
    { name: 'teams/added.yaml', change: 'added' },
    { name: 'teams/payments.yaml', change: 'changed' },
  ])
  const said = changes.map(({ change, what }) => `${change}: ${what}`)
  expect(said).toContainEqual(expect.stringMatching(/^gained: added: .* gains? org\.sessions\.list in org-other$/))
  expect(said).toContainEqual(expect.stringMatching(/^lost: payments: .* loses? .*org\.sessions\.list/))
})

test('every documented route exists, and every route is documented', async () => {
  const answer = (await (await fetch(`${running.adminUrl}/nothing`)).json()) as { error: string }
  const routes = answer.error
    .replace(/^There are /, '')
    .replace(/ here\. .*$/, '')
    .split(', ')
    .map((each) => (each.includes(' ') ? each : `GET ${each}`))
    .filter((each) => !each.includes('/console'))
  expect(routes.toSorted()).toEqual(documentedRoutes().toSorted())
})
