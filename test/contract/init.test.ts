// `init`: a starting set that passes its check at once, by options, by answers on a terminal, and beside files that exist.

import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../src/cli/command.ts'
import { callCommand } from '../support/command.ts'
import { until } from '../support/start-gateway.ts'

let root: string
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gateway-init-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

function emptyFolder(): string {
  count += 1
  return join(root, String(count))
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && !entry.parentPath.endsWith('schemas'))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
}

const check = (folder: string, ...more: string[]) =>
  callCommand(['check', '--config', join(folder, 'config', 'gateway.yaml'), ...more])

describe('with options', () => {
  test('writes configuration, team, keys, tests, ignore files and CI, and all that is said of them is true', async () => {
    const folder = emptyFolder()
    const options = {
      origin: 'https://api.acme.devinenterprise.com/v',
      issuer: 'https://login.acme.example/oauth2',
      audience: 'api://gateway',
      team: 'risk',
      group: 'Risk & Fraud: "core"',
      organization: 'org_7f3A',
      ci: 'gitlab',
    }
    const given = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
    const { code, out, err } = await callCommand(['init', folder, ...given])
    expect([code, err]).toEqual([0, ''])
    expect(await filesIn(folder)).toEqual([
      '.gitignore',
      '.gitlab-ci.yml',
      'config/gateway.yaml',
      'policies/.gatewayignore',
      'policies/guardrails.recommended.yaml',
      'policies/invariants.recommended.yaml',
      'policies/keys.yaml',
      'policies/risk.test.yaml',
      'policies/teams/risk.yaml',
    ])
    expect(out).toContain('written   policies/teams/risk.yaml')
    expect(out).toContain('The set passes its check: 6 policy tests.')
    // What was said needs no second look, and what nobody else can do is said.
    expect(out).not.toMatch(/acme|is api:\/\/gateway/)
    expect(out).toMatch(/At Devin: make a service user in org_7f3A .* environment variable RISK_RUNNER_KEY/)
    const checked = await check(folder)
    expect([checked.code, checked.out]).toMatchObject([0, expect.stringMatching(/^fine: .*6 policy tests passed/)])
    expect(checked.out).toContain('what a start still needs here: the values of these keys: risk-runner')
    const caller = ['--group', 'Risk & Fraud: "core"', '--config', join(folder, 'config', 'gateway.yaml')]
    const explained = await callCommand(['explain', ...caller, 'GET', '/v3/organizations/org_7f3A/sessions'])
    expect([explained.code, explained.out]).toMatchObject([0, expect.stringContaining('risk-runner')])
  })

  test.each([
    ['nothing', []],
    ['a team that is a number', ['--team', '2024.x']],
    ['names that YAML reads as something else', ['--team', 'no', '--group', 'true', '--organization', 'null']],
    ['a group of signs', ['--group', "a'b\\c #d {e}: [f], *g &h !i |j >k @l `m %n"]],
    ['a group of another script', ['--group', 'équipe-paiements 決済']],
    ['an organization that looks like a number', ['--organization', '007']],
    ['an address with port and path', ['--origin', 'https://proxy.acme.example:8443/devin']],
  ])('%s: a set that passes its check, with nothing but missing key values said', async (_name, options) => {
    const folder = emptyFolder()
    const { code, err } = await callCommand(['init', folder, '--yes', '--ci', 'none', ...options])
    expect([code, err]).toEqual([0, ''])
    const { ok, diagnostics, keys_without_value } = JSON.parse((await check(folder, '--json')).out) as {
      ok: boolean
      diagnostics: { message: string }[]
      keys_without_value: string[]
    }
    expect([ok, keys_without_value.length]).toEqual([true, 1])
    for (const { message } of diagnostics) expect(message).toMatch(/^key ".*-runner": /)
  })

  test.runIf(process.platform === 'linux')(
    'a folder where no folder can be made is told, and the command ends',
    async () => {
      const { code, err } = await callCommand(['init', '/proc/no-such-place', '--yes'])
      expect([code, err]).toEqual([
        1,
        'devin-gateway init: /proc/no-such-place/config/gateway.yaml cannot be written: there is no such folder\n',
      ])
    },
  )

  test('what is only assumed is named as what remains, in both forms', async () => {
    const [people, machine] = await Promise.all(
      [[], ['--json']].map((more) =>
        callCommand(['init', emptyFolder(), '--issuer', 'https://id.acme.example', ...more]),
      ),
    )
    const { remaining } = JSON.parse(machine?.out ?? '') as { remaining: string[] }
    expect(remaining.map((text) => text.split(':')[0])).toEqual([
      'config/gateway.yaml',
      'config/gateway.yaml',
      'policies/teams/developers.yaml',
      'policies/',
      'At Devin',
      'In CI',
    ])
    for (const text of remaining) expect(people?.out).toContain(text)
    expect(people?.out).not.toContain('id.acme.example')
  })

  test('without a terminal it says what it chose and by which options, but for --yes', async () => {
    const { code, out } = await callCommand(['init', emptyFolder(), '--team', 'risk'])
    expect(code).toBe(0)
    expect(out).toMatch(
      /^Nobody could be asked, because this is no terminal\. init chose:\n {2}--origin https:\/\/api\.devin\.ai\n/,
    )
    for (const choice of [
      '--issuer https://sso.corp.example',
      '--group sso-risk',
      '--organization org-risk',
      '--ci github',
    ])
      expect(out).toContain(`\n  ${choice}\n`)
    expect(out).not.toContain('--team risk')
    const quiet = await callCommand(['init', emptyFolder(), '--yes'])
    expect(quiet.out).not.toContain('Nobody could be asked')
    const machine = await callCommand(['init', emptyFolder(), '--team', 'risk', '--json'])
    expect(JSON.parse(machine.out)).toMatchObject({
      assumed: { issuer: 'https://sso.corp.example', group: 'sso-risk' },
    })
  })

  test.each([
    [['--origin', 'http://api.devin.ai'], /^devin-gateway init: --origin: /],
    [['--issuer', 'sso.corp.example'], /^devin-gateway init: --issuer: /],
    [['--team', 'Payments Team'], /^devin-gateway init: --team: must be lower-case letters/],
    [['--organization', 'org/1'], /^devin-gateway init: --organization: an organization id must not/],
    [['--organization', 'org#1'], /^devin-gateway init: --organization: an organization id holds letters/],
    [['--group', ' x'], /^devin-gateway init: --group: must be one line of text/],
    [['--ci', 'jenkins'], /^devin-gateway init: --ci: must be github, gitlab or none/],
  ])('%j is 2, and nothing is written', async (options, message) => {
    const folder = emptyFolder()
    const { code, out, err } = await callCommand(['init', folder, ...options])
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(message)
    await expect(readdir(folder)).rejects.toThrow('ENOENT')
  })
})

