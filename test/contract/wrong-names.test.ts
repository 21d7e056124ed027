// Every key of our files that names something: who notices a wrong name. A new key has to be put into one of the tables.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { config, guardrails, keys, limits, right, team, told, type Edit } from '../support/checked-set.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const wide = 'policies/teams/wide.yaml'
const invariants = 'policies/invariants.yaml'
const tests = 'policies/names.test.yaml'
const users = 'policies/devin-users.yaml'
const more = 'config/more.yaml'

/** Files in which every name that can only be doubted is misspelled. */
const doubtful: readonly Edit[] = [
  [
    team,
    'members:\n  - groups: [sso-payments]\norganizations: [org-payments]\n',
    `members:
  - groups: [sso-payments]
  - { app: [payments-bot], subject: [service-runner], email: [ann.lee@corp.example], actor: [helper-agent] }
  - { groups: [sso-others], issuer: [https://sso.corp.exmple], claims: { department: [finance] } }
organizations: [org-payments, org-pamyents]
limits: { apps: { payments-bto: { requests: 5/min } } }
`,
  ],
  [
    wide,
    '',
    `team: wide
members: [{ groups: [sso-wide], app: [wide-bot] }]
organizations: all
default_organization: org-paymnts
grants:
  - id: see
    allow: [ViewOrgSessions]
    organizations: [org-paymetns]
    when: { app: [wide-bto], issuer: [https://sso.crop.example] }
  - { id: beta, allow: [ent.organizations.lst] }
`.replace('ent.organizations.lst', 'ent.organizations.list'),
  ],
  [
    keys,
    '',
    `  - { id: half, scope: enterprise, permissions: [ViewAccountSessions], serves_organizations: [org-pyaments], secret: { env: HALF_KYE } }
  - { id: open, scope: enterprise, permissions: [ViewAccountSessions], serves_organizations: all, secret: { file: ../secrets/nowhere } }
  - { id: other, scope: organization, organization: orgpayments, permissions: [ViewOrgSessions], secret: { env: ELSEWHERE } }
`,
  ],
  [limits, '', 'limits: { organizations: { org-paymens: { acus: 5/month } } }\n'],
  [
    guardrails,
    'on: [org.sessions.create]',
    'on: [org.sessions.create]\n    apps: [payment-bot]\n    except: [{ apps: [pyaments-bot], until: 2099-01-01T00:00:00Z }]',
  ],
  [guardrails, 'prompt: { max_length: 9000 }', 'promt: { max_length: 9000 }\n    query: { frist: { at_most: 5 } }'],
  [
    invariants,
    '',
    `invariants:
  - id: one
    never:
      do: [org.secrets.*]
      organizations: [org-paymeents]
      callers:
        groups: [sso-paymnts]
        app: [payments-bott]
        subject: [service-runer]
        email: [ann.lee@corp.exmple]
        issuer: [https://sso.corp.exampl]
        actor: [helper-agnet]
        claims: { departmnt: [x], department: [finnance] }
        except: { groups: [sso-paymets], app: [pyments-bot], subject: [servce-runner], email: [ann.le@corp.example], issuer: [https://ss.corp.example], actor: [hlper-agent], claims: { deprtment: [x], department: [fnance] } }
  - { id: two, never: { do: [org.secrets.*], organizations: { except: [org-paymenst] } } }
`,
  ],
  [users, '', 'devin_users: [{ email: ann@corp.example, issuer: https://sso.corp.exmaple, id: u }]\n'],
  [
    tests,
    '',
    `- as: { groups: [sso-payment], app: paymens-bot, subject: service-runnr, email: ann.lee@crop.example, actor: helper-agen, issuer: https://ssso.corp.example, claims: { departent: x } }
  cases:
    - { do: GET /v3/organizations/org-paaments/sessions, expect: deny }
    - { do: GET /v3/organisations/org-payments/sessions, expect: deny }
    - { do: GET /v1/sessions, expect: deny, reason: unknown-operation }
`,
  ],
  [
    more,
    '',
    'operations: [{ id: ext.one, method: GET, path: /v3/ext, scope: enterprise, permission: ManageBiling }]\n',
  ],
  [
    config,
    '',
    `catalogue: { files: [more.yaml] }
admin:
  auth:
    issuer: https://sso.corp.example/
    client_id: console
    roles: { viewer: { groups: [x] } }
shadow_policies: ../polices
`,
  ],
]

