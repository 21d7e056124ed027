// Requests against policies: the fence wherever an organization id stands, grants of several teams, what bodies ask for,
// conditions and modes, and the key that then serves.

import { describe, expect, test } from 'vitest'
import { compileCatalogue } from '../../src/catalogue/catalogue.ts'
import { devinApi } from '../../src/catalogue/data.ts'
import { readExtension } from '../../src/catalogue/extension.ts'
import { parseTarget } from '../../src/catalogue/target.ts'
import { evaluate, findOperation } from '../../src/policy/decision/evaluate.ts'
import { readsBody } from '../../src/policy/decision/facts.ts'
import { Problem } from '../../src/problems.ts'
import { ask, catalogue, operationOf, outcomeOf, policyFrom, principalOf } from '../support/policies.ts'

const keys = `
keys:
  - { id: payments-runner, scope: organization, organization: org-payments, permissions: [ViewOrgSessions, ManageOrgSessions], secret: { env: K } }
  - { id: payments-actor, scope: organization, organization: org-payments, permissions: [ManageOrgSessions, ImpersonateOrgSessions], secret: { env: K } }
  - { id: payments-builder, scope: organization, organization: org-payments, permissions: [ManageRepoBlueprints, ManageOrgSnapshots, ManageOrgSecrets, ManageOrgSchedules], secret: { env: K } }
  - { id: tools-reader, scope: organization, organization: org-tools, permissions: [ViewOrgSessions], secret: { env: K } }
  - { id: analytics, scope: enterprise, permissions: [ViewAccountSessions, ViewAccountMetrics, ManageOrganizations, ManageBilling, ManageAccountMembership, ManageAccountSessions], secret: { env: K } }
`

function team(text: string): string {
  return text.replace(/^\n/, '')
}

const payments = team(`
team: payments
members: [{ groups: [payments] }]
organizations: [org-payments]
grants:
  - { id: run, allow: [ViewOrgSessions, ManageOrgSessions] }
  - { id: enterprise, allow: [ViewAccountSessions, ent.organizations.*, "ent.metrics.*"] }
`)
const policy = policyFrom({ 'teams/payments.yaml': payments, 'keys.yaml': keys })
const ada = principalOf({ groups: ['payments'] })

function outcome(request: string, body?: unknown, principal = ada, using = policy): string {
  return outcomeOf(ask(using, principal, request, body))
}