test.each([
  ['github', '.github/workflows/devin-gateway.yml', 'github-actions.yml'],
  ['gitlab', '.gitlab-ci.yml', 'gitlab-ci.yml'],
])('the CI file for %s is the one of deploy/ci, and what it needs is said', async (ci, name, source) => {
  const folder = emptyFolder()
  const { out } = await callCommand(['init', folder, '--yes', '--ci', ci])
  const shipped = await readFile(new URL(`../../deploy/ci/${source}`, import.meta.url), 'utf8')
  expect(await readFile(join(folder, name), 'utf8')).toBe(shipped)
  const wanted = [...new Set(shipped.match(/\b(?:DEVIN_GATEWAY_PACKAGE|RIGHTS_TOKEN)\b/g))]
  expect(wanted).toContain('DEVIN_GATEWAY_PACKAGE')
  for (const variable of wanted) expect(out).toContain(variable)
})

describe('beside files that exist', () => {
  test('a set that differs stays as it is until --force, and is named', async () => {
    const folder = emptyFolder()
    await callCommand(['init', folder, '--yes'])
    const keys = join(folder, 'policies', 'keys.yaml')
    await writeFile(keys, 'keys: []\n')
    await writeFile(join(folder, '.gitignore'), 'mine\n')
    const refused = await callCommand(['init', folder, '--yes', '--audience', 'another'])
    expect([refused.code, refused.out]).toEqual([1, ''])
    expect(refused.err).toMatch(
      /exist in .* and differ from what would be written:\n {2}config\/gateway\.yaml\n {2}policies\/keys\.yaml\nNothing was written\. /,
    )
    expect(await readFile(keys, 'utf8')).toBe('keys: []\n')
    const forced = await callCommand(['init', folder, '--yes', '--force'])
    expect(forced.code).toBe(0)
    expect(forced.out).toContain('replaced  policies/keys.yaml')
    expect(forced.out).toContain('replaced  .gitignore')
    expect((await check(folder)).code).toBe(0)
  })

  test('ignore files and CI of others are kept, and a second run changes nothing', async () => {
    const folder = emptyFolder()
    await mkdir(folder)
    await writeFile(join(folder, '.gitignore'), 'mine\n')
    const first = await callCommand(['init', folder, '--yes', '--json'])
    expect(JSON.parse(first.out)).toMatchObject({ ok: true, kept: ['.gitignore'], replaced: [] })
    const second = await callCommand(['init', folder, '--yes', '--json'])
    expect(JSON.parse(second.out)).toMatchObject({ written: [], replaced: [], kept: ['.gitignore'] })
    expect(await readFile(join(folder, '.gitignore'), 'utf8')).toBe('mine\n')
  })

  test('the schemas of another version are replaced alone', async () => {
    const folder = emptyFolder()
    await callCommand(['init', folder, '--yes'])
    const schema = join(folder, 'config', 'schemas', 'team.schema.json')
    const current = await readFile(schema, 'utf8')
    await writeFile(schema, '{}')
    await writeFile(join(folder, 'policies', 'keys.yaml'), 'keys: []\n')
    const { code, out } = await callCommand(['init', folder, '--schemas', '--json'])
    expect([code, JSON.parse(out)]).toMatchObject([0, { written: [], replaced: ['config/schemas/team.schema.json'] }])
    expect(await readFile(schema, 'utf8')).toBe(current)
  })

  test('writes through no link that leads to nothing', async () => {
    const folder = emptyFolder()
    await mkdir(join(folder, 'config'), { recursive: true })
    await symlink(join(root, 'elsewhere'), join(folder, 'config', 'gateway.yaml'))
    const { code, err } = await callCommand(['init', folder, '--yes'])
    expect([code, err]).toEqual([1, expect.stringContaining('gateway.yaml cannot be written')])
    expect(await readdir(root)).not.toContain('elsewhere')
  })

  test('a folder that cannot be written is 1 and a sentence', async () => {
    const file = emptyFolder()
    await writeFile(file, '')
    const { code, err } = await callCommand(['init', file, '--yes'])
    expect(code).toBe(1)
    expect(err).toMatch(/^devin-gateway init: .*(cannot be read|cannot be written): a part of the path is a file/)
  })
})

