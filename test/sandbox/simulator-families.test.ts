// The other families of the simulator: what is special about each, on real sockets.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ask, keyOf, startBench, testWorld, upload, type Asked, type Bench } from './simulator-support.ts'

let bench: Bench
beforeEach(async () => {
  bench = await startBench()
})
afterEach(() => bench.close())

const PAYMENTS = '/v3/organizations/org-payments'
const PLATFORM_BETA = '/v3beta1/organizations/org-platform'

function names(answer: Asked, member: string): unknown[] {
  return answer.body.items.map((item: Record<string, unknown>) => item[member])
}

describe('security profiles and default platforms', () => {
  const SETTINGS = 'security-profile-settings'
  const world = testWorld()
  const settings = {
    id: 'payments-settings',
    name: 'Settings',
    scope: 'organization' as const,
    organization: 'org-payments',
    keys: [keyOf('payments-settings')],
    permissions: ['ManageSecureModeProfiles', 'ManageOrgSettings', 'ManageOrgSessions', 'ViewOrgSessions'],
  }
  const beta = '/v3beta1/organizations/org-payments'

  async function started(): Promise<Bench> {
    await bench.close()
    bench = await startBench({ world: { ...world, serviceUsers: [...world.serviceUsers, settings] } })
    return bench
  }

  it('pins profiles of the organization and of the enterprise, and keeps a pinned one', async () => {
    const { ask: put } = await started()
    const pin = (profile: string) =>
      put(settings.id, `PATCH ${beta}/${SETTINGS}`, {
        body: { default: { selection: 'profile', profile_id: profile } },
      })
    expect((await pin('security-profile-baseline')).body).toMatchObject({
      default: { profile_id: 'security-profile-baseline' },
      automations_default: { selection: 'inherit' },
    })
    expect((await pin('security-profile-other')).status).toBe(400)
    expect((await pin('security-profile-ledger')).status).toBe(200)
    const ledger = `${beta}/security-profiles/security-profile-ledger`
    expect((await put(settings.id, `DELETE ${ledger}`)).status).toBe(409)
    await put(settings.id, `PATCH ${beta}/${SETTINGS}`, { body: { default: { selection: 'inherit' } } })
    expect((await put(settings.id, `DELETE ${ledger}`)).status).toBe(204)
  })

  it('sets and clears where sessions run, one of platform and outpost', async () => {
    const { ask: put } = await started()
    const set = (body: object) => put(settings.id, `PUT ${beta}/default-platform`, { body })
    expect((await set({ platform: 'windows' })).body).toMatchObject({ platform: 'windows', outpost_pool_id: null })
    expect((await set({ platform: 'windows', outpost_pool_id: 'outpost_env-main' })).status).toBe(400)
    expect((await set({ platform: 'amiga' })).status).toBe(400)
    expect((await set({})).body).toMatchObject({ platform: null, outpost_pool_id: null })
  })

  it('lists the sessions that another one has started', async () => {
    const { ask: call } = await started()
    const parent = 'devin-5a1f00000000000000000000000000a2'
    await call(settings.id, `POST ${PAYMENTS}/sessions?devin_id=${parent}`, { body: { prompt: 'x', title: 'child' } })
    const children = await call(settings.id, `GET ${PAYMENTS}/sessions?parent_session_id=${parent}`)
    expect(names(children, 'title')).toEqual(['child'])
  })
})