describe('the fence', () => {
  test("lets the team's own organization through and no other", () => {
    expect(outcome('GET /v3/organizations/org-payments/sessions')).toBe('allow payments/run payments-runner')
    expect(outcome('GET /v3/organizations/org-other/sessions')).toBe('deny organization-not-granted payments')
  })

  test('compares organization ids raw and letter by letter', () => {
    for (const spelled of [
      'org%2Dpayments',
      'ORG-payments',
      'org-payments%20',
      'org-payment',
      'org-payments.',
      '%6Frg-payments',
    ])
      expect(outcome(`GET /v3/organizations/${spelled}/sessions`), spelled).toBe(
        'deny organization-not-granted payments',
      )
  })

  test('lets an escaped id through to no team, however wide: keys, limits and budgets would not know it', () => {
    const open = policyFrom({
      'teams/all.yaml': `team: all
members: [{ groups: [payments] }]
organizations: all
grants: [{ id: run, allow: [ViewOrgSessions, ent.organizations.get] }]
`,
      'keys.yaml': `keys:
  - { id: wide, scope: enterprise, permissions: [ViewAccountSessions, ManageOrganizations], serves_organizations: all, secret: { env: K } }
`,
    })
    expect(outcome('GET /v3/organizations/org-x/sessions', undefined, ada, open)).toBe('allow all/run wide')
    for (const path of ['organizations/org%2Dx/sessions', 'enterprise/organizations/%6Frg-x'])
      expect(outcome(`GET /v3/${path}`, undefined, ada, open), path).toBe('deny organization-not-granted all')
  })

  test('stands also around enterprise operations that name an organization in their path', () => {
    expect(outcome('GET /v3/enterprise/organizations/org-payments/members/users')).toBe(
      'allow payments/enterprise analytics',
    )
    expect(outcome('GET /v3/enterprise/organizations/org-other/members/users')).toBe(
      'deny organization-not-granted payments',
    )
  })

  test('keeps out enterprise operations that name no organization', () => {
    expect(outcome('GET /v3/enterprise/sessions')).toBe('deny organization-not-granted payments')
    expect(outcome('GET /v3/enterprise/sessions?first=5')).toBe('deny organization-not-granted payments')
    expect(outcome('GET /v3/enterprise/organizations')).toBe('deny organization-not-granted payments')
  })

  test("lets an enterprise operation through that is narrowed to the team's organizations by a documented parameter", () => {
    expect(outcome('GET /v3/enterprise/sessions?org_ids=org-payments')).toBe('allow payments/enterprise analytics')
    expect(outcome('GET /v3/enterprise/sessions?first=5&org_ids=org-payments&org_ids=org-payments')).toBe(
      'allow payments/enterprise analytics',
    )
  })

  test.each([
    '?org_ids=org-other',
    '?org_ids=org-payments&org_ids=org-other',
    '?org_ids=org-other&org_ids=org-payments',
    '?org_ids=org-payments&org_id=org-other',
    '?org_ids=org-payments&%6Frg_ids=org-other',
    '?org_ids=org-payments&org%5Fids=org-other',
    '?org_ids=org-payments,org-other',
    '?org_ids=org-payments%2Corg-other',
    '?org_ids=',
    '?org_ids',
    '?org_ids=org-payments&org_ids',
    '?org_ids=org-payments+',
    '?org_ids=org%252Dpayments',
    '?org_ids=org-payments%',
    '?org_ids=org-payments%00',
    '?org_ids=*',
    '?org_ids=all',
    '?org_ids=org-payments&org_ids[]=org-other',
    '?org_ids=org-payments&org_ids%5B0%5D=org-other',
  ])('looks at every organization in the query, however its name is spelled: %s', (query) => {
    expect(outcome(`GET /v3/enterprise/sessions${query}`)).toBe('deny organization-not-granted payments')
  })

  test('reads an escaped spelling of its own organization in the query as the upstream does', () => {
    expect(outcome('GET /v3/enterprise/sessions?org_ids=org%2Dpayments')).toBe('allow payments/enterprise analytics')
  })

  test.each([
    'GET /v3/enterprise/sessions?org_id=org-payments',
    'GET /v3/enterprise/sessions/devin-1?org_ids=org-payments',
    // Documented, and only a hint beside the session's id: nothing says that the upstream holds the session against it.
    'GET /v3/enterprise/sessions/devin-1?org_id=org-payments',
    'GET /v3/enterprise/organizations?org_ids=org-payments',
    'GET /v3/enterprise/sessions?ORG_IDS=org-payments',
    'GET /v3/enterprise/sessions?org_ids[]=org-payments',
    'GET /v3/enterprise/sessions?+org_ids=org-payments',
    'GET /v3/enterprise/sessions?x=org_ids=org-payments',
  ])('is not satisfied by a parameter that does not bound what the operation touches: %s', (request) => {
    expect(outcome(request)).toBe('deny organization-not-granted payments')
  })

  test.each(['?first=5;org_ids=org-payments', '?;org_ids=org-payments', '?x=1;org_ids=org-payments;y=2'])(
    'is not satisfied by a parameter that only servers find which split at semicolons: %s',
    (query) => {
      expect(outcome(`GET /v3/enterprise/sessions${query}`)).toBe('deny organization-not-granted payments')
    },
  )

  test('holds against organizations that only servers find which split at semicolons', () => {
    expect(outcome('GET /v3/organizations/org-payments/sessions?first=5;org_ids=org-other')).toBe(
      'deny organization-not-granted payments',
    )
    expect(outcome('GET /v3/enterprise/sessions?org_ids=org-payments;org_ids=org-other')).toBe(
      'deny organization-not-granted payments',
    )
  })

  test('holds against organizations in queries of operations that document none', () => {
    expect(outcome('GET /v3/organizations/org-payments/sessions?org_id=org-other')).toBe(
      'deny organization-not-granted payments',
    )
    expect(outcome('GET /v3/organizations/org-payments/sessions?org_ids=org-payments&org_ids=org-other')).toBe(
      'deny organization-not-granted payments',
    )
    expect(outcome('GET /v3/organizations/org-payments/sessions?org_id=org-payments')).toBe(
      'allow payments/run payments-runner',
    )
    expect(outcome('GET /v3/self?org_id=org-other')).toBe('deny organization-not-granted payments')
  })

  test('that is open lets everything through and shows every organization to the keys as it is', () => {
    const open = policyFrom({ 'teams/payments.yaml': payments.replace('[org-payments]', 'all'), 'keys.yaml': keys })
    expect(outcome('GET /v3/enterprise/sessions', undefined, ada, open)).toBe('allow payments/enterprise analytics')
    expect(outcome('GET /v3/organizations/org-tools/sessions', undefined, ada, open)).toBe(
      'allow payments/run tools-reader',
    )
    expect(outcome('GET /v3/organizations/org-unknown/sessions', undefined, ada, open)).toBe(
      'allow payments/run no-key',
    )
  })
})