describe('on a terminal', () => {
  interface Dialogue {
    readonly code: Promise<number>
    /** All that was said so far. */
    said(): string
    type(text: string): void
    close(): void
  }

  function start(...args: string[]): Dialogue {
    const terminal = (): PassThrough => Object.assign(new PassThrough(), { isTTY: true })
    const [input, out, err] = [terminal(), terminal(), terminal()]
    let said = ''
    for (const stream of [out, err])
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString()
      })
    return {
      code: run(['init', ...args], { env: { NO_COLOR: '1' }, input, out, err }),
      said: () => said,
      type: (text) => void input.write(text),
      close: () => void input.end(),
    }
  }

  test('it asks what no option says, again after an answer that cannot be used, and takes what is usual for none', async () => {
    const folder = emptyFolder()
    const dialogue = start(folder, '--audience', 'gateway', '--ci', 'none')
    const answers = [
      [/Address of the Devin API .*\[https:\/\/api\.devin\.ai\]: $/, ''],
      [/Issuer of your SSO tokens.*: $/, 'login.acme.example'],
      [/https.*\n.*Issuer of your SSO tokens.*: $/, 'https://login.acme.example'],
      [/Name of the first team \[developers\]: $/, 'risk'],
      [/SSO group of its members \[sso-risk\]: $/, ''],
      [/organization at Devin \[org-risk\]: $/, ' org-4711 '],
    ] as const
    for (const [question, answer] of answers) {
      await until(() => question.test(stripVTControlCharacters(dialogue.said()).replaceAll('\r', '')), String(question))
      dialogue.type(`${answer}\r`)
    }
    expect(await dialogue.code).toBe(0)
    expect(dialogue.said()).not.toContain('Audience')
    const team = await readFile(join(folder, 'policies', 'teams', 'risk.yaml'), 'utf8')
    expect(team).toContain('organizations: [org-4711]')
    expect(await readFile(join(folder, 'config', 'gateway.yaml'), 'utf8')).toContain(
      'issuer: https://login.acme.example #',
    )
  })

  test('answers that are pasted at once are taken one by one', async () => {
    const folder = emptyFolder()
    const dialogue = start(folder)
    dialogue.type('\r\rapi://gateway\rrisk\r\rorg-1\rnone\r')
    expect(await dialogue.code).toBe(0)
    const config = await readFile(join(folder, 'config', 'gateway.yaml'), 'utf8')
    expect(config).toContain('audience: "api://gateway" #')
    expect(await filesIn(folder)).not.toContain('.github/workflows/devin-gateway.yml')
  })

  test.each([
    ['Ctrl-D', '\u0004'],
    ['Ctrl-C', '\u0003'],
    ['a terminal that goes away', null],
  ])('%s before the last answer writes nothing', async (_name, key) => {
    const folder = emptyFolder()
    const dialogue = start(folder)
    await until(() => dialogue.said().includes('Devin API'), 'the first question')
    if (key === null) dialogue.close()
    else dialogue.type(key)
    expect(await dialogue.code).toBe(1)
    expect(dialogue.said()).toContain('stopped; nothing was written')
    await expect(readdir(folder)).rejects.toThrow('ENOENT')
  })

  test('--yes asks nothing', async () => {
    const dialogue = start(emptyFolder(), '--yes')
    expect(await dialogue.code).toBe(0)
    expect(dialogue.said()).not.toContain('Address of the Devin API')
  })
})

