// What teams, grants and guardrails say of themselves, grants that hold in some organizations, and rules in mode `warn`.

import { describe, expect, test } from 'vitest'
import { readPolicyFile } from '../../src/policy/documents/document.ts'
import { formatDiagnostic } from '../../src/config/diagnostics.ts'
import { explain } from '../../src/policy/tools/explain.ts'
import { runSuites } from '../../src/policy/tools/suite.ts'
import { ask, bodyOf, compileFiles, outcomeOf, policyFrom, principalOf, wholeCatalogue } from '../support/policies.ts'

const keys = `keys:
  - { id: a, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSessions, ManageOrgSecrets, ImpersonateOrgSessions, ManageAccountPlaybooks], secret: { env: K } }
  - { id: b, scope: organization, organization: org-b, permissions: [ViewOrgSessions, ManageOrgSessions, ManageOrgSecrets, ImpersonateOrgSessions, ManageAccountPlaybooks], secret: { env: K } }
  - { id: e, scope: enterprise, permissions: [ViewAccountSessions, ManageOrganizations], secret: { env: K } }
`
const team = (rest: string, organizations = '[org-a, org-b]') =>
  `team: t\nmembers: [{ groups: [g] }]\norganizations: ${organizations}\n${rest}`
const of = (rest: string, more: Record<string, string> = {}, organizations?: string) =>
  policyFrom({ 'teams/t.yaml': team(rest, organizations), 'keys.yaml': keys, ...more }, wholeCatalogue)
const ada = principalOf({ groups: ['g'] })

function mistakes(name: string, text: string): readonly string[] {
  return readPolicyFile({ file: name, name, text }).diagnostics.map(formatDiagnostic)
}

