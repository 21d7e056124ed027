// The built-in data: complete, consistent in itself, and in step with the rules it was written by.

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { devinApi, type OperationEntry } from '../../src/catalogue/data.ts'
import { NOTHING_STALE, OLDER_SPELLINGS, SLASHES } from '../../tools/catalogue-rules.ts'
import type { Source } from '../../tools/catalogue-source.ts'
import {
  ADDED_FIELDS,
  ADDED_OPERATIONS,
  ADDED_PERMISSIONS,
  ADDED_VALUES,
  AMENDED_NOTES,
} from '../../tools/catalogue-additions.ts'
import { importCatalogue } from '../../tools/import-catalogue.ts'

const { operations, permissions, legacy } = devinApi
const writes = operations.filter(({ method }) => method !== 'GET')
const cacheableReads = operations.filter(({ method, cache }) => method === 'GET' && cache !== 'never')

function operation(id: string): OperationEntry {
  const found = operations.find((entry) => entry.id === id)
  if (found === undefined) throw new Error(`no operation ${id}`)
  return found
}

function tally(values: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1
  return counts
}

function parametersOf(path: string): string[] {
  return path.split('/').flatMap((segment) => (segment.startsWith('{') ? [segment.slice(1, -1)] : []))
}

test('every word of a closed set is one of it', () => {
  const basis = [null, 'documented', 'inferred']
  for (const { id, scope, permission_basis, cache, stability, source, conditional, values, answer } of operations) {
    expect(['organization', 'enterprise', 'any'], id).toContain(scope)
    expect(basis, id).toContain(permission_basis)
    expect(['never', 'micro', 'short', 'medium', 'long', 'closed-window-long'], id).toContain(cache)
    expect(['stable', 'beta', 'early-access', 'deprecated', 'superseded', 'removed?'], id).toContain(stability)
    expect(['page', 'documentation', 'unconfirmed'], id).toContain(source)
    for (const { when } of conditional) expect(['present', 'absent'], id).toContain(when)
    for (const { in: place } of values) expect(['query', 'body'], id).toContain(place)
    expect([undefined, 'object', 'list', 'page'], id).toContain(answer?.form)
  }
  for (const { name, scope, implies_basis } of permissions) {
    expect(['enterprise', 'organization'], name).toContain(scope)
    expect(basis, name).toContain(implies_basis)
  }
  for (const { path, version } of legacy) expect(['v1', 'v2'], path).toContain(version)
})

describe('the operations', () => {
  test('stand there once by id and once by request', () => {
    expect(new Set(operations.map(({ id }) => id)).size).toBe(operations.length)
    const requests = operations.map(({ method, path }) => `${method} ${path.replaceAll(/\{\w+\}/g, '{}')}`)
    expect(new Set(requests).size).toBe(operations.length)
  })

  test('are as many of each kind as in the source', () => {
    expect(tally(operations.map(({ scope, stability }) => `${scope} ${stability}`))).toEqual({
      'any stable': 1,
      'enterprise stable': 118,
      'enterprise superseded': 1,
      'enterprise beta': 27,
      'enterprise deprecated': 6,
      'enterprise early-access': 6,
      'enterprise removed?': 5,
      'organization stable': 65,
      'organization beta': 37,
      'organization removed?': 1,
    })
    expect(tally(operations.map(({ method }) => method))).toEqual({
      GET: 136,
      POST: 53,
      PUT: 20,
      PATCH: 19,
      DELETE: 39,
    })
    expect(tally(operations.map(({ cache }) => cache))).toEqual({
      never: 147,
      micro: 12,
      short: 54,
      medium: 20,
      long: 5,
      'closed-window-long': 29,
    })
    expect(operations.filter(({ sensitive }) => sensitive)).toHaveLength(74)
    expect(operations.filter(({ paginated }) => paginated)).toHaveLength(52)
  })

  test('have a scope that follows from the prefix of their path, not from the presence of an organization id', () => {
    for (const { id, path, scope } of operations) {
      const byPrefix = /^\/v3(beta1)?\/organizations\//.test(path) ? 'organization' : 'enterprise'
      expect(scope, id).toBe(path === '/v3/self' ? 'any' : byPrefix)
    }
    expect(operation('ent.organizations.members.users.list').scope).toBe('enterprise')
  })

  test('are kept only when they are reads', () => {
    for (const { id, cache } of writes) expect(cache, id).toBe('never')
  })

  test('stream in one case alone', () => {
    expect(operations.filter(({ streaming }) => streaming).map(({ id }) => id)).toEqual(['outposts.devins.list'])
  })
})

