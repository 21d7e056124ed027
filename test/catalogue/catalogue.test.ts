// The compiled catalogue: what is served, what joins it from extension files, and where old paths lead.

import { describe, expect, test } from 'vitest'
import { compileCatalogue, type Catalogue } from '../../src/catalogue/catalogue.ts'
import { devinApi } from '../../src/catalogue/data.ts'
import { readExtension } from '../../src/catalogue/extension.ts'
import type { Stability } from '../../src/catalogue/operation.ts'
import { formatDiagnostic } from '../../src/config/diagnostics.ts'
import { catalogue } from '../support/policies.ts'

function compile(texts: readonly string[] = [], stability: readonly Stability[] = ['stable', 'beta']) {
  const extensions = texts.map((text, index) => {
    const { extension, diagnostics } = readExtension({ file: `more-${index + 1}.yaml`, text })
    if (extension === null) throw new Error(diagnostics.map(formatDiagnostic).join('\n'))
    return extension
  })
  const compiled = compileCatalogue({ data: devinApi, stability, extensions })
  return { catalogue: compiled.catalogue, lines: compiled.diagnostics.map(formatDiagnostic) }
}

/** The operation's id, or why there is none. */
function found(from: Catalogue, request: string): string {
  const [method = '', path = ''] = request.split(' ')
  const result = from.match(method, path.slice(1).split('/'))
  if ('id' in result) return result.id
  return result.why === 'unserved' ? `unserved ${result.operation.id}` : result.why
}

const reports = `
operations:
  - id: org.reports.list
    method: GET
    path: /v3/organizations/{org_id}/reports
    scope: organization
    permission: ViewOrgSessions
  - id: org.reports.file
    method: GET
    path: /v3/organizations/{org_id}/reports/{path}
    scope: organization
    slashes: [path]
`

describe('the catalogue', () => {
  test('holds all operations of the data under their ids and positions', () => {
    expect(catalogue.operations).toHaveLength(devinApi.operations.length)
    for (const [index, operation] of catalogue.operations.entries()) {
      expect(operation.index).toBe(index)
      expect(catalogue.operation(operation.id)).toBe(operation)
    }
    expect(catalogue.operation('org.sessions')).toBeNull()
    expect(catalogue.operation('constructor')).toBeNull()
  })

  test('knows the segment of the organization in every path that has one, enterprise paths included', () => {
    for (const operation of catalogue.operations) {
      const { segment } = operation.organizations
      expect(operation.template.includes('{org_id}'), operation.id).toBe(segment !== -1)
      if (segment !== -1) expect(operation.segments[segment]).toBe('{org_id}')
      if (operation.scope === 'organization') expect(segment, operation.id).toBeGreaterThan(0)
    }
  })

  test('serves the stability classes of the configuration, and tells an operation that is switched off from an unknown one', () => {
    const stable = compile([], ['stable']).catalogue
    expect(found(stable, 'GET /v3/organizations/o/sessions')).toBe('org.sessions.list')
    expect(found(stable, 'GET /v3beta1/organizations/o/repositories')).toBe('unserved beta.org.repositories.list')
    expect(found(compile([], ['stable', 'beta']).catalogue, 'GET /v3beta1/organizations/o/repositories')).toBe(
      'beta.org.repositories.list',
    )
    expect(found(stable, 'GET /v3/organizations/o/nothing')).toBe('path')
    for (const operation of stable.operations) expect(stable.isServed(operation)).toBe(operation.stability === 'stable')
  })

  test('serves nothing at all when no class is served', () => {
    const none = compile([], []).catalogue
    expect(none.operations.some((operation) => none.isServed(operation))).toBe(false)
    expect(found(none, 'GET /v3/self')).toBe('unserved self.get')
  })
})