describe('owner, contact and description', () => {
  const owned = of(
    `owner: team-owner@corp.example
contact: "#team-help"
description: What the team does
grants:
  - { id: own, allow: [ViewOrgSessions], owner: grant-owner@corp.example, when: { app: [cli] } }
  - { id: reach, allow: [ManageOrgSecrets], contact: "#secrets" , organizations: [org-a] }
  - { id: create, allow: [ManageOrgSessions] }
`,
    {
      'guardrails.yaml': `guardrails:
  - { id: cheap, on: [org.sessions.create], owner: cost@corp.example, body: { max_acu_limit: { at_most: 5 } } }
  - { id: titled, on: [org.sessions.create], contact: "#style", body: { title: { require: true } } }
  - { id: tagged, on: [org.sessions.create], body: { tags: { require: true } } }
`,
    },
  )
  const create = 'POST /v3/organizations/org-a/sessions'
  test.each([
    [
      'of the team, where none of its grants allows',
      'GET /v3/organizations/org-a/playbooks',
      'Ask team-owner@corp.example (#team-help) for a grant of',
      { owner: 'team-owner@corp.example', contact: '#team-help' },
    ],
    [
      'of the team, outside its fence',
      'GET /v3/organizations/org-x/secrets',
      'or ask team-owner@corp.example (#team-help) to add the organization to the team.',
      { owner: 'team-owner@corp.example', contact: '#team-help' },
    ],
    [
      'of the grant that comes nearest',
      'GET /v3/organizations/org-a/sessions',
      'Ask grant-owner@corp.example for a grant of the operation org.sessions.list',
      { owner: 'grant-owner@corp.example', contact: null },
    ],
    [
      'of the grant that holds elsewhere; a contact alone says where the owner is reached',
      'GET /v3/organizations/org-b/secrets',
      'Grant reach of team t allows org.secrets.list in org-a only, and not in organization "org-b". Use one of them, or ask the owner of the policy (#secrets) for a grant in that organization.',
      { owner: null, contact: '#secrets' },
    ],
  ])('stand in the refusal: %s', (_, request, text, owner) => {
    const { decision } = ask(owned, ada, request)
    expect(decision.detail).toContain(text)
    expect(decision.owner).toEqual(owner)
  })

  test.each([
    [{ max_acu_limit: 9, title: 'x', tags: [] }, 'or ask cost@corp.example.'],
    [{ max_acu_limit: 9, tags: [] }, 'or ask cost@corp.example or the owner of the guardrail (#style).'],
    [{ title: 'x' }, 'or ask the owner of the guardrail.'],
  ])('of the guardrails that refuse, and of no other: %j', (body, text) => {
    expect(ask(owned, ada, create, body).decision.detail).toContain(`Change the request, ${text}`)
  })

  test('are of the grant where it is allowed, and in the explanation as members and as a step', () => {
    const found = explain(owned, principalOf({ groups: ['g'], app: 'cli' }), {
      method: 'GET',
      target: '/v3/organizations/org-a/sessions',
      body: null,
    })
    expect(found).toMatchObject({ effect: 'allow', grant: 'own', owner: 'grant-owner@corp.example', contact: null })
    expect(found.steps.at(-1)).toEqual({
      stage: 'owner',
      ok: true,
      text: 'grant-owner@corp.example may change this right',
    })
  })

  test('of a team that lists nearly the same group stand in the refusal of a caller of no team', () => {
    const { decision } = ask(owned, principalOf({ groups: ['G'] }), 'GET /v3/self')
    expect([decision.reason, decision.owner?.owner]).toEqual(['no-team', 'team-owner@corp.example'])
    expect(decision.detail).toContain('Ask team-owner@corp.example (#team-help) to add one of them to a team')
  })

  test.each([
    ['owner: ""', 't.yaml:4:8: must not be empty'],
    ['owner: " a"', 't.yaml:4:8: must not begin or end with a space'],
    ['owner: "a\\nb"', /^t\.yaml:4:8: must be one line of visible text/],
    ['owner: "a\\u202eb"', /^t\.yaml:4:8: must be one line of visible text/],
    ['contact: "\\u001b[31m"', /^t\.yaml:4:10: must be one line of visible text/],
    [`description: ${'x'.repeat(501)}`, 't.yaml:4:14: must be at most 500 characters long'],
    [`owner: ${'x'.repeat(201)}`, 't.yaml:4:8: must be at most 200 characters long'],
    ['ownr: a', /^t\.yaml:4:1: unknown key "ownr"; did you mean "owner"\?/],
    ['owner: [a]', /^t\.yaml:4:8: expected a string/],
  ])('are texts of one line and bounded: %s', (line, message) => {
    const [found, ...others] = mistakes('t.yaml', team(`${line}\ngrants: []\n`))
    expect(others).toEqual([])
    expect(found).toEqual(typeof message === 'string' ? message : expect.stringMatching(message))
  })
})