describe('knowledge and playbooks', () => {
  const note = { name: 'Cents', body: 'No floats', trigger: 'Money' }

  it('creates, reads, replaces and deletes a note; deleting returns it', async () => {
    const created = await bench.ask('payments-knowledge', `POST ${PAYMENTS}/knowledge/notes`, {
      body: { ...note, folder_id: 'folder-ledger' },
    })
    expect(created.body).toMatchObject({
      ...note,
      folder_path: 'Ledger',
      org_id: 'org-payments',
      access_type: 'org',
      is_enabled: true,
    })
    bench.pass(60)
    const one = `${PAYMENTS}/knowledge/notes/${created.body.note_id}`
    const replaced = await bench.ask('payments-knowledge', `PUT ${one}`, { body: { ...note, name: 'Integers' } })
    expect(replaced.body).toMatchObject({ name: 'Integers', folder_id: null, created_at: created.body.created_at })
    expect(replaced.body.updated_at).toBe(created.body.created_at + 60)
    expect((await bench.ask('payments-knowledge', `DELETE ${one}`)).body).toEqual(replaced.body)
    expect((await bench.ask('payments-knowledge', `GET ${one}`)).status).toBe(404)
  })

  it('shows what belongs to the enterprise in every organization, and lets only the enterprise change it', async () => {
    const list = await bench.ask('payments-knowledge', `GET ${PAYMENTS}/knowledge/notes`)
    expect(names(list, 'note_id')).toEqual(['note-ledger', 'note-style'])
    expect(names(await bench.ask('payments-knowledge', `GET ${PAYMENTS}/playbooks`), 'access_type')).toEqual([
      'enterprise',
      'org',
    ])
    const shared = `${PAYMENTS}/playbooks/playbook-upgrade`
    expect((await bench.ask('payments-knowledge', `GET ${shared}`)).status).toBe(200)
    expect((await bench.ask('payments-knowledge', `DELETE ${shared}`)).status).toBe(403)
    expect((await bench.ask('fleet', 'DELETE /v3/enterprise/playbooks/playbook-upgrade')).status).toBe(200)
    expect((await bench.ask('payments-knowledge', `GET ${shared}`)).status).toBe(404)
  })

  it('searches notes, and counts them by folder', async () => {
    expect(
      names(await bench.ask('payments-knowledge', `GET ${PAYMENTS}/knowledge/notes?search=CENTS`), 'note_id'),
    ).toEqual(['note-ledger'])
    expect(names(await bench.ask('fleet', 'GET /v3/enterprise/knowledge/notes?access_type=org'), 'note_id')).toEqual([
      'note-ledger',
      'note-runners',
    ])
    const { body } = await bench.ask('payments-knowledge', `GET ${PAYMENTS}/knowledge/folders`)
    expect(body).toMatchObject({ folders: [{ folder_id: 'folder-ledger', note_count: 1 }], root_note_count: 0 })
  })
})

describe('secrets, schedules and automations', () => {
  it('never gives a secret value back', async () => {
    const body = { key: 'TOKEN', value: 'hush-hush', type: 'totp' }
    const created = await bench.ask('payments-knowledge', `POST ${PAYMENTS}/secrets`, { body })
    expect(created.body).toMatchObject({ key: 'TOKEN', secret_type: 'totp', is_sensitive: true })
    const listed = await bench.ask('payments-knowledge', `GET ${PAYMENTS}/secrets`)
    expect(names(listed, 'key')).toEqual(['REGISTRY_TOKEN', 'TOKEN'])
    expect(JSON.stringify([created.body, listed.body])).not.toContain('hush-hush')
  })

  it('pages schedules by limit and offset and dates them in ISO 8601', async () => {
    const body = {
      name: 'Weekly',
      prompt: 'x',
      schedule_type: 'one_time',
      scheduled_at: '2026-12-01T08:00:00+01:00',
      playbook_id: 'playbook-upgrade',
    }
    const created = await bench.ask('payments-knowledge', `POST ${PAYMENTS}/schedules`, { body })
    expect(created.body).toMatchObject({
      scheduled_at: '2026-12-01T07:00:00.000Z',
      created_at: '2026-10-05T12:00:00.000Z',
      playbook: { playbook_id: 'playbook-upgrade', title: 'Upgrade a dependency' },
    })
    const page = async (query: string): Promise<unknown[]> => {
      const { body: list } = await bench.ask('payments-knowledge', `GET ${PAYMENTS}/schedules?${query}`)
      return [list.items.map((item: { name: string }) => item.name), list.has_next_page, list.total, list.end_cursor]
    }
    expect(await page('limit=1')).toEqual([['Nightly refund check'], true, 2, null])
    expect(await page('limit=1&offset=1')).toEqual([['Weekly'], false, 2, null])
    expect((await bench.ask('payments-knowledge', `GET ${PAYMENTS}/schedules?limit=201`)).status).toBe(422)
  })

  it('tells null from absent when a schedule changes', async () => {
    const one = `PATCH ${PAYMENTS}/schedules/schedule-nightly`
    expect(
      (await bench.ask('payments-knowledge', one, { body: { enabled: false, playbook_id: 'playbook-refunds' } })).body,
    ).toMatchObject({ enabled: false, name: 'Nightly refund check', playbook: { title: 'Check refunds' } })
    expect((await bench.ask('payments-knowledge', one, { body: { playbook_id: null } })).body).toMatchObject({
      enabled: false,
      playbook: null,
    })
  })

  it('gives the secret of a webhook once, and refuses to run as a person', async () => {
    const { automations, body } = {
      automations: `${PLATFORM_BETA.replace('v3beta1', 'v3')}/automations`,
      body: { name: 'a', triggers: [{ type: 'webhook:incoming' }], actions: [], run_as: 'organization' },
    }
    const created = await bench.ask('platform-builder', `POST ${automations}`, { body })
    expect(created.body.webhook.secret).toMatch(/^[0-9a-f]{32}$/)
    expect(
      (await bench.ask('platform-builder', `GET ${automations}/${created.body.automation_id}`)).body.webhook,
    ).toBeUndefined()
    expect(
      (await bench.ask('platform-builder', `POST ${automations}`, { body: { ...body, run_as: 'creator' } })).status,
    ).toBe(403)
  })
})

