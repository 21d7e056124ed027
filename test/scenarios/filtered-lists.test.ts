// Filtered lists and single reads through the real gateway and the simulator: three organizations, callers of two of them,
// of one, of all, and of two teams.

import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createSimulator, type SeenRequest, type Simulator } from '../../src/sandbox/simulator/server.ts'
import type { WorldSession } from '../../src/sandbox/world/types.ts'
import type { AccessEntry, DecisionEntry } from '../../src/records/entries.ts'
import { rawRequest, sendRaw, type RawAnswer } from '../support/raw-request.ts'
import { keyOf, testWorld } from '../sandbox/simulator-support.ts'
import { startTestGateway, type RunningGateway } from '../support/start-gateway.ts'

const organizations = ['org-payments', 'org-platform', 'org-research'] as const
const reads =
  '[ent.organizations.list, ent.sessions.list, ent.sessions.get, ent.sessions.insights.list, ent.sessions.insights.get, ent.audit-logs.list, ent.playbooks.list, ent.playbooks.get, ent.members.users.list, ent.members.users.get, ent.consumption.acu-limits.devin.list]'

const team = (name: string, fence: string, more = ''): string => `team: ${name}
members: [{ groups: [sso-${name}] }]
organizations: ${fence}
grants: [{ id: read, allow: ${reads} }]
${more}`

const policies = {
  'teams/payments.yaml': null,
  'teams/analytics.yaml': null,
  'teams/pair.yaml': team('pair', '[org-payments, org-research]'),
  'teams/single.yaml': team('single', '[org-platform]'),
  'teams/whole.yaml': team('whole', 'all'),
  'teams/loose.yaml': team('loose', '[org-research]'),
  'guardrails.yaml': `guardrails:
  - id: own-organizations
    on: ${reads}
    teams: [pair, single, whole]
    response: { filter_items_by: organizations }
  - id: no-titles
    on: [ent.sessions.list, ent.sessions.get]
    teams: [single]
    response: { fields: [title, "pull_requests.*.pr_url"] }
  - id: later
    on: [ent.sessions.list]
    teams: [loose, whole]
    mode: shadow
    response: { filter_items_by: organizations, fields: [tags] }
`,
  'keys.yaml': `keys:
  - { id: analytics, scope: enterprise, permissions: [ViewAccountSessions, ManageBilling], secret: { env: ANALYTICS_KEY } }
  - { id: directory, scope: enterprise, permissions: [ManageOrganizations, ManageAccountMembership], secret: { env: DIRECTORY_KEY } }
  - { id: auditor, scope: enterprise, permissions: [ManageEnterpriseSettings], secret: { env: AUDITOR_KEY } }
  - { id: fleet, scope: enterprise, permissions: [ManageAccountPlaybooks], secret: { env: FLEET_KEY } }
`,
} as const

interface Item {
  readonly org_id: string | null
  readonly session_id: string
  readonly title?: string
}

interface Page {
  readonly items: readonly Item[]
  readonly end_cursor: string | null
  readonly has_next_page: boolean
  readonly total: number | null
}

let running: RunningGateway
let simulator: Simulator
let seen: SeenRequest[] = []
const tokens = new Map<string, string>()

/** Ninety sessions, of the three organizations by turns and in runs. */
const sessions: readonly WorldSession[] = Array.from({ length: 90 }, (_, index) => ({
  id: `devin-${String(index).padStart(4, '0')}`,
  organization: organizations[index < 45 ? index % 3 : Math.floor(index / 15) % 3] ?? '',
  title: `Session ${index}`,
  state: 'exit' as const,
  minutesAgo: index * 7,
  acus: 1,
  tags: [],
  repos: [],
  pullRequests: [{ url: 'https://git.example/corp/x/pull/1', state: 'open' }],
  user: null,
  serviceUser: null,
  archived: false,
}))

