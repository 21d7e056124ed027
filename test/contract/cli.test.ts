// The command as a shell sees it: exit codes, what goes to which stream, both forms of output, and what is said of mistakes.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  callCommand,
  commandFile,
  runCommand,
  startCommand,
  type Ended,
  type RunningCommand,
} from '../support/command.ts'
import { freePorts } from '../support/free-ports.ts'
import { devinApi } from '../../src/catalogue/data.ts'
import { createAuthority } from '../support/certificates.ts'
import { startIssuer } from '../support/issuer.ts'
import { createSite, type Site } from '../support/site.ts'
import { startTestGateway, until, usualKeys, usualPolicies } from '../support/start-gateway.ts'
import { startUpstream } from '../support/upstream.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const sessions = '/v3/organizations/org-payments/sessions'
const withKeys = usualKeys
let site: Site
let state: string
beforeAll(async () => {
  site = await createSite({
    policies: {
      'payments.test.yaml': `- as: { groups: [sso-payments-eng] }
  cases:
    - { do: GET ${sessions}, expect: allow, grant: run-sessions, key: payments-runner }
    - { do: GET /v3/organizations/org-other/sessions, expect: deny, reason: organization-not-granted }
`,
    },
  })
  state = await mkdtemp(join(tmpdir(), 'gateway-sandbox-'))
})
afterAll(async () => {
  await site.remove()
  await rm(state, { recursive: true, force: true })
})

/** A command on the site of these tests, in this process. */
const call = (...args: string[]): Promise<Ended> => callCommand([...args, '--config', site.configFile], withKeys)

const json = (ended: Ended): unknown => JSON.parse(ended.out)

test('what a start compiles is kept beside the code, never where other users may write', async () => {
  const temporary = join(state, 'tmp')
  await mkdir(temporary)
  expect((await runCommand(['--help'], { env: { TMPDIR: temporary } })).code).toBe(0)
  expect(await readdir(temporary)).toEqual([])
})

test.each(['--version', '-v', '-V', 'version'])('%s says version, commit and Node.js', async (name) => {
  const commit = execFileSync('git', ['-C', root, 'rev-parse', 'HEAD'], { encoding: 'utf8' }).trim()
  const { code, out } = await callCommand([name])
  expect([code, out]).toEqual([0, `devin-gateway 0.1.0 (commit ${commit}, Node.js ${process.versions.node})\n`])
  expect(json(await callCommand([name, '--json']))).toEqual({
    version: '0.1.0',
    commit,
    node: process.versions.node,
  })
  expect((await callCommand([name], { GATEWAY_COMMIT: 'abc123' })).out).toContain('(commit abc123, ')
})

test.each([
  ['sesions', 'sessions', 'org.sessions.create'],
  ['plybooks', 'playbooks', 'org.playbooks.list'],
  ['ViewOrgSesions', 'vieworgsessions', 'org.sessions.list'],
])('catalogue %s finds what is nearest', async (written, near, id) => {
  const { code, out, err } = await call('catalogue', written)
  expect([code, err]).toEqual([0, `no operation is described by "${written}"; these are described by "${near}"\n`])
  expect(out).toContain(`${id}\n`)
})

test('without any configuration it says where it looked, and how to begin', async () => {
  const empty = await mkdtemp(join(tmpdir(), 'gateway-empty-'))
  for (const command of ['start', 'check']) {
    const { code, err } = await runCommand([command], { cwd: empty, env: { GATEWAY_SANDBOX_STATE: empty } })
    expect([code, err]).toEqual([
      1,
      `${join(empty, 'config/gateway.yaml')}: there is no configuration here, and neither --config nor GATEWAY_CONFIG names another file. "devin-gateway init" writes a first one; "devin-gateway sandbox" needs none\n`,
    ])
  }
  await rm(empty, { recursive: true, force: true })
})

