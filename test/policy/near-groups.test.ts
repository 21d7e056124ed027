// Groups that are nearly the ones a policy names: shown in the nearest miss, and never a match.

import { describe, expect, test } from 'vitest'
import { ask, policyFrom, principalOf } from '../support/policies.ts'

const policy = policyFrom({
  'teams/a.yaml': `team: a
members: [{ groups: [sso-a, sso-shared] }]
organizations: [org-a]
grants:
  - { id: leads, allow: [ViewOrgSessions], when: { groups: [a-leads] } }
`,
  'teams/b.yaml': `team: b
members: [{ groups: [sso-shared] }, { app: [bot] }]
organizations: [org-a]
grants:
  - { id: read, allow: [ViewOrgSessions], when: { groups: [b-leads] } }
`,
})
const nearest = (...groups: string[]): string | null => {
  const { decision } = ask(policy, principalOf({ groups }), 'GET /v3/organizations/org-a/sessions')
  expect(decision.effect).toBe('deny')
  return decision.nearest?.text ?? null
}

describe('the nearest miss of a caller', () => {
  test.each([
    ['SSO-A', 'the group "SSO-A" of the token differs from "sso-a" of team a only in letter case'],
    ['/sso-shared', 'the group "/sso-shared" of the token differs from "sso-shared" of team a only by a first slash'],
    ['sso-a ', 'the group "sso-a " of the token differs from "sso-a" of team a only by white space'],
    ['sso-ab', null],
    ['a-leads', null],
    [`SSO-A${' '.repeat(300)}`, null],
  ])('of no team names a group that is nearly one of a team: %j', (group, text) => {
    expect(nearest('others', group)).toBe(text)
  })

  test('of a team says that the groups which a condition names were left out', () => {
    const { decision } = ask(
      policy,
      principalOf({ app: 'bot', groups: [], groupsOmitted: true }),
      'GET /v3/organizations/org-a/sessions',
    )
    expect(decision.nearest?.text).toBe(
      'grant read of team b covers it for callers with groups: b-leads; the groups of this caller were left out of the token, because there are too many of them',
    )
  })

  test('of a team names one that is nearly that of a condition', () => {
    expect(nearest('sso-a', 'A-Leads')).toBe(
      'grant leads of team a covers it for callers with groups: a-leads; the group "A-Leads" of the token differs from "a-leads" only in letter case',
    )
    expect(nearest('sso-a', 'others')).not.toContain('differs')
  })
})
