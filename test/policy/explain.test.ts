// An explanation says in words what the same functions decide for a request, and shows no more than the caller may know.

import { describe, expect, test } from 'vitest'
import { explain } from '../../src/policy/tools/explain.ts'
import type { PolicySet } from '../../src/policy/model/policy-set.ts'
import { ask, bodyOf, policyFrom, principalOf } from '../support/policies.ts'

const policy = policyFrom({
  'teams/payments.yaml': `
team: payments
members: [{ groups: [payments] }]
organizations: [org-payments]
grants:
  - id: run
    allow: [ViewOrgSessions, ManageOrgSessions]
  - id: books
    allow: [ManageAccountPlaybooks]
  - id: secrets
    allow: [ManageOrgSecrets]
    mode: shadow
  - id: metrics
    allow: [ViewOrgMetrics]
`,
  'keys.yaml': `
keys:
  - { id: runner, scope: organization, organization: org-payments, permissions: [ViewOrgSessions, ManageOrgPlaybooks, UseDevinSessions], secret: { env: K } }
  - { id: analytics, scope: enterprise, permissions: [ViewAccountMetrics], serves_organizations: all, secret: { env: K } }
`,
})
const ada = principalOf({ groups: ['payments'], app: 'cli' })

function explained(request: string, body?: unknown, principal = ada) {
  const [method = '', target = ''] = request.split(' ')
  return explain(policy, principal, { method, target, body: body === undefined ? null : bodyOf(body) })
}

function steps(request: string, body?: unknown, principal = ada): string[] {
  return explained(request, body, principal).steps.map(({ stage, ok, text }) => `${ok ? '+' : '-'} ${stage}: ${text}`)
}

const seen = '+ caller: subject ada, app cli, groups payments: a member of payments'

const attempt =
  '+ limit: a body is read before the other limits, and the request counts as an attempt, allowed or not: attempts 120/min (by default) for each caller of team payments'

