// Guardrails on answers, decided: who may ask at enterprise scope because of one, whose items then pass, which fields are
// dropped, and what is wrong with a file that filters what cannot be filtered.

import { describe, expect, test } from 'vitest'
import { formatDiagnostic } from '../../src/config/diagnostics.ts'
import type { PolicySet } from '../../src/policy/model/policy-set.ts'
import { ask, compileFiles, policyFrom, principalOf } from '../support/policies.ts'

const keys = `keys:
  - { id: enterprise, scope: enterprise, permissions: [ManageOrganizations, ViewAccountSessions, ManageAccountMembership, ViewAccountMetrics, ManageBilling], secret: { env: K } }
`
const teamOf = (name: string, organizations: string, more = ''): string => `team: ${name}
members: [{ groups: ${name} }]
organizations: ${organizations}
grants:
  - { id: read, allow: [ent.sessions.*, ent.organizations.list, ent.metrics.usage.get, ent.members.users.list] }
  - { id: shadow, allow: [ent.consumption.acu-limits.devin.list], mode: shadow }
${more}`
const teams = {
  'teams/a.yaml': teamOf('a', '[org-a, org-b]'),
  'teams/c.yaml': teamOf('c', '[org-c]'),
  'teams/d.yaml': teamOf('d', '[org-d]'),
  'teams/z.yaml': teamOf('z', 'all'),
  'keys.yaml': keys,
}
const own =
  '{ id: own, on: [ent.sessions.list, ent.sessions.get, ent.organizations.list], teams: [a, c, z], response: { filter_items_by: organizations } }'

function withGuardrails(...guardrails: readonly string[]): PolicySet {
  return policyFrom({
    ...teams,
    'guardrails.yaml': `guardrails:\n${guardrails.map((each) => `  - ${each}\n`).join('')}`,
  })
}

/** What is decided: the refusal, or whose items pass, what is dropped and by which guardrails. */
function shown(policy: PolicySet, groups: readonly string[], request: string, app: string | null = null): string {
  const { decision } = ask(policy, principalOf({ groups: [...groups], app }), request)
  if (decision.effect === 'deny') return decision.reason
  const { response } = decision
  if (response === null) return `whole, by ${decision.team?.id}`
  const { organizations, drop, guardrails } = response
  const items = organizations === 'all' ? 'all' : organizations.join(' ')
  return [`${items}, by ${guardrails.join(' ')}`, ...drop].join(', without ')
}

const sessions = 'GET /v3/enterprise/sessions'

describe('an enterprise operation that names no organization', () => {
  const policy = withGuardrails(own)

  test('is open to a fenced team where a filter binds it, and what passes is inside the fence', () => {
    expect(shown(policy, ['a'], sessions)).toBe('org-a org-b, by own')
    expect(shown(policy, ['a'], `${sessions}/devin-1`)).toBe('org-a org-b, by own')
    expect(shown(policy, ['c'], sessions)).toBe('org-c, by own')
    expect(shown(policy, ['a'], 'HEAD /v3/enterprise/sessions')).toBe('org-a org-b, by own')
  })

  test('stays closed to a team that no filter binds, and on operations without one', () => {
    expect(shown(policy, ['d'], sessions)).toBe('organization-not-granted')
    expect(shown(policy, ['a'], 'GET /v3/enterprise/sessions/devin-1/messages')).toBe('organization-not-granted')
    expect(shown(policy, ['a'], 'GET /v3/enterprise/metrics/usage')).toBe('organization-not-granted')
  })

  test('shows all to a team of all organizations', () => {
    expect(shown(policy, ['z'], sessions)).toBe('whole, by z')
  })

  test('shows who is in several teams what each of them shows', () => {
    expect(shown(policy, ['a', 'c'], sessions)).toBe('org-a org-b org-c, by own')
    expect(shown(policy, ['a', 'd'], sessions)).toBe('org-a org-b, by own')
    expect(shown(policy, ['a', 'z'], sessions)).toBe('whole, by a')
  })

  test('that is narrowed shows what it names, and nothing outside', () => {
    expect(shown(policy, ['a'], `${sessions}?org_ids=org-b`)).toBe('org-b, by own')
    expect(shown(policy, ['a'], `${sessions}?org_ids=org-b&org_ids=org-c`)).toBe('organization-not-granted')
    expect(shown(policy, ['a', 'c'], `${sessions}?org_ids=org-c`)).toBe('org-c, by own')
    expect(shown(policy, ['d'], `${sessions}?org_ids=org-d`)).toBe('whole, by d')
  })

  test('needs the grant all the same', () => {
    const roles = withGuardrails('{ id: g, on: [ent.audit-logs.list], response: { filter_items_by: organizations } }')
    expect(shown(roles, ['a'], 'GET /v3/enterprise/audit-logs')).toBe('not-granted')
  })

  test('is closed where the guardrail is in shadow mode or off', () => {
    expect(shown(withGuardrails(own.replace('id: own', 'id: own, mode: shadow')), ['a'], sessions)).toBe(
      'organization-not-granted',
    )
    expect(shown(withGuardrails(own.replace('id: own', 'id: own, mode: off')), ['a'], sessions)).toBe(
      'organization-not-granted',
    )
  })

  test('is open to the apps of the guardrail alone', () => {
    const forApps = withGuardrails(own.replace('teams: [a, c, z]', 'apps: [cli]'))
    expect(shown(forApps, ['a'], sessions, 'cli')).toBe('org-a org-b, by own')
    expect(shown(forApps, ['a'], sessions, 'web')).toBe('organization-not-granted')
    expect(shown(forApps, ['a'], sessions)).toBe('organization-not-granted')
  })
})

