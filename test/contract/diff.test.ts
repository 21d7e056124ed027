// `diff` as a shell sees it: where sets come from, what is refused, and that the commands it prints show the difference.

import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { ComparisonData } from '../../src/policy/comparison/report.ts'
import { describeWithValkey, startStoreServer } from '../support/valkey.ts'
import { callCommand, runCommand, startGatewayProcess, type Ended, type StartedGateway } from '../support/command.ts'

const folder = mkdtempSync(join(tmpdir(), 'diff-'))
const repository = join(folder, 'repository')
// The policies lie in a folder of a larger repository, and the configuration beside them.
const place = join(repository, 'platform', 'access')
const policies = join(place, 'policies')
const config = join(place, 'gateway.yaml')
const payments = join(policies, 'teams', 'payments.yaml')
const gateways: StartedGateway[] = []

const keys = {
  PAYMENTS_RUNNER_KEY: 'cog_payments_runner_0123456789abcdef',
}

const git = (...args: readonly string[]): string =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', '-C', repository, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })

const diff = async (...args: readonly string[]): Promise<Ended> =>
  await callCommand(['diff', '--config', config, ...args], { PATH: process.env['PATH'] ?? '' })

async function dataOf(from: string, to: string): Promise<ComparisonData> {
  const { out } = await diff('--json', from, to)
  return JSON.parse(out) as ComparisonData
}

const teamFile = `team: payments
members: [{ groups: [eng] }, { app: [bot], issuer: ["https://sso.corp.example"], actor: [deployer] }]
organizations: [org-a, org-b]
grants:
  - { id: read, allow: [ViewOrgSessions] }
  - { id: create, allow: [ManageOrgSessions], when: { claims: { "kube\\\\.io.ns": [prod] } } }
limits: { requests: 60/min, acus: 500/month }
`
const keyFile = `keys:
  - { id: a, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSessions], secret: { env: PAYMENTS_RUNNER_KEY } }
`
const guardrailFile = `guardrails:
  - { id: small, on: [org.sessions.create], body: { max_acu_limit: { require: true, at_most: 25 }, title: { matches: "job-*" } } }
`

beforeAll(() => {
  mkdirSync(join(policies, 'teams'), { recursive: true })
  writeFileSync(payments, teamFile)
  writeFileSync(join(policies, 'keys.yaml'), keyFile)
  writeFileSync(join(policies, 'guardrails.yaml'), guardrailFile)
  writeFileSync(
    config,
    `listen: { gateway: "127.0.0.1:0", admin: "127.0.0.1:0" }
upstream: { origin: http://127.0.0.1:9 }
issuers: [{ issuer: https://sso.corp.example, audience: devin-gateway, jwks_uri: http://127.0.0.1:9/jwks }]
policies: policies
`,
  )
  git('init', '-q', '-b', 'main')
  git('add', '-A')
  git('commit', '-q', '-m', 'one')
  git('tag', 'v1')
  writeFileSync(
    payments,
    teamFile.replace(', when: { claims: { "kube\\\\.io.ns": [prod] } }', '').replace('60/min', '90/min'),
  )
  writeFileSync(join(policies, 'guardrails.yaml'), guardrailFile.replace('25', '50').replace('job-*', 'task-*'))
  git('switch', '-q', '-c', 'feature/next')
  git('commit', '-q', '-a', '-m', 'two')
})

afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.kill()))
  rmSync(folder, { recursive: true, force: true })
})