beforeAll(async () => {
  simulator = await createSimulator({
    world: { ...testWorld(), sessions },
    observe: (request) => seen.push(request),
  })
  running = await startTestGateway({
    policies,
    upstream: `{ origin: "${simulator.origin}" }`,
    env: Object.fromEntries(
      ['analytics', 'directory', 'auditor', 'fleet'].map((id) => [`${id.toUpperCase()}_KEY`, keyOf(id)]),
    ),
  })
  for (const name of ['pair', 'single', 'whole', 'loose'])
    tokens.set(name, await running.token({ sub: name, groups: [`sso-${name}`] }))
  tokens.set('pair and single', await running.token({ groups: ['sso-single', 'sso-pair'] }))
  tokens.set('pair and loose', await running.token({ groups: ['sso-loose', 'sso-pair'] }))
})
afterAll(async () => {
  await running.close()
  await simulator.close()
})

async function get(who: string, path: string, init: RequestInit = {}): Promise<Response> {
  seen = []
  return running.call(`/v3/enterprise/${path}`, { token: tokens.get(who) ?? null, ...init })
}

async function page(who: string, path: string): Promise<Page> {
  const response = await get(who, path)
  const text = await response.text()
  expect(response.status, text).toBe(200)
  return JSON.parse(text) as Page
}

/** Both records of an exchange. */
async function recordsOf(response: Response): Promise<{ access: AccessEntry; decision: DecisionEntry }> {
  await response.arrayBuffer()
  return await running.recordsOf(response.headers.get('gateway-decision'))
}

async function everyPage(who: string, path: string, size: number): Promise<readonly Page[]> {
  const pages: Page[] = []
  let cursor = ''
  for (;;) {
    const mark = path.includes('?') ? '&' : '?'
    const next = await page(who, `${path}${mark}first=${size}${cursor}`)
    pages.push(next)
    if (!next.has_next_page) return pages
    cursor = `&after=${next.end_cursor}`
  }
}

const fences: Readonly<Record<string, readonly string[]>> = {
  pair: ['org-payments', 'org-research'],
  single: ['org-platform'],
  whole: organizations,
  'pair and single': organizations,
}

