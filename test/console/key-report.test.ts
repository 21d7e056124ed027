// The report on keys that operators see: when it is known, what it says of uses, and its order.

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { KeyFindingView, KeyReportView } from '../../src/admin/console/key-report-view.ts'
import { createKeyReport } from '../../src/runtime/keys/key-report.ts'
import { keyReportView } from '../../src/runtime/console/reported-keys.ts'
import type { KeyFindingKind } from '../../src/policy/key-report/findings.ts'
import { expectDocumented } from '../support/admin-api.ts'
import { policyFrom } from '../support/policies.ts'
import { startTestGateway, until, usualKeys, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

let running: RunningGateway
beforeAll(async () => {
  const end = new Date(Date.now() + 5 * 86_400_000).toISOString()
  running = await startTestGateway({
    policies: {
      'keys.yaml': `${usualPolicies['keys.yaml'] ?? ''}  - id: ends-soon
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions]
    expires: ${end}
    secret: { env: PAYMENTS_RUNNER_KEY }
`,
    },
  })
})
afterAll(() => running.close())

const read = async (): Promise<KeyReportView> =>
  await expectDocumented<KeyReportView>(await fetch(`${running.adminUrl}/api/keys/report`))

test('is not known yet at first, and then says the most urgent first, as sentences with what to do', async () => {
  const first = await read()
  expect(first).toMatchObject({ state: 'deciding', revision: null, findings: [], keys: [] })
  let report = first
  await until(async () => (report = await read()).state === 'known', 'the report')
  const inForce = (await (await fetch(`${running.adminUrl}/api/policies`)).json()) as { revision: string }
  expect(report.revision).toBe(inForce.revision)
  expect(report.findings.map(({ key, finding, urgency }) => [key, finding, urgency]).slice(0, 2)).toEqual([
    ['ends-soon', 'expires', 'soon'],
    ['ends-soon', 'shared-value', 'soon'],
  ])
  expect(report.findings[1]?.what).toBe('Key "ends-soon" has the same value as key "payments-runner".')
  const wide = report.findings.filter(({ finding }) => finding === 'unneeded-permission')
  expect(wide.find(({ key }) => key === 'analytics')?.what).toMatch(
    /holds what no right of any team needs from it: .+\.$/,
  )
  for (const { what, do: advice, source } of report.findings) {
    for (const text of [what, advice]) expect(text).toMatch(/^[A-Z].*\.$/)
    expect(source).toMatch(/keys\.yaml:\d+$/)
  }
  expect(report.keys.find(({ key }) => key === 'payments-runner')?.teams).toEqual(['payments'])
  // Nobody has watched for long enough to say what is not used.
  expect(Date.parse(report.unused_told_from) - Date.parse(report.watched_since)).toBe(86_400_000)
  expect(report.findings.map(({ finding }) => finding)).not.toContain('never-used')
  for (const secret of Object.values(usualKeys)) expect(JSON.stringify(report)).not.toContain(secret)
})

test('says of changed policies what was known before, until they are decided', async () => {
  const before = await read()
  await running.writePolicy(
    'teams/analytics.yaml',
    (usualPolicies['teams/analytics.yaml'] ?? '').replace(', ent.members.*', ''),
  )
  await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
  const between = await read()
  expect(between).toMatchObject({ state: 'deciding', revision: before.revision, findings: before.findings })
  let report = between
  await until(async () => (report = await read()).state === 'known', 'the report')
  const needed = (of: KeyReportView) => of.keys.find(({ key }) => key === 'analytics')?.needed
  expect(needed(before)).toContain('ManageAccountMembership')
  expect(needed(report)).not.toContain('ManageAccountMembership')
})

/** A report of its own clock, in which keys were used for what `used` says. */
function reportOf(used: Readonly<Record<string, readonly string[]>>, fails = false) {
  const policy = policyFrom({ ...usualPolicies })
  const clock = { ms: 0 }
  const errors: unknown[] = []
  const report = createKeyReport(
    {
      keyring: {
        status: () =>
          policy.keys.map((handle) => ({ handle, usedPermissions: new Set(used[handle.id]), sameValueAs: null })),
      },
      log: { error: (fields: unknown) => void errors.push(fields) },
      monotonic: () => clock.ms,
      now: () => Date.UTC(2026, 0, 1) + clock.ms,
      policies: { current: fails ? { ...policy, keys: policy.keys, teams: null } : policy },
    } as unknown as Parameters<typeof createKeyReport>[0],
    {
      statusOf: () => ({ identity: null, fault: null, changedFrom: null, endsAtMs: null, roles: null }),
    } as unknown as Parameters<typeof createKeyReport>[1],
  )
  return { clock, errors, view: () => keyReportView(report.look(), () => null, Date.UTC(2026, 0, 1) + clock.ms) }
}

test('says what was not used once uses were watched for a day', async () => {
  const { clock, view } = reportOf({ 'payments-runner': ['ViewOrgSessions'] })
  await until(() => view().state === 'known', 'the report')
  expect(view()).toMatchObject({
    watched_since: '2026-01-01T00:00:00.000Z',
    unused_told_from: '2026-01-02T00:00:00.000Z',
  })
  const ofUses = (): readonly KeyFindingView[] =>
    view().findings.filter(({ finding }) => ['never-used', 'unused-permission'].includes(finding))
  expect(ofUses()).toEqual([])
  clock.ms = 86_400_000
  expect(ofUses().map(({ key, finding }) => [key, finding])).toEqual(
    expect.arrayContaining([
      ['analytics', 'never-used'],
      ['payments-impersonator', 'never-used'],
      ['payments-runner', 'unused-permission'],
    ]),
  )
  const partly = ofUses().find(({ key }) => key === 'payments-runner')
  expect(partly?.unused).toContain('IndexOrgRepositories')
  expect(partly?.what.endsWith(`since the gateway started: ${partly.unused.join(', ')}.`)).toBe(true)
})

test('says that it could not be made, and leaves the reason in the log', async () => {
  const { errors, view } = reportOf({}, true)
  await until(() => view().state === 'failed', 'the failure')
  expect([view().revision, errors.length > 0]).toEqual([null, true])
})

test('is in the order of urgency: what fails, what ends first, what has power, what can be tidied up', () => {
  const nowMs = Date.UTC(2026, 0, 1)
  const finding = (key: string, kind: KeyFindingKind) =>
    ({ key, finding: kind, text: `key "${key}" is so`, action: 'Do it.', file: 'keys.yaml', line: 1 }) as const
  const ends: Readonly<Record<string, number>> = { a: 9 * 86_400_000, b: 2 * 86_400_000, c: 3_600_000, d: -1 }
  const { findings } = keyReportView(
    {
      policy: policyFrom({ ...usualPolicies }),
      reaches: new Map(),
      state: 'known',
      watchedSinceMs: nowMs,
      findings: [
        finding('a', 'organization-key'),
        finding('a', 'expires'),
        finding('b', 'unneeded-permission'),
        finding('b', 'expires'),
        finding('c', 'expires'),
        finding('c', 'shared-value'),
        finding('d', 'expires'),
        finding('e', 'quarantined'),
      ],
    },
    (key) => (ends[key] === undefined ? null : nowMs + ends[key]),
    nowMs,
  )
  expect(findings.map(({ key, finding: kind, urgency }) => `${urgency} ${key} ${kind}`)).toEqual([
    'now e quarantined',
    'now d expires',
    'now c expires',
    'soon b expires',
    'soon a expires',
    'soon c shared-value',
    'later b unneeded-permission',
    'later a organization-key',
  ])
})
