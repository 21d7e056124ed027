// Names that two programs read differently, through the real gateway: whatever folds to a name that decides, and is not that
// name, is refused, and Devin sees none of it.

import * as fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startTestGateway, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'
import { inQuery, spellingOf } from '../support/spellings.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const leads = { groups: ['sso-payments-eng', 'payments-leads'] }
const fenced = { groups: ['sso-fenced'] }

let running: RunningGateway

beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}limits: { attempts: 100000/min }\n`,
      'guardrails.yaml': `guardrails:
  - id: bounded-sessions
    on: [org.sessions.create]
    body:
      max_acu_limit: { default: 10, at_most: 25 }
      bypass_approval: { forbid: true }
      session_secrets.*.key: { matches: "CI_*" }
  - id: small-pages
    on: [org.sessions.list]
    query: { first: { at_most: 100 } }
`,
      'guardrails.tags.yaml': `guardrails:
  - id: tags-of-the-gateway
    on: [org.sessions.create, org.sessions.tags.*]
    body: { tags: { reserve: ["team:\${team}"], add: ["team:\${team}"] } }
`,
      'teams/fenced.yaml': `team: fenced
members:
  - groups: [sso-fenced]
organizations: [org-payments]
limits: { attempts: 100000/min }
grants:
  - id: enterprise-reads
    allow: [ent.sessions.*, ent.org-group-limits.*, ent.organizations.*, beta.ent.acu-limits.*]
`,
      'keys.yaml': `keys:
  - id: payments-runner
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgSessions, ImpersonateOrgSessions]
    secret: { env: PAYMENTS_RUNNER_KEY }
  - id: analytics
    scope: enterprise
    permissions: [ViewAccountMetrics, ViewAccountSessions, ManageAccountSessions, ManageOrganizations, ManageAccountMembership, ManageBilling, ManageEnterpriseSettings]
    secret: { env: ANALYTICS_KEY }