describe('answers', () => {
  const filtered = operations.filter(({ scope, method, answer }) => {
    return scope === 'enterprise' && method === 'GET' && (answer?.organizations.length ?? 0) > 0
  })

  test('at enterprise scope name their organization in these reads', () => {
    const shown = filtered.map(({ id, answer }) => `${id} ${answer?.form} ${answer?.organizations.join(' ')}`)
    expect(shown).toEqual([
      'ent.sessions.list page org_id',
      'ent.sessions.insights.list page org_id',
      'ent.sessions.get object org_id',
      'ent.sessions.insights.get object org_id',
      'ent.consumption.acu-limits.devin.list page org_id',
      'ent.knowledge.notes.list page org_id',
      'ent.knowledge.notes.get object org_id',
      'ent.members.idp-groups.list page role_assignments.*.org_id',
      'ent.members.idp-groups.get object role_assignments.*.org_id',
      'ent.members.idp-users.list page idp_role_assignments.*.org_id',
      'ent.members.service-users.list page role_assignments.*.org_id',
      'ent.members.service-users.get object role_assignments.*.org_id',
      'ent.members.users.list page role_assignments.*.org_id',
      'ent.members.users.get object role_assignments.*.org_id idp_role_assignments.*.org_id',
      'ent.organizations.list page org_id',
      'ent.organizations.get object org_id',
      'ent.organizations.members.idp-groups.list page role_assignments.*.org_id',
      'ent.organizations.members.idp-groups.get object role_assignments.*.org_id',
      'ent.organizations.members.idp-users.list page idp_role_assignments.*.org_id',
      'ent.organizations.members.service-users.list page role_assignments.*.org_id',
      'ent.organizations.members.users.list page role_assignments.*.org_id',
      'ent.playbooks.list page org_id',
      'ent.playbooks.get object org_id',
      'ent.audit-logs.list page org_id',
      'ent.organizations.audit-logs.list page org_id',
      'ent.code-scans.list page org_id',
    ])
  })

  test('that are paged are paged by cursor, and only where the parameters are documented', () => {
    for (const { id, answer, query, paginated } of operations) {
      if (answer === null || answer.paging === null) continue
      expect(paginated, id).toBe(true)
      expect([answer.form, answer.items], id).toEqual(['page', 'items'])
      expect(query, id).toEqual(expect.arrayContaining(['first', 'after']))
    }
    for (const { id, answer } of filtered) if (answer?.form === 'page') expect(answer.paging, id).not.toBeNull()
    expect(operation('ent.git-providers.connections.repositories.list').answer?.paging?.most).toBe(100)
    expect(operation('org.schedules.list').answer?.paging).toBeNull()
  })

  test('are unknown where the documentation says nothing of them, or they are no single document', () => {
    const unknown = operations.filter(({ answer, response }) => answer === null && response !== null)
    const isUnknown = /^(?:object|Location header)$|text\/event-stream/
    for (const { id, response } of unknown) expect(response, id).toMatch(isUnknown)
    expect(unknown).toHaveLength(12)
  })
})

describe('operations that an Idempotency-Key makes safe to repeat', () => {
  test('are those that start paid work or speak to a session, at both scopes', () => {
    expect(operations.filter(({ idempotent }) => idempotent).map(({ id }) => id)).toEqual([
      'org.sessions.create',
      'org.sessions.messages.send',
      'ent.sessions.messages.send',
      'org.schedules.create',
      'org.pr-reviews.create',
      'ent.pr-reviews.create',
      'org.code-scans.start',
      'org.code-scans.start-ingestion',
      'org.code-scans.findings.remediate',
      'ent.code-scans.start',
      'ent.code-scans.start-ingestion',
      'ent.code-scans.findings.remediate',
      'org.automations.create',
    ])
  })

  test('are all POST: other methods may be repeated without a key', () => {
    for (const { id, method, idempotent } of operations) if (idempotent) expect(method, id).toBe('POST')
  })
})

