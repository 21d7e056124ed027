// Documents → one policy set: what is refused, with the exact line a person reads, and what the set then says.

import { describe, expect, test } from 'vitest'
import type { Principal } from '../../src/identity/principal.ts'
import { compileFiles, operationOf, policyFrom, principalOf } from '../support/policies.ts'

const keys = `
keys:
  - id: payments-runner
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgSessions]
    secret: { env: PAYMENTS_RUNNER_KEY }
`

const payments = `
team: payments
members:
  - groups: [payments]
organizations: [org-payments]
grants:
  - id: run-sessions
    allow: [ViewOrgSessions, ManageOrgSessions]
`

/** The errors among the diagnostics, as `check` prints them. */
function errors(files: Readonly<Record<string, string>>): readonly string[] {
  return compileFiles(files).lines.filter((line) => !line.includes(': warning: '))
}

describe('a word of a grant that is misspelt is an error at its place', () => {
  test.each([
    ['ViewOrgSesions', 'unknown permission "ViewOrgSesions"; did you mean "ViewOrgSessions"?'],
    ['org.sesions.list', 'unknown operation "org.sesions.list"; did you mean "org.sessions.list"?'],
    [
      'org.sesions.*',
      'the pattern "org.sesions.*" covers no operation of the catalogue; did you mean "org.sessions.*"?',
    ],
  ])('%s', (word, message) => {
    const text = payments.replace('[ViewOrgSessions, ManageOrgSessions]', `[ViewOrgSessions, ${word}]`)
    expect(errors({ 'teams/payments.yaml': text, 'keys.yaml': keys })).toEqual([`teams/payments.yaml:8:30: ${message}`])
  })

  test('and all of them are reported at once, those of keys as well', () => {
    const text = payments.replace('[ViewOrgSessions, ManageOrgSessions]', '[Viw, org.session.get, "*.x"]')
    const inventory = keys.replace('[ViewOrgSessions, ManageOrgSessions]', '[ViewOrgSession, ManageOrgSessions, Root]')
    expect(errors({ 'teams/payments.yaml': text, 'keys.yaml': inventory })).toEqual([
      'keys.yaml:6:19: unknown permission "ViewOrgSession"; did you mean "ViewOrgSessions"?',
      'keys.yaml:6:54: unknown permission "Root"',
      'teams/payments.yaml:8:13: unknown permission "Viw"',
      'teams/payments.yaml:8:18: unknown operation "org.session.get"; did you mean "org.sessions.get"?',
      'teams/payments.yaml:8:35: the pattern "*.x" covers no operation of the catalogue',
    ])
  })
})

describe('what is defined twice is an error that says where the other one is', () => {
  test('a team', () => {
    expect(errors({ 'teams/payments.yaml': payments, 'teams/payments-2.yaml': payments, 'keys.yaml': keys })).toEqual([
      'teams/payments-2.yaml:2:7: team "payments" is defined twice; the other one is in teams/payments.yaml',
    ])
  })

  test('a key of another file', () => {
    const more = `# more keys\n${keys}`
    expect(errors({ 'teams/payments.yaml': payments, 'keys.yaml': keys, 'more/keys.yaml': more })).toEqual([
      'more/keys.yaml:4:9: key "payments-runner" is defined twice; the other one is at keys.yaml:3',
    ])
  })

  test('but not two grants of the same id in two teams', () => {
    const other = payments.replace('team: payments', 'team: other')
    expect(errors({ 'teams/payments.yaml': payments, 'teams/other.yaml': other, 'keys.yaml': keys })).toEqual([])
  })
})