describe('an explanation', () => {
  test('of an allowed call names the grant, its file and line without folders, and the key with its reason', () => {
    expect(steps('GET /v3/organizations/org-payments/sessions')).toEqual([
      '+ path: the path is read as 4 segments: /v3/organizations/org-payments/sessions',
      seen,
      '+ operation: org.sessions.list (GET /v3/organizations/{org_id}/sessions), organization scope, needs ViewOrgSessions',
      '+ decision: allowed by grant run of team payments (payments.yaml:6)',
      '+ key: runner: organization key of org-payments with 3 permissions, holds ViewOrgSessions',
    ])
    expect(explained('GET /v3/organizations/org-payments/sessions')).toMatchObject({
      effect: 'allow',
      reason: 'granted',
      detail: null,
      operation: 'org.sessions.list',
      permission: 'ViewOrgSessions',
      team: 'payments',
      grant: 'run',
      organizations: ['org-payments'],
      key: 'runner',
      nearest: null,
      shadow: [],
      policy_revision: 'r1',
    })
  })

  test('shows the other names of a disputed operation, what the body may ask for, and by which name the key serves', () => {
    expect(steps('POST /v3/organizations/org-payments/sessions', { prompt: 'x' })).toEqual([
      '+ path: the path is read as 4 segments: /v3/organizations/org-payments/sessions',
      seen,
      '+ operation: org.sessions.create (POST /v3/organizations/{org_id}/sessions), organization scope, needs ManageOrgSessions; other pages name UseDevinSessions: a key that has it is enough, a grant that names it is not; ImpersonateOrgSessions too when create_as_user_id, message_as_user_id or run_as_user_id is present',
      attempt,
      '+ decision: allowed by grant run of team payments (payments.yaml:6); the body is read and checked',
      '+ key: runner: organization key of org-payments with 3 permissions, holds UseDevinSessions, which other pages of the documentation name for this operation',
    ])
  })

  test("distinguishes an inferred permission from a documented one, and a key's inherited one", () => {
    expect(steps('GET /v3/organizations/org-payments/metrics/dau')[4]).toBe(
      '+ key: analytics: enterprise key with 1 permission, whose ViewAccountMetrics stands for the organization permission',
    )
    expect(steps('POST /v3/organizations/org-payments/sessions/devin-1/tags', {}).join('\n')).toContain(
      'ManageOrgSessions (inferred, not documented)',
    )
  })

  test.each([
    [
      'ViewAccountSessions',
      'sessions',
      ', whose ViewAccountSessions stands for ViewOrgSessions in every organization (documented)',
    ],
    [
      'ViewAccountCodeScans',
      'code-scans/scans',
      ', whose ViewAccountCodeScans stands for ViewCodeScans in every organization (inferred)',
    ],
    ['ViewOrgSessions', 'sessions', ''],
    ['org.sessions.list', 'sessions', ''],
  ])('shows by which pair of permissions a grant of %s covers an organization operation', (word, path, text) => {
    const own = policyFrom({
      'teams/payments.yaml': `team: payments\nmembers: [{ groups: [payments] }]\norganizations: [org-payments]\ngrants:\n  - { id: g, allow: [${word}] }\n`,
    })
    const found = explain(own, ada, { method: 'GET', target: `/v3/organizations/org-payments/${path}`, body: null })
    expect(found.steps.find(({ stage }) => stage === 'decision')?.text).toBe(
      `allowed by grant g of team payments (payments.yaml:5)${text}`,
    )
  })

  test('of a refusal names the nearest miss', () => {
    const found = explained('GET /v3/organizations/org-other/sessions')
    expect(found).toMatchObject({ effect: 'deny', reason: 'organization-not-granted', team: 'payments', key: null })
    expect(found.nearest).toBe(
      'organization "org-other" is not among the organizations of team payments (org-payments)',
    )
    expect(found.steps.at(-1)).toMatchObject({ stage: 'decision', ok: false })
  })

  test('marks shadow grants', () => {
    const found = explained('GET /v3/organizations/org-payments/secrets')
    expect(found).toMatchObject({ effect: 'deny', reason: 'not-granted', shadow: ['payments/secrets'] })
    expect(steps('GET /v3/organizations/org-payments/secrets').at(-1)).toBe(
      '+ shadow: grant secrets of team payments is in shadow mode and would allow this',
    )
  })

  test('of an allowed call without a key is a refusal that names the missing one', () => {
    const found = explained('POST /v3/organizations/org-payments/sessions/devin-1/messages', { message: 'x' })
    expect(found).toMatchObject({
      effect: 'deny',
      reason: 'key-unavailable',
      team: 'payments',
      grant: 'run',
      key: null,
    })
    expect(found.detail).toBe(
      'no key can serve org.sessions.messages.send in org-payments: an organization key for it with ManageOrgSessions is missing in the inventory',
    )
  })

  test('of a caller without a team says what was seen', () => {
    const found = steps('GET /v3/self', undefined, principalOf({ groups: [] }))
    expect(found[1]).toBe('- caller: subject ada, app none, groups none: a member of no team')
    expect(found.at(-1)).toMatch(/^- decision: no-team: No team lists this caller/)
  })

  test('of a caller whose groups were left out says so', () => {
    const found = steps('GET /v3/self', undefined, principalOf({ groupsOmitted: true, app: 'cli' }))
    expect(found[1]).toBe('- caller: subject ada, app cli, groups left out of the token: a member of no team')
    expect(found.at(-1)).toMatch(/^- decision: groups-omitted: The identity provider left the groups out of this token/)
  })

  test('of a caller for whom somebody acts names both', () => {
    const found = steps('GET /v3/self', undefined, principalOf({ actor: 'agent', groups: [] }))
    expect(found[1]).toBe('- caller: subject ada, for whom agent acts, app none, groups none: a member of no team')
  })

  test('of a bad path or an unknown operation is an explanation, too', () => {
    expect(explained('GET /v3//self')).toMatchObject({ effect: 'deny', reason: 'ambiguous-path', operation: null })
    expect(steps('GET /v3//self')).toEqual([expect.stringMatching(/^- path: The path is refused because/)])
    expect(explained('GET /v3/%73elf')).toMatchObject({ effect: 'deny', reason: 'ambiguous-path' })
    expect(explained('GET /v3/unknown')).toMatchObject({ effect: 'deny', reason: 'unknown-operation' })
    expect(steps('GET /v3/unknown').at(-1)).toMatch(/^- operation: No operation of the API has this path/)
    expect(explained('GET http://other.example/v3/self')).toMatchObject({ effect: 'deny', reason: 'ambiguous-path' })
  })

  test('agrees with the decision on the request itself', () => {
    for (const [request, body] of [
      ['GET /v3/organizations/org-payments/sessions', undefined],
      ['GET /v3/organizations/org-other/sessions', undefined],
      ['POST /v3/organizations/org-payments/sessions', { create_as_user_id: 'u' }],
      ['GET /v3/organizations/org-payments/playbooks', undefined],
      ['GET /v3/self', undefined],
    ] as const) {
      const found = explained(request, body)
      const { decision, key } = ask(policy, ada, request, body)
      expect(found.team).toBe(decision.team?.id ?? null)
      expect(found.grant).toBe(decision.grant?.id ?? null)
      expect(found.key).toBe(key?.key.id ?? null)
      expect(found.effect).toBe(decision.effect === 'allow' && key !== null ? 'allow' : 'deny')
    }
  })

  test("shows nothing of a caller's organization id that could disturb a terminal or a log", () => {
    const found = explained(`GET /v3/organizations/${'x'.repeat(500)}/sessions?org_id=%1b%5B31m%0a%22`)
    const text = JSON.stringify({ ...found, organizations: [] })
    expect(text).not.toMatch(/\\u001b|\\n/)
    expect(found.detail?.length).toBeLessThan(400)
  })
})

