// A policy directory on disk → one set with its secrets, or a refusal with every diagnostic.

import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { formatDiagnostic, Refused } from '../../src/config/diagnostics.ts'
import { listPolicyFolder } from '../../src/policy/loading/folder.ts'
import { readIgnoreFile } from '../../src/policy/loading/ignore-file.ts'
import { loadPolicies, type LoadedPolicies, type LoadOptions } from '../../src/policy/loading/load.ts'
import { catalogue, type PolicyFiles } from '../support/policies.ts'

const origin = 'https://api.corp.example'
const payments = `team: payments
members: [{ groups: [payments] }]
organizations: [org-payments]
grants:
  - { id: run, allow: [ViewOrgSessions] }
`
const keys = `keys:
  - { id: runner, scope: organization, organization: org-payments, permissions: [ViewOrgSessions], secret: { env: RUNNER_KEY } }
`
const tests = `- as: { groups: [payments] }
  cases:
    - { do: GET /v3/organizations/org-payments/sessions, expect: allow, key: runner }
    - { do: GET /v3/organizations/org-other/sessions, expect: deny }
`
const good: PolicyFiles = { 'teams/payments.yaml': payments, 'keys.yaml': keys, 'payments.test.yaml': tests }

async function directoryOf(files: PolicyFiles): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'policies-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true })
    await writeFile(join(directory, name), text)
  }
  return directory
}

async function load(directory: string, changes: Partial<LoadOptions> = {}): Promise<LoadedPolicies> {
  return await loadPolicies({
    directory,
    catalogue,
    sources: { env: { RUNNER_KEY: 'cog_runner' }, origin },
    secrets: 'required',
    connections: null,
    now: Date.now,
    ...changes,
  })
}

/** The lines of the refusal, with the directory left out. */
async function refusal(directory: string, changes: Partial<LoadOptions> = {}): Promise<string[]> {
  try {
    await load(directory, changes)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    return error.diagnostics.map((diagnostic) => formatDiagnostic(diagnostic).replaceAll(`${directory}/`, ''))
  }
  throw new Error('the policies were accepted')
}

describe('a policy directory', () => {
  test('becomes one set with the secrets of its keys, its tests run', async () => {
    const loaded = await load(await directoryOf(good))
    expect(loaded.policy.teams.map((team) => team.id)).toEqual(['payments'])
    expect(loaded.policy.keys.map((key) => key.id)).toEqual(['runner'])
    expect(loaded.secrets.values.get('runner')?.secret.reveal(origin)).toBe('cog_runner')
    expect(loaded.testsPassed).toBe(2)
    expect(loaded.diagnostics).toEqual([])
    expect(inspect(loaded, { depth: null, showHidden: true })).not.toContain('cog_runner')
  })

  test('keeps warnings and is accepted with them', async () => {
    const directory = await directoryOf({
      ...good,
      'teams/payments.yaml': payments.replace('[ViewOrgSessions]', '[ViewOrgSessions, org.secrets.list]'),
    })
    const { diagnostics } = await load(directory)
    expect(diagnostics.map((diagnostic) => formatDiagnostic(diagnostic).replace(`${directory}/`, ''))).toEqual([
      'teams/payments.yaml:5:11: warning: grant "run": no key can serve org.secrets.list: an organization key for org-payments with ManageOrgSecrets is missing in keys.yaml',
    ])
  })

  test('finds a secret file beside the inventory that names it', async () => {
    const directory = await directoryOf({
      ...good,
      'keys.yaml': keys.replace('env: RUNNER_KEY', 'file: sub/runner'),
      'sub/runner': 'cog_file\n',
    })
    expect((await load(directory)).secrets.values.get('runner')?.secret.reveal(origin)).toBe('cog_file')
  })
})