describe('what is asked wrongly', () => {
  test.each([
    ['chek', 'devin-gateway: unknown command "chek"; did you mean "check"?'],
    ['sandox', 'devin-gateway: unknown command "sandox"; did you mean "sandbox"?'],
    ['frobnicate', 'devin-gateway: unknown command "frobnicate"'],
    ['toString', 'devin-gateway: unknown command "toString"'],
    [
      '--jsn',
      'devin-gateway: unknown option "--jsn": options stand behind a command, as in "devin-gateway check --json"',
    ],
    ['--versoin', 'devin-gateway: unknown option "--versoin"; did you mean "--version"?'],
    ['versoin', 'devin-gateway: unknown command "versoin"; did you mean "version"?'],
  ])('the command %s: 2, the nearest spelling, and the names of all', async (name, message) => {
    const { code, out, err } = await callCommand([name])
    const [first, names = '', help, ...rest] = err.split('\n')
    expect([code, out, first, help, rest]).toEqual([2, '', message, 'See "devin-gateway --help".', ['']])
    expect(names).toMatch(/^The commands are .*\bstart, sandbox, token, check, explain, test,.*\bcatalogue,.*audit\.$/)
  })

  test.each([
    [['check', '--confg', 'x'], 'devin-gateway check: unknown option "--confg"; did you mean "--config"?'],
    [['token', '--tem', 'x'], 'devin-gateway token: unknown option "--tem"; did you mean "--team"?'],
    [
      ['explain', '--subject', 'ann', 'GET', '/v3/self'],
      'devin-gateway explain: unknown option "--subject"; did you mean "--sub"?',
    ],
    [['init', '--upstream', 'https://x'], 'devin-gateway init: unknown option "--upstream"; did you mean "--origin"?'],
    [['init', '--org', 'org-x'], 'devin-gateway init: unknown option "--org"; did you mean "--organization"?'],
    [['explain', '-x'], 'devin-gateway explain: unknown option "-x"'],
    [['check', '--config'], /^devin-gateway check: .*--config/],
    [
      ['explain', '--team', 'payments', 'GET'],
      'devin-gateway explain: say a method and a path: explain --team payments GET /v3/self',
    ],
    [['explain', '--team', 'payments'], /^devin-gateway explain: say a method and a path/],
    [['token'], 'devin-gateway token: say whose token: --team payments'],
    [['token', '--team', 'paymnts'], 'devin-gateway token: unknown team "paymnts"; did you mean "payments"?'],
    [
      ['token', '--team', 'nobody'],
      'devin-gateway token: unknown team "nobody": there is analytics, audit, directory, payments, platform, platform-maintainers, release-bot',
    ],
    [
      ['token', '--team', 'payments', '--issuer', 'https://sso.sandbx.example'],
      'devin-gateway token: unknown issuer "https://sso.sandbx.example"; did you mean "https://sso.sandbox.example"?',
    ],
    [
      ['token', '--team', 'payments', '--issuer', 'https://x'],
      'devin-gateway token: unknown issuer "https://x": there is https://sso.sandbox.example',
    ],
    [
      ['explain', '--team', 'payments', '--organization', 'org-paymnts', 'org.sessions.list'],
      'devin-gateway explain: no team and no key names the organization "org-paymnts"; did you mean "org-payments"?',
    ],
    [
      ['purge', '--organization', 'org-paymnts'],
      'devin-gateway purge: no team and no key names the organization "org-paymnts"; did you mean "org-payments"?',
    ],
    [
      ['suggest', '--team', 'paymnts', '--log', '/dev/null'],
      'devin-gateway suggest: unknown team "paymnts"; did you mean "payments"?',
    ],
    [['token', '--team', 'payments', '--ttl', '1 hour'], /^devin-gateway token: --ttl: /],
    [['token', '--team', 'payments', '--ttl', '0s'], 'devin-gateway token: --ttl: a token lives at least 1s, not 0s'],
    [['sandbox', '--port', 'http'], 'devin-gateway sandbox: --port takes a port number, not "http"'],
    [['sandbox', '--port', '70000'], 'devin-gateway sandbox: --port takes a port number, not "70000"'],
    [['audit'], 'devin-gateway audit: say: audit verify FILE…, or: audit checkpoint'],
    [['audit', 'verify'], 'devin-gateway audit: say: audit verify FILE…, or: audit checkpoint'],
    [
      ['audit', 'veryfy', 'x'],
      'devin-gateway audit: say: audit verify FILE…, or: audit checkpoint; did you mean "verify"?',
    ],
    [['check', 'something'], /^devin-gateway check: .*something/],
    [['start', 'something'], /^devin-gateway start: .*something/],
    [['keys', 'payments-runner', 'extra'], /^devin-gateway keys: .*extra|payments-runner/],
  ])('%j: 2, with the usage', async (args, message) => {
    const env = { ...withKeys, GATEWAY_SANDBOX_STATE: state, GATEWAY_CONFIG: site.configFile }
    // One as a process: what it ends with is the same for all.
    const { code, out, err } = await (args[0] === 'start' ? runCommand(args, { env }) : callCommand(args, env))
    expect([code, out]).toEqual([2, ''])
    const first = err.split('\n')[0] ?? ''
    if (typeof message === 'string') expect(first).toBe(message)
    else expect(first).toMatch(message)
    expect(err.split('\n').slice(1)).toEqual([
      expect.stringMatching(/^Usage: devin-gateway /),
      `See "devin-gateway ${args[0] ?? ''} --help".`,
      '',
    ])
  })

  test('help COMMAND is the help of the command', async () => {
    expect(await callCommand(['help', 'explain'])).toEqual(await callCommand(['explain', '--help']))
    expect((await callCommand(['help', 'nothing'])).out).toContain('Every command takes --json')
  })

  // As a script leaves them whose variable is not set.
  test.each([
    [['check', '--config', ''], '--config'],
    [['test', '--policies='], '--policies'],
    [['keys', '--report', '--log', ''], '--log'],
    [['explain', '--team', '', 'GET', '/v3/self'], '--team'],
    [['matrix', '--html', ''], '--html'],
    [['diff', 'policies', 'policies', '--fail-on', ''], '--fail-on'],
  ])('%j: an option with an empty value is no option', async (args, option) => {
    const { code, out, err } = await callCommand(args, withKeys)
    expect([code, out, err.split('\n')[0]]).toEqual([
      2,
      '',
      `devin-gateway ${args[0] ?? ''}: ${option} needs a value behind it, and this one is empty`,
    ])
  })

  test.each([
    [['diff', '', 'policies']],
    [['audit', 'verify', '']],
    [['drift', '']],
    [['init', '']],
    [['explain', '--team', 'payments', 'GET', '']],
  ])('%j: an empty argument is none', async (args) => {
    const { code, err } = await callCommand(args, withKeys)
    expect([code, err]).toEqual([2, expect.stringContaining('an argument is empty: leave it out, or say what')])
  })

  test('an empty GATEWAY_CONFIG names no configuration', async () => {
    expect(await callCommand(['check'], { ...withKeys, GATEWAY_CONFIG: '' })).toMatchObject({ code: 0 })
  })

  test.each(['simulate --policies policies --log', 'drift', 'explain GET /v3/self --token', 'audit verify'])(
    '%s says in words why a file cannot be read',
    async (words) => {
      const file = join(root, 'package.json', 'x')
      const { code, err } = await callCommand([...words.split(' '), file], withKeys)
      expect([code, err]).toEqual([
        1,
        `devin-gateway ${words.split(' ')[0] ?? ''}: ${file} cannot be read: a part of the path is a file, not a folder\n`,
      ])
    },
  )

  test.each([
    [['check', '--strict=yes'], 'devin-gateway check: --strict takes no value'],
    [['check', '--config'], 'devin-gateway check: --config needs a value behind it'],
    [
      ['check', 'config/gateway.yaml'],
      'devin-gateway check: "config/gateway.yaml" is one argument too many; did you mean "--config config/gateway.yaml"?',
    ],
    [
      ['check', './policies'],
      'devin-gateway check: "./policies" is one argument too many; did you mean "--policies ./policies"?',
    ],
    [
      ['--config', 'x', 'check'],
      'devin-gateway: unknown option "--config": options stand behind a command, as in "devin-gateway check --json"',
    ],
  ])('%j: 2, in our words', async (args, message) => {
    const { code, err } = await callCommand(args)
    expect([code, err.split('\n')[0]]).toEqual([2, message])
  })

  test('no command at all is 2 with the list, asking for help is 0 with the same on stdout', async () => {
    const [nothing, help, one] = await Promise.all([
      runCommand([]),
      callCommand(['--help']),
      callCommand(['check', '--help']),
    ])
    expect([nothing.code, help.code, one.code]).toEqual([2, 0, 0])
    expect(help.out).toMatch(/^Usage: devin-gateway <command>/)
    expect(one.out).toMatch(/^Usage: devin-gateway check /)
    expect(help.err + one.err).toBe('')
  })

  test('an unreadable configuration is 1 and a sentence', async () => {
    for (const command of ['check', 'start', 'keys', 'catalogue', 'test', 'explain --team payments GET /v3/self']) {
      const { code, out, err } = await callCommand([...command.split(' '), '--config', '/nowhere/gateway.yaml'])
      expect([command, code, out, err.trim()]).toEqual([
        command,
        1,
        '',
        '/nowhere/gateway.yaml: the configuration cannot be read: there is no such file',
      ])
    }
  })
})

