// What the words of an `allow` list cover, compared with the data of the catalogue read in the plainest way.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileCatalogue } from '../../src/catalogue/catalogue.ts'
import { devinApi } from '../../src/catalogue/data.ts'
import { readExtension } from '../../src/catalogue/extension.ts'
import { compileAllow } from '../../src/policy/compile/allow.ts'
import { catalogue, operationOf, wholeCatalogue } from '../support/policies.ts'

const allow = compileAllow(catalogue)
const served = catalogue.operations.filter((operation) => catalogue.isServed(operation))

/** Ids of what a word covers, in the order of the catalogue. */
function covered(word: string): string[] {
  return catalogue.operations.filter(({ index }) => allow(word).operations.includes(index)).map(({ id }) => id)
}

/** By a compiler of its own: after many mistakes there are no more hints. */
function messages(word: string): string[] {
  return compileAllow(catalogue)(word).problems.map(({ severity, message }) => `${severity}: ${message}`)
}

const implied = new Map(
  devinApi.permissions.flatMap(({ name, implies }) => (implies === null ? [] : [[name, implies] as const])),
)

describe('a permission name', () => {
  test.each([...catalogue.permissions.names])(
    'covers exactly the operations that need it, and those of organizations that it inherits to: %s',
    (name) => {
      const expected = devinApi.operations
        .filter(({ stability }) => stability === 'stable' || stability === 'beta')
        .filter(
          ({ permission, scope }) =>
            permission === name ||
            (scope === 'organization' && permission !== null && permission === implied.get(name)),
        )
        .map(({ id }) => id)
      expect(covered(name)).toEqual(expected)
      expect(messages(name)).toEqual([])
    },
  )

  test('covers operations whose permission is only inferred', () => {
    expect(operationOf('org.sessions.tags.append').permissionBasis).toBe('inferred')
    expect(covered('ManageOrgSessions')).toContain('org.sessions.tags.append')
  })

  test('of an organization covers no enterprise operation', () => {
    for (const name of ['ViewOrgSessions', 'ManageOrgSessions', 'ViewOrgMetrics', 'ManageOrgPlaybooks']) {
      for (const id of covered(name)) expect(operationOf(id).scope, id).toBe('organization')
    }
  })

  test("of the enterprise covers its own operations and the organization's that it stands for", () => {
    const both = covered('ViewAccountSessions')
    expect(both).toEqual(expect.arrayContaining(['ent.sessions.list', 'org.sessions.list', 'org.sessions.get']))
    expect(covered('ViewOrgSessions')).not.toContain('ent.sessions.list')
    expect(both).not.toContain('org.sessions.create')
  })

  test('that is only another name of a disputed operation never covers it', () => {
    let disputed = 0
    for (const operation of served) {
      for (const alternative of operation.alternatives) {
        disputed += 1
        if (operation.scope === 'organization' && implied.get(alternative) === operation.permission) {
          // ViewAccountMetrics stands for ViewOrgMetrics by inheritance, whatever else it is.
          expect(covered(alternative)).toContain(operation.id)
        } else {
          expect(covered(alternative), `${alternative} and ${operation.id}`).not.toContain(operation.id)
        }
      }
    }
    expect(disputed).toBeGreaterThan(30)
  })

  test('never covers an operation that needs none: such a one is granted by its id, alone or in a pattern', () => {
    const words = compileAllow(wholeCatalogue)
    for (const id of ['self.get', 'beta.org.searches.list', 'beta.ent.searches.list']) {
      const index = wholeCatalogue.operation(id)?.index ?? -1
      for (const name of catalogue.permissions.names) expect(words(name).operations).not.toContain(index)
      for (const word of [id, '*', `${id.slice(0, id.lastIndexOf('.'))}.*`])
        expect(words(word).operations, word).toContain(index)
    }
  })

  test('is held by the grant, with what it stands for, so that bodies can be judged', () => {
    expect(allow('ImpersonateOrgSessions').permissions).toEqual(['ImpersonateOrgSessions'])
    expect([...allow('ManageAccountSnapshots').permissions].sort()).toEqual([
      'ManageAccountSnapshots',
      'ManageOrgSnapshots',
    ])
  })

  test('that no operation needs covers nothing and is fine: bodies may ask for it', () => {
    expect(covered('ImpersonateOrgSessions')).toEqual([])
    expect(messages('ImpersonateOrgSessions')).toEqual([])
  })
})

describe('an operation id', () => {
  test('covers that operation alone, whatever it needs, and holds no permission', () => {
    for (const { id, index } of served)
      expect(allow(id)).toEqual({ operations: [index], permissions: [], problems: [] })
  })
})