describe('a commit', () => {
  test('is read by tag, branch and id, without a checkout, from a folder of the repository', async () => {
    const id = git('rev-parse', 'v1').trim()
    const [byTag, byId, byBranch] = [
      await dataOf('git:v1', policies),
      await dataOf(`git:${id}`, 'git:feature/next'),
      await dataOf('git:main', 'git:HEAD'),
    ]
    expect(byTag.changes.length).toBeGreaterThan(2)
    expect(byTag.undecided).toBe(0)
    expect(byId).toEqual(byTag)
    expect(byBranch).toEqual(byTag)
    expect((await diff('git:v1', 'git:v1')).out).toContain('no difference in rights')
  })

  test('is read by a few processes, however many files it has', async () => {
    const [bin, calls] = [join(folder, 'bin'), join(folder, 'calls')]
    mkdirSync(bin)
    const real = execFileSync('which', ['git'], { encoding: 'utf8' }).trim()
    writeFileSync(join(bin, 'git'), `#!/bin/sh\necho "$*" >> '${calls}'\nexec '${real}' "$@"\n`, { mode: 0o755 })
    vi.stubEnv('PATH', `${bin}:${process.env['PATH'] ?? ''}`)
    try {
      expect((await dataOf('git:v1', policies)).undecided).toBe(0)
    } finally {
      vi.unstubAllEnvs()
    }
    const asked = readFileSync(calls, 'utf8').trim().split('\n')
    expect(asked.filter((call) => call.includes('cat-file'))).toHaveLength(1)
  })

  test('that does not exist is refused with the nearest name, and one without policies says so', async () => {
    const unknown = await diff('git:mian', policies)
    expect(unknown).toMatchObject({
      code: 1,
      err: expect.stringContaining('git:mian names no commit; did you mean "main"?'),
    })
    expect((await diff('git:0123456789ab', policies)).err).toContain(
      'git:0123456789ab names no commit: write a branch, a tag or a commit that is here; in CI, fetch it first',
    )
    expect((await diff('git:HAED', policies)).err).toContain('git:HAED names no commit; did you mean "HEAD"?')
    const empty = git('commit-tree', git('hash-object', '-t', 'tree', '-w', '/dev/null').trim(), '-m', 'empty').trim()
    expect((await diff(`git:${empty}`, policies)).err).toContain('has no policies')
    expect((await diff('git:--help', policies)).code).toBe(1)
  })

  test('a word that is no folder names the commit or the word that was meant', async () => {
    const [commit, word, path] = [
      await diff('HEAD', policies),
      await diff('runing', policies),
      await diff('git:v1:policies', policies),
    ]
    expect(commit.err).toMatch(/\[A: HEAD\] .* there is no such folder; did you mean "git:HEAD"\?\n$/)
    expect(word.err).toMatch(/\[A: runing\] .* there is no such folder; did you mean "running"\?\n$/)
    expect(path.err).toContain('git:v1:policies: write git:v1; the folder is that of `policies` in the configuration')
    expect([commit.code, word.code, path.code]).toEqual([1, 1, 1])
  })

  test('is read from a bare clone, and from the working directory where the configuration lies elsewhere', async () => {
    const tops = ['v1', 'feature/next'].map((ref) =>
      git('commit-tree', git('rev-parse', `${ref}:platform/access`).trim(), '-m', ref).trim(),
    )
    const [one = '', two = ''] = tops
    const bare = join(folder, 'bare.git')
    git('init', '-q', '--bare', bare)
    for (const each of tops) git('push', '-q', bare, `${each}:refs/heads/${each}`)
    const [within, outside] = [join(bare, 'gateway.yaml'), join(folder, 'gateway.yaml')]
    for (const file of [within, outside]) copyFileSync(config, file)
    const args = ['diff', '--json', `git:${one}`, `git:${two}`, '--config']
    const env = { PATH: process.env['PATH'] ?? '' }
    const known = await dataOf('git:v1', 'git:feature/next')
    expect(JSON.parse((await callCommand([...args, within], env)).out)).toEqual(known)
    expect(JSON.parse((await runCommand([...args, outside], { cwd: bare, env })).out)).toEqual(known)
    const nowhere = await runCommand([...args, outside], { cwd: folder, env })
    expect(nowhere.out).toContain('needs a Git repository: neither ')
  })

  test('whose policies hold a link is refused, and a folder that is reached by a link is found', async () => {
    const linked = join(folder, 'linked')
    symlinkSync(place, linked)
    const { out } = await callCommand(
      ['diff', '--json', '--config', join(linked, 'gateway.yaml'), 'git:v1', 'git:HEAD'],
      {
        PATH: process.env['PATH'] ?? '',
      },
    )
    expect((JSON.parse(out) as ComparisonData).changes.length).toBeGreaterThan(2)
    git('switch', '-q', '-c', 'with-link')
    symlinkSync('/etc/passwd', join(policies, 'passwd.yaml'))
    git('add', '-A')
    git('commit', '-q', '-m', 'link')
    git('switch', '-q', 'feature/next')
    expect((await diff('git:with-link', policies)).err).toContain('passwd.yaml is no regular file')
  })
})

