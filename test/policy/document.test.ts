import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { formatDiagnostic } from '../../src/config/diagnostics.ts'
import { classifyPolicyFile, readPolicyFile, type PolicyDocument } from '../../src/policy/documents/document.ts'

function documentOf(name: string, text: string): PolicyDocument {
  const { document, diagnostics } = readPolicyFile({ file: `policies/${name}`, name, text })
  if (document === null) throw new Error(diagnostics.map(formatDiagnostic).join('\n'))
  return document
}

function problems(name: string, text: string): string[] {
  const { document, diagnostics } = readPolicyFile({ file: name, name, text })
  expect(document).toBeNull()
  return diagnostics.map(formatDiagnostic)
}

describe('the kind of a policy file', () => {
  it.each([
    ['teams/payments.yaml', '', 'team'],
    ['eu/teams/payments.yml', 'keys: []', 'team'],
    ['payments.yaml', '# the team\nteam: payments\n', 'team'],
    ['payments.yaml', 'members: [\nteam: payments\n', 'team'],
    ['keys.yaml', 'team: x', 'keys'],
    ['inventory.yaml', 'keys: []', 'keys'],
    ['limits.yaml', '', 'limits'],
    ['bounds.yaml', 'limits: {}', 'limits'],
    ['payments.yaml', 'limits: {}\nteam: payments', 'team'],
    ['guardrails.yaml', '', 'guardrails'],
    ['guardrails.recommended.yaml', '', 'guardrails'],
    ['bounds.yaml', 'guardrails: []', 'guardrails'],
    ['payments.test.yaml', 'team: x', 'tests'],
    ['teams/payments.test.yaml', '', 'tests'],
    ['notes.yaml', 'note: x', null],
    ['notes.yaml', '- as: {}', null],
    ['notes.yaml', '', null],
  ])('of %s is found by its name, else by the word at its top', (name, text, kind) => {
    expect(classifyPolicyFile(name, text)).toBe(kind)
  })

  it('must be known, because a file that nobody reads protects nothing', () => {
    expect(problems('notes.yaml', 'note: x\n')).toEqual([
      'notes.yaml: cannot tell what kind of policy file this is: put it at teams/NAME.yaml, guardrails.yaml, invariants.yaml, keys.yaml, limits.yaml, devin-users.yaml or NAME.test.yaml, or begin it with "team:", "guardrails:", "invariants:", "keys:", "limits:" or "devin_users:"',
    ])
  })
})

const team = `team: payments
members:
  - groups: [sso-payments-eng]
  - app: payments-bot
    claims: { department.code: [p1, p2], tier: gold }
organizations: [org-payments, org-ledger]
default_organization: org-ledger
grants:
  - id: run-sessions
    allow: [ViewOrgSessions, org.playbooks.*]
  - id: leads-read-consumption
    allow: [ent.consumption.*]
    when: { groups: payments-leads }
    mode: shadow
`

