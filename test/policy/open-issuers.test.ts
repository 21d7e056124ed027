// Warnings about entries that let in whoever has a token of an issuer that is open to everybody.

import { expect, test } from 'vitest'
import { createSite } from '../support/site.ts'
import { callCommand } from '../support/command.ts'
import { usualKeys } from '../support/start-gateway.ts'
import { compileFiles } from '../support/policies.ts'
import { readIssuerPages } from '../support/issuer-pages.ts'

function warnings(entry: string): readonly string[] {
  return compileFiles({
    'teams/t.yaml': `team: t\nmembers:\n  - groups: [g]\n  - ${entry}\norganizations: [org-a]\n`,
    'keys.yaml':
      'keys: [{ id: k, scope: organization, organization: org-a, permissions: [ViewOrgSessions], secret: { env: K } }]\n',
  }).lines
}

const github = 'https://token.actions.githubusercontent.com'

test.each([
  [
    `{ issuer: "${github}" }`,
    'every repository of GitHub can be a member by this entry: name repository_id or repository_owner_id under claims, or a subject',
  ],
  [
    `{ issuer: "${github}", claims: { ref: refs/heads/main, event_name: push } }`,
    'every repository of GitHub can be a member by this entry: name repository_id or repository_owner_id under claims, or a subject',
  ],
  [
    `{ issuer: "${github}", claims: { job_workflow_ref: octo/public/.github/workflows/a.yml@refs/heads/main } }`,
    'every repository of GitHub can be a member by this entry: name repository_id or repository_owner_id under claims, or a subject',
  ],
  [
    '{ issuer: [https://sso.corp.example, https://gitlab.com], claims: { ref_protected: true } }',
    'every project of gitlab.com can be a member by this entry: name project_id or namespace_id under claims, or a subject',
  ],
  [
    '{ issuer: https://accounts.google.com, claims: { email_verified: true }, delegated: false }',
    'everybody with a Google account can be a member by this entry: name google.compute_engine.project_number or hd under claims, or a subject',
  ],
  [
    '{ issuer: https://app.devin.ai }',
    'every session of every company can be a member by this entry: name org_id or devin_id under claims, or a subject',
  ],
])('%s is a warning at its place', (entry, message) => {
  expect(warnings(entry)).toEqual([`teams/t.yaml:4:5: warning: ${message}`])
})

test.each([
  '{ issuer: https://sso.corp.example }',
  `{ issuer: "${github}", claims: { repository_owner_id: 65, event_name: push } }`,
  `{ issuer: "${github}", subject: ["repo:octo/repo:ref:refs/heads/main"] }`,
  '{ issuer: https://accounts.google.com, claims: { google\\.x: 1, hd: corp.example } }',
  '{ issuer: https://accounts.google.com, email: [ann@corp.example] }',
  '{ issuer: https://gitlab.com, claims: { project_id: 20 } }',
])('%s is none', (entry) => {
  expect(warnings(entry)).toEqual([])
})

test('the teams of the pages about issuers bring none', () => {
  for (const { name, team } of readIssuerPages()) {
    const { lines } = compileFiles({ [`teams/${name}.yaml`]: team, 'keys.yaml': 'keys: []\n' })
    expect(lines.filter((line) => line.includes('by this entry'))).toEqual([])
  }
})

test.each([
  ['https://gitlab.com', true],
  ['https://gitlab.corp.example', false],
])('an entry without issuer beside the further issuer %s: a warning of check is %s', async (further, expected) => {
  const team = `team: payments
members:
  - { groups: [sso-payments-eng] }
  - { issuer: https://sso.test, groups: [leads] }
organizations: [org-payments]
`
  const site = await createSite({
    issuer: {
      issuer: 'https://sso.test',
      jwksUri: `http://127.0.0.1:9/jwks\n  - issuer: ${further}\n    audience: devin-gateway`,
    },
    policies: { 'teams/payments.yaml': team },
  })
  try {
    const { err } = await callCommand(['check', '--config', site.configFile], usualKeys)
    const text =
      'payments.yaml:3:5: warning: this entry names no issuer, so it matches tokens of all 2 issuers, among them https://gitlab.com, which anybody can use: add issuer'
    expect(err.includes(text)).toBe(expected)
    expect(err).not.toContain('payments.yaml:4:')
  } finally {
    await site.remove()
  }
})
