// The kinds of objects that the simulator keeps.

/** Kinds of objects that stand on shelves, and the member that holds their id. */
export const idMembers = {
  notes: 'note_id',
  folders: 'folder_id',
  playbooks: 'playbook_id',
  secrets: 'secret_id',
  schedules: 'scheduled_session_id',
  automations: 'automation_id',
  'git-connections': 'git_connection_id',
  'git-permissions': 'git_permission_id',
  repositories: 'repository_path',
  blueprints: 'blueprint_id',
  'blueprint-files': 'file_id',
  builds: 'build_id',
  'code-scans': 'scan_id',
  findings: 'finding_id',
  'scan-profiles': 'profile_id',
  'security-profiles': 'profile_id',
  'pr-reviews': 'pr_url',
  'guardrail-violations': 'guardrail_violation_id',
  hypervisors: 'hypervisor_id',
  outposts: 'outpost_id',
  'outpost-devins': 'session_id',
} as const

/** A kind of object that stands on shelves. */
export type Kind = keyof typeof idMembers

/** Kinds whose times are ISO 8601 strings; everything else counts unix seconds. */
export const isoKinds: ReadonlySet<Kind> = new Set(['schedules', 'pr-reviews'])