describe('a team file', () => {
  it('is read as it is meant', () => {
    expect(documentOf('teams/payments.yaml', team)).toMatchObject({
      kind: 'team',
      file: 'policies/teams/payments.yaml',
      team: 'payments',
      members: [
        { groups: ['sso-payments-eng'] },
        { app: ['payments-bot'], claims: { 'department.code': ['p1', 'p2'], tier: ['gold'] } },
      ],
      organizations: ['org-payments', 'org-ledger'],
      defaultOrganization: 'org-ledger',
      grants: [
        { id: 'run-sessions', allow: ['ViewOrgSessions', 'org.playbooks.*'], when: null, mode: 'enforce' },
        {
          id: 'leads-read-consumption',
          allow: ['ent.consumption.*'],
          when: { groups: ['payments-leads'] },
          mode: 'shadow',
        },
      ],
      cacheAtMostMs: null,
      limits: null,
    })
  })

  it('may be fenced by nothing and grant nothing', () => {
    expect(
      documentOf('teams/a.yaml', 'team: a\nmembers: [{ email: a@corp.example }]\norganizations: all\n'),
    ).toMatchObject({
      organizations: 'all',
      defaultOrganization: null,
      grants: [],
    })
  })

  it('tells where its words stand', () => {
    const document = documentOf('teams/payments.yaml', team)
    if (document.kind !== 'team') throw new Error('it should be a team')
    expect(document.positionOf(['team'])).toEqual({ line: 1, column: 7 })
    expect(document.positionOf(['grants', 1, 'id'])).toEqual({ line: 11, column: 9 })
    expect(document.positionOf(['grants', 0, 'allow', 1])).toEqual({ line: 10, column: 30 })
  })

  const condition =
    'a condition must name at least one of groups, app, subject, email, issuer, actor, delegated, claims: an empty one would match everybody'
  const name = 'must be lower-case letters, digits, ".", "_" and "-", beginning with a letter or digit'

  it.each<[string, string, string, string[]]>([
    [
      'no members',
      '- groups: [sso-payments-eng]\n  - app: payments-bot\n    claims: { department.code: [p1, p2], tier: gold }',
      '[]',
      ['team.yaml:2:1: a team needs at least one entry that makes a caller a member'],
    ],
    ['an empty entry', '- groups: [sso-payments-eng]', '- {}', [`team.yaml:3:5: ${condition}`]],
    ['an entry of empty claims', '- groups: [sso-payments-eng]', '- { claims: {} }', [`team.yaml:3:5: ${condition}`]],
    ['an empty condition', 'when: { groups: payments-leads }', 'when: {}', [`team.yaml:13:11: ${condition}`]],
    [
      'no group',
      'groups: [sso-payments-eng]',
      'groups: []',
      ['team.yaml:3:13: name at least one group, or remove the key'],
    ],
    ['an empty group', 'groups: [sso-payments-eng]', 'groups: [""]', ['team.yaml:3:14: must not be empty']],
    [
      'a group that is no text',
      'groups: [sso-payments-eng]',
      'groups: [0123]',
      ['team.yaml:3:14: expected a string, but YAML reads 0123 as the number 123: put it in quotes'],
    ],
    [
      'a claim of a number that is not exact',
      'tier: gold',
      'tier: 108283744656729391234',
      [
        'team.yaml:5:48: expected a string, true or false or a list, but YAML reads 108283744656729391234 as the number 108283744656729390000: put it in quotes',
      ],
    ],
    [
      'a claim of a number in another notation',
      'tier: gold',
      'tier: 12e3',
      [
        'team.yaml:5:48: YAML reads 12e3 as the number 12000: write it in decimal digits, or put it in quotes if it is a text',
      ],
    ],
    [
      'a claim inside another one as a mapping',
      'tier: gold',
      'tier: { level: gold }',
      [
        'team.yaml:5:48: expected a value or a list of values, found a mapping: a claim inside another one is named with dots, like `kubernetes.io.namespace: payments`',
      ],
    ],
    [
      'a backslash that escapes nothing',
      'tier: gold',
      'kubernetes\\io: gold',
      [
        'team.yaml:5:42: must be the name of a claim, or names with dots between them; a backslash stands only before a dot or a backslash that belongs to a name, as in kubernetes\\.io.namespace',
      ],
    ],
    [
      'an entry that only says who does not call',
      'groups: [sso-payments-eng]',
      'delegated: false',
      ['team.yaml:3:5: an entry of members must name more than `delegated`: alone it would match everybody'],
    ],
    [
      'an actor where nobody may act',
      'groups: [sso-payments-eng]',
      'actor: [agent]\n    delegated: false',
      ['team.yaml:3:5: with `delegated: false` no actor can match: remove one of the two'],
    ],
    [
      'an unknown attribute',
      'groups: [sso-payments-eng]',
      'group: [sso-payments-eng]',
      ['team.yaml:3:5: unknown key "group"; did you mean "groups"?'],
    ],
    [
      'an organization with a slash',
      'org-payments, org-ledger',
      'a/b, org-ledger',
      ['team.yaml:6:17: an organization id must not be empty nor hold "%", "/", "*" or spaces'],
    ],
    [
      'an organization with an escape',
      'org-payments, org-ledger',
      'org%2d1, org-ledger',
      ['team.yaml:6:17: an organization id must not be empty nor hold "%", "/", "*" or spaces'],
    ],
    [
      'an empty organization',
      'org-payments, org-ledger',
      '"", org-ledger',
      ['team.yaml:6:17: an organization id must not be empty nor hold "%", "/", "*" or spaces'],
    ],
    [
      'an organization with a space',
      'org-payments, org-ledger',
      '"org 1", org-ledger',
      ['team.yaml:6:17: an organization id must not be empty nor hold "%", "/", "*" or spaces'],
    ],
    [
      'an organization alone',
      '[org-payments, org-ledger]',
      'org-ledger',
      ['team.yaml:6:16: expected "all" or a list, found the text "org-ledger": put it in brackets, [org-ledger]'],
    ],
    [
      'a misspelt all',
      '[org-payments, org-ledger]',
      'al',
      ['team.yaml:6:16: expected "all" or a list, found the text "al"; did you mean "all"?'],
    ],
    [
      'a default outside',
      'default_organization: org-ledger',
      'default_organization: org-other',
      ['team.yaml:7:23: default_organization "org-other" is not among the team\'s organizations'],
    ],
    [
      'a grant of nothing',
      'allow: [ent.consumption.*]',
      'allow: []',
      ['team.yaml:12:12: a grant must allow something: permission names or operation ids'],
    ],
    [
      'a grant twice',
      'id: leads-read-consumption',
      'id: run-sessions',
      ['team.yaml:11:9: grant "run-sessions" appears twice'],
    ],
    ['an id with capitals', 'id: run-sessions', 'id: RunSessions', [`team.yaml:9:9: ${name}`]],
    [
      'a misspelt mode',
      'mode: shadow',
      'mode: shadows',
      [
        'team.yaml:14:11: expected "enforce", "warn", "shadow" or "off", found the text "shadows"; did you mean "shadow"?',
      ],
    ],
    [
      'a denial',
      'allow: [ent.consumption.*]',
      'deny: [ent.consumption.*]',
      [
        'team.yaml:11:5: missing key "allow"',
        'team.yaml:12:5: unknown key "deny": the keys here are id, allow, when, organizations, mode, until, reason, owner, contact, description',
      ],
    ],
    ['a team that has no name', 'team: payments', 'team:', ['team.yaml:1:1: expected a string, found nothing']],
    [
      'budgets that are wrong',
      'grants:',
      'limits: { acus: 5/h, sessions: { hard: 5/day, soft: 9/day }, open_sessions: { soft: 2, hard: 1 } }\ngrants:',
      [
        'team.yaml:8:17: acus needs a window of the calendar: write day, week or month, like 50/day or 500/month',
        'team.yaml:8:53: the soft bound must not be above the hard one',
        'team.yaml:8:85: the soft bound must not be above the hard one',
      ],
    ],
    [
      'budgets that bound nothing, or two windows at once',
      'grants:',
      'limits: { acus: {}, sessions: { hard: 5/day, soft: 9/week } }\ngrants:',
      [
        'team.yaml:8:17: name a hard bound, a soft one, or both: without one nothing is bounded',
        'team.yaml:8:52: the hard and the soft bound must be of the same window',
      ],
    ],
    [
      'limits that are wrong',
      'grants:',
      'limits: { requests: 600, concurrent: 0, apps: { bot: { writes: 5/year } } }\ngrants:',
      [
        'team.yaml:8:21: "600" is not a rate: write a whole number, a slash and s, min, h, day, week or month, like 10/s, 600/min, 5/h, 50/day or 500/month; did you mean "600/min"?',
        'team.yaml:8:38: concurrent must be at least 1',
        'team.yaml:8:64: "5/year" is not a rate: write a whole number, a slash and s, min, h, day, week or month, like 10/s, 600/min, 5/h, 50/day or 500/month',
      ],
    ],
    [
      'a burst in a window of the calendar',
      'grants:',
      'limits: { requests: { rate: 600/day, burst: 50 } }\ngrants:',
      [
        'team.yaml:8:45: a window of the calendar lets its whole amount through at once and takes no burst: leave it out, or write s, min or h',
      ],
    ],
  ])('with %s is refused at its place', (_, written, instead, messages) => {
    expect(team).toContain(written)
    expect(problems('team.yaml', team.replace(written, instead))).toEqual(messages)
  })

  it('takes no variables: what holds here is what stands here', () => {
    expect(documentOf('teams/a.yaml', 'team: a\nmembers: [{ groups: "${HOME}" }]\norganizations: all\n')).toMatchObject(
      { members: [{ groups: ['${HOME}'] }] },
    )
  })
})

