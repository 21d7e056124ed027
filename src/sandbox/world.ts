// The sandbox company as data: who exists, who may do what, and what was there before the first request. The simulator is
// started with it; tests make worlds of their own. Times are ages, so the data suits whatever clock the simulator gets.

import type { Item } from './simulator/call.ts'
import type { Kind } from './simulator/state.ts'

export interface WorldRole {
  readonly id: string
  readonly name: string
  readonly type: 'enterprise' | 'org'
  readonly permissions: readonly string[]
}

/** A role in one organization, or (null) at enterprise level. */
export interface WorldAssignment {
  readonly role: string
  readonly organization: string | null
}

export interface WorldUser {
  readonly id: string
  readonly email: string
  readonly name: string | null
  readonly assignments: readonly WorldAssignment[]
  /** IdP groups the user belongs to. */
  readonly groups: readonly string[]
}

export interface WorldServiceUser {
  readonly id: string
  readonly name: string
  readonly scope: 'enterprise' | 'organization'
  readonly organization: string | null
  readonly permissions: readonly string[]
  /** Key values that work from the start. */
  readonly keys: readonly string[]
}

export interface WorldSession {
  readonly id: string
  readonly organization: string
  readonly title: string
  /** `new` and `running` go on living by the clock; the others stand still. */
  readonly state: 'new' | 'running' | 'suspended' | 'exit' | 'error'
  readonly minutesAgo: number
  readonly acus: number
  readonly tags: readonly string[]
  readonly repos: readonly string[]
  readonly pullRequests: readonly { readonly url: string; readonly state: string }[]
  readonly user: string | null
  readonly serviceUser: string | null
  readonly archived: boolean
}

/** An object as the API shows it, without its id and times. */
export interface WorldItem {
  readonly kind: Kind
  /** Null: it belongs to the enterprise. */
  readonly organization: string | null
  readonly id: string
  readonly daysAgo: number
  readonly fields: Item
}

export interface WorldConsumption {
  readonly daysAgo: number
  readonly organization: string
  readonly user: string | null
  readonly serviceUser: string | null
  readonly acus: number
}

export interface World {
  readonly organizations: readonly { readonly id: string; readonly name: string }[]
  readonly roles: readonly WorldRole[]
  readonly users: readonly WorldUser[]
  readonly idpGroups: readonly { readonly name: string; readonly assignments: readonly WorldAssignment[] }[]
  readonly serviceUsers: readonly WorldServiceUser[]
  readonly sessions: readonly WorldSession[]
  readonly items: readonly WorldItem[]
  readonly consumption: readonly WorldConsumption[]
  readonly auditLogs: readonly (Item & { readonly daysAgo: number })[]
}

const SESSIONS = ['ViewOrgSessions', 'ManageOrgSessions', 'UseDevinSessions']
const LIBRARY = ['ManageOrgKnowledge', 'ManageOrgPlaybooks', 'ManageOrgSchedules', 'ManageOrgSecrets']

const inOrganization = (id: string, organization: string, name: string, permissions: readonly string[]) =>
  ({ id, name, scope: 'organization', organization, permissions }) as const
const inEnterprise = (id: string, name: string, permissions: readonly string[]) =>
  ({ id, name, scope: 'enterprise', organization: null, permissions }) as const