describe('a list at enterprise scope', () => {
  test('shows each caller the sessions of its organizations, in the order of Devin, in pages of any size', async () => {
    const all = (await page('whole', 'sessions?first=200')).items.map(({ session_id, org_id }) => ({
      session_id,
      org_id,
    }))
    expect(all).toHaveLength(90)
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('pair', 'single', 'pair and single'),
        fc.integer({ min: 7, max: 200 }),
        async (who, size) => {
          const pages = await everyPage(who, 'sessions', size)
          const visible = all.filter(({ org_id }) => fences[who]?.includes(org_id ?? '') ?? false)
          expect(pages.flatMap(({ items }) => items.map(({ session_id, org_id }) => ({ session_id, org_id })))).toEqual(
            visible,
          )
          expect(pages.slice(0, -1).every(({ items }) => items.length === size)).toBe(true)
          expect(pages).toHaveLength(Math.ceil(visible.length / size))
        },
      ),
      { numRuns: 15 },
    )
  })

  test('has Devin do the work where a parameter narrows it', async () => {
    await page('pair', 'sessions?first=5&tags=x&is_archived=false')
    expect(seen.map(({ target }) => target)).toEqual([
      '/v3/enterprise/sessions?tags=x&is_archived=false&org_ids=org-payments&org_ids=org-research&first=5',
    ])
  })

  test('that the caller narrows stays narrowed, and beyond the fence it is refused', async () => {
    const { items } = await page('pair', 'sessions?org_ids=org-research&first=200')
    expect(new Set(items.map(({ org_id }) => org_id))).toEqual(new Set(['org-research']))
    expect(seen[0]?.target).toBe('/v3/enterprise/sessions?org_ids=org-research&first=200')
    const refused = await get('pair', 'sessions?org_ids=org-research&org_ids=org-platform')
    expect(refused.status).toBe(403)
    expect(seen).toEqual([])
  })

  test('of organizations shows those of the caller, and reads on where nothing narrows it', async () => {
    const pages = await everyPage('pair', 'organizations', 1)
    expect(pages.map(({ items }) => items.map(({ org_id }) => org_id))).toEqual([['org-payments'], ['org-research']])
    expect(pages.at(-1)).toMatchObject({ has_next_page: false, total: null })
    expect(await page('pair', 'organizations')).toMatchObject({ has_next_page: false, total: 2 })
    // A caller with a fence of one organization does not learn whether more follow: none of its own do.
    expect(await page('single', 'organizations?first=1')).toMatchObject({ has_next_page: false, total: 1 })
  })

  test('leaves out what belongs to no organization, and the others of what belongs to several', async () => {
    const events = await page('pair', 'audit-logs?first=200')
    expect(events.items.length).toBeGreaterThan(0)
    expect(events.items.every(({ org_id }) => fences['pair']?.includes(org_id ?? '') ?? false)).toBe(true)
    const { items } = (await (await get('single', 'members/users?first=200')).json()) as {
      items: { name: string; role_assignments: { org_id: string }[] }[]
    }
    expect(items.map(({ name }) => name)).toEqual(['Chen Wei', 'Dana Levi', 'Elif Kaya'])
    expect(items.flatMap((user) => user.role_assignments.map(({ org_id }) => org_id))).toEqual(
      items.map(() => 'org-platform'),
    )
  })

  test('passes whole to a team of all organizations, with Devin’s own cursor', async () => {
    const { items, end_cursor, total } = await page('whole', 'sessions?first=10')
    expect([items.length, total]).toEqual([10, 90])
    expect(end_cursor).toMatch(/=$/)
    expect(seen[0]?.target).toBe('/v3/enterprise/sessions?first=10')
  })

  test('is refused to a fenced team that no filter binds, as before', async () => {
    const refused = await get('loose', 'sessions')
    expect(refused.status).toBe(403)
    expect(await refused.json()).toMatchObject({ reason: 'organization-not-granted' })
    expect((await get('loose', 'sessions?org_ids=org-research')).status).toBe(200)
  })

  test('shows nothing of a team that the filter does not bind to who is in another one as well', async () => {
    const { items } = await page('pair and loose', 'organizations')
    expect(items.map(({ org_id }) => org_id)).toEqual(['org-payments', 'org-research'])
  })

  test('loses the fields that are dropped', async () => {
    const text = await (await get('single', 'sessions?first=2')).text()
    expect(text).toContain('"pull_requests":[{"pr_state":"open"}]')
    expect(text).not.toContain('title')
    expect(await (await get('pair', 'sessions?first=2')).text()).toContain('"title":"Session')
  })
})

describe('a cursor', () => {
  const refused = async (who: string, path: string): Promise<void> => {
    const response = await get(who, path)
    expect(response.status).toBe(400)
    const problem = (await response.json()) as { detail: string; reason: string }
    expect(problem.reason).toBe('cursor-unknown')
    expect(problem.detail).toContain('Begin again without after.')
    expect(seen).toEqual([])
  }

  test('is good for its list, query and organizations alone, for everybody who sees the same', async () => {
    const { end_cursor } = await page('pair', 'sessions?first=5&origins=api&tags=x&tags=y&is_archived=false')
    expect(end_cursor).toBeNull()
    const cursor = (await page('pair', 'sessions?first=5&is_archived=false')).end_cursor ?? ''
    expect(cursor).toMatch(/^[\w-]{100,}$/)
    const again = await page('pair', `sessions?is_archived=false&after=${cursor}&first=3`)
    expect(again.items).toHaveLength(3)
    await refused('pair', `sessions?after=${cursor}`)
    await refused('pair', `sessions?is_archived=true&after=${cursor}`)
    await refused('pair', `sessions/insights?is_archived=false&after=${cursor}`)
    await refused('single', `sessions?is_archived=false&after=${cursor}`)
    await refused('pair and single', `sessions?is_archived=false&after=${cursor}`)
    await refused('pair', `sessions?is_archived=false&after=${cursor.slice(0, -1)}${cursor.endsWith('A') ? 'B' : 'A'}`)
    await refused('pair', 'sessions?after=1')
    const raw = (await page('whole', 'sessions?first=5')).end_cursor ?? ''
    await refused('pair', `sessions?after=${encodeURIComponent(raw)}`)
  })

  test('works at another instance, and after a restart', async () => {
    const other = await startTestGateway({
      policies,
      upstream: `{ origin: "${simulator.origin}" }`,
      issuer: running.issuer,
      env: Object.fromEntries(
        ['analytics', 'directory', 'auditor', 'fleet'].map((id) => [`${id.toUpperCase()}_KEY`, keyOf(id)]),
      ),
    })
    const first = await page('pair', 'sessions?first=20')
    const here = await page('pair', `sessions?first=20&after=${first.end_cursor}`)
    const there = await other.call(`/v3/enterprise/sessions?first=20&after=${first.end_cursor}`, {
      token: tokens.get('pair') ?? null,
    })
    expect(((await there.json()) as Page).items).toEqual(here.items)
    await other.close()
  })

  test.each(['first=0', 'first=201', 'first=x', 'first=1&first=2', 'after=a&after=b', 'first=-1', 'first=1e1'])(
    'and a size that cannot be read are refused: %s',
    async (query) => {
      const response = await get('pair', `sessions?${query}`)
      expect(response.status).toBe(400)
      expect(((await response.json()) as { detail: string }).detail).toMatch(/^The page cannot be read: .*\.$/)
      expect(seen).toEqual([])
    },
  )
})

