// Rights that end: on time, without a reload, whatever is remembered of them.

import { afterEach, describe, expect, test } from 'vitest'
import { compileFiles } from '../support/policies.ts'
import { startTestGateway, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const end = Date.parse('2126-12-24T18:00:00Z')
let nowMs = 0
let running: RunningGateway
afterEach(() => running.close())

async function start(payments: string, others: Readonly<Record<string, string>> = {}): Promise<void> {
  running = await startTestGateway({
    policies: { 'teams/payments.yaml': payments, ...others },
    // Real time apart from its date: tokens are signed for now.
    now: () => Date.now() + nowMs,
  })
}

/** Moves the gateway's clock to so many milliseconds before the end; tokens get lifetimes that reach there. */
function setClock(beforeEndMs: number): void {
  nowMs = end - beforeEndMs - Date.now()
}

async function token(claims: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const seconds = Math.floor(end / 1000)
  return await running.token({ iat: seconds - 3600, nbf: seconds - 3600, exp: seconds + 3600, ...claims })
}

const usual = usualPolicies['teams/payments.yaml'] ?? ''
const until = 'until: 2126-12-24T18:00:00Z, reason: INC-4711'

describe('a grant', () => {
  const team = `team: payments
owner: platform-access@corp.example
members: [{ groups: [sso-payments-eng] }]
organizations: [org-payments]
grants:
  - { id: incident, allow: [org.sessions.list], ${until} }
`

  test('ends on time, also for a read that is cached and a caller who is remembered, and comes back with the clock', async () => {
    setClock(10_000)
    await start(team)
    const bearer = await token()
    const ask = async () => await running.call(sessions, { token: bearer })
    expect((await ask()).status).toBe(200)
    const cached = await ask()
    expect(cached.headers.get('cache-status')).toContain('hit')
    setClock(0)
    const refused = await ask()
    expect(refused.status).toBe(403)
    expect(((await refused.json()) as { detail: string }).detail).toBe(
      'No grant of team payments allows org.sessions.list. Nearest: grant incident of team payments covers it and ended at 2126-12-24T18:00:00Z (INC-4711). Ask platform-access@corp.example for a grant of the operation org.sessions.list, or of the permission ViewOrgSessions, which may allow more.',
    )
    setClock(1_000)
    expect((await ask()).status).toBe(200)
    expect(running.upstream.seen.length).toBeLessThanOrEqual(3)
  })
})

describe('an entry of members', () => {
  test('ends on time', async () => {
    setClock(10_000)
    await start(usual.replace('members:\n', `members:\n  - { groups: [guests], ${until} }\n`))
    const bearer = await token({ groups: ['guests'] })
    expect((await running.call(sessions, { token: bearer })).status).toBe(200)
    setClock(-1)
    expect((await running.call(sessions, { token: bearer })).status).toBe(403)
    expect((await running.call(sessions, { token: await token() })).status).toBe(200)
  })
})

describe('an exception of a guardrail', () => {
  test('ends on time, and is for those alone whom it names', async () => {
    setClock(10_000)
    const guardrails = `guardrails:
  - id: cost
    on: [org.sessions.create]
    body: { max_acu_limit: { at_most: 5 } }
    except: [{ teams: [payments], apps: [nightly], ${until} }]
`
    await start(usual, { 'guardrails.yaml': guardrails })
    const create = async (app: string) =>
      (
        await running.call(sessions, {
          method: 'POST',
          token: await token({ azp: app }),
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ prompt: 'x', max_acu_limit: 50 }),
        })
      ).status
    expect([await create('nightly'), await create('daily')]).toEqual([200, 403])
    setClock(0)
    expect(await create('nightly')).toBe(403)
  })
})

describe('files', () => {
  const compiled = (grant: string) =>
    compileFiles({
      'teams/t.yaml': `team: t\nmembers: [{ groups: [g] }]\norganizations: [org-a]\ngrants: [${grant}]\n`,
    })

  test.each(['2126-12-24', '2126-12-24T18:00:00', 'tomorrow', '2126-02-30T00:00:00Z', '24.12.2126 18:00', '12', '""'])(
    'refuse an end of %s, and say how to write one',
    async (written) => {
      running = await startTestGateway()
      const text = `team: payments\nmembers: [{ groups: [g] }]\norganizations: [org-payments]\ngrants:\n  - { id: x, allow: [ViewOrgSessions], until: ${written} }\n`
      await running.writePolicy('teams/payments.yaml', text)
      const answer = await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
      const { diagnostics } = (await answer.json()) as { diagnostics: readonly string[] }
      expect(diagnostics.join('\n')).toMatch(/payments\.yaml:5:\d+: .*2026-12-24T18:00:00Z/)
    },
  )

  test('take an end with a zone, and keep the set as it was where nothing ends', () => {
    const { policy } = compiled('{ id: x, allow: [ViewOrgSessions], until: 2126-12-24T19:00:00+01:00 }')
    expect(policy.ends).toEqual([end])
    expect(policy.at(end - 1)).toBe(policy)
    expect(policy.at(end).team('t')?.grants[0]?.mode).toBe('ended')
    // A set at an instant knows the whole story.
    expect(policy.at(end).at(end - 1)).toBe(policy)
    running = { close: async () => {} } as RunningGateway
  })
})