describe('members, roles and keys', () => {
  it('changes at once what a key may do when its role changes', async () => {
    const member = '/v3/enterprise/organizations/org-payments/members/service-users/payments-reader'
    expect((await bench.ask('payments-reader', `POST ${PAYMENTS}/sessions`, { body: { prompt: 'x' } })).status).toBe(
      403,
    )
    await bench.ask('directory', `PATCH ${member}`, { body: { role_id: 'role-org-admin' } })
    expect((await bench.ask('payments-reader', `POST ${PAYMENTS}/sessions`, { body: { prompt: 'x' } })).status).toBe(
      200,
    )
    await bench.ask('directory', `DELETE ${member}`)
    expect((await bench.ask('payments-reader', `GET ${PAYMENTS}/sessions`)).status).toBe(403)
  })

  it('lists people by role and by group, and one person with the roles of the groups', async () => {
    const inPlatform = 'GET /v3/enterprise/organizations/org-platform/members'
    expect(names(await bench.ask('directory', `${inPlatform}/users`), 'name')).toEqual([
      'Chen Wei',
      'Dana Levi',
      'Elif Kaya',
      'Farid Nasser',
    ])
    const { body } = await bench.ask('directory', 'GET /v3/enterprise/members/users/okta%7CCorp%7C00u1f6')
    expect(body).toMatchObject({
      role_assignments: [],
      idp_role_assignments: [{ idp_group_name: 'Corp/Platform Engineering', org_id: 'org-platform' }],
    })
    expect(names(await bench.ask('directory', `${inPlatform}/users?email=chen.wei@corp.example`), 'user_id')).toEqual([
      'okta|Corp|00u1c3',
    ])
  })

  it('assigns roles of the right type only, and answers an unknown role 404', async () => {
    const one = 'POST /v3/enterprise/organizations/org-payments/members/users/email%7C65f0a8'
    const assign = async (role_id: string): Promise<number> =>
      (await bench.ask('directory', one, { body: { role_id } })).status
    expect([await assign('role-org-member'), await assign('role-account-viewer'), await assign('role-none')]).toEqual([
      200, 400, 404,
    ])
  })

  it('invites people and registers groups as bare arrays, a hundred at most', async () => {
    const invite = (emails: string[]): Promise<Asked> =>
      bench.ask('directory', 'POST /v3/enterprise/members/users', {
        body: { emails, enterprise_role_id: 'role-account-viewer' },
      })
    const { body } = await invite(['a@corp.example', 'ada.okafor@corp.example'])
    expect(body.map((user: { email: string }) => user.email)).toEqual(['a@corp.example', 'ada.okafor@corp.example'])
    expect(body[0].user_id).toMatch(/^email\|/)
    expect((await invite(Array.from({ length: 101 }, (_, index) => `${index}@corp.example`))).status).toBe(422)
    const group = await bench.ask('directory', 'POST /v3/enterprise/idp-groups', {
      body: { idp_group_names: ['a b/c'] },
    })
    expect(group.body).toEqual([{ idp_group_name: 'a b/c', role_assignments: [] }])
    expect((await bench.ask('directory', 'DELETE /v3/enterprise/idp-groups/a%20b%2Fc')).status).toBe(200)
    expect((await bench.ask('directory', 'DELETE /v3/enterprise/idp-groups/sso-research')).status).toBe(409)
  })

  const keys = '/v3beta1/enterprise/service-users/payments-runner/api-keys'

  it('issues a key that works, shows its value once, and rotates and revokes it', async () => {
    const created = await bench.ask('fleet', `POST ${keys}`, { body: { name: 'second' } })
    const self = async (key: string): Promise<number> => (await ask(bench.origin, key, 'GET /v3/self')).status
    expect(await self(created.body.token)).toBe(200)
    const listed = await bench.ask('fleet', `GET ${keys}?status=active`)
    expect(names(listed, 'api_key_name')).toEqual(['Payments runner key', 'second'])
    expect(JSON.stringify(listed.body)).not.toContain('cog_')
    const one = `${keys}/${created.body.api_key_id}`
    const both = await bench.ask('fleet', `POST ${one}/rotate`, { body: { revoke_current: false } })
    expect([await self(created.body.token), await self(both.body.token)]).toEqual([200, 200])
    const next = await bench.ask('fleet', `POST ${one}/rotate`, { body: {} })
    expect([await self(created.body.token), await self(next.body.token)]).toEqual([401, 200])
    expect((await bench.ask('fleet', `DELETE ${one}`)).status).toBe(409)
    expect((await bench.ask('fleet', `POST ${one}/rotate`, { body: {} })).status).toBe(400)
    expect((await bench.ask('fleet', `DELETE ${keys}/none`)).status).toBe(404)
    expect(names(await bench.ask('fleet', `GET ${keys}?status=revoked`), 'is_active')).toEqual([false])
  })

  it('lets a key expire', async () => {
    const body = { name: 'short', expires_at: Date.UTC(2026, 9, 5, 13) / 1000 }
    const { token } = (await bench.ask('fleet', `POST ${keys}`, { body })).body
    expect((await ask(bench.origin, token, 'GET /v3/self')).status).toBe(200)
    bench.pass(3600)
    expect((await ask(bench.origin, token, 'GET /v3/self')).status).toBe(401)
    expect((await bench.ask('fleet', `POST ${keys}`, { body })).status).toBe(400)
  })

  it('creates service users within the powers of the caller, for a time', async () => {
    const create = (role_id: string): Promise<Asked> =>
      bench.ask('fleet', 'POST /v3beta1/enterprise/service-users', { body: { name: 'bot', role_id, ttl_seconds: 60 } })
    const { status, body } = await create('role-account-viewer')
    expect([status, body.service_user.role_assignments[0].role.role_name]).toEqual([200, 'Account viewer'])
    expect((await ask(bench.origin, body.token, 'GET /v3/enterprise/sessions')).status).toBe(200)
    expect((await create('role-account-admin')).status).toBe(403)
    bench.pass(60)
    expect((await ask(bench.origin, body.token, 'GET /v3/self')).status).toBe(401)
  })

  it('stops the keys of a deleted service user', async () => {
    await bench.ask('directory', 'DELETE /v3/enterprise/members/service-users/payments-runner')
    expect((await bench.ask('payments-runner', 'GET /v3/self')).status).toBe(401)
    const list = 'GET /v3/enterprise/members/service-users?first=200'
    expect(names(await bench.ask('directory', list), 'service_user_id')).not.toContain('payments-runner')
    expect(names(await bench.ask('directory', `${list}&include_inactive=true`), 'service_user_id')).toContain(
      'payments-runner',
    )
  })
})

