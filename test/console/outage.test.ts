// The API while the issuer, the shared store and Devin are all away: every read answers, as its document says.

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DecisionsView } from '../../src/admin/console/decision-view.ts'
import type { NowView } from '../../src/admin/console/now-view.ts'
import { documentedRoutes, expectDocumented } from '../support/admin-api.ts'
import { startTestGateway, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
let running: RunningGateway
beforeAll(async () => {
  // Nothing listens on these ports: connections to them are refused.
  running = await startTestGateway({
    config: 'store: valkey://127.0.0.1:9/0\n',
    upstream: '{ origin: "http://127.0.0.1:9" }',
  })
  expect((await running.call(sessions)).status).toBe(502)
  await running.issuer.stop()
  await running.call(sessions, { token: null })
  await running.recorded(2)
})
afterAll(() => running.close())

test('every read answers from memory', async () => {
  const page = await fetch(`${running.adminUrl}/api/decisions`)
  const { decisions } = await expectDocumented<DecisionsView>(page)
  const id = decisions[0]?.decision_id ?? ''
  for (const route of documentedRoutes().filter(
    (each) => each.startsWith('GET /api/') && !each.startsWith('GET /api/session/'),
  )) {
    const path = route
      .slice('GET '.length)
      .replace('/decisions/:id', `/decisions/${id}`)
      .replace('/teams/:id', '/teams/payments')
    // Where budgets are kept is the store; there is no shadow set, and no set before the one in force.
    const none = ['/api/shadow', '/api/policies/changes']
    const wanted = path === '/api/budgets' ? [200, 503] : none.includes(path) ? [404] : [200]
    const response = await fetch(`${running.adminUrl}${path}`, { signal: AbortSignal.timeout(30_000) })
    expect(wanted, path).toContain(response.status)
    await expectDocumented(response)
  }
})

test('the moment names store and Devin, with owners and advice', async () => {
  const { troubles } = await expectDocumented<NowView>(await fetch(`${running.adminUrl}/api/now`))
  const found = troubles.map(({ about, owner, severity }) => [about.kind, owner, severity])
  expect(found).toContainEqual(['upstream', 'Devin', 'outage'])
  expect(found).toContainEqual(['store', 'platform', 'degraded'])
  for (const { what, do: advice } of troubles)
    for (const text of [what, advice]) expect(text).toMatch(/^[A-Z0-9a-z].*[.]$/)
})
