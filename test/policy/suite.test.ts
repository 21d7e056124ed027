// Policy tests in YAML: what passes, and the exact line of what does not.

import { describe, expect, test } from 'vitest'
import { formatDiagnostic } from '../../src/config/diagnostics.ts'
import { principalFrom, runSuites } from '../../src/policy/tools/suite.ts'
import { compileFiles } from '../support/policies.ts'

const files = {
  'teams/payments.yaml': `
team: payments
members: [{ groups: [sso-payments-eng] }, { app: bot, claims: { unit: red } }]
organizations: [org-payments]
grants:
  - { id: run-sessions, allow: [ViewOrgSessions, ManageOrgSessions] }
  - { id: secrets, allow: [ManageOrgSecrets] }
`,
  'teams/agents.yaml': `
team: agents
members: [{ actor: agent, claims: { project: 20, protected: [true] } }]
organizations: [org-payments]
`,
  'keys.yaml': `
keys:
  - { id: payments-runner, scope: organization, organization: org-payments, permissions: [ViewOrgSessions, ManageOrgSessions], secret: { env: K } }
`,
}

function run(text: string): { passed: number; failures: string[] } {
  const { policy, tests } = compileFiles({ ...files, 'payments.test.yaml': text })
  const { passed, failures } = runSuites(policy, tests)
  return { passed, failures: failures.map(formatDiagnostic) }
}

/** One case in a block for a payments engineer; it stands on line 3. */
function runCase(text: string): { passed: number; failures: string[] } {
  return run(`- as: { groups: [sso-payments-eng] }\n  cases:\n    - { ${text} }\n`)
}

describe('a policy test passes', () => {
  test.each([
    'do: GET /v3/organizations/org-payments/sessions, expect: allow',
    'do: GET /v3/organizations/org-payments/sessions, expect: allow, grant: run-sessions, key: payments-runner, team: payments',
    'do: GET /v3/organizations/org-other/sessions, expect: deny, reason: organization-not-granted',
    'do: GET /v3/organizations/org-payments/schedules, expect: deny, reason: not-granted',
    'do: GET /v3/organizations/org-payments/secrets, expect: deny, reason: key-unavailable',
    'do: POST /v3/organizations/org-payments/sessions, body: { prompt: x }, expect: allow',
    'do: POST /v3/organizations/org-payments/sessions, body: { create_as_user_id: u }, expect: deny, reason: not-granted',
    'do: POST /v3/organizations/org-payments/sessions, body: { create_as_user_id: null }, expect: allow',
    'do: POST /v3/organizations/org-payments/sessions, expect: allow',
    'do: HEAD /v3/self, expect: allow',
    'do: GET /v3/unknown, expect: deny, reason: unknown-operation',
    'do: GET /v1/sessions, expect: deny, reason: unknown-operation',
    'do: GET /v3//self, expect: deny, reason: ambiguous-path',
    'do: "GET /v3/self?org_id=org-other", expect: deny, reason: organization-not-granted',
  ])('%s', (text) => {
    expect(runCase(text)).toEqual({ passed: 1, failures: [] })
  })

  test('for the caller that its block speaks of', () => {
    expect(
      run(`
- as: { app: bot, claims: { unit: red } }
  cases:
    - { do: GET /v3/self, expect: allow, team: payments }
- as: { actor: agent, claims: { project: 20, protected: true } }
  cases:
    - { do: GET /v3/self, expect: allow, team: agents }
- as: { actor: other, claims: { project: 20, protected: true } }
  cases:
    - { do: GET /v3/self, expect: deny, reason: no-team }
- as: { app: bot, claims: { unit: blue } }
  cases:
    - { do: GET /v3/self, expect: deny }
- as: { groups: [other], subject: ada, email: ada@corp.example, issuer: "https://sso.test" }
  cases:
    - { do: GET /v3/self, expect: deny }
- as: {}
  cases:
    - { do: GET /v3/self, expect: deny }
`),
    ).toEqual({ passed: 6, failures: [] })
  })
})