describe('organizations and their settings', () => {
  it('creates, changes and deletes an organization; afterwards it is gone', async () => {
    const created = await bench.ask('directory', 'POST /v3/enterprise/organizations', {
      body: { name: 'Labs', max_session_acu_limit: 5 },
    })
    const one = `/v3/enterprise/organizations/${created.body.org_id}`
    expect(created.body).toMatchObject({ name: 'Labs', max_cycle_acu_limit: null, max_session_acu_limit: 5 })
    expect(
      (await bench.ask('directory', `PATCH ${one}`, { body: { max_session_acu_limit: null } })).body,
    ).toMatchObject({ name: 'Labs', max_session_acu_limit: null })
    expect((await bench.ask('directory', `DELETE ${one}`)).body.name).toBe('Labs')
    expect((await bench.ask('directory', `GET ${one}`)).status).toBe(404)
  })

  it('keeps tags, the default tag and the group limits', async () => {
    const tags = '/v3/enterprise/organizations/org-payments/tags'
    const change = async (target: string, body?: unknown): Promise<unknown> =>
      (await bench.ask('auditor', target, { body })).body
    await change(`PUT ${tags}`, { tags: ['a', 'b/c'] })
    expect(await change(`POST ${tags}`, { tags: ['a', 'd'] })).toEqual({ tags: ['a', 'b/c', 'd'] })
    expect(await change(`DELETE ${tags}/b%2Fc`)).toEqual({ tags: ['a', 'd'] })
    await change(`PUT ${tags}/default`, { tag: 'a' })
    expect(await change(`GET ${tags}/default`)).toEqual({ tag: 'a' })
    expect(await change(`DELETE ${tags}`)).toEqual({ tags: [] })
    const limits = { groups: { x: { org_ids: ['org-payments'], max_cycle_acus: 3 } } }
    await bench.ask('directory', 'PUT /v3/enterprise/org-group-limits', { body: limits })
    expect((await bench.ask('directory', 'GET /v3/enterprise/org-group-limits')).body).toEqual(limits)
  })

  it('answers writes of ACU limits 204 without a body, and shows them', async () => {
    const devin = '/v3/enterprise/consumption/acu-limits/devin'
    const set = await bench.ask('analytics', `PUT ${devin}/organizations/org-research`, {
      body: { cycle_acu_limit: 40 },
    })
    expect([set.status, set.body, set.headers.get('content-type')]).toEqual([204, '', null])
    expect((await bench.ask('analytics', `GET ${devin}`)).body.items).toEqual([
      { scope: 'org', cycle_acu_limit: 40, org_id: 'org-research', user_id: null },
    ])
    const user = '/v3beta1/enterprise/users/email%7C65f0a1/consumption/acu-limits'
    const limit = { local_agent: { cycle_acu_limit: 3, billing_org_id: null } }
    expect((await bench.ask('analytics', `PATCH ${user}`, { body: limit })).status).toBe(204)
    expect((await bench.ask('analytics', `GET ${user}`)).body).toEqual(limit)
    expect((await bench.ask('analytics', 'GET /v3beta1/enterprise/users/consumption/acu-limits')).body).toEqual({
      local_agent: null,
    })
  })

  it('replaces and clears git permissions as bare arrays, and merges the IP access list', async () => {
    const git = '/v3/enterprise/organizations/org-payments/git-providers/permissions'
    const permissions = [{ git_connection_id: 'git-connection-github', repo_path: 'corp/a' }]
    const { body } = await bench.ask('fleet', `PUT ${git}`, { body: { permissions } })
    expect(body).toMatchObject([{ repo_path: 'corp/a', read_only: false }])
    expect(
      (await bench.ask('fleet', `PATCH ${git}/${body[0].git_permission_id}`, { body: { read_only: true } })).body
        .read_only,
    ).toBe(true)
    expect((await bench.ask('fleet', `DELETE ${git}`)).body).toHaveLength(1)
    const list = 'POST /v3/enterprise/ip-access-list'
    await bench.ask('auditor', list, { body: { ip_ranges: ['192.0.2.0/24'] } })
    expect((await bench.ask('auditor', list, { body: { ip_ranges: ['2001:db8::/32'] } })).body.ip_ranges).toHaveLength(
      2,
    )
    expect((await bench.ask('auditor', list, { body: { ip_ranges: ['everywhere'] } })).status).toBe(400)
  })
})

