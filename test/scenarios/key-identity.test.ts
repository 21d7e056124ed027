// Keys that are other keys than the inventory declares: Devin says so by GET /v3/self, and they are not used.

import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { KeyView } from '../../src/admin/views.ts'
import { callCommand } from '../support/command.ts'
import { createSite } from '../support/site.ts'
import { startTestGateway, until, usualKeys, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream, type Respond } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const analytics = '/v3/enterprise/consumption/daily'
const asAnalytics = { claims: { groups: ['sso-analytics'] } }

interface Self {
  readonly principal_type?: string
  readonly service_user_id?: string
  readonly service_user_name?: string
  readonly user_name?: string
  readonly org_id: string | null
}

/** Answers by key value; 401 for a value that nobody knows. */
function selfBy(known: Readonly<Record<string, Self | number>>): Respond {
  return (request, response) => {
    const found = known[(request.headers.authorization ?? '').replace('Bearer ', '')] ?? 401
    if (typeof found === 'number') return void response.writeHead(found).end('{}')
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ principal_type: 'service_user', service_user_name: 'A name', ...found }))
  }
}

const runner = { service_user_id: 'service-user-runner', org_id: 'org-payments' }
const impersonator = { service_user_id: 'service-user-impersonator', org_id: 'org-payments' }
const figures = { service_user_id: 'service-user-figures', org_id: null }
const value = (name: string): string => usualKeys[name] ?? ''

function usual(changes: Readonly<Record<string, Self | number>> = {}): Respond {
  return selfBy({
    [value('PAYMENTS_RUNNER_KEY')]: runner,
    [value('PAYMENTS_IMPERSONATOR_KEY')]: impersonator,
    [value('ANALYTICS_KEY')]: figures,
    ...changes,
  })
}

async function keysOf(running: RunningGateway): Promise<Map<string, KeyView>> {
  const keys = (await (await fetch(`${running.adminUrl}/api/keys`)).json()) as KeyView[]
  return new Map(keys.map((key) => [key.id, key]))
}

/** A gateway whose runner key stands in a file, with the one that the file holds at first. */
async function withKeyFile(
  identify: Respond,
  config = '',
): Promise<RunningGateway & { write(key: string): Promise<void> }> {
  const policies = {
    'keys.yaml': (usualPolicies['keys.yaml'] ?? '').replace('{ env: PAYMENTS_RUNNER_KEY }', '{ file: ../runner.key }'),
  }
  const upstreamOf = startTestGateway({
    policies,
    config,
    files: { 'runner.key': value('PAYMENTS_RUNNER_KEY') },
    identify,
  })
  const running = await upstreamOf
  return Object.assign(running, {
    async write(key: string) {
      const file = join(running.directory, 'runner.key')
      await writeFile(`${file}.new`, key)
      await rename(`${file}.new`, file)
    },
  })
}