/** The service users of the sandbox. Each id is also the id of its key in `policies/keys.yaml`. */
export const sandboxServiceUsers: readonly Omit<WorldServiceUser, 'keys'>[] = [
  inOrganization('payments-runner', 'org-payments', 'Payments runner', SESSIONS),
  inOrganization('payments-reader', 'org-payments', 'Payments reader', [
    'ViewOrgSessions',
    'ViewOrgConsumption',
    'ViewOrgMetrics',
  ]),
  inOrganization('payments-impersonator', 'org-payments', 'Payments on behalf of people', [
    ...SESSIONS,
    'ImpersonateOrgSessions',
  ]),
  inOrganization('payments-knowledge', 'org-payments', 'Payments librarian', LIBRARY),
  inOrganization('platform-runner', 'org-platform', 'Platform runner', [...SESSIONS, ...LIBRARY]),
  inOrganization('platform-builder', 'org-platform', 'Platform builder', [
    ...[
      'Read',
      'IndexOrgRepositories',
      'ManageRepoBlueprints',
      'ManageOrgSnapshots',
      'ViewOrgAutomations',
      'ManageOrgAutomations',
    ],
    ...['ViewCodeScans', 'UseCodeScans', 'UseReviewManual', 'ViewOrgMembership', 'ManageOrgServiceUsers'],
  ]),
  inOrganization('research-runner', 'org-research', 'Research runner', SESSIONS),
  inEnterprise('analytics', 'Analytics', [
    'ViewAccountMetrics',
    'ViewAccountConsumption',
    'ManageBilling',
    'ViewAccountSessions',
  ]),
  inEnterprise('directory', 'Directory', ['ManageOrganizations', 'ViewAccountMembership', 'ManageAccountMembership']),
  inEnterprise('auditor', 'Auditor', ['ManageEnterpriseSettings']),
  inEnterprise('fleet', 'Fleet', [
    ...[
      'ViewAccountSessions',
      'ManageAccountSessions',
      'ManageAccountKnowledge',
      'ManageAccountPlaybooks',
      'ManageGitIntegrations',
    ],
    ...[
      'ManageAccountServiceUsers',
      'ManageAccountSnapshots',
      'ViewAccountCodeScans',
      'UseAccountCodeScans',
      'UseReviewManual',
    ],
    ...['UseOutpostsMachine', 'ManageOutpostsOrchestrator', 'ViewEnterpriseInfraDetails'],
  ]),
]

const roles: readonly WorldRole[] = [
  {
    id: 'role-account-admin',
    name: 'Account admin',
    type: 'enterprise',
    permissions: ['ManageOrganizations', 'ManageAccountMembership'],
  },
  { id: 'role-account-viewer', name: 'Account viewer', type: 'enterprise', permissions: ['ViewAccountSessions'] },
  { id: 'role-org-admin', name: 'Admin', type: 'org', permissions: [...SESSIONS, ...LIBRARY, 'ManageOrgMembership'] },
  { id: 'role-org-member', name: 'Member', type: 'org', permissions: ['UseDevinSessions', 'ViewOrgSessions'] },
  { id: 'role-deepwiki', name: 'DeepWiki Only', type: 'org', permissions: ['Read'] },
]

const person = (
  id: string,
  name: string,
  organizations: readonly string[],
  groups: readonly string[] = [],
  role = 'role-org-member',
): WorldUser => ({
  id,
  email: `${name.toLowerCase().replaceAll(' ', '.')}@corp.example`,
  name,
  assignments: organizations.map((organization) => ({ role, organization })),
  groups,
})

const users: readonly WorldUser[] = [
  person('email|65f0a1', 'Ada Okafor', ['org-payments'], ['sso-payments-eng'], 'role-org-admin'),
  person('email|65f0a2', 'Ben Ruiz', ['org-payments'], ['sso-payments-eng']),
  person('okta|Corp|00u1c3', 'Chen Wei', ['org-payments', 'org-platform'], ['Corp/Platform Engineering']),
  person('okta|Corp|00u1d4', 'Dana Levi', ['org-platform'], ['Corp/Platform Engineering'], 'role-org-admin'),
  person('okta|Corp|00u1e5', 'Elif Kaya', ['org-platform'], ['Corp/Platform Engineering']),
  person('okta|Corp|00u1f6', 'Farid Nasser', [], ['Corp/Platform Engineering']),
  person('email|65f0a7', 'Greta Holm', ['org-research'], ['sso-research'], 'role-org-admin'),
  person('email|65f0a8', 'Hugo Petit', ['org-research'], ['sso-research']),
  person('google-oauth2|1108', 'Ines Costa', ['org-research'], ['sso-research'], 'role-deepwiki'),
  person('google-oauth2|1109', 'Jonas Berg', ['org-payments', 'org-research']),
  { ...person('email|65f0b1', 'Kim Park', []), assignments: [{ role: 'role-account-admin', organization: null }] },
  { ...person('email|65f0b2', 'Lena Vogt', []), assignments: [{ role: 'role-account-viewer', organization: null }] },
]

const idpGroups: World['idpGroups'] = [
  { name: 'sso-payments-eng', assignments: [{ role: 'role-org-member', organization: 'org-payments' }] },
  { name: 'Corp/Platform Engineering', assignments: [{ role: 'role-org-member', organization: 'org-platform' }] },
  { name: 'sso-research', assignments: [{ role: 'role-org-member', organization: 'org-research' }] },
  { name: 'sso-contractors', assignments: [] },
]