describe('figures', () => {
  const window = 'time_after=1790000000&time_before=1791201600'

  it('adds consumption up by day, by principal, and with what sessions consume now', async () => {
    const daily = async (
      path: string,
      user = 'analytics',
    ): Promise<{ total_acus: number; consumption_by_date: { date: number }[] }> =>
      (await bench.ask(user, `GET ${path}?${window}`)).body
    const whole = await daily('/v3/enterprise/consumption/daily')
    const days = whole.consumption_by_date.map(({ date }) => date)
    expect(days.every((day) => day % 86_400 === 8 * 3600)).toBe(true)
    const parts = await Promise.all(
      ['payments', 'platform', 'research'].map((name) =>
        daily(`/v3/enterprise/consumption/daily/organizations/org-${name}`),
      ),
    )
    expect(parts.reduce((sum, part) => sum + part.total_acus, 0)).toBeCloseTo(whole.total_acus)
    const own = await daily(`${PAYMENTS}/consumption/daily`, 'payments-reader')
    expect(own.total_acus).toBe(parts[0]?.total_acus)
    const ada = await daily('/v3/enterprise/consumption/daily/users/email%7C65f0a1')
    expect(ada.total_acus).toBeLessThan(own.total_acus)
    const { session_id } = (await bench.ask('payments-runner', `POST ${PAYMENTS}/sessions`, { body: { prompt: 'x' } }))
      .body
    bench.pass(64)
    expect((await daily(`/v3/enterprise/consumption/daily/sessions/${session_id}`)).total_acus).toBe(1)
  })

  it('demands both bounds of metrics, except for usage, and answers series as bare arrays', async () => {
    const metric = (name: string, query: string): Promise<Asked> =>
      bench.ask('analytics', `GET /v3/enterprise/metrics/${name}?${query}`)
    const refused = await metric('dau', 'time_after=1790000000')
    expect([refused.status, refused.body.detail]).toEqual([
      422,
      [{ loc: ['query', 'time_before'], msg: 'Field required', type: 'missing' }],
    ])
    expect((await metric('usage', '')).body.sessions_count).toBe(8)
    expect((await metric('usage', 'org_ids=org-research')).body.sessions_count).toBe(2)
    const dau = await metric(
      'dau',
      `time_after=${Date.UTC(2026, 9, 4) / 1000}&time_before=${Date.UTC(2026, 9, 6) / 1000}`,
    )
    expect(dau.body.map((day: { active_users: number }) => day.active_users)).toEqual([2, 4])
    expect((await metric('prs', window)).body).toMatchObject({ prs_created_count: 2, prs_merged_count: 2 })
  })
})

