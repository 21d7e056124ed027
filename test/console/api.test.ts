// The API of the operators' listener: as its document says, from memory, and without secrets.

import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DecisionDetailView, DecisionsView } from '../../src/admin/console/decision-view.ts'
import type { Explanation } from '../../src/policy/tools/explanation.ts'
import type { AuditCheckView, AuditView, PolicyStateView } from '../../src/admin/console/policy-view.ts'
import type { TeamDetailView, TeamsView } from '../../src/admin/console/team-view.ts'
import type { NowView } from '../../src/admin/console/now-view.ts'
import type { CacheStateView } from '../../src/admin/console/state-views.ts'
import { headFileOf } from '../../src/records/audit/head-file.ts'
import { documentedRoutes, expectDocumented } from '../support/admin-api.ts'
import { startTestGateway, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'

let running: RunningGateway
beforeAll(async () => {
  running = await startTestGateway()
  await running.call(sessions)
  await running.call(sessions, { method: 'POST', body: '{"prompt":"x"}', claims: { sub: 'bob' } })
  await running.call('/v3/organizations/org-other/sessions')
  await running.call('/v3/organizations/org-payments/secrets')
  await running.call('/v3/nothing', { token: null })
  await running.recorded(5)
})
afterAll(() => running.close())

const read = async <T>(path: string): Promise<T> => await expectDocumented<T>(await fetch(`${running.adminUrl}${path}`))

describe('/api/decisions', () => {
  test('lists what was decided, newest first', async () => {
    const { decisions, next, searched } = await read<DecisionsView>('/api/decisions')
    expect(decisions.map(({ effect, reason, subject }) => [effect, reason, subject])).toEqual([
      ['deny', 'token-missing', null],
      ['deny', 'not-granted', 'ann'],
      ['deny', 'organization-not-granted', 'ann'],
      ['allow', 'granted', 'bob'],
      ['allow', 'granted', 'ann'],
    ])
    expect([next, searched.memory.decisions]).toEqual([null, 5])
  })

  test.each([
    ['subject=bob', ['bob']],
    ['team=payments&effect=allow', ['bob', 'ann']],
    ['operation=org.sessions.list', ['ann', 'ann']],
    ['organization=org-other', ['ann']],
    ['reason=not-granted', ['ann']],
    ['key=payments-runner', ['bob', 'ann']],
    ['outcome=forwarded&limit=1', ['bob']],
    ['from=2100-01-01', []],
    ['to=2000-01-01', []],
  ])('finds by %s', async (query, subjects) => {
    const { decisions } = await read<DecisionsView>(`/api/decisions?${query}`)
    expect(decisions.map(({ subject }) => subject)).toEqual(subjects)
  })

  test('finds a decision by its id, and by that of its request', async () => {
    const answer = await running.call(sessions, { headers: { 'x-request-id': 'mine-1' } })
    const id = answer.headers.get('gateway-decision') ?? ''
    await running.recordsOf('mine-1')
    for (const text of [id, `urn:uuid:${id}`, 'mine-1']) {
      const { decisions } = await read<DecisionsView>(`/api/decisions?id=${text}`)
      expect(decisions.map(({ decision_id }) => decision_id)).toEqual([id])
    }
  })

  test('refuses a misspelled filter', async () => {
    const response = await fetch(`${running.adminUrl}/api/decisions?subjct=ann`)
    expect(response.status).toBe(400)
    await expectDocumented(response)
  })
})

test('/api/now tells the traffic and what is refused, and that nothing is wrong', async () => {
  const now = await read<NowView>('/api/now')
  expect(now).toMatchObject({ ready: true, summary: 'All is well.', troubles: [] })
  expect(now.traffic.outcomes).toMatchObject({ refused: 3 })
  expect(now.refusals.find(({ reason }) => reason === 'not-granted')).toMatchObject({ count: 1, teams: ['payments'] })
  expect(now.latency.devin.p50).toBeGreaterThan(0)
})

test('/api/series has columns of one length', async () => {
  await read('/api/series')
})

test('/api/cache counts by operation', async () => {
  const { operations } = await read<CacheStateView>('/api/cache')
  expect(operations.find(({ operation }) => operation === 'org.sessions.list')).toMatchObject({ hits: 0 })
})

describe('/api/decisions/{id}', () => {
  const detailOf = async (query: string): Promise<DecisionDetailView> => {
    const { decisions } = await read<DecisionsView>(`/api/decisions?${query}&limit=1`)
    return await read<DecisionDetailView>(`/api/decisions/${decisions[0]?.decision_id ?? ''}`)
  }

  test('shows every step, and that it is decided now as it was then', async () => {
    const { explained, steps, decided, what_would_allow: path, caller } = await detailOf('reason=not-granted')
    expect(explained).toMatchObject({ again: true, same: true, differences: [], why_not: null })
    expect(steps.map(({ stage }) => stage)).toContain('decision')
    expect(decided).toMatchObject({ effect: 'deny', sent: false })
    expect(caller).toMatchObject({ subject: 'ann', teams: ['payments'] })
    expect(path).toMatch(/\/what-would-allow$/)
  })

  test('says why a refused token cannot be decided again', async () => {
    const { explained, steps } = await detailOf('reason=token-missing')
    expect([explained.again, steps]).toEqual([false, []])
    expect(explained.why_not).toMatch(/the caller was not known: token-missing/)
  })

  test('is 404 for another id', async () => {
    const response = await fetch(`${running.adminUrl}/api/decisions/none`)
    expect(response.status).toBe(404)
    expect(await expectDocumented(response)).toEqual({ error: 'There is no decision "none" here.' })
  })
})

test('/api/teams says what teams call, what they are refused and what they never use', async () => {
  const { teams } = await read<TeamsView>('/api/teams')
  expect(teams.map(({ id }) => id)).toEqual(['analytics', 'payments'])
  const team = await read<TeamDetailView>('/api/teams/payments')
  expect(team.calls.find(({ operation }) => operation === 'org.sessions.create')).toMatchObject({ requests: 1 })
  expect(team.refusals.map(({ reason }) => reason)).toContain('not-granted')
  const never = team.never_used.map(({ operation }) => operation)
  expect(never).toContain('org.sessions.get')
  // Called, and in shadow mode.
  for (const id of ['org.sessions.list', 'org.secrets.list']) expect(never).not.toContain(id)
  expect((await fetch(`${running.adminUrl}/api/teams/nobody`)).status).toBe(404)
})

test('/api/policies has files, history and what ends soon', async () => {
  const policies = await read<PolicyStateView & { files: readonly { text?: string }[] }>('/api/policies')
  expect(policies.history.map(({ result }) => result)).toEqual(['loaded'])
  expect(policies.files.every(({ text }) => text !== undefined)).toBe(true)
  const named = await read<{ files: readonly { text?: string }[] }>('/api/policies?files=names')
  expect(named.files.map(({ text }) => text)).toEqual(policies.files.map(() => undefined))
})

test('/api/audit has the head of the chain and the latest changes', async () => {
  const { head, changes, healthy } = await read<AuditView>('/api/audit')
  expect([healthy, changes.map(({ event }) => event)]).toEqual([true, ['started']])
  const last = (await running.auditText()).trim().split('\n').at(-1) ?? ''
  expect(JSON.parse(last)).toMatchObject(head)
})

test('/api/audit/check reads the chain in all of its files, and finds what was changed, removed or cut off', async () => {
  const file = join(running.directory, 'audit.ndjson')
  const whole = await readFile(file, 'utf8')
  const check = async () => await read<AuditCheckView>('/api/audit/check')
  const problems = async () => {
    const checked = await check()
    expect(checked.ok).toBe(false)
    return checked.problems.map(({ problem }) => problem)
  }
  const noted = await readFile(headFileOf(file))
  try {
    expect(await check()).toMatchObject({
      ok: true,
      entries: 1,
      files: [{ name: 'audit.ndjson', from: 1, to: 1 }],
      problems: [],
    })
    await fetch(`${running.adminUrl}/api/purge?organization=org-payments`, { method: 'POST' })
    const both = await readFile(file, 'utf8')
    expect(await check()).toMatchObject({ ok: true, entries: 2 })
    // Files of a rotation, and others that only begin alike.
    await writeFile(`${file}.2026-01-01T000000.000Z.gz`, gzipSync(whole))
    await writeFile(file, both.slice(whole.length))
    await writeFile(join(running.directory, 'audit-checkpoints.ndjson'), 'x\n')
    expect(await check()).toMatchObject({
      ok: true,
      entries: 2,
      files: [
        { from: 1, to: 1 },
        { from: 2, to: 2 },
      ],
    })
    await writeFile(`${file}.2026-01-01T000000.000Z.gz`, gzipSync(whole.replace('"started"', '"stopped"')))
    expect(await problems()).toContainEqual(expect.stringContaining('hash'))
    await rm(`${file}.2026-01-01T000000.000Z.gz`)
    expect(await problems()).toContainEqual(expect.stringContaining('removed'))
    await writeFile(file, whole)
    expect(await problems()).toContainEqual(expect.stringContaining('gone'))
    // Whoever cuts the log can cut the note beside it as well; the process knows better.
    await rm(headFileOf(file))
    expect(await check()).toMatchObject({ ok: false })
  } finally {
    await writeFile(headFileOf(file), noted)
    await rm(`${file}.2026-01-01T000000.000Z.gz`, { force: true })
  }
})

const deepBody = (depth: number): string =>
  `{"method":"POST","path":"${sessions}","as":{"team":"payments"},"body":{"tags":${'['.repeat(depth)}${']'.repeat(depth)}}}`

describe('POST /api/explain', () => {
  const ask = (body: unknown): Promise<Response> =>
    fetch(`${running.adminUrl}/api/explain`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })

  test('explains as the command does', async () => {
    const answer = await ask({ method: 'get', path: sessions, as: { team: 'payments' } })
    const found = await expectDocumented<Explanation>(answer, 'POST')
    expect(found).toMatchObject({ effect: 'allow', grant: 'run-sessions', key: 'payments-runner' })
    const other = await expectDocumented<Explanation>(
      await ask({
        method: 'DELETE',
        path: '/v3/organizations/org-other/secrets/s',
        as: { groups: ['sso-payments-eng'] },
      }),
      'POST',
    )
    expect(other).toMatchObject({ effect: 'deny', problem: 'not-granted' })
    const strange = await expectDocumented<Explanation>(
      await ask({ method: 'GET', path: sessions, as: { team: 'payments', issuer: 'https://other.test' } }),
      'POST',
    )
    expect(strange).toMatchObject({ effect: 'deny', problem: 'token-rejected', reason: 'issuer-unknown' })
  })

  test.each([
    ['no JSON', '{', /the body: it is a JSON object/],
    ['a misspelled member', { method: 'GET', path: '/', ass: {} }, /no "ass" here. There are method, path, body, as/],
    ['no path', { method: 'GET' }, /path: say it/],
    ['an unknown team', { method: 'GET', path: '/v3/self', as: { team: 'payment' } }, /did you mean "payments"/],
    ['a path that no caller could send', { method: 'GET', path: `/v3/${'a'.repeat(40_000)}` }, /path: it takes 32768/],
    ['a method that is none', { method: 'G'.repeat(100), path: '/v3/self' }, /method: it takes 64/],
    ['a body that is too deep', deepBody(100), /the body cannot be read: .*deep/],
    ['claims that would exhaust the stack', deepBody(100_000), /the body cannot be read: .*deep/],
    [
      'a body of too many values',
      { method: 'POST', path: sessions, as: { team: 'payments' }, body: Array.from({ length: 12_000 }, () => 0) },
      /body: it cannot be read: .*10000 values/,
    ],
    ['groups that are none', { method: 'GET', path: '/v3/self', as: { groups: 'x' } }, /as.groups: it is a list/],
  ])('refuses %s', async (_name, body, message) => {
    const response = await ask(body)
    expect(response.status).toBe(400)
    expect((await expectDocumented<{ error: string }>(response, 'POST')).error).toMatch(message)
  })
})

