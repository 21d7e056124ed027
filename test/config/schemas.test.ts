// The JSON schemas as an editor uses them, by a validator that knows nothing of ours: the samples are right, and typical mistakes are
// found where they are typed. Whatever a schema refuses the loader refuses, too.

import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { generatedFiles } from '../../tools/generate.ts'
import { config, guardrails, keys, limits, right, team, told } from '../support/checked-set.ts'
import { callCommand } from '../support/command.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const kinds = [
  'gateway',
  'team',
  'keys',
  'limits',
  'guardrails',
  'invariants',
  'devin-users',
  'tests',
  'extension',
] as const
type Kind = (typeof kinds)[number]

// Strict: a keyword that the validator does not know would be a rule that nobody checks.
const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allErrors: true })
const validators = new Map(
  kinds.map((kind) => {
    const schema = generatedFiles().get(`config/schemas/${kind}.schema.json`) ?? ''
    // A generated file, which is JSON.
    return [kind, ajv.compile(JSON.parse(schema) as object)] as const
  }),
)

/** What an editor would underline. */
function underlined(kind: Kind, text: string): string[] {
  const validate = validators.get(kind)
  return validate === undefined || validate(parse(text) as unknown)
    ? []
    : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
}

/** The kind of a file by the schema that its first line names; null where it names none. */
function kindNamedIn(text: string): string | null {
  return /^# yaml-language-server: \$schema=(\S+)$/m.exec(text)?.[1] ?? null
}

async function yamlBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true })
  return entries.filter((name) => /\.ya?ml$/.test(name)).map((name) => join(folder, name))
}

describe('a sample', () => {
  test('names its schema in its first line, and keeps it', async () => {
    const files = [
      ...(await yamlBelow(join(root, 'config'))),
      ...(await yamlBelow(join(root, 'policies'))),
      ...(await yamlBelow(join(root, 'deploy/compose/policies'))),
      join(root, 'deploy/compose/gateway.yaml'),
    ]
    expect(files.length).toBeGreaterThan(15)
    for (const file of files) {
      const text = readFileSync(file, 'utf8')
      const named = kindNamedIn(text.split('\n')[0] ?? '')
      expect(named, file).not.toBeNull()
      const schema = resolve(dirname(file), named ?? '')
      expect(dirname(schema), file).toBe(join(root, 'config/schemas'))
      expect(underlined(basename(schema, '.schema.json') as Kind, text), file).toEqual([])
    }
  })

  test('of deploy/kubernetes keeps the schema of its name', async () => {
    const byName: readonly (readonly [RegExp, Kind])[] = [
      [/^gateway\.yaml$/, 'gateway'],
      [/^keys\.yaml$/, 'keys'],
      [/\.test\.yaml$/, 'tests'],
      [/\.yaml$/, 'team'],
    ]
    const folder = join(root, 'deploy/kubernetes')
    const files = (await yamlBelow(folder)).filter((file) => /\/(config|policies)\//.test(file))
    expect(files.length).toBeGreaterThan(4)
    for (const file of files) {
      const kind = byName.find(([pattern]) => pattern.test(basename(file)))?.[1] ?? 'team'
      expect(underlined(kind, readFileSync(file, 'utf8')), file).toEqual([])
    }
  })

  test('that `init` writes names its schema and keeps it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gateway-schemas-'))
    expect((await callCommand(['init', folder, '--yes'])).code).toBe(0)
    let seen = 0
    for (const file of await yamlBelow(folder)) {
      const text = readFileSync(file, 'utf8')
      const named = kindNamedIn(text)
      if (named === null) continue
      seen += 1
      expect(underlined(basename(named, '.schema.json') as Kind, text), file).toEqual([])
    }
    expect(seen).toBeGreaterThan(3)
    await rm(folder, { recursive: true, force: true })
  })
})

const files: Readonly<Record<Kind, string>> = {
  gateway: config,
  team,
  keys,
  limits,
  guardrails,
  invariants: 'policies/invariants.yaml',
  'devin-users': 'policies/devin-users.yaml',
  tests: 'policies/payments.test.yaml',
  extension: 'config/more.yaml',
}