/** What says so, by the key; `*` is every item or key. */
const doubts: Readonly<Record<string, string>> = {
  'team: members.issuer': 'no issuer "https://sso.corp.exmple" is configured',
  'team: organizations': '"org-pamyents"; did you mean "org-payments"?',
  'team: default_organization': '"org-paymnts"; did you mean "org-payments"?',
  'team: grants.organizations': '"org-paymetns"; did you mean "org-payments"?',
  'team: grants.when.app': 'no member of team wide has the app "wide-bto", so it never holds; did you mean "wide-bot"?',
  'team: grants.when.issuer': 'no issuer "https://sso.crop.example" is configured',
  'team: limits.apps.{key}': 'no team names app "payments-bto"; did you mean "payments-bot"?',
  'limits: limits.organizations.{key}': '"org-paymens"; did you mean "org-payments"?',
  'keys: keys.organization': '"orgpayments"; did you mean "org-payments"?',
  'keys: keys.serves_organizations': '"org-pyaments"; did you mean "org-payments"?',
  'keys: keys.secret.env': 'the environment variable HALF_KYE is not set',
  'keys: keys.secret.file': 'key "open": ',
  'guardrails: guardrails.apps': 'no team names app "payment-bot"; did you mean "payments-bot"?',
  'guardrails: guardrails.except.apps': 'no team names app "pyaments-bot"; did you mean "payments-bot"?',
  'guardrails: guardrails.body.{key}': 'the API documents no field "promt"',
  'guardrails: guardrails.query.{key}': 'the API documents no parameter "frist"',
  'invariants: invariants.<rule>.organizations': 'organization "org-paymeents"; did you mean "org-payments"?',
  'invariants: invariants.<rule>.organizations.except': 'organization "org-paymenst"; did you mean "org-payments"?',
  'invariants: invariants.<rule>.callers.groups': 'group "sso-paymnts"; did you mean "sso-payments"?',
  'invariants: invariants.<rule>.callers.app': 'app "payments-bott"; did you mean "payments-bot"?',
  'invariants: invariants.<rule>.callers.subject': 'subject "service-runer"; did you mean "service-runner"?',
  'invariants: invariants.<rule>.callers.email': 'email "ann.lee@corp.exmple"; did you mean "ann.lee@corp.example"?',
  'invariants: invariants.<rule>.callers.issuer': 'no issuer "https://sso.corp.exampl" is configured',
  'invariants: invariants.<rule>.callers.actor': 'actor "helper-agnet"; did you mean "helper-agent"?',
  'invariants: invariants.<rule>.callers.claims.{key}': 'claim "departmnt"; did you mean "department"?',
  'invariants: invariants.<rule>.callers.claims.*': 'value of claim department "finnance"; did you mean "finance"?',
  'invariants: invariants.<rule>.callers.except.groups': 'group "sso-paymets"; did you mean "sso-payments"?',
  'invariants: invariants.<rule>.callers.except.app': 'app "pyments-bot"; did you mean "payments-bot"?',
  'invariants: invariants.<rule>.callers.except.subject': 'subject "servce-runner"; did you mean "service-runner"?',
  'invariants: invariants.<rule>.callers.except.email':
    'email "ann.le@corp.example"; did you mean "ann.lee@corp.example"?',
  'invariants: invariants.<rule>.callers.except.issuer': 'no issuer "https://ss.corp.example" is configured',
  'invariants: invariants.<rule>.callers.except.actor': 'actor "hlper-agent"; did you mean "helper-agent"?',
  'invariants: invariants.<rule>.callers.except.claims.{key}': 'claim "deprtment"; did you mean "department"?',
  'invariants: invariants.<rule>.callers.except.claims.*':
    'value of claim department "fnance"; did you mean "finance"?',
  'devin-users: devin_users.issuer': 'no issuer "https://sso.corp.exmaple" is configured',
  'tests: .as.groups': 'no team names group "sso-payment"; did you mean "sso-payments"?',
  'tests: .as.app': 'no team names app "paymens-bot"; did you mean "payments-bot"?',
  'tests: .as.subject': 'no team names subject "service-runnr"; did you mean "service-runner"?',
  'tests: .as.email': 'no team names email "ann.lee@crop.example"; did you mean "ann.lee@corp.example"?',
  'tests: .as.actor': 'no team names actor "helper-agen"; did you mean "helper-agent"?',
  'tests: .as.issuer': 'no issuer "https://ssso.corp.example" is configured',
  'tests: .as.claims.{key}': 'no team names claim "departent"; did you mean "department"?',
  'tests: .cases.do':
    'no operation is GET /v3/organisations/org-payments/sessions, so it is denied whatever the policies say; did you mean GET /v3/organizations/{org_id}/sessions?',
  'extension: operations.permission':
    'permission "ManageBiling" is new to the catalogue; did you mean "ManageBilling"?',
  'gateway: admin.auth.issuer':
    'differs from the issuer "https://sso.corp.example" in letter case or a final slash only',
  'gateway: shadow_policies': 'the policy directory cannot be read: there is no such folder; did you mean "policies"?',
}