describe('every page', () => {
  const json = { 'content-type': 'application/json' }
  const asked: readonly RequestInit[] = [
    {},
    { headers: { origin: 'https://evil.example' } },
    { headers: { host: 'evil.example' } },
    { body: '{', headers: json },
    { body: '[7]', headers: json },
    { body: '{"kind":1,"key":{},"method":[],"path":null}', headers: json },
    { body: '{"kind":"app","kind":"team"}', headers: json },
    { body: 'kind=app', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
    { body: '<kind/>', headers: { 'content-type': 'application/xml' } },
    { body: `"${'x'.repeat(3_000_000)}"`, headers: json },
  ]
  const queries = [
    '',
    '?nonsense=1',
    '?limit=0',
    '?limit=1&limit=2',
    '?%',
    '?key=payments-runner&action=plan',
    '?key=none',
  ]
  const names = ['nothing', '%00', '%E0%A4%A', '__proto__', 'a'.repeat(3_000)]

  test.each(documentedRoutes().filter((route) => / \/(?:api|readyz)/.test(route) && !/session\//.test(route)))(
    'answers as it is documented, whatever is asked: %s',
    async (route) => {
      const [method = '', template = ''] = route.split(' ')
      const paths = template.includes(':') ? names.map((name) => template.replace(/:\w+/, name)) : [template]
      for (const path of paths)
        for (const query of queries)
          for (const init of query === '' ? asked : asked.slice(0, 1)) {
            if (method === 'GET' && init.body !== undefined) continue
            const answer = await fetch(`${running.adminUrl}${path}${query}`, { ...init, method })
            await expectDocumented(answer, method)
            const usual = ['cache-control', 'x-content-type-options'].map((name) => answer.headers.get(name))
            expect([path.slice(0, 80), answer.status, ...usual]).toEqual([
              path.slice(0, 80),
              answer.status,
              'no-store',
              'nosniff',
            ])
          }
    },
  )

  test('that reads JSON says so to a body of another kind, and that a body or an address is too large', async () => {
    const post = async (path: string, init: RequestInit) =>
      await expectDocumented<{ error: string }>(
        await fetch(`${running.adminUrl}${path}`, { ...init, method: 'POST' }),
        'POST',
      )
    const body = '{"kind":"app","value":"x","reason":"y"}'
    for (const type of ['application/xml', 'application/csp-report'])
      expect((await post('/api/blocks', { body, headers: { 'content-type': type } })).error).toMatch(
        /application\/json/,
      )
    expect((await post('/api/blocks', { body: ' '.repeat(3_000_000), headers: json })).error).toMatch(/larger/)
    const long = await fetch(`${running.adminUrl}/api/teams/${'a'.repeat(3_000)}`)
    expect([long.status, (await expectDocumented<{ error: string }>(long)).error]).toEqual([
      414,
      expect.stringMatching(/too long/),
    ])
  })
})