`,
    },
  })
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
})

interface Refusal {
  readonly status: number
  readonly kind: string
  readonly reason: string
  readonly detail: string
}

async function refusalOf(answer: Response): Promise<Refusal> {
  const document = (await answer.json()) as { type?: string; reason?: string; detail?: string }
  const kind = document.type?.split('/').at(-1) ?? ''
  return { status: answer.status, kind, reason: document.reason ?? '', detail: document.detail ?? '' }
}

function send(method: string, path: string, body: unknown, claims: Record<string, unknown> = leads): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return running.call(path, { method, headers, claims, body: JSON.stringify(body) })
}

/** One that no run before has tried, so that no answer from a memory counts. */
const spelledName = (...names: readonly string[]) =>
  fc.constantFrom(...names).chain((name) => fc.tuple(fc.constant(name), spellingOf(name)))

describe('in a body', () => {
  test.each([
    ['max_acu_limit', 'MAX_ACU_LIMIT'],
    ['max_acu_limit', 'maxAcuLimit'],
    ['max_acu_limit', 'max_acu_limit\u0000'],
    ['max_acu_limit', 'max-acu-limit'],
    ['bypass_approval', 'bypaſs_approval'],
    ['bypass_approval', 'BYPAẞ_approval'],
    ['bypass_approval', 'bypass_approval.value'],
    ['max_acu_limit', 'max_acu_limit:0.x'],
    ['create_as_user_id', 'create_as_user_id.x'],
    ['bypass_approval', 'bypass_approval='],
  ])('of a create %s is not spelled %j', async (name, spelled) => {
    const answer = await refusalOf(await send('POST', sessions, { prompt: 'x', [spelled]: 99 }))
    expect(answer).toMatchObject({ status: name === 'bypass_approval' ? 403 : 400 })
    expect(answer.detail).toContain(name)
    expect(running.upstream.seen).toEqual([])
  })

  test('no spelling of a bounded field passes, beside the field or alone', async () => {
    await fc.assert(
      fc.asyncProperty(
        spelledName('max_acu_limit', 'bypass_approval'),
        fc.boolean(),
        async ([name, spelled], beside) => {
          const body = { prompt: 'x', ...(beside ? { max_acu_limit: 5 } : {}), [spelled]: 99 }
          const answer = await refusalOf(await send('POST', sessions, body))
          expect([400, 403]).toContain(answer.status)
          expect(answer.detail).toContain(name)
        },
      ),
      { numRuns: 60 },
    )
    expect(running.upstream.seen).toEqual([])
  })

  test('a field that is bounded inside others has one spelling at every level', async () => {
    const secrets = { CI_a: { key: 'CI_a' } }
    expect((await send('POST', sessions, { prompt: 'x', session_secrets: secrets })).status).toBe(200)
    for (const body of [
      { Session_Secrets: secrets },
      { 'session_secrets.a.key': 'x' },
      { 'session_secrets．0': { key: 'x' } },
      { session_secrets: { a: { Key: 'x' } } },
      { session_secrets: [{ 'k\u200bey': 'x' }] },
      { session_secrets: [{ key: 'CI_a' }, { key: 'CI_b', ＫＥＹ: 'x' }] },
    ]) {
      const answer = await refusalOf(await send('POST', sessions, { prompt: 'x', ...body }))
      expect(answer, JSON.stringify(body)).toMatchObject({ status: 403, kind: 'guardrail' })
    }
    expect(running.upstream.seen).toHaveLength(1)
  })

  test('no spelling of a field that acts for a user passes, on any operation that knows one of them', async () => {
    await fc.assert(
      fc.asyncProperty(
        spelledName('create_as_user_id', 'message_as_user_id', 'run_as_user_id'),
        fc.constantFrom(sessions, `${sessions}/devin-1/messages`),
        async ([name, spelled], path) => {
          const answer = await refusalOf(await send('POST', path, { prompt: 'x', message: 'x', [spelled]: 'bob' }))
          expect(answer).toMatchObject({ status: 400, kind: 'body-unreadable', reason: 'misspelled-name' })
          expect(answer.detail).toContain(name)
        },
      ),
      { numRuns: 40 },
    )
    expect(running.upstream.seen).toEqual([])
  })

  test('no spelling of an organization passes, on the top and where the operation holds a list of them', async () => {
    await fc.assert(
      fc.asyncProperty(spelledName('org_id', 'org_ids'), async ([, spelled]) => {
        const answer = await refusalOf(await send('POST', sessions, { prompt: 'x', [spelled]: 'org-payments' }))
        expect(answer).toMatchObject({ status: 403, kind: 'organization-not-granted' })
      }),
      { numRuns: 30 },
    )
    await fc.assert(
      fc.asyncProperty(spellingOf('org_ids'), fc.boolean(), async (spelled, isList) => {
        const group = { org_ids: ['org-payments'], [spelled]: ['org-other'] }
        const body = { groups: isList ? [group] : { g: group } }
        const answer = await refusalOf(await send('PUT', '/v3/enterprise/org-group-limits', body, fenced))
        expect(answer).toMatchObject({ status: 403, kind: 'organization-not-granted' })
      }),
      { numRuns: 30 },
    )
    expect(running.upstream.seen).toEqual([])
  })

  test('no name with steps in it says which organization pays', async () => {
    const path = '/v3beta1/enterprise/organizations/org-payments/consumption/acu-limits'
    const inside = { local_agent: { billing_org_id: 'org-payments' } }
    expect((await send('PATCH', path, inside, fenced)).status).toBe(200)
    for (const name of ['local_agent.billing_org_id', 'localAgent:billing_org_id', 'local_agent[billing_org_id]']) {
      const answer = await refusalOf(await send('PATCH', path, { ...inside, [name]: 'org-other' }, fenced))
      expect(answer, name).toMatchObject({ status: 400, kind: 'body-unreadable', reason: 'misspelled-name' })
    }
    expect(running.upstream.seen).toHaveLength(1)
  })

  test('other names pass, however much they look like one', async () => {
    for (const name of [
      'max_acu_limits',
      'acu_limit',
      'organization',
      'approval',
      'xorg_id',
      'create_as_user',
      'max.acu',
      'a.org_id',
    ]) {
      expect((await send('POST', sessions, { prompt: 'x', [name]: 1 })).status, name).toBe(200)
    }
  })
})

describe('every field that acts for a user', () => {
  test.each(['create_as_user_id', 'message_as_user_id', 'run_as_user_id'])(
    '%s needs the right to impersonate, whichever of them the operation documents',
    async (field) => {
      for (const path of [sessions, `${sessions}/devin-1/messages`]) {
        const body = { prompt: 'x', message: 'x', [field]: 'bob' }
        const claims = { groups: ['sso-payments-eng'] }
        const answer = await refusalOf(await send('POST', path, body, claims))
        expect(answer, path).toMatchObject({ status: 403, kind: 'not-granted' })
        expect(answer.detail).toContain(`the body holds ${field}`)
      }
      expect(running.upstream.seen).toEqual([])
    },
  )
})

describe('in a query', () => {
  const enterprise = (query: string) => running.call(`/v3/enterprise/sessions?${query}`, { claims: fenced })

  test.each([
    'ORG_IDS=org-payments',
    'org.ids=org-payments',
    'orgIds=org-payments',
    'org_ids%00=org-payments',
    'org_ids%3D=org-payments',
    'org_ids.x=org-payments',
    'org_ids%2e0%2ex=org-payments',
  ])('an organization is not spelled %s', async (query) => {
    for (const each of [query, `org_ids=org-payments&${query}`]) {
      const answer = await refusalOf(await enterprise(each))
      expect(answer).toMatchObject({ status: 403, kind: 'organization-not-granted' })
      expect(answer.detail).toMatch(/as org_ids\b/)
    }
    expect(running.upstream.seen).toEqual([])
  })

  test('no spelling of an organization passes, raw or escaped, on any operation', async () => {
    const spelled = spelledName('org_id', 'org_ids').chain(([name, spelling]) =>
      fc.tuple(fc.constant(name), inQuery(spelling)),
    )
    await fc.assert(
      fc.asyncProperty(spelled, fc.boolean(), async ([name, raw], isOwn) => {
        const path = isOwn ? `${sessions}?` : '/v3/enterprise/sessions?org_ids=org-payments&'
        const answer = await refusalOf(
          await running.call(`${path}${raw}=org-payments`, { claims: isOwn ? leads : fenced }),
        )
        expect(answer, raw).toMatchObject({ status: 403, kind: 'organization-not-granted' })
        expect(answer.detail).toContain(`as ${name}`)
      }),
      { numRuns: 60 },
    )
    expect(running.upstream.seen).toEqual([])
  })

  test('no spelling of a bounded parameter passes', async () => {
    const spelled = spellingOf('first').chain(inQuery)
    await fc.assert(
      fc.asyncProperty(spelled, async (raw) => {
        const answer = await refusalOf(await running.call(`${sessions}?first=5&${raw}=500`))
        expect(answer, raw).toMatchObject({ status: 403, kind: 'guardrail' })
        expect(answer.detail).toContain('the parameter first is spelled')
      }),
      { numRuns: 40 },
    )
    expect(running.upstream.seen).toEqual([])
  })

  test.each([
    'max_acu_limit',
    'bypass_approval',
    'session_secrets',
    'session_secrets[0][key]',
    'session_secrets.0.key',
    'session_secrets%2Ekey',
    'max_acu_limit.value',
    'create_as_user_id.x',
    'create_as_user_id',
    'Message-As-User-Id',
  ])('what belongs into the body of a create is refused: %s', async (name) => {
    const answer = await refusalOf(await send('POST', `${sessions}?${encodeURIComponent(name)}=x`, { prompt: 'x' }))
    expect([400, 403]).toContain(answer.status)
    expect(answer.detail).toMatch(/belongs into the body/)
    expect(running.upstream.seen).toEqual([])
  })

  test('and it passes where the operation documents it as a parameter', async () => {
    expect((await send('POST', `${sessions}?devin_id=devin-1`, { prompt: 'x' })).status).toBe(200)
  })
})

describe('behind a fence', () => {
  test.each([
    'organization=org-other',
    'all=true',
    'tenant=x',
    'x',
    'first=5&page=2',
    'first=5;page=2',
    '=org-other',
    '=',
  ])('an enterprise operation takes no parameter that the API does not document: %s', async (query) => {
    const answer = await refusalOf(
      await running.call(`/v3/enterprise/sessions?org_ids=org-payments&${query}`, { claims: fenced }),
    )
    expect(answer).toMatchObject({ status: 403, kind: 'organization-not-granted', reason: 'undocumented-parameter' })
    expect(answer.detail).toContain('org_ids')
    expect(running.upstream.seen).toEqual([])
  })

  test("an organization's own operation takes none that speaks of organizations", async () => {
    for (const name of ['organization', 'Organization_Id', 'orgs', 'target-org', 'x[organizationIds]']) {
      const answer = await refusalOf(await running.call(`${sessions}?${encodeURIComponent(name)}=org-other`))
      expect(answer, name).toMatchObject({ status: 403, reason: 'undocumented-parameter' })
    }
    const escapedTwice = await refusalOf(await running.call(`${sessions}?x%255borganization%255d=org-other`))
    expect(escapedTwice).toMatchObject({ status: 403, reason: 'undocumented-parameter' })
    expect(running.upstream.seen).toEqual([])
    // The path is the fence for anything else.
    expect((await running.call(`${sessions}?page=2`)).status).toBe(200)
  })

  test('and without one nothing is looked at but names that decide', async () => {
    const claims = { groups: ['sso-analytics'] }
    expect((await running.call('/v3/enterprise/sessions?page=2&organization=org-other', { claims })).status).toBe(200)
    expect((await running.call('/v3/enterprise/sessions?Org_Ids=org-other', { claims })).status).toBe(403)
  })
})

describe('tags that the gateway gives', () => {
  const tags = `${sessions}/devin-1/tags`
  const requests = [
    ['POST', sessions],
    ['POST', tags],
    ['PUT', tags],
  ] as const

  test('are forged neither at a create nor by appending or replacing tags', async () => {
    for (const [method, path] of requests) {
      for (const tag of ['team:research', 'TEAM:research', 'ｔeam：x', ' team:x', 'team\u200b:x', 'x,team:y']) {
        const answer = await refusalOf(await send(method, path, { prompt: 'x', tags: ['urgent', tag] }))
        expect(answer, `${method} ${path} ${tag}`).toMatchObject({ status: 403, kind: 'guardrail' })
        expect(answer.detail).toContain('tags.1 must not begin with team:')
      }
    }
    expect(running.upstream.seen).toEqual([])
  })

  test('are put in, and stay when tags that were read are replaced', async () => {
    for (const [method, path] of requests) {
      for (const sent of [['urgent'], ['team:payments', 'urgent'], []]) {
        expect((await send(method, path, { prompt: 'x', tags: sent })).status).toBe(200)
        const body = JSON.parse(running.upstream.seen.at(-1)?.body.toString() ?? '{}') as { tags?: string[] }
        expect(body.tags?.toSorted()).toEqual([...new Set([...sent, 'team:payments'])].sort())
      }
    }
  })
})