describe('organizations in the body', () => {
  const limits = policyFrom({
    'teams/payments.yaml': payments.replace(
      'ent.organizations.*',
      'ent.organizations.*, beta.ent.acu-limits.*, ent.org-group-limits.*',
    ),
    'keys.yaml': keys,
  })
  const update = 'PATCH /v3beta1/enterprise/organizations/org-payments/consumption/acu-limits'
  const method = operationOf('beta.ent.acu-limits.organizations.update').method

  test.each<[unknown, string]>([
    [{ local_agent: { billing_org_id: 'org-payments' } }, 'allow payments/enterprise analytics'],
    [{ local_agent: { billing_org_id: null } }, 'allow payments/enterprise analytics'],
    [{ local_agent: {} }, 'allow payments/enterprise analytics'],
    [{}, 'allow payments/enterprise analytics'],
    [{ local_agent: { billing_org_id: 'org-other' } }, 'deny organization-not-granted payments'],
    [{ local_agent: { billing_org_id: '' } }, 'deny organization-not-granted payments'],
    [{ local_agent: { billing_org_id: ['org-payments'] } }, 'deny organization-not-granted payments'],
    [{ local_agent: { billing_org_id: 7 } }, 'deny organization-not-granted payments'],
    [{ local_agent: { billing_org_id: { $eq: 'org-payments' } } }, 'deny organization-not-granted payments'],
  ])('are held against the fence where the catalogue says they stand: %j', (body, expected) => {
    expect(outcome(update.replace('PATCH', method), body, ada, limits)).toBe(expected)
  })

  test.each<[unknown, string]>([
    [{ org_id: 'org-payments', org_ids: ['org-payments'] }, 'allow payments/run payments-runner'],
    [{ org_id: 'org-other' }, 'deny organization-not-granted payments'],
    [{ org_ids: ['org-payments', 'org-other'] }, 'deny organization-not-granted payments'],
    [{ org_ids: 'org-other' }, 'deny organization-not-granted payments'],
  ])('are looked for at their usual places, too, in every body that is read: %j', (body, expected) => {
    expect(outcome('POST /v3/organizations/org-payments/sessions', body)).toBe(expected)
  })

  test('change nothing where no rule reads the body, so that explanations and policy tests say what happens', () => {
    for (const operation of catalogue.operations.filter((each) => !readsBody(each))) {
      const path = operation.template.replace('{org_id}', 'org-payments').replaceAll(/\{\w+\}/g, 'x1')
      for (const member of ['org_id', 'org_ids', 'create_as_user_id']) {
        const request = `${operation.method} ${path}`
        if (!catalogue.isServed(operation)) continue
        expect(outcome(request, { [member]: 'org-other' }), request).toBe(outcome(request))
      }
    }
  })

  test('do not narrow an operation that reaches every organization', () => {
    const replace = operationOf('ent.org-group-limits.replace')
    expect(
      outcome(`${replace.method} ${replace.template}`, { groups: { a: { org_ids: ['org-payments'] } } }, ada, limits),
    ).toBe('deny organization-not-granted payments')
  })
})

