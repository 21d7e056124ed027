// Every operation of the catalogue, once with a key that may and once with keys that may not.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { devinApi, type OperationEntry } from '../../src/catalogue/data.ts'
import { acceptedPermissions } from '../../src/sandbox/simulator/company/credentials.ts'
import type { World, WorldItem, WorldServiceUser } from '../../src/sandbox/world/types.ts'
import { keyOf, startBench, testWorld, upload, type Asked, type Bench } from './simulator-support.ts'

const names = devinApi.permissions.map((permission) => permission.name)
const implied = new Map(devinApi.permissions.map(({ name, implies }) => [name, implies]))

function holder(id: string, organization: string | null, permissions: readonly string[]): WorldServiceUser {
  return {
    id,
    name: id,
    scope: organization === null ? 'enterprise' : 'organization',
    organization,
    permissions,
    keys: [keyOf(id)],
  }
}

// The sandbox has no enterprise blueprint, no uploaded file and no automation; the sweep needs one of each to read.
const extra: readonly WorldItem[] = [
  {
    kind: 'blueprints',
    organization: null,
    id: 'blueprint-ent',
    daysAgo: 1,
    fields: { type: 'enterprise', repo_name: null },
  },
  {
    kind: 'blueprint-files',
    organization: null,
    id: 'file-ent',
    daysAgo: 1,
    fields: { blueprint_id: 'blueprint-ent', name: 'a' },
  },
  {
    kind: 'blueprint-files',
    organization: 'org-platform',
    id: 'file-org',
    daysAgo: 1,
    fields: { blueprint_id: 'blueprint-infra', name: 'a' },
  },
  { kind: 'automations', organization: 'org-payments', id: 'automation-1', daysAgo: 1, fields: { name: 'a' } },
]

function sweepWorld(): World {
  const world = testWorld()
  const all = [
    holder('all-enterprise', null, names),
    holder('all-payments', 'org-payments', names),
    holder('all-platform', 'org-platform', names),
  ]
  return { ...world, items: [...world.items, ...extra], serviceUsers: [...world.serviceUsers, ...all] }
}

const parameters: Readonly<Record<string, string>> = {
  devin_id: 'devin-5a1f00000000000000000000000000a2',
  session_id: 'devin-5a1f00000000000000000000000000a2',
  connection_id: 'git-connection-github',
  git_permission_id: 'git-permission-payments',
  idp_group_name: 'sso-payments-eng',
  user_id: 'email|65f0a1',
  service_user_id: 'payments-runner',
  playbook_id: 'playbook-refunds',
  note_id: 'note-ledger',
  schedule_id: 'schedule-nightly',
  secret_id: 'secret-registry',
  repository_path: 'corp/payments-api',
  branch_name: 'main',
  build_id: 'build-1',
  scan_id: 'scan-1',
  finding_id: 'finding-1',
  profile_id: 'profile-default',
  automation_id: 'automation-1',
  outpost_id: 'outpost_env-main',
  tier_id: 'tier-1',
  tag: 'blue',
}

const members: Readonly<Record<string, unknown>> = {
  tags: ['blue'],
  idp_group_names: ['sso-new'],
  ip_ranges: ['192.0.2.0/24'],
  emails: ['new.person@corp.example'],
  enterprise_role_id: 'role-account-viewer',
  groups: { teams: { org_ids: ['org-payments'], max_cycle_acus: 5 } },
  permissions: [{ git_connection_id: 'git-connection-github', repo_path: 'corp/ledger' }],
  type: 'key-value',
  cycle_acu_limit: 10,
  ttl_seconds: 3600,
  pr_url: 'https://github.com/corp/ledger/pull/8',
  repositories: [{ repository_path: 'corp/ledger', branch_names: ['main'] }],
  repository_paths: ['corp/ledger'],
  profile_id: 'profile-default',
  triggers: [{ type: 'webhook:incoming' }],
  actions: [{ type: 'session' }],
  run_as: 'organization',
  repo_name: 'corp/ledger',
}

const bounds = 'time_after=1790000000&time_before=1791000000'
const queries: Readonly<Record<string, string>> = {
  'org.pr-reviews.get': `pr_url=${encodeURIComponent('https://github.com/corp/ledger/pull/8')}`,
  'ent.pr-reviews.get': `pr_url=${encodeURIComponent('https://github.com/corp/ledger/pull/8')}`,
  'beta.org.blueprints.files.upload': 'name=settings',
  'beta.ent.blueprints.files.upload': 'name=settings',
}

/** What must have happened before, by operation. */
const before: Readonly<Record<string, string>> = {
  'ent.consumption.acu-limits.devin.organizations.delete': 'ent.consumption.acu-limits.devin.organizations.set',
  'ent.organizations.tags.delete': 'ent.organizations.tags.append',
  'beta.ent.acu-limits.local-agent.delete-user': 'beta.ent.acu-limits.local-agent.set-user',
  'beta.ent.blueprints.create': 'beta.ent.blueprints.delete',
  'org.pr-reviews.get': 'org.pr-reviews.create',
  'ent.pr-reviews.get': 'ent.pr-reviews.create',
  'outposts.devins.release': 'outposts.devins.claim',
  'org.attachments.download': 'org.attachments.upload',
  'beta.org.builds.cancel': 'beta.org.builds.trigger',
  'beta.ent.service-users.api-keys.revoke': 'beta.ent.service-users.api-keys.list',
  'beta.ent.service-users.api-keys.rotate': 'beta.ent.service-users.api-keys.list',
}