describe('check', () => {
  test('of what is good is 0, one line, and warnings beside it', async () => {
    const { code, out } = await call('check')
    expect(code).toBe(0)
    expect(out).toMatch(/^fine: 2 teams, 3 keys, 2 policy tests passed, \d+ warnings, revision [0-9a-f]{12}\n$/)
    const machine = await call('check', '--json')
    expect([machine.code, json(machine)]).toMatchObject([0, { ok: true, teams: 2, keys: 3, tests_passed: 2 }])
    expect(machine.err).toBe('')
  })

  test('with --strict is 1 for warnings', async () => {
    const { code, out } = await call('check', '--strict')
    expect(code).toBe(1)
    expect(out).toMatch(/^refused: /)
  })

  test('warns of keys that end soon or have ended, at their place', async () => {
    const soon = new Date(Date.now() + 3 * 86_400_000).toISOString()
    const text = usualPolicies['keys.yaml'] ?? ''
    const ending = await createSite({
      policies: {
        'keys.yaml': text
          .replace('- id: payments-runner\n', `- id: payments-runner\n    expires: ${soon}\n`)
          .replace('- id: analytics\n', '- id: analytics\n    expires: 2020-02-28\n'),
      },
    })
    const { code, err } = await callCommand(['check', '--config', ending.configFile], withKeys)
    await ending.remove()
    expect(code).toBe(0)
    expect(err).toMatch(/keys\.yaml:2:1: warning: key "payments-runner" ends at \S+, in 2 days: renew it/)
    expect(err).toMatch(/keys\.yaml:\d+:1: warning: key "analytics" ended at 2020-02-29T00:00:00Z: calls that need it/)
  })

  test('shows every mistake of every file at once, as file:line:column: message', async () => {
    const bad = await createSite({
      config: 'cahe: { max_size: 1MiB }',
      policies: {
        'teams/payments.yaml':
          'team: payments\nmembers:\n  - groups: [a]\norganizations: [org-payments]\ngrants:\n  - id: one\n    alow: [ViewOrgSessions]\n  - id: two\n    allow: [ViewOrgSesions]\n',
        'teams/analytics.yaml':
          'team: analytics\nmembers: [{ groups: [a] }]\norganizations: all\nlimits: { requests: 10 }\n',
        'keys.yaml': 'keys:\n  - { id: k, scope: enterprize, permissions: [ViewOrgSesssions], secret: { env: K } }\n',
      },
    })
    try {
      const { code, out, err } = await callCommand(['check', '--config', bad.configFile])
      expect([code, out]).toEqual([1, ''])
      const lines = err.trim().split('\n')
      for (const line of lines) expect(line).toMatch(/^\/.+\.yaml:\d+:\d+: .+/)
      expect(lines.map((line) => line.replace(`${bad.directory}/`, '').replace(/: .*$/, ''))).toEqual([
        'gateway.yaml:10:1',
        'policies/keys.yaml:2:21',
        'policies/keys.yaml:2:47',
        'policies/teams/analytics.yaml:4:21',
        'policies/teams/payments.yaml:7:5',
        'policies/teams/payments.yaml:9:13',
      ])
      expect(err).toMatch(/"cahe".*"cache"/)
      expect(err).toContain('unknown permission "ViewOrgSesions"; did you mean "ViewOrgSessions"?')
      const machine = await callCommand(['check', '--json', '--config', bad.configFile])
      const found = JSON.parse(machine.out) as { ok: boolean; diagnostics: { file: string; line: number }[] }
      expect([machine.code, found.ok, machine.err]).toEqual([1, false, ''])
      expect(found.diagnostics).toHaveLength(lines.length)
    } finally {
      await bad.remove()
    }
  })

  test('judges the words of policies by the extension files, also where the configuration has mistakes elsewhere', async () => {
    const site = await createSite({
      config: 'cahe: {}\ncatalogue: { files: [more.yaml] }',
      policies: {
        'teams/payments.yaml': `team: payments
members: [{ groups: [a] }]
organizations: [org-payments]
grants: [{ id: one, allow: [org.reports.list, org.reports.lost] }]
`,
      },
    })
    try {
      const more = join(site.directory, 'more.yaml')
      const operation =
        '{ id: org.reports.list, method: GET, path: "/v3/organizations/{org_id}/reports", scope: SCOPE }'
      await writeFile(more, `operations: [${operation.replace('SCOPE', 'organization')}]\n`)
      const good = await callCommand(['check', '--config', site.configFile])
      const mistakes = good.err
        .trim()
        .split('\n')
        .filter((line) => !line.includes(': warning: '))
      expect(mistakes.map((line) => line.replace(`${site.directory}/`, ''))).toEqual([
        expect.stringMatching(/^gateway\.yaml:10:1: unknown key "cahe"/),
        expect.stringMatching(/^policies\/teams\/payments\.yaml:4:47: unknown operation "org\.reports\.lost"/),
      ])
      // A broken extension file says nothing of what there is, so nothing is said of the words.
      await writeFile(more, `operations: [${operation.replace('SCOPE', 'company')}]\n`)
      await site.writePolicy('keys.yaml', 'keys: [{ id: k }]\n')
      const broken = await callCommand(['check', '--config', site.configFile])
      expect([
        ...new Set(
          broken.err
            .trim()
            .split('\n')
            .map((line) => /[a-z]+\.yaml/.exec(line)?.[0]),
        ),
      ]).toEqual(['gateway.yaml', 'more.yaml', 'keys.yaml'])
    } finally {
      await site.remove()
    }
  })

  test('looks at the shadow set as well, and tells its diagnostics apart', async () => {
    const wrong = 'team: payments\nmembers: [{ gruops: [x] }]\n'
    const good = 'team: payments\nmembers: [{ groups: [a] }]\norganizations: [org-payments]\n'
    const asserted = (expected: string): string =>
      `- { as: { groups: [a] }, cases: [{ do: GET /v3/organizations/org-x/sessions, expect: ${expected} }] }\n`
    const site = await createSite({
      config: 'shadow_policies: next',
      policies: { '../next/teams/payments.yaml': good, '../next/a.test.yaml': asserted('deny') },
    })
    const called = async (...args: string[]) => {
      const { code, out, err } = await callCommand([...args, '--config', site.configFile], withKeys)
      return { code, out, err: err.replaceAll(`${site.directory}/`, '') }
    }
    try {
      const fine = await called('check')
      // The set has no keys, which is a warning of its own.
      expect([fine.code, fine.err]).toEqual([0, expect.stringMatching(/^next\S*: warning: \[shadow set\] /m)])
      expect(fine.out).toMatch(/^fine: 2 teams, 3 keys, 0 policy tests passed, \d+ warnings, revision [0-9a-f]{12}\n/)
      expect(fine.out).toMatch(/^shadow set: 1 team, 0 keys, 1 policy test passed, 1 warning, revision [0-9a-f]{12}$/m)
      const { ok, shadow } = json(await called('check', '--json')) as { ok: boolean; shadow: object }
      expect([ok, shadow]).toMatchObject([true, { teams: 1, keys: 0, tests_passed: 1 }])
      expect(await called('test')).toMatchObject({
        code: 0,
        out: '0 policy tests passed\nshadow set: 1 policy test passed\n',
      })
      expect((await called('diff', 'policies', 'shadow')).out).toContain('lost')
      expect((await called('diff', 'shadow', 'shadow')).out).toMatch(/ 0 could not be/)

      await site.writePolicy('../next/a.test.yaml', asserted('allow'))
      const failing = await called('test')
      expect([failing.code, failing.out]).toEqual([
        1,
        expect.stringMatching(/next\/a\.test\.yaml:1:\d+: \[shadow set\] test failed: [^\n]*\n1 policy test failed\n/),
      ])
      await site.writePolicy('teams/payments.yaml', wrong)
      await site.writePolicy('../next/teams/payments.yaml', wrong)
      const both = await called('check')
      expect([both.code, both.out]).toEqual([1, ''])
      expect(both.err).toMatch(/^policies\/teams\/payments\.yaml:2:13: unknown key "gruops"/m)
      expect(both.err).toMatch(/^next\/teams\/payments\.yaml:2:13: \[shadow set\] unknown key "gruops"/m)
      expect((await called('check', '--policies', join(site.directory, 'next'))).err).not.toContain('[shadow set]')
      // One that is not there yet is a warning about the configuration.
      await site.writePolicy('teams/payments.yaml', usualPolicies['teams/payments.yaml'] ?? '')
      await rm(join(site.directory, 'next'), { recursive: true })
      expect(await called('check')).toMatchObject({
        code: 0,
        err: expect.stringMatching(/gateway\.yaml:10:\d+: warning: next: /) as string,
      })
    } finally {
      await site.remove()
    }
  })

  test('looks at the policies that are named instead', async () => {
    const other = await createSite({
      policies: {
        'teams/analytics.yaml': null,
        'teams/payments.yaml':
          'team: payments\nmembers: [{ groups: [eng] }]\norganizations: [org-payments]\ngrants: [{ id: g, allow: [ViewOrgSessions] }]\n',
        'keys.yaml':
          'keys: [{ id: k, scope: organization, organization: org-other, permissions: [ViewOrgSessions], secret: { env: K } }]\n',
        'payments.test.yaml': '- as: { groups: [eng] }\n  cases: [{ do: GET /v3/self, expect: deny }]\n',
      },
    })
    const policies = join(other.directory, 'policies')
    try {
      const { out } = await call('check', '--policies', policies)
      expect(out).toMatch(/^fine: 1 team, 1 key, 1 policy test passed, \d+ warnings?, revision /)
      expect(out).not.toContain('1 warnings')
      expect((await call('test', '--policies', policies)).out).toBe('1 policy test passed\n')
    } finally {
      await other.remove()
    }
  })
})