describe('a caller', () => {
  test('in no team is refused with the groups and the app that were seen', () => {
    const stranger = principalOf({ groups: ['sales', 'everyone'], app: 'console' })
    const { decision } = ask(policy, stranger, 'GET /v3/self')
    expect(decision).toMatchObject({ effect: 'deny', problem: 'identity-incomplete', reason: 'no-team', team: null })
    expect(decision.detail).toContain('sales, everyone')
    expect(decision.detail).toContain('app seen: console')
    expect(ask(policy, principalOf(), 'GET /v3/self').decision.detail).toContain(
      'Groups seen in the token: none; app seen: none',
    )
  })

  test("may ask for itself as a member of any team, with the key of the team's default organization", () => {
    expect(outcome('GET /v3/self')).toBe('allow payments/- payments-runner')
    expect(outcome('HEAD /v3/self')).toBe('allow payments/- payments-runner')
    const tools = team(`
team: tools
members: [{ groups: [tools] }]
organizations: [org-payments, org-tools]
default_organization: org-tools
`)
    const both = policyFrom({ 'teams/tools.yaml': tools, 'keys.yaml': keys })
    expect(outcome('GET /v3/self', undefined, principalOf({ groups: ['tools'] }), both)).toBe(
      'allow tools/- tools-reader',
    )
  })

  test('without a grant learns which grant would allow it, and later checks do not run', () => {
    const { decision } = ask(policy, ada, 'GET /v3/organizations/org-payments/secrets')
    expect(decision).toMatchObject({ effect: 'deny', problem: 'not-granted', reason: 'not-granted', grant: null })
    expect(decision.detail).toBe(
      'No grant of team payments allows org.secrets.list. Ask the owner of the policy for a grant of the operation org.secrets.list, or of the permission ManageOrgSecrets, which may allow more.',
    )
  })
})

describe('a caller in several teams', () => {
  const reader = team(`
team: b-reader
members: [{ groups: [both] }, { groups: [reader] }]
organizations: [org-tools]
grants:
  - { id: read, allow: [ViewOrgSessions] }
`)
  const writer = team(`
team: a-writer
members: [{ groups: [both] }]
organizations: [org-payments]
grants:
  - { id: write, allow: [ManageOrgSessions] }
`)
  const teams = policyFrom({ 'teams/reader.yaml': reader, 'teams/writer.yaml': writer, 'keys.yaml': keys })
  const both = principalOf({ groups: ['both'] })

  test("has the grants of each, each inside its own team's fence", () => {
    const answers = (request: string) => outcome(request, {}, both, teams)
    expect(answers('GET /v3/organizations/org-tools/sessions')).toBe('allow b-reader/read tools-reader')
    expect(answers('POST /v3/organizations/org-payments/sessions')).toBe('allow a-writer/write payments-runner')
    expect(answers('GET /v3/organizations/org-payments/sessions')).toBe('deny organization-not-granted b-reader')
    expect(answers('POST /v3/organizations/org-tools/sessions')).toBe('deny organization-not-granted a-writer')
  })

  test('cannot join two fences in one request', () => {
    expect(outcome('GET /v3/organizations/org-tools/sessions?org_id=org-payments', undefined, both, teams)).toBe(
      'deny organization-not-granted b-reader',
    )
    expect(outcome('GET /v3/self?org_id=org-tools&org_ids=org-payments', undefined, both, teams)).toBe(
      'deny organization-not-granted a-writer',
    )
    expect(outcome('GET /v3/self?org_id=org-tools', undefined, both, teams)).toBe('allow b-reader/- tools-reader')
  })

  test('is charged to the first team by id whose grant allows, whatever the order of the files', () => {
    const second = reader.replace('b-reader', 'z-reader')
    for (const files of [
      { 'teams/1.yaml': reader, 'teams/2.yaml': second },
      { 'teams/1.yaml': second, 'teams/2.yaml': reader },
    ]) {
      const own = policyFrom({ ...files, 'keys.yaml': keys })
      expect(outcome('GET /v3/organizations/org-tools/sessions', undefined, both, own)).toBe(
        'allow b-reader/read tools-reader',
      )
    }
  })

  test('does not carry a right of one team into the fence of another', () => {
    const actor = reader.replace('[ViewOrgSessions]', '[ImpersonateOrgSessions]')
    const own = policyFrom({ 'teams/reader.yaml': actor, 'teams/writer.yaml': writer, 'keys.yaml': keys })
    expect(outcome('POST /v3/organizations/org-payments/sessions', { create_as_user_id: 'u' }, both, own)).toBe(
      'deny not-granted a-writer',
    )
  })
})