function special(id: string): Readonly<Record<string, string>> {
  if (id === 'ent.idp-groups.delete') return { idp_group_name: 'sso-contractors' }
  if (id.startsWith('beta.ent.blueprints')) return { blueprint_id: 'blueprint-ent', file_id: 'file-ent' }
  if (id.startsWith('beta.org.blueprints')) return { blueprint_id: 'blueprint-infra', file_id: 'file-org' }
  if (id.startsWith('beta.org.security-profiles')) return { profile_id: 'security-profile-ledger' }
  if (id.startsWith('beta.ent.security-profiles')) return { profile_id: 'security-profile-baseline' }
  if (id.startsWith('ent.playbooks')) return { playbook_id: 'playbook-upgrade' }
  if (id.startsWith('outposts.devins')) return { session_id: 'devin-5a1f00000000000000000000000000f1' }
  if (id === 'ent.members.service-users.get') return { service_user_id: 'analytics' }
  return {}
}

function organizationOf(id: string): string {
  return /^beta\.org\.(blueprints|builds)/.test(id) ? 'org-platform' : 'org-payments'
}

function targetOf(operation: OperationEntry, found: Readonly<Record<string, string>> = {}): string {
  const values: Readonly<Record<string, string>> = {
    ...parameters,
    ...special(operation.id),
    org_id: organizationOf(operation.id),
    ...found,
  }
  const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(values[name] ?? `missing-${name}`),
  )
  const query =
    queries[operation.id] ?? (operation.path.includes('/metrics/') || operation.path.endsWith('/metrics') ? bounds : '')
  return `${operation.method} ${path}${query === '' ? '' : `?${query}`}`
}

function bodyOf(operation: OperationEntry): unknown {
  if (operation.body.some((member) => member.type.startsWith('binary'))) return upload('contents')
  const required = operation.body.filter((member) => member.required)
  const role = operation.path.includes('/organizations/') ? 'role-org-member' : 'role-account-viewer'
  const value = (name: string): unknown => (name === 'role_id' ? role : (members[name] ?? 'example'))
  return operation.method === 'GET' ? undefined : Object.fromEntries(required.map(({ name }) => [name, value(name)]))
}

/** Performs an operation, and first what it presupposes. */
async function perform(bench: Bench, operation: OperationEntry): Promise<Asked> {
  const user = operation.scope === 'organization' ? `all-${organizationOf(operation.id).slice(4)}` : 'all-enterprise'
  const earlier = devinApi.operations.find(({ id }) => id === before[operation.id])
  const prepared = earlier === undefined ? null : (await perform(bench, earlier)).body
  const found: Record<string, string> = {}
  if (prepared?.attachment_id !== undefined) Object.assign(found, { uuid: prepared.attachment_id, name: prepared.name })
  if (prepared?.items?.[0]?.api_key_id !== undefined) found['api_key_id'] = prepared.items[0].api_key_id
  if (prepared?.build_id !== undefined) found['build_id'] = prepared.build_id
  return bench.ask(user, targetOf(operation, found), { body: bodyOf(operation) })
}

describe('with a key that holds the permission', () => {
  it.each(devinApi.operations.map((operation) => [operation.id, operation] as const))(
    '%s succeeds',
    async (_, operation) => {
      const bench = await startBench({ world: sweepWorld() })
      try {
        const answer = await perform(bench, operation)
        expect(operation.success, JSON.stringify(answer.body)).toContain(answer.status)
        if (operation.paginated) expect(answer.body.items).toBeInstanceOf(Array)
        if (operation.response?.endsWith('[]') === true) expect(answer.body).toBeInstanceOf(Array)
        if (answer.status === 204) expect(answer.headers.get('content-type')).toBeNull()
      } finally {
        await bench.close()
      }
    },
  )
})

describe('with every permission but those that suffice', () => {
  const guarded = devinApi.operations.filter(
    (operation) => acceptedPermissions(operation).length > 0 && operation.permission !== 'ReadAccountMeta',
  )
  let bench: Bench
  beforeAll(async () => {
    const world = testWorld()
    const lacking = guarded.flatMap((operation) => {
      const accepted = new Set(acceptedPermissions(operation))
      const others = names.filter((name) => !accepted.has(name))
      const organization = operation.scope === 'organization' ? organizationOf(operation.id) : null
      // An enterprise key also lacks what would give the permission by inheritance.
      const enterprise = others.filter((name) => !accepted.has(implied.get(name) ?? ''))
      return [holder(`${operation.id}-org`, organization, others), holder(`${operation.id}-ent`, null, enterprise)]
    })
    bench = await startBench({ world: { ...world, serviceUsers: [...world.serviceUsers, ...lacking] } })
  })
  afterAll(() => bench.close())

  it.each(guarded.map((operation) => [operation.id, operation] as const))('%s is refused', async (id, operation) => {
    for (const level of ['org', 'ent']) {
      const answer = await bench.ask(`${id}-${level}`, targetOf(operation))
      expect([answer.status, answer.body.title], level).toEqual([403, 'Forbidden'])
    }
  })
})
