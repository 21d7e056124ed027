// Warnings about grants that no key can serve, with the missing key.

import { describe, expect, test } from 'vitest'
import { compileFiles, wholeCatalogue } from '../support/policies.ts'

interface Parts {
  readonly organizations?: string
  readonly allow?: string
  readonly mode?: string
  readonly keys?: string
}

/** The warnings for one team with one grant and the keys given as `{ … }` lines. */
function warnings({
  organizations = '[org-a]',
  allow = '[ViewOrgSessions]',
  mode = 'enforce',
  keys = '',
}: Parts): readonly string[] {
  const entries = keys
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  const files = {
    'teams/t.yaml': `
team: t
members: [{ groups: [g] }]
organizations: ${organizations}
grants:
  - id: g1
    allow: ${allow}
    mode: ${mode}
`,
    'keys.yaml': `keys:${entries.length === 0 ? ' []' : ''}\n${entries.map((line) => `  - ${line}`).join('\n')}\n`,
  }
  return compileFiles(files, wholeCatalogue).lines
}

function organizationKey(id: string, organization: string, permissions: string): string {
  return `{ id: ${id}, scope: organization, organization: ${organization}, permissions: [${permissions}], secret: { env: K } }`
}

function enterpriseKey(id: string, permissions: string, serves = 'none'): string {
  return `{ id: ${id}, scope: enterprise, permissions: [${permissions}], serves_organizations: ${serves}, secret: { env: K } }`
}

describe('a grant that a key can serve brings no warning', () => {
  test.each([
    ['by an organization key', organizationKey('a', 'org-a', 'ViewOrgSessions')],
    ['by an enterprise key that serves all', enterpriseKey('e', 'ViewAccountSessions', 'all')],
    ['by an enterprise key that serves the organization', enterpriseKey('e', 'ViewAccountSessions', '[org-a]')],
  ])('%s', (_, keys) => {
    expect(warnings({ keys })).toEqual([])
  })

  test('by another name of a disputed operation', () => {
    expect(
      warnings({ allow: '[org.sessions.create]', keys: organizationKey('a', 'org-a', 'UseDevinSessions') }),
    ).toEqual([])
  })

  test('when it is off', () => {
    expect(
      warnings({ mode: 'off', allow: '[ManageOrgSecrets]', keys: organizationKey('a', 'org-a', 'ViewOrgSessions') }),
    ).toEqual([])
  })
})

describe('a grant that no key can serve is a warning that names the missing key', () => {
  test('for its organization and permission', () => {
    expect(warnings({ allow: '[ManageOrgSecrets]', keys: organizationKey('a', 'org-a', 'ViewOrgSessions') })).toEqual([
      'teams/t.yaml:6:9: warning: grant "g1": no key can serve org.secrets.list and 2 more: an organization key for org-a with ManageOrgSecrets is missing in keys.yaml',
    ])
  })

  test('also in shadow mode, because that is how grants are tried out', () => {
    expect(
      warnings({ mode: 'shadow', allow: '[org.secrets.list]', keys: organizationKey('a', 'org-a', 'ViewOrgSessions') }),
    ).toEqual([
      'teams/t.yaml:6:9: warning: grant "g1": no key can serve org.secrets.list: an organization key for org-a with ManageOrgSecrets is missing in keys.yaml',
    ])
  })

  test('for each organization of the fence that lacks it', () => {
    const keys = `
      ${organizationKey('a', 'org-a', 'ViewOrgSessions')}
      ${organizationKey('b', 'org-b', 'ManageOrgSecrets')}
      ${organizationKey('c', 'org-c', 'ManageOrgSecrets')}`
    expect(warnings({ organizations: '[org-a, org-b, org-c]', allow: '[org.sessions.get]', keys })).toEqual([
      'teams/t.yaml:6:9: warning: grant "g1": no key can serve org.sessions.get: an organization key for org-b with ViewOrgSessions is missing in keys.yaml',
      'teams/t.yaml:6:9: warning: grant "g1": no key can serve org.sessions.get: an organization key for org-c with ViewOrgSessions is missing in keys.yaml',
    ])
  })

  test('of the enterprise', () => {
    expect(
      warnings({
        organizations: 'all',
        allow: '[ent.audit-logs.list]',
        keys: enterpriseKey('e', 'ViewAccountSessions', 'all'),
      }),
    ).toEqual([
      'teams/t.yaml:6:9: warning: grant "g1": no key can serve ent.audit-logs.list: an enterprise key with ManageEnterpriseSettings is missing in keys.yaml',
    ])
  })

  test('for an operation without any permission', () => {
    expect(
      warnings({
        allow: '[beta.org.searches.list]',
        keys: `${organizationKey('b', 'org-b', '')}\n${organizationKey('a2', 'org-a', '')}`,
      }),
    ).toEqual([])
    expect(
      warnings({ allow: '[beta.org.searches.list]', keys: enterpriseKey('e', 'ViewAccountSessions', 'all') }),
    ).toEqual([
      'teams/t.yaml:6:9: warning: grant "g1": no key can serve beta.org.searches.list: an organization key for org-a with any permission is missing in keys.yaml',
    ])
  })

  test('also behind an open fence, where a key for any organization would do and there is none', () => {
    expect(
      warnings({
        organizations: 'all',
        allow: '[ManageOrgSecrets]',
        keys: organizationKey('a', 'org-a', 'ViewOrgSessions'),
      }),
    ).toEqual([
      expect.stringMatching(
        /^teams\/t\.yaml:6:9: warning: grant "g1": no key can serve org\.secrets\.list .*ManageOrgSecrets/,
      ),
    ])
    expect(
      warnings({
        organizations: 'all',
        allow: '[ManageOrgSecrets]',
        keys: organizationKey('a', 'org-a', 'ManageOrgSecrets'),
      }),
    ).toEqual([])
  })
})