describe('audit logs', () => {
  it('shows writes made through the API, newest first, and narrows by organization and action', async () => {
    await bench.ask('payments-runner', `POST ${PAYMENTS}/sessions`, { body: { prompt: 'x' } })
    await bench.ask('payments-reader', `POST ${PAYMENTS}/sessions`, { body: { prompt: 'refused' } })
    const logs = (query: string, where = ''): Promise<Asked> =>
      bench.ask('auditor', `GET /v3/enterprise${where}/audit-logs?${query}`)
    const all = await logs('')
    expect(all.body.items[0]).toMatchObject({
      action: 'create_session',
      service_user_id: 'payments-runner',
      org_id: 'org-payments',
    })
    expect(all.body.total).toBe(4)
    expect(names(await logs('order=asc'), 'audit_log_id').at(0)).toBe('audit-1')
    expect(names(await logs('action=create_secret'), 'audit_log_id')).toEqual(['audit-2'])
    expect((await logs('', '/organizations/org-payments')).body.total).toBe(3)
  })

  it('looks at a hundred days at most, and never before without after', async () => {
    const status = async (query: string): Promise<number> =>
      (await bench.ask('auditor', `GET /v3/enterprise/audit-logs?${query}`)).status
    const now = Date.UTC(2026, 9, 5) / 1000
    expect(await status(`time_after=${now - 100 * 86_400}&time_before=${now}`)).toBe(200)
    expect(await status(`time_after=${now - 101 * 86_400}&time_before=${now}`)).toBe(422)
    expect(await status(`time_after=${now - 101 * 86_400}`)).toBe(422)
    expect(await status(`time_before=${now}`)).toBe(422)
    expect(await status('order=sideways')).toBe(422)
  })

  it('lists guardrail violations by session', async () => {
    const list = 'GET /v3beta1/enterprise/guardrail-violations'
    expect((await bench.ask('auditor', `${list}?guardrail_id=no-production-data`)).body.total).toBe(1)
    expect((await bench.ask('auditor', `${list}?session_id=devin-none`)).body.total).toBe(0)
  })
})