describe('organizations of a grant', () => {
  const narrowed = of(`grants:
  - { id: wide, allow: [ViewOrgSessions] }
  - { id: narrow, allow: [ManageOrgSessions], organizations: [org-a] }
  - { id: act, allow: [ImpersonateOrgSessions], organizations: [org-b] }
  - { id: lists, allow: [ent.sessions.list], organizations: [org-a] }
`)
  test.each([
    ['GET /v3/organizations/org-b/sessions', undefined, 'allow t/wide b'],
    ['POST /v3/organizations/org-a/sessions', { prompt: 'x' }, 'allow t/narrow a'],
    ['POST /v3/organizations/org-b/sessions', { prompt: 'x' }, 'deny organization-not-granted t'],
    ['POST /v3/organizations/org-x/sessions', { prompt: 'x' }, 'deny organization-not-granted t'],
    // A permission that the body asks for has to be granted in the same organization.
    ['POST /v3/organizations/org-a/sessions', { create_as_user_id: 'u' }, 'deny not-granted t'],
    ['GET /v3/enterprise/sessions?org_ids=org-a', undefined, 'allow t/lists e'],
    ['GET /v3/enterprise/sessions?org_ids=org-b', undefined, 'deny organization-not-granted t'],
    ['GET /v3/enterprise/sessions?org_ids=org-a&org_ids=org-b', undefined, 'deny organization-not-granted t'],
    ['GET /v3/enterprise/sessions', undefined, 'deny organization-not-granted t'],
  ])('narrow it: %s %j', (request, body, outcome) => {
    expect(outcomeOf(ask(narrowed, ada, request, body))).toBe(outcome)
  })

  test('say where the missing permission is granted', () => {
    const { decision } = ask(narrowed, ada, 'POST /v3/organizations/org-a/sessions', { create_as_user_id: 'u' })
    expect(decision.detail).toContain('no grant of team t holds it here (grant act in org-b only)')
  })

  test('narrow a team of all organizations, too', () => {
    const all = of(
      'grants: [{ id: g, allow: [ViewOrgSessions, ent.sessions.list], organizations: [org-a] }]\n',
      {},
      'all',
    )
    expect(outcomeOf(ask(all, ada, 'GET /v3/organizations/org-a/sessions'))).toBe('allow t/g a')
    expect(outcomeOf(ask(all, ada, 'GET /v3/organizations/org-b/sessions'))).toBe('deny organization-not-granted t')
    expect(outcomeOf(ask(all, ada, 'GET /v3/enterprise/sessions'))).toBe('deny organization-not-granted t')
    expect(ask(all, ada, 'GET /v3/enterprise/sessions').decision.detail).toContain(
      'grant g of team t is fenced to org-a. Name the organizations with the query parameter org_ids, use org.sessions.list (GET /v3/organizations/{org_id}/sessions), which is about one organization, or ask the owner of the policy for a grant of all organizations.',
    )
  })

  test('are what a filtered list shows: of all grants together', () => {
    const filter = {
      'guardrails.yaml':
        'guardrails: [{ id: own, on: [ent.sessions.list], response: { filter_items_by: organizations } }]\n',
    }
    const shown = (grants: string): unknown =>
      ask(of(`grants:\n${grants}`, filter, '[org-a, org-b, org-c]'), ada, 'GET /v3/enterprise/sessions').decision
        .response?.organizations
    const grant = (id: string, organizations: string) =>
      `  - { id: ${id}, allow: [ent.sessions.list], organizations: ${organizations} }\n`
    expect(shown(grant('one', '[org-a]'))).toEqual(['org-a'])
    expect(shown(grant('one', '[org-a]') + grant('two', '[org-b]'))).toEqual(['org-a', 'org-b'])
    expect(shown(`${grant('one', '[org-a]')}  - { id: two, allow: [ent.sessions.list] }\n`)).toEqual([
      'org-a',
      'org-b',
      'org-c',
    ])
  })

  test.each([
    [
      '[org-a, org-bb]',
      't.yaml:4:68: organization "org-bb" is not among the team\'s organizations, and a grant cannot reach beyond them; did you mean "org-b"?',
    ],
    ['[]', "t.yaml:4:60: name at least one organization, or leave it out for all of the team's"],
    ['all', "t.yaml:4:60: leave it out: without organizations a grant reaches all of the team's"],
    ['[org/a]', /^t\.yaml:4:61: an organization id must not be empty/],
  ])('reach no further than the team: %s', (written, message) => {
    const found = mistakes('t.yaml', team(`grants: [{ id: g, allow: [ViewOrgSessions], organizations: ${written} }]\n`))
    expect(found[0]).toEqual(typeof message === 'string' ? message : expect.stringMatching(message))
  })

  test('are a warning where the operation can name none', () => {
    const { lines } = compileFiles(
      {
        'teams/t.yaml': team(
          'grants: [{ id: g, allow: [ent.organizations.list, ViewOrgSessions], organizations: [org-a] }]\n',
        ),
        'keys.yaml': keys,
      },
      wholeCatalogue,
    )
    expect(lines).toEqual([
      expect.stringMatching(
        /^teams\/t\.yaml:4:\d+: warning: grant "g" holds in some organizations only, and ent\.organizations\.list can name none: it is never allowed/,
      ),
    ])
  })

  test('are those in which a key is missed, and no others', () => {
    const lines = (organizations: string, fence?: string) =>
      compileFiles(
        {
          'teams/t.yaml': team(
            `grants: [{ id: g, allow: [ManageOrgSecrets], organizations: ${organizations} }]\n`,
            fence,
          ),
          'keys.yaml': keys.replace('[ViewOrgSessions, ManageOrgSessions, ManageOrgSecrets', '[ViewOrgSessions'),
        },
        wholeCatalogue,
      ).lines
    expect(lines('[org-b]')).toEqual([])
    expect(lines('[org-a]')).toEqual([expect.stringContaining('an organization key for org-a with ManageOrgSecrets')])
    expect(lines('[org-a]', 'all')).toEqual([
      expect.stringContaining('an organization key for org-a with ManageOrgSecrets'),
    ])
  })
})