describe('test', () => {
  test('runs the policy tests alone: 0 and their number', async () => {
    expect(await call('test')).toMatchObject({ code: 0, out: '2 policy tests passed\n' })
    expect(json(await call('test', '--json'))).toEqual({ ok: true, passed: 2, failures: [] })
  })

  test('is 1 with each case that went otherwise, at its line', async () => {
    const bad = await createSite({
      policies: {
        'payments.test.yaml': `- as: { groups: [sso-payments-eng] }\n  cases:\n    - { do: GET ${sessions}, expect: deny }\n    - { do: GET ${sessions}, expect: allow, key: analytics }\n`,
      },
    })
    try {
      const { code, out } = await callCommand(['test', '--config', bad.configFile], withKeys)
      expect(code).toBe(1)
      const lines = out.trim().split('\n')
      expect(lines).toHaveLength(3)
      expect(lines[0]).toMatch(
        /^failed \/.*payments\.test\.yaml:3:7: test failed: GET \/v3.*: expected deny, got allow/,
      )
      expect(lines[1]).toMatch(
        /^failed \/.*payments\.test\.yaml:4:7: test failed: GET \/v3.*: expected key analytics, got payments-runner$/,
      )
      expect(lines[2]).toBe('2 policy tests failed')
    } finally {
      await bad.remove()
    }
  })
})