describe('the files of a directory', () => {
  test('are the YAML files below it, sorted, links followed', async () => {
    const directory = await directoryOf({
      'teams/b.yaml': '',
      'teams/a.yml': '',
      'keys.yaml': '',
      'data/real.yaml': '',
      '.git/HEAD': '',
      '.gatewayignore': '',
    })
    await symlink(join(directory, 'data'), join(directory, 'linked'))
    await symlink(join(directory, 'data', 'real.yaml'), join(directory, 'link.yaml'))
    const folder = await listPolicyFolder(directory)
    expect(folder?.files.map((file) => file.slice(directory.length + 1))).toEqual([
      'data/real.yaml',
      'keys.yaml',
      'link.yaml',
      'linked/real.yaml',
      'teams/a.yml',
      'teams/b.yaml',
    ])
    expect(folder).toMatchObject({ others: [], diagnostics: [] })
    expect(await listPolicyFolder(join(directory, 'missing'))).toBeNull()
  })

  test.each([
    ['guardrails.ymal', 'guardrails.yaml'],
    ['guardrails.yaml.bak', 'guardrails.yaml'],
    ['web.yaml.disabled', 'web.yaml'],
    ['web.yaml~', 'web.yaml'],
    ['teams/web.yml.orig', 'web.yaml'],
    ['teams/web.YAML', 'web.yaml'],
    ['.guardrails.yaml', 'guardrails.yaml'],
    ['.web.yaml.swp', 'web.yaml'],
    ['..limits.yaml', 'limits.yaml'],
    ['limits', 'limits.yaml'],
    ['guardrials.json', 'guardrails.yaml'],
    ['deep/er/keys.yalm', 'keys.yaml'],
    ['README.md', null],
    ['.hidden/guardrails.yaml', null],
    ['notes.txt', null],
    ['teams/.gatewayignore', null],
  ])('that are no policies refuse the set: %s (nearest: %s)', async (name, nearest) => {
    const directory = await directoryOf({ ...good, [name]: '' })
    const [line, ...others] = await refusal(directory)
    expect(others).toEqual([])
    expect(line?.startsWith(name.startsWith('.hidden/') ? '.hidden: ' : `${name}: `)).toBe(true)
    expect(line).toContain('name it in .gatewayignore')
    if (nearest === null) expect(line).not.toContain('did you mean')
    else expect(line).toContain(`did you mean "${nearest}"?`)
    await writeFile(join(directory, '.gatewayignore'), `${name.replace(/\/guardrails.yaml$/, '/')}\n`)
    if (name === 'teams/.gatewayignore') return
    expect((await load(directory)).policy.teams).toHaveLength(1)
  })

  test('that cannot be read, lead back or are no files refuse the set', async () => {
    const directory = await directoryOf(good)
    await symlink('nowhere.yaml', join(directory, 'gone.yaml'))
    await symlink('.', join(directory, 'loop'))
    await symlink('/dev/zero', join(directory, 'zero.yaml'))
    await writeFile(join(directory, 'latin.yaml'), Buffer.from('team: caf\xe9\n', 'latin1'))
    await writeFile(join(directory, 'huge.yaml'), '# '.repeat(3_000_000))
    expect(await refusal(directory)).toEqual([
      'gone.yaml: the link leads to nothing that can be read: remove it, or create what it names',
      'huge.yaml: the file is larger than 4194304 bytes',
      'latin.yaml: the file is not UTF-8 text',
      'loop: the link leads back to a folder above it',
      'zero.yaml: this is no regular file; remove it',
    ])
  })

  test.skipIf(process.getuid?.() === 0)('in a folder that cannot be read refuse the set', async () => {
    const directory = await directoryOf({ ...good, 'more/guardrails.yaml': 'guardrails: []\n' })
    await chmod(join(directory, 'more'), 0o000)
    expect(await refusal(directory)).toEqual(['more: the folder cannot be read'])
    await chmod(join(directory, 'more'), 0o700)
  })

  test('are known of a mounted config map by the links beside its data', async () => {
    const directory = await directoryOf({ '..2026_11_24_10_00_00.1/payments.yaml': payments })
    await symlink('..2026_11_24_10_00_00.1', join(directory, '..data'))
    await symlink('..data/payments.yaml', join(directory, 'payments.yaml'))
    expect((await load(directory)).policy.teams.map((team) => team.id)).toEqual(['payments'])
  })
})