/** Files in which every name that has to be defined is misspelled: errors of the policies. */
const impossible: readonly Edit[] = [
  [team, '[ViewOrgSessions,', '[ViewOrgSesions,'],
  [team, 'allow:', 'organizations: [org-paymnts]\n    allow:'],
  [
    'policies/teams/second.yaml',
    '',
    'team: second\nmembers: [{ groups: [x] }]\norganizations: [org-payments]\ngrants: [{ id: g, allow: [org.sesions.list] }]\nlimits: { operations: { org.sesions.*: { requests: 1/min } } }\n',
  ],
  [limits, '', 'limits: { operations: { ManageOrgSecret: { requests: 1/min } } }\n'],
  [keys, 'permissions: [ViewOrgSessions', 'permissions: [ViewOrgSession'],
  [
    guardrails,
    'on: [org.sessions.create]',
    'on: [org.sessions.craete]\n    teams: [paymnts]\n    except: [{ teams: [paymets] }]',
  ],
  [
    invariants,
    '',
    `invariants:
  - { id: one, never: { teams: [pyaments], do: [org.secret.*] } }
  - { id: two, never: { teams: { except: [payment] }, key: { permissions: [ManageOrgSecrts] } } }
`,
  ],
]
const errors: Readonly<Record<string, string>> = {
  'team: grants.allow': 'unknown operation "org.sesions.list"; did you mean "org.sessions.list"?',
  'team: limits.operations.{key}':
    'the pattern "org.sesions.*" covers no operation of the catalogue; did you mean "org.sessions.*"?',
  'limits: limits.operations.{key}': 'unknown permission "ManageOrgSecret"; did you mean "ManageOrgSecrets"?',
  'keys: keys.permissions': 'unknown permission "ViewOrgSession"; did you mean "ViewOrgSessions"?',
  'guardrails: guardrails.on': 'unknown operation "org.sessions.craete"; did you mean "org.sessions.create"?',
  'guardrails: guardrails.teams': 'unknown team "paymnts"; did you mean "payments"?',
  'guardrails: guardrails.except.teams': 'unknown team "paymets"; did you mean "payments"?',
  'invariants: invariants.<rule>.teams': 'unknown team "pyaments"; did you mean "payments"?',
  'invariants: invariants.<rule>.teams.except': 'unknown team "payment"; did you mean "payments"?',
  'invariants: invariants.<rule>.do':
    'the pattern "org.secret.*" covers no operation of the catalogue; did you mean "org.secrets.*"?',
  'invariants: invariants.<rule>.key.permissions':
    'unknown permission "ManageOrgSecrts"; did you mean "ManageOrgSecrets"?',
}

/** Errors that hide others, one set each. */
const alone: readonly (readonly [key: string, edits: readonly Edit[], message: string])[] = [
  [
    'gateway: admin.auth.roles.<role>.issuer',
    [
      [
        config,
        '',
        'admin: { auth: { issuer: https://sso.corp.example, client_id: console, roles: { viewer: { groups: [x] }, operator: [{ groups: [y] }, { issuer: [https://sso.corp.exmple], groups: [z] }] } } }\n',
      ],
    ],
    'config/gateway.yaml:11:145: nobody has this role: operators sign in through "https://sso.corp.example" alone. Remove issuer, or spell it so',
  ],
  ['gateway: policies', [[config, '../policies', '../polices']], 'did you mean "policies"?'],
  [
    'gateway: catalogue.files',
    [[config, '', 'catalogue: { files: [mre.yaml] }\n']],
    'config/mre.yaml: there is no such file',
  ],
  [
    'extension: operations.invalidates',
    [
      [
        more,
        '',
        'operations: [{ id: ext.one, method: POST, path: /v3/ext, scope: enterprise, invalidates: [org.sesions.list] }]\n',
      ],
      [config, '', 'catalogue: { files: [more.yaml] }\n'],
    ],
    'invalidates: unknown operation "org.sesions.list"; did you mean "org.sessions.list"?',
  ],
  [
    'extension: operations.slashes',
    [
      [
        more,
        '',
        'operations: [{ id: ext.one, method: GET, path: "/v3/ext/{name}", scope: enterprise, slashes: [nmae] }]\n',
      ],
      [config, '', 'catalogue: { files: [more.yaml] }\n'],
    ],
    'the path has no parameter {nmae}',
  ],
  [
    'team: limits.time_zone',
    [[team, 'grants:', 'limits: { requests: 5/day, time_zone: Europe/Berln }\ngrants:']],
    'did you mean "Europe/Berlin"?',
  ],
  [
    'limits: limits.time_zone',
    [[limits, '', 'limits: { requests: 5/day, time_zone: Berlin }\n']],
    'did you mean "Europe/Berlin"?',
  ],
  ...(
    [
      ['reason', 'reason: not-grantd', 'deny', 'expected reason not-grantd, got'],
      ['team', 'team: paymnts', 'allow', 'expected team paymnts, got payments'],
      ['grant', 'grant: run-sesions', 'allow', 'expected grant run-sesions, got run-sessions'],
      ['key', 'key: runer', 'allow', 'expected key runer, got runner'],
      ['owner', 'owner: anne', 'allow', 'expected owner anne, got none'],
      ['warn', 'warn: run-sesions', 'allow', 'expected a warning of run-sesions, got none'],
    ] as const
  ).map(([name, said, expected, message]): readonly [string, readonly Edit[], string] => [
    `tests: .cases.${name}`,
    [
      [
        tests,
        '',
        `- as: { groups: [sso-payments] }\n  cases: [{ do: GET /v3/organizations/org-payments/${expected === 'allow' ? 'sessions' : 'secrets'}, expect: ${expected}, ${said} }]\n`,
      ],
    ],
    message,
  ]),
]

