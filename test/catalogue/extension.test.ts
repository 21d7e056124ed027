import { describe, expect, it } from 'vitest'
import { readExtension } from '../../src/catalogue/extension.ts'
import { cursorPaging } from '../../src/catalogue/paging.ts'
import { formatDiagnostic } from '../../src/config/diagnostics.ts'

const full = `operations:
  - id: org.reports.get
    method: GET
    path: /v3/organizations/{org_id}/reports/{report}
    scope: organization
    permission: ViewOrgReports
    cache: short
    slashes: [report]
  - id: ent.reports.create
    method: POST
    path: /v3/enterprise/reports
    scope: enterprise
    permission: null
    invalidates: [org.reports.get]
    idempotent: true
  - id: ent.reports.list
    method: GET
    path: /v3/enterprise/reports
    scope: enterprise
    answer: { form: page, items: reports, organization: org_id, id: report_id, paging: cursor }
`

function problems(text: string): string[] {
  const { extension, diagnostics } = readExtension({ file: 'ext.yaml', text })
  expect(extension).toBeNull()
  return diagnostics.map(formatDiagnostic)
}

describe('an extension file', () => {
  it('is read as it is meant, with the place of each operation', () => {
    expect(readExtension({ file: 'ext.yaml', text: full })).toEqual({
      diagnostics: [],
      extension: {
        file: 'ext.yaml',
        operations: [
          {
            id: 'org.reports.get',
            method: 'GET',
            path: '/v3/organizations/{org_id}/reports/{report}',
            scope: 'organization',
            permission: 'ViewOrgReports',
            cache: 'short',
            slashes: ['report'],
            invalidates: [],
            answer: null,
            idempotent: false,
            served: true,
            position: { line: 2, column: 9 },
          },
          {
            id: 'ent.reports.create',
            method: 'POST',
            path: '/v3/enterprise/reports',
            scope: 'enterprise',
            permission: null,
            cache: 'never',
            slashes: [],
            invalidates: ['org.reports.get'],
            answer: null,
            idempotent: true,
            served: true,
            position: { line: 9, column: 9 },
          },
          {
            id: 'ent.reports.list',
            method: 'GET',
            path: '/v3/enterprise/reports',
            scope: 'enterprise',
            permission: null,
            cache: 'never',
            slashes: [],
            invalidates: [],
            idempotent: false,
            served: true,
            answer: {
              form: 'page',
              items: 'reports',
              organizations: ['org_id'],
              optional: false,
              id: 'report_id',
              paging: cursorPaging,
            },
            position: { line: 16, column: 9 },
          },
        ],
      },
    })
  })

  const id = 'must be lower-case words with dots between them, like org.reports.list'
  const parameter = 'a parameter is a whole segment, written {name} in letters, digits, "_" and "-"'

  it.each<[string, string, string, string[]]>([
    ['an id of one word', 'id: org.reports.get', 'id: reports', [`ext.yaml:2:9: ${id}`]],
    ['an id with capitals', 'id: org.reports.get', 'id: org.Reports.get', [`ext.yaml:2:9: ${id}`]],
    ['an id with a pattern', 'id: org.reports.get', 'id: org.reports.*', [`ext.yaml:2:9: ${id}`]],
    [
      'an id twice',
      'id: ent.reports.create',
      'id: org.reports.get',
      ['ext.yaml:9:9: operation "org.reports.get" appears twice'],
    ],
    ['a bare list that is paged', 'form: page', 'form: list', ['ext.yaml:20:88: only a page is paged by cursor']],
    ['an answer without form', 'form: page, ', '', ['ext.yaml:20:5: missing key "form"']],
    [
      'a method in small letters',
      'method: GET',
      'method: get',
      [
        'ext.yaml:3:13: expected "GET", "POST", "PUT", "PATCH", "DELETE" or "M-SEARCH", found the text "get"; did you mean "GET"?',
      ],
    ],
    [
      'a method that follows another',
      'method: GET',
      'method: OPTIONS',
      ['ext.yaml:3:13: expected "GET", "POST", "PUT", "PATCH", "DELETE" or "M-SEARCH", found the text "OPTIONS"'],
    ],
    [
      'a read that a key makes safe to repeat',
      '    cache: short\n',
      '    idempotent: true\n    cache: short\n',
      ['ext.yaml:7:17: is about POST and PATCH: other methods may be repeated without a key'],
    ],
    [
      'a path without a slash',
      'path: /v3/enterprise/reports',
      'path: v3/enterprise/reports',
      ['ext.yaml:11:11: a path begins with "/"'],
    ],
    [
      'a path with a query',
      'path: /v3/enterprise/reports',
      'path: /v3/enterprise/reports?x=1',
      ['ext.yaml:11:11: a path has no query and no fragment: remove what begins with "?" or "#"'],
    ],
    [
      'an empty segment',
      'path: /v3/enterprise/reports',
      'path: /v3//reports',
      ['ext.yaml:11:11: a path has no empty segments and no final "/"'],
    ],
    [
      'a final slash',
      'path: /v3/enterprise/reports',
      'path: /v3/reports/',
      ['ext.yaml:11:11: a path has no empty segments and no final "/"'],
    ],
    [
      'the root',
      'path: /v3/enterprise/reports',
      'path: /',
      ['ext.yaml:11:11: a path has no empty segments and no final "/"'],
    ],
    [
      'a dot segment',
      'path: /v3/enterprise/reports',
      'path: /v3/../reports',
      ['ext.yaml:11:11: a path has no "." and ".." segments'],
    ],
    [
      'half a parameter',
      'path: /v3/enterprise/reports',
      'path: /v3/reports-{id}',
      [`ext.yaml:11:11: "reports-{id}": ${parameter}`],
    ],
    [
      'a parameter without a name',
      'path: /v3/enterprise/reports',
      'path: /v3/{}',
      [`ext.yaml:11:11: "{}": ${parameter}`],
    ],
    [
      'a parameter twice',
      'path: /v3/enterprise/reports',
      'path: /v3/{id}/x/{id}',
      ['ext.yaml:11:11: the parameter {id} appears twice'],
    ],
    [
      'an escape',
      'path: /v3/enterprise/reports',
      'path: /v3/a%2Fb',
      ['ext.yaml:11:11: "a%2Fb" holds a character that must be escaped in a path: such segments cannot be literal'],
    ],
    [
      'a semicolon',
      'path: /v3/enterprise/reports',
      'path: /v3/a;b',
      ['ext.yaml:11:11: "a;b" holds a character that must be escaped in a path: such segments cannot be literal'],
    ],
    [
      "the gateway's own path",
      'path: /v3/enterprise/reports',
      'path: /gateway/v1/me',
      ["ext.yaml:11:11: paths under /gateway/ are the gateway's own"],
    ],
    [
      'an unknown scope',
      'scope: organization',
      'scope: organisation',
      [
        'ext.yaml:5:12: expected "organization", "enterprise" or "any", found the text "organisation"; did you mean "organization"?',
      ],
    ],
    [
      'no place for the organization',
      'scope: enterprise',
      'scope: organization',
      ['ext.yaml:12:12: an operation of organization scope needs {org_id} as a segment of its path'],
    ],
    [
      'an unknown cache class',
      'cache: short',
      'cache: shrot',
      [
        'ext.yaml:7:12: expected "never", "micro", "short", "medium", "long", "closed-window-long", "rfc9111" or "rfc9111-heuristic", found the text "shrot"; did you mean "short"?',
      ],
    ],
    [
      'a kept answer to a write',
      'permission: null',
      'permission: null\n    cache: rfc9111',
      ['ext.yaml:14:12: answers to POST are never kept: remove the key, or write never'],
    ],
    [
      'slashes in nothing',
      'slashes: [report]',
      'slashes: [report, name]',
      ['ext.yaml:8:23: the path has no parameter {name}'],
    ],
    [
      'a pattern to invalidate',
      'invalidates: [org.reports.get]',
      'invalidates: [org.reports.*]',
      [`ext.yaml:14:19: ${id}`],
    ],
    ['an empty permission', 'permission: null', 'permission: ""', ['ext.yaml:13:17: must not be empty']],
    [
      'an unknown key',
      'permission: null',
      'permision: null',
      ['ext.yaml:13:5: unknown key "permision"; did you mean "permission"?'],
    ],
    ['a missing scope', '    scope: enterprise\n', '', ['ext.yaml:9:5: missing key "scope"']],
  ])('with %s is refused at its place', (_, written, instead, messages) => {
    expect(full).toContain(written)
    expect(problems(full.replace(written, instead))).toEqual(messages)
  })

  it('cannot hold two operations that a request could not tell apart', () => {
    const two =
      'operations:\n  - { id: a.b, method: GET, path: "/v3/x/{a}", scope: any }\n  - { id: a.c, method: GET, path: "/v3/x/{b}", scope: any }\n'
    expect(problems(two)).toEqual(['ext.yaml:3:35: the request "GET /v3/x/{}" appears twice'])
    expect(
      readExtension({ file: 'ext.yaml', text: two.replace('a.c, method: GET', 'a.c, method: PUT') }).extension,
    ).not.toBeNull()
  })

  it('says how to write a path inside braces', () => {
    expect(problems('operations:\n  - { id: a.b, method: GET, path: /v3/{a}, scope: any }\n')).toEqual([
      'ext.yaml:2:39: unexpected "{"; texts that hold { } [ ] or , must be in quotes inside { … } and [ … ]',
    ])
  })
})
