// Invariants: rules about the whole policy set. A set that breaks one is refused, with a request that breaks it.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDiagnostic } from '../../src/config/diagnostics.ts'
import { compileInvariants } from '../../src/policy/invariants/invariant.ts'
import { brokenInvariants } from '../../src/policy/invariants/check.ts'
import { invariantNameWarnings } from '../../src/policy/warnings/invariant-names.ts'
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
    ['{ id: x, never: { do: [org.sessions.list], write: true } }', 'no operation is of this kind'],
    ['{ id: x, never: { do: [ImpersonateOrgSessions], write: false } }', 'no operation is of this kind'],
    ['{ id: x, never: { callers: { exept: { groups: [a] } } } }', 'did you mean "except"?'],
    ['{ id: x, never: { callers: { except: {} } } }', 'must name at least one of'],
    ['{ id: x, never: { organizations: { except: [] } } }', 'name at least one organization'],
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

/** A bad edit: the files after it, and the invariant that it breaks. */
interface BadEdit {
  readonly rule: string
  readonly files: PolicyFiles
}

const quotedWord = (word: string): string => `"${word}"`
const file = (id: string, more: Readonly<Record<string, string>>): string =>
  Object.entries({ team: id, members: `[{ groups: [${id}] }]`, organizations: '[org-a]', ...more })
    .map(([name, text]) => `${name}: ${text}\n`)
    .join('')
const grantsOf = (...grants: readonly string[]): string =>
  `[${grants.map((grant, index) => `{ id: g${index}, ${grant} }`).join(', ')}]`

const wordFor = (...words: readonly string[]) => fc.constantFrom(...words).map(quotedWord)
const members = fc.constantFrom(
  '[{ groups: [x] }]',
  '[{ app: [x] }, { email: [x@corp.example] }]',
  '[{ claims: { unit: [red] }, issuer: [https://a.example] }]',
  '[{ groups: [x], delegated: false }]',
)
/** For other callers than leads, whoever the members are. */
const notOnlyLeads = fc.constantFrom(
  '',
  ', when: { groups: [night] }',
  ', when: { groups: [leads, night] }',
  ', when: { app: [bot] }',
  ', when: { claims: { unit: [red] } }',
  ', when: { delegated: true }',
)
const others = fc.constantFrom('', 'allow: [ViewOrgSessions]', 'allow: [org.playbooks.*], mode: shadow')
const secretWord = wordFor('ManageOrgSecrets', 'org.secrets.*', 'org.secrets.delete', 'org.*', 'org.*.create', '*')