describe('a pattern', () => {
  test.each([
    ['org.playbooks.*', (id: string) => id.startsWith('org.playbooks.')],
    ['org.*', (id: string) => id.startsWith('org.')],
    ['*', () => true],
    ['*.*', (id: string) => id.includes('.')],
    ['org.*.list', (id: string) => /^org\.[^.]+\.list$/.test(id)],
    ['*.sessions.list', (id: string) => /^[^.]+\.sessions\.list$/.test(id)],
    ['org.*.*', (id: string) => /^org\.[^.]+\..+$/.test(id)],
    ['*.*.get', (id: string) => /^[^.]+\.[^.]+\.get$/.test(id)],
  ])('%s: one segment for each star, all that follow for a final one', (pattern, matches) => {
    const expected = served.map(({ id }) => id).filter(matches)
    expect(expected.length).toBeGreaterThan(0)
    expect(covered(pattern)).toEqual(expected)
    expect(allow(pattern)).toMatchObject({ permissions: [], problems: [] })
  })

  test('needs at least one segment where its final star stands', () => {
    const short = served.find(({ id }) => served.some((other) => other.id.startsWith(`${id}.`)))
    if (short !== undefined) expect(covered(`${short.id}.*`)).not.toContain(short.id)
    expect(covered('self.*')).toEqual(['self.get'])
    expect(messages('self.get.*')).toEqual(['error: the pattern "self.get.*" covers no operation of the catalogue'])
  })

  test('is no part of a segment, and its dots are dots', () => {
    for (const pattern of [
      'org.sess*',
      'org.*ions.list',
      'org*',
      'orgXsessions.*',
      'org.sessions.list*',
      '**',
      'org..*',
      '',
    ]) {
      expect(covered(pattern), pattern).toEqual([])
      expect(messages(pattern), pattern).toHaveLength(1)
      expect(messages(pattern)[0], pattern).toMatch(/^error: /)
    }
  })

  test('covers no operation that is switched off', () => {
    const onlyStable = compileCatalogue({ data: devinApi, stability: ['stable'], extensions: [] }).catalogue
    const words = compileAllow(onlyStable)
    for (const word of ['*', 'beta.*', 'beta.org.searches.list', 'ManageRepoBlueprints', 'IndexOrgRepositories']) {
      for (const index of words(word).operations) expect(onlyStable.operations[index]?.stability).toBe('stable')
    }
  })

  test('says the same as a regular expression made from it, for patterns made of any ids', () => {
    const segments = [...new Set(catalogue.operations.flatMap(({ id }) => id.split('.')))]
    const drawn = fc
      .tuple(
        fc.constantFrom(...served),
        fc.array(fc.constantFrom('keep', 'keep', '*', 'cut', 'other'), { minLength: 5, maxLength: 5 }),
      )
      .map(([{ id }, changes]) =>
        id
          .split('.')
          .flatMap((segment, index) => {
            const change = changes[index]
            if (change === 'cut') return []
            return [change === '*' ? '*' : change === 'other' ? (segments[index * 7] ?? segment) : segment]
          })
          .join('.'),
      )
      .filter((pattern) => pattern.includes('*'))
    fc.assert(
      fc.property(drawn, (pattern) => {
        const parts = pattern.split('.')
        const source = parts
          .map((part, index) => (part !== '*' ? part : index === parts.length - 1 ? '.+' : '[^.]+'))
          .join('\\.')
        expect(covered(pattern)).toEqual(served.map(({ id }) => id).filter((id) => new RegExp(`^${source}$`).test(id)))
      }),
      { numRuns: 1000, seed: 31 },
    )
  })
})

describe('a word that covers nothing', () => {
  test.each([
    ['ViewOrgSesions', 'error: unknown permission "ViewOrgSesions"; did you mean "ViewOrgSessions"?'],
    ['viewOrgSessions', 'error: unknown permission "viewOrgSessions"; did you mean "ViewOrgSessions"?'],
    ['MangeOrgSecrets', 'error: unknown permission "MangeOrgSecrets"; did you mean "ManageOrgSecrets"?'],
    ['Everything', 'error: unknown permission "Everything"'],
    ['constructor', 'error: unknown permission "constructor"'],
    ['org.sesions.list', 'error: unknown operation "org.sesions.list"; did you mean "org.sessions.list"?'],
    ['org.sessions.lists', 'error: unknown operation "org.sessions.lists"; did you mean "org.sessions.list"?'],
    ['Org.Sessions.List', 'error: unknown operation "Org.Sessions.List"; did you mean "org.sessions.list"?'],
    ['completely.different.thing.altogether', 'error: unknown operation "completely.different.thing.altogether"'],
    [
      'org.sesions.*',
      'error: the pattern "org.sesions.*" covers no operation of the catalogue; did you mean "org.sessions.*"?',
    ],
  ])('is an error with the nearest spelling: %s', (word, message) => {
    expect(messages(word)).toEqual([message])
    expect(allow(word)).toMatchObject({ operations: [], permissions: [] })
  })

  test('because its operation is of a class that is not served is a warning that says which', () => {
    expect(messages('ent.consumption.daily.get')).toEqual([])
    const unserved = catalogue.operations.find((operation) => !catalogue.isServed(operation))
    expect(messages(unserved?.id ?? '')).toEqual([
      `warning: "${unserved?.id}" covers no operation that is served: ${unserved?.id} is of stability class ${unserved?.stability} (see catalogue.stability)`,
    ])
  })
})

describe('an extension', () => {
  test('brings permissions that grants can name, and its operations are covered by them, by id and by pattern', () => {
    const { extension } = readExtension({
      file: 'more.yaml',
      text: `
operations:
  - { id: org.reports.list, method: GET, path: "/v3/organizations/{org_id}/reports", scope: organization, permission: ReadReports }
  - { id: org.reports.raw, method: GET, path: "/v3/organizations/{org_id}/reports/raw", scope: organization }
  - { id: ent.reports.list, method: GET, path: /v3/enterprise/reports, scope: enterprise, permission: ViewOrgSessions }
`,
    })
    const extended = compileCatalogue({
      data: devinApi,
      stability: ['stable'],
      extensions: extension === null ? [] : [extension],
    }).catalogue
    const words = compileAllow(extended)
    const ids = (word: string) => words(word).operations.map((index) => extended.operations[index]?.id)
    expect(ids('ReadReports')).toEqual(['org.reports.list'])
    expect(ids('org.reports.*')).toEqual(['org.reports.list', 'org.reports.raw'])
    expect(ids('org.reports.raw')).toEqual(['org.reports.raw'])
    // Inheritance gives rights in organizations, not at enterprise scope.
    expect(ids('ViewOrgSessions')).toContain('ent.reports.list')
    expect(ids('ViewAccountSessions')).not.toContain('ent.reports.list')
  })
})
