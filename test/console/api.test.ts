// The API of the operators' listener: as its document says, from memory, and without secrets.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DecisionsView } from '../../src/admin/console/decision-view.ts'
import type { NowView } from '../../src/admin/console/now-view.ts'
import type { CacheStateView } from '../../src/admin/console/state-views.ts'
import { expectDocumented } from '../support/admin-api.ts'
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
