// Invariants: rules about the whole policy set. A set that breaks one is refused, with a request that breaks it.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDiagnostic } from '../../src/config/diagnostics.ts'
import { compileInvariants } from '../../src/policy/invariants/invariant.ts'
import { brokenInvariants } from '../../src/policy/invariants/check.ts'
import { readInvariants } from '../../src/policy/documents/invariant-document.ts'
import { ask, policyFrom, principalOf, type PolicyFiles } from '../support/policies.ts'

const keys = `keys:
  - { id: a, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSessions, ManageOrgSecrets, ImpersonateOrgSessions], secret: { env: A } }
  - { id: b, scope: organization, organization: org-b, permissions: [ViewOrgSessions, ManageOrgSessions], secret: { env: B } }
  - { id: top, scope: enterprise, permissions: [ManageOrganizations, ViewAccountSessions, ManageEnterpriseSettings], serves_organizations: all, secret: { env: E } }
`
const teamOf = (id: string, organizations: string, allow: string, more = '') =>
  `team: ${id}\nmembers: [{ groups: [${id}] }]\norganizations: ${organizations}\ngrants: [{ id: g, allow: [${allow}]${more} }]\n`

function check(files: PolicyFiles, invariants: string): readonly string[] {
  const policy = policyFrom({ 'keys.yaml': keys, ...files })
  const { document, diagnostics } = readInvariants('invariants.yaml', `invariants:\n${invariants}\n`)
  if (document === null) return diagnostics.map(formatDiagnostic)
  const compiled = compileInvariants([document], policy)
  if (compiled.diagnostics.length > 0) return compiled.diagnostics.map(formatDiagnostic)
  return brokenInvariants(policy, compiled.invariants).map(formatDiagnostic)
}

const eng = { 'teams/eng.yaml': teamOf('eng', '[org-a, org-b]', 'ViewOrgSessions') }