const keys = `keys:
  - id: payments-runner
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions]
    secret: { env: PAYMENTS_RUNNER_KEY }
  - id: analytics
    scope: enterprise
    permissions: []
    serves_organizations: [org-a]
    secret: { file: secrets/analytics }
    expires: 2027-01-31
`

describe('the inventory of keys', () => {
  it('is read as it is meant', () => {
    expect(documentOf('keys.yaml', keys)).toMatchObject({
      kind: 'keys',
      keys: [
        {
          file: 'policies/keys.yaml',
          id: 'payments-runner',
          scope: 'organization',
          organization: 'org-payments',
          permissions: ['ViewOrgSessions'],
          secret: { env: 'PAYMENTS_RUNNER_KEY' },
          servesOrganizations: 'none',
          expires: null,
        },
        {
          id: 'analytics',
          scope: 'enterprise',
          organization: null,
          permissions: [],
          secret: { file: join(process.cwd(), 'policies/secrets/analytics') },
          servesOrganizations: ['org-a'],
          expires: '2027-01-31',
        },
      ],
    })
  })

  it('tells where the words of each key stand', () => {
    const document = documentOf('keys.yaml', keys)
    if (document.kind !== 'keys') throw new Error('it should be an inventory')
    expect(document.keys[1]?.positionOf(['id'])).toEqual({ line: 7, column: 9 })
    expect(document.keys[0]?.positionOf(['permissions', 0])).toEqual({ line: 5, column: 19 })
  })

  const inline =
    'a secret is never written in a policy: write { env: NAME } or { file: PATH }, and replace the key that was written here'
  const oneSource =
    'a secret has exactly one source: write { env: NAME } or { file: PATH }, or name one of exec, vault, aws, google, azure'
  const date = 'must be a date like 2027-01-31, or a date and time like 2027-01-31T12:00:00Z'

  it.each<[string, string, string, string[]]>([
    [
      'without its organization',
      '    organization: org-payments\n',
      '',
      ['keys.yaml:3:12: an organization key needs the id of its organization: add the key "organization"'],
    ],
    [
      'of the enterprise with an organization',
      'scope: enterprise',
      'scope: enterprise\n    organization: org-a',
      ['keys.yaml:9:19: an enterprise key belongs to no organization: remove the key, or use serves_organizations'],
    ],
    [
      'of an organization that serves others',
      'organization: org-payments',
      'organization: org-payments\n    serves_organizations: all',
      ['keys.yaml:5:27: only an enterprise key can serve other organizations: remove the key'],
    ],
    [
      'of an unknown scope',
      'scope: enterprise',
      'scope: enterprize',
      [
        'keys.yaml:8:12: expected "organization" or "enterprise", found the text "enterprize"; did you mean "enterprise"?',
      ],
    ],
    [
      'that serves a misspelt word',
      'serves_organizations: [org-a]',
      'serves_organizations: non',
      ['keys.yaml:10:27: expected "none", "all" or a list, found the text "non"; did you mean "none"?'],
    ],
    [
      'that serves an empty list',
      'serves_organizations: [org-a]',
      'serves_organizations: []',
      ['keys.yaml:10:27: name at least one organization, or "none" or "all"'],
    ],
    [
      'that appears twice',
      'id: analytics',
      'id: payments-runner',
      ['keys.yaml:7:9: key "payments-runner" appears twice'],
    ],
    ['without permissions', '    permissions: [ViewOrgSessions]\n', '', ['keys.yaml:2:5: missing key "permissions"']],
    [
      'with its value',
      'secret: { file: secrets/analytics }',
      'secret: hunter2-hunter2',
      [`keys.yaml:11:13: ${inline}`],
    ],
    [
      'with two sources',
      '{ file: secrets/analytics }',
      '{ file: secrets/analytics, env: A }',
      [`keys.yaml:11:13: ${oneSource}`],
    ],
    ['with no source', '{ file: secrets/analytics }', '{}', [`keys.yaml:11:13: ${oneSource}`]],
    [
      'with a misspelt source',
      '{ file: secrets/analytics }',
      '{ fil: secrets/analytics }',
      ['keys.yaml:11:15: unknown key "fil"; did you mean "file"?'],
    ],
    [
      'with a variable that cannot be one',
      'env: PAYMENTS_RUNNER_KEY',
      'env: payments-runner',
      ['keys.yaml:6:20: must be the name of an environment variable, without "$"'],
    ],
    ['that expires on no day', '2027-01-31', '2027-02-30', [`keys.yaml:12:14: ${date}`]],
    ['that expires some time', '2027-01-31', 'next year', [`keys.yaml:12:14: ${date}`]],
  ])('with a key %s is refused at its place', (_, written, instead, messages) => {
    expect(keys).toContain(written)
    expect(problems('keys.yaml', keys.replace(written, instead))).toEqual(messages)
  })

  it('says how a key is rotated by itself', () => {
    const rotated = keys.replace('expires: 2027-01-31', 'rotate: { every: 30d, lifetime: 90d }')
    expect(documentOf('keys.yaml', rotated)).toMatchObject({
      keys: [{ rotate: null }, { rotate: { everyMs: 2_592_000_000, lifetimeMs: 7_776_000_000, settleMs: null } }],
    })
  })

  it.each([
    [
      'beside an end',
      'expires: 2027-01-31',
      'expires: 2027-01-31\n    rotate: { every: 30d }',
      [
        'keys.yaml:12:14: a key that is rotated by itself has a new end each time: remove the key, and say rotate.lifetime',
      ],
    ],
    [
      'from a variable',
      '{ env: PAYMENTS_RUNNER_KEY }',
      '{ env: PAYMENTS_RUNNER_KEY }\n    rotate: { every: 30d }',
      [
        'keys.yaml:7:13: the new value has to be kept somewhere, and { env: … } cannot be written: keep the secret in a file or a vault',
      ],
    ],
    [
      'too often',
      'expires: 2027-01-31',
      'rotate: { every: 1m }',
      ['keys.yaml:12:22: "1m" is out of bounds: at least 1h, at most 1000d'],
    ],
    [
      'with a short life',
      'expires: 2027-01-31',
      'rotate: { every: 30d, lifetime: 31d }',
      [
        'keys.yaml:12:37: lifetime must be at least twice every: a rotation that fails for a while must not leave an ended key',
      ],
    ],
    ['without an interval', 'expires: 2027-01-31', 'rotate: {}', ['keys.yaml:12:5: missing key "every"']],
    [
      'with a misspelt one',
      'expires: 2027-01-31',
      'rotate: { evry: 30d }',
      ['keys.yaml:12:15: unknown key "evry"; did you mean "every"?'],
    ],
  ])('with a rotation %s is refused at its place', (_, written, instead, messages) => {
    expect(problems('keys.yaml', keys.replace(written, instead))).toEqual(messages)
  })

  it('may give the end of a key as a moment', () => {
    const document = documentOf('keys.yaml', keys.replace('2027-01-31', '2027-01-31T12:00:00Z'))
    expect(document).toMatchObject({ keys: [{}, { expires: '2027-01-31T12:00:00Z' }] })
  })
})