describe('repositories and snapshots', () => {
  it('removes repositories from indexing by a DELETE with a body, all or none', async () => {
    const bulk = `${PLATFORM_BETA}/repositories/indexing`
    const remove = (repository_paths: string[]): Promise<Asked> =>
      bench.ask('platform-builder', `DELETE ${bulk}`, { body: { repository_paths } })
    expect((await remove(['corp/infra', 'corp/none'])).status).toBe(404)
    expect((await bench.ask('platform-builder', `GET ${bulk}`)).body.total).toBe(1)
    expect((await remove(['corp/infra'])).body).toEqual([
      { repository_path: 'corp/infra', indexing_enabled: false, branches: [] },
    ])
    const enable = { repositories: [{ repository_path: 'corp/infra', branch_names: ['main', 'feature/x'] }] }
    await bench.ask('platform-builder', `PUT ${bulk}`, { body: enable })
    const branch = `DELETE ${PLATFORM_BETA}/repositories/corp%2Finfra/indexing/branches/feature%2Fx`
    expect((await bench.ask('platform-builder', branch)).body.branches).toEqual(['main'])
  })

  it('keeps blueprints in a data envelope, their contents behind an address of ten minutes', async () => {
    const blueprints = `${PLATFORM_BETA}/snapshot-setup/blueprints`
    const created = await bench.ask('platform-builder', `POST ${blueprints}`, { body: { contents: 'steps: [a]' } })
    expect(created.body).toMatchObject({ type: 'org', repo_name: null })
    expect((await bench.ask('platform-builder', `POST ${blueprints}`, { body: {} })).status).toBe(409)
    expect((await bench.ask('platform-builder', `GET ${blueprints}`)).body.data).toHaveLength(2)
    const { url, expires_at } = (
      await bench.ask('platform-builder', `GET ${blueprints}/${created.body.blueprint_id}/contents`)
    ).body
    expect(expires_at).toBe(Date.UTC(2026, 9, 5, 12, 10) / 1000)
    expect(await (await fetch(url)).text()).toBe('steps: [a]')
    const files = `POST ${blueprints}/${created.body.blueprint_id}/files`
    expect((await bench.ask('platform-builder', files, { body: upload('abc') })).status).toBe(422)
    expect((await bench.ask('platform-builder', `${files}?name=settings`, { body: upload('abc') })).body).toMatchObject(
      { size_bytes: 3, env_var_name: 'FILE_SETTINGS' },
    )
    expect((await bench.ask('platform-builder', `${files}?name=settings`, { body: upload('abc') })).status).toBe(409)
  })

  it('runs a build for a minute, and pins only what succeeded', async () => {
    const builds = `${PLATFORM_BETA}/snapshot-setup/builds`
    const started = await bench.ask('platform-builder', `POST ${builds}`, { body: {} })
    expect([started.status, started.body.status]).toEqual([201, 'running'])
    const one = `${builds}/${started.body.build_id}`
    expect((await bench.ask('platform-builder', `POST ${one}/pin`)).status).toBe(409)
    bench.pass(60)
    expect((await bench.ask('platform-builder', `GET ${one}`)).body.status).toBe('succeeded')
    expect((await bench.ask('platform-builder', `POST ${one}/pin`)).body.pinned).toBe(true)
    expect((await bench.ask('platform-builder', `GET ${builds}?active=true`)).body.items).toMatchObject([
      { build_id: started.body.build_id },
    ])
  })
})

