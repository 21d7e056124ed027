// What the gateway has to know about operations beyond what a catalogue of the API says: tables for people to read and
// amend. Applied by `import-catalogue.ts`; after a change here, run it again and commit the data with the table.

import type { LegacyEntry } from '../src/catalogue/data.ts'
import type { AnswerShape, ConditionalPermission } from '../src/catalogue/operation.ts'

/** Body members that act in a person's name, whatever the operation they belong to. */
export const IMPERSONATION_MEMBERS: readonly string[] = ['create_as_user_id', 'message_as_user_id', 'run_as_user_id']
export const IMPERSONATION_PERMISSION = 'ImpersonateOrgSessions'

/** Other permissions that hang on a body member, by operation. */
export const CONDITIONAL: Readonly<Record<string, readonly ConditionalPermission[]>> = {
  // Without a repository the blueprint is the organization's own.
  'beta.org.blueprints.create': [{ field: 'repo_name', when: 'absent', permission: 'ManageOrgSnapshots' }],
}

/** Query parameters that hold organization ids wherever an operation documents them. */
export const ORGANIZATION_QUERY: readonly string[] = ['org_id', 'org_ids']

/** Places in a body where an organization id may stand, by operation; `*` is every member of an object or array. */
export const ORGANIZATION_BODY: Readonly<Record<string, readonly string[]>> = {
  'ent.org-group-limits.replace': ['groups.*.org_ids.*'],
  'beta.ent.acu-limits.organizations.update': ['local_agent.billing_org_id'],
  'beta.ent.acu-limits.users.item.update': ['local_agent.billing_org_id'],
  'beta.ent.acu-limits.users.default.update': ['local_agent.billing_org_id'],
}

/**
 * Path parameters whose value may hold a slash, sent as `%2F`. Every other identifier is the upstream's own make and
 * holds none. `name` stands for a file's name, so it is listed by operation, not wherever a parameter is called so.
 */
export const SLASHES: readonly { parameter: string; operations: readonly string[] }[] = [
  { parameter: 'repository_path', operations: ['*'] },
  { parameter: 'branch_name', operations: ['*'] },
  { parameter: 'idp_group_name', operations: ['*'] },
  { parameter: 'tag', operations: ['*'] },
  { parameter: 'name', operations: ['org.attachments.download'] },
]

/** Operations whose answer can be an event stream without end. */
export const STREAMING: readonly string[] = ['outposts.devins.list']

/** What the documentation's types of answers say about organizations. A type that is not listed names none for certain. */
export const ORGANIZATION_ANSWERS: Readonly<Record<string, Pick<AnswerShape, 'organizations' | 'optional' | 'id'>>> = {
  SessionResponse: { organizations: ['org_id'], optional: false, id: 'session_id' },
  SessionInsights: { organizations: ['org_id'], optional: false, id: 'session_id' },
  OrganizationResponse: { organizations: ['org_id'], optional: false, id: 'org_id' },
  CodeScan: { organizations: ['org_id'], optional: false, id: 'scan_id' },
  ScheduleResponse: { organizations: ['org_id'], optional: false, id: 'scheduled_session_id' },
  // Events, notes, playbooks and limits of the enterprise belong to no organization.
  AuditLog: { organizations: ['org_id'], optional: true, id: 'audit_log_id' },
  KnowledgeNoteResponse: { organizations: ['org_id'], optional: true, id: 'note_id' },
  PlaybookResponse: { organizations: ['org_id'], optional: true, id: 'playbook_id' },
  ACULimitResponse: { organizations: ['org_id'], optional: true, id: null },
  // People, groups and service users have a role in each of several organizations.
  User: { organizations: ['role_assignments.*.org_id'], optional: true, id: 'user_id' },
  UserWithIdpRoles: {
    organizations: ['role_assignments.*.org_id', 'idp_role_assignments.*.org_id'],
    optional: true,
    id: 'user_id',
  },
  IdpGroup: { organizations: ['role_assignments.*.org_id'], optional: true, id: 'idp_group_name' },
  IdpGroupUser: { organizations: ['idp_role_assignments.*.org_id'], optional: true, id: 'user_id' },
  ServiceUser: { organizations: ['role_assignments.*.org_id'], optional: true, id: 'service_user_id' },
}