const ended = { tags: [], repos: [], pullRequests: [], user: null, serviceUser: null, archived: false }
const sessions: readonly WorldSession[] = [
  {
    ...ended,
    id: 'devin-5a1f00000000000000000000000000a1',
    organization: 'org-payments',
    title: 'Upgrade the card-vault client',
    state: 'running',
    minutesAgo: 0.5,
    acus: 0,
    tags: ['team:payments', 'upgrade'],
    repos: ['corp/payments-api'],
    serviceUser: 'payments-runner',
  },
  {
    ...ended,
    id: 'devin-5a1f00000000000000000000000000a2',
    organization: 'org-payments',
    title: 'Find the flaky refund test',
    state: 'suspended',
    minutesAgo: 190,
    acus: 3.2,
    tags: ['team:payments', 'flaky'],
    repos: ['corp/payments-api'],
    user: 'email|65f0a1',
  },
  {
    ...ended,
    id: 'devin-5a1f00000000000000000000000000a3',
    organization: 'org-payments',
    title: 'Write the ledger migration',
    state: 'exit',
    minutesAgo: 3000,
    acus: 11.5,
    tags: ['team:payments'],
    repos: ['corp/ledger'],
    pullRequests: [{ url: 'https://github.com/corp/ledger/pull/7', state: 'merged' }],
    serviceUser: 'payments-runner',
  },
  {
    ...ended,
    id: 'devin-5a1f00000000000000000000000000a4',
    organization: 'org-payments',
    title: 'Remove the old webhook',
    state: 'exit',
    minutesAgo: 30000,
    acus: 2,
    serviceUser: 'payments-runner',
    archived: true,
  },
  {
    ...ended,
    id: 'devin-5a1f00000000000000000000000000b1',
    organization: 'org-platform',
    title: 'Move CI to the new runners',
    state: 'running',
    minutesAgo: 20,
    acus: 4.1,
    tags: ['ci'],
    repos: ['corp/infra'],
    user: 'okta|Corp|00u1d4',
  },
  {
    ...ended,
    id: 'devin-5a1f00000000000000000000000000b2',
    organization: 'org-platform',
    title: 'Patch base images',
    state: 'error',
    minutesAgo: 800,
    acus: 0.4,
    tags: ['security'],
    repos: ['corp/infra'],
    serviceUser: 'platform-runner',
  },
  {
    ...ended,
    id: 'devin-5a1f00000000000000000000000000c1',
    organization: 'org-research',
    title: 'Reproduce the ablation of paper 12',
    state: 'exit',
    minutesAgo: 1500,
    acus: 22.7,
    tags: ['paper'],
    repos: ['corp/models'],
    user: 'email|65f0a7',
  },
  {
    ...ended,
    id: 'devin-5a1f00000000000000000000000000c2',
    organization: 'org-research',
    title: 'Plot the training curves',
    state: 'suspended',
    minutesAgo: 400,
    acus: 1.1,
    serviceUser: 'research-runner',
  },
]

const note = { macro: null, pinned_repo: null, folder_id: null, folder_path: '', is_enabled: true }
const by = { created_by: 'email|65f0a1', updated_by: 'email|65f0a1' }
const schedule = {
  ...{
    enabled: true,
    agent: 'devin',
    schedule_type: 'recurring',
    scheduled_at: null,
    notify_on: 'failure',
    interval_count: 1,
    tags: [],
    playbook: null,
  },
  ...{
    consecutive_failures: 0,
    last_error_message: null,
    last_executed_at: null,
    last_error_at: null,
    created_by: 'email|65f0a1',
  },
}
const indexed = { indexing_enabled: true, branches: ['main'] }