describe('an organization that no key is for', () => {
  test('is a warning with the nearest spelling', () => {
    expect(
      warnings({
        organizations: '[org-paymets]',
        allow: '[org.sessions.list]',
        keys: organizationKey('a', 'org-payments', 'ViewOrgSessions'),
      }),
    ).toEqual([
      'teams/t.yaml:4:17: warning: no key of the inventory is for organization "org-paymets"; did you mean "org-payments"?',
    ])
  })

  test('is reported at its own place when it is one of several', () => {
    const lines = warnings({ organizations: '[org-a, other]', keys: organizationKey('a', 'org-a', 'ViewOrgSessions') })
    expect(lines[0]).toBe('teams/t.yaml:4:24: warning: no key of the inventory is for organization "other"')
  })

  test('is no warning when an enterprise key serves it', () => {
    expect(warnings({ organizations: '[anything]', keys: enterpriseKey('e', 'ViewAccountSessions', 'all') })).toEqual(
      [],
    )
    expect(
      warnings({ organizations: '[anything]', keys: enterpriseKey('e', 'ViewAccountSessions', '[anything]') }),
    ).toEqual([])
  })

  test('is a warning also when an enterprise key serves other organizations', () => {
    const keys = `
      ${organizationKey('a', 'org-payments', 'ViewOrgSessions')}
      ${enterpriseKey('e', 'ViewAccountSessions', '[org-tools]')}`
    expect(warnings({ organizations: '[org-paymets]', allow: '[org.sessions.list]', keys })).toContain(
      'teams/t.yaml:4:17: warning: no key of the inventory is for organization "org-paymets"; did you mean "org-payments"?',
    )
  })
})

describe('budgets whose sessions no key can read', () => {
  const messages = (limits: string, keys: string): readonly string[] =>
    compileFiles(
      {
        'teams/t.yaml': `team: t
members: [{ groups: [g] }]
organizations: [org-a, org-b]
limits: ${limits}
`,
        'keys.yaml': `keys: [${keys}]\n`,
      },
      wholeCatalogue,
    ).lines.filter((line) => line.includes('budgets'))
  const runner = organizationKey('a', 'org-a', 'ManageOrgSessions')
  const readers = ['org-a', 'org-b'].map((id) => organizationKey(`r-${id}`, id, 'ViewOrgSessions'))

  test.each(['{ acus: 5/day }', '{ apps: { bot: { open_sessions: 5 } } }', '{ per_principal: { acus: 5/day } }'])(
    'are a warning by organization: %s',
    (limits) => {
      expect(messages(limits, [runner, readers[1]].join(', '))).toEqual([
        'teams/t.yaml:4:9: warning: the budgets of team "t" cannot be settled in organization "org-a": no key may list its sessions (ViewOrgSessions), so each session counts with all it might cost for thirty days',
      ])
    },
  )

  test('are no matter where there is a key, or nothing to settle', () => {
    expect(messages('{ acus: 5/day }', readers.join(', '))).toEqual([])
    expect(messages('{ acus: 5/day }', enterpriseKey('e', 'ViewAccountSessions'))).toEqual([])
    expect(messages('{ sessions: 5/day, requests: 5/min }', runner)).toEqual([])
  })
})
