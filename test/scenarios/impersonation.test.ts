// Acting as a user of Devin: who the caller is there, found through the API itself, and which key then serves. First in
// front of a recording upstream, then the sample policies in front of the simulator.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createLog } from '../../src/records/log.ts'
import { signSandboxToken } from '../../src/sandbox/issuer.ts'
import { startSandbox, type Sandbox } from '../../src/sandbox/sandbox.ts'
import { startTestGateway, until, usualKeys, type RunningGateway } from '../support/start-gateway.ts'
import { fieldOf } from '../support/upstream.ts'

interface Refusal {
  readonly status: number
  readonly reason: string | undefined
  readonly detail: string | undefined
}

async function refusalOf(answer: Response): Promise<Refusal> {
  const document = (await answer.json()) as { reason?: string; detail?: string }
  return { status: answer.status, reason: document.reason, detail: document.detail }
}

describe('in front of an upstream', () => {
  const sessions = '/v3/organizations/org-payments/sessions'
  const memberList = '/v3/enterprise/members/users'
  const leads = { groups: ['sso-payments-eng', 'payments-leads'] }
  let running: RunningGateway
  let listFails = false

  beforeAll(async () => {
    running = await startTestGateway({
      policies: {
        'guardrails.yaml': `guardrails:
  - id: sessions-as-oneself
    on: [org.sessions.create]
    body: { create_as_user_id: { equals: principal.devin_user_id } }
  - id: messages-as-oneself
    on: [org.sessions.messages.send]
    body: { message_as_user_id: { equals: principal.devin_user_id } }
  - id: own-sessions
    on: [org.sessions.list]
    query: { user_ids: { equals: principal.devin_user_id } }
  - id: tried-on-titles
    on: [org.sessions.create]
    mode: shadow
    body: { title: { equals: principal.devin_user_id } }
  - id: by-name
    on: [ent.members.users.delete]
    grants: named
`,
        'devin-users.yaml': 'devin_users:\n  - { subject: mapped, id: u-mapped }\n',
      },
    })
    running.upstream.respond((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://upstream.test')
      const answer = (status: number, document: unknown): void =>
        void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(document))
      if (pathname !== memberList) return answer(200, { session_id: 'devin-1' })
      if (listFails) return answer(500, {})
      // Two pages, and a server that takes the address for a hint.
      return searchParams.has('after')
        ? answer(200, {
            items: [{ user_id: 'u-ann', email: 'Ann@corp.example' }],
            has_next_page: false,
            end_cursor: null,
          })
        : answer(200, {
            items: [{ user_id: 'u-bob', email: 'bob@corp.example' }],
            has_next_page: true,
            end_cursor: 'p2+/=',
          })
    })
  })
  afterAll(() => running.close())
  beforeEach(() => {
    running.upstream.seen.length = 0
    listFails = false
  })

  function create(body: object, claims: object = leads, path = sessions): Promise<Response> {
    const headers = { 'content-type': 'application/json' }
    return running.call(path, { method: 'POST', body: JSON.stringify(body), headers, claims: { ...claims } })
  }

  /** What reached the upstream: `METHOD path key`. */
  function seen(): string[] {
    const names = Object.entries(usualKeys)
    return running.upstream.seen.map((each) => {
      const key = names.find(([, value]) => fieldOf(each, 'authorization') === `Bearer ${value}`)?.[0] ?? 'no key'
      return `${each.method} ${each.target} ${key}`
    })
  }

  test('no user is looked up where the request impersonates nobody', async () => {
    expect((await create({ prompt: 'x' })).status).toBe(200)
    expect(seen()).toEqual([`POST ${sessions} PAYMENTS_RUNNER_KEY`])
  })

  test('the own user is found over pages, with the least key that may, once for all that follow', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => create({ prompt: 'x', create_as_user_id: 'u-ann' })))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(
      (await create({ message: 'x', message_as_user_id: 'u-ann' }, leads, `${sessions}/devin-1/messages`)).status,
    ).toBe(200)
    expect(seen()).toEqual([
      `GET ${memberList}?first=200&email=ann%40corp.example ANALYTICS_KEY`,
      `GET ${memberList}?first=200&email=ann%40corp.example&after=p2%2B%2F%3D ANALYTICS_KEY`,
      ...Array.from({ length: 3 }, () => `POST ${sessions} PAYMENTS_IMPERSONATOR_KEY`),
      `POST ${sessions}/devin-1/messages PAYMENTS_IMPERSONATOR_KEY`,
    ])
  })

  test("the gateway's own reads are recorded as its own, under the id that Devin got", async () => {
    const ids = running.upstream.seen.length
    await create({ prompt: 'x', create_as_user_id: 'u-recorded' }, { ...leads, email: 'recorded@corp.example' })
    const asked = running.upstream.seen.slice(ids).find(({ target }) => target.includes('recorded'))
    const id = fieldOf(asked, 'x-request-id')
    const own = async () => (await running.access()).find(({ request_id: each }) => each === id)
    await until(async () => (await own()) !== undefined, 'the record')
    expect(await own()).toMatchObject({
      subject: 'gateway',
      team: null,
      method: 'GET',
      operation: 'ent.members.users.list',
      key: 'analytics',
      key_version: 1,
      status: 200,
      outcome: 'forwarded',
      reason: 'own-call',
    })
    expect(JSON.stringify(await own())).not.toContain('recorded@')
  })

  test('impersonating another user is refused, and the refusal names field and guardrail', async () => {
    expect(await refusalOf(await create({ prompt: 'x', create_as_user_id: 'u-bob' }))).toEqual({
      status: 403,
      reason: 'guardrail',
      detail:
        'create_as_user_id must be principal.devin_user_id, and is another text (guardrail sessions-as-oneself). Change the request, or ask the owner of the guardrail.',
    })
    expect(seen()).toEqual([])
  })

  test('a caller without a user at Devin cannot impersonate', async () => {
    const answer = await create(
      { prompt: 'x', create_as_user_id: 'u-bob' },
      { ...leads, sub: 'eve', email: 'eve@corp.example' },
    )
    expect(await refusalOf(answer)).toMatchObject({
      status: 403,
      detail: expect.stringContaining(
        'create_as_user_id must be principal.devin_user_id, and nobody at Devin has the e-mail address of this caller',
      ) as string,
    })
    const without = await create(
      { prompt: 'x', create_as_user_id: 'u-bob' },
      { ...leads, sub: 'eve', email: undefined },
    )
    expect((await refusalOf(without)).detail).toContain('the token of this caller says no e-mail address')
  })

  test('a caller without a verified address cannot impersonate', async () => {
    for (const said of ['False', 0, null, [], 'yes']) {
      const answer = await create({ prompt: 'x', create_as_user_id: 'u-ann' }, { ...leads, email_verified: said })
      expect(await refusalOf(answer)).toMatchObject({
        status: 403,
        detail: expect.stringContaining('has not verified the e-mail address') as string,
      })
    }
    expect(seen()).toEqual([])
  })

  test('without the grant the field is refused before anybody is looked up', async () => {
    const answer = await create({ prompt: 'x', create_as_user_id: 'u-ann' }, { email: 'new@corp.example' })
    expect(await refusalOf(answer)).toMatchObject({ status: 403, reason: 'not-granted' })
    expect(seen()).toEqual([])
  })

  test('a list that cannot be read is no refusal for good: 502, nothing is sent, and it recovers', async () => {
    listFails = true
    const carl = { ...leads, email: 'carl@corp.example' }
    const answer = await create({ prompt: 'x', create_as_user_id: 'u-carl' }, carl)
    expect(answer.headers.get('x-should-retry')).toBeNull()
    expect(await refusalOf(answer)).toMatchObject({ status: 502, reason: 'member-list' })
    expect(seen().filter((line) => line.startsWith('POST'))).toEqual([])
    await until(
      async () => (await running.access()).some(({ subject, status }) => subject === 'gateway' && status === 500),
      'the record of the read that failed',
    )
    listFails = false
    expect((await refusalOf(await create({ prompt: 'x', create_as_user_id: 'u-carl' }, carl))).status).toBe(403)
  })

  test('a guardrail in shadow mode that needs the list keeps nobody from going on', async () => {
    listFails = true
    expect((await create({ title: 'x' }, { ...leads, email: 'dora@corp.example' })).status).toBe(200)
    expect(seen().at(-1)).toBe(`POST ${sessions} PAYMENTS_RUNNER_KEY`)
  })

  test('the map goes first, and is replaced with the other policies', async () => {
    const mapped = { ...leads, sub: 'mapped' }
    expect((await create({ prompt: 'x', create_as_user_id: 'u-mapped' }, mapped)).status).toBe(200)
    expect(seen()).toEqual([`POST ${sessions} PAYMENTS_IMPERSONATOR_KEY`])
    await running.writePolicy('devin-users.yaml', 'devin_users:\n  - { subject: mapped, id: u-other }\n')
    await until(
      async () => (await create({ prompt: 'x', create_as_user_id: 'u-other' }, mapped)).status === 200,
      'the new map',
    )
    expect((await create({ prompt: 'x', create_as_user_id: 'u-mapped' }, mapped)).status).toBe(403)
  })

  test('a rule on the query waits for the user as well, and no body is touched for it', async () => {
    const mine = { ...leads, email: 'bob@corp.example' }
    expect((await running.call(`${sessions}?user_ids=u-bob`, { claims: mine })).status).toBe(200)
    expect((await running.call(`${sessions}?user_ids=u-ann`, { claims: mine })).status).toBe(403)
    expect(seen().at(-1)).toBe(`GET ${sessions}?user_ids=u-bob PAYMENTS_RUNNER_KEY`)
  })

  test('the page that explains looks the user up too, takes a body, and says what is wrong with it', async () => {
    const page = (body: string): Promise<Response> =>
      running.call(
        `/gateway/v1/explain?method=POST&path=${encodeURIComponent(sessions)}&body=${encodeURIComponent(body)}`,
        { claims: leads },
      )
    expect(await (await page('{"create_as_user_id":"u-ann"}')).json()).toMatchObject({
      effect: 'allow',
      key: 'payments-impersonator',
      guardrails: ['sessions-as-oneself'],
    })
    expect(await (await page('{"create_as_user_id":"u-bob"}')).json()).toMatchObject({
      effect: 'deny',
      reason: 'guardrail',
    })
    expect(await refusalOf(await page('{"a":1,"a":2}'))).toMatchObject({
      status: 400,
      detail: expect.stringContaining('duplicate member "a"') as string,
    })
    expect(running.upstream.seen.filter(({ method }) => method === 'POST')).toEqual([])
  })

  test('what has to be granted by name is not among the operations that a caller is shown', async () => {
    const me = (await (await running.call('/gateway/v1/me', { claims: { groups: ['sso-analytics'] } })).json()) as {
      operations: { id: string }[]
    }
    const ids = me.operations.map(({ id }) => id)
    expect([ids.includes('ent.members.users.list'), ids.includes('ent.members.users.delete')]).toEqual([true, false])
  })
})

