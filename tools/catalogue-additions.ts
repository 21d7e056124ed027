// What the API has gained since the source catalogue was written, with the page of the public documentation that says
// so. Tables for people to amend; applied by `import-catalogue.ts`. A row that the source has caught up with is refused.

import type { SourceOperation, SourcePermission } from './catalogue-source.ts'

const reference = 'https://docs.devin.ai/api-reference/v3'

export const ADDED_PERMISSIONS: readonly SourcePermission[] = [
  {
    name: 'ManageAccountSecureModeProfiles',
    scope: 'enterprise',
    controls: 'Security profiles that the enterprise owns, and its default profile',
    inherits_org_permission: null,
    inherits_org_permission_inferred: 'ManageSecureModeProfiles',
    confirmed: true,
  },
  {
    name: 'ManageSecureModeProfiles',
    scope: 'organization',
    controls: 'Security profiles that an organization owns, and its default profiles',
    inherits_org_permission: null,
    confirmed: true,
  },
  {
    name: 'ManageOrgSettings',
    scope: 'organization',
    controls: 'Settings of an organization: its default platform',
    inherits_org_permission: null,
    confirmed: true,
  },
]

/** What most added operations have in common. */
const usual = {
  permission_status: 'documented',
  query: [],
  body: [],
  paginated: false,
  cache: 'never',
  sensitive: false,
  stability: 'beta',
  confirmed: true,
  doc_url_confirmed: true,
  notes: '',
} satisfies Partial<SourceOperation>

const profileBody = (nameRequired: boolean): SourceOperation['body'] => [
  { name: 'name', type: 'string', required: nameRequired },
  { name: 'net_policy', type: 'object|null', required: false },
  { name: 'mcp_config', type: 'object|null', required: false },
  { name: 'devin_mcp_read_only', type: 'boolean', required: false },
  { name: 'git_access_level', type: 'string', required: false },
  { name: 'remove_github_cli_token', type: 'boolean', required: false },
  { name: 'enforcement_level', type: 'string', required: false },
  { name: 'slack_channel_access', type: 'object|null', required: false },
  { name: 'slack_dm_scope', type: 'string|null', required: false },
  { name: 'teams_channel_access', type: 'object|null', required: false },
  { name: 'teams_dm_scope', type: 'string|null', required: false },
  { name: 'teams_group_chat_scope', type: 'string|null', required: false },
]

const selection = (name: string): SourceOperation['body'][number] => ({ name, type: 'object', required: false })

/** Security profiles and their defaults; both scopes have the same operations. */
function securityProfiles(scope: 'organization' | 'enterprise'): SourceOperation[] {
  const own = scope === 'organization'
  const id = own ? 'beta.org' : 'beta.ent'
  const base = own ? '/v3beta1/organizations/{org_id}' : '/v3beta1/enterprise'
  const page = (verb: string, rest: string): string =>
    `${reference}/security-profiles/${verb}-${own ? 'organizations' : 'enterprise'}-security-profile${rest}`
  const common = {
    ...usual,
    scope,
    permission: own ? 'ManageSecureModeProfiles' : 'ManageAccountSecureModeProfiles',
    cache: 'short',
  } as const
  const owner = own ? 'an organization' : 'the enterprise'
  const profiles = { ...common, path: `${base}/security-profiles` }
  const profile = { ...common, path: `${base}/security-profiles/{profile_id}` }
  const settings = { ...common, path: `${base}/security-profile-settings` }
  const selections = own ? ['default', 'automations_default'] : ['default']
  return [
    {
      ...profiles,
      id: `${id}.security-profiles.list`,
      method: 'GET',
      safe: true,
      summary: `List security profiles of ${owner}`,
      query: ['after', 'first'],
      paginated: true,
      success: [200],
      response: 'Page<SecurityProfile>',
      notes: own
        ? 'Lists what the organization owns; profiles shared by the enterprise are listed at its own path.'
        : 'Shared with every organization. Lists what the enterprise owns.',
      doc_url: page('list', 's'),
    },
    {
      ...profiles,
      id: `${id}.security-profiles.create`,
      method: 'POST',
      safe: false,
      summary: `Create a security profile of ${owner}`,
      body: profileBody(true),
      success: [200],
      response: 'SecurityProfile',
      notes: 'Names are unique. Creating a profile applies it to nothing: the settings bind it.',
      doc_url: page('post', ''),
    },
    {
      ...profile,
      id: `${id}.security-profiles.get`,
      method: 'GET',
      safe: true,
      summary: `Get a security profile of ${owner}`,
      success: [200],
      response: 'SecurityProfile',
      doc_url: page('get', ''),
    },
    {
      ...profile,
      id: `${id}.security-profiles.update`,
      method: 'PATCH',
      safe: false,
      summary: `Change a security profile of ${owner}`,
      body: profileBody(false),
      success: [200],
      response: 'SecurityProfile',
      notes: 'Absent fields stay; null clears what a profile says of network, MCP, Slack and Teams.',
      doc_url: page('patch', ''),
    },
    {
      ...profile,
      id: `${id}.security-profiles.delete`,
      method: 'DELETE',
      safe: false,
      summary: `Delete a security profile of ${owner}`,
      success: [204],
      response: null,
      notes: '409 while a default, a playbook, an automation or a session refers to it.',
      doc_url: page('delete', ''),
    },
    {
      ...settings,
      id: `${id}.security-profile-settings.get`,
      method: 'GET',
      safe: true,
      summary: `Default security profiles of ${owner}`,
      success: [200],
      response: own ? 'SecurityProfileSettingsResponse' : 'EnterpriseSecurityProfileSettingsResponse',
      doc_url: page('get', '-settings'),
    },
    {
      ...settings,
      id: `${id}.security-profile-settings.update`,
      method: 'PATCH',
      safe: false,
      summary: `Change the default security profiles of ${owner}`,
      body: selections.map(selection),
      success: [200],
      response: own ? 'SecurityProfileSettingsResponse' : 'EnterpriseSecurityProfileSettingsResponse',
      notes:
        'Each is {selection, profile_id}; profile_id goes with the selection "profile" alone. A running session cannot change the profiles it is bound by: its own token is refused.',
      doc_url: page('patch', '-settings'),
    },
  ]
}