describe('a key value in a policy file', () => {
  const value = 'cog_0123456789abcdefghijklmn'
  const message =
    'a key value (cog_… or apk_…) stands here: policies hold references only. Remove it, and replace the key, because everybody who can read this file has it'

  it.each([
    ['keys.yaml', keys.replace('{ file: secrets/analytics }', value), '11:13'],
    ['keys.yaml', keys.replace('{ file: secrets/analytics }', `"${value}"`), '11:14'],
    ['keys.yaml', keys.replace('env: PAYMENTS_RUNNER_KEY', `env: ${value}`), '6:20'],
    ['keys.yaml', `${keys}# was ${value}\n`, '13:7'],
    ['keys.yaml', keys.replace('id: analytics', `id: ${value}`), '7:9'],
    ['teams/a.yaml', team.replace('sso-payments-eng', 'apk_user_0123456789'), '3:14'],
    ['payments.test.yaml', `- as: { app: x }\n  cases:\n    - { do: GET /v3/self?k=${value}, expect: deny }\n`, '3:28'],
    ['notes.yaml', `note: ${value}\n`, '1:7'],
  ])('is found and never repeated: %s', (name, text, place) => {
    const messages = problems(name, text)
    expect(messages).toContain(`${name}:${place}: ${message}`)
    expect(messages.join('\n')).not.toContain('0123456789')
  })

  it('is reported once where it stands instead of a reference', () => {
    expect(problems('keys.yaml', keys.replace('{ file: secrets/analytics }', value))).toEqual([
      `keys.yaml:11:13: ${message}`,
    ])
  })

  it('is no name that merely looks alike', () => {
    expect(
      documentOf(
        'keys.yaml',
        keys.replace('secrets/analytics', '/run/my-cog_analytics').replace('PAYMENTS_RUNNER_KEY', 'RECOG_KEY'),
      ),
    ).toMatchObject({ kind: 'keys' })
  })
})

