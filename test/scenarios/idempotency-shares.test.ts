// One team that fills its memory for idempotency keys: it is refused, operators see it, and other teams are not
// affected.

import { expect, it } from 'vitest'
import { startTestGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const callers = 40
const atOnce = 20

it('a team that fills its share of the memory for keys is refused, and creates of another team under a key are not', async () => {
  const running = await startTestGateway({
    policies: {
      'teams/research.yaml': `team: research
members: [{ groups: [sso-research] }]
organizations: [org-payments]
grants: [{ id: run-sessions, allow: [ManageOrgSessions] }]
`,
    },
  })
  const kept = JSON.stringify({ session_id: 's', text: 'x'.repeat(16_000) })
  running.upstream.respond((_request, response) => void response.writeHead(201).end(kept))
  const tokens = await Promise.all(Array.from({ length: callers }, (_, at) => running.token({ sub: `caller-${at}` })))
  const create = (token: string, key: string): Promise<Response> =>
    running.call(sessions, {
      method: 'POST',
      body: '{"prompt":"x"}',
      headers: { 'idempotency-key': key },
      token,
    })

  let refused: Response | null = null
  for (let count = 0; refused === null; count += atOnce) {
    const keys = Array.from({ length: atOnce }, (_, index) => count + index)
    const answers = await Promise.all(keys.map((key) => create(tokens[key % callers] ?? '', `key-${key}`)))
    for (const answer of answers) {
      if (answer.status === 503) refused = answer
      else expect(answer.status).toBe(201)
      if (answer !== refused) await answer.arrayBuffer()
    }
    expect(count).toBeLessThan(4000)
  }
  const problem = (await refused.json()) as { type: string; reason: string; detail: string }
  expect(problem).toMatchObject({ type: '/gateway/v1/problems/idempotency-unavailable', reason: 'idempotency-full' })
  expect(problem.detail).toContain('your team has used its share')
  expect(refused.headers.get('retry-after')).toBe('60')

  // What was kept is given again, another team goes on, and so does a create without a key.
  const again = await create(tokens[0] ?? '', 'key-0')
  expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([201, 'true'])
  const other = await running.token({ sub: 'bea', groups: ['sso-research'] })
  for (const key of ['a', 'b', 'c']) expect((await create(other, key)).status).toBe(201)

  for (let count = 0; count < 3; count++) expect((await create(tokens[0] ?? '', `more-${count}`)).status).toBe(503)
  const entries = running.logLines.map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(entries.filter(({ event }) => event === 'idempotency')).toEqual([
    expect.objectContaining({ level: 'error', team: 'payments', msg: expect.stringContaining('used its share') }),
  ])
  const ready = await fetch(`${running.adminUrl}/readyz`)
  expect([ready.status, await ready.text()]).toEqual([200, expect.stringContaining('team payments has used its share')])
  await running.close()
})