describe('a grant in mode warn', () => {
  const sessions = 'GET /v3/organizations/org-a/sessions'
  const warned = (request: string, policy: ReturnType<typeof of>, body?: unknown, principal = ada) =>
    ask(policy, principal, request, body).warnings.map(({ team: id, rule, effect, reason }) => ({
      team: id,
      ...rule,
      effect,
      reason,
    }))

  test('still allows, and says what would be denied without it', () => {
    const policy = of('grants: [{ id: old, allow: [ViewOrgSessions], mode: warn }]\n')
    expect(outcomeOf(ask(policy, ada, sessions))).toBe('allow t/old a')
    expect(warned(sessions, policy)).toEqual([{ team: 't', grant: 'old', effect: 'deny', reason: 'not-granted' }])
    const found = explain(policy, ada, { method: 'GET', target: sessions.slice(4), body: null })
    expect(found).toMatchObject({
      effect: 'allow',
      reason: 'granted',
      warn: [{ team: 't', grant: 'old', guardrail: null, effect: 'deny', reason: 'not-granted' }],
    })
    expect(found.steps.find(({ stage }) => stage === 'warn')?.text).toBe(
      'grant old of team t is in warn mode; without it this would be denied (not-granted): No grant of team t allows org.sessions.list. Ask the owner of the policy for a grant of the operation org.sessions.list, or of the permission ViewOrgSessions, which may allow more.',
    )
  })

  test('says nothing where another grant allows the same, and leaves the decision to that one', () => {
    const policy = of(`grants:
  - { id: old, allow: [ViewOrgSessions], mode: warn }
  - { id: new, allow: [org.sessions.list] }
`)
    expect(outcomeOf(ask(policy, ada, sessions))).toBe('allow t/new a')
    expect(warned(sessions, policy)).toEqual([])
    expect(warned(`${sessions}/devin-1`, policy)).toEqual([
      { team: 't', grant: 'old', effect: 'deny', reason: 'not-granted' },
    ])
  })

  test('says so for a permission that the body asks for', () => {
    const policy = of(`grants:
  - { id: run, allow: [ManageOrgSessions] }
  - { id: act, allow: [ImpersonateOrgSessions], mode: warn }
`)
    const create = 'POST /v3/organizations/org-a/sessions'
    expect(outcomeOf(ask(policy, ada, create, { create_as_user_id: 'u' }))).toBe('allow t/run a')
    expect(warned(create, policy, { create_as_user_id: 'u' })).toEqual([
      { team: 't', grant: 'act', effect: 'deny', reason: 'not-granted' },
    ])
    expect(warned(create, policy, { prompt: 'x' })).toEqual([])
  })

  test('says that a guardrail would refuse without it: it is the grant by name', () => {
    const policy = of(
      `grants:
  - { id: all, allow: [org.secrets.*] }
  - { id: named, allow: [org.secrets.delete], mode: warn }
`,
      { 'guardrails.yaml': 'guardrails: [{ id: by-name, on: [org.secrets.delete], grants: named }]\n' },
    )
    expect(warned('DELETE /v3/organizations/org-a/secrets/s', policy)).toEqual([
      { team: 't', grant: 'named', effect: 'deny', reason: 'guardrail' },
    ])
  })

  test('says that another team of the caller would allow it, or less of the answer be shown', () => {
    const other = (rest: string) => `team: u\nmembers: [{ groups: [g] }]\norganizations: [org-b]\n${rest}`
    const two = of('grants: [{ id: old, allow: [ViewOrgSessions], mode: warn }]\n', {
      'teams/u.yaml': other('grants: [{ id: v, allow: [ViewOrgSessions] }]\n'),
    })
    expect(warned('GET /v3/organizations/org-b/sessions', two)).toEqual([
      { team: 't', grant: 'old', effect: 'other-team', reason: null },
    ])
    const filtered = of(
      'grants: [{ id: v, allow: [ent.sessions.list] }]\n',
      {
        'teams/u.yaml': other('grants: [{ id: old, allow: [ent.sessions.list], mode: warn }]\n'),
        'guardrails.yaml':
          'guardrails: [{ id: own, on: [ent.sessions.list], response: { filter_items_by: organizations } }]\n',
      },
      '[org-a]',
    )
    expect(warned('GET /v3/enterprise/sessions', filtered)).toEqual([
      { team: 'u', grant: 'old', effect: 'filter', reason: null },
    ])
  })

  test('is a warning of check where nothing depends on it', () => {
    const lines = (grants: string) =>
      compileFiles({ 'teams/t.yaml': team(`grants:\n${grants}`), 'keys.yaml': keys }, wholeCatalogue).lines
    const old = '  - { id: old, allow: [org.sessions.list], mode: warn }\n'
    expect(lines(`${old}  - { id: all, allow: [ViewOrgSessions] }\n`)).toEqual([
      'teams/t.yaml:5:50: warning: grant "old" is in mode warn, and nothing would be denied without it: all allows all of it. Remove it',
    ])
    for (const other of [
      '{ id: all, allow: [ViewOrgSessions], when: { app: [cli] } }',
      '{ id: all, allow: [ViewOrgSessions], organizations: [org-a] }',
      '{ id: all, allow: [ViewOrgSessions], mode: shadow }',
      '{ id: all, allow: [org.sessions.get] }',
    ])
      expect(lines(`${old}  - ${other}\n`)).toEqual([])
    // The permission itself is more than the operations that it covers.
    expect(
      lines('  - { id: old, allow: [ViewOrgSessions], mode: warn }\n  - { id: all, allow: [org.sessions.*] }\n'),
    ).toEqual([])
  })
})