describe('a policy test fails at its line', () => {
  test.each([
    [
      'do: GET /v3/organizations/org-other/sessions, expect: allow',
      'test failed: GET /v3/organizations/org-other/sessions: expected allow, got deny (organization-not-granted: Team payments may not touch organization "org-other"; its organizations are org-payments. Use one of them, or ask the owner of the policy to add the organization to the team.); nearest: organization "org-other" is not among the organizations of team payments (org-payments)',
    ],
    ['do: GET /v3/self, expect: deny', 'test failed: GET /v3/self: expected deny, got allow (member)'],
    [
      'do: GET /v3/organizations/org-payments/sessions, expect: allow, grant: other',
      'test failed: GET /v3/organizations/org-payments/sessions: expected grant other, got run-sessions',
    ],
    [
      'do: GET /v3/self, expect: allow, grant: run-sessions',
      'test failed: GET /v3/self: expected grant run-sessions, got none',
    ],
    [
      'do: GET /v3/organizations/org-payments/sessions, expect: allow, key: other',
      'test failed: GET /v3/organizations/org-payments/sessions: expected key other, got payments-runner',
    ],
    [
      'do: GET /v3/organizations/org-payments/sessions, expect: allow, team: other',
      'test failed: GET /v3/organizations/org-payments/sessions: expected team other, got payments',
    ],
    [
      'do: GET /v3/organizations/org-other/sessions, expect: deny, reason: not-granted',
      'test failed: GET /v3/organizations/org-other/sessions: expected reason not-granted, got organization-not-granted; nearest: organization "org-other" is not among the organizations of team payments (org-payments)',
    ],
    [
      'do: GET /v3/organizations/org-payments/secrets, expect: allow',
      'test failed: GET /v3/organizations/org-payments/secrets: expected allow, got deny (key-unavailable: no key can serve org.secrets.list in org-payments: an organization key for it with ManageOrgSecrets is missing in the inventory)',
    ],
  ])('%s', (text, message) => {
    expect(runCase(text)).toEqual({ passed: 0, failures: [`payments.test.yaml:3:7: ${message}`] })
  })

  test('and the others are run all the same', () => {
    expect(
      run(`
- as: { groups: [sso-payments-eng] }
  cases:
    - { do: GET /v3/self, expect: allow }
    - { do: GET /v3/self, expect: deny }
- as: { groups: [other] }
  cases:
    - { do: GET /v3/self, expect: deny }
    - do: GET /v3/self
      expect: allow
`),
    ).toEqual({
      passed: 2,
      failures: [
        'payments.test.yaml:5:7: test failed: GET /v3/self: expected deny, got allow (member)',
        expect.stringMatching(
          /^payments\.test\.yaml:9:7: test failed: GET \/v3\/self: expected allow, got deny \(no-team: /,
        ),
      ],
    })
  })
})

describe('a policy test that is denied against its expectation names what comes nearest', () => {
  const teams = {
    'teams/checkout.yaml': `
team: checkout
members:
  - { groups: [sso-checkout], issuer: "https://sso.test" }
  - { app: deployer, claims: { ref: refs/heads/main } }
organizations: [org-payments]
grants: [{ id: leads, allow: [ManageOrgSecrets], when: { groups: [checkout-leads] } }]
`,
  }
  const failureOf = (as: string, expected = 'do: GET /v3/self, expect: allow'): string => {
    const text = `- as: { ${as} }\n  cases: [{ ${expected} }]\n`
    const { policy, tests } = compileFiles({ ...files, ...teams, 'checkout.test.yaml': text })
    return runSuites(policy, tests).failures.map(formatDiagnostic).join('\n')
  }

  test.each([
    [
      'an issuer',
      'groups: [sso-checkout]',
      'an entry of team checkout matches but for issuer: https://sso.test; the test names none',
    ],
    [
      'a claim',
      'app: deployer',
      'an entry of team checkout matches but for claim ref: refs/heads/main; the test names none',
    ],
    ['an app', 'claims: { unit: red }', 'an entry of team payments matches but for app: bot; the test names none'],
  ])('%s that the test left out', (_, as, near) => {
    const failure = failureOf(as)
    expect(failure).toContain('expected allow, got deny (no-team: ')
    expect(failure.endsWith(`); nearest: ${near}`)).toBe(true)
  })

  test('also for the team that it meant, where it is in another one, and where only the reason differs', () => {
    const inBoth = 'groups: [sso-checkout, sso-payments-eng]'
    const near = 'an entry of team checkout matches but for issuer'
    expect(failureOf(inBoth, 'do: GET /v3/organizations/org-payments/schedules, expect: allow')).toContain(near)
    expect(
      failureOf(inBoth, 'do: GET /v3/organizations/org-payments/schedules, expect: deny, reason: guardrail'),
    ).toContain(`expected reason guardrail, got not-granted; nearest: ${near}`)
  })

  test('as `explain` says it, once', () => {
    const member = 'groups: [sso-checkout], issuer: "https://sso.test"'
    const secrets = 'GET /v3/organizations/org-payments/secrets'
    expect(failureOf(member, `do: ${secrets}, expect: allow`).match(/covers it for callers/g)).toHaveLength(1)
    expect(failureOf(member, 'do: GET /v3/organizations/org-payments/sesions, expect: allow')).toMatch(
      /; nearest: GET .*sessions \(org\.sessions\.list\)$/,
    )
  })

  test('and nothing, where the test says another value, or the caller is in the team', () => {
    expect(failureOf('groups: [sso-checkout], issuer: "https://other.test"')).not.toContain('nearest')
    expect(
      failureOf('groups: [sso-checkout], issuer: "https://sso.test"', 'do: GET /v3/self, expect: deny'),
    ).not.toContain('nearest')
  })
})

test('a principal of a test has just the attributes that were named', () => {
  expect(principalFrom({})).toMatchObject({ email: null, groups: [], app: null, claims: {} })
  expect(
    principalFrom({ groups: ['a'], app: 'b', subject: 'c', email: 'd', issuer: 'e', claims: { f: 1 } }),
  ).toMatchObject({
    groups: ['a'],
    app: 'b',
    subject: 'c',
    email: 'd',
    issuer: 'e',
    claims: { f: 1 },
  })
})
