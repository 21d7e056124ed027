// The files for the CI of others: they are whole YAML, and their shell steps do what they say in a Git repository.

import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { commandFile, processFlags } from '../support/command.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'ci-'))
const repository = join(folder, 'repository')
const bin = join(folder, 'bin')
const calls = join(folder, 'calls')
let base = ''
let empty = ''

function run(script: string, env: Readonly<Record<string, string>>): string {
  return execFileSync('bash', ['-eo', 'pipefail', '-c', script], {
    cwd: repository,
    encoding: 'utf8',
    env: { PATH: `${bin}:${process.env['PATH'] ?? ''}`, HOME: folder, GATEWAY_CONFIG: 'config/gateway.yaml', ...env },
  })
}

function program(name: string, text: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`)
  chmodSync(join(bin, name), 0o755)
}

beforeAll(() => {
  mkdirSync(repository)
  mkdirSync(bin)
  for (const name of ['config', 'policies']) cpSync(join(root, name), join(repository, name), { recursive: true })
  program('devin-gateway', `exec ${process.execPath} ${processFlags.join(' ')} ${commandFile} "$@"`)
  // They say what they were asked, and answer as where one comment stands already.
  program('gh', `echo "gh $*" >> ${calls}; case "$*" in *--paginate*) echo "$EXISTING";; esac`)
  program('curl', `echo "curl $*" >> ${calls}; case "$*" in *per_page*) echo '[]';; esac`)
  program('jq', 'cat > /dev/null; echo "$EXISTING"')
  const git = (...args: readonly string[]): string =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
      cwd: repository,
      encoding: 'utf8',
    })
  git('init', '-q', '-b', 'main')
  git('commit', '-q', '--allow-empty', '-m', 'nothing yet')
  empty = git('rev-parse', 'HEAD').trim()
  git('add', '-A')
  git('commit', '-q', '-m', 'as it is')
  base = git('rev-parse', 'HEAD').trim()
  const payments = join(repository, 'policies', 'teams', 'payments.yaml')
  writeFileSync(
    payments,
    readFileSync(payments, 'utf8').replace('[ViewOrgSessions, ManageOrgSessions]', '[ManageOrgSessions]'),
  )
  rmSync(join(repository, 'policies', 'payments.test.yaml'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const rights = (): string => readFileSync(join(repository, 'rights.md'), 'utf8')
const asked = (): string => {
  const text = existsSync(calls) ? readFileSync(calls, 'utf8') : ''
  rmSync(calls, { force: true })
  return text
}

test('GitHub Actions: the steps check, compare with the target branch, and keep one comment up to date', () => {
  const { jobs } = parse(readFileSync(join(root, 'deploy/ci/github-actions.yml'), 'utf8')) as {
    readonly jobs: {
      readonly policies: { readonly steps: readonly { readonly name?: string; readonly run?: string }[] }
    }
  }
  const script = (name: string): string => jobs.policies.steps.find((step) => step.name === name)?.run ?? ''
  const summary = join(folder, 'summary.md')
  writeFileSync(summary, '')
  const env = {
    TARGET: base,
    GITHUB_STEP_SUMMARY: summary,
    COMMENTS: 'repos/o/r/issues/7/comments',
    GITHUB_REPOSITORY: 'o/r',
  }
  run(script('Check'), env)
  expect(run(script('Coverage'), env)).toMatch(/coverage \d+(?:\.\d+)? %/)
  run(script('Compare rights'), env)
  expect(rights()).toMatch(/^<!-- devin-gateway rights -->\n### Rights: /)
  expect(rights()).toContain('| lost | payments |')
  expect(readFileSync(summary, 'utf8')).toBe(rights())
  run(script('Compare rights'), { ...env, TARGET: empty })
  expect(rights()).toContain('The target branch has no policies yet')
  // A set that does not load is told in the comment, in place of what was true of an earlier commit.
  const stray = join(repository, 'policies', 'stray.yaml')
  writeFileSync(stray, 'team: x\nmemberz: []\n')
  run(script('Compare rights'), env)
  rmSync(stray)
  expect(rights()).toMatch(
    /\*\*The comparison is not whole\.\*\*\n\n {4}\S*stray\.yaml:1:1: \[B: policies\] missing key /,
  )
  run(script('Comment'), { ...env, EXISTING: '' })
  expect(asked()).toContain('--method POST repos/o/r/issues/7/comments --field body=@rights.md')
  run(script('Comment'), { ...env, EXISTING: '41' })
  expect(asked()).toContain('--method PATCH repos/o/r/issues/comments/41 --field body=@rights.md')
})

test('the package is taken from where a variable says, and not under its bare name from a public registry', () => {
  program('npm', `echo "npm $*" >> ${calls}`)
  const texts = ['github-actions.yml', 'gitlab-ci.yml'].map((name) =>
    readFileSync(join(root, 'deploy/ci', name), 'utf8'),
  )
  const variables = ['PACKAGE', 'DEVIN_GATEWAY_PACKAGE']
  for (const [index, text] of texts.entries()) {
    const line = /^.*?(npm install .*)$/m.exec(text)?.[1] ?? ''
    for (const none of [{}, { [variables[index] ?? '']: '' }])
      expect(() => run(line, none)).toThrow('set the variable DEVIN_GATEWAY_PACKAGE')
    expect(asked()).toBe('')
    run(line, { [variables[index] ?? '']: '@platform/devin-gateway@0.1.0' })
    expect(asked()).toBe('npm install --global --ignore-scripts --omit=optional @platform/devin-gateway@0.1.0\n')
  }
})

test('a starting set of `init` passes the check and the coverage of both files', () => {
  const made = join(folder, 'made')
  run(`devin-gateway init ${made} --yes`, {})
  const [commands = [], others] = ['github-actions.yml', 'gitlab-ci.yml'].map(
    (name) => readFileSync(join(root, 'deploy/ci', name), 'utf8').match(/devin-gateway (?:check|test .*)$/gm) ?? [],
  )
  expect(commands).toHaveLength(2)
  expect(others).toEqual(commands)
  for (const command of commands) run(`cd ${made} && ${command}`, {})
})

test('GitLab CI: the same as a note of the merge request', () => {
  const file = parse(readFileSync(join(root, 'deploy/ci/gitlab-ci.yml'), 'utf8')) as {
    readonly 'devin-gateway': { readonly script: readonly string[] }
  }
  const env = {
    CI_MERGE_REQUEST_DIFF_BASE_SHA: base,
    CI_API_V4_URL: 'https://gitlab.example/api/v4',
    CI_MERGE_REQUEST_PROJECT_ID: '3',
    CI_MERGE_REQUEST_IID: '9',
    RIGHTS_TOKEN: 't',
  }
  const steps = file['devin-gateway'].script
  const script = steps.join('\n')
  const comment = steps.find((step) => step.includes('curl')) ?? ''
  expect(run(script, { ...env, CI_MERGE_REQUEST_DIFF_BASE_SHA: empty, RIGHTS_TOKEN: '' })).toContain(
    'There is no comment: the variable RIGHTS_TOKEN is not set.',
  )
  expect(rights()).toContain('The target branch has no policies yet')
  expect(asked()).toBe('')
  run(script, { ...env, EXISTING: '' })
  expect(rights()).toContain('| lost | payments |')
  expect(asked()).toMatch(/--request POST .*merge_requests\/9\/notes$/m)
  run(comment, { ...env, EXISTING: '77' })
  expect(asked()).toMatch(/--request PUT .*merge_requests\/9\/notes\/77$/m)
})