describe('a file of policy tests', () => {
  const tests = `- as: { groups: [sso-payments-eng], app: payments-bot, claims: { level: 3 } }
  cases:
    - { do: GET /v3/organizations/org-payments/sessions?first=10, expect: allow, grant: run-sessions, key: payments-runner }
    - { do: POST /v3/organizations/org-payments/sessions, body: { prompt: x, max_acu_limit: 99 }, expect: deny, reason: guardrail }
    - { do: POST /v3/x, body: null, expect: deny }
`

  it('is read as it is meant', () => {
    const document = documentOf('payments.test.yaml', tests)
    expect(document).toMatchObject({
      kind: 'tests',
      blocks: [
        {
          as: { groups: ['sso-payments-eng'], app: 'payments-bot', claims: { level: 3 } },
          cases: [
            {
              do: 'GET /v3/organizations/org-payments/sessions?first=10',
              expect: 'allow',
              grant: 'run-sessions',
              key: 'payments-runner',
            },
            {
              do: 'POST /v3/organizations/org-payments/sessions',
              body: { prompt: 'x', max_acu_limit: 99 },
              expect: 'deny',
              reason: 'guardrail',
            },
            { body: null },
          ],
        },
      ],
    })
    if (document.kind !== 'tests') throw new Error('it should be tests')
    expect(document.blocks[0]?.cases[0]?.body).toBeUndefined()
    expect(document.positionOf([0, 'cases', 1])).toEqual({ line: 4, column: 7 })
  })

  it.each<[string, string[]]>([
    ['', ['x.test.yaml:1:1: the file is empty: it should hold a list of blocks, each with "as" and "cases"']],
    ['[]\n', ['x.test.yaml:1:1: the file should hold at least one block']],
    ['as: {}\ncases: []\n', ['x.test.yaml:1:1: expected a list, found a mapping: begin each entry with "- "']],
    ['- as: {}\n  cases: []\n', ['x.test.yaml:2:10: a block needs at least one case']],
    [
      '- as: { app: [a] }\n  cases: [{ do: GET /v3/self, expect: deny }]\n',
      ['x.test.yaml:1:14: expected a string, found a list'],
    ],
    [
      '- as: { group: a }\n  cases: [{ do: GET /v3/self, expect: deny }]\n',
      ['x.test.yaml:1:9: unknown key "group"; did you mean "groups"?'],
    ],
    [
      '- as: {}\n  cases: [{ do: get /v3/self, expect: deny }]\n',
      ['x.test.yaml:2:17: "get /v3/self" is not a request: write a method, one space and a path, like GET /v3/self'],
    ],
    [
      '- as: {}\n  cases: [{ do: GET v3/self, expect: deny }]\n',
      ['x.test.yaml:2:17: "GET v3/self" is not a request: write a method, one space and a path, like GET /v3/self'],
    ],
    [
      '- as: {}\n  cases: [{ do: GET /v3/self, expect: alow }]\n',
      ['x.test.yaml:2:39: expected "allow" or "deny", found the text "alow"; did you mean "allow"?'],
    ],
    [
      '- as: {}\n  cases: [{ do: GET /v3/self, expect: allow, reason: not-granted }]\n',
      ['x.test.yaml:2:54: "reason" says nothing about a request that is expected to be allowed: remove it'],
    ],
    [
      '- as: {}\n  cases: [{ do: GET /v3/self, expect: deny, grant: a, key: b }]\n',
      [
        'x.test.yaml:2:52: "grant" says nothing about a request that is expected to be denied: remove it',
        'x.test.yaml:2:60: "key" says nothing about a request that is expected to be denied: remove it',
      ],
    ],
    ['- cases: [{ expect: deny }]\n', ['x.test.yaml:1:3: missing key "as"', 'x.test.yaml:1:11: missing key "do"']],
  ])('is refused at the place of each mistake: %j', (text, messages) => {
    expect(problems('x.test.yaml', text)).toEqual(messages)
  })
})

