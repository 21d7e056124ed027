// `drift` as a shell sees it: exit codes, both forms of output, and the extension file put to use.

import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { devinApi } from '../../src/catalogue/data.ts'
import { callCommand, commandFile, type Ended } from '../support/command.ts'
import { bodyName, describeApi, type DescribedApi, type Json } from '../support/openapi.ts'
import { createSite, type Site } from '../support/site.ts'
import { usualKeys } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/{org_id}/sessions'
const guardrails = `guardrails:
  - id: modes
    on: [org.sessions.create]
    body: { devin_mode: { one_of: [normal] } }
`

/** The API with one new operation for each way to a grant, a gone one and a changed one. */
function changedApi(): DescribedApi {
  const api = describeApi(devinApi.operations)
  api.paths[`${sessions}/{devin_id}/cost`] = { get: operation('ViewOrgSessions') }
  api.paths['/v3beta1/organizations/{org_id}/repositories/size'] = { get: operation() }
  api.paths['/v3/organizations/{org_id}/reports'] = { post: operation() }
  delete api.paths[`${sessions}/{devin_id}/archive`]
  const { properties } = api.components.schemas[bodyName('org.sessions.create')] as { properties: Record<string, Json> }
  properties['devin_mode'] = { enum: ['normal', 'turbo'] }
  properties['priority'] = { type: 'integer' }
  return api
}

function operation(permission?: string): DescribedApi['paths'][string][string] {
  const stated = permission === undefined ? {} : { 'x-permission': permission }
  return { summary: 'New', parameters: [], responses: {}, ...stated }
}

let site: Site
let spec: string
let same: string
beforeAll(async () => {
  site = await createSite({
    policies: { 'guardrails.yaml': guardrails },
    config: 'catalogue: { files: [extension.yaml] }',
  })
  await writeFile(join(site.directory, 'extension.yaml'), 'operations: []\n')
  spec = join(site.directory, 'openapi.json')
  same = join(site.directory, 'same.json')
  await writeFile(spec, JSON.stringify(changedApi()))
  await writeFile(same, JSON.stringify(describeApi(devinApi.operations)))
})
afterAll(() => site.remove())

const drift = (...args: string[]): Promise<Ended> =>
  callCommand(['drift', ...args, '--config', site.configFile], usualKeys)

interface Report {
  new: { path: string; proposal: { id: string }; teams: { team: string; grants: string[] }[] }[]
  changed: { id: string; changes: Json[]; teams: { team: string }[] }[]
  vanished: { id: string; teams: { team: string }[] }[]
}