describe('a key of another organization', () => {
  let running: RunningGateway & { write(key: string): Promise<void> }
  beforeAll(async () => {
    running = await withKeyFile(
      usual({
        [value('PAYMENTS_RUNNER_KEY')]: { ...runner, org_id: 'org-other' },
        'cog_new-runner': runner,
        cog_person: { principal_type: 'pat_user', user_name: 'Ann', org_id: 'org-payments' },
        cog_enterprise: { ...runner, org_id: null },
      }),
    )
    await until(async () => (await keysOf(running)).get('payments-runner')?.state === 'quarantined', 'the quarantine')
  })
  afterAll(() => running.close())

  async function expectQuarantine(fault: RegExp): Promise<void> {
    await until(async () => {
      const key = (await keysOf(running)).get('payments-runner')
      return key?.state === 'quarantined' && fault.test(key.identity?.fault ?? '')
    }, 'the quarantine')
    const before = running.upstream.seen.length
    const answer = await running.call(sessions)
    expect(answer.status).toBe(503)
    const problem = (await answer.json()) as { reason: string; detail: string }
    expect(problem.reason).toBe('key-quarantined')
    expect(problem.detail).toContain('payments-runner is quarantined')
    // Not even by the stronger key of the same organization.
    expect(running.upstream.seen).toHaveLength(before)
    const readiness = (await (await fetch(`${running.adminUrl}/readyz`)).json()) as { ready: boolean; notes: string[] }
    expect([
      readiness.ready,
      readiness.notes.filter((note) => note.includes('"payments-runner" is quarantined')),
    ]).toEqual([true, [expect.stringMatching(fault)]])
  }

  test('is not used, and everybody who should know is told', async () => {
    await expectQuarantine(/organization org-other/)
    const key = (await keysOf(running)).get('payments-runner')
    expect(key?.identity).toMatchObject({ organization: 'org-other', service_user: 'service-user-runner' })
    const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text()
    expect(metrics).toContain('gateway_key_state{key="payments-runner",state="quarantined"} 1')
    expect(metrics).toMatch(/gateway_key_identity_timestamp_seconds\{key="payments-runner"\} \d{10}/)
    expect(running.logLines.filter((line) => line.includes('"event":"key-quarantined"'))).toHaveLength(1)
    expect(await running.auditText()).toContain('"event":"key-quarantined"')
    // Other keys are in use.
    expect((await running.call(analytics, asAnalytics)).status).toBe(200)
    // The page says before a call what the call would get.
    const explained = await running.call(`/gateway/v1/explain?method=GET&path=${encodeURIComponent(sessions)}`)
    expect(await explained.json()).toMatchObject({ effect: 'deny', reason: 'key-quarantined' })
  })

  test('is replaced by the right one, and by others that are wrong, without a restart', async () => {
    await running.write('cog_new-runner')
    await until(async () => (await keysOf(running)).get('payments-runner')?.state === 'ready', 'the new key')
    await until(async () => (await keysOf(running)).get('payments-runner')?.identity?.fault === null, 'its check')
    expect((await running.call(sessions)).status).toBe(200)
    await running.write('cog_person')
    await expectQuarantine(/personal access token of Ann/)
    await running.write('cog_enterprise')
    await expectQuarantine(/is an enterprise key/)
  })

  test('is never shown', async () => {
    const everything = await running.everything()
    for (const key of [value('PAYMENTS_RUNNER_KEY'), 'cog_new-runner', 'cog_person', 'cog_enterprise'])
      expect(everything.includes(key)).toBe(false)
  })
})

test('a declared service user is held against the answer, and correcting the inventory is enough', async () => {
  const inventory = (name: string): string =>
    (usualPolicies['keys.yaml'] ?? '').replace(
      '    secret: { env: ANALYTICS_KEY }',
      `    service_user: ${name}\n    secret: { env: ANALYTICS_KEY }`,
    )
  const running = await startTestGateway({
    policies: { 'keys.yaml': inventory('service-user-other') },
    identify: usual(),
  })
  onTestFinished(() => running.close())
  await until(async () => (await running.call(analytics, asAnalytics)).status === 503, 'the quarantine')
  await running.writePolicy('keys.yaml', inventory('service-user-figures'))
  await until(async () => (await running.call(analytics, asAnalytics)).status === 200, 'the release')
  expect(running.logLines.some((line) => line.includes('"event":"key-released"'))).toBe(true)
  // Another service user behind an entry that declares none is told.
  expect((await keysOf(running)).get('payments-runner')?.identity?.changed_from).toBeNull()
})

test('a Devin that never answers holds nobody, and is told', async () => {
  const running = await startTestGateway({ identify: () => {}, awaitReady: false })
  onTestFinished(() => running.close())
  await until(() => running.upstream.identityChecks === 1, 'the first question')
  await until(async () => (await running.call(sessions)).status === 200, 'a call')
  expect((await running.call(analytics, asAnalytics)).status).toBe(200)
  expect((await keysOf(running)).get('payments-runner')).toMatchObject({
    state: 'ready',
    identity: { checked_at: null },
  })
  // One question at a time.
  expect(running.upstream.identityChecks).toBe(1)
  await until(() => running.gateway.readiness().ready, 'the gateway to be ready all the same')
})