describe('a guardrail in mode warn', () => {
  const policy = of('grants: [{ id: run, allow: [ManageOrgSessions] }]\n', {
    'guardrails.yaml': `guardrails:
  - { id: cheaper, on: [org.sessions.create], mode: warn, body: { max_acu_limit: { at_most: 5 }, title: { default: none } } }
`,
  })
  const create = 'POST /v3/organizations/org-a/sessions'

  test('is not applied, and what it would refuse is a warning', () => {
    const refused = ask(policy, ada, create, { max_acu_limit: 9 })
    expect([refused.decision.effect, refused.verdict?.changes]).toEqual(['allow', []])
    expect(refused.warnings).toEqual([
      {
        team: 't',
        rule: { guardrail: 'cheaper' },
        effect: 'deny',
        reason: 'guardrail',
        text: 'max_acu_limit must be at most 5, and is 9',
      },
    ])
    expect(ask(policy, ada, create, { max_acu_limit: 3 }).warnings).toEqual([])
    const found = explain(policy, ada, { method: 'POST', target: create.slice(5), body: bodyOf({ max_acu_limit: 9 }) })
    expect(found.steps.filter(({ stage }) => stage === 'warn').map(({ text }) => text)).toEqual([
      'guardrail cheaper (guardrails.yaml:2) is in warn mode and would add title: "none"',
      'guardrail cheaper (guardrails.yaml:2) is in warn mode and would refuse: max_acu_limit must be at most 5, and is 9',
    ])
  })

  test('is a mistake where it filters answers', () => {
    const { lines } = compileFiles({
      'teams/t.yaml': team('grants: []\n'),
      'guardrails.yaml':
        'guardrails: [{ id: f, on: [ent.sessions.list], mode: warn, response: { filter_items_by: organizations } }]\n',
    })
    expect(lines[0]).toMatch(
      /^guardrails\.yaml:1:\d+: warn records what a bound would refuse.*: try it with mode: shadow$/,
    )
  })
})

