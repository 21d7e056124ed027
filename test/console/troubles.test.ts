// What the moment says is wrong: fault, owner, since when, what to do.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { NowView, TroubleView } from '../../src/admin/console/now-view.ts'
import type { DecisionSummary } from '../../src/records/search/recent-decisions.ts'
import { answerTroubles } from '../../src/runtime/console/moment/answer-troubles.ts'
import { expectDocumented } from '../support/admin-api.ts'
import { startTestGateway, until, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'

let running: RunningGateway
beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}owner: payments-leads
limits: { requests: 30/h, sessions: 1/day }
`,
      'teams/analytics.yaml': `${usualPolicies['teams/analytics.yaml'] ?? ''}owner: figures@corp.example
`,
    },
  })
})
afterAll(() => running.close())

async function troubles(): Promise<readonly TroubleView[]> {
  return (await expectDocumented<NowView>(await fetch(`${running.adminUrl}/api/now`))).troubles
}

/** Waits until it is told. */
async function told(id: RegExp): Promise<TroubleView> {
  let found: TroubleView | undefined
  await until(async () => (found = (await troubles()).find((each) => id.test(each.id))) !== undefined, String(id))
  if (found === undefined) throw new Error('gone')
  return found
}

describe('what is wrong is told', () => {
  test('Devin answers with errors that go on to the callers', async () => {
    running.upstream.respond((_request, response) => response.writeHead(500).end('{}'))
    for (let count = 0; count < 3; count += 1) await running.call(sessions)
    const found = await told(/^upstream:.*:errors$/)
    expect(found).toMatchObject({ owner: 'Devin', severity: 'outage' })
    expect(found.what).toBe(
      'Devin answers with errors: 3 of its 3 answers in the last minutes, the latest with 500 to org.sessions.list.',
    )
  })

  test('a budget that is used up, once, and until when', async () => {
    running.upstream.respond((_request, response) => response.end('{"session_id":"devin-1"}'))
    const create = async (): Promise<number> =>
      (await running.call(sessions, { method: 'POST', body: '{"prompt":"x"}', claims: { sub: 'ben' } })).status
    const statuses = [await create(), await create()]
    expect(statuses).toEqual([200, 429])
    const found = await told(/^budget:team payments\/sessions:used-up$/)
    expect(found).toMatchObject({ owner: 'team', contact: 'payments-leads', severity: 'degraded' })
    expect(found.what).toMatch(
      /^The budget sessions of team payments is used up .* until \d{4}-\d\d-\d\d \d\d:\d\d UTC\.$/,
    )
    expect(found.do).toMatch(/^Team payments ends sessions/)
    expect((await troubles()).filter(({ about }) => about.kind === 'limit')).toEqual([])
  })

  test('refused policies: the owner of policies, the diagnostic, since the refusal', async () => {
    await running.writePolicy('teams/analytics.yaml', 'team: analytics\nmembers: nobody\n')
    await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
    const found = await told(/^policies:refused$/)
    expect(found).toMatchObject({ severity: 'degraded', owner: 'policy owner', contact: 'figures@corp.example' })
    expect(found.what).toMatch(/refused, and the ones before stay in force: .*analytics\.yaml:\d+:\d+: /)
    expect(found.do).toContain('devin-gateway check')
    const again = await told(/^policies:refused$/)
    expect(again.since).toBe(found.since)
    await running.writePolicy('teams/analytics.yaml', usualPolicies['teams/analytics.yaml'] ?? '')
    await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
    await until(async () => !(await troubles()).some(({ id }) => id === 'policies:refused'), 'the end of it')
  })

  test('a key that Devin rejects: the platform, the key, how to rotate it', async () => {
    running.upstream.respond((_request, response) => response.writeHead(401).end('{}'))
    for (let count = 0; count < 4; count += 1) await running.call(sessions)
    const found = await told(/^key:payments-runner:(rejected|set-aside)$/)
    expect(found.owner).toBe('platform')
    expect(found.what).toMatch(/Key payments-runner was rejected by Devin/)
    expect(found.do).toContain('devin-gateway rotate payments-runner')
  })

  test('a blocked caller that keeps calling', async () => {
    const block = { kind: 'subject', value: 'mallory', reason: 'token leaked' }
    await fetch(`${running.adminUrl}/api/blocks`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(block),
    })
    await running.call(sessions, { claims: { sub: 'mallory' } })
    const found = await told(/^block:mallory:/)
    expect(found.what).toMatch(/mallory is blocked and keeps calling: 1 request was refused/)
  })

  test('a limit that a team has reached, with whom to ask', async () => {
    for (let count = 0; count < 32; count += 1) await running.call(`${sessions}?first=${count}`)
    const found = await told(/^limit:payments\/requests:/)
    expect(found).toMatchObject({ owner: 'team', contact: 'payments-leads', severity: 'warning' })
  })
})

describe('what callers got lately', () => {
  const forwarded = {
    decision_id: 'd-1',
    operation: 'org.sessions.list',
    organization: 'org-payments',
    key: 'reader',
    outcome: 'forwarded',
    problem: null,
    reason: 'granted',
    upstream_status: 200,
  }
  const refused = (problem: string, reason: string) => ({
    ...forwarded,
    key: null,
    outcome: 'refused',
    problem,
    reason,
    upstream_status: null,
  })
  type Lately = Record<string, string | number | null>
  const times = (count: number, decision: Lately): Lately[] => Array.from({ length: count }, () => decision)
  const found = (lately: readonly Lately[], hasUnusableKey = false) =>
    answerTroubles('https://devin.example', lately as unknown as DecisionSummary[], hasUnusableKey).map(
      ({ kind, name = null, aspect, severity, owner }) => `${severity} ${kind} ${name ?? ''} ${aspect}: ${owner}`,
    )

  test.each([
    ['two errors may be accidents', times(2, { ...forwarded, upstream_status: 502 }), []],
    [
      'some answers are errors',
      [...times(4, { ...forwarded, upstream_status: 503 }), ...times(10, forwarded)],
      ['degraded upstream https://devin.example errors: Devin'],
    ],
    [
      'few of many answers are errors',
      [...times(4, { ...forwarded, upstream_status: 503 }), ...times(100, forwarded)],
      [],
    ],
    [
      'a key that Devin denies everything, beside one that works',
      [...times(3, { ...forwarded, upstream_status: 403 }), ...times(9, { ...forwarded, key: 'runner' })],
      ['outage key reader forbidden: platform'],
    ],
    [
      'single objects that Devin denies',
      [...times(3, { ...forwarded, upstream_status: 403 }), ...times(9, forwarded)],
      [],
    ],
    [
      'a right without a key',
      [refused('key-unavailable', 'key-unavailable'), forwarded],
      ['degraded key  none: platform'],
    ],
    ['a defect', [refused('internal', 'internal'), forwarded], ['degraded instance  defect: platform']],
    [
      'no caller is recognized',
      times(20, refused('token-rejected', 'key-unknown')),
      ['degraded issuer  unrecognized: identity team'],
    ],
    [
      'most callers are not recognized',
      [...times(20, refused('token-expired', 'expired')), ...times(20, forwarded)],
      ['warning issuer  unrecognized: identity team'],
    ],
    [
      'strangers beside callers',
      [...times(20, refused('token-missing', 'token-missing')), ...times(30, forwarded)],
      [],
    ],
  ])('%s', (_name, lately, expected) => {
    expect(found(lately)).toEqual(expected)
  })

  test('a key that cannot be used has its own card, and it is not told twice', () => {
    expect(found([refused('key-unavailable', 'key-unavailable')], true)).toEqual([])
  })
})