describe('a single object', () => {
  const sessionOf = (organization: string): string =>
    sessions.find((each) => each.organization === organization)?.id ?? ''

  test('of the caller passes as it is, of another organization it is refused like one that does not exist', async () => {
    const own = await get('pair', `sessions/${sessionOf('org-payments')}`)
    expect(await own.json()).toMatchObject({ org_id: 'org-payments' })
    const answers = []
    for (const id of [sessionOf('org-platform'), 'devin-nobody']) {
      for (const path of [`sessions/${id}`, `sessions/${id}/insights`, `sessions/${id}?org_id=org-payments`]) {
        const response = await get('pair', path)
        const { detail, title, reason } = (await response.json()) as Record<string, string>
        const names = [...response.headers.keys()].filter((name) => name !== 'date')
        answers.push({ status: response.status, detail, title, reason, names })
      }
    }
    expect(answers[0]).toMatchObject({ status: 403, reason: 'organization-not-granted' })
    for (const answer of answers) expect(answer).toEqual(answers[0])
    expect((await get('pair', 'playbooks/playbook-nobody')).status).toBe(403)
  })

  test('of several organizations shows the caller’s', async () => {
    const user = (await (await get('single', 'members/users/okta%7CCorp%7C00u1c3')).json()) as Record<string, unknown>
    expect(JSON.stringify(user)).toContain('org-platform')
    expect(JSON.stringify(user)).not.toContain('org-payments')
    expect((await get('single', 'members/users/email%7C65f0a7')).status).toBe(403)
  })

  test('that does not exist is 404 to who may see all', async () => {
    expect((await get('whole', 'sessions/devin-nobody')).status).toBe(404)
  })
})

describe('HEAD', () => {
  test('of a list has the length of the filtered one', async () => {
    const whole = await get('single', 'sessions?first=200')
    const head = await get('single', 'sessions?first=200', { method: 'HEAD' })
    expect(head.status).toBe(200)
    expect(head.headers.get('content-length')).toBe(String((await whole.arrayBuffer()).byteLength))
  })

  test('of an object tells nothing of a foreign one', async () => {
    const foreign = sessions.find(({ organization }) => organization === 'org-platform')?.id ?? ''
    expect((await get('pair', `sessions/${foreign}`, { method: 'HEAD' })).status).toBe(403)
    expect((await get('pair', 'sessions/devin-nobody', { method: 'HEAD' })).status).toBe(403)
    expect(seen.map(({ method }) => method)).toEqual(['GET'])
    const own = sessions.find(({ organization }) => organization === 'org-research')?.id ?? ''
    const head = await get('pair', `sessions/${own}`, { method: 'HEAD' })
    expect(head.status).toBe(200)
    expect(await head.text()).toBe('')
  })
})