test('key_identity: report tells and keeps the key in use; off asks nobody', async () => {
  const wrong = usual({ [value('PAYMENTS_RUNNER_KEY')]: { ...runner, org_id: 'org-other' } })
  const reporting = await startTestGateway({ identify: wrong, config: 'key_identity: report' })
  onTestFinished(() => reporting.close())
  await until(() => reporting.logLines.some((line) => line.includes('reported only')), 'the report')
  expect((await reporting.call(sessions)).status).toBe(200)
  expect((await keysOf(reporting)).get('payments-runner')).toMatchObject({
    state: 'ready',
    identity: { fault: expect.stringContaining('org-other') },
  })
  const silent = await startTestGateway({ identify: wrong, config: 'key_identity: off' })
  onTestFinished(() => silent.close())
  expect((await silent.call(sessions)).status).toBe(200)
  expect(silent.upstream.identityChecks).toBe(0)
})

test('what is to be said about keys is told by the command with its use, and by metrics', async () => {
  const role = { role: { role_id: 'r', role_name: 'Admin' }, org_id: null }
  const keys = (usualPolicies['keys.yaml'] ?? '').replace(
    '{ env: PAYMENTS_IMPERSONATOR_KEY }',
    '{ env: PAYMENTS_RUNNER_KEY }',
  )
  const { promise: prepared, resolve: begin } = Promise.withResolvers<void>()
  const running = await startTestGateway({
    identify: (...exchange) => void prepared.then(() => usual()(...exchange)),
    policies: { 'keys.yaml': keys },
    awaitReady: false,
  })
  onTestFinished(() => running.close())
  running.upstream.respond((request, response) => {
    const isOfRunner = request.url?.endsWith('/members/service-users/service-user-runner') === true
    const value = isOfRunner ? { service_user_id: 'service-user-runner', role_assignments: [role] } : { items: [] }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  })
  begin()
  await until(async () => (await keysOf(running)).get('payments-runner')?.identity?.roles != null, 'the roles')
  expect((await running.call(sessions)).status).toBe(200)
  await running.settled()
  // The configuration names port 0, and the command needs the one that was bound.
  const config = join(running.directory, 'asked.yaml')
  const text = await readFile(join(running.directory, 'gateway.yaml'), 'utf8')
  await writeFile(config, text.replace('admin: "127.0.0.1:0"', `admin: "127.0.0.1:${new URL(running.adminUrl).port}"`))
  const args = ['keys', '--report', '--log', join(running.directory, 'decisions.ndjson'), '--config', config]
  const ended = await callCommand([...args, '--json'], usualKeys)
  const report = JSON.parse(ended.out) as {
    live: boolean
    keys: { id: string; used: string[]; service_user: string; roles: unknown }[]
    findings: { key: string; finding: string; text: string; file: string; line: number }[]
  }
  expect([ended.code, report.live]).toEqual([0, true])
  expect(report.keys[0]).toMatchObject({ used: ['ViewOrgSessions'], service_user: 'service-user-runner' })
  const said = report.findings.map(({ key, finding, line }) => `${key} ${finding} ${line}`)
  expect(said).toEqual(
    expect.arrayContaining([
      'payments-runner wider-roles 2',
      'payments-impersonator shared-value 7',
      'payments-impersonator never-used 7',
      // It has read the roles, so it was used.
      'analytics unneeded-permission 12',
    ]),
  )
  expect(report.findings.every(({ file }) => file.endsWith('policies/keys.yaml'))).toBe(true)
  const human = await callCommand(args, usualKeys)
  expect(human.out).toMatch(
    /wider-roles .*keys\.yaml:2: key "payments-runner" has more roles at Devin .*Admin at enterprise level/,
  )
  await until(async () => {
    const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text()
    return ['payments-runner",finding="wider-roles"', 'payments-impersonator",finding="shared-value"'].every((each) =>
      metrics.includes(`gateway_key_findings{key="${each}} 1`),
    )
  }, 'the findings')
  expect((await (await fetch(`${running.adminUrl}/metrics`)).text()).includes('finding="never-used"')).toBe(false)
})