test('a printed command takes the commit as it stands', async () => {
  const { out } = await diff('git:v1', policies)
  const [command = ''] = out
    .split('\n')
    .flatMap((line) => /^ {4}see: devin-gateway (explain .*)$/.exec(line)?.[1] ?? [])
  const words = command.split(' ').map((word) => word.replaceAll("'", ''))
  const args = words.map((word, index) => (words[index - 1] === '--policies' ? 'git:v1' : word))
  const explained = await callCommand([...args, '--config', config], { PATH: process.env['PATH'] ?? '' })
  expect(explained).toMatchObject({ err: '', out: expect.stringContaining('policy revision') })
})

test('what does not compile is told for both sets, each with its name', async () => {
  const broken = ['one', 'other'].map((name) => {
    const at = join(folder, name)
    cpSync(policies, at, { recursive: true })
    writeFileSync(join(at, 'teams', 'payments.yaml'), teamFile.replace('ViewOrgSessions', `ViewOrgSession${name}`))
    return at
  })
  const [one = '', other = ''] = broken
  const { code, err } = await diff(one, other)
  expect(code).toBe(1)
  expect(err).not.toContain('warning')
  expect(err).toContain(`${one}/teams/payments.yaml:5:25: [A: ${one}] unknown permission "ViewOrgSessionone"`)
  expect(err).toContain(`${other}/teams/payments.yaml:5:25: [B: ${other}] unknown permission "ViewOrgSessionother"`)
  expect((await diff('git:v1', join(folder, 'nowhere'))).code).toBe(1)
})

test('every printed command shows the difference under the two sets, and --fail-on sets the exit code', async () => {
  const before = join(folder, 'before')
  mkdirSync(join(before, 'teams'), { recursive: true })
  for (const name of ['teams/payments.yaml', 'keys.yaml', 'guardrails.yaml'])
    writeFileSync(join(before, name), git('show', `v1:platform/access/policies/${name}`))
  const { out, code } = await diff(before, policies)
  expect(code).toBe(0)
  const commands = out.split('\n').flatMap((line) => /^ {4}see: devin-gateway (.*)$/.exec(line)?.[1] ?? [])
  expect(commands.length).toBeGreaterThan(3)
  expect(
    new Set(out.split('\n').map((line) => /^(?:[+~-]) .* (gain|lose|guardrails:|limits:)/.exec(line)?.[1])),
  ).toEqual(new Set([undefined, 'gain', 'guardrails:', 'limits:']))
  for (const command of commands) {
    const words = JSON.parse(
      execFileSync('/bin/sh', ['-c', `${process.execPath} -p 'JSON.stringify(process.argv.slice(1))' -- ${command}`], {
        encoding: 'utf8',
      }),
    ) as string[]
    const at = words.indexOf('--policies') + 1
    const [one, other] = await Promise.all(
      [before, policies].map(async (set) => {
        const args = words.map((word, index) => (index === at ? set : word))
        const { out: explained, err } = await callCommand([...args, '--config', config, '--json'])
        expect(err).toBe('')
        const { effect, reason, key, changes, limits } = JSON.parse(explained) as Record<string, unknown>
        return { effect, reason, key, changes, limits }
      }),
    )
    expect(one, command).not.toEqual(other)
  }
  expect((await diff('--fail-on', 'lost,key', before, policies)).code).toBe(0)
  expect((await diff('--fail-on', 'gained', before, policies)).code).toBe(1)
  expect(await diff('--fail-on', ' , ', before, policies)).toMatchObject({
    code: 2,
    err: expect.stringContaining('--fail-on names no kind of change; there are gained, lost, key') as string,
  })
  expect(await diff('--fail-on', 'gaind', before, policies)).toMatchObject({
    code: 2,
    err: expect.stringContaining('did you mean "gained"?'),
  })
})