export const ADDED_OPERATIONS: readonly SourceOperation[] = [
  ...securityProfiles('organization'),
  ...securityProfiles('enterprise'),
  {
    ...usual,
    id: 'beta.org.default-platform.get',
    method: 'GET',
    safe: true,
    path: '/v3beta1/organizations/{org_id}/default-platform',
    summary: 'Where new sessions of an organization run by default',
    scope: 'organization',
    // The page asks for membership of the organization and names no permission.
    permission: [],
    cache: 'short',
    success: [200],
    response: 'DefaultPlatformResponse',
    notes: 'platform, outpost_pool_id and outpost_pool_name; all null when nothing is set.',
    doc_url: `${reference}/organization-settings/get-organization-default-platform`,
  },
  {
    ...usual,
    id: 'beta.org.default-platform.set',
    method: 'PUT',
    safe: false,
    path: '/v3beta1/organizations/{org_id}/default-platform',
    summary: 'Set or clear where new sessions of an organization run by default',
    scope: 'organization',
    permission: 'ManageOrgSettings',
    body: [
      { name: 'platform', type: 'string|null', required: false },
      { name: 'outpost_pool_id', type: 'string|null', required: false },
    ],
    success: [200],
    response: 'DefaultPlatformResponse',
    notes: 'At most one of the two; an empty object clears the setting. Only shared outpost pools count.',
    doc_url: `${reference}/organization-settings/put-organization-default-platform`,
  },
]

/** Fields that operations of the source have gained. */
export interface AddedFields {
  readonly operations: readonly string[]
  readonly query?: readonly string[]
  readonly body?: SourceOperation['body']
  /** The page that documents them; null: reported by users of the API, and on no public page that could be found. */
  readonly page: string | null
}

const SESSION_LISTS = [
  'org.sessions.list',
  'org.sessions.insights.list',
  'ent.sessions.list',
  'ent.sessions.insights.list',
]

export const ADDED_FIELDS: readonly AddedFields[] = [
  { operations: SESSION_LISTS, query: ['automation_ids', 'parent_session_id'], page: null },
  {
    // The guide to security profiles says that sessions and automations can be bound to one, not by which field.
    operations: ['org.sessions.create', 'org.automations.create', 'org.automations.update'],
    body: [{ name: 'security_profile', type: 'any', required: false }],
    page: null,
  },
]

/** Values that members of bodies have gained, in the same way. */
export const ADDED_VALUES: readonly {
  readonly operation: string
  readonly member: string
  readonly values: readonly string[]
  readonly page: string | null
}[] = [
  {
    operation: 'org.sessions.create',
    member: 'devin_mode',
    values: ['swe-2-medium', 'swe-2-high', 'swe-2-max'],
    page: null,
  },
]

/** Sentences of the source's notes that no longer hold, by operation, and what is true now. */
export const AMENDED_NOTES: Readonly<Record<string, readonly [now: string, better: string]>> = {
  'org.sessions.create': [
    'devin_mode values ultra and fusion seen only in third-party code.',
    'devin_mode: normal, fast, lite, ultra and fusion stand in the reference of the SDK.',
  ],
}

/** The values of query parameters that take only certain ones, by operation. */
export const QUERY_VALUES: readonly {
  readonly operations: readonly string[]
  readonly parameter: string
  readonly values: readonly string[]
}[] = [
  {
    operations: SESSION_LISTS,
    parameter: 'origins',
    values: ['webapp', 'slack', 'teams', 'api', 'linear', 'jira', 'automation', 'cli', 'desktop', 'code_scan', 'other'],
  },
  {
    operations: SESSION_LISTS,
    parameter: 'category',
    values: [
      'bug_fixing',
      'ci_cd_and_devops',
      'code_quality_and_security',
      'code_review_and_analysis',
      'data_and_automation',
      'documentation_and_content',
      'feature_development',
      'migrations_and_upgrades',
      'other',
      'refactoring_and_optimization',
      'research_and_exploration',
      'unit_test_generation',
    ],
  },
]