test('a watched key that is used elsewhere is told, and what passed through the gateway is not', async () => {
  const clock = { offMs: 0 }
  const now = (): number => Date.now() + clock.offMs
  const keys = (usualPolicies['keys.yaml'] ?? '')
    .replace('    secret: { env: PAYMENTS_RUNNER_KEY }', '    watch: true\n    secret: { env: PAYMENTS_RUNNER_KEY }')
    .replace('ManageBilling,', 'ManageEnterpriseSettings,')
  const running = await startTestGateway({ identify: usual(), now, policies: { 'keys.yaml': keys } })
  onTestFinished(() => running.close())
  const logged: Record<string, unknown>[] = []
  running.upstream.respond((request, response) => {
    const isLog = request.url?.startsWith('/v3/enterprise/audit-logs') === true
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ items: isLog ? logged : [], has_next_page: false }))
  })
  await until(
    async () => (await keysOf(running)).get('payments-runner')?.identity?.service_user != null,
    'the identity',
  )
  const line = (id: string, action: string): Record<string, unknown> => ({
    audit_log_id: id,
    action,
    created_at: Math.floor(now() / 1000),
    org_id: 'org-payments',
    service_user_id: 'service-user-runner',
    ip_address: '203.0.113.7',
  })
  clock.offMs = 10 * 60_000
  const seconds = Math.floor(now() / 1000)
  const created = await running.call(sessions, {
    method: 'POST',
    body: '{"prompt":"x"}',
    claims: { iat: seconds, exp: seconds + 600 },
  })
  expect(created.status).toBe(200)
  logged.push(line('ours', 'create_session'), line('theirs', 'delete_secret'))
  clock.offMs += 20 * 60_000
  await until(async () => {
    await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
    return ((await keysOf(running)).get('payments-runner')?.foreign_uses ?? []).length > 0
  }, 'the alarm')
  expect((await keysOf(running)).get('payments-runner')?.foreign_uses).toEqual([
    expect.objectContaining({ audit_log_id: 'theirs', action: 'delete_secret', address: '203.0.113.7' }),
  ])
  expect(running.logLines.filter((text) => text.includes('"event":"key-used-elsewhere"'))).toHaveLength(1)
  expect(await running.auditText()).toContain('"event":"key-used-elsewhere"')
  const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text()
  expect(metrics).toContain('gateway_key_foreign_uses_total{key="payments-runner"} 1')
  expect(running.gateway.readiness().notes).toEqual([expect.stringContaining('was used elsewhere: delete_secret')])
})

test.each([
  [['keys', '--log', 'x'], '--log and --days go with --report'],
  [['keys', '--report', '--days', 'soon'], '--days takes a number of days'],
  [['keys', '--report', 'x'], 'logs are given by --log'],
])('%j is wrong usage', async (args, words) => {
  const ended = await callCommand(args)
  expect([ended.code, ended.err]).toEqual([2, expect.stringContaining(words)])
})