async function runningIsCompared(store: string, options: readonly string[]): Promise<void> {
  const at = mkdtempSync(join(folder, 'running-'))
  cpSync(place, at, { recursive: true })
  const file = join(at, 'gateway.yaml')
  const text = `${readFileSync(file, 'utf8')}${store}`
  writeFileSync(file, text)
  const gateway = await startGatewayProcess(file, { env: keys, awaitReady: false, options })
  gateways.push(gateway)
  const asked = join(at, 'asked.yaml')
  writeFileSync(asked, text.replace('admin: "127.0.0.1:0"', `admin: "127.0.0.1:${gateway.adminPort}"`))
  const same = await callCommand(['diff', '--config', asked, 'running', join(at, 'policies')])
  expect(same.out).toContain('no difference in rights')
  const next = join(at, 'next')
  cpSync(join(at, 'policies'), next, { recursive: true })
  writeFileSync(join(next, 'teams', 'payments.yaml'), teamFile)
  const changed = await callCommand(['diff', '--config', asked, 'running', next])
  expect(changed.out).toMatch(/^- payments: .* lose org\.sessions\./m)
  await gateway.kill()
  expect((await callCommand(['diff', '--config', asked, 'running', next])).err).toContain('could not be asked')
}

test('`running` is what the gateway has in force, whatever the files say since', async () => {
  await runningIsCompared('', [])
})

describeWithValkey('with worker processes', () => {
  test('`running` is what they have in force', async () => {
    const store = await startStoreServer()
    try {
      await runningIsCompared(`store: ${store.address}\n`, ['--workers', '2'])
    } finally {
      await store.close()
    }
  })
})

test('no name begins a line or turns its direction, and the printed commands ask about it all the same', async () => {
  const strange = join(folder, 'strange')
  cpSync(policies, strange, { recursive: true })
  const groups = [String.raw`eng\n+ payments: all members gain nothing`, String.raw`\e[31mred\u202e\u200b`, "-it's"]
  writeFileSync(
    join(strange, 'teams', 'payments.yaml'),
    teamFile.replace('groups: [eng]', `groups: [eng, ${groups.map((group) => `"${group}"`).join(', ')}]`),
  )
  for (const args of [[], ['--markdown']]) {
    const { out } = await diff(policies, strange, ...args)
    expect(out).not.toMatch(/^\+ payments: all members gain nothing/m)
    expect(out.replaceAll('→', '')).toMatch(/^[\n -~]+$/)
  }
  const { out } = await diff(policies, strange)
  const commands = out.split('\n').flatMap((line) => /^ {4}see: devin-gateway (.*)$/.exec(line)?.[1] ?? [])
  expect(commands.some((command) => command.includes('--group=')) || commands.some((each) => each.includes("$'"))).toBe(
    true,
  )
  for (const command of commands) {
    const words = JSON.parse(
      execFileSync(
        'bash',
        ['--norc', '-c', `${process.execPath} -p 'JSON.stringify(process.argv.slice(1))' -- ${command}`],
        {
          encoding: 'utf8',
          env: { LC_ALL: 'C.UTF-8' },
        },
      ),
    ) as string[]
    const explained = await callCommand([...words, '--config', config])
    expect(explained.err, command).toBe('')
    expect(explained.out, command).toContain('a member of payments')
  }
})
