// The sandbox company as data: who exists, who may do what, and what was there before the first request. The simulator is
// started with it; tests make worlds of their own. Times are ages, so the data suits whatever clock the simulator gets.

import { auditLogs, consumption, idpGroups, items, roles, sessions, users } from './seeds.ts'
import { titleOf } from './organization.ts'
import type { World, WorldServiceUser } from './types.ts'

/** What running sessions needs; the documentation disagrees on which of the last two creates them, so both. */
const SESSION_PERMISSIONS = words('ViewOrgSessions ManageOrgSessions UseDevinSessions')
const LIBRARY_PERMISSIONS = words('ManageOrgKnowledge ManageOrgPlaybooks ManageOrgSchedules ManageOrgSecrets')

const BUILDER = words(
  'Read IndexOrgRepositories ManageRepoBlueprints ManageOrgSnapshots ViewOrgAutomations ManageOrgAutomations ' +
    'ViewCodeScans UseCodeScans UseReviewManual ViewOrgMembership ManageOrgServiceUsers',
)
const FLEET = words(
  'ViewAccountSessions ManageAccountSessions ManageAccountKnowledge ManageAccountPlaybooks ManageGitIntegrations ' +
    'ManageAccountServiceUsers ManageAccountSnapshots ViewAccountCodeScans UseAccountCodeScans UseReviewManual ' +
    'UseOutpostsMachine ManageOutpostsOrchestrator ViewEnterpriseInfraDetails',
)

type SandboxServiceUser = Omit<WorldServiceUser, 'keys'>

/** The service users of the sandbox. Each id is also the id of its key in `policies/keys.yaml`. */
export const sandboxServiceUsers: readonly SandboxServiceUser[] = [
  inOrganization('payments-runner', 'org-payments', SESSION_PERMISSIONS),
  inOrganization('payments-reader', 'org-payments', words('ViewOrgSessions ViewOrgConsumption ViewOrgMetrics')),
  inOrganization('payments-impersonator', 'org-payments', [...SESSION_PERMISSIONS, 'ImpersonateOrgSessions']),
  inOrganization('payments-knowledge', 'org-payments', LIBRARY_PERMISSIONS),
  inOrganization('platform-runner', 'org-platform', [...SESSION_PERMISSIONS, ...LIBRARY_PERMISSIONS]),
  inOrganization('platform-builder', 'org-platform', BUILDER),
  inOrganization('research-runner', 'org-research', SESSION_PERMISSIONS),
  inEnterprise('analytics', words('ViewAccountMetrics ViewAccountConsumption ManageBilling ViewAccountSessions')),
  inEnterprise('directory', words('ManageOrganizations ViewAccountMembership ManageAccountMembership')),
  inEnterprise('auditor', words('ManageEnterpriseSettings')),
  inEnterprise('key-officer', words('ManageAccountServiceUsers')),
  inEnterprise('fleet', FLEET),
]

/** The sandbox company. `keyValue` gives each service user its key by id. */
export function createSandboxWorld(keyValue: (id: string) => string): World {
  const serviceUsers = sandboxServiceUsers.map((user) => ({ ...user, keys: [keyValue(user.id)] }))
  const organizations = [
    { id: 'org-payments', name: 'Payments' },
    { id: 'org-platform', name: 'Platform' },
    { id: 'org-research', name: 'Research' },
  ]
  return { organizations, roles, users, idpGroups, serviceUsers, sessions, items, consumption, auditLogs }
}

/** A company of which nothing is known but what every enterprise has; organizations and people are declared later. */
export function createBareWorld(): World {
  const nobody = { organizations: [], users: [], idpGroups: [], serviceUsers: [], sessions: [], consumption: [] }
  return { ...nobody, roles, items: items.filter(({ organization }) => organization === null), auditLogs: [] }
}

function inOrganization(id: string, organization: string, permissions: readonly string[]): SandboxServiceUser {
  return { id, name: titleOf(id), scope: 'organization', organization, permissions }
}

function inEnterprise(id: string, permissions: readonly string[]): SandboxServiceUser {
  return { id, name: titleOf(id), scope: 'enterprise', organization: null, permissions }
}

function words(text: string): string[] {
  return text.split(' ')
}