describe('drift', () => {
  test('says which teams and guardrails each change concerns', async () => {
    const { code, out } = await drift(spec, '--json')
    const report = JSON.parse(out) as Report
    expect(code).toBe(0)
    expect(report.new.map(({ proposal, teams }) => [proposal.id, teams])).toEqual([
      ['org.sessions.cost.get', [{ team: 'payments', grants: ['run-sessions'] }]],
      ['beta.org.repositories.size.get', [{ team: 'payments', grants: ['index-repositories'] }]],
      ['org.reports.create', []],
    ])
    expect(report.changed).toMatchObject([
      {
        id: 'org.sessions.create',
        changes: [
          { in: 'body', name: 'priority', change: 'new', guardrails: [] },
          { in: 'body', name: 'devin_mode', change: 'values', new: ['turbo'], guardrails: ['modes'] },
        ],
        teams: [{ team: 'payments', grants: ['run-sessions'] }],
      },
    ])
    expect(report.vanished).toMatchObject([
      { id: 'org.sessions.archive', served: true, source: 'catalogue', teams: [{ team: 'payments' }] },
    ])
  })

  test('reads standard input, and without configuration and policies it names no teams', () => {
    const { GATEWAY_CONFIG: _none, ...env } = process.env
    const options = { cwd: tmpdir(), env, input: JSON.stringify(changedApi()), encoding: 'utf8' as const }
    const out = execFileSync(process.execPath, [commandFile, 'drift', '-', '--json'], options)
    expect((JSON.parse(out) as Report).new.map(({ teams }) => teams)).toEqual([null, null, null])
  })

  test.each([
    ['new', 1],
    ['changed', 1],
    ['vanished', 1],
    ['new, vanished', 1],
  ])('ends with 1 for %s if that is asked for', async (kinds, code) => {
    expect((await drift(spec, '--fail-on', kinds)).code).toBe(code)
    expect((await drift(same, '--fail-on', kinds)).code).toBe(0)
  })

  test('says so when nothing has changed', async () => {
    const { code, out } = await drift(same, '--fail-on', 'new,changed,vanished')
    expect([code, out]).toEqual([
      0,
      `Devin API v3 3.0.0 (OpenAPI 3.1.0): ${devinApi.operations.length} operations compared\n\nNo drift: the catalogue says what the document says.\n`,
    ])
  })

  test.each([
    [[], 2, 'devin-gateway drift: say which document: drift openapi.yaml, or - for standard input'],
    [
      ['--fail-on', 'gone', 'x'],
      2,
      'devin-gateway drift: unknown kind of change "gone" in --fail-on: there are new, changed, vanished',
    ],
    [['--fail-on', 'chnged', 'x'], 2, '"chnged" in --fail-on; did you mean "changed"?'],
    [['/no/such/file'], 1, 'devin-gateway drift: /no/such/file cannot be read: there is no such file'],
    [[tmpdir()], 1, `devin-gateway drift: ${tmpdir()} cannot be read: it is a directory`],
    [['package.json'], 1, 'package.json:1:1: not an OpenAPI document: it should begin with "openapi: 3.1.0"'],
  ])('%j ends with %i and a sentence', async (args, code, message) => {
    const ended = await drift(...args)
    expect([ended.code, ended.out]).toEqual([code, ''])
    expect(ended.err.split('\n')[0]).toContain(message)
  })

  test('proposes an extension that loads, serves what states its permission, and refuses the rest', async () => {
    const { code, out, err } = await drift(spec, '--extension')
    expect([code, err.split('\n').at(-2)]).toEqual([0, '3 new, 1 changed, 1 vanished'])
    const file = join(site.directory, 'extension.yaml')
    await writeFile(file, out)
    try {
      const check = await callCommand(['check', '--config', site.configFile], usualKeys)
      expect([check.code, check.err]).toEqual([0, expect.not.stringContaining('extension.yaml')])
      const explain = (path: string) =>
        callCommand(['explain', '--team', 'payments', '--config', site.configFile, 'GET', path, '--json'], usualKeys)
      const cost = await explain('/v3/organizations/org-payments/sessions/devin-1/cost')
      expect([cost.code, cost.out]).toEqual([0, expect.stringContaining('org.sessions.cost.get')])
      const size = await explain('/v3beta1/organizations/org-payments/repositories/size')
      expect([size.code, size.out]).toEqual([1, expect.stringContaining('unknown-operation')])
      expect(size.out).toContain('is not served until it is reviewed')
      const again = JSON.parse((await drift(spec, '--json')).out) as Report
      expect(again.new).toEqual([])
      const gone = JSON.parse((await drift(same, '--json')).out) as Report
      expect(gone.vanished.map(({ id }) => id)).toEqual([
        'org.sessions.cost.get',
        'beta.org.repositories.size.get',
        'org.reports.create',
      ])
    } finally {
      await writeFile(file, 'operations: []\n')
    }
  })

  test('gives the extension with the report in JSON', async () => {
    const { out } = await drift(spec, '--json', '--extension')
    expect((JSON.parse(out) as { extension: string }).extension).toContain('- id: org.sessions.cost.get')
  })
})

test.each([
  [
    'a page of text',
    '# Our API\n\nIt is **good**: [see](x) there\n',
    /^SPEC:\d+:\d+: not valid YAML or JSON: .*(this line is no entry|must be in quotes|the indentation of this line)/,
  ],
  [
    'JSON with a comma that is missing',
    '{ "openapi": "3.1.0" "paths": {} }',
    /^SPEC:1:\d+: not valid YAML or JSON: a comma is missing/,
  ],
  [
    'JSON that ends in the middle',
    '{ "openapi": "3.1.0", "paths": {',
    /^SPEC:1:\d+: not valid YAML or JSON: this "\{" is never closed/,
  ],
])('%s is told in plain words', async (_, text, message) => {
  const file = join(site.directory, 'broken.txt')
  await writeFile(file, text)
  const { code, err } = await drift(file)
  expect([code, err.replace(file, 'SPEC')]).toEqual([1, expect.stringMatching(message)])
  expect(err).not.toMatch(/implicit|collection|scalar|node end|flow/i)
})