const texts: Readonly<Record<Kind, string>> = {
  gateway: `${right[config] ?? ''}catalogue: { files: [more.yaml] }\n`,
  team: `${right[team] ?? ''}    when: { groups: [leads] }\nlimits: { requests: 600/min, acus: 500/month, operations: { org.sessions.*: { writes: 5/s } }, time_zone: Europe/Berlin }\n`,
  keys: `${right[keys] ?? ''}    expires: 2031-01-31\n`,
  limits:
    'limits: { requests: 600/min, queue: { max_wait: 2s }, operations: { org.sessions.create: { requests: 5/min } } }\n',
  guardrails: right[guardrails] ?? '',
  invariants: 'invariants:\n  - { id: no-secrets, never: { teams: all, do: [org.secrets.*] } }\n',
  'devin-users': 'devin_users:\n  - { email: ann@corp.example, id: email|65f0a1 }\n',
  tests:
    '- as: { groups: [sso-payments] }\n  cases:\n    - { do: GET /v3/organizations/org-payments/sessions, expect: allow, grant: run-sessions }\n    - { do: GET /v3/organizations/org-x/sessions, expect: deny, reason: organization-not-granted }\n',
  extension:
    'operations:\n  - { id: org.reports.list, method: GET, path: "/v3/organizations/{org_id}/reports", scope: organization, permission: ViewOrgReports, cache: short }\n',
}