const items: readonly WorldItem[] = [
  {
    kind: 'folders',
    organization: 'org-payments',
    id: 'folder-ledger',
    daysAgo: 90,
    fields: { name: 'Ledger', path: 'Ledger', parent_folder_id: null },
  },
  {
    kind: 'notes',
    organization: 'org-payments',
    id: 'note-ledger',
    daysAgo: 80,
    fields: {
      ...note,
      name: 'Ledger rules',
      body: 'Amounts are integers in cents.',
      trigger: 'When working on the ledger',
      folder_id: 'folder-ledger',
      folder_path: 'Ledger',
      org_id: 'org-payments',
      access_type: 'org',
    },
  },
  {
    kind: 'notes',
    organization: 'org-platform',
    id: 'note-runners',
    daysAgo: 40,
    fields: {
      ...note,
      name: 'CI runners',
      body: 'Use the label linux-large for builds.',
      trigger: 'When editing workflows',
      org_id: 'org-platform',
      access_type: 'org',
    },
  },
  {
    kind: 'notes',
    organization: null,
    id: 'note-style',
    daysAgo: 200,
    fields: {
      ...note,
      name: 'House style',
      body: 'Small commits, tests first.',
      trigger: 'Always',
      org_id: null,
      access_type: 'enterprise',
    },
  },
  {
    kind: 'playbooks',
    organization: null,
    id: 'playbook-upgrade',
    daysAgo: 150,
    fields: {
      title: 'Upgrade a dependency',
      body: '1. Read the changelog. 2. Upgrade. 3. Run all tests.',
      macro: '!upgrade',
      org_id: null,
      access_type: 'enterprise',
      structured_output_schema: null,
      ...by,
    },
  },
  {
    kind: 'playbooks',
    organization: 'org-payments',
    id: 'playbook-refunds',
    daysAgo: 60,
    fields: {
      title: 'Check refunds',
      body: 'Compare the ledger with the bank file.',
      macro: null,
      org_id: 'org-payments',
      access_type: 'org',
      structured_output_schema: null,
      ...by,
    },
  },
  {
    kind: 'secrets',
    organization: 'org-payments',
    id: 'secret-registry',
    daysAgo: 120,
    fields: {
      key: 'REGISTRY_TOKEN',
      note: 'Read only',
      secret_type: 'key-value',
      is_sensitive: true,
      access_type: 'org',
      created_by: 'email|65f0a1',
    },
  },
  {
    kind: 'schedules',
    organization: 'org-payments',
    id: 'schedule-nightly',
    daysAgo: 30,
    fields: {
      ...schedule,
      org_id: 'org-payments',
      name: 'Nightly refund check',
      prompt: 'Run the refund playbook',
      frequency: '0 3 * * *',
    },
  },
  {
    kind: 'schedules',
    organization: 'org-platform',
    id: 'schedule-images',
    daysAgo: 30,
    fields: {
      ...schedule,
      org_id: 'org-platform',
      name: 'Weekly base images',
      prompt: 'Update the base images',
      frequency: '0 6 * * 1',
    },
  },
  {
    kind: 'git-connections',
    organization: null,
    id: 'git-connection-github',
    daysAgo: 300,
    fields: { git_provider_type: 'github', host: 'github.com', name: 'corp' },
  },
  {
    kind: 'git-permissions',
    organization: 'org-payments',
    id: 'git-permission-payments',
    daysAgo: 300,
    fields: {
      git_connection_id: 'git-connection-github',
      repo_path: 'corp/payments-api',
      prefix_path: null,
      group_prefix: null,
      read_only: false,
    },
  },
  ...['payments-api', 'ledger'].map(
    (name) =>
      ({
        kind: 'repositories',
        organization: 'org-payments',
        id: `corp/${name}`,
        daysAgo: 300,
        fields: indexed,
      }) as const,
  ),
  { kind: 'repositories', organization: 'org-platform', id: 'corp/infra', daysAgo: 300, fields: indexed },
  {
    kind: 'repositories',
    organization: 'org-research',
    id: 'corp/models',
    daysAgo: 300,
    fields: { indexing_enabled: false, branches: [] },
  },
  {
    kind: 'blueprints',
    organization: 'org-platform',
    id: 'blueprint-infra',
    daysAgo: 50,
    fields: { type: 'repo', repo_name: 'corp/infra' },
  },
  {
    kind: 'builds',
    organization: 'org-platform',
    id: 'build-1',
    daysAgo: 2,
    fields: { status: 'succeeded', trigger: 'auto', pinned: false, triggered_by_user_id: null },
  },
  ...[null, 'org-payments', 'org-platform', 'org-research'].map(
    (organization) =>
      ({
        kind: 'scan-profiles',
        organization,
        id: 'profile-default',
        daysAgo: 100,
        fields: { name: 'Default', mode: 'scan', description: 'Everything, every severity' },
      }) as const,
  ),
  {
    kind: 'code-scans',
    organization: 'org-payments',
    id: 'scan-1',
    daysAgo: 5,
    fields: {
      org_id: 'org-payments',
      repo_name: 'corp/payments-api',
      host: null,
      scan_type: 'security',
      status: 'completed',
      profile: null,
    },
  },
  {
    kind: 'findings',
    organization: 'org-payments',
    id: 'finding-1',
    daysAgo: 5,
    fields: {
      scan_id: 'scan-1',
      org_id: 'org-payments',
      repo_name: 'corp/payments-api',
      title: 'Unescaped column name',
      severity: 'high',
      status: 'open',
    },
  },
  {
    kind: 'guardrail-violations',
    organization: 'org-payments',
    id: 'violation-1',
    daysAgo: 3,
    fields: {
      org_id: 'org-payments',
      session_id: 'devin-5a1f00000000000000000000000000a2',
      guardrail_id: 'no-production-data',
      user_message: 'Copy the customer table',
      reasoning: 'The message asks for production data.',
    },
  },
  {
    kind: 'hypervisors',
    organization: null,
    id: 'hypervisor-1',
    daysAgo: 0,
    fields: { status: 'healthy', utilization_percentage: 41.5 },
  },
  {
    kind: 'hypervisors',
    organization: null,
    id: 'hypervisor-2',
    daysAgo: 0,
    fields: { status: 'draining', utilization_percentage: 3 },
  },
  {
    kind: 'outposts',
    organization: null,
    id: 'outpost_env-main',
    daysAgo: 20,
    fields: { name: 'main', platform: 'linux', description: null },
  },
  ...['devin-5a1f00000000000000000000000000f1', 'devin-5a1f00000000000000000000000000f2'].map(
    (id) =>
      ({
        kind: 'outpost-devins',
        organization: null,
        id,
        daysAgo: 0,
        fields: { outpost_id: 'outpost_env-main', phase: 'pending', acceptor_id: null, claim_deadline: null },
      }) as const,
  ),
]