describe('a body that asks for more', () => {
  const create = 'POST /v3/organizations/org-payments/sessions'
  const actors = policyFrom({
    'teams/payments.yaml': payments.replace('ManageOrgSessions]', 'ManageOrgSessions, ImpersonateOrgSessions]'),
    'keys.yaml': keys,
  })

  test('needs the right in a grant of the team', () => {
    expect(outcome(create, { prompt: 'x', create_as_user_id: 'u' })).toBe('deny not-granted payments')
    const { decision } = ask(policy, ada, create, { create_as_user_id: 'u' })
    expect(decision).toMatchObject({ problem: 'not-granted', nearest: { what: 'extra-permission' } })
    expect(decision.detail).toBe(
      'org.sessions.create also needs ImpersonateOrgSessions because the body holds create_as_user_id, and no grant of team payments holds it. Leave create_as_user_id out, or ask the owner of the policy.',
    )
  })

  test('and in the key; without the field the key that cannot impersonate is preferred', () => {
    expect(outcome(create, { prompt: 'x', create_as_user_id: 'u' }, ada, actors)).toBe(
      'allow payments/run payments-actor',
    )
    expect(outcome(create, { prompt: 'x' }, ada, actors)).toBe('allow payments/run payments-runner')
    const withoutActor = policyFrom({
      'teams/payments.yaml': payments.replace('ManageOrgSessions]', 'ManageOrgSessions, ImpersonateOrgSessions]'),
      'keys.yaml': keys.replace(/.*payments-actor.*\n/, ''),
    })
    expect(outcome(create, { create_as_user_id: 'u' }, ada, withoutActor)).toBe('allow payments/run no-key')
  })

  test.each<[unknown, boolean]>([
    [{ create_as_user_id: 'u' }, true],
    [{ create_as_user_id: '' }, true],
    [{ create_as_user_id: 0 }, true],
    [{ create_as_user_id: false }, true],
    [{ create_as_user_id: [] }, true],
    [{ create_as_user_id: null }, false],
    [{}, false],
    [{ message_as_user_id: 'u' }, true],
    [{ run_as_user_id: 'u' }, true],
    [{ nested: { create_as_user_id: 'u' } }, false],
    [[{ create_as_user_id: 'u' }], false],
    ['create_as_user_id', false],
    [null, false],
  ])('does so by holding the field at its top, null excepted: %j', (body, asks) => {
    expect(outcome(create, body)).toBe(asks ? 'deny not-granted payments' : 'allow payments/run payments-runner')
  })

  test('is not granted by a pattern, however wide: impersonation is granted by its name', () => {
    const wide = policyFrom({
      'teams/payments.yaml': payments.replace('[ViewOrgSessions, ManageOrgSessions]', '["*"]'),
      'keys.yaml': keys,
    })
    expect(outcome(create, { create_as_user_id: 'u' }, ada, wide)).toBe('deny not-granted payments')
    expect(outcome(create, {}, ada, wide)).toBe('allow payments/run payments-runner')
  })

  test('is not granted by a grant in shadow mode, one that is off, or one whose condition does not hold', () => {
    for (const extra of ['mode: shadow', 'mode: off', 'when: { groups: [leads] }']) {
      const own = policyFrom({
        'teams/payments.yaml': `${payments}  - { id: act, allow: [ImpersonateOrgSessions], ${extra} }\n`,
        'keys.yaml': keys,
      })
      expect(outcome(create, { create_as_user_id: 'u' }, ada, own), extra).toBe('deny not-granted payments')
    }
  })

  test('asks also by what it lacks: an organization blueprint without a repository', () => {
    const { method, template } = operationOf('beta.org.blueprints.create')
    const blueprints = `${method} ${template.replace('{org_id}', 'org-payments')}`
    const repo = policyFrom({
      'teams/payments.yaml': payments.replace('ManageOrgSessions]', 'ManageRepoBlueprints]'),
      'keys.yaml': keys,
    })
    expect(outcome(blueprints, { repo_name: 'corp/api' }, ada, repo)).toBe('allow payments/run payments-builder')
    for (const body of [{}, { repo_name: null }, undefined]) {
      expect(outcome(blueprints, body, ada, repo), JSON.stringify(body)).toBe('deny not-granted payments')
    }
    expect(ask(repo, ada, blueprints, {}).decision.detail).toContain('Send repo_name')
  })

  test('is asked for before it is read, and only where a rule looks at it', () => {
    const early = (request: string) => {
      const [method = '', path = ''] = request.split(' ')
      const target = parseTarget(path)
      return evaluate(policy, ada, findOperation(policy, method, target), target)
    }
    expect(early(create)).toMatchObject({ needsBody: true, key: null, decision: { effect: 'allow' } })
    expect(early('POST /v3/organizations/org-other/sessions')).toMatchObject({
      needsBody: false,
      decision: { effect: 'deny' },
    })
    expect(early('GET /v3/organizations/org-payments/sessions')).toMatchObject({
      needsBody: false,
      key: { key: { id: 'payments-runner' } },
    })
  })

  test('is read for exactly the operations whose catalogue entry speaks of it', () => {
    for (const operation of catalogue.operations) {
      expect(readsBody(operation), operation.id).toBe(
        operation.conditional.length > 0 || operation.organizations.body.length > 0,
      )
    }
  })
})