/** Kind, what is written, and what is mistyped instead. */
const mistakes: readonly (readonly [Kind, string, string])[] = [
  ['gateway', 'audience:', 'audiance:'],
  ['gateway', 'devin-gateway', '[]'],
  ['gateway', '127.0.0.1:8080', ':8080'],
  ['gateway', '127.0.0.1:8080', '127.0.0.1:65536'],
  ['gateway', '127.0.0.1:8080', 'http://127.0.0.1:8080'],
  ['gateway', '127.0.0.1:9090', '99999'],
  ['gateway', 'https://api.corp.example', 'api.corp.example'],
  ['gateway', 'https://api.corp.example', 'http://api.corp.example'],
  ['gateway', 'https://api.corp.example', 'https://api.corp.example/v3'],
  ['gateway', 'https://sso.corp.example', 'sso.corp.example'],
  ['gateway', 'devin-gateway', 'x\n    algorithms: [HS256]'],
  ['gateway', 'devin-gateway', 'x\n    algorithms: [none]'],
  ['gateway', 'devin-gateway', 'x\n    algorithms: RS256'],
  ['gateway', 'devin-gateway', 'x\n    clock_tolerance: 30'],
  ['gateway', 'devin-gateway', 'x\n    max_lifetime: 24 hours'],
  ['gateway', 'devin-gateway', 'x\n    jwks_uri: sso.corp.example/jwks'],
  ['gateway', 'upstream:', 'upstream:\n  timeouts: { connect: 5sec }'],
  ['gateway', 'upstream:', 'upstream:\n  connections: 0'],
  ['gateway', 'policies:', 'cache: { max_size: 64M }\npolicies:'],
  ['gateway', 'policies:', 'cache: { max_size: 64 }\npolicies:'],
  ['gateway', 'policies:', 'cache: { shared: true }\npolicies:'],
  ['gateway', 'policies:', 'store: redis\npolicies:'],
  ['gateway', 'policies:', 'store: http://valkey:6379\npolicies:'],
  ['gateway', 'policies:', 'store: { nodes: valkey://a, secret: { env: A, file: b } }\npolicies:'],
  ['gateway', 'policies:', 'log: { level: warning }\npolicies:'],
  ['gateway', '[more.yaml]', '[more.yaml], stability: [stabel]'],
  ['gateway', 'policies:', 'telemetry: { otlp: collector:4318 }\npolicies:'],
  ['gateway', 'https://api.corp.example', 'https://api.corp.example/V3'],
  ['gateway', 'https://api.corp.example', 'https://api.corp.example/v3/organizations/org-1/sessions'],
  ['gateway', 'https://api.corp.example', 'https://api.corp.example?tenant=1'],
  ['gateway', 'https://sso.corp.example', 'https://sso.corp.example?tenant=1'],
  ['gateway', 'https://sso.corp.example', 'https://sso.corp.example/.well-known/openid-configuration'],
  ['gateway', 'devin-gateway', 'x\n    max_lifetime: 4000d'],
  ['gateway', 'devin-gateway', 'x\n    clock_tolerance: 1h'],
  ['gateway', 'upstream:', 'upstream:\n  timeouts: { connect: 0s }'],
  ['team', '{ groups: [leads] }', '{ groups: [leads] }\n    until: 2030-02-30T00:00:00Z'],
  ['team', '{ groups: [leads] }', '{ groups: [leads] }\n    until: 2030-04-31T00:00:00Z'],
  ['team', '{ groups: [leads] }', '{ groups: [leads] }\n    until: 2030-02-03T25:00:00Z'],
  ['team', '{ groups: [leads] }', '{ groups: [leads] }\n    until: 2030-02-03 12:00:00Z'],
  ['keys', '2031-01-31', '2031-02-30'],
  ['keys', '2031-01-31', '2031-06-31'],
  ['keys', '{ env: RUNNER_KEY }', '{ env: cog_abcdef }'],
  ['keys', '{ env: RUNNER_KEY }', '{ file: apk_abcdef }'],
  ['guardrails', 'prompt: { max_length: 9000 }', 'create_as_user_id: { equals: principal.devin_user }'],
  ['guardrails', 'prompt: { max_length: 9000 }', 'create_as_user_id: { equals: "${principal.devin_user_id}" }'],
  ['guardrails', 'prompt: { max_length: 9000 }', 'tags: { add: ["x:${tem}"] }'],
  ['tests', 'reason: organization-not-granted', 'warn: run-sessions'],
  ['extension', '/v3/organizations', '/gateway/v1/organizations'],
  ['extension', '/reports', '/:report'],
  ['team', 'ViewOrgSessions', 'ViewOrgSesions'],
  ['team', 'ViewOrgSessions', 'view_org_sessions'],
  ['team', 'ViewOrgSessions', 'org.sesions.list'],
  ['team', 'ViewOrgSessions', 'org.sesions.*'],
  ['team', 'ViewOrgSessions', 'org.sess*'],
  ['team', 'ViewOrgSessions', 'GET /v3/self'],
  ['team', '[ViewOrgSessions, ManageOrgSessions]', 'all'],
  ['team', 'groups: [leads]', 'group: [leads]'],
  ['team', '{ groups: [leads] }', '{}'],
  ['team', 'groups: [sso-payments]', 'groups: []'],
  ['team', 'team: payments', 'team: Payments'],
  ['team', '[org-payments]', 'org-payments'],
  ['team', '[org-payments]', '["org-*"]'],
  ['team', '[org-payments]', '[org payments]'],
  ['team', 'requests: 600/min', 'requests: 600'],
  ['team', 'requests: 600/min', 'requests: 600/minute'],
  ['team', 'acus: 500/month', 'acus: 500/h'],
  ['team', 'acus: 500/month', 'acus: 500'],
  ['team', 'org.sessions.*', 'org.sesions.*'],
  ['team', 'Europe/Berlin', 'Berlin'],
  ['team', 'Europe/Berlin', 'Europe/Berln'],
  ['team', 'limits: {', 'cache: { at_most: 30 }\nlimits: {'],
  ['team', '    when:', '    mode: shaddow\n    when:'],
  ['keys', 'ManageOrgSessions', 'ManageOrgSession'],
  ['keys', 'ManageOrgSessions', '"*"'],
  ['keys', 'scope: organization', 'scope: org'],
  ['keys', '    organization: org-payments\n', ''],
  ['keys', 'scope: organization', 'scope: enterprise'],
  ['keys', '{ env: RUNNER_KEY }', 'RUNNER_KEY'],
  ['keys', '{ env: RUNNER_KEY }', '{ env: $RUNNER_KEY }'],
  ['keys', '{ env: RUNNER_KEY }', '{ env: RUNNER_KEY, file: key }'],
  ['keys', '{ env: RUNNER_KEY }', '{}'],
  [
    'keys',
    '{ env: RUNNER_KEY }',
    '{ vault: { address: "https://vault.corp.example", path: kv/devin, field: key, auth: { token: { env: T } } } }',
  ],
  ['keys', '{ env: RUNNER_KEY }', '{ file: ~/key }'],
  ['keys', '2031-01-31', '2031-13-31'],
  ['keys', '2031-01-31', '31.01.2031'],
  ['keys', '2031-01-31', '2031-01-31 12:00'],
  ['keys', '    expires', '    serves_organizations: all\n    expires'],
  ['limits', 'requests: 600/min', 'request: 600/min'],
  ['limits', '600/min', '600 per minute'],
  ['limits', 'max_wait: 2s', 'max_wait: 2'],
  ['limits', 'org.sessions.create', 'org.session.create'],
  ['limits', 'queue:', 'organizations: { org-payments: { acus: 5/min } }, queue:'],
  ['guardrails', 'org.sessions.create', 'org.sessions.creat'],
  ['guardrails', 'org.sessions.create', 'ManageOrgSessions'],
  ['guardrails', '[org.sessions.create]', '[]'],
  ['guardrails', 'max_length', 'maxlength'],
  ['guardrails', '9000', '"9000"'],
  ['guardrails', '{ max_length: 9000 }', '{}'],
  ['guardrails', '{ max_length: 9000 }', '{ forbid: false }'],
  ['guardrails', '    body:\n      prompt: { max_length: 9000 }', '    response: { filter_items_by: organization }'],
  ['invariants', 'org.secrets.*', 'org.secret.*'],
  ['invariants', 'never:', 'nevr:'],
  ['invariants', 'do: [org.secrets.*]', 'write: yes please'],
  ['invariants', 'do: [org.secrets.*]', 'key: {}'],
  ['invariants', 'teams: all, do: [org.secrets.*]', ''],
  ['invariants', 'do: [org.secrets.*]', 'key: { permissions: [ManageOrgSecret] }'],
  ['devin-users', 'email: ann', 'subject: ann, email: ann'],
  ['devin-users', 'email: ann@corp.example, ', ''],
  ['devin-users', ', id: email|65f0a1', ''],
  ['tests', 'expect: allow', 'expect: allowed'],
  ['tests', 'GET /v3/organizations/org-payments', 'get v3/organizations/org-payments'],
  ['tests', 'reason: organization-not-granted', 'reason: org-not-granted'],
  ['tests', 'grant: run-sessions', 'reason: not-granted'],
  ['tests', 'reason: organization-not-granted', 'key: runner'],
  ['tests', 'groups:', 'group:'],
  ['extension', 'method: GET', 'method: get'],
  ['extension', 'scope: organization', 'scope: org'],
  ['extension', '{org_id}', '{organization}'],
  ['extension', '/v3/organizations', 'v3/organizations'],
  ['extension', 'cache: short', 'cache: 30s'],
  ['extension', 'method: GET', 'method: POST'],
  ['extension', 'cache: short', 'idempotent: true'],
  ['extension', 'id: org.reports.list', 'id: reports'],
]