describe('never', () => {
  test('names the invariant, its line, the caller, the grant, the key and a request', () => {
    const files = { 'teams/eng.yaml': teamOf('eng', 'all', 'ent.organizations.*') }
    const [line, ...others] = check(files, '  - { id: keep, never: { do: [ent.organizations.delete] } }')
    expect(others).toEqual([])
    expect(line).toMatch(
      /^invariants\.yaml:2:11: invariant "keep" is broken: a member of eng with groups eng may do ent\.organizations\.delete.*, by grant g \(eng\.yaml:4\), with key top \(enterprise\): DELETE \/v3\/enterprise\/organizations\/org-[a-z-]+/,
    )
    expect(check(eng, '  - { id: keep, never: { do: [ent.organizations.delete] } }')).toEqual([])
  })

  test('holds for what is granted and has no key yet', () => {
    const files = { 'teams/eng.yaml': teamOf('eng', '[org-b]', 'ManageOrgSecrets') }
    expect(check(files, '  - { id: x, never: { do: [org.secrets.list] } }')[0]).toContain(
      'for which there is no key yet',
    )
  })

  test('that says nothing, because it excepts every team, is warned of', () => {
    const two = { ...eng, 'teams/ops.yaml': teamOf('ops', '[org-a]', 'ViewOrgSessions') }
    const warned = (about: string): readonly string[] =>
      check(two, `  - { id: x, never: { ${about}, do: [org.secrets.list] } }`)
    expect(warned('teams: { except: [eng, ops] }')).toEqual([
      'invariants.yaml:2:40: warning: every team is excepted: the invariant says nothing until there is another one',
    ])
    expect(warned('teams: { except: [eng] }')).toEqual([])
  })

  test('counts callers who may act as the user that they have at Devin', () => {
    const ruled = (body: string): PolicyFiles => ({
      'teams/eng.yaml': teamOf('eng', '[org-a]', 'ManageOrgSessions, ImpersonateOrgSessions'),
      'guardrails.yaml': `guardrails:\n  - { id: self, on: [org.sessions.*, org.schedules.*], body: { ${body} } }\n`,
    })
    const never = '  - { id: x, never: { do: [ImpersonateOrgSessions] } }'
    const fields = ['create_as_user_id', 'message_as_user_id', 'run_as_user_id']
    const self = ruled(fields.map((field) => `${field}: { equals: principal.devin_user_id }`).join(', '))
    expect(check(self, never)[0]).toMatch(/a member of eng .* may do org\.sessions\.create with create_as_user_id/)
    expect(check(self, '  - { id: x, always: { teams: [eng], do: [org.sessions.create] } }')).toEqual([])
    expect(check(ruled(fields.map((field) => `${field}: { forbid: true }`).join(', ')), never)).toEqual([])
  })

  test.each([
    ['teams by name', '{ teams: [eng], do: [ViewOrgSessions] }', true],
    ['other teams', '{ teams: { except: [eng] }, do: [ViewOrgSessions] }', false],
    ['callers', '{ callers: { groups: [eng] }, do: [ViewOrgSessions] }', true],
    ['callers who act for others', '{ callers: { delegated: true }, do: [ViewOrgSessions] }', true],
    [
      'callers with an attribute beside that of the team',
      '{ callers: { groups: [night] }, do: [ViewOrgSessions] }',
      true,
    ],
    ['writes', '{ do: [org.*], write: true }', false],
    ['reads', '{ do: [org.*], write: false }', true],
    ['organizations that are named', '{ do: [org.*], organizations: [org-b] }', true],
    ['an organization outside of the fence', '{ do: [org.*], organizations: [org-c] }', false],
    ['own organizations', '{ do: [org.*], organizations: own }', true],
    ['others', '{ do: [org.*], organizations: outside }', false],
    ['organization keys', '{ do: [org.*], key: { scope: organization } }', true],
    ['enterprise keys', '{ do: [org.*], key: { scope: enterprise } }', false],
    ['keys by what they hold', '{ do: [org.*], key: { permissions: [ImpersonateOrgSessions] } }', true],
    ['the scope of operations', '{ scope: enterprise }', false],
  ])('speaks of %s', (_what, about, isBroken) => {
    expect(check(eng, `  - { id: x, never: ${about} }`).some((line) => !line.includes('warning: '))).toBe(isBroken)
  })

  test('of a permission means requests whose body needs it, too', () => {
    const files = { 'teams/eng.yaml': teamOf('eng', '[org-a]', 'ManageOrgSessions, ImpersonateOrgSessions') }
    const [line] = check(files, '  - { id: x, never: { do: [ImpersonateOrgSessions] } }')
    expect(line).toContain('create_as_user_id')
    const without = { 'teams/eng.yaml': teamOf('eng', '[org-a]', 'ManageOrgSessions') }
    expect(check(without, '  - { id: x, never: { do: [ImpersonateOrgSessions] } }')).toEqual([])
  })

  test('outside means all but the default organization for a team with all of them', () => {
    const files = { 'teams/eng.yaml': `${teamOf('eng', 'all', 'ManageOrgSecrets')}default_organization: org-a\n` }
    const own = '  - { id: x, never: { do: [org.secrets.*], organizations: outside } }'
    expect(check(files, own)[0]).toMatch(/in org-(?:b|any-other)/)
    expect(check({ 'teams/eng.yaml': teamOf('eng', '[org-a]', 'ManageOrgSecrets') }, own)).toEqual([])
  })
})