describe('what the documentation says', () => {
  test('is told for every operation, with what no public page is known to name', () => {
    for (const { id, source, doc_url, unconfirmed, query, body } of operations) {
      if (source === 'page') expect(doc_url, id).toMatch(/^https:\/\//)
      const names = [...query, ...body.map(({ name }) => name)]
      for (const field of unconfirmed) expect(names, id).toContain(field.split('=')[0])
    }
    const open = operations.filter(({ unconfirmed }) => unconfirmed.length > 0)
    expect(open.map(({ id, unconfirmed }) => `${id} ${unconfirmed.join(' ')}`)).toEqual([
      'org.sessions.create security_profile devin_mode=swe-2-medium devin_mode=swe-2-high devin_mode=swe-2-max',
      'org.sessions.list automation_ids parent_session_id',
      'org.sessions.insights.list automation_ids parent_session_id',
      'ent.sessions.list automation_ids parent_session_id',
      'ent.sessions.insights.list automation_ids parent_session_id',
      'org.automations.create security_profile',
      'org.automations.update security_profile',
    ])
    expect(operations.filter(({ source }) => source === 'unconfirmed')).toHaveLength(18)
  })

  test('has security profiles and default platforms, at their scope and by their permission', () => {
    const rows = operations
      .filter(({ path }) => /security-profile|default-platform/.test(path))
      .map(({ method, path, permission, source }) => `${method} ${path} ${permission} ${source}`)
    const profiles = (base: string, permission: string) => [
      `GET ${base}/security-profiles ${permission} page`,
      `POST ${base}/security-profiles ${permission} page`,
      `GET ${base}/security-profiles/{profile_id} ${permission} page`,
      `PATCH ${base}/security-profiles/{profile_id} ${permission} page`,
      `DELETE ${base}/security-profiles/{profile_id} ${permission} page`,
      `GET ${base}/security-profile-settings ${permission} page`,
      `PATCH ${base}/security-profile-settings ${permission} page`,
    ]
    expect(rows).toEqual([
      ...profiles('/v3beta1/organizations/{org_id}', 'ManageSecureModeProfiles'),
      ...profiles('/v3beta1/enterprise', 'ManageAccountSecureModeProfiles'),
      'GET /v3beta1/organizations/{org_id}/default-platform null page',
      'PUT /v3beta1/organizations/{org_id}/default-platform ManageOrgSettings page',
    ])
  })

  test('lists the values that a parameter or member takes, where all are known', () => {
    const modes = operation('org.sessions.create').values.find(({ name }) => name === 'devin_mode')?.values
    expect(modes).toEqual(expect.arrayContaining(['normal', 'fast', 'lite', 'ultra', 'fusion', 'swe-2-max']))
    for (const { id, values, query, body } of operations) {
      for (const set of values) {
        const names = set.in === 'query' ? query : body.map(({ name }) => name)
        expect(names, id).toContain(set.name)
        expect(set.values, id).not.toContain('...')
      }
    }
  })
})

describe('permissions', () => {
  test('are known wherever an operation names one', () => {
    const known = new Set(permissions.map(({ name }) => name))
    for (const { id, permission, alternatives, conditional } of operations) {
      for (const name of [permission, ...alternatives, ...conditional.map((entry) => entry.permission)]) {
        if (name !== null) expect(known, id).toContain(name)
      }
    }
  })

  test('are unique by scope and name, and one name stands at both scopes', () => {
    expect(new Set(permissions.map(({ scope, name }) => `${scope} ${name}`)).size).toBe(permissions.length)
    const names = tally(permissions.map(({ name }) => name))
    expect(Object.keys(names).filter((name) => names[name] === 2)).toEqual(['UseReviewManual'])
  })

  test('of the enterprise imply those of the organization that the rule pairs them with', () => {
    const pairs = permissions.flatMap(({ name, scope, implies, implies_basis }) =>
      implies === null ? [] : [`${scope} ${name} -> ${implies} (${implies_basis})`],
    )
    expect(pairs).toEqual([
      'enterprise ViewAccountMembership -> ViewOrgMembership (inferred)',
      'enterprise ManageAccountServiceUsers -> ManageOrgServiceUsers (inferred)',
      'enterprise ManageAccountKnowledge -> ManageOrgKnowledge (inferred)',
      'enterprise ManageAccountPlaybooks -> ManageOrgPlaybooks (inferred)',
      'enterprise ViewAccountConsumption -> ViewOrgConsumption (inferred)',
      'enterprise ViewAccountMetrics -> ViewOrgMetrics (inferred)',
      'enterprise ViewAccountSessions -> ViewOrgSessions (documented)',
      'enterprise ManageAccountSessions -> ManageOrgSessions (inferred)',
      'enterprise ManageAccountSnapshots -> ManageOrgSnapshots (inferred)',
      'enterprise ViewAccountCodeScans -> ViewCodeScans (inferred)',
      'enterprise UseAccountCodeScans -> UseCodeScans (inferred)',
      'enterprise UseReviewManual -> UseReviewManual (inferred)',
      'enterprise ManageAccountSecureModeProfiles -> ManageSecureModeProfiles (inferred)',
    ])
    const ofOrganization = permissions.filter(({ scope }) => scope === 'organization').map(({ name }) => name)
    for (const { implies } of permissions) if (implies !== null) expect(ofOrganization).toContain(implies)
  })

  test('that are only inferred say so', () => {
    const basis = tally(
      operations.map(({ permission, permission_basis }) => `${permission !== null} ${permission_basis}`),
    )
    expect(basis).toEqual({ 'true documented': 234, 'true inferred': 29, 'false null': 2, 'false documented': 2 })
    expect(operation('org.sessions.tags.append')).toMatchObject({
      permission: 'ManageOrgSessions',
      permission_basis: 'inferred',
    })
    // A documented statement is not replaced by what a sibling suggests.
    expect(operation('ent.members.users.list').permission).toBe('ManageAccountMembership')
  })

  test('of self are none, as the documentation says: any valid credential will do', () => {
    expect(operation('self.get')).toMatchObject({ scope: 'any', permission: null, permission_basis: 'documented' })
  })

  test('have as alternatives other names than the one in force', () => {
    for (const { id, permission, alternatives } of operations) {
      expect(alternatives, id).not.toContain(permission)
      expect(new Set(alternatives).size, id).toBe(alternatives.length)
    }
    expect(operation('org.sessions.create').alternatives).toEqual(['UseDevinSessions'])
    expect(operations.filter(({ alternatives }) => alternatives.length > 0)).toHaveLength(35)
  })

  test('hang on the body in these cases alone', () => {
    const conditional = operations.flatMap(({ id, conditional }) =>
      conditional.map(({ field, when, permission }) => `${id}: ${field} ${when} -> ${permission}`),
    )
    expect(conditional.toSorted()).toEqual([
      'beta.org.blueprints.create: repo_name absent -> ManageOrgSnapshots',
      'ent.sessions.messages.send: message_as_user_id present -> ImpersonateOrgSessions',
      'org.schedules.create: create_as_user_id present -> ImpersonateOrgSessions',
      'org.schedules.update: run_as_user_id present -> ImpersonateOrgSessions',
      'org.sessions.create: create_as_user_id present -> ImpersonateOrgSessions',
      'org.sessions.messages.send: message_as_user_id present -> ImpersonateOrgSessions',
    ])
    for (const { id, conditional, body } of operations) {
      for (const { field } of conditional)
        expect(
          body.map(({ name }) => name),
          id,
        ).toContain(field)
    }
  })
})

describe('places in a request', () => {
  test('where an organization id stands in the query are those that the operation documents', () => {
    for (const { id, query, organizations } of operations) {
      expect(organizations.query, id).toEqual(query.filter((name) => /^org(anization)?_ids?$/.test(name)))
    }
    expect(operation('ent.sessions.list').organizations.query).toEqual(['org_ids'])
    expect(operation('ent.sessions.tags.replace').organizations.query).toEqual(['org_id'])
    expect(operations.filter(({ organizations }) => organizations.query.length > 0)).toHaveLength(23)
  })

  test('where an organization id stands in the body are these', () => {
    const places = operations.flatMap(({ id, organizations }) => organizations.body.map((place) => `${id}: ${place}`))
    expect(places.toSorted()).toEqual([
      'beta.ent.acu-limits.organizations.update: local_agent.billing_org_id',
      'beta.ent.acu-limits.users.default.update: local_agent.billing_org_id',
      'beta.ent.acu-limits.users.item.update: local_agent.billing_org_id',
      'ent.org-group-limits.replace: groups.*.org_ids.*',
    ])
    for (const { id, body, organizations } of operations) {
      const members = body.map(({ name }) => name)
      for (const place of organizations.body) expect(members, id).toContain(place.split('.')[0])
      if (/org_ids?\b/.test(JSON.stringify(body))) expect(organizations.body, id).not.toEqual([])
    }
  })

  test('that may hold a slash are parameters of the path, and all parameters of these names', () => {
    for (const { id, path, slashes } of operations) {
      for (const name of slashes) expect(parametersOf(path), id).toContain(name)
      const expected = parametersOf(path).filter((name) =>
        ['repository_path', 'branch_name', 'idp_group_name', 'tag', 'name'].includes(name),
      )
      expect(slashes, id).toEqual(expected)
    }
    const used = new Set(operations.flatMap(({ slashes }) => slashes))
    expect(used).toEqual(new Set(SLASHES.map(({ parameter }) => parameter)))
    expect(operation('beta.org.repositories.indexing.branches.remove').slashes).toEqual([
      'repository_path',
      'branch_name',
    ])
  })
})

describe('what a write makes stale', () => {
  test('is made of reads that are kept, each named once', () => {
    const kept = new Set(cacheableReads.map(({ id }) => id))
    for (const { id, invalidates } of operations) {
      for (const read of invalidates) expect(kept, id).toContain(read)
      expect(new Set(invalidates).size, id).toBe(invalidates.length)
    }
  })

  test('is never nothing without a reason, and reads make nothing stale', () => {
    const without = writes.filter(({ invalidates }) => invalidates.length === 0).map(({ id }) => id)
    expect(without).toEqual(Object.keys(NOTHING_STALE))
    for (const { id, method, invalidates } of operations) if (method === 'GET') expect(invalidates, id).toEqual([])
  })

  test('holds every kept read of its own path and of the paths above it, up to the organization itself', () => {
    // An organization's own entry stands above all that belongs to it and shows none of it.
    const container = /^\/v3(beta1)?\/(enterprise\/)?organizations(\/\{org_id\})?$/
    let covered = 0
    for (const { id, path, invalidates } of writes) {
      for (const read of cacheableReads) {
        const above = path.startsWith(`${read.path}/`) && !container.test(read.path)
        if (path !== read.path && !above) continue
        expect(invalidates, `${id} and ${read.id}`).toContain(read.id)
        covered += 1
      }
    }
    expect(covered).toBeGreaterThan(100)
  })

  test('reaches the same resource at the other scope', () => {
    const shared = ['sessions', 'knowledge', 'playbooks', 'code-scans', 'pr-reviews']
    for (const { id, invalidates } of writes) {
      const [scope = '', family = ''] = id.split('.')
      if (!shared.includes(family)) continue
      const otherScope = scope === 'org' ? 'ent' : 'org'
      const missing = cacheableReads.filter(
        (read) => read.id.startsWith(`${otherScope}.${family}.`) && !invalidates.includes(read.id),
      )
      expect(missing, id).toEqual([])
    }
  })

  test.each([
    ['org.sessions.create', ['ent.queue.get', 'ent.consumption.daily.organizations.get', 'org.metrics.sessions.get']],
    ['ent.sessions.messages.send', ['org.sessions.get', 'org.consumption.daily.get', 'ent.metrics.dau.get']],
    ['org.sessions.tags.replace', ['org.sessions.tags.get', 'org.sessions.list', 'ent.sessions.insights.get']],
    ['org.code-scans.findings.remediate', ['org.sessions.list', 'ent.code-scans.findings.list', 'ent.queue.get']],
    [
      'ent.organizations.update',
      ['ent.organizations.list', 'ent.organizations.get', 'ent.consumption.acu-limits.devin.list'],
    ],
    ['ent.organizations.delete', cacheableReads.map(({ id }) => id)],
    ['ent.organizations.tags.delete', ['ent.organizations.tags.get', 'ent.organizations.tags.default.get']],
    [
      'ent.organizations.members.users.delete',
      ['ent.members.users.get', 'beta.org.members.users.list', 'ent.members.idp-users.list'],
    ],
    [
      'ent.members.idp-groups.update',
      ['ent.idp-groups.list', 'ent.organizations.members.idp-groups.get', 'ent.members.users.get'],
    ],
    [
      'beta.org.service-users.create',
      ['ent.members.service-users.list', 'ent.organizations.members.service-users.list'],
    ],
    ['beta.ent.service-users.api-keys.revoke', ['self.get', 'ent.members.service-users.get']],
    [
      'ent.organizations.git-providers.permissions.clear',
      ['ent.organizations.git-providers.permissions.list', 'beta.org.repositories.list'],
    ],
    ['beta.ent.acu-limits.organizations.update', ['ent.consumption.acu-limits.devin.list', 'ent.organizations.get']],
    ['ent.playbooks.replace', ['org.playbooks.list', 'org.playbooks.get', 'org.schedules.list']],
    ['beta.org.repositories.indexing.enable', ['beta.org.repositories.list', 'beta.org.repositories.indexing.get']],
    [
      'beta.ent.blueprints.update',
      ['beta.org.blueprints.list', 'beta.ent.blueprints.files.list', 'beta.org.builds.list'],
    ],
    ['outposts.devins.claim', ['org.sessions.get', 'ent.queue.get']],
    ['outposts.delete', ['outposts.list', 'beta.org.default-platform.get']],
    [
      'beta.ent.security-profiles.update',
      ['beta.org.security-profiles.list', 'beta.org.security-profile-settings.get', 'beta.ent.security-profiles.get'],
    ],
  ])('%s reaches what shows it elsewhere', (id, reads) => {
    expect(operation(id).invalidates).toEqual(expect.arrayContaining(reads))
  })

  test('leaves alone what it cannot change', () => {
    expect(operation('org.sessions.tags.append').invalidates).not.toContain('org.consumption.daily.get')
    expect(operation('org.secrets.create').invalidates).toEqual(['org.secrets.list'])
    expect(operation('org.automations.update').invalidates).not.toContain('org.automations.schemas.get')
    const never = cacheableReads.filter(
      ({ id }) => !writes.some((write) => write.id !== 'ent.organizations.delete' && write.invalidates.includes(id)),
    )
    expect(never.map(({ id }) => id)).toEqual([
      'ent.git-providers.connections.list',
      'ent.git-providers.connections.repositories.list',
      'ent.roles.list',
      'ent.consumption.cycles.list',
      'ent.hypervisors.list',
      'org.automations.schemas.get',
    ])
  })
})

describe('retired paths', () => {
  test('are each listed once and name an operation that exists', () => {
    expect(new Set(legacy.map(({ method, path }) => `${method} ${path}`)).size).toBe(legacy.length)
    const ids = operations.map(({ id }) => id)
    for (const { replacement } of legacy) if (replacement !== null) expect(ids).toContain(replacement)
    expect(tally(legacy.map(({ version }) => version))).toEqual({ v1: 23, v2: 22 })
  })

  test('include the older spelling of the session paths', () => {
    expect(legacy.find(({ path }) => path === '/v1/session/{session_id}/message')?.replacement).toBe(
      'org.sessions.messages.send',
    )
  })
})

/** A source catalogue that says what the data file says without the rules and the additions. */
function sourceOf(): Source {
  return {
    generated_from: devinApi.generated_from,
    legend: {},
    source_pages: [],
    permissions: permissions
      .filter(({ name }) => !ADDED_PERMISSIONS.some((added) => added.name === name))
      .map(({ name, scope, controls, implies, implies_basis }) => ({
        name,
        scope,
        controls,
        confirmed: true,
        inherits_org_permission: implies_basis === 'documented' ? implies : null,
        ...(implies !== null && implies_basis === 'inferred' ? { inherits_org_permission_inferred: implies } : {}),
      })),
    endpoints: operations.filter(({ id }) => !ADDED_OPERATIONS.some((added) => added.id === id)).map(sourceOperation),
    legacy_endpoints: legacy
      .filter(({ path }) => !OLDER_SPELLINGS.some((older) => older.path === path))
      .map((entry) => ({ ...entry, confirmed: true, notes: '' })),
  }
}

function sourceOperation(entry: OperationEntry): Source['endpoints'][number] {
  const { id, path, summary, scope, permission, permission_basis, cache, sensitive, stability, paginated } = entry
  const { doc_url, response, source } = entry
  const [now, better] = AMENDED_NOTES[id] ?? ['', '']
  const added = ADDED_FIELDS.filter(({ operations: ids }) => ids.includes(id))
  const addedQuery = added.flatMap(({ query = [] }) => query)
  const addedBody = added.flatMap(({ body = [] }) => body.map(({ name }) => name))
  const addedValues = ADDED_VALUES.filter(({ operation: of }) => of === id)
  // A closed set in the source, a plain string in the data.
  const method = entry.method as Source['endpoints'][number]['method']
  const documented = permission ?? (permission_basis === 'documented' ? [] : null)
  return {
    id,
    method,
    path,
    summary,
    scope,
    cache,
    sensitive,
    stability,
    paginated,
    doc_url,
    response,
    notes: entry.notes.replace(better, now),
    permission: permission_basis === 'inferred' ? null : documented,
    permission_inferred: permission_basis === 'inferred' ? permission : null,
    permission_conflict: [...entry.alternatives],
    permission_status: '',
    query: entry.query.filter((name) => !addedQuery.includes(name)),
    body: entry.body
      .filter(({ name }) => !addedBody.includes(name))
      .map((member) => {
        const values = addedValues.filter((row) => row.member === member.name).flatMap((row) => row.values)
        return { ...member, type: values.reduce((type, value) => type.replace(`|${value}`, ''), member.type) }
      }),
    success: [...entry.success],
    safe: method === 'GET',
    confirmed: source !== 'unconfirmed',
    doc_url_confirmed: source === 'page',
  }
}

/** Imports a source in which one operation was changed. */
function importWith(id: string, change: object): string {
  const source = sourceOf()
  const endpoints = source.endpoints.map((entry) => (entry.id === id ? { ...entry, ...change } : entry))
  return importCatalogue(JSON.stringify({ ...source, endpoints }))
}

describe('the additions', () => {
  test.each([
    [{ query: ['parent_session_id'] }, 'the source now has parent_session_id of org.sessions.list: remove it'],
    [{ id: 'beta.org.default-platform.get' }, 'the source now has beta.org.default-platform.get: remove it'],
  ])('are refused where the source has caught up: %j', (change, message) => {
    expect(() => importWith('org.sessions.list', change)).toThrow(message)
  })

  test('never stay silent about a note that has changed', () => {
    expect(() => importWith('org.sessions.create', { notes: 'other' })).toThrow('look at AMENDED_NOTES')
  })
})

describe('the importer', () => {
  test('writes the data file as it stands, so neither it nor the rules were changed alone', () => {
    const file = readFileSync(new URL('../../src/catalogue/devin-api.json', import.meta.url), 'utf8')
    expect(importCatalogue(JSON.stringify(sourceOf()))).toBe(file)
  })

  test('never gives a write a lifetime, whatever the source says', () => {
    const text = importWith('beta.ent.acu-limits.organizations.update', { cache: 'short' })
    expect(text).toBe(importCatalogue(JSON.stringify(sourceOf())))
  })

  test('takes the one name of a list, prefers a documented name, and drops a name that contradicts nothing', () => {
    const plain = importCatalogue(JSON.stringify(sourceOf()))
    const change = {
      permission: ['ViewOrgSessions'],
      permission_inferred: 'Read',
      permission_conflict: ['ViewOrgSessions'],
    }
    expect(importWith('org.sessions.get', change)).toBe(plain)
  })

  test.each([
    ['org.sessions.get', { permission: ['A', 'B'] }, 'org.sessions.get needs several permissions at once (A, B)'],
    ['org.sessions.get', { permission: 'ViewAll' }, 'org.sessions.get names the unknown permission ViewAll'],
    ['org.sessions.get', { permission_conflict: ['ViewAll'] }, 'org.sessions.get names the unknown permission ViewAll'],
    ['org.sessions.get', { path: '/v3/self' }, 'an operation stands there twice'],
    ['org.sessions.get', { safe: false }, 'org.sessions.get is a GET, yet safe is false'],
    ['org.sessions.get', { headers: [] }, 'the source has an unknown shape'],
    ['self.get', { id: 'self.read' }, 'there is no operation self.get'],
    [
      'org.attachments.upload',
      { id: 'org.files.upload' },
      'org.files.upload: needs a row in STALE_AFTER or NOTHING_STALE',
    ],
    ['outposts.list', { id: 'outposts.all' }, 'the pattern "outposts.list" covers no operation'],
    ['outposts.list', { cache: 'never' }, 'the row of outposts.create, outposts.delete has no write or no read'],
    [
      'org.sessions.create',
      { body: [{ name: 'bill_to', type: '{org_id:string}', required: false }] },
      'the body of org.sessions.create mentions an organization; add it to ORGANIZATION_BODY',
    ],
  ])('refuses %s with %j', (id, change, message) => {
    expect(() => importWith(id, change)).toThrow(message)
  })
})
