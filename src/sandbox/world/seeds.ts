// What stood in the sandbox company before the first request: people, groups, sessions, and one or two objects of each kind.

import type { World, WorldAssignment, WorldConsumption, WorldItem, WorldSession, WorldUser } from './types.ts'
import type { Item } from '../simulator/state/item.ts'
import type { Kind } from '../simulator/state/kinds.ts'

const MEMBER = ['UseDevinSessions', 'ViewOrgSessions']
const ADMIN = [...MEMBER, 'ManageOrgSessions', 'ManageOrgKnowledge', 'ManageOrgPlaybooks', 'ManageOrgMembership']

/** The default roles of an organization and two of the enterprise. */
export const roles: World['roles'] = [
  { id: 'role-account-admin', name: 'Account admin', type: 'enterprise', permissions: ['ManageOrganizations'] },
  { id: 'role-account-viewer', name: 'Account viewer', type: 'enterprise', permissions: ['ViewAccountSessions'] },
  { id: 'role-org-admin', name: 'Admin', type: 'org', permissions: ADMIN },
  { id: 'role-org-member', name: 'Member', type: 'org', permissions: MEMBER },
  { id: 'role-deepwiki', name: 'DeepWiki Only', type: 'org', permissions: ['Read'] },
]

const PLATFORM = 'Corp/Platform Engineering'
const admin = (organization: string): WorldAssignment => ({ role: 'role-org-admin', organization })
const member = (organization: string): WorldAssignment => ({ role: 'role-org-member', organization })
const account = (role: string): WorldAssignment => ({ role, organization: null })

/** A dozen people with ids of all forms. */
export const users: readonly WorldUser[] = [
  person('email|65f0a1', 'Ada Okafor', ['sso-payments-eng'], admin('org-payments')),
  person('email|65f0a2', 'Ben Ruiz', ['sso-payments-eng'], member('org-payments')),
  person('okta|Corp|00u1c3', 'Chen Wei', [PLATFORM], member('org-payments'), member('org-platform')),
  person('okta|Corp|00u1d4', 'Dana Levi', [PLATFORM], admin('org-platform')),
  person('okta|Corp|00u1e5', 'Elif Kaya', [PLATFORM], member('org-platform')),
  person('okta|Corp|00u1f6', 'Farid Nasser', [PLATFORM]),
  person('email|65f0a7', 'Greta Holm', ['sso-research'], admin('org-research')),
  person('email|65f0a8', 'Hugo Petit', ['sso-research'], member('org-research')),
  person('google-oauth2|1108', 'Ines Costa', [], { role: 'role-deepwiki', organization: 'org-research' }),
  person('google-oauth2|1109', 'Jonas Berg', [], member('org-payments'), member('org-research')),
  person('email|65f0b1', 'Kim Park', [], account('role-account-admin')),
  person('email|65f0b2', 'Lena Vogt', [], account('role-account-viewer')),
]

function person(id: string, name: string, groups: readonly string[], ...assignments: WorldAssignment[]): WorldUser {
  return { id, email: `${name.toLowerCase().replace(' ', '.')}@corp.example`, name, assignments, groups }
}

/** Groups of the identity provider; one name holds a slash and a space. */
export const idpGroups: World['idpGroups'] = [
  { name: 'sso-payments-eng', assignments: [member('org-payments')] },
  { name: PLATFORM, assignments: [member('org-platform')] },
  { name: 'sso-research', assignments: [member('org-research')] },
  { name: 'sso-contractors', assignments: [] },
]

/** Sessions in different states in each organization. */
export const sessions: readonly WorldSession[] = [
  session('a1', 'org-payments', 'Upgrade the card-vault client', 'running', 0.5, {
    tags: ['team:payments', 'upgrade'],
  }),
  session('a2', 'org-payments', 'Find the flaky refund test', 'suspended', 190, { acus: 3.2, user: 'email|65f0a1' }),
  session('a3', 'org-payments', 'Write the ledger migration', 'exit', 3000, { acus: 11.5, repos: ['corp/ledger'] }),
  session('a4', 'org-payments', 'Remove the old webhook', 'exit', 30_000, { acus: 2, archived: true }),
  session('b1', 'org-platform', 'Move CI to the new runners', 'running', 20, {
    user: 'okta|Corp|00u1d4',
    tags: ['ci'],
  }),
  session('b2', 'org-platform', 'Patch the base images', 'error', 800, { acus: 0.4, tags: ['security'] }),
  session('c1', 'org-research', 'Reproduce the ablation', 'exit', 1500, { acus: 22.7, user: 'email|65f0a7' }),
  session('c2', 'org-research', 'Plot the training curves', 'suspended', 400, { acus: 1.1 }),
]