test('the lines for Kubernetes put every policy file into one config map, which the gateway accepts', async () => {
  const folder = emptyFolder()
  const { out } = await callCommand(['init', folder, '--yes', '--team', 'risk'])
  const lines = out.split('\n').flatMap((line) => /^ {2}(kubectl .*)$/.exec(line)?.[1] ?? [])
  const documented = await readFile(join(import.meta.dirname, '../../docs/deployment.md'), 'utf8')
  for (const line of lines) expect(documented).toContain(`$ ${line}\n`)
  const [config = '', policies = ''] = lines
  expect(config).toContain(' --from-file=config/gateway.yaml ')
  // What stands for kubectl puts files where a config map has them: side by side, under their names.
  const bin = emptyFolder()
  const flat = join(bin, 'policies')
  await mkdir(flat, { recursive: true })
  const script = `#!/bin/sh\nfor each; do case "$each" in --from-file=*) cp "\${each#--from-file=}" '${flat}/';; esac; done\n`
  await writeFile(join(bin, 'kubectl'), script, { mode: 0o755 })
  execFileSync('sh', ['-c', policies], {
    cwd: folder,
    env: { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}` },
  })
  expect((await readdir(flat)).toSorted()).toEqual(
    [
      '.gatewayignore',
      'guardrails.recommended.yaml',
      'invariants.recommended.yaml',
      'keys.yaml',
      'risk.test.yaml',
      'risk.yaml',
    ].toSorted(),
  )
  const checked = await check(folder, '--policies', flat)
  expect([checked.code, checked.out]).toMatchObject([
    0,
    expect.stringContaining('1 team, 1 key, 6 policy tests passed'),
  ])
})
