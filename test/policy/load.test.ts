// A policy directory on disk → one set with its secrets, or a refusal with every diagnostic.

import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { formatDiagnostic, Refused } from '../../src/config/diagnostics.ts'
import { listPolicyFiles, loadPolicies, type LoadedPolicies, type LoadOptions } from '../../src/policy/load.ts'
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
    expect(loaded.secrets.get('runner')?.reveal(origin)).toBe('cog_runner')
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
    expect((await load(directory)).secrets.get('runner')?.reveal(origin)).toBe('cog_file')
  })
})

describe('the files of a directory', () => {
  test('are the YAML files below it, sorted, links followed and dotted names left out', async () => {
    const directory = await directoryOf({
      'teams/b.yaml': '',
      'teams/a.yml': '',
      'keys.yaml': '',
      'README.md': '',
      'teams/notes.txt': '',
      '.hidden/x.yaml': '',
      '.x.yaml': '',
      'data/real.yaml': '',
    })
    await symlink(join(directory, 'data'), join(directory, 'linked'))
    await symlink(join(directory, 'data', 'real.yaml'), join(directory, 'link.yaml'))
    const files = await listPolicyFiles(directory)
    expect(files?.map((file) => file.slice(directory.length + 1))).toEqual([
      'data/real.yaml',
      'keys.yaml',
      'link.yaml',
      'linked/real.yaml',
      'teams/a.yml',
      'teams/b.yaml',
    ])
    expect(await listPolicyFiles(join(directory, 'missing'))).toBeNull()
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
    expect(await refusal(missing)).toEqual([`${missing}: the policy directory cannot be read`])
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
      'keys.yaml:3:1: key "one": the environment variable MISSING is not set or empty',
      'keys.yaml:4:1: key "two": the environment variable WRONG does not hold a service-user key (it must be cog_ followed by letters, digits and . _ ~ + / = -)',
      'keys.yaml:5:1: key "three": the file /nowhere/three cannot be read: ENOENT',
    ]
    expect(await refusal(directory, { sources })).toEqual(lines)

    const reported = await load(directory, { sources, secrets: 'reported' })
    expect(reported.diagnostics.map((each) => formatDiagnostic(each).replace(`${directory}/`, ''))).toEqual(
      lines.map((line) => line.replace(':1: ', ':1: warning: ')),
    )
    expect([...reported.secrets.keys()]).toEqual(['runner'])
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

  test('of tests is told together with the warnings, and of words before tests are run', async () => {
    const directory = await directoryOf({
      ...good,
      'teams/payments.yaml': payments.replace('ViewOrgSessions', 'ViewOrgSesions'),
    })
    expect(await refusal(directory)).toEqual([
      'teams/payments.yaml:5:24: unknown permission "ViewOrgSesions"; did you mean "ViewOrgSessions"?',
    ])
  })

  test('tells all mistakes of all files at once, those of the form and those of the words', async () => {
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
})