describe('explain', () => {
  test('of an allowed call is 0 and names grant and key, step by step', async () => {
    const { code, out, err } = await call('explain', '--team', 'payments', 'get', sessions)
    expect([code, err]).toEqual([0, ''])
    expect(out.split('\n').map((line) => line.split(/ +/).slice(0, 2).join(' '))).toEqual([
      '✓ path',
      '✓ caller',
      '✓ operation',
      '✓ decision',
      '✓ key',
      // No gateway runs that could be asked about blocks.
      '· note',
      expect.stringMatching(/^allow \(granted\),/),
      '',
    ])
    expect(out).toMatch(/decision {2}allowed by grant run-sessions of team payments \((?:teams\/)?payments\.yaml:\d+\)/)
    expect(out).toMatch(/key {7}payments-runner: /)
    expect(out).toContain('caller    subject payments-developer, app none, groups sso-payments-eng')
    expect(out).not.toContain('\u001b')
  })

  test('of a denied call is 1 with reason and nearest miss', async () => {
    const { code, out } = await call('explain', '--team', 'payments', 'GET', '/v3/organizations/org-other/sessions')
    expect(code).toBe(1)
    expect(out).toContain('✗ decision  organization-not-granted: Team payments may not touch organization "org-other"')
    expect(out).toContain('→ nearest')
    expect(out).toMatch(/\ndeny \(organization-not-granted\), policy revision [0-9a-f]{12}\n$/)
  })

  test('is about the subject that is named, by --sub or by the members of the team', async () => {
    const named = await call('explain', '--team', 'payments', '--sub', 'zoe', 'GET', sessions)
    expect(named.out).toContain('caller    subject zoe,')
    const nameless = await call('explain', '--group', 'sso-payments-eng', 'GET', sessions)
    expect(nameless.out).toContain('caller    subject some-developer,')
  })

  test.each([
    [['--group', 'nobody', 'GET', sessions], 'identity-incomplete|no-team'],
    [['--team', 'payments', 'GET', '/v3/nothing'], 'unknown-operation'],
    [['--team', 'payments', 'GET', '/v3/./self'], 'ambiguous-path'],
    [['--team', 'payments', 'POST', sessions, '--body', '{"prompt":"x","create_as_user_id":"u"}'], 'not-granted'],
    [['--team', 'payments', 'GET', '/v3/organizations/org-payments/secrets'], 'not-granted'],
  ])('of %j is 1', async (args, reason) => {
    const found = await call('explain', '--json', ...args)
    expect(found.code).toBe(1)
    expect(json(found)).toMatchObject({ effect: 'deny', reason: expect.stringMatching(new RegExp(`^(?:${reason})$`)) })
  })

  test('reads groups, app and body as they are given', async () => {
    const leads = await call(
      'explain',
      '--json',
      '--team',
      'payments',
      '--group',
      'payments-leads',
      'POST',
      sessions,
      '--body',
      '{"prompt":"x","create_as_user_id":"u"}',
    )
    expect([leads.code, json(leads)]).toMatchObject([0, { effect: 'allow', key: 'payments-impersonator' }])
    const app = await call('explain', '--json', '--app', 'payments-bot', 'GET', sessions)
    expect([app.code, json(app)]).toMatchObject([0, { effect: 'allow', team: 'payments' }])
  })

  test.each(['{', '{"a":1,"a":2}', 'x'])('a body that is no strict JSON is 2: %s', async (body) => {
    const { code, err } = await call('explain', '--team', 'payments', 'POST', sessions, '--body', body)
    expect([code, err.split('\n')[0]]).toEqual([2, expect.stringMatching(/^devin-gateway explain: --body /)])
  })
})