const badEdits: Readonly<Record<string, fc.Arbitrary<BadEdit>>> = {
  'another team is granted what one alone may do': fc
    .record({
      allow: wordFor(
        'ent.organizations.delete',
        'ent.organizations.*',
        'ent.*.delete',
        'ManageOrganizations',
        'ent.*',
        '*',
      ),
      members,
      when: notOnlyLeads,
      others,
      defaultOrganization: fc.constantFrom({}, { default_organization: 'org-a' }),
    })
    .filter(({ when, members: who }) => !(who.includes('delegated: false') && when.includes('delegated: true')))
    .map(({ allow, members: who, when, others: more, defaultOrganization }) => ({
      rule: 'never: { teams: { except: [eng] }, do: [ent.organizations.delete] }',
      files: {
        'teams/bad.yaml': file('bad', {
          members: who,
          organizations: 'all',
          ...defaultOrganization,
          grants: grantsOf(...[more].filter(Boolean), `allow: [${allow}]${when}`),
        }),
      },
    })),
  'a fence that opens': fc
    .record({ allow: secretWord, when: notOnlyLeads, more: others })
    .map(({ allow, when, more }) => ({
      rule: 'never: { do: [ManageOrgSecrets], organizations: outside }',
      files: {
        'teams/bad.yaml': file('bad', {
          organizations: 'all',
          default_organization: 'org-a',
          grants: grantsOf(...[more].filter(Boolean), `allow: [${allow}]${when}`),
        }),
      },
    })),
  'an organization beside those that may be touched': fc
    .record({ id: fc.stringMatching(/^org-[c-z]{1,6}$/), allow: secretWord, when: notOnlyLeads })
    .map(({ id, allow, when }) => ({
      rule: 'never: { organizations: { except: [org-a, org-b] }, do: [org.*], write: true }',
      files: {
        'teams/bad.yaml': file('bad', {
          organizations: `[org-a, ${id}]`,
          grants: grantsOf(`allow: [${allow}]${when}`),
        }),
      },
    })),
  'others than leads': fc
    .record({ allow: secretWord, when: notOnlyLeads, more: others })
    .map(({ allow, when, more }) => ({
      rule: 'never: { callers: { except: { groups: [leads] } }, do: [ManageOrgSecrets] }',
      files: {
        'teams/bad.yaml': file('bad', { grants: grantsOf(`allow: [${allow}]${when}`, ...[more].filter(Boolean)) }),
      },
    })),
  'a caller by a claim': fc.record({ allow: secretWord, when: notOnlyLeads }).map(({ allow, when }) => ({
    rule: 'never: { callers: { claims: { unit: [red, blue] } }, sensitive: true, write: true }',
    files: { 'teams/bad.yaml': file('bad', { grants: grantsOf(`allow: [${allow}]${when}`) }) },
  })),
  'an enterprise key that steps in': fc
    .constantFrom(
      'organization: org-c, permissions: [ViewOrgSessions]',
      'organization: org-b, permissions: [ManageOrgSecrets]',
      'organization: org-b, permissions: [ViewOrgMetrics, ManageOrgSessions]',
    )
    .chain((broken) =>
      fc.constantFrom('ViewOrgSessions', 'org.sessions.*', 'org.*').map((allow) => ({ broken, allow })),
    )
    .map(({ broken, allow }) => ({
      rule: 'never: { do: [org.sessions.list], key: { scope: enterprise } }',
      files: {
        'keys.yaml': keys.replace('organization: org-b, permissions: [ViewOrgSessions, ManageOrgSessions]', broken),
        'teams/bad.yaml': file('bad', { organizations: '[org-a, org-b]', grants: grantsOf(`allow: ["${allow}"]`) }),
      },
    })),
  'a key that holds too much': fc
    .record({
      more: fc.constantFrom('ManageOrgSecrets', 'ManageOrgSecrets, ManageOrgPlaybooks'),
      allow: fc.constantFrom('ViewOrgSessions', 'org.*'),
    })
    .map(({ more, allow }) => ({
      rule: 'never: { do: [org.sessions.list], organizations: [org-b], key: { permissions: [ManageOrgSecrets] } }',
      files: {
        'keys.yaml': keys.replace(
          'permissions: [ViewOrgSessions, ManageOrgSessions], secret: { env: B',
          `permissions: [ViewOrgSessions, ${more}], secret: { env: B`,
        ),
        'teams/bad.yaml': file('bad', { organizations: '[org-b]', grants: grantsOf(`allow: ["${allow}"]`) }),
      },
    })),
  'writes at enterprise scope': fc
    .record({
      allow: wordFor('ManageAccountMembership', 'ent.members.*', 'ent.*.users.*', 'ent.organizations.create', '*'),
      when: notOnlyLeads,
    })
    .map(({ allow, when }) => ({
      rule: 'never: { scope: enterprise, write: true }',
      files: { 'teams/bad.yaml': file('bad', { organizations: 'all', grants: grantsOf(`allow: [${allow}]${when}`) }) },
    })),
  'a permission that a body needs': fc.record({ when: notOnlyLeads, more: others }).map(({ when, more }) => ({
    rule: 'never: { callers: { except: { groups: [leads] } }, do: [ImpersonateOrgSessions], write: true }',
    files: {
      'teams/bad.yaml': file('bad', {
        grants: grantsOf(
          'allow: [ManageOrgSessions]',
          `allow: [ImpersonateOrgSessions]${when}`,
          ...[more].filter(Boolean),
        ),
      }),
    },
  })),
  'a right that must stay': fc
    .constantFrom(
      { grants: grantsOf('allow: [org.playbooks.list]') },
      { grants: grantsOf('allow: [ViewOrgSessions], mode: shadow') },
      { grants: grantsOf('allow: [ViewOrgSessions], mode: off') },
      { grants: grantsOf('allow: [ViewOrgSessions], when: { groups: [night] }') },
      { grants: grantsOf('allow: [ViewOrgSessions], organizations: [org-b]') },
      { grants: grantsOf('allow: [ViewOrgSessions]'), organizations: '[org-b]' },
      { grants: grantsOf('allow: [org.sessions.get, org.sessions.tags.get]') },
    )
    .map((more) => ({
      rule: 'always: { teams: [bad], do: [org.sessions.list], organizations: [org-a] }',
      files: { 'teams/bad.yaml': file('bad', { organizations: '[org-a, org-b]', ...more }) },
    })),
}

test('a set that nobody edited keeps every rule of the bad edits', () => {
  const kept = { ...eng, 'teams/bad.yaml': file('bad', { grants: grantsOf('allow: [ViewOrgSessions]') }) }
  for (const edits of Object.values(badEdits)) {
    const [{ rule } = { rule: '' }] = fc.sample(edits, 1)
    expect(check(kept, `  - { id: keep, ${rule} }`), rule).toEqual([])
  }
})

test.each(Object.entries(badEdits))('a hundred bad edits are refused: %s', (_kind, edits) => {
  fc.assert(
    fc.property(edits, ({ rule, files }) => {
      const lines = check({ ...eng, ...files }, `  - { id: keep, ${rule} }`)
      expect(lines, JSON.stringify(files)).toEqual([
        expect.stringMatching(/^invariants\.yaml:2:\d+: invariant "keep" is broken: /),
      ])
    }),
    { numRuns: 100 },
  )
})