describe('a condition of a grant', () => {
  const leads = policyFrom({
    'teams/payments.yaml': payments.replace(
      'ManageOrgSessions] }',
      'ManageOrgSessions], when: { groups: [leads], app: [cli] } }',
    ),
    'keys.yaml': keys,
  })
  const list = 'GET /v3/organizations/org-payments/sessions'

  test('narrows it to callers for whom everything matches', () => {
    const caller = (groups: string[], app: string | null) => principalOf({ groups: ['payments', ...groups], app })
    expect(outcome(list, undefined, caller(['leads'], 'cli'), leads)).toBe('allow payments/run payments-runner')
    expect(outcome(list, undefined, caller([], 'cli'), leads)).not.toContain('payments/run ')
    expect(outcome('POST /v3/organizations/org-payments/sessions', {}, caller(['leads'], null), leads)).toBe(
      'deny not-granted payments',
    )
  })

  test('is the nearest miss of those whom it keeps out', () => {
    const { decision } = ask(leads, ada, 'POST /v3/organizations/org-payments/sessions', {})
    expect(decision.nearest).toEqual({
      team: 'payments',
      grant: 'run',
      what: 'condition',
      text: 'grant run of team payments covers it for callers with groups: leads and app: cli',
    })
    expect(decision.detail).toContain(
      'Nearest: grant run of team payments covers it for callers with groups: leads and app: cli.',
    )
  })
})

describe('the mode of a grant', () => {
  const inMode = (mode: string) =>
    policyFrom({
      'teams/payments.yaml': `${payments}  - { id: secrets, allow: [ManageOrgSecrets], mode: ${mode} }\n`,
      'keys.yaml': keys,
    })
  const list = 'GET /v3/organizations/org-payments/secrets'

  test('enforce allows', () => {
    expect(outcome(list, undefined, ada, inMode('enforce'))).toBe('allow payments/secrets payments-builder')
  })

  test('shadow is decided and reported, not applied', () => {
    const { decision } = ask(inMode('shadow'), ada, list)
    expect(decision).toMatchObject({
      effect: 'deny',
      reason: 'not-granted',
      nearest: { what: 'mode', grant: 'secrets' },
    })
    expect(decision.shadow.map((grant) => grant.id)).toEqual(['secrets'])
  })

  test('shadow reports nothing about a request outside the fence', () => {
    const { decision } = ask(inMode('shadow'), ada, 'GET /v3/organizations/org-other/secrets')
    expect(decision).toMatchObject({ effect: 'deny', shadow: [] })
  })

  test('shadow is reported also beside a grant that allows, and changes neither grant nor key', () => {
    const own = policyFrom({
      'teams/payments.yaml': `${payments}  - { id: again, allow: [org.sessions.list], mode: shadow }\n`,
      'keys.yaml': keys,
    })
    const found = ask(own, ada, 'GET /v3/organizations/org-payments/sessions')
    expect(outcomeOf(found)).toBe('allow payments/run payments-runner')
    expect(found.decision.shadow.map((grant) => grant.id)).toEqual(['again'])
  })

  test('off is as if it were not there, except that the refusal says it is', () => {
    const { decision } = ask(inMode('off'), ada, list)
    expect(decision).toMatchObject({ effect: 'deny', reason: 'not-granted', shadow: [], nearest: { what: 'mode' } })
  })
})