describe('policy tests', () => {
  const files = {
    'teams/t.yaml': team(`owner: o@corp.example
grants:
  - { id: old, allow: [ManageOrgSessions], mode: warn, owner: old@corp.example }
`),
    'guardrails.yaml':
      'guardrails: [{ id: cheap, on: [org.sessions.create], mode: warn, body: { max_acu_limit: { at_most: 5 } } }]\n',
    'keys.yaml': keys,
  }
  const failures = (line: string): readonly string[] => {
    const { policy, tests } = compileFiles({
      ...files,
      'x.test.yaml': `- as: { groups: [g] }\n  cases:\n    - { ${line} }\n`,
    })
    return runSuites(policy, tests).failures.map(({ message }) => message)
  }
  const create = 'do: POST /v3/organizations/org-a/sessions'
  test.each([
    [`${create}, body: { max_acu_limit: 9 }, expect: allow, warn: old, grant: old, owner: old@corp.example`, null],
    [`${create}, body: { max_acu_limit: 9 }, expect: allow, warn: cheap`, null],
    [`${create}, body: { max_acu_limit: 9 }, expect: allow`, null],
    ['do: GET /v3/organizations/org-a/secrets, expect: deny, owner: o@corp.example', null],
    [`${create}, body: { max_acu_limit: 3 }, expect: allow, warn: cheap`, 'expected a warning of cheap, got old'],
    ['do: GET /v3/self, expect: allow, warn: old', 'expected a warning of old, got none'],
    ['do: GET /v3/organizations/org-a/secrets, expect: deny, owner: x', 'expected owner x, got o@corp.example'],
    // As at the gateway: the body of a read is not judged.
    ['do: GET /v3/self, body: {}, expect: deny, reason: body-of-read', null],
  ])('can ask for a warning and an owner: %s', (line, message) => {
    expect(failures(line)).toEqual(message === null ? [] : [expect.stringContaining(message)])
  })

  test('a denied request has no warning to ask for', () => {
    expect(mistakes('x.test.yaml', '- as: {}\n  cases: [{ do: GET /v3/self, expect: deny, warn: old }]\n')).toEqual([
      'x.test.yaml:2:51: "warn" says nothing about a request that is expected to be denied: remove it',
    ])
  })
})

describe('an operation of the whole enterprise that is not granted', () => {
  test.each([
    [
      'GET /v3/enterprise/sessions',
      'Use org.sessions.list (GET /v3/organizations/{org_id}/sessions), which team t may call, or ask the owner of the policy for a grant of the operation ent.sessions.list',
    ],
    [
      'GET /v3/enterprise/sessions/devin-1/messages',
      'Use org.sessions.messages.list (GET /v3/organizations/{org_id}/sessions/{devin_id}/messages), which team t may call, or ask',
    ],
    ['GET /v3/enterprise/knowledge/notes', 'ent.knowledge.notes.list. Ask the owner of the policy for a grant'],
    ['GET /v3/enterprise/audit-logs', 'ent.audit-logs.list. Ask the owner of the policy for a grant'],
  ])('%s points to the one of a single organization where the team has it', (request, words) => {
    const policy = of('grants: [{ id: g, allow: [ViewOrgSessions] }]\n')
    const { decision } = ask(policy, ada, request)
    expect([decision.reason, decision.detail]).toEqual(['not-granted', expect.stringContaining(words)])
  })

  test('points to none that a grant off or in shadow covers', () => {
    const policy = of('grants: [{ id: g, allow: [ViewOrgSessions], mode: shadow }, { id: h, allow: [Read] }]\n')
    expect(ask(policy, ada, 'GET /v3/enterprise/sessions').decision.detail).not.toContain('org.sessions.list')
  })
})
