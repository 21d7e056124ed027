// Devin users that the policies name for callers: the file, its entries, and its mistakes.

import { describe, expect, test } from 'vitest'
import { formatDiagnostic } from '../../src/config/diagnostics.ts'
import { readDevinUsers } from '../../src/policy/documents/devin-user-document.ts'
import { ask, compileFiles, policyFrom, principalOf } from '../support/policies.ts'

const files = {
  'teams/payments.yaml': `team: payments
members: [{ groups: eng }]
organizations: [org-a]
grants: [{ id: run, allow: [ManageOrgSessions, ImpersonateOrgSessions] }]
`,
  'guardrails.yaml': `guardrails:
  - { id: self, on: [org.sessions.create], body: { create_as_user_id: { equals: principal.devin_user_id } } }
`,
}
const users = `devin_users:
  - { email: Ada@Corp.example, id: email|ada }
  - { subject: bot-7, id: email|bot }
  - { subject: bot-7, issuer: https://other.example, id: email|other-bot }
`

describe('devin-users.yaml', () => {
  test('names the user of a caller by e-mail address, whatever its letter case, or by subject, of one issuer or of all', () => {
    const { devinUserOf } = policyFrom({ ...files, 'devin-users.yaml': users })
    expect(devinUserOf(principalOf({ email: 'ada@corp.example' }))).toBe('email|ada')
    expect(devinUserOf(principalOf({ email: 'ben@corp.example' }))).toBeNull()
    expect(devinUserOf(principalOf({ subject: 'bot-7' }))).toBe('email|bot')
    expect(devinUserOf(principalOf({ subject: 'bot-7', issuer: 'https://other.example' }))).toBe('email|other-bot')
    expect(devinUserOf(principalOf({ subject: 'bot-7', email: 'ada@corp.example' }))).toBe('email|bot')
    expect(devinUserOf(principalOf({ subject: 'Bot-7' }))).toBeNull()
  })

  test('does not name a caller by an address that the issuer disowns, nor by letters that only look alike', () => {
    const { devinUserOf } = policyFrom({
      ...files,
      'devin-users.yaml': `${users}  - { email: kim@corp.example, id: email|kim }\n`,
    })
    expect(devinUserOf(principalOf({ email: 'ada@corp.example', emailVerified: false }))).toBeNull()
    expect(devinUserOf(principalOf({ email: 'ada@corp.example', emailVerified: true }))).toBe('email|ada')
    expect(devinUserOf(principalOf({ email: '\u212aim@corp.example' }))).toBeNull()
  })

  test('is believed without asking Devin', () => {
    const policy = policyFrom({ ...files, 'people.yaml': users })
    const ada = principalOf({ groups: ['eng'], email: 'ada@corp.example' })
    const create = 'POST /v3/organizations/org-a/sessions'
    expect(ask(policy, ada, create, { create_as_user_id: 'email|ada' })).toMatchObject({
      needsDevinUser: null,
      decision: { effect: 'allow' },
    })
    expect(ask(policy, ada, create, { create_as_user_id: 'email|ben' }).decision.reason).toBe('guardrail')
    expect(
      ask(policy, principalOf({ groups: ['eng'] }), create, { create_as_user_id: 'email|ada' }).needsDevinUser,
    ).toBe('enforced')
  })

  test('says what is wrong with it', () => {
    const twice = 'devin_users:\n  - { email: ada@corp.example, id: a }\n  - { email: ADA@corp.example, id: b }\n'
    expect(compileFiles({ ...files, 'devin-users.yaml': twice }).lines).toContain(
      'devin-users.yaml:3:5: "ADA@corp.example" is already somebody else at Devin: a',
    )
    const both = 'devin_users:\n  - { email: a@b.c, subject: x, id: a }\n  - { emial: a@b.c, id: a }\n'
    expect(readDevinUsers('devin-users.yaml', both).diagnostics.map(formatDiagnostic)).toEqual([
      'devin-users.yaml:2:5: say either "email" or "subject"',
      'devin-users.yaml:3:7: unknown key "emial"; did you mean "email"?',
    ])
  })
})