describe('fields', () => {
  const policy = withGuardrails(
    own,
    '{ id: plain, on: [ent.sessions.*], response: { fields: [title] } }',
    '{ id: quiet, on: [ent.sessions.list], teams: [a, z], response: { fields: [tags, title] } }',
  )

  test('of all guardrails are dropped together, each once', () => {
    expect(shown(policy, ['a'], sessions)).toBe('org-a org-b, by own plain quiet, without tags, without title')
    expect(shown(policy, ['z'], sessions)).toBe('all, by own plain quiet, without tags, without title')
    expect(shown(policy, ['z'], 'POST /v3/enterprise/sessions/devin-1/messages')).toBe('all, by plain, without title')
    expect(shown(policy, ['d'], `${sessions}?org_ids=org-d`)).toBe('all, by plain, without title')
  })

  test('that other teams of the caller do without are dropped, when what those show is shown', () => {
    expect(shown(policy, ['c'], sessions)).toBe('org-c, by own plain, without title')
    expect(shown(policy, ['c', 'a'], sessions)).toBe(
      'org-a org-b org-c, by own plain quiet, without tags, without title',
    )
  })
})

test('filters have one digest exactly when they show the same', () => {
  const digestOf = (policy: PolicySet, groups: readonly string[], request = sessions): string =>
    ask(policy, principalOf({ groups: [...groups] }), request).decision.response?.digest ?? ''
  const policy = withGuardrails(own)
  const renamed = withGuardrails(own.replace('id: own', 'id: other'))
  const dropping = withGuardrails(own, '{ id: plain, on: [ent.sessions.list], response: { fields: [title] } }')
  expect(digestOf(policy, ['a'])).toBe(digestOf(renamed, ['a']))
  const others = [
    digestOf(policy, ['c']),
    digestOf(policy, ['a', 'c']),
    digestOf(dropping, ['a']),
    digestOf(policy, ['a'], `${sessions}?org_ids=org-a`),
  ]
  expect(new Set([...others, digestOf(policy, ['a'])]).size).toBe(5)
})

describe('a guardrail that filters what cannot be filtered is refused at the word:', () => {
  const filtering = 'response: { filter_items_by: organizations }'
  test.each([
    [
      'ent.sessions.messages.list',
      "nothing is known of an organization in the answer of ent.sessions.messages.list, so its items cannot be filtered: grant the organization's own operation",
    ],
    [
      'ent.metrics.dau.get',
      'nothing is known of an organization in the answer of ent.metrics.dau.get, so its items cannot be filtered: let callers narrow it with org_ids',
    ],
    [
      'ent.code-scans.findings.list',
      'nothing is known of an organization in the answer of ent.code-scans.findings.list, so its items cannot be filtered: let callers narrow it with org_ids',
    ],
    [
      'ent.sessions.*',
      "nothing is known of an organization in the answer of ent.sessions.messages.list, so its items cannot be filtered: grant the organization's own operation",
    ],
    [
      'ent.organizations.update',
      'ent.organizations.update is a write: what it did could not be undone by filtering its answer. Name reads only',
    ],
    ['org.sessions.list', 'org.sessions.list stays inside one organization: the fence holds without filter_items_by'],
    ['self.get', 'self.get stays inside one organization: the fence holds without filter_items_by'],
  ])('%s', (word, message) => {
    const text = `guardrails:\n  - { id: g, on: [ent.sessions.list, "${word}"], ${filtering} }\n`
    const { diagnostics } = compileFiles({ ...teams, 'guardrails.yaml': text })
    expect(diagnostics.filter(({ severity }) => severity === 'error').map(formatDiagnostic)).toEqual([
      `guardrails.yaml:2:38: ${message}`,
    ])
  })

  test('fields of what is no JSON', () => {
    const text = 'guardrails:\n  - { id: g, on: [org.attachments.download], response: { fields: [x] } }\n'
    const { diagnostics } = compileFiles({ ...teams, 'guardrails.yaml': text })
    expect(diagnostics.map(formatDiagnostic)).toContain(
      'guardrails.yaml:2:19: no JSON is known of the answer of org.attachments.download, so no fields of it can be dropped',
    )
  })
})
