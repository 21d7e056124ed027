// What stands in an organization that the sandbox company does not bring along: a little of what lists usually show.

import { createHash } from 'node:crypto'
import type { World, WorldItem, WorldSession } from './types.ts'

/** Seeds of one organization, the same in every run. */
export function organizationSeeds(id: string): Pick<World, 'sessions' | 'items' | 'consumption'> {
  const name = id.replace(/^org[-_]/, '')
  const repo = `${name}/service`
  const author = { created_by: null, updated_by: null }
  const item = (kind: WorldItem['kind'], itemId: string, fields: WorldItem['fields']): WorldItem => ({
    kind,
    organization: id,
    id: itemId,
    daysAgo: 3,
    fields,
  })
  const place = { org_id: id, access_type: 'org' }
  return {
    sessions: [
      session(id, repo, 'Upgrade the HTTP client', 'running', 5),
      session(id, repo, 'Find the flaky test', 'suspended', 200),
      session(id, repo, 'Remove the old endpoint', 'exit', 3000),
    ],
    items: [
      item('repositories', repo, { indexing_enabled: true, branches: ['main'] }),
      item('playbooks', `playbook-${name}`, {
        ...place,
        ...author,
        macro: null,
        structured_output_schema: null,
        title: 'Review a change',
        body: 'Read the tests first.',
      }),
      item('notes', `note-${name}`, {
        ...place,
        macro: null,
        pinned_repo: null,
        folder_id: null,
        folder_path: '',
        is_enabled: true,
        name: 'House style',
        body: 'Small commits, tests first.',
        trigger: 'Always',
      }),
      item('secrets', `secret-${name}`, {
        secret_type: 'key-value',
        is_sensitive: true,
        access_type: 'org',
        created_by: null,
        key: 'REGISTRY_TOKEN',
        note: 'Read only',
      }),
    ],
    consumption: Array.from({ length: 60 }, (_, index) => ({
      daysAgo: index + 1,
      organization: id,
      user: null,
      serviceUser: null,
      acus: index % 7 < 2 ? 1 : 6 + (index % 3),
    })),
  }
}

function session(
  organization: string,
  repo: string,
  title: string,
  state: WorldSession['state'],
  minutesAgo: number,
): WorldSession {
  const digest = createHash('sha256').update(`${organization} ${title}`).digest('hex')
  return {
    id: `devin-${digest.slice(0, 32)}`,
    organization,
    title,
    state,
    minutesAgo,
    acus: state === 'running' ? 0.2 : 3,
    tags: [],
    repos: [repo],
    pullRequests: state === 'exit' ? [{ url: `https://github.com/${repo}/pull/7`, state: 'merged' }] : [],
    user: null,
    serviceUser: null,
    archived: false,
  }
}

/** `org-payments` becomes `Payments`. */
export function titleOf(id: string): string {
  const words = id.replace(/^org[-_]/, '').replaceAll(/[-_]+/g, ' ')
  return words.slice(0, 1).toUpperCase() + words.slice(1)
}