describe('an extension file', () => {
  test('adds operations that are matched, counted and served like the built-in ones', () => {
    const { catalogue: extended, lines } = compile([reports])
    expect(lines).toEqual([])
    expect(extended.operations).toHaveLength(catalogue.operations.length + 2)
    expect(found(extended, 'GET /v3/organizations/o/reports')).toBe('org.reports.list')
    expect(found(extended, 'HEAD /v3/organizations/o/reports')).toBe('org.reports.list')
    expect(found(extended, 'GET /v3/organizations/o/reports/a%2Fb')).toBe('org.reports.file')
    expect(found(extended, 'GET /v3/organizations/o%2Fp/reports/a')).toBe('ambiguous')
    expect(extended.operation('org.reports.list')).toMatchObject({
      index: catalogue.operations.length,
      scope: 'organization',
      permission: 'ViewOrgSessions',
      permissionBasis: 'documented',
      stability: 'stable',
      cache: 'never',
      source: 'more-1.yaml',
      organizations: { segment: 2, query: [], body: [] },
    })
    expect(extended.operation('org.reports.file')).toMatchObject({
      permission: null,
      permissionBasis: null,
      slashes: ['path'],
    })
  })

  test('can name an operation that no configuration serves, until somebody has looked at it', () => {
    const every = ['stable', 'beta', 'early-access', 'deprecated', 'superseded', 'removed?'] as const
    const text = `
operations:
  - id: org.fresh.list
    method: GET
    path: /v3/organizations/{org_id}/fresh
    scope: organization
    served: false
`
    const { catalogue: extended, lines } = compile([text], every)
    expect(lines).toEqual([])
    expect(found(extended, 'GET /v3/organizations/o/fresh')).toBe('unserved org.fresh.list')
  })

  test('that repeats an id or a request of the catalogue is an error at its line', () => {
    const { lines } = compile([
      `
operations:
  - id: self.get
    method: GET
    path: /v3/my/self
    scope: any
  - id: org.my.sessions
    method: GET
    path: /v3/organizations/{org}/sessions
    scope: enterprise
`,
    ])
    expect(lines).toEqual([
      'more-1.yaml:3:9: operation "self.get" is already in the catalogue: self.get, GET /v3/self (catalogue)',
      'more-1.yaml:7:9: operation "org.my.sessions" is already in the catalogue: org.sessions.list, GET /v3/organizations/{org_id}/sessions (catalogue)',
    ])
  })

  test('that repeats an operation of another extension file says where the other one is', () => {
    const { lines } = compile([reports, reports])
    expect(lines).toEqual([
      'more-2.yaml:3:9: operation "org.reports.list" is already in the catalogue: org.reports.list, GET /v3/organizations/{org_id}/reports (more-1.yaml)',
      'more-2.yaml:8:9: operation "org.reports.file" is already in the catalogue: org.reports.file, GET /v3/organizations/{org_id}/reports/{path} (more-1.yaml)',
    ])
  })

  test('that invalidates an unknown operation is an error with the nearest spelling', () => {
    const { lines } = compile([
      `
operations:
  - id: org.reports.create
    method: POST
    path: /v3/organizations/{org_id}/reports
    scope: organization
    permission: ManageOrgSessions
    invalidates: [org.sesions.list, org.sessions.get]
`,
    ])
    expect(lines).toEqual([
      'more-1.yaml:3:9: invalidates: unknown operation "org.sesions.list"; did you mean "org.sessions.list"?',
    ])
  })

  test('that names a permission nearly like a known one warns, and another new name is simply known from then on', () => {
    const { catalogue: extended, lines } = compile([
      `
operations:
  - id: org.reports.list
    method: GET
    path: /v3/organizations/{org_id}/reports
    scope: organization
    permission: ViewOrgSesions
  - id: org.reports.export
    method: POST
    path: /v3/organizations/{org_id}/reports/export
    scope: organization
    permission: Reporting Desk Everything
`,
    ])
    expect(lines).toEqual([
      'more-1.yaml:3:9: warning: permission "ViewOrgSesions" is new to the catalogue; did you mean "ViewOrgSessions"?',
    ])
    expect(extended.permissions.names.has('Reporting Desk Everything')).toBe(true)
    expect(catalogue.permissions.names.has('Reporting Desk Everything')).toBe(false)
  })
})

describe('an old path', () => {
  const replacement = (request: string) => {
    const [method = '', path = ''] = request.split(' ')
    return catalogue.replacementOf(method, path.slice(1).split('/'))?.id ?? null
  }

  test.each([
    ['POST /v1/sessions', 'org.sessions.create'],
    ['GET /v1/sessions', 'org.sessions.list'],
    ['HEAD /v1/sessions', 'org.sessions.list'],
    ['GET /v1/sessions/devin-1', 'org.sessions.get'],
    ['POST /v1/sessions/devin-1/message', 'org.sessions.messages.send'],
    ['GET /v2/enterprise/audit-logs', 'ent.audit-logs.list'],
  ])('names its successor: %s', (request, id) => {
    expect(replacement(request)).toBe(id)
  })

  test.each([
    ['POST /v2/enterprise/organizations', 'ent.organizations.create'],
    ['PATCH /v2/enterprise/organizations/org-1', 'ent.organizations.update'],
    ['GET /v2/enterprise/hypervisors/h-1', null],
    ['GET /v2/enterprise/git-providers/connections', 'ent.git-providers.connections.list'],
    ['GET /v1/schedules', 'org.schedules.list'],
    ['GET /v1/self', 'self.get'],
    ['GET /beta/v2/enterprise/queue', 'ent.queue.get'],
    ['GET /v1/enterprise/playbooks/p-1', 'ent.playbooks.get'],
    ['GET /v2/repositories', 'beta.org.repositories.list'],
  ])('that no page lists names what has its path in a newer version: %s', (request, id) => {
    expect(replacement(request)).toBe(id)
  })

  test.each(['GET /v1/nothing', 'PATCH /v1/sessions', 'GET /v2', 'GET /v3/self', 'GET /'])(
    'unknown as such has none: %s',
    (request) => {
      expect(replacement(request)).toBeNull()
    },
  )

  test('leads to a known operation wherever the data names one', () => {
    for (const { method, path, replacement: id } of devinApi.legacy) {
      if (id === null) continue
      expect(replacement(`${method} ${path.replaceAll(/\{\w+\}/g, 'x1')}`), `${method} ${path}`).toBe(id)
      expect(found(catalogue, `${method} ${path}`), path).toBe('path')
    }
  })
})