describe('an explanation of guardrails', () => {
  const guarded = policyFrom({
    'teams/payments.yaml': `
team: payments
members: [{ groups: [payments] }]
organizations: [org-payments]
grants: [{ id: run, allow: [ViewOrgSessions, ManageOrgSessions, ImpersonateOrgSessions] }]
`,
    'keys.yaml': `
keys:
  - { id: runner, scope: organization, organization: org-payments, permissions: [ViewOrgSessions, ManageOrgSessions, ImpersonateOrgSessions], secret: { env: K } }
`,
    'guardrails.yaml': `guardrails:
  - id: bounded
    on: [org.sessions.create]
    body: { max_acu_limit: { default: 10, at_most: 25 }, tags: { add: ["app:\${app}"] } }
  - id: tried
    on: [org.sessions.create]
    mode: shadow
    body: { title: { max_length: 3, default: abc }, max_acu_limit: { at_most: 5 } }
  - id: self
    on: [org.sessions.create]
    body: { create_as_user_id: { equals: principal.devin_user_id } }
  - id: pages
    on: [org.sessions.list]
    query: { first: { default: 50 } }
`,
  })
  const create = 'POST /v3/organizations/org-payments/sessions'
  function explainedWith(request: string, body?: unknown, devinUser?: string) {
    const [method = '', target = ''] = request.split(' ')
    const asked = body === undefined ? null : bodyOf(body)
    return explain(guarded, ada, {
      method,
      target,
      body: asked,
      devinUser: devinUser === undefined ? undefined : { id: devinUser },
    })
  }
  function steps(found: ReturnType<typeof explainedWith>): string[] {
    return found.steps.slice(3).map(({ stage, ok, text }) => `${ok ? '+' : '-'} ${stage}: ${text}`)
  }

  test('shows what is put in, and what one in shadow mode would do', () => {
    const found = explainedWith(create, { prompt: 'x' })
    expect(steps(found)).toEqual([
      attempt,
      '+ decision: allowed by grant run of team payments (payments.yaml:5); the body is read and checked',
      '+ guardrail: bounded (guardrails.yaml:2) adds max_acu_limit: 10',
      '+ guardrail: bounded (guardrails.yaml:2) adds "app:cli" to tags',
      '+ shadow: guardrail tried (guardrails.yaml:5) is in shadow mode and would add title: "abc"',
      '+ shadow: guardrail tried (guardrails.yaml:5) is in shadow mode and would refuse: max_acu_limit must be at most 5, and is 10',
      '+ key: runner: organization key of org-payments with 3 permissions, holds ManageOrgSessions',
    ])
    expect(found).toMatchObject({
      effect: 'allow',
      guardrails: ['bounded', 'self'],
      changes: [
        { guardrail: 'bounded', in: 'body', place: 'max_acu_limit', value: '10' },
        { guardrail: 'bounded', in: 'body', place: 'tags', value: '"app:cli"' },
      ],
    })
    expect(steps(explainedWith('GET /v3/organizations/org-payments/sessions'))[1]).toBe(
      '+ guardrail: pages (guardrails.yaml:12) adds the parameter first: 50',
    )
    expect(steps(explainedWith('GET /v3/organizations/org-payments/sessions?first=5'))[1]).toBe(
      '+ guardrail: pages: nothing to change',
    )
  })

  test('of a refusal says that it is granted, and names guardrail, field and bound', () => {
    const found = explainedWith(create, { max_acu_limit: 99 })
    expect(steps(found).slice(0, 3)).toEqual([
      attempt,
      '+ decision: allowed by grant run of team payments (payments.yaml:5); the body is read and checked',
      '- guardrail: bounded (guardrails.yaml:2): max_acu_limit must be at most 25, and is 99',
    ])
    expect(found).toMatchObject({ effect: 'deny', reason: 'guardrail', key: null })
    expect(found.detail).toBe(
      'max_acu_limit must be at most 25, and is 99 (guardrail bounded). Change the request, or ask the owner of the guardrail.',
    )
  })

  test('takes the user at Devin as it is given, and says where it comes from when it is not', () => {
    expect(explainedWith(create, { create_as_user_id: 'u1' }, 'u1').effect).toBe('allow')
    expect(explainedWith(create, { create_as_user_id: 'u1' }, 'u2').reason).toBe('guardrail')
    expect(steps(explainedWith(create, { create_as_user_id: 'u1' }))[2]).toBe(
      '- guardrail: self (guardrails.yaml:9): create_as_user_id must be principal.devin_user_id, and only a running gateway asks Devin who a caller is: say it with --devin-user, or in devin-users.yaml',
    )
  })
})