/** Sessions of no person were started by the runner of their organization; an ended one left a pull request. */
function session(
  suffix: string,
  organization: string,
  title: string,
  state: WorldSession['state'],
  minutesAgo: number,
  more: Partial<WorldSession>,
): WorldSession {
  const repo = more.repos?.[0] ?? 'corp/infra'
  return {
    id: `devin-5a1f${suffix.padStart(28, '0')}`,
    organization,
    title,
    state,
    minutesAgo,
    acus: 0,
    tags: [],
    repos: [repo],
    pullRequests: state === 'exit' ? [{ url: `https://github.com/${repo}/pull/7`, state: 'merged' }] : [],
    user: null,
    serviceUser: more.user === undefined ? `${organization.slice('org-'.length)}-runner` : null,
    archived: false,
    ...more,
  }
}

const NOTE = { macro: null, pinned_repo: null, folder_id: null, folder_path: '', is_enabled: true }
const IN_LEDGER = { folder_id: 'folder-ledger', folder_path: 'Ledger' }
const AUTHOR = { created_by: 'email|65f0a1', updated_by: 'email|65f0a1' }
const PLAYBOOK = { macro: null, structured_output_schema: null, ...AUTHOR }
const SECRET = { secret_type: 'key-value', is_sensitive: true, access_type: 'org', created_by: 'email|65f0a1' }
const RECURRING = { enabled: true, agent: 'devin', schedule_type: 'recurring', scheduled_at: null, interval_count: 1 }
const UNEVENTFUL = { notify_on: 'failure', consecutive_failures: 0, last_error_message: null, last_error_at: null }
const SCHEDULE = { ...RECURRING, ...UNEVENTFUL, last_executed_at: null, playbook: null, tags: [], ...AUTHOR }
const GIT = { git_connection_id: 'git-connection-github', prefix_path: null, group_prefix: null, read_only: false }
const INDEXED = { indexing_enabled: true, branches: ['main'] }
const SECURED = {
  net_policy: { allow: [{ hostname: 'github.com' }] },
  git_access_level: 'read_write',
  remove_github_cli_token: true,
}
const PROFILE = { name: 'Default', mode: 'scan', description: 'Everything, at every severity' }
const SCANNED = { org_id: 'org-payments', repo_name: 'corp/payments-api' }
const BUILD = { status: 'succeeded', trigger: 'auto', pinned: false, triggered_by_user_id: null }
const PENDING = { outpost_id: 'outpost_env-main', phase: 'pending', acceptor_id: null, claim_deadline: null }
const VIOLATION = {
  session_id: sessions[1]?.id,
  guardrail_id: 'no-production-data',
  user_message: 'Copy the customers',
}

const withOrganization: ReadonlySet<Kind> = new Set(['notes', 'playbooks', 'schedules'])