describe('check --online', () => {
  let upstream: RecordingUpstream
  beforeAll(async () => {
    upstream = await startUpstream()
  })
  afterAll(() => upstream.close())

  interface CheckReport {
    readonly ok: boolean
    readonly online: readonly { readonly result: string; readonly ends_at: string | null }[]
  }

  async function check(
    identify: Respond,
    options: { readonly env?: Record<string, string>; readonly origin?: string; readonly keys?: string } = {},
  ): Promise<{ code: number | null; report: CheckReport; text: string }> {
    upstream.identify(identify)
    const site = await createSite({
      upstream: options.origin ?? upstream.origin,
      policies: options.keys === undefined ? {} : { 'keys.yaml': options.keys },
    })
    onTestFinished(() => site.remove())
    const args = ['check', '--online', '--config', site.configFile]
    const env = options.env ?? usualKeys
    const [ended, text] = [await callCommand([...args, '--json'], env), await callCommand(args, env)]
    expect(ended.code).toBe(text.code)
    return { code: ended.code, report: JSON.parse(ended.out) as CheckReport, text: text.err + text.out }
  }

  test('passes where every key is what is declared, and says who they are', async () => {
    const { code, report, text } = await check(usual())
    expect([code, report.ok]).toEqual([0, true])
    expect(report.online).toMatchObject([
      { id: 'payments-runner', result: 'fine', service_user: 'service-user-runner', organization: 'org-payments' },
      { id: 'payments-impersonator', result: 'fine' },
      { id: 'analytics', result: 'fine', organization: null },
    ])
    expect(text).toContain('key analytics  fine: service user A name (service-user-figures)')
  })

  test('fails for everything that a start would quarantine or could not use, all at once', async () => {
    const { code, report, text } = await check(
      usual({
        [value('PAYMENTS_RUNNER_KEY')]: { ...runner, org_id: null },
        [value('PAYMENTS_IMPERSONATOR_KEY')]: 401,
        [value('ANALYTICS_KEY')]: { principal_type: 'pat_user', user_name: 'Ann', org_id: null },
      }),
    )
    expect([code, report.ok]).toEqual([1, false])
    expect(report.online.map(({ result }) => result)).toEqual(['quarantined', 'rejected', 'quarantined'])
    expect(text).toMatch(/keys\.yaml:2:1: key "payments-runner" is an enterprise key .* A start would quarantine it\. /)
    expect(text).toMatch(/keys\.yaml:7:1: key "payments-impersonator" is rejected by Devin \(401\)/)
    expect(text).toMatch(/keys\.yaml:12:1: key "analytics" holds the personal access token of Ann/)
    for (const key of Object.values(usualKeys)) expect(text.includes(key)).toBe(false)
  })

  test('fails where a key cannot be asked: no value here, no answer, an answer of another form', async () => {
    const { ANALYTICS_KEY: _absent, ...env } = usualKeys
    const { code, report } = await check(usual({ [value('PAYMENTS_RUNNER_KEY')]: 404 }), { env })
    expect(code).toBe(1)
    expect(report.online.map(({ result }) => result)).toEqual(['unanswered', 'fine', 'absent'])
    const flooded = await check(
      usual({ [value('PAYMENTS_RUNNER_KEY')]: { ...runner, service_user_name: 'x'.repeat(3e6) } }),
    )
    expect(flooded.text).toContain('was not passed on because it is larger than 2 MiB')
    const away = await check(usual(), { origin: 'http://127.0.0.1:9' })
    expect(away.code).toBe(1)
    expect(away.report.online.map(({ result }) => result)).toEqual(Array(3).fill('unanswered'))
  })

  test('warns of keys that Devin ends soon, read with a key that may', async () => {
    const soon = Math.floor(Date.now() / 1000) + 3 * 86_400
    upstream.respond((request, response) => {
      const isOfRunner = request.url?.includes('service-user-runner/api-keys') === true
      const items = isOfRunner ? [{ expires_at: soon, last_used_at: null, revoked_at: null, is_active: true }] : []
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ items, has_next_page: false }))
    })
    const keys = (usualPolicies['keys.yaml'] ?? '').replace('ManageBilling,', 'ManageAccountServiceUsers,')
    const { code, report, text } = await check(usual(), { keys })
    expect([code, report.online[0]?.ends_at]).toEqual([0, new Date(soon * 1000).toISOString()])
    expect(text).toMatch(/warning: key "payments-runner" ends at .*, in 2 days at Devin: rotate it/)
    expect(upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${value('ANALYTICS_KEY')}`)
  })
})