describe('always', () => {
  const readable = '  - { id: x, always: { teams: [eng], do: [org.sessions.list] } }'

  test('is broken by a grant that goes, a condition that comes, a key that is missing', () => {
    expect(check(eng, readable)).toEqual([])
    expect(check({ 'teams/eng.yaml': teamOf('eng', '[org-a]', 'org.playbooks.list') }, readable)[0]).toContain(
      'may not do org.sessions.list in org-a (not-granted): GET /v3/organizations/org-a/sessions',
    )
    const narrowed = { 'teams/eng.yaml': teamOf('eng', '[org-a]', 'ViewOrgSessions', ', when: { app: [bot] }') }
    expect(check(narrowed, readable)).toHaveLength(1)
    const unserved = {
      ...eng,
      'keys.yaml': keys
        .replace('serves_organizations: all, ', '')
        .replace('organization: org-b', 'organization: org-c'),
    }
    expect(check(unserved, readable)[0]).toContain('in org-b (key-unavailable)')
  })

  test('can demand a kind of key', () => {
    const enterprise = '  - { id: x, always: { do: [org.sessions.list], key: { scope: enterprise } } }'
    expect(check(eng, enterprise)[0]).toContain('does org.sessions.list')
  })
})

describe('always, of a team with all organizations', () => {
  const audit = { 'teams/audit.yaml': teamOf('audit', 'all', 'ent.sessions.list') }
  const readable = '  - { id: x, always: { teams: [audit], do: [ent.sessions.list] } }'
  const keyed = (permissions: string) => ({
    'keys.yaml': `keys:\n  - { id: top, scope: enterprise, permissions: [${permissions}], secret: { env: E } }\n`,
  })

  test('means all of them where an operation at enterprise scope can name one, and no default says which', () => {
    expect(check({ ...audit, ...keyed('ViewAccountSessions') }, readable)).toEqual([])
    const closed = { 'teams/audit.yaml': teamOf('audit', 'all', 'ent.audit-logs.list') }
    expect(check({ ...closed, ...keyed('ViewAccountSessions') }, readable)[0]).toContain('may not do ent.sessions.list')
    expect(check({ ...audit, ...keyed('ManageOrganizations') }, readable)[0]).toContain('(key-unavailable)')
  })

  test('is refused where it would be about no request, since it would hold whatever the policies say', () => {
    const silent = '  - { id: x, always: { teams: [audit], do: [org.sessions.list] } }'
    expect(check(audit, silent)).toEqual([
      expect.stringMatching(/^invariants\.yaml:2:11: invariant "x" says nothing: .*default_organization$/),
    ])
    const named = '  - { id: x, always: { teams: [audit], do: [org.sessions.list], organizations: [org-a] } }'
    expect(check(audit, named)[0]).toContain('may not do org.sessions.list in org-a')
    const own = { 'teams/audit.yaml': `${teamOf('audit', 'all', 'ViewOrgSessions')}default_organization: org-a\n` }
    expect(check(own, silent)).toEqual([])
  })
})

test.each([
  [
    'always: { teams: [eng], do: [org.sessions.list], organizations: outside }',
    'No grant reaches an organization outside',
  ],
  [
    'always: { teams: [eng], do: [org.sessions.list], organizations: [org-z] }',
    'No grant reaches an organization outside',
  ],
  ['never: { do: [self.get] }', 'Every member of a team may do that'],
  [
    'always: { teams: [top], do: [ent.audit-logs.list], key: { scope: organization } }',
    'Operations at enterprise scope take',
  ],
])('%s can never hold, which is said', (rule, why) => {
  const top = { 'teams/top.yaml': teamOf('top', 'all', 'ent.audit-logs.list') }
  const lines = check({ ...eng, ...top }, `  - { id: x, ${rule} }`)
  expect(lines).toEqual([expect.stringMatching(new RegExp(`is broken: .*\\. ${why}.* the invariant can never hold$`))])
})