/** Ninety days of consumption: work on weekdays, little at weekends, the same in every run. */
function consumption(): WorldConsumption[] {
  const shares = [
    { organization: 'org-payments', user: 'email|65f0a1', serviceUser: null, acus: 6 },
    { organization: 'org-payments', user: null, serviceUser: 'payments-runner', acus: 9 },
    { organization: 'org-platform', user: 'okta|Corp|00u1d4', serviceUser: null, acus: 4 },
    { organization: 'org-platform', user: null, serviceUser: 'platform-runner', acus: 5 },
    { organization: 'org-research', user: 'email|65f0a7', serviceUser: null, acus: 12 },
  ]
  return Array.from({ length: 90 }, (_, index) => index + 1).flatMap((daysAgo) =>
    shares.map((share) => ({
      ...share,
      daysAgo,
      acus: daysAgo % 7 < 2 ? share.acus / 10 : share.acus + (daysAgo % 3),
    })),
  )
}

const actor = { org_id: null, user_id: null, user_email: null, service_user_id: null, service_user_name: null }
const auditLogs: World['auditLogs'] = [
  {
    daysAgo: 40,
    audit_log_id: 'audit-1',
    action: 'create_organization',
    data: { org_id: 'org-research' },
    ...actor,
    user_id: 'email|65f0b1',
    user_email: 'kim.park@corp.example',
  },
  {
    daysAgo: 9,
    audit_log_id: 'audit-2',
    action: 'create_secret',
    data: { key: 'REGISTRY_TOKEN' },
    ...actor,
    org_id: 'org-payments',
    user_id: 'email|65f0a1',
    user_email: 'ada.okafor@corp.example',
  },
  {
    daysAgo: 2,
    audit_log_id: 'audit-3',
    action: 'create_session',
    data: {},
    ...actor,
    org_id: 'org-payments',
    service_user_id: 'payments-runner',
    service_user_name: 'Payments runner',
  },
]

/** The sandbox company. `keyValues` gives each service user its key by id; one without a value has no key yet. */
export function createSandboxWorld(keyValues: Readonly<Record<string, string>>): World {
  const serviceUsers = sandboxServiceUsers.map((user) => {
    const value = keyValues[user.id]
    return { ...user, keys: value === undefined ? [] : [value] }
  })
  const organizations = [
    { id: 'org-payments', name: 'Payments' },
    { id: 'org-platform', name: 'Platform' },
    { id: 'org-research', name: 'Research' },
  ]
  return {
    organizations,
    roles,
    users,
    idpGroups,
    serviceUsers,
    sessions,
    items,
    consumption: consumption(),
    auditLogs,
  }
}
