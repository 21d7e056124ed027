// What commands say, beside their answer, about input that was not used, or that a gateway would refuse.

import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { callCommand, type Ended } from '../support/command.ts'
import { createSite, type Site } from '../support/site.ts'
import { usualKeys, usualPolicies } from '../support/start-gateway.ts'

let site: Site
beforeAll(async () => {
  site = await createSite({
    config: 'shadow_policies: next',
    policies: {
      // Fails: nobody is granted playbooks.
      'wrong.test.yaml':
        '- as: { groups: [sso-payments-eng] }\n  cases:\n    - { do: GET /v3/organizations/org-payments/playbooks, expect: allow }\n',
    },
  })
  await mkdir(join(site.directory, 'sound/teams'), { recursive: true })
  for (const name of ['teams/payments.yaml', 'keys.yaml'])
    await writeFile(join(site.directory, 'sound', name), usualPolicies[name] ?? '')
  const decision = {
    time: '2026-11-01T10:00:00.000Z',
    decision_id: '0192f5f0-0000-7000-8000-000000000001',
    effect: 'allow',
    reason: 'granted',
    team: 'payments',
    grant: 'run-sessions',
    operation: 'org.sessions.list',
    organizations: ['org-payments'],
  }
  await writeFile(join(site.directory, 'decisions.ndjson'), `${JSON.stringify(decision)}\n{"half": \n`)
  await writeFile(join(site.directory, 'access.ndjson'), '{"time":"2026-11-01T10:00:00.000Z","outcome":"served"}\n')
})
afterAll(() => site.remove())

const called = (...args: string[]): Promise<Ended> => callCommand([...args, '--config', site.configFile], usualKeys)
const policies = (name = 'policies'): string => join(site.directory, name)
const refused = /^note: a gateway would refuse [^\n]*wrong\.test\.yaml:3:7: test failed: GET \S+playbooks: [^\n]*$/m

test('a set whose tests fail is looked at by the commands that help to repair it, and they say that it would be refused', async () => {
  const diff = await called('diff', policies(), policies('sound'))
  expect([diff.code, diff.err]).toEqual([0, expect.stringMatching(refused)])
  expect((await called('diff', policies('sound'), policies('sound'))).err).toBe('')
  const log = ['--log', join(site.directory, 'decisions.ndjson')]
  expect((await called('simulate', ...log, '--policies', policies())).err).toMatch(refused)
  expect((await called('matrix')).err).toMatch(refused)
  const explained = await called('explain', '--team', 'payments', 'org.sessions.list')
  expect([explained.code, explained.out]).toEqual([
    0,
    expect.stringContaining('note      a gateway would refuse these'),
  ])
  const sound = ['--policies', policies('sound')]
  expect((await called('explain', '--team', 'payments', 'org.sessions.list', ...sound)).out).not.toContain('refuse')
  expect((await called('matrix', ...sound)).err).toBe('')
})

// In YAML escapes, as they come back in messages.
const hidden = [
  '\\u202egnp',
  '\\u0007bell',
  '\\u001b[2Jclear',
  '\\u061cmark',
  '\\ud800half',
  '\\u2069line',
  '\\u0085next',
]

const obeyed = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffd]/u

test.each(hidden)('a name with %s is told with it as an escape, in text and as data', async (written) => {
  const name: unknown = JSON.parse(`"a${written}"`)
  const folder = join(site.directory, 'hidden')
  await mkdir(join(folder, 'teams'), { recursive: true })
  await writeFile(join(folder, 'keys.yaml'), usualPolicies['keys.yaml'] ?? '')
  await writeFile(
    join(folder, 'teams/payments.yaml'),
    `${usualPolicies['teams/payments.yaml'] ?? ''}"a${written}": x\nlimits: { apps: { "a${written}": { "a${written}": 5/min } } }\n`,
  )
  const text = await called('check', '--policies', folder)
  const data = await called('check', '--policies', folder, '--json')
  expect([text.code, data.code]).toEqual([1, 1])
  // Nothing that a terminal would obey or hide.
  for (const shown of [text.err, data.out]) expect(shown).not.toMatch(obeyed)
  expect(text.err).toContain(`unknown key "a${written}"`)
  const { diagnostics } = JSON.parse(data.out) as { diagnostics: readonly { message: string }[] }
  expect(diagnostics.map(({ message }) => message)).toContainEqual(expect.stringMatching(/^unknown key "a/) as string)
  // As data it is the name itself, or the escape of it that the message shows.
  expect(diagnostics.some(({ message }) => message.includes(String(name)) || message.includes(`a${written}`))).toBe(
    true,
  )
  for (const args of [
    ['token', '--team', String(name)],
    ['explain', '--team', String(name), 'GET', '/v3/self', '--json'],
    ['explain', '--team', 'payments', '--app', String(name), 'GET', '/v3/self', '--policies', policies('sound')],
    [
      'explain',
      '--team',
      'payments',
      '--app',
      String(name),
      'GET',
      '/v3/self',
      '--policies',
      policies('sound'),
      '--json',
    ],
    ['catalogue', String(name)],
    ['diff', String(name), policies('sound')],
    ['diff', String(name), policies('sound'), '--json'],
    ['audit', 'verify', String(name), '--json'],
    [String(name)],
  ]) {
    const { out, err } = args.length === 1 ? await callCommand(args) : await called(...args)
    expect(`${out}${err}`, args.join(' ')).not.toMatch(obeyed)
    expect(`${out}${err}`, args.join(' ')).toContain(written)
  }
})

test('a log without a decision among others, and gaps, are told', async () => {
  const logs = ['access', 'decisions'].flatMap((name) => ['--log', join(site.directory, `${name}.ndjson`)])
  for (const args of [
    ['matrix', ...logs, '--policies', policies('sound')],
    ['simulate', ...logs, '--policies', policies('sound')],
  ]) {
    const { code, err } = await called(...args)
    expect([code, err], args[0]).toEqual([
      0,
      expect.stringMatching(
        /^note: no line of \S+access\.ndjson is a decision: name the files of records\.decisions$/m,
      ),
    ])
    expect(err).not.toMatch(/no line of \S+decisions\.ndjson/)
  }
  expect((await called('matrix', ...logs, '--policies', policies('sound'))).err).toContain(
    'note: the log has 1 gap, so what was last used in it is not known\n',
  )
})

test('`test` says that the shadow set was not tested where it cannot be read', async () => {
  await rm(policies('policies/wrong.test.yaml'))
  const missing = await called('test')
  expect([missing.code, missing.err]).toEqual([
    0,
    expect.stringMatching(
      /^note: the shadow set was not tested: the policy directory cannot be read: there is no such folder/,
    ),
  ])
  expect((await called('test', '--policies', policies('sound'))).err).toBe('')
  const config = await readFile(site.configFile, 'utf8')
  await writeFile(site.configFile, config.replace('shadow_policies: next', 'shadow_policies: sound'))
  expect((await called('test')).err).toBe('')
})

test('`token` for an app or group that no team names is printed, and that is said beside it', async () => {
  const env = { GATEWAY_SANDBOX_STATE: site.directory }
  const { code, out, err } = await callCommand(
    ['token', '--team', 'payments', '--app', 'payments-bto', '--group', 'x'],
    env,
  )
  expect([code, out]).toEqual([0, expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)])
  expect(err).toBe(
    'note: no team names the group "x"\nnote: no team names the app "payments-bto"; did you mean "payments-bot"?\n',
  )
  expect((await callCommand(['token', '--team', 'payments', '--app', 'payments-bot'], env)).err).toBe('')
})