describe('a policy set', () => {
  const files = {
    'teams/zebra.yaml': payments.replace('team: payments', 'team: zebra'),
    'teams/payments.yaml': payments,
    'teams/bots.yaml': `
team: bots
members:
  - app: bot
  - groups: robots
    claims: { org.unit: red }
organizations: all
grants:
  - id: read
    allow: [org.sessions.list]
    when: { claims: { level: "7", org.unit: blue } }
`,
    'keys.yaml': keys,
  }
  const policy = policyFrom(files)
  const teamsOf = (principal: Partial<Principal>) => policy.teamsOf(principalOf(principal)).map((team) => team.id)

  test('has its teams by id, whatever the order of the files', () => {
    expect(policy.teams.map((team) => team.id)).toEqual(['bots', 'payments', 'zebra'])
    expect(policy.team('payments')?.id).toBe('payments')
    expect(policy.team('Payments')).toBeNull()
    expect(policy.team('constructor')).toBeNull()
  })

  test('makes a caller a member by any entry in which everything matches, and of several teams', () => {
    expect(teamsOf({ groups: ['payments'] })).toEqual(['payments', 'zebra'])
    expect(teamsOf({ app: 'bot' })).toEqual(['bots'])
    expect(teamsOf({ app: 'bot', groups: ['payments'] })).toEqual(['bots', 'payments', 'zebra'])
    expect(teamsOf({ groups: ['robots'] })).toEqual([])
    expect(teamsOf({ groups: ['robots'], claims: { org: { unit: 'red' } } })).toEqual(['bots'])
    expect(teamsOf({})).toEqual([])
  })

  test('remembers the teams of a principal, and does not mix up two that look alike', () => {
    const ada = principalOf({ groups: ['payments'] })
    expect(policy.teamsOf(ada)).toBe(policy.teamsOf(ada))
    expect(policy.teamsOf({ ...ada, groups: [] })).toEqual([])
    expect(policy.teamsOf({ ...ada })).toEqual(policy.teamsOf(ada))
  })

  test('names the claims that its conditions read, once each', () => {
    expect(policy.claimPaths).toEqual(['level', 'org.unit'])
  })

  test('keeps every grant with the line it stands on', () => {
    expect(policy.team('payments')?.grants).toMatchObject([
      {
        id: 'run-sessions',
        team: 'payments',
        mode: 'enforce',
        when: null,
        source: { file: 'teams/payments.yaml', line: 7 },
      },
    ])
  })

  test('takes the default organization of a team as written, else the first, and none where the fence is open', () => {
    const two = payments.replace('[org-payments]', '[org-payments, org-tools]')
    expect(policyFrom({ 'teams/payments.yaml': two, 'keys.yaml': keys }).team('payments')?.defaultOrganization).toBe(
      'org-payments',
    )
    const chosen = `${two}default_organization: org-tools\n`
    expect(policyFrom({ 'teams/payments.yaml': chosen, 'keys.yaml': keys }).team('payments')?.defaultOrganization).toBe(
      'org-tools',
    )
    expect(policy.team('bots')?.defaultOrganization).toBeNull()
    const open = `${payments.replace('[org-payments]', 'all')}default_organization: org-payments\n`
    expect(policyFrom({ 'teams/payments.yaml': open, 'keys.yaml': keys }).team('payments')?.defaultOrganization).toBe(
      'org-payments',
    )
  })

  test('holds a grant once for an operation, however many of its words cover it', () => {
    const text = payments.replace(
      '[ViewOrgSessions, ManageOrgSessions]',
      '[ViewOrgSessions, org.sessions.list, "org.*", "*"]',
    )
    const own = policyFrom({ 'teams/payments.yaml': text, 'keys.yaml': keys })
    const list = own.catalogue.operation('org.sessions.list')
    expect(list === null ? [] : own.team('payments')?.grantsOn(list)).toHaveLength(1)
  })

  test('has keys as they were written', () => {
    const inventory = `
keys:
  - id: analytics
    scope: enterprise
    permissions: [ViewAccountSessions]
    serves_organizations: [org-payments]
    secret: { env: ANALYTICS_KEY }
    expires: 2027-01-31
    service_user: service-user-1
    watch: true
  - id: everything
    scope: enterprise
    permissions: []
    serves_organizations: all
    secret: { env: EVERYTHING_KEY }
`
    expect(policyFrom({ 'teams/payments.yaml': payments, 'keys.yaml': inventory }).keys).toEqual([
      {
        id: 'analytics',
        scope: 'enterprise',
        organization: null,
        permissions: new Set(['ViewAccountSessions']),
        serves: new Set(['org-payments']),
        secret: { env: 'ANALYTICS_KEY' },
        expiresAtMs: Date.UTC(2027, 1, 1),
        source: { file: 'keys.yaml', line: 3 },
        serviceUser: 'service-user-1',
        watch: true,
        rotate: null,
      },
      {
        id: 'everything',
        scope: 'enterprise',
        organization: null,
        permissions: new Set(),
        serves: 'all',
        secret: { env: 'EVERYTHING_KEY' },
        expiresAtMs: null,
        source: { file: 'keys.yaml', line: 11 },
        serviceUser: null,
        watch: false,
        rotate: null,
      },
    ])
  })
})

describe('the limits of the whole gateway', () => {
  const limits = 'limits:\n  operations:\n    org.sesions.*: { requests: 1/min }\n'

  test('are checked as those of teams are, and stand in one file', () => {
    expect(
      errors({
        'teams/payments.yaml': payments,
        'keys.yaml': keys,
        'limits.yaml': limits,
        'more.yaml': 'limits: { requests: 5/min }\n',
      }),
    ).toEqual([
      'limits.yaml:3:20: the pattern "org.sesions.*" covers no operation of the catalogue; did you mean "org.sessions.*"?',
      'more.yaml:1:9: the limits of the whole gateway are defined twice; the other ones are in limits.yaml',
    ])
  })

  test('apply to every team, also to one without limits of its own', () => {
    const policy = policyFrom({
      'teams/payments.yaml': payments,
      'keys.yaml': keys,
      'limits.yaml': 'limits: { requests: 5/min, writes: 2/min, mode: shadow }\n',
    })
    const names = (id: string): string[] =>
      (policy.team('payments')?.limitsFor(principalOf(), operationOf(id)) ?? []).map(
        ({ name, scope, shadow }) => `${name} ${scope} ${String(shadow)}`,
      )
    expect(names('org.sessions.list')).toEqual(['gateway-requests gateway true'])
    expect(names('org.sessions.create')).toEqual(['gateway-requests gateway true', 'gateway-writes gateway true'])
  })
})