describe('a file of guardrails', () => {
  const guardrails = `guardrails:
  - id: bounded-sessions
    on: [org.sessions.create]
    teams: all
    body:
      max_acu_limit:     { default: 10, at_most: 25 }
      bypass_approval:   { forbid: true }
      create_as_user_id: { equals: principal.devin_user_id }
      repos:             { each_matches: "corp/*" }
      tags:              { add: ["team:\${team}", "app:\${app}"] }
  - id: only-own-organizations
    on: [ent.organizations.list, ent.sessions.list]
    teams: [analytics]
    response: { filter_items_by: organizations }
`

  it('is read as it is meant', () => {
    expect(documentOf('guardrails.yaml', guardrails)).toMatchObject({
      kind: 'guardrails',
      guardrails: [
        {
          id: 'bounded-sessions',
          on: ['org.sessions.create'],
          teams: 'all',
          apps: 'all',
          grants: null,
          query: {},
          response: null,
          mode: 'enforce',
          body: {
            max_acu_limit: { default: 10, at_most: 25 },
            bypass_approval: { forbid: true },
            create_as_user_id: { equals: 'principal.devin_user_id' },
            repos: { each_matches: 'corp/*' },
            tags: { add: ['team:${team}', 'app:${app}'] },
          },
        },
        {
          id: 'only-own-organizations',
          on: ['ent.organizations.list', 'ent.sessions.list'],
          teams: ['analytics'],
          response: { filterItemsBy: 'organizations', dropFields: [] },
          body: {},
        },
      ],
    })
  })

  it.each([
    ['{}', 'guardrails.yaml:14:15: say what is filtered: filter_items_by or fields'],
    ['{ filter_items_by: teams }', 'guardrails.yaml:14:34: expected "organizations", found the text "teams"'],
    ['{ fields: [] }', 'guardrails.yaml:14:25: name at least one field'],
    [
      '{ fields: [a..b] }',
      'guardrails.yaml:14:26: must be the name of a field, with dots between names: limits.max or repos.*',
    ],
    [
      '{ filter_items: organizations }',
      'guardrails.yaml:14:17: unknown key "filter_items"; did you mean "filter_items_by"?',
    ],
  ])('is refused where what it takes out of answers is not clear: %s', (response, message) => {
    const text = guardrails.replace('{ filter_items_by: organizations }', response)
    expect(problems('guardrails.yaml', text)).toContain(message)
  })

  it('shows all of its mistakes', () => {
    expect(
      problems(
        'guardrails.yaml',
        guardrails
          .replace('at_most: 25', 'atmost: 25')
          .replace('{ forbid: true }', '{}')
          .replace('repos: ', '"a..b": ')
          .replace('id: only-own-organizations', 'id: bounded-sessions'),
      ),
    ).toEqual([
      'guardrails.yaml:6:41: unknown key "atmost"; did you mean "at_most"?',
      'guardrails.yaml:7:26: a rule must set at least one bound',
      'guardrails.yaml:9:7: must be the name of a field, with dots between names: limits.max or repos.*',
      'guardrails.yaml:11:9: guardrail "bounded-sessions" appears twice',
    ])
  })

  it('is the same whatever it is called', () => {
    for (const name of ['guardrails.recommended.yaml', 'bounds.yaml'])
      expect(documentOf(name, guardrails)).toMatchObject({ guardrails: [{ id: 'bounded-sessions' }, {}] })
  })
})