describe('scans and reviews', () => {
  it('runs a scan for two minutes, and starts one session for a finding', async () => {
    const started = await bench.ask('fleet', 'POST /v3/enterprise/organizations/org-payments/code-scans', {
      body: { repo_name: 'corp/ledger' },
    })
    expect([started.status, started.body.status]).toEqual([201, 'running'])
    bench.pass(120)
    const list = await bench.ask(
      'fleet',
      'GET /v3/enterprise/code-scans/scans?repo_name=corp/ledger&org_ids=org-payments',
    )
    expect(names(list, 'status')).toEqual(['completed'])
    const remediate = 'POST /v3/enterprise/organizations/org-payments/code-scans/scan-1/findings/finding-1/remediate'
    const fixed = await bench.ask('fleet', remediate)
    expect((await bench.ask('payments-reader', `GET ${PAYMENTS}/sessions/${fixed.body.session_id}`)).body.origin).toBe(
      'code_scan',
    )
    expect((await bench.ask('fleet', remediate)).status).toBe(409)
  })

  it('refuses a scan when twenty are under way', async () => {
    const start = (): Promise<Asked> =>
      bench.ask('platform-builder', 'POST /v3/organizations/org-platform/code-scans', {
        body: { repo_name: 'corp/infra' },
      })
    for (let count = 0; count < 20; count += 1) expect((await start()).status).toBe(201)
    expect((await start()).status).toBe(409)
  })

  it('reviews a pull request, one at a time', async () => {
    const url = 'https://github.com/corp/infra/pull/12'
    const reviews = '/v3/organizations/org-platform/pr-reviews'
    const get = (): Promise<Asked> => bench.ask('platform-builder', `GET ${reviews}?pr_url=${encodeURIComponent(url)}`)
    expect((await get()).status).toBe(404)
    const start = (): Promise<Asked> => bench.ask('platform-builder', `POST ${reviews}`, { body: { pr_url: url } })
    expect((await start()).body).toMatchObject({
      pr_number: 12,
      repo_path: 'corp/infra',
      created_at: '2026-10-05T12:00:00.000Z',
    })
    expect((await start()).status).toBe(409)
    bench.pass(30)
    expect((await get()).body.status).toBe('completed')
  })
})

describe('outposts', () => {
  const QUEUE = '/opbeta/outposts/devins'
  const first = `${QUEUE}/devin-5a1f00000000000000000000000000f1`

  it('claims for five minutes, to one acceptor, and pages with its own cursor name', async () => {
    const claim = (acceptor_id: string): Promise<Asked> =>
      bench.ask('fleet', `POST ${first}/claim`, { body: { acceptor_id } })
    const { body } = await claim('one')
    expect(body.status).toMatchObject({
      phase: 'claimed',
      acceptor_id: 'one',
      claim_deadline: '2026-10-05T12:05:00.000Z',
    })
    expect(body.status.connect_token).toMatch(/^[\w-]{22}$/)
    expect((await claim('two')).status).toBe(409)
    const list = await bench.ask('fleet', `GET ${QUEUE}?phase=claimed`)
    expect([list.body.total, list.body.items[0].status.connect_token]).toEqual([1, undefined])
    bench.pass(300)
    expect((await claim('two')).status).toBe(200)
    expect((await bench.ask('fleet', `POST ${first}/release`, { body: { acceptor_id: 'one' } })).status).toBe(409)
    expect(typeof (await bench.ask('fleet', `GET ${QUEUE}`)).body.cursor).toBe('string')
  })

  it('streams what there is and every change as server-sent events', async () => {
    const response = await fetch(`${bench.origin}${QUEUE}?watch=true&phase=pending`, {
      headers: { authorization: `Bearer ${keyOf('fleet')}` },
    })
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const reader = (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    const until = async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(text)) text += (await reader.read()).value ?? ''
    }
    await until(/event: MODIFIED[^]*f1"[^]*event: MODIFIED[^]*f2"[^]*\n\n/)
    expect(text.startsWith(': keepalive\n\n')).toBe(true)
    await bench.ask('fleet', `POST ${first}/claim`, { body: { acceptor_id: 'one' } })
    await until(/event: DELETED\ndata: .*f1".*\n\n/)
    await bench.close()
    await expect(reader.read()).rejects.toThrow()
    bench = await startBench({ world: testWorld() })
  })
})