/** Types of answers that say nothing of their shape, or that are no single JSON document. */
export const UNKNOWN_ANSWERS: readonly RegExp[] = [/^object$/, /^Location header$/, /text\/event-stream/]

/** Lists whose pages are smaller. */
export const LARGEST_PAGE: Readonly<Record<string, number>> = {
  'ent.git-providers.connections.repositories.list': 100,
}
/**
 * Operations that an `Idempotency-Key` makes safe to repeat, as patterns of ids: what starts paid work, now or on a
 * schedule, and what is said to a session. The API repeats all of them without asking.
 */
export const IDEMPOTENT: readonly string[] = [
  'org.sessions.create',
  '*.sessions.messages.send',
  'org.schedules.create',
  'org.automations.create',
  '*.code-scans.start',
  '*.code-scans.start-ingestion',
  '*.code-scans.findings.remediate',
  '*.pr-reviews.create',
]

/** Spellings of retired paths that the source mentions only in its notes. */
export const OLDER_SPELLINGS: readonly LegacyEntry[] = [
  { method: 'GET', path: '/v1/session/{session_id}', replacement: 'org.sessions.get', version: 'v1' },
  {
    method: 'POST',
    path: '/v1/session/{session_id}/message',
    replacement: 'org.sessions.messages.send',
    version: 'v1',
  },
]

/** Which writes make which kept answers stale, as patterns of ids: `*` is one segment, a final `*` the rest. */
export interface StaleRow {
  /** Writes. */
  readonly after: readonly string[]
  /** Reads; those that are never kept drop out by themselves. */
  readonly stale: readonly string[]
  /** What the reader cannot see from the ids. */
  readonly why?: string
}

const SESSIONS = ['org.sessions.*', 'ent.sessions.*']
const CODE_SCANS = ['org.code-scans.*', 'ent.code-scans.*']
const CONSUMPTION = ['org.consumption.*', 'ent.consumption.daily.*']
const METRICS = ['org.metrics.*', 'ent.metrics.*', 'ent.organizations.metrics.*']
const ACU_LIMITS = ['ent.consumption.acu-limits.*', 'beta.ent.acu-limits.*']
const ORGANIZATION_ITEMS = ['ent.organizations.list', 'ent.organizations.get']
const GROUP_MEMBERS = ['ent.members.idp-groups.*', 'ent.organizations.members.idp-groups.*', 'ent.idp-groups.*']
const USER_MEMBERS = ['ent.members.users.*', 'ent.organizations.members.users.*', 'beta.org.members.*']
const IDP_USER_MEMBERS = ['ent.members.idp-users.*', 'ent.organizations.members.idp-users.*']
const SERVICE_USER_MEMBERS = ['ent.members.service-users.*', 'ent.organizations.members.service-users.*']
const SECURITY_PROFILES = ['beta.*.security-profiles.*', 'beta.*.security-profile-settings.*']
const BLUEPRINTS = ['beta.org.blueprints.*', 'beta.ent.blueprints.*']