describe('a request for no operation', () => {
  const problem = (request: string): Problem => {
    try {
      ask(policy, ada, request)
    } catch (error) {
      if (error instanceof Problem) return error
      throw error
    }
    throw new Error(`${request} was accepted`)
  }

  test.each([
    ['GET /v3/unknown', 'unknown-operation', 'No operation of the API has this path.'],
    ['DELETE /v3/self', 'unknown-operation', 'This path does not know DELETE; it knows GET.'],
    ['OPTIONS /v3/self', 'unknown-operation', 'This path does not know OPTIONS; it knows GET.'],
    ['TRACE /v3/self', 'unknown-operation', 'This path does not know TRACE; it knows GET.'],
    ['GET /v3/%73elf', 'ambiguous-path', 'The path is refused because an escaped slash or letter'],
    [
      'GET /v3/organizations/a%2Fb/sessions',
      'ambiguous-path',
      'The path is refused because an escaped slash or letter',
    ],
    [
      'GET /v1/sessions/x',
      'unknown-operation',
      'Use GET /v3/organizations/{org_id}/sessions/{devin_id} (org.sessions.get) instead.',
    ],
    [
      'POST /v1/sessions',
      'unknown-operation',
      'Use POST /v3/organizations/{org_id}/sessions (org.sessions.create) instead.',
    ],
    ['GET /v2/enterprise/audit-logs', 'unknown-operation', '(ent.audit-logs.list) instead.'],
    ['GET /v1/anything', 'unknown-operation', 'The v1 and v2 addresses of the API are not served.'],
    ['GET /', 'unknown-operation', 'No operation of the API has this path.'],
  ])('is refused with what to do: %s', (request, kind, text) => {
    expect(problem(request)).toMatchObject({ kind })
    expect(problem(request).message).toContain(text)
  })

  test('of a class that is not served says which', () => {
    const unserved = catalogue.operations.find(
      ({ stability, segments }) => stability === 'early-access' && !segments.some((segment) => segment.startsWith('{')),
    )
    const found = problem(`${unserved?.method} ${unserved?.template}`)
    expect(found).toMatchObject({ kind: 'unknown-operation', reason: 'operation-not-served' })
    expect(found.message).toContain(`${unserved?.id} is of stability class early-access`)
  })
})

describe('an operation of an extension', () => {
  const { extension } = readExtension({
    file: 'more.yaml',
    text: `
operations:
  - { id: any.reports.list, method: GET, path: /v3/reports, scope: any, permission: ManageBilling }
  - { id: any.status.get, method: GET, path: /v3/status, scope: any }
  - { id: ent.things.get, method: GET, path: "/v3/things/{org_id}", scope: enterprise, permission: ManageBilling }
`,
  })
  const extended = compileCatalogue({
    data: devinApi,
    stability: ['stable'],
    extensions: extension === null ? [] : [extension],
  }).catalogue

  test('with an organization in its path is fenced like the others', () => {
    const own = policyFrom(
      { 'teams/payments.yaml': payments.replace('ent.organizations.*', 'ent.things.get'), 'keys.yaml': keys },
      extended,
    )
    expect(outcome('GET /v3/things/org-payments', undefined, ada, own)).toBe('allow payments/enterprise analytics')
    expect(outcome('GET /v3/things/org-other', undefined, ada, own)).toBe('deny organization-not-granted payments')
  })

  test.each(['/v3/reports', '/v3/status'])(
    'is denied without a grant whatever its scope, since only /v3/self is open to every member: %s',
    (path) => {
      const own = policyFrom(
        { 'teams/payments.yaml': payments.replace('ent.organizations.*', 'ent.things.get'), 'keys.yaml': keys },
        extended,
      )
      expect(outcome(`GET ${path}`, undefined, ada, own)).toMatch(/^deny not-granted/)
    },
  )
})