describe('a create that a budget pays for', () => {
  const budgeted = policyFrom({
    'teams/payments.yaml': `
team: payments
members: [{ groups: [payments] }]
organizations: [org-payments]
grants: [{ id: run, allow: [ManageOrgSessions] }]
limits: { acus: 10/month }
`,
    'keys.yaml': `
keys:
  - { id: runner, scope: organization, organization: org-payments, permissions: [UseDevinSessions, ManageOrgSessions], secret: { env: K } }
`,
  })
  const create = (body: unknown) =>
    explain(budgeted, ada, {
      method: 'POST',
      target: '/v3/organizations/org-payments/sessions',
      body: bodyOf(body),
    })

  test('has to say what it may cost, as at the gateway', () => {
    expect(create({ prompt: 'x', max_acu_limit: 5 })).toMatchObject({ effect: 'allow', reason: 'granted' })
    const refused = create({ prompt: 'x' })
    expect(refused).toMatchObject({ effect: 'deny', reason: 'budget-needs-bound', key: 'runner' })
    expect(refused.detail).toContain('send max_acu_limit as a number of ACUs above 0')
    expect(refused.steps.at(-1)).toEqual({ stage: 'budget', ok: false, text: refused.detail })
  })
})

describe('a request whose body is read first', () => {
  const team = (limits: string, allow: string): PolicySet =>
    policyFrom({
      'teams/payments.yaml': `team: payments\nmembers: [{ groups: [payments] }]\norganizations: [org-payments]\ngrants: [{ id: run, allow: [${allow}] }]\n${limits}`,
    })
  const attemptsOf = (policy: PolicySet, method: string, path: string): string | undefined =>
    explain(policy, ada, { method, target: `/v3/organizations/org-payments/${path}`, body: null }).steps.find(
      ({ stage }) => stage === 'limit',
    )?.text

  test.each([
    ['', 'attempts 120/min (by default)'],
    ['limits: { writes: 30/min }', 'attempts 60/min (by default)'],
    ['limits: { attempts: 7/h }', 'attempts 7/h'],
    ['limits: { attempts: 7/h, mode: shadow }', 'attempts 7/h, in shadow mode'],
  ])('says which limit of attempts it meets: %s', (limits, text) => {
    expect(attemptsOf(team(limits, 'ManageOrgSessions'), 'POST', 'sessions')).toBe(
      `a body is read before the other limits, and the request counts as an attempt, allowed or not: ${text} for each caller of team payments`,
    )
  })

  test('or says when it would', () => {
    const policy = team('', '"org.*"')
    expect(attemptsOf(policy, 'POST', 'pr-reviews')).toMatch(
      /^with an Idempotency-Key the body is read .* attempts 120\/min/,
    )
    for (const [method, path] of [
      ['GET', 'sessions'],
      ['DELETE', 'playbooks/p-1'],
    ] as const)
      expect([path, attemptsOf(policy, method, path)]).toEqual([path, undefined])
  })

  test('and nothing where it is refused before', () => {
    expect(attemptsOf(team('', 'ViewOrgSessions'), 'POST', 'sessions')).toBe(undefined)
  })
})