/** Names that only others know: who then notices a wrong one. */
const outside: Readonly<Record<string, readonly string[]>> = {
  'the identity provider: `explain` and the decision log name the nearest miss, policy tests fail': [
    'team: members.{groups,app,subject,email,actor,claims.{key},claims.*}',
    'team: grants.when.{groups,subject,email,actor,claims.{key},claims.*}',
    'devin-users: devin_users.{email,subject}',
  ],
  'the identity provider: tokens are refused, or nobody has the role': [
    'gateway: issuers.{issuer,audience,claims.subject,claims.email,claims.groups,claims.app}',
    'gateway: admin.auth.{audience,client_id,scopes,claims.subject,claims.email,claims.groups,claims.app}',
    'gateway: admin.auth.roles.<role>.{groups,app,subject,email,actor,claims.{key},claims.*}',
  ],
  'Devin: asked who each key is, or who the caller is; its answers are filtered by members': [
    'keys: keys.service_user',
    'devin-users: devin_users.id',
    'tests: .as.devin_user_id',
    'guardrails: guardrails.response.fields',
    'extension: operations.answer.{id,items,organization}',
  ],
  'a server or a place of secrets: the start, `check --online` or `doctor`': [
    '*: *.<secret>',
    'gateway: {issuers.jwks_uri,admin.auth.jwks_uri,store,store.nodes,store.sentinel,store.user,telemetry.otlp,telemetry.headers.{key},checkpoints.to.http,checkpoints.to.syslog,upstream.origin}',
  ],
  'the disk: the start, and `check` where files have to be there': [
    'gateway: {listen.tls.cert,listen.tls.key,listen.admin_tls.cert,listen.admin_tls.key,issuers.ca,admin.auth.ca,upstream.ca,store.ca,telemetry.ca}',
    'gateway: {records.access,records.decisions,records.audit,budgets.journal,checkpoints.to.file}',
  ],
}

/** No names of something else: names of their own, addresses to listen on, values, texts for people. */
const own: readonly string[] = [
  'gateway: {listen.gateway,listen.admin,listen.health,listen.trusted_proxies,admin.url,store.prefix,checkpoints.origin}',
  'team: {team,grants.id,owner,contact,description}',
  'team: grants.{owner,contact,description,reason,until}',
  'team: members.{reason,until}',
  'guardrails: guardrails.{id,owner,contact,description,except.reason,except.until}',
  'guardrails: guardrails.{body,query}.*.{add,each_matches,equals,matches,one_of,reserve}',
  'invariants: invariants.{id,description}',
  'keys: keys.id',
  'extension: operations.{id,path}',
  'tests: .at',
]

/** `a.{b,c}` for both. */
function spread(pattern: string): readonly string[] {
  const found = /^(.*?)\{((?:[^{}]|\{key\})*,(?:[^{}]|\{key\})*)\}(.*)$/.exec(pattern)
  if (found === null) return [pattern]
  const [, before = '', list = '', after = ''] = found
  return list.split(',').flatMap((each) => spread(`${before}${each}${after}`))
}