describe('a kept answer', () => {
  test('is shared by callers who see the same, and by no others', async () => {
    const path = 'organizations?first=50'
    const [first, other, single, both] = ['pair', 'pair', 'single', 'pair and single']
    const texts = []
    for (const who of [first, other, single, both]) {
      const response = await get(who, path)
      texts.push({ cache: response.headers.get('cache-status'), text: await response.text() })
    }
    expect(texts[1]?.cache).toContain('hit')
    expect(texts[1]?.text).toBe(texts[0]?.text)
    expect(texts[2]?.cache).toContain('fwd=uri-miss')
    expect(texts[3]?.cache).toContain('fwd=uri-miss')
    expect(texts[2]?.text).not.toContain('org-payments')
  })

  test('is known to its caller by an ETag of its own, and never by one of Devin', async () => {
    const ask = async (who: string, fields: readonly string[] = []): Promise<RawAnswer> => {
      const token = `Authorization: Bearer ${tokens.get(who)}`
      return sendRaw(running.port, rawRequest('GET', '/v3/enterprise/organizations?first=60', [token, ...fields]))
    }
    const { etag = '' } = (await ask('pair')).fields
    expect(etag).toMatch(/^W\//)
    expect((await ask('pair', [`If-None-Match: ${etag}`])).status).toBe(304)
    expect((await ask('single', [`If-None-Match: ${etag}`])).status).toBe(200)
  })

  test('never comes to another fence, whatever is asked in whatever order', async () => {
    const asked = fc.record({
      who: fc.constantFrom('pair', 'single', 'whole', 'pair and single'),
      path: fc.constantFrom('organizations', 'sessions', 'sessions/insights', 'audit-logs', 'playbooks'),
      first: fc.constantFrom(3, 50),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(asked, { minLength: 2, maxLength: 6 }), async (all) => {
        await Promise.all(
          all.map(async ({ who, path, first }) => {
            const response = await running.call(`/v3/enterprise/${path}?first=${first}`, {
              token: tokens.get(who) ?? null,
            })
            const { items } = (await response.json()) as Page
            for (const { org_id } of items) if (who !== 'whole') expect(fences[who], `${who} ${path}`).toContain(org_id)
          }),
        )
      }),
      { numRuns: 25 },
    )
  })
})

describe('the records and explain', () => {
  test('say what is filtered, by which guardrail, and what one in shadow mode would do', async () => {
    const { decision } = await recordsOf(await get('single', 'sessions?first=1'))
    expect(decision.guardrails).toMatchObject({
      applied: ['no-titles', 'own-organizations'],
      filtered: { organizations: ['org-platform'], fields: ['pull_requests.*.pr_url', 'title'] },
    })
    const shadow = await recordsOf(await get('whole', 'sessions?first=1'))
    expect(shadow.decision.guardrails).toMatchObject({
      applied: ['own-organizations'],
      filtered: null,
      shadow: [{ guardrail: 'later', effect: 'filter' }],
    })
  })

  test('a foreign object leaves an allow and a refusal', async () => {
    const { access, decision } = await recordsOf(await get('single', `sessions/${sessions[0]?.id}`))
    expect(access).toMatchObject({
      status: 403,
      outcome: 'refused',
      problem: 'organization-not-granted',
      upstream_status: 200,
    })
    expect(decision.effect).toBe('allow')
  })

  test('explain shows the filter as a step', async () => {
    const path = '/gateway/v1/explain?method=GET&path=%2Fv3%2Fenterprise%2Fsessions'
    const explained = (await (await running.call(path, { token: tokens.get('single') ?? null })).json()) as {
      response: unknown
      steps: { stage: string; text: string }[]
    }
    expect(explained.response).toEqual({
      guardrails: ['no-titles', 'own-organizations'],
      organizations: ['org-platform'],
      dropped_fields: ['pull_requests.*.pr_url', 'title'],
    })
    expect(explained.steps.find(({ stage }) => stage === 'response')?.text).toBe(
      'the answer is filtered by guardrail no-titles, own-organizations: only what is of org-platform passes; the fields pull_requests.*.pr_url, title dropped',
    )
  })
})