describe('a mistake is told with its place and the nearest spelling', () => {
  test.each([
    ['{ id: x, never: { teams: [egn] , do: [org.*] } }', 'unknown team "egn"; did you mean "eng"?'],
    ['{ id: x, never: { teams: { except: [egn] } } }', 'unknown team "egn"; did you mean "eng"?'],
    [
      '{ id: x, never: { do: [org.sesions.list] } }',
      'unknown operation "org.sesions.list"; did you mean "org.sessions.list"?',
    ],
    ['{ id: x, never: { do: [ManageOrgSecret] } }', 'did you mean "ManageOrgSecrets"?'],
    ['{ id: x, never: { key: { permissions: [ViewOrgSession] } } }', 'did you mean "ViewOrgSessions"?'],
    ['{ id: x, never: { do: [org.sessions.list], write: true } }', 'none of these operations is of this kind'],
    ['{ id: x, never: { do: [UsePersonalAutomations] } }', 'the invariant says nothing about it'],
    ['{ id: x, never: {} }', 'an invariant must say what it is about'],
    ['{ id: x }', 'either `never` or `always`'],
    ['{ id: x, never: { do: [org.*] }, always: { do: [org.*] } }', 'either `never` or `always`'],
    ['{ id: x, nevr: { do: [org.*] } }', 'never'],
  ])('%s', (text, message) => {
    expect(check(eng, `  - ${text}`).join('\n')).toContain(message)
    expect(check(eng, `  - ${text}`)[0]).toMatch(/^invariants\.yaml:2:\d+: /)
  })

  test('two of one name', () => {
    const twin = '  - { id: x, never: { do: [org.*] } }'
    expect(check(eng, `${twin}\n${twin}`).join('\n')).toContain('"x" appears twice')
  })
})

test('a thousand edits that give somebody what must never be: every one is refused', () => {
  const ways = fc.record({
    // Each grants the deletion of organizations.
    allow: fc.constantFrom(
      'ent.organizations.delete',
      'ent.organizations.*',
      'ent.*.delete',
      'ManageOrganizations',
      'ent.*',
      '*',
    ),
    members: fc.constantFrom(
      '[{ groups: [x] }]',
      '[{ app: [x] }, { email: [x@corp.example] }]',
      '[{ claims: { unit: [red] }, issuer: [https://a.example] }]',
      '[{ groups: [x], delegated: false }]',
    ),
    when: fc.constantFrom(
      '',
      ', when: { groups: [y] }',
      ', when: { app: [y, z] }',
      ', when: { delegated: true, claims: { a.b: [c] } }',
    ),
    others: fc.constantFrom('', 'ViewOrgSessions', 'org.*'),
    mode: fc.constantFrom('', ', mode: enforce'),
    defaultOrganization: fc.constantFrom('', 'default_organization: org-a\n'),
  })
  const rule = '  - { id: keep, never: { teams: { except: [eng] }, do: [ent.organizations.delete] } }'
  fc.assert(
    fc.property(ways, ({ allow, members, when, others, mode, defaultOrganization }) => {
      const words = [others, `"${allow}"`]
        .filter((word) => word !== '')
        .map((word) => (word.startsWith('"') ? word : `"${word}"`))
      const file = `team: bad\nmembers: ${members}\norganizations: all\n${defaultOrganization}grants:\n  - { id: g, allow: [${words.join(', ')}]${when}${mode} }\n`
      const lines = check({ ...eng, 'teams/bad.yaml': file }, rule)
      // `when` can exclude every member: then nobody is given anything.
      const nobody = members.includes('delegated: false') && when.includes('delegated: true')
      expect(lines.length, file).toBe(nobody ? 0 : 1)
    }),
    { numRuns: 1000 },
  )
})

test('the request that is named does break the invariant', () => {
  const files = { 'teams/eng.yaml': teamOf('eng', 'all', 'ManageOrganizations, org.*'), 'keys.yaml': keys }
  const policy = policyFrom(files)
  const [line = ''] = check(files, '  - { id: x, never: { do: [org.secrets.delete], organizations: [org-a] } }')
  const [, method = '', path = ''] = /: ([A-Z]+) (\/\S+)/.exec(line) ?? []
  expect(ask(policy, principalOf({ groups: ['eng'] }), `${method} ${path}`).decision.effect).toBe('allow')
})
