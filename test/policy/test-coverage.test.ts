// What policy tests leave out.

import { expect, test } from 'vitest'
import { testCoverage } from '../../src/policy/tools/test-coverage.ts'
import { compileInvariants } from '../../src/policy/invariants/invariant.ts'
import { readPolicyFile, type InvariantsDocument } from '../../src/policy/documents/document.ts'
import { compileFiles } from '../support/policies.ts'

const team = `team: payments
members: [{ groups: [eng] }, { app: [bot] }]
organizations: [org-a]
grants:
  - { id: read, allow: [org.sessions.list] }
  - { id: create, allow: [org.sessions.create] }
  - { id: leads, allow: [ImpersonateOrgSessions], when: { groups: [leads] } }
  - { id: trial, allow: [org.secrets.*], mode: shadow }
`
const keys = `keys:
  - { id: a, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSessions, ImpersonateOrgSessions], secret: { env: A } }
`
const guardrails = `guardrails:
  - { id: small, on: [org.sessions.create], body: { max_acu_limit: { at_most: 5, default: 2 }, tags: { add: [x] } } }
`
const rules = `invariants:
  - { id: no-secrets, never: { teams: all, do: [org.secrets.*] } }
  - { id: reads, always: { teams: [payments], do: [org.sessions.list] } }
`
const list = '/v3/organizations/org-a/sessions'

/** What the cases leave out, by the beginning of each text. */
function missing(cases: string, written = rules): readonly string[] {
  const { policy, tests } = compileFiles({
    'teams/payments.yaml': team,
    'keys.yaml': keys,
    'guardrails.yaml': guardrails,
    'payments.test.yaml': cases,
  })
  const { document } = readPolicyFile({ file: 'invariants.yaml', name: 'invariants.yaml', text: written })
  const { invariants } = compileInvariants([document as InvariantsDocument], policy)
  return testCoverage(policy, tests, invariants)
    .filter(({ covered }) => !covered)
    .map(({ kind, file, line, text }) => `${kind} ${file}:${line} ${text.split(':')[0]}`)
}

test('one allowed read leaves out all that it does not ask for', () => {
  expect(missing(`- { as: { groups: [eng] }, cases: [{ do: GET ${list}, expect: allow }] }\n`)).toEqual([
    'bound guardrails.yaml:2 guardrail small, body max_acu_limit default',
    'bound guardrails.yaml:2 guardrail small, body max_acu_limit at_most',
    'bound guardrails.yaml:2 guardrail small, body tags add',
    'invariant invariants.yaml:2 invariant no-secrets',
    'condition teams/payments.yaml:1 members of team payments with app',
    'refusal teams/payments.yaml:5 grant read of team payments',
    'grant teams/payments.yaml:6 grant create of team payments',
    'refusal teams/payments.yaml:6 grant create of team payments',
    'grant teams/payments.yaml:7 grant leads of team payments',
    'refusal teams/payments.yaml:7 grant leads of team payments',
    'condition teams/payments.yaml:7 condition of grant leads of team payments (groups',
  ])
})

test('a denied operation is near a grant by a pattern, whatever its `*` stands for, and below what a word opens', () => {
  const asked = (allow: string, denied: string): boolean => {
    const { policy, tests } = compileFiles({
      'teams/directory.yaml': `team: directory
members: [{ groups: [eng] }]
organizations: all
grants: [{ id: read, allow: [${allow}] }]
`,
      'keys.yaml':
        'keys:\n  - { id: a, scope: enterprise, permissions: [ManageAccountMembership, ManageOrganizations], secret: { env: A } }\n',
      'a.test.yaml': `- { as: { groups: [eng] }, cases: [{ do: ${denied}, expect: deny }] }\n`,
    })
    return testCoverage(policy, tests, []).some(({ kind, covered }) => kind === 'refusal' && covered)
  }
  const removed = 'DELETE /v3/enterprise/members/users/u'
  expect(asked('ent.members.*.get', removed)).toBe(true)
  expect(asked('ent.members.users.get', removed)).toBe(true)
  expect(asked('ent.members.service-users.get', removed)).toBe(false)
  expect(asked('ent.organizations.members.*.list', removed)).toBe(false)
  expect(asked('ent.organizations.get', 'POST /v3/enterprise/organizations/org-a/members/users/u')).toBe(true)
  expect(asked('ent.organizations.get', removed)).toBe(false)
})

test('tests that go to both sides of everything leave nothing out', () => {
  expect(
    missing(`- as: { groups: [eng] }
  cases:
    - { do: GET ${list}, expect: allow }
    - { do: GET /v3/organizations/org-b/sessions, expect: deny }
    - { do: POST ${list}, body: { prompt: x }, expect: allow }
    - { do: POST ${list}, body: { prompt: x, max_acu_limit: 9 }, expect: deny }
    - { do: POST ${list}, body: { prompt: x, create_as_user_id: u }, expect: deny }
    - { do: DELETE /v3/organizations/org-a/secrets/x, expect: deny }
- { as: { app: bot, groups: [leads] }, cases: [{ do: POST ${list}, body: { create_as_user_id: u }, expect: allow }] }
`),
  ).toEqual([])
})

test.each([
  ['an operation of it', '{ do: [org.secrets.*] }', true],
  ['another operation', '{ do: [org.playbooks.*] }', false],
  ['another caller', '{ callers: { groups: [leads] }, do: [org.secrets.*] }', false],
  ['a caller who is excepted', '{ callers: { except: { groups: [eng] } }, do: [org.secrets.*] }', false],
  ['one of the others', '{ callers: { except: { groups: [leads] } }, do: [org.secrets.*] }', true],
  ['its organization', '{ do: [org.secrets.*], organizations: own }', true],
  ['another organization', '{ do: [org.secrets.*], organizations: outside }', false],
  ['an organization that is excepted', '{ do: [org.secrets.*], organizations: { except: [org-a] } }', false],
  ['an organization beside them', '{ do: [org.secrets.*], organizations: { except: [org-b] } }', true],
  ['a permission that its body needs', '{ do: [ImpersonateOrgSessions] }', true],
  ['a key that was not taken', '{ do: [org.sessions.list], key: { scope: enterprise } }', true],
])('a test exercises an invariant by asking for what it is about: %s', (_what, about, isCovered) => {
  const cases = `- as: { groups: [eng] }
  cases:
    - { do: GET /v3/organizations/org-a/secrets, expect: deny }
    - { do: GET ${list}, expect: allow }
    - { do: POST ${list}, body: { prompt: x, create_as_user_id: u }, expect: deny }
`
  const found = missing(cases, `invariants:\n  - { id: x, never: ${about} }\n`)
  expect(found.some((line) => line.includes('invariant x'))).toBe(!isCovered)
})