/** By resource family. A write takes the reads of every row that it stands in. */
export const STALE_AFTER: readonly StaleRow[] = [
  // Sessions and the work that they are.
  { after: SESSIONS, stale: SESSIONS, why: 'one session is visible at both scopes, with its tags and in its insights' },
  {
    after: [
      'org.sessions.create',
      'org.sessions.terminate',
      'org.sessions.archive',
      '*.sessions.messages.send',
      '*.code-scans.start',
      '*.code-scans.start-ingestion',
      '*.code-scans.findings.remediate',
      '*.pr-reviews.create',
    ],
    stale: ['ent.queue.get', ...CONSUMPTION, ...METRICS],
    why: 'starts, wakes or ends work: ACUs are spent and counted, for the organization and in the enterprise totals',
  },
  { after: CODE_SCANS, stale: CODE_SCANS, why: 'enterprise lists show the scans and findings of every organization' },
  {
    after: ['*.code-scans.start', '*.code-scans.start-ingestion', '*.code-scans.findings.remediate'],
    stale: SESSIONS,
    why: 'a scan and a remediation run as sessions (origin code_scan)',
  },
  { after: ['*.pr-reviews.*'], stale: ['*.pr-reviews.*'], why: 'one pull request, two scopes' },
  {
    after: ['outposts.devins.*'],
    stale: [...SESSIONS, 'ent.queue.get', 'outposts.list'],
    why: 'a claimed session changes its status and leaves the queue, a released one returns; an outpost may show it',
  },
  { after: ['outposts.create', 'outposts.delete'], stale: ['outposts.list'] },
  {
    after: ['outposts.delete'],
    stale: ['beta.org.default-platform.*'],
    why: 'the default of an organization can be an outpost, and shows its name while that exists',
  },
  { after: ['beta.org.default-platform.*'], stale: ['beta.org.default-platform.*'] },
  {
    after: SECURITY_PROFILES,
    stale: SECURITY_PROFILES,
    why: 'organizations see and pin the profiles of the enterprise; its default is a floor under theirs',
  },

  // Inputs of sessions.
  {
    after: ['*.knowledge.*'],
    stale: ['*.knowledge.*'],
    why: 'organization lists show enterprise notes, the enterprise list those of organizations; folders count them',
  },
  {
    after: ['*.playbooks.*'],
    stale: ['*.playbooks.*', 'org.schedules.*'],
    why: 'enterprise playbooks appear in organization lists; a schedule shows the title of its playbook',
  },
  { after: ['org.schedules.*'], stale: ['org.schedules.*'] },
  { after: ['org.secrets.*'], stale: ['org.secrets.*'] },
  {
    after: ['org.automations.*'],
    stale: ['org.automations.list', 'org.automations.get'],
    why: 'the schemas describe event sources, which no automation changes',
  },

  // Code and the machines it is prepared on.
  {
    after: ['beta.org.repositories.*'],
    stale: ['beta.org.repositories.*'],
    why: 'the list of repositories can show the state of indexing',
  },
  {
    after: ['ent.organizations.git-providers.permissions.*'],
    stale: ['ent.organizations.git-providers.permissions.*', 'beta.org.repositories.*'],
    why: 'the permissions say which repositories the organization has',
  },
  {
    after: BLUEPRINTS,
    stale: [...BLUEPRINTS, 'beta.org.builds.*'],
    why: 'an organization list can hold the enterprise blueprint, which runs first; builds can start by themselves',
  },
  { after: ['beta.org.builds.*'], stale: ['beta.org.builds.*'] },

  // People, groups, service users.
  {
    after: [...USER_MEMBERS, ...GROUP_MEMBERS],
    stale: [...USER_MEMBERS, ...GROUP_MEMBERS, ...IDP_USER_MEMBERS],
    why: 'answers list the role assignments of every organization, and those that come through a group',
  },
  {
    after: [...SERVICE_USER_MEMBERS, 'beta.*.service-users.create', 'beta.ent.service-users.api-keys.*'],
    stale: SERVICE_USER_MEMBERS,
    why: 'an entry carries its role assignments and when its access ends, which its keys decide',
  },
  {
    after: [
      '*.members.service-users.delete',
      'ent.organizations.members.service-users.delete',
      'beta.ent.service-users.api-keys.revoke',
      'beta.ent.service-users.api-keys.rotate',
    ],
    stale: ['self.*'],
    why: 'self serves as a probe: a key that has been ended must not look alive',
  },

  // Organizations and their limits.
  {
    after: ['ent.organizations.create', 'ent.organizations.update'],
    stale: [...ORGANIZATION_ITEMS, ...ACU_LIMITS],
    why: 'an organization carries its ACU limits',
  },
  {
    after: ['ent.organizations.delete'],
    stale: ['*'],
    why: 'rare, and it takes the organization out of nearly every answer; dropping all is the shortest true rule',
  },
  {
    after: [...ACU_LIMITS, 'beta.ent.usage-policies.*'],
    stale: [...ACU_LIMITS, ...ORGANIZATION_ITEMS],
    why: 'the same limits stand under stable, beta and older paths and in the organization; a tier sets those of users',
  },
  { after: ['ent.org-group-limits.*'], stale: ['ent.org-group-limits.*'] },
  { after: ['ent.organizations.tags.*'], stale: ['ent.organizations.tags.*'], why: 'the default is one of the tags' },
  { after: ['ent.ip-access-list.*'], stale: ['ent.ip-access-list.*'] },
]

/** Writes after which every kept answer is still true, and why. */
export const NOTHING_STALE: Readonly<Record<string, string>> = {
  'org.attachments.upload': 'an upload has a new address, and lists and downloads of attachments are never kept',
}