/** One or two objects of each kind. */
export const items: readonly WorldItem[] = [
  item('folders', 'org-payments', 'folder-ledger', { name: 'Ledger', path: 'Ledger', parent_folder_id: null }),
  item(
    'notes',
    'org-payments',
    'note-ledger',
    NOTE,
    IN_LEDGER,
    note('Ledger rules', 'Amounts are in cents.', 'In the ledger'),
  ),
  item('notes', 'org-platform', 'note-runners', NOTE, note('CI runners', 'Use the label linux-large.', 'In workflows')),
  item('notes', null, 'note-style', NOTE, note('House style', 'Small commits, tests first.', 'Always')),
  item('playbooks', null, 'playbook-upgrade', PLAYBOOK, {
    title: 'Upgrade a dependency',
    body: 'Read the changelog first.',
  }),
  item('playbooks', 'org-payments', 'playbook-refunds', PLAYBOOK, {
    title: 'Check refunds',
    body: 'Compare ledger and bank.',
  }),
  item('secrets', 'org-payments', 'secret-registry', SECRET, { key: 'REGISTRY_TOKEN', note: 'Read only' }),
  item('schedules', 'org-payments', 'schedule-nightly', SCHEDULE, task('Nightly refund check', '0 3 * * *')),
  item('schedules', 'org-platform', 'schedule-images', SCHEDULE, task('Weekly base images', '0 6 * * 1')),
  item('git-connections', null, 'git-connection-github', {
    git_provider_type: 'github',
    host: 'github.com',
    name: 'corp',
  }),
  item('git-permissions', 'org-payments', 'git-permission-payments', GIT, { repo_path: 'corp/payments-api' }),
  item('repositories', 'org-payments', 'corp/payments-api', INDEXED),
  item('repositories', 'org-payments', 'corp/ledger', INDEXED),
  item('repositories', 'org-platform', 'corp/infra', INDEXED),
  item('repositories', 'org-research', 'corp/models', { indexing_enabled: false, branches: [] }),
  item('blueprints', 'org-platform', 'blueprint-infra', {
    type: 'repo',
    repo_name: 'corp/infra',
    contents: 'steps: []',
  }),
  item('builds', 'org-platform', 'build-1', BUILD),
  item('security-profiles', null, 'security-profile-baseline', SECURED, { name: 'Baseline' }),
  item('security-profiles', 'org-payments', 'security-profile-ledger', SECURED, { name: 'Ledger' }),
  item('scan-profiles', 'org-payments', 'profile-default', PROFILE),
  item('scan-profiles', null, 'profile-default', PROFILE),
  item('code-scans', 'org-payments', 'scan-1', SCANNED, {
    host: null,
    scan_type: 'security',
    status: 'completed',
    profile: null,
  }),
  item('findings', 'org-payments', 'finding-1', SCANNED, {
    scan_id: 'scan-1',
    title: 'Open redirect',
    severity: 'high',
    status: 'open',
  }),
  item('guardrail-violations', 'org-payments', 'violation-1', VIOLATION, {
    reasoning: 'The message asks for personal data.',
  }),
  item('hypervisors', null, 'hypervisor-1', { status: 'healthy', utilization_percentage: 41.5 }),
  item('hypervisors', null, 'hypervisor-2', { status: 'draining', utilization_percentage: 3 }),
  item('outposts', null, 'outpost_env-main', { name: 'main', platform: 'linux', description: null }),
  item('outpost-devins', null, 'devin-5a1f00000000000000000000000000f1', PENDING),
  item('outpost-devins', null, 'devin-5a1f00000000000000000000000000f2', PENDING),
]

/** Everything is three days old: young enough to pin the build, old enough to have settled. */
function item(kind: Kind, organization: string | null, id: string, ...parts: Item[]): WorldItem {
  const level = { access_type: organization === null ? 'enterprise' : 'org' }
  const place = withOrganization.has(kind) ? { org_id: organization, ...(kind === 'schedules' ? {} : level) } : {}
  return { kind, organization, id, daysAgo: 3, fields: Object.assign({}, place, ...parts) }
}

function note(name: string, body: string, trigger: string): Item {
  return { name, body, trigger }
}

function task(name: string, frequency: string): Item {
  return { name, prompt: name, frequency }
}

const shares = [
  { organization: 'org-payments', user: 'email|65f0a1', serviceUser: null, acus: 6 },
  { organization: 'org-payments', user: null, serviceUser: 'payments-runner', acus: 9 },
  { organization: 'org-platform', user: 'okta|Corp|00u1d4', serviceUser: null, acus: 4 },
  { organization: 'org-platform', user: null, serviceUser: 'platform-runner', acus: 5 },
  { organization: 'org-research', user: 'email|65f0a7', serviceUser: null, acus: 12 },
]

/** Ninety days: much on five days of seven, little on the others, the same in every run. */
export const consumption: readonly WorldConsumption[] = Array.from({ length: 90 }, (_, index) => index + 1).flatMap(
  (daysAgo) =>
    shares.map((share) => ({
      ...share,
      daysAgo,
      acus: daysAgo % 7 < 2 ? share.acus / 10 : share.acus + (daysAgo % 3),
    })),
)

const NOBODY = { org_id: null, user_id: null, user_email: null, service_user_id: null, service_user_name: null }
const KIM = { user_id: 'email|65f0b1', user_email: 'kim.park@corp.example' }
const ADA = { user_id: 'email|65f0a1', user_email: 'ada.okafor@corp.example', org_id: 'org-payments' }

/** What happened before the start. */
export const auditLogs: World['auditLogs'] = [
  { audit_log_id: 'audit-1', action: 'create_organization', daysAgo: 40, data: {}, ...NOBODY, ...KIM },
  { audit_log_id: 'audit-2', action: 'create_secret', daysAgo: 9, data: { key: 'REGISTRY_TOKEN' }, ...NOBODY, ...ADA },
  { audit_log_id: 'audit-3', action: 'create_schedule', daysAgo: 2, data: {}, ...NOBODY, ...ADA },
]