describe('catalogue', () => {
  test('finds operations by words, with everything that matters', async () => {
    const found = await call('catalogue', 'sessions', 'CREATE', 'org.')
    expect(found.code).toBe(0)
    expect(found.out).toContain(
      'org.sessions.create\n    POST /v3/organizations/{org_id}/sessions\n    organization scope, ManageOrgSessions',
    )
    const machine = json(await call('catalogue', '--json', 'org.sessions.list')) as Record<string, unknown>[]
    expect(machine[0]).toMatchObject({
      id: 'org.sessions.list',
      method: 'GET',
      path: '/v3/organizations/{org_id}/sessions',
      scope: 'organization',
      permission: 'ViewOrgSessions',
      served: true,
    })
  })

  test('reads a text in quotes as its words, and says what has most of them where nothing has all', async () => {
    const [quoted, plain] = [
      await call('catalogue', 'upload an attachment'),
      await call('catalogue', 'upload', 'an', 'attachment'),
    ]
    expect(quoted).toEqual(plain)
    expect([quoted.code, quoted.err, quoted.out.split('\n')[0]]).toEqual([0, '', 'org.attachments.upload'])
    const none = await call('catalogue', 'change tags of a session')
    expect([none.code, none.out]).toEqual([1, expect.stringMatching(/^0 of \d+ operations\n$/)])
    expect(none.err).toMatch(
      /no operation has all of these words; these have most of them: .*org\.sessions\.tags\.replace/,
    )
    expect((await call('explain', '--team', 'payments', 'upload')).err).toMatch(
      /^[^\n]*"devin-gateway catalogue upload" finds operations by their words\n/,
    )
  })

  test('says what stands on no public page', async () => {
    const found = await call('catalogue', 'org.sessions.list')
    expect(found.out).toContain('cache micro\n    unconfirmed: automation_ids, parent_session_id\n')
    expect((await call('catalogue', 'beta.org.searches.list')).out).toContain(', on no public page\n')
    const [machine] = json(await call('catalogue', '--json', 'beta.org.default-platform.set')) as Record<
      string,
      unknown
    >[]
    expect(machine?.['documentation']).toEqual({
      page: 'https://docs.devin.ai/api-reference/v3/organization-settings/put-organization-default-platform',
      seen: 'page',
      unconfirmed: [],
    })
  })

  test('lists all without a word, and finding nothing is 1', async () => {
    const all = await call('catalogue')
    expect(all.out.trim().split('\n').at(-1)).toBe(
      `${devinApi.operations.length} of ${devinApi.operations.length} operations`,
    )
    const none = await call('catalogue', 'zzz')
    expect([none.code, none.out.trim()]).toEqual([1, `0 of ${devinApi.operations.length} operations`])
  })
})

describe('audit verify', () => {
  let file: string
  beforeAll(async () => {
    const running = await startTestGateway()
    await running.gateway.drain()
    file = join(state, 'audit.ndjson')
    await writeFile(file, await running.auditText())
    await running.close()
  })

  test('of an unbroken chain is 0 with its length and head', async () => {
    const last = JSON.parse((await readFile(file, 'utf8')).trim().split('\n').at(-1) ?? '') as { hash: string }
    expect(await callCommand(['audit', 'verify', file])).toEqual({
      code: 0,
      out: `unbroken: 2 entries, head ${last.hash}\n`,
      err: '',
    })
    expect(json(await callCommand(['audit', 'verify', '--json', file]))).toEqual({
      ok: true,
      entries: 2,
      head: last.hash,
      tornLines: [],
    })
    expect((await callCommand(['audit', 'verify', file, '--head', last.hash])).code).toBe(0)
  })

  test('of a changed, shortened or missing one is 1 and says where', async () => {
    const text = await readFile(file, 'utf8')
    const bad = join(state, 'bad.ndjson')
    await writeFile(bad, text.replace('"actor":"gateway"', '"actor":"nobody"'))
    const changed = await callCommand(['audit', 'verify', bad])
    expect([changed.code, changed.out]).toEqual([
      1,
      expect.stringMatching(new RegExp(`^broken at ${bad}:1: .*changed`)),
    ])
    expect(json(await callCommand(['audit', 'verify', '--json', bad]))).toMatchObject({ ok: false, line: 1 })
    const last = JSON.parse(text.trim().split('\n').at(-1) ?? '') as { hash: string }
    await writeFile(bad, text.slice(0, text.indexOf('\n') + 1))
    expect((await callCommand(['audit', 'verify', bad])).code).toBe(0)
    expect((await callCommand(['audit', 'verify', bad, '--head', last.hash])).code).toBe(1)
    await appendFile(bad, 'rubbish\n')
    expect((await callCommand(['audit', 'verify', bad])).code).toBe(1)
    const missing = await callCommand(['audit', 'verify', '/nowhere/audit.ndjson'])
    expect(missing).toEqual({
      code: 1,
      out: '',
      err: 'devin-gateway audit: /nowhere/audit.ndjson cannot be read: there is no such file\n',
    })
  })
})