describe('the sample policies in front of the simulator', () => {
  const sessions = '/v3/organizations/org-payments/sessions'
  let sandbox: Sandbox
  let state: string
  beforeAll(async () => {
    state = await mkdtemp(join(tmpdir(), 'gateway-own-user-'))
    // The sample, with its access records in a file.
    const sample = await readFile(new URL('../../config/gateway.yaml', import.meta.url), 'utf8')
    const policies = fileURLToPath(new URL('../../policies', import.meta.url))
    const configFile = join(state, 'gateway.yaml')
    await writeFile(
      configFile,
      sample.replace('../policies', policies).replace('access: stdout', 'access: access.ndjson'),
    )
    sandbox = await startSandbox({
      configFile,
      host: '127.0.0.1',
      port: 0,
      adminPort: 0,
      env: { GATEWAY_SANDBOX_STATE: state },
      log: createLog({ level: 'error', destination: { write: () => {} } }),
      version: 'test',
    })
  })
  afterAll(async () => {
    await sandbox.close()
    await rm(state, { recursive: true, force: true })
  })

  async function create(body: object, groups: readonly string[], email = 'ada.okafor@corp.example'): Promise<Response> {
    const caller = { sub: 'ada', email, groups, app: null, ttlSeconds: 300 }
    const token = await signSandboxToken(sandbox.directory, caller, Date.now())
    return fetch(`http://127.0.0.1:${sandbox.gateway.gateway.port}${sessions}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    })
  }
  const engineers = ['sso-payments-eng']
  const leads = [...engineers, 'payments-leads']

  test('start a session as oneself, and as nobody else', async () => {
    const own = await create({ prompt: 'x', create_as_user_id: 'email|65f0a1' }, leads)
    expect([own.status, await own.json()]).toEqual([
      200,
      expect.objectContaining({ user_id: 'email|65f0a1', service_user_id: 'payments-impersonator' }),
    ])
    expect((await create({ prompt: 'x', create_as_user_id: 'email|65f0a2' }, leads)).status).toBe(403)
    expect(
      (await create({ prompt: 'x', create_as_user_id: 'email|65f0a1' }, leads, 'nobody@corp.example')).status,
    ).toBe(403)
    const plain = await create({ prompt: 'x' }, leads)
    expect(await plain.json()).toMatchObject({
      user_id: null,
      service_user_id: 'payments-runner',
      tags: ['team:payments'],
    })
  })

  test('bound what a session may cost, also when nobody said it', async () => {
    expect((await refusalOf(await create({ prompt: 'x', max_acu_limit: 500 }, engineers))).detail).toContain(
      'max_acu_limit must be at most 25, and is 500 (guardrail bounded-sessions)',
    )
    expect((await create({ prompt: 'x', max_acu_limit: 25 }, engineers)).status).toBe(200)
    expect((await create({ prompt: 'x', bypass_approval: true }, engineers)).status).toBe(403)
    expect((await create({ prompt: 'x', session_secrets: [] }, engineers)).status).toBe(403)
  })
})