interface Schema {
  readonly $ref?: string
  readonly $defs?: Readonly<Record<string, Schema>>
  readonly type?: string
  readonly title?: string
  readonly pattern?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema | boolean
  readonly items?: Schema
}

/** Rates, sizes, times and dates. */
const measures = new Set(['duration', 'size', 'rate', 'date'])
const measureNames =
  /(^|\.)(requests|writes|sessions|acus|attempts|max_size|max_entry_size|max_judged_size|size|keep_size)(\.(rate|hard|soft))?$/
/** Keys that hold a reference to a secret. Only their variables and files are of this machine. */
const secrets =
  /(client_secret|headers\.\*|checkpoints\.key|keys\.secret|store\.password|store\.secret)\.(?!env$|file$).*$/

/** The keys of a schema that take a text which is no keyword. */
function keysOf(file: string): readonly string[] {
  const whole = JSON.parse(readFileSync(join(root, 'config/schemas', file), 'utf8')) as Schema
  const found = new Set<string>()
  const walk = (schema: Schema | boolean | undefined, path: string): void => {
    if (typeof schema !== 'object') return
    const definition = schema.$ref?.replace('#/$defs/', '')
    // Words that are listed from the catalogue.
    if (definition !== undefined) found.add(path)
    const forms = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]
    const hasWords = forms.some((each) => each.enum !== undefined || each.const !== undefined)
    // In place of a keyword a variable may stand.
    for (const each of forms) if (!hasWords || each.pattern !== '\\$\\{') walk(each, path)
    for (const [name, each] of Object.entries(schema.properties ?? {}))
      walk(each, path === '' ? name : `${path}.${name}`)
    if (typeof schema.additionalProperties === 'object') {
      found.add(`${path}.{key}`)
      walk(schema.additionalProperties, `${path}.*`)
    }
    walk(schema.items, path === '' ? '' : path)
    const isKeyword = schema.enum !== undefined || schema.const !== undefined
    if (schema.type === 'string' && !isKeyword && !measures.has(schema.title ?? '')) found.add(path)
  }
  walk(whole, '')
  const kind = file.replace('.schema.json', '')
  return [...found]
    .filter((path) => !measureNames.test(path))
    .map((path) => `${kind}: ${kind === 'tests' ? `.${path}` : path}`)
    .map((path) =>
      path.replace(/\.(viewer|operator|key_officer)\./, '.<role>.').replace(/\.(never|always)\./, '.<rule>.'),
    )
    .map((path) => (secrets.test(path) ? '*: *.<secret>' : path))
    .map((path) =>
      /^gateway: .*\.(env|file)$/.test(path) && !path.includes('checkpoints.to') ? '*: *.<secret>' : path,
    )
}

test('every key that takes a text is in one of the tables, and nothing else is', () => {
  const inSchemas = new Set(readdirSync(join(root, 'config/schemas')).flatMap(keysOf))
  const inTables = [
    ...Object.keys(doubts),
    ...Object.keys(errors),
    ...alone.map(([key]) => key),
    ...[...Object.values(outside).flat(), ...own].flatMap(spread),
  ]
  expect([...new Set(inTables)].sort()).toEqual([...inSchemas].sort())
  expect(inTables.length).toBe(new Set(inTables).size)
})

describe('a name that may be meant', () => {
  let messages: readonly string[] = []
  beforeAll(async () => {
    messages = await told(doubtful)
  })
  test.each(Object.entries(doubts))('%s: a warning with the nearest spelling', (_, message) => {
    expect(messages.filter((line) => line.includes(message))).toEqual([expect.stringMatching(/:\d+:\d+: warning: /)])
  })
  test('no warning is about a name that is right', () => {
    const others = messages.filter((line) => !Object.values(doubts).some((message) => line.includes(message)))
    expect(others.filter((line) => line.includes('did you mean'))).toEqual([
      expect.stringContaining('"org-paaments"; did you mean "org-payments"?'),
    ])
    expect(right[team]).toContain('org-payments')
  })
})

describe('a name that cannot be', () => {
  let messages: readonly string[] = []
  beforeAll(async () => {
    messages = await told(impossible.filter(([file, written]) => file !== team || !written.startsWith('allow')))
  })
  test.each(Object.entries(errors))('%s: an error with the nearest spelling', (_, message) => {
    expect(messages.filter((line) => line.includes(message))).toEqual([expect.not.stringContaining('warning')])
  })
  test.each(alone)('%s: an error', async (_, edits, message) => {
    const [first = '', ...more] = (await told(edits)).filter((line) => !line.includes('warning: '))
    expect([first.includes(message), first, more]).toEqual([true, first, []])
  })
})