describe('.gatewayignore', () => {
  const ignores = (text: string) => readIgnoreFile('x', text).ignores

  test.each([
    ['README.md', ['README.md', 'teams/README.md'], ['readme.md', 'README.md.yaml', 'XREADME.md']],
    ['*.md', ['a.md', '.md', 'teams/.a.md'], ['a.md.yaml', 'a.mdx']],
    ['/drafts', ['drafts'], ['teams/drafts']],
    [
      'teams/old-?.yaml',
      ['teams/old-1.yaml'],
      ['old-1.yaml', 'x/teams/old-1.yaml', 'teams/old-12.yaml', 'teams/old-/.yaml'],
    ],
    ['docs/**', ['docs/a', 'docs/b/c'], ['docs', 'other/docs/a']],
    ['a/**/z', ['a/z', 'a/b/c/z'], ['a/zz', 'z']],
    ['a+b(c).txt', ['a+b(c).txt'], ['aab(c).txt', 'a+bc.txt']],
    ['# README.md', [], ['README.md', '# README.md']],
    ['  spaced.txt \r', ['spaced.txt'], []],
  ])('%s', (pattern, named, others) => {
    for (const path of named) expect([path, ignores(pattern)(path, false)]).toEqual([path, true])
    for (const path of others) expect([path, ignores(pattern)(path, false)]).toEqual([path, false])
  })

  test('names a folder with everything in it, and with a final / nothing but folders', async () => {
    const directory = await directoryOf({ ...good, 'drafts/new.yaml': 'draft', '.cache/x': '', notes: '' })
    await writeFile(join(directory, '.gatewayignore'), 'drafts/\n.*/\nnotes/\n')
    expect(await refusal(directory)).toEqual([expect.stringMatching(/^notes: this is not read/)])
    await rm(join(directory, 'notes'))
    expect((await load(directory)).policy.teams).toHaveLength(1)
  })

  test('refuses what it does not understand or what would leave everything out, with its place', async () => {
    const directory = await directoryOf({ ...good, '.gatewayignore': '*.md\n!keys.yaml\n  [a-z].txt\n**\n../x\n' })
    const lines = await refusal(directory)
    expect(lines.map((line) => line.split(': ')[0])).toEqual([
      '.gatewayignore:2:1',
      '.gatewayignore:3:3',
      '.gatewayignore:4:1',
      '.gatewayignore:5:1',
    ])
    expect(lines[2]).toContain('would leave out every policy')
  })

  test('is no part of the revision', async () => {
    const [one, two] = [await directoryOf(good), await directoryOf({ ...good, '.gatewayignore': '*.md', 'a.md': '' })]
    expect((await load(one)).policy.revision).toBe((await load(two)).policy.revision)
  })
})

describe('the revision', () => {
  test('is equal for equal files, wherever they lie', async () => {
    const [one, two] = [await load(await directoryOf(good)), await load(await directoryOf(good))]
    expect(one.policy.revision).toBe(two.policy.revision)
    expect(one.policy.revision).toMatch(/^[0-9a-f]{12}$/)
  })

  test('is another one for any change of a name or a content', async () => {
    const revisions = new Set<string>()
    const variants: PolicyFiles[] = [
      good,
      { ...good, 'teams/payments.yaml': `${payments}# a comment\n` },
      { ...good, 'keys.yaml': `${keys}\n` },
      { 'teams/pay.yaml': payments, 'keys.yaml': keys, 'payments.test.yaml': tests },
      { ...good, 'payments.test.yaml': tests.replace('org-other', 'org-else') },
    ]
    for (const files of variants) revisions.add((await load(await directoryOf(files))).policy.revision)
    expect(revisions.size).toBe(variants.length)
  })

  test('does not depend on the secrets', async () => {
    const directory = await directoryOf(good)
    const other = await load(directory, { sources: { env: { RUNNER_KEY: 'cog_other' }, origin } })
    expect(other.policy.revision).toBe((await load(directory)).policy.revision)
  })
})