test.each([
  ['callers: { groups: [egn] }', 43, 'no team and no key names group "egn"; did you mean "eng"?'],
  [
    'callers: { except: { groups: [night, Leeds] } }',
    60,
    'no team and no key names group "Leeds"; did you mean "leads"?',
  ],
  ['callers: { app: [boot] }', 40, 'no team and no key names app "boot"; did you mean "boot1"?'],
  [
    'callers: { claims: { unit: [read] } }',
    51,
    'no team and no key names value of claim unit "read"; did you mean "red"?',
  ],
  [
    'callers: { groups: [sso-*] }',
    43,
    '"sso-*" is compared letter by letter with what the token says, and "*" stands for itself: list the values one by one',
  ],
  [
    'callers: { issuer: [https://a.exmple] }',
    43,
    'no issuer "https://a.exmple" is configured, so no caller has it; did you mean "https://a.example"?',
  ],
  ['organizations: [far-away, orga]', 49, 'no team and no key names organization "orga"; did you mean "org-a"?'],
  ['organizations: { except: [orgb] }', 49, 'no team and no key names organization "orgb"; did you mean "org-b"?'],
  ['callers: { groups: [eng, nobody-else], app: [boot1], subject: [ada] }, organizations: [org-a, far-away]', 0, ''],
])('%s is spelled nearly as the policies spell it, which is warned of', (about, column, message) => {
  const grants = grantsOf('allow: [ViewOrgSessions], when: { groups: [leads], app: [boot1], claims: { unit: [red] } }')
  const policy = policyFrom({ 'keys.yaml': keys, ...eng, 'teams/b.yaml': file('b', { grants }) })
  const { document } = readInvariants('invariants.yaml', `invariants:\n  - { id: x, never: { ${about} } }\n`)
  const found = invariantNameWarnings(document === null ? [] : [document], policy, ['https://a.example'])
  expect(found.map(formatDiagnostic)).toEqual(
    message === '' ? [] : [`invariants.yaml:2:${column}: warning: ${message}`],
  )
})

describe('except', () => {
  const leads = {
    'teams/eng.yaml': file('eng', { grants: grantsOf('allow: [ManageOrgSecrets], when: { groups: [leads] }') }),
  }
  const broken = (files: PolicyFiles, about: string): boolean =>
    check(files, `  - { id: x, never: { ${about}, do: [ManageOrgSecrets] } }`).length > 0

  test('callers: only those may', () => {
    expect(broken(leads, 'callers: { except: { groups: [leads] } }')).toBe(false)
    expect(broken(leads, 'callers: { except: { groups: [night] } }')).toBe(true)
    expect(broken(leads, 'callers: { except: { groups: [leads], app: [bot] } }')).toBe(true)
    expect(broken(leads, 'callers: { groups: [night], except: { groups: [leads] } }')).toBe(false)
    expect(broken(leads, 'callers: { groups: [leads], except: { app: [bot] } }')).toBe(true)
  })

  test('organizations: nothing outside of those', () => {
    expect(broken(leads, 'organizations: { except: [org-a] }')).toBe(false)
    expect(broken(leads, 'organizations: { except: [org-b] }')).toBe(true)
    const all = {
      'teams/eng.yaml': file('eng', { organizations: 'all', grants: grantsOf('allow: [ManageOrgSecrets]') }),
    }
    expect(broken(all, 'organizations: { except: [org-a, org-b] }')).toBe(true)
  })

  test('an answer about all organizations is outside, and one that is filtered where it shows others', () => {
    const rule = '  - { id: x, never: { organizations: { except: [org-a] }, do: [ent.organizations.list] } }'
    const list = (organizations: string) => ({
      'teams/eng.yaml': file('eng', { organizations, grants: grantsOf('allow: [ent.organizations.list]') }),
    })
    const filter = {
      'guardrails.yaml':
        'guardrails: [{ id: own, on: [ent.organizations.list], response: { filter_items_by: organizations } }]\n',
    }
    expect(check(list('all'), rule)).toHaveLength(1)
    expect(check({ ...list('[org-a]'), ...filter }, rule)).toEqual([])
    expect(check({ ...list('[org-a, org-b]'), ...filter }, rule)).toHaveLength(1)
  })
})

test('the request that is named does break the invariant', () => {
  const files = { 'teams/eng.yaml': teamOf('eng', 'all', 'ManageOrganizations, org.*'), 'keys.yaml': keys }
  const policy = policyFrom(files)
  const [line = ''] = check(files, '  - { id: x, never: { do: [org.secrets.delete], organizations: [org-a] } }')
  const [, method = '', path = ''] = /: ([A-Z]+) (\/\S+)/.exec(line) ?? []
  expect(ask(policy, principalOf({ groups: ['eng'] }), `${method} ${path}`).decision.effect).toBe('allow')
})