describe('start and keys', () => {
  test('start collects what loading has left before it says that it listens', async () => {
    const own = await createSite({})
    const options = { env: withKeys, file: '--trace-gc', before: [commandFile] }
    const gateway = startCommand(['start', '--config', own.configFile], options)
    try {
      await until(() => gateway.err.includes('"event":"started"'), 'the gateway')
      // V8 says so of a collection that was asked for by the inspector.
      expect(gateway.out).toContain('low memory notification')
    } finally {
      await gateway.kill()
      await own.remove()
    }
  })

  test('keys shows the inventory without a gateway and with one, never a value', async () => {
    const upstream = await startUpstream()
    const issuer = await startIssuer()
    const ports = await freePorts(2)
    const own = await createSite({
      upstream: upstream.origin,
      issuer,
      listen: `{ gateway: "127.0.0.1:${ports[0]}", admin: "127.0.0.1:${ports[1]}" }`,
    })
    const args = ['keys', '--config', own.configFile]
    const keys = (...more: string[]) => callCommand([...args, ...more], withKeys)
    const gateway = startCommand(['start', '--config', own.configFile], { env: withKeys })
    try {
      await until(() => gateway.err.includes('"event":"started"'), 'the gateway')
      await until(async () => (await fetch(`http://127.0.0.1:${ports[1]}/readyz`)).ok, 'readiness')
      const token = await issuer.sign({ groups: ['sso-payments-eng'] })
      expect(
        (await fetch(`http://127.0.0.1:${ports[0]}${sessions}`, { headers: { authorization: `Bearer ${token}` } }))
          .status,
      ).toBe(200)
      const [live, text] = await Promise.all([keys('--json'), callCommand(args, withKeys)])
      expect(live.code).toBe(0)
      expect(json(live)).toMatchObject({
        live: true,
        keys: [
          { id: 'payments-runner', state: 'ready', version: 1, last_used_at: expect.stringMatching(/^20/) },
          { last_used_at: null },
          {},
        ],
      })
      expect(text.out).toMatch(/^payments-runner {2}ready {2}organization org-payments\n/)
      expect(text.out).toContain('never since start')
      // The same ports again: a sentence, and no trace.
      const second = await runCommand(['start', '--config', own.configFile], { env: withKeys })
      expect([second.code, second.out]).toEqual([1, ''])
      expect(second.err).toContain(
        `devin-gateway start: listen.admin: cannot listen on 127.0.0.1:${ports[1]}: another process uses the port; stop it or choose another one`,
      )
      expect(second.err).not.toMatch(/\n {4}at /)
      gateway.signal('SIGTERM')
      expect(await gateway.ended).toMatchObject({ code: 0, out: '' })
      const [dead, plain] = await Promise.all([keys('--json'), keys()])
      expect([dead.code, json(dead)]).toMatchObject([
        0,
        { live: false, keys: [{ id: 'payments-runner', state: 'unknown', last_used_at: null }, {}, {}] },
      ])
      expect(plain.out).toContain('unknown (no running gateway)')
      for (const { out, err } of [live, text, second, dead, plain, { out: gateway.out, err: gateway.err }])
        expect(out + err).not.toMatch(/cog_/)
    } finally {
      await gateway.kill()
      await upstream.close()
      await issuer.stop()
      await own.remove()
    }
  })

  test('start without its secrets is 1 with all that are missing', async () => {
    const { code, out, err } = await runCommand(['start', '--config', site.configFile])
    expect([code, out]).toEqual([1, ''])
    const lines = err
      .trim()
      .split('\n')
      .filter((line) => !line.includes(': warning: '))
    expect(lines.map((line) => line.replace(/^.*\/policies\//, '').replace(/^(keys\.yaml:\d+):\d+:/, '$1:'))).toEqual([
      'keys.yaml:6: key "payments-runner": the environment variable PAYMENTS_RUNNER_KEY is not set: it should hold the key',
      'keys.yaml:11: key "payments-impersonator": the environment variable PAYMENTS_IMPERSONATOR_KEY is not set: it should hold the key',
      'keys.yaml:15: key "analytics": the environment variable ANALYTICS_KEY is not set: it should hold the key',
    ])
  })
})

describe('sandbox and token', () => {
  let sandbox: RunningCommand
  let at: Record<string, string>
  const env = (): Record<string, string> => ({ GATEWAY_SANDBOX_STATE: state })
  beforeAll(async () => {
    sandbox = startCommand(['sandbox', '--port', '0', '--admin-port', '0', '--json'], { env: env() })
    await until(() => sandbox.out.includes('\n') || sandbox.child.exitCode !== null, 'the sandbox')
    at = JSON.parse(sandbox.out) as Record<string, string>
  })
  afterAll(() => sandbox.kill())

  const call = (token: string, path: string, init: RequestInit = {}) =>
    fetch(`${at['gateway']}${path}`, { ...init, headers: { authorization: `Bearer ${token}` } })

  test('a token stands alone on stdout and is accepted as the team’s', async () => {
    const { code, out, err } = await callCommand(['token', '--team', 'payments'], env())
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)
    const token = out.trim()
    expect((await call(token, `${sessions}?first=1`)).status).toBe(200)
    const denied = await call(token, '/v3/organizations/org-research/sessions')
    expect([denied.status, await denied.json()]).toMatchObject([
      403,
      { type: '/gateway/v1/problems/organization-not-granted' },
    ])
    expect(await (await call(token, '/gateway/v1/me')).json()).toMatchObject({ teams: [{ team: 'payments' }] })
  })

  test('explain verifies a token with the signing keys of the sandbox that runs', async () => {
    const file = join(state, 'token')
    const { out: token } = await callCommand(['token', '--team', 'payments'], env())
    await writeFile(file, token)
    const explained = await callCommand(['explain', '--token', file, 'GET', sessions], { ...withKeys, ...env() })
    expect(explained.code).toBe(0)
    expect(explained.out).not.toContain('the signature is not checked')
    const [head = '', claims = ''] = token.split('.')
    await writeFile(file, [head, claims, Buffer.alloc(64, 7).toString('base64url')].join('.'))
    const refused = await callCommand(['explain', '--token', file, 'GET', sessions], { ...withKeys, ...env() })
    expect([refused.code, refused.out]).toEqual([1, expect.stringContaining('deny (signature-invalid)')])
  })

  test('a token says what was asked for', async () => {
    const { out } = await callCommand(
      [
        'token',
        '--json',
        '--team',
        'payments',
        '--sub',
        'zoe',
        '--group',
        'extra-one',
        '--group',
        'extra-two',
        '--ttl',
        '90s',
      ],
      env(),
    )
    const { token } = JSON.parse(out) as { token: string }
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>
    expect(claims).toMatchObject({ sub: 'zoe', groups: expect.arrayContaining(['extra-one', 'extra-two']) })
    expect(Number(claims['exp']) - Number(claims['iat'])).toBe(90)
    expect((await call(token, sessions)).status).toBe(200)
    const bot = await callCommand(['token', '--team', 'release-bot'], env())
    expect(await (await call(bot.out.trim(), '/gateway/v1/me')).json()).toMatchObject({
      app: expect.any(String),
      teams: [{ team: 'release-bot' }],
    })
  })

  test('a second sandbox on the same port is 1 and a sentence', async () => {
    const port = new URL(at['gateway'] ?? '').port
    const { code, out, err } = await runCommand(['sandbox', '--port', port, '--admin-port', '0'], { env: env() })
    expect([code, out]).toEqual([1, ''])
    expect(err).toContain(
      `listen.gateway: cannot listen on 127.0.0.1:${port}: another process uses the port; stop it or choose another one: --port 8081 --admin-port 9091, or 0 for free ones`,
    )
    expect(err).not.toMatch(/\n {4}at |cog_/)
  })

  test('with a certificate it says https, in the banner and in what is to be pasted', async () => {
    const { cert, key } = createAuthority('a test authority').issue({ name: 'localhost' })
    await writeFile(join(state, 'cert.pem'), cert)
    await writeFile(join(state, 'key.pem'), key)
    const sample = await readFile(join(root, 'config', 'gateway.yaml'), 'utf8')
    const file = join(state, 'tls.yaml')
    await writeFile(
      file,
      sample
        .replace('\nlisten:\n', '\nlisten:\n  tls: { cert: cert.pem, key: key.pem }\n')
        .replace('policies: ../policies', `policies: ${join(root, 'policies')}`),
    )
    const args = ['sandbox', '--config', file, '--port', '0', '--admin-port', '0']
    const secure = startCommand(args, { env: { GATEWAY_SANDBOX_STATE: join(state, 'secure') } })
    await until(() => secure.out.includes('Ctrl-C') || secure.child.exitCode !== null, 'the banner')
    expect(secure.out).toMatch(/callers {7}https:\/\/127\.0\.0\.1:\d+\n/)
    expect(secure.out).toMatch(/operators {5}http:\/\/127\.0\.0\.1:\d+ /)
    expect(secure.out).toMatch(/curl -i --cacert \S+cert\.pem[^"]* "https:\/\//)
    await secure.kill()
  })

  test('Ctrl-C ends it with 0, and every line it has said is one object', async () => {
    sandbox.signal('SIGINT')
    const { code, out, err } = await sandbox.ended
    expect(code).toBe(0)
    // Behind the addresses come the access records, one object a line.
    for (const line of out.trim().split('\n')) expect(typeof JSON.parse(line)).toBe('object')
    expect(out + err).not.toMatch(/cog_|\n {4}at /)
  })
})

describe('an old Node', () => {
  const old = oldNode()
  test.skipIf(old === null)('gets one sentence and 2, not a syntax error', async () => {
    const { code, out, err } = await runCommand(['check'], { node: old?.path ?? '' })
    expect([code, out]).toEqual([2, ''])
    expect(err.trim()).toBe(
      `devin-gateway needs Node.js 24 or newer, and this is ${old?.version}. Run it through npm (\`npm start\`, \`npx devin-gateway …\`), which brings its own Node.js 24, or install Node.js 24.`,
    )
  })
})

/** A Node before 24 somewhere on the path, or null. */
function oldNode(): { path: string; version: string } | null {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, 'node')
    if (!existsSync(path)) continue
    const version = execFileSync(path, ['--version'], { encoding: 'utf8' }).trim().slice(1)
    if (Number(version.split('.')[0]) < 24) return { path, version }
  }
  return null
}

test('output that cannot be written is told, and a reader that leaves is no failure', () => {
  const shell = (script: string): string =>
    execFileSync('bash', ['--norc', '-c', script], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] ?? '', NODE: process.execPath, COMMAND: commandFile },
    })
  expect(shell('"$NODE" "$COMMAND" catalogue 2>&1 >/dev/full; echo $?')).toBe(
    'devin-gateway: standard output cannot be written: the disk is full\n1\n',
  )
  expect(shell('{ "$NODE" "$COMMAND" catalogue; echo $? >&2; } 2>&1 | head -c 1 >/dev/null; echo read')).toBe('read\n')
})