describe('a refusal', () => {
  test('of a directory that is missing or empty says what to do', async () => {
    const directory = await directoryOf({})
    const missing = join(directory, 'missing')
    expect(await refusal(missing)).toEqual([`${missing}: the policy directory cannot be read: there is no such folder`])
    expect((await refusal(directory))[0]).toBe(
      `${directory}: there is no team file here, so nobody could call anything: add teams/<name>.yaml`,
    )
  })

  test.skipIf(process.getuid?.() === 0)('of a file that cannot be read names it', async () => {
    const directory = await directoryOf(good)
    await chmod(join(directory, 'keys.yaml'), 0o000)
    expect(await refusal(directory)).toEqual(['keys.yaml: the file cannot be read'])
  })

  test('lists every secret that cannot be resolved, at its key, without any value', async () => {
    const inventory = `keys:
  - { id: runner, scope: organization, organization: org-payments, permissions: [ViewOrgSessions], secret: { env: RUNNER_KEY } }
  - { id: one, scope: enterprise, permissions: [ManageBilling], secret: { env: MISSING } }
  - { id: two, scope: enterprise, permissions: [ManageBilling], secret: { env: WRONG } }
  - id: three
    scope: enterprise
    permissions: [ManageBilling]
    secret: { file: /nowhere/three }
`
    const directory = await directoryOf({ ...good, 'keys.yaml': inventory })
    const sources = { env: { RUNNER_KEY: 'cog_runner', WRONG: 'needle' }, origin }
    const lines = [
      'keys.yaml:3:73: key "one": the environment variable MISSING is not set: it should hold the key',
      'keys.yaml:4:73: key "two": the environment variable WRONG does not hold a service-user key: it must be cog_ followed by letters, digits and . _ ~ + / = -',
      'keys.yaml:8:13: key "three": the file /nowhere/three cannot be read: there is no such file',
    ]
    expect(await refusal(directory, { sources })).toEqual(lines)

    const reported = await load(directory, { sources, secrets: 'reported' })
    expect(reported.diagnostics.map((each) => formatDiagnostic(each).replace(`${directory}/`, ''))).toEqual(
      lines.map((line) => line.replace(/^(\S+) /, '$1 warning: ')),
    )
    expect([...reported.secrets.values.keys()]).toEqual(['runner'])
  })

  test('of policies whose tests fail names the case', async () => {
    const directory = await directoryOf({
      ...good,
      'payments.test.yaml': tests.replace('expect: deny', 'expect: allow'),
    })
    const [line, ...others] = await refusal(directory)
    expect(others).toEqual([])
    expect(line).toMatch(
      /^payments\.test\.yaml:4:7: test failed: GET \/v3\/organizations\/org-other\/sessions: expected allow, got deny \(organization-not-granted: /,
    )
  })

  test('of tests comes together with the warnings, and of words before tests are run', async () => {
    const directory = await directoryOf({
      ...good,
      'teams/payments.yaml': payments.replace('ViewOrgSessions', 'ViewOrgSesions'),
    })
    expect(await refusal(directory)).toEqual([
      'teams/payments.yaml:5:24: unknown permission "ViewOrgSesions"; did you mean "ViewOrgSessions"?',
    ])
  })

  test('reports all mistakes of all files at once, of form and of words', async () => {
    const directory = await directoryOf({
      ...good,
      'teams/payments.yaml': payments.replace('ViewOrgSessions', 'ViewOrgSesions'),
      'teams/tools.yaml': payments.replace('team: payments', 'team: tools').replace('organizations', 'organisations'),
    })
    expect(await refusal(directory)).toEqual([
      'teams/payments.yaml:5:24: unknown permission "ViewOrgSesions"; did you mean "ViewOrgSessions"?',
      'teams/tools.yaml:3:1: unknown key "organisations"; did you mean "organizations"?',
    ])
  })

  test('names unknown words of guardrails and invariants in a file that has other mistakes', async () => {
    const directory = await directoryOf({
      ...good,
      'guardrails.yaml': `guardrails:
  - { id: a, on: [org.sesions.create], boddy: {} }
  - { id: b, on: org.sesions.list, body: { title: { forbid: true } } }
`,
      'invariants.yaml': `invariants:
  - { id: a, never: { do: [org.secret.*], teams: [payments] }, bogus: 1 }
  - { id: b, always: { do: [ViewOrgSesions], key: { permissions: [ManageBiling] } } }
`,
    })
    const found = (await refusal(directory)).map((line) => line.replace(/;.*| covers.*|: the keys.*/, ''))
    expect(found).toEqual([
      'guardrails.yaml:2:19: unknown operation "org.sesions.create"',
      'guardrails.yaml:2:40: unknown key "boddy"',
      'guardrails.yaml:3:18: unknown operation "org.sesions.list"',
      'invariants.yaml:2:28: the pattern "org.secret.*"',
      'invariants.yaml:2:64: unknown key "bogus"',
      'invariants.yaml:3:29: unknown permission "ViewOrgSesions"',
      'invariants.yaml:3:67: unknown permission "ManageBiling"',
    ])
  })
})