describe('a schema', () => {
  test('takes operations of extension files that begin with ext.', async () => {
    const extension = texts.extension.replace('org.reports.list', 'ext.reports.list')
    const grants = texts.team.replace('ViewOrgSessions', 'ext.reports.list, ext.*')
    expect(underlined('extension', extension)).toEqual([])
    expect(underlined('team', grants)).toEqual([])
    const problems = await told([
      [config, '', 'catalogue: { files: [more.yaml] }\n'],
      [files.extension, '', extension],
      [team, right[team] ?? '', grants],
    ])
    expect(problems.filter((line) => !line.includes('warning: '))).toEqual([])
  })

  test.each(kinds)('finds nothing in a right file, and neither does the loader: %s', async (kind) => {
    expect(underlined(kind, texts[kind])).toEqual([])
    const problems = await toldOf(kind, texts[kind])
    expect(problems.filter((line) => !line.includes('warning: '))).toEqual([])
  })

  test.each(mistakes)('finds a typical mistake, as the loader does: %s, %s → %s', async (kind, written, instead) => {
    expect(texts[kind]).toContain(written)
    const text = texts[kind].replace(written, () => instead)
    expect(underlined(kind, text)).not.toEqual([])
    const problems = await toldOf(kind, text)
    expect(problems.filter((line) => line.startsWith(`${files[kind]}:`) && !line.includes('warning: '))).not.toEqual([])
  })

  test('takes variables in the configuration, and nowhere else', () => {
    const text = texts.gateway
      .replace('https://api.corp.example', '${ORIGIN:-https://api.corp.example}')
      .replace('127.0.0.1:8080', '${LISTEN}')
      .replace('policies:', 'shutdown: { delay: "${DELAY}" }\nlog: { level: "${LEVEL:-info}" }\npolicies:')
    expect(underlined('gateway', text)).toEqual([])
    expect(underlined('keys', texts.keys.replace('ManageOrgSessions', '"${PERMISSION}"'))).not.toEqual([])
  })

  test.each([
    ['team', 'Europe/Berlin', 'UTC'],
    ['team', 'Europe/Berlin', 'Asia/Kolkata'],
    ['team', 'Europe/Berlin', 'Etc/GMT+5'],
    ['team', 'ViewOrgSessions', 'org.*.list'],
    ['team', 'ViewOrgSessions', '"*"'],
    ['team', 'ViewOrgSessions', 'org.sessions.list'],
    ['team', 'ViewOrgSessions', 'org.sessions.*'],
    ['keys', '2031-01-31', '2031-01-31T12:00:00Z'],
    ['keys', '2031-01-31', '2032-02-29'],
    ['team', '{ groups: [leads] }', '{ groups: [leads] }\n    until: 2032-02-29T24:00Z'],
    ['team', '{ groups: [leads] }', '{ groups: [leads] }\n    until: 2031-12-31T23:59:59.5+01:00'],
    ['gateway', 'devin-gateway', 'x\n    clock_tolerance: 600s'],
    ['gateway', 'devin-gateway', 'x\n    clock_tolerance: 0h'],
    ['gateway', 'https://api.corp.example', 'https://api.corp.example/devin/v3x'],
    ['guardrails', 'prompt: { max_length: 9000 }', 'tags: { add: ["t:${team}-${app}", "costs $5"] }'],
    ['guardrails', 'prompt: { max_length: 9000 }', 'create_as_user_id: { equals: principal.devin_user_id }'],
    ['gateway', '127.0.0.1:8080', '8080'],
    ['gateway', '127.0.0.1:8080', '127.0.0.1:65535'],
    [
      'keys',
      '{ env: RUNNER_KEY }',
      '{ vault: { address: "https://vault.corp.example", path: team/kv/data/devin/x, field: key, auth: { token: { env: T } } } }',
    ],
    ['gateway', '127.0.0.1:8080', '"[::1]:8080"'],
    ['gateway', 'https://api.corp.example', 'http://localhost:4010/devin'],
    ['gateway', 'policies:', 'cache: { max_size: 1048576 }\npolicies:'],
    ['gateway', 'policies:', 'store: [valkeys://a:1, valkeys://b]\npolicies:'],
  ] as const)('refuses nothing that is right: %s, %s → %s', async (kind, written, instead) => {
    const text = texts[kind].replace(written, () => instead)
    expect(underlined(kind, text)).toEqual([])
    expect((await toldOf(kind, text)).filter((line) => !line.includes('warning: '))).toEqual([])
  })
})

/** What the loader says of a set with this file in it. */
async function toldOf(kind: Kind, text: string): Promise<string[]> {
  const file = files[kind]
  const others = kind === 'extension' ? [[config, '', 'catalogue: { files: [more.yaml] }\n'] as const] : []
  const more = kind === 'gateway' ? [['config/more.yaml', '', texts.extension] as const] : []
  const whole = right[file] === undefined ? [[file, '', text] as const] : [[file, right[file], text] as const]
  return await told([...others, ...more, ...whole])
}
