// What is said about bad input, letter by letter: `check` over a whole site with one mistake in it, and what only a start
// can find. Mistakes inside single values have their tables beside the parts that find them.

import { chmod, readFile, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/records/log.ts'
import { startGateway } from '../../src/runtime.ts'
import { callCommand } from '../support/command.ts'
import { createSite, type Site, type SiteOptions } from '../support/site.ts'
import { until, usualKeys, usualPolicies } from '../support/start-gateway.ts'

/** Of its own, because the messages name its lines. */
const payments = `team: payments
members:
  - groups: [sso-payments-eng]
  - app: [payments-bot]
organizations: [org-payments]
grants:
  - id: run-sessions
    allow: [ViewOrgSessions, ManageOrgSessions, org.attachments.*]
  - id: index-repositories
    allow: [beta.org.repositories.*]
  - id: act-for-others
    allow: [ImpersonateOrgSessions]
    when: { groups: [payments-leads] }
  - id: shadow-secrets
    allow: [ManageOrgSecrets]
    mode: shadow
`
const keys = usualPolicies['keys.yaml'] ?? ''

let site: Site | null = null
afterEach(async () => {
  await site?.remove()
  site = null
})

interface Said {
  readonly code: number | null
  /** Lines of both streams with the site's folder cut off; warnings and the verdict apart. */
  readonly errors: readonly string[]
  readonly warnings: readonly string[]
}

async function check(options: SiteOptions, env: Readonly<Record<string, string>> = usualKeys): Promise<Said> {
  const own = await createSite({ ...options, policies: { 'teams/payments.yaml': payments, ...options.policies } })
  site = own
  return await checkSite(own, env)
}

async function checkSite(own: Site, env: Readonly<Record<string, string>> = usualKeys): Promise<Said> {
  const { code, err } = await callCommand(['check', '--config', own.configFile], env)
  const lines = err
    .replaceAll(`${own.directory}/`, '')
    .split('\n')
    .filter((line) => line !== '')
  return {
    code,
    errors: lines.filter((line) => !line.includes(': warning: ')),
    warnings: lines.filter((line) => line.includes(': warning: ')),
  }
}

const team = (text: string): SiteOptions => ({ policies: { 'teams/payments.yaml': text } })
const inventory = (text: string): SiteOptions => ({ policies: { 'keys.yaml': text } })

describe('a policy file', () => {
  test.each<[string, SiteOptions, string[]]>([
    [
      'of malformed YAML',
      team('team: payments\nmembers:\n  - groups: [a\norganizations: [org-payments]\n'),
      ['policies/teams/payments.yaml:3:13: this "[" is never closed: put "]" behind its last entry'],
    ],
    [
      'indented with tabs',
      team('team: payments\nmembers:\n\t- groups: [a]\n'),
      ['policies/teams/payments.yaml:3:1: YAML does not allow tabs as indentation: use spaces'],
    ],
    [
      'with an unknown key',
      team(payments.replace('organizations:', 'organisations:')),
      ['policies/teams/payments.yaml:5:1: unknown key "organisations"; did you mean "organizations"?'],
    ],
    [
      'with a key that stands there twice',
      team(`${payments}organizations: all\n`),
      ['policies/teams/payments.yaml:17:1: this key appears twice in the same mapping: remove one of the two'],
    ],
    [
      'with an unknown permission',
      team(payments.replace('ViewOrgSessions', 'ViewOrgSesions')),
      ['policies/teams/payments.yaml:8:13: unknown permission "ViewOrgSesions"; did you mean "ViewOrgSessions"?'],
    ],
    [
      'with an unknown operation',
      team(payments.replace('org.attachments.*', 'org.sessions.lst')),
      ['policies/teams/payments.yaml:8:49: unknown operation "org.sessions.lst"; did you mean "org.sessions.list"?'],
    ],
    [
      'with a pattern that fits nothing',
      team(payments.replace('org.attachments.*', 'org.atachments.*')),
      [
        'policies/teams/payments.yaml:8:49: the pattern "org.atachments.*" covers no operation of the catalogue; did you mean "org.attachments.*"?',
      ],
    ],
    [
      'with a default organization outside its fence',
      team(
        payments.replace(
          'organizations: [org-payments]',
          'organizations: [org-payments]\ndefault_organization: org-paymnts',
        ),
      ),
      [
        'policies/teams/payments.yaml:6:23: default_organization "org-paymnts" is not among the team\'s organizations; did you mean "org-payments"?',
      ],
    ],
    [
      'with two grants of one id',
      team(payments.replace('id: act-for-others', 'id: run-sessions')),
      ['policies/teams/payments.yaml:11:9: grant "run-sessions" appears twice'],
    ],
    [
      'for a team that has one',
      { policies: { 'teams/payments-too.yaml': payments } },
      [
        'policies/teams/payments.yaml:1:7: team "payments" is defined twice; the other one is in policies/teams/payments-too.yaml',
      ],
    ],
    [
      'whose numbers YAML reads wrongly',
      team(payments.replace('[sso-payments-eng]', '[0123, 1e3, 0x10, 1_000, yes, true, ~, 12:30]')),
      [
        'policies/teams/payments.yaml:3:14: expected a string, but YAML reads 0123 as the number 123: put it in quotes',
        'policies/teams/payments.yaml:3:20: expected a string, but YAML reads 1e3 as the number 1000: put it in quotes',
        'policies/teams/payments.yaml:3:25: expected a string, but YAML reads 0x10 as the number 16: put it in quotes',
        'policies/teams/payments.yaml:3:43: expected a string, but YAML reads true as a boolean: put it in quotes',
        'policies/teams/payments.yaml:3:49: expected a string, but YAML reads ~ as no value: put it in quotes',
      ],
    ],
    [
      'with limits that are none',
      team(`${payments}limits: { requests: 600/mn, concurent: 2, sessions: 5.5/day }\n`),
      [
        'policies/teams/payments.yaml:17:21: "600/mn" is not a rate: write a whole number, a slash and s, min, h, day, week or month, like 10/s, 600/min, 5/h, 50/day or 500/month; did you mean "min"?',
        'policies/teams/payments.yaml:17:29: unknown key "concurent"; did you mean "concurrent"?',
        'policies/teams/payments.yaml:17:53: "5.5/day" is not a rate: write a whole number, a slash and s, min, h, day, week or month, like 10/s, 600/min, 5/h, 50/day or 500/month',
      ],
    ],
    [
      'of guardrails',
      {
        policies: {
          'guardrails.yaml':
            'guardrails:\n  - { id: a, on: [org.sesions.create], teams: [payment], body: { title: { matches: "^(a+)+\\\\1$" } } }\n',
        },
      },
      [
        'policies/guardrails.yaml:2:19: unknown operation "org.sesions.create"; did you mean "org.sessions.create"?',
        'policies/guardrails.yaml:2:48: unknown team "payment"; did you mean "payments"?',
        'policies/guardrails.yaml:2:84: not a regular expression that runs in linear time (the syntax of RE2): invalid escape sequence: `\\1`',
      ],
    ],
    [
      'of a kind nobody knows',
      { policies: { 'payments.yml': 'hello: 1\n' } },
      [
        'policies/payments.yml: cannot tell what kind of policy file this is: put it at teams/NAME.yaml, guardrails.yaml, invariants.yaml, keys.yaml, limits.yaml, devin-users.yaml or NAME.test.yaml, or begin it with "team:", "guardrails:", "invariants:", "keys:", "limits:" or "devin_users:"',
      ],
    ],
  ])('%s: 1, and exactly this', async (_name, options, errors) => {
    const said = await check(options)
    expect([said.code, said.errors]).toEqual([1, errors])
  })
})

describe('the inventory of keys', () => {
  test.each<[string, SiteOptions, string[]]>([
    [
      'with two keys of one id',
      inventory(keys.replace('id: payments-impersonator', 'id: payments-runner')),
      ['policies/keys.yaml:7:9: key "payments-runner" appears twice'],
    ],
    [
      'with an unknown permission',
      inventory(keys.replace('[ViewOrgSessions,', '[ViewOrgSesions,')),
      ['policies/keys.yaml:5:19: unknown permission "ViewOrgSesions"; did you mean "ViewOrgSessions"?'],
    ],
    [
      'with an organization that YAML reads as a number',
      inventory(keys.replace('organization: org-payments', 'organization: 0123')),
      ['policies/keys.yaml:4:19: expected a string, but YAML reads 0123 as the number 123: put it in quotes'],
    ],
    [
      'with a value instead of a reference',
      inventory(keys.replace('{ env: ANALYTICS_KEY }', 'cog_0123456789')),
      [
        'policies/keys.yaml:15:13: a key value (cog_… or apk_…) stands here: policies hold references only. Remove it, and replace the key, because everybody who can read this file has it',
      ],
    ],
  ])('%s: 1, and exactly this', async (_name, options, errors) => {
    const said = await check(options)
    expect([said.code, said.errors]).toEqual([1, errors])
  })

  test('without a key for what is granted is a warning that names the missing key', async () => {
    const said = await check(
      inventory(
        keys
          .replace(
            'ViewOrgSessions, ManageOrgSessions, UseDevinSessions, Read',
            'ViewOrgSessions, UseDevinSessions, Read',
          )
          .replace('ViewOrgSessions, ManageOrgSessions, UseDevinSessions, ImpersonateOrgSessions, ', ''),
      ),
    )
    expect(said.code).toBe(0)
    expect(said.warnings).toContainEqual(
      expect.stringMatching(
        /^policies\/teams\/payments\.yaml:7:9: warning: grant "run-sessions": no key can serve org\.sessions\.terminate and \d+ more: an organization key for org-payments with ManageOrgSessions is missing in keys\.yaml$/,
      ),
    )
  })

  test('without any key for an organization of a fence is a warning that names it', async () => {
    const said = await check(
      team(payments.replace('organizations: [org-payments]', 'organizations: [org-payments, org-reserch]')),
    )
    expect(said.code).toBe(0)
    expect(said.warnings).toContain(
      'policies/teams/payments.yaml:5:31: warning: no key of the inventory is for organization "org-reserch"',
    )
  })

  test('with secrets that cannot be read is a warning each here, and refuses a start', async () => {
    const own = await createSite(
      inventory(
        keys
          .replace('{ env: PAYMENTS_RUNNER_KEY }', '{ file: /nowhere/key }')
          .replace('{ env: PAYMENTS_IMPERSONATOR_KEY }', '{ file: . }'),
      ),
    )
    site = own
    const lines = [
      /^policies\/keys\.yaml:6:\d+: (?:warning: )?key "payments-runner": the file \/nowhere\/key cannot be read: there is no such file$/,
      /^policies\/keys\.yaml:11:\d+: (?:warning: )?key "payments-impersonator": the file .* cannot be read: it is a directory$/,
      /^policies\/keys\.yaml:15:\d+: (?:warning: )?key "analytics": the environment variable ANALYTICS_KEY is not set: it should hold the key$/,
    ]
    const said = await checkSite(own, {})
    expect(said.code).toBe(0)
    for (const line of lines) expect(said.warnings).toContainEqual(expect.stringMatching(line))
    const { config } = await loadConfig(own.configFile, {})
    const refusal = await startGateway({
      config,
      env: {},
      log: createLog({ level: 'silent', destination: { write: () => {} } }),
      version: 'test',
    }).then(
      () => '',
      (error: Error) => error.message,
    )
    for (const line of lines)
      expect(refusal.replaceAll(`${own.directory}/`, '').split('\n')).toContainEqual(expect.stringMatching(line))
  })

  test.skipIf(process.getuid?.() === 0)('with a secret file that may not be read says so', async () => {
    const own = await createSite({})
    site = own
    await writeFile(join(own.directory, 'key'), 'cog_0123456789')
    await chmod(join(own.directory, 'key'), 0o000)
    await own.writePolicy('keys.yaml', keys.replace('{ env: ANALYTICS_KEY }', '{ file: ../key }'))
    const said = await checkSite(own)
    expect(said.warnings.join('\n')).toMatch(
      /keys\.yaml:15:\d+: warning: key "analytics": the file .* cannot be read: permission denied to this user/,
    )
  })
})

describe('a policy test', () => {
  test.each([
    [
      'expects a word that is none',
      '{ do: GET /v3/self, expect: alow }',
      '3:35: expected "allow" or "deny", found the text "alow"; did you mean "allow"?',
    ],
    [
      'has an unknown key',
      '{ do: GET /v3/self, expect: allow, grnt: x }',
      '3:42: unknown key "grnt"; did you mean "grant"?',
    ],
    [
      'expects another team',
      '{ do: GET /v3/self, expect: allow, team: analytics }',
      '3:7: test failed: GET /v3/self: expected team analytics, got payments',
    ],
    [
      'asks for no operation',
      '{ do: GET /v3/nothing, expect: allow }',
      /^3:7: test failed: GET \/v3\/nothing: expected allow, got deny \(unknown-operation: .+\)$/,
    ],
  ])('that %s: 1, and exactly this', async (_name, line, message) => {
    const said = await check({
      policies: { 'payments.test.yaml': `- as: { groups: [sso-payments-eng] }\n  cases:\n    - ${line}\n` },
    })
    expect([said.code, said.errors.length]).toEqual([1, 1])
    const found = said.errors[0]?.replace('policies/payments.test.yaml:', '') ?? ''
    if (typeof message === 'string') expect(found).toBe(message)
    else expect(found).toMatch(message)
  })
})

describe('the configuration', () => {
  test.each<[string, string, string]>([
    [
      'of an address of a store that is none',
      'store: localhost:6379',
      ':10:8: "localhost:6379" is not the address of a store: write memory, or an address like valkey://host:6379/0 (valkeys:// for TLS; redis:// and rediss:// mean the same)',
    ],
    [
      'of a collector by gRPC',
      'telemetry: { otlp: http://127.0.0.1:4317 }',
      ':10:20: "http://127.0.0.1:4317" is the port for gRPC',
    ],
    ['of an unknown key', 'limits: { requests: 1 }', ':10:1: unknown key "limits"'],
    ['of a size without its unit', 'bodies: { max_size: 10x }', ':10:21: '],
  ])('%s: 1, at its place', async (_name, line, message) => {
    const said = await check({ config: line })
    expect([said.code, said.errors.length]).toEqual([1, 1])
    expect(said.errors[0]).toContain(`gateway.yaml${message}`)
  })
})

describe('a start', () => {
  async function started(options: SiteOptions): Promise<string> {
    const own = await createSite(options)
    site = own
    const { config } = await loadConfig(own.configFile, usualKeys)
    const log = createLog({ level: 'silent', destination: { write: () => {} } })
    return await startGateway({ config, env: usualKeys, log, version: 'test' }).then(
      async (gateway) => {
        await until(() => gateway.readiness().reasons.join().includes('failed'), 'the first attempt')
        const said = gateway.readiness().reasons.join('\n')
        await gateway.drain()
        return said
      },
      (error: Error) => error.message,
    )
  }

  test.each(['gateway', 'admin'] as const)(
    'on a port in use for %s names the setting, the address and the way out',
    async (name) => {
      const server = createServer()
      await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
      // A server that listens on TCP has an AddressInfo.
      const { port } = server.address() as AddressInfo
      const other = name === 'gateway' ? 'admin' : 'gateway'
      const said = await started({ listen: `{ ${name}: "127.0.0.1:${port}", ${other}: "127.0.0.1:0" }` })
      await new Promise((resolve) => server.close(resolve))
      expect(said).toBe(
        `listen.${name}: cannot listen on 127.0.0.1:${port}: another process uses the port; stop it or choose another one`,
      )
      const audit = await readFile(join(site?.directory ?? '', 'audit.ndjson'), 'utf8')
      expect([...audit.matchAll(/"event":"([a-z-]+)"/g)].map(([, event]) => event)).toEqual(['started', 'stopped'])
    },
  )

  test('on an address that is not of this machine says so', async () => {
    const said = await started({ listen: '{ gateway: "192.0.2.1:0", admin: "127.0.0.1:0" }' })
    expect(said).toMatch(
      /^listen\.gateway: cannot listen on 192\.0\.2\.1:0: no network interface of this machine has the address; /,
    )
  })

  test('on a name of no machine says so', async () => {
    const said = await started({ listen: '{ gateway: "no-such-host.invalid:0", admin: "127.0.0.1:0" }' })
    expect(said).toMatch(
      /^listen\.gateway: cannot listen on no-such-host\.invalid:0: (no machine has this name|the name cannot be looked up now); write an address /,
    )
  })

  test('without its issuer runs, is not ready, and says which and why', async () => {
    expect(await started({ issuer: { issuer: 'https://sso.test', jwksUri: 'http://127.0.0.1:9/jwks' } })).toBe(
      'no signing keys of issuer https://sso.test yet: GET http://127.0.0.1:9/jwks: connection failed (ECONNREFUSED)',
    )
  })
})
