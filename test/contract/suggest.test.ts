// `suggest` as people type it: a patch that real git applies, its proof, and `simulate` on what comes out.

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { RecordedDecision } from '../../src/policy/replay/recorded-decision.ts'
import { callCommand, type Ended } from '../support/command.ts'
import { startTestGateway, usualKeys, type RunningGateway } from '../support/start-gateway.ts'

const run = promisify(execFile)

const payments = `# Everything of payments.
team: payments
members:
  # People.
  - groups: [sso-payments-eng]
  - app: [payments-bot]   # the bot
organizations: [org-payments, org-other]
default_organization: org-payments
grants:
  # Sessions of the squad.
  - id: run-sessions
    allow:
      - ViewOrgSessions
      - ManageOrgSessions
  - id: playbooks
    allow: [org.playbooks.*, org.secrets.list]   # everything
  # Nobody knows why.
  - { id: old, allow: [org.knowledge.*] }
  - id: act
    allow: [ImpersonateOrgSessions]
    when: { groups: [payments-leads] }
cache: { at_most: 0s }
`
const keys = `keys:
  - id: runner
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions, ManageOrgPlaybooks, ManageOrgSecrets, ImpersonateOrgSessions]
    secret: { env: PAYMENTS_RUNNER_KEY }
`
const policies = { 'teams/payments.yaml': payments, 'teams/analytics.yaml': null, 'keys.yaml': keys }

let running: RunningGateway
let log: string
beforeAll(async () => {
  running = await startTestGateway({ policies })
  const base = '/v3/organizations/org-payments'
  for (const path of [
    `${base}/sessions`,
    `${base}/sessions/s-1`,
    `${base}/sessions/s-2`,
    `${base}/playbooks`,
    '/v3/self',
  ])
    expect((await running.call(path)).status, path).toBe(200)
  const body = JSON.stringify({ prompt: 'a' })
  await running.call(`${base}/sessions`, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
  expect((await running.call('/v3/organizations/org-elsewhere/sessions')).status).toBe(403)
  await running.settled()
  log = join(running.directory, 'decisions.ndjson')
})
afterAll(() => running.close())

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

/** A repository with these policies. */
async function repository(files: Readonly<Record<string, string | null>> = policies): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-suggest-'))
  folders.push(folder)
  for (const [name, text] of Object.entries(files)) {
    if (text === null) continue
    await mkdir(dirname(join(folder, 'policies', name)), { recursive: true })
    await writeFile(join(folder, 'policies', name), text)
  }
  await run('git', ['init', '-q', folder])
  return folder
}

const asked = (folder: string, ...args: string[]): Promise<Ended> =>
  callCommand(
    [...args, '--policies', join(folder, 'policies'), '--config', join(running.directory, 'gateway.yaml')],
    usualKeys,
  )

async function applied(folder: string, patch: string): Promise<string> {
  const file = join(folder, 'suggested.patch')
  await writeFile(file, patch)
  await run('git', ['-C', folder, 'apply', file])
  return await readFile(join(folder, 'policies/teams/payments.yaml'), 'utf8')
}

async function newlyDenied(folder: string, file = log): Promise<number> {
  const { out } = await asked(folder, 'simulate', '--json', '--log', file)
  const { newly_denied } = JSON.parse(out) as { newly_denied?: number }
  expect(newly_denied, out).toBeTypeOf('number')
  return newly_denied ?? 0
}

describe('for a team', () => {
  test('is the smallest set of grants that covers what was seen, as a patch that keeps comments and order', async () => {
    const folder = await repository()
    const { code, out, err } = await asked(folder, 'suggest', '--log', log, '--team', 'payments')
    expect([code, err]).toEqual([0, expect.stringMatching(/proof: 7? ?.*replayed, 0 denied/)])
    const text = await applied(folder, out)
    expect(text).toContain('organizations: [org-payments]\n')
    expect(text).toContain('# Sessions of the squad.\n  - id: run-sessions\n')
    expect(text).toContain('      - org.sessions.create\n      - org.sessions.get\n      - org.sessions.list\n')
    expect(text).toContain('allow: [org.playbooks.list]   # everything')
    expect(text).not.toMatch(/id: (old|act)\b/)
    for (const comment of payments.match(/#.*/g) ?? []) expect(text).toContain(comment)
    expect(await newlyDenied(folder)).toBe(0)
    expect((await asked(folder, 'suggest', '--log', log, '--team', 'payments')).out).toBe('')
  })

  test('tells its proof, and none of its grants can be dropped', async () => {
    const folder = await repository()
    const { out } = await asked(folder, 'suggest', '--json', '--log', log, '--team', 'payments')
    const found = JSON.parse(out) as { patch: string; grants: { id: string; allow: string[] }[]; proof: object }
    expect(found.proof).toEqual({ replayed: 6, denied: 0, minimal: true })
    const text = await applied(folder, found.patch)
    for (const word of found.grants.flatMap(({ allow }) => allow)) {
      // A grant that is left with nothing allows what nobody asked for.
      const at = text.search(new RegExp(String.raw`\b${word.replaceAll('.', String.raw`\.`)}(?![\w.])`))
      const without = text.slice(0, at) + 'org.knowledge.*' + text.slice(at + word.length)
      await writeFile(join(folder, 'policies/teams/payments.yaml'), without)
      expect(await newlyDenied(folder), word).toBeGreaterThan(0)
    }
  })

  test('drops a grant that was used and that another one can do without', async () => {
    const leads = '  - id: leads-first\n    allow: [ViewOrgSessions]\n    when: { groups: [payments-leads] }\n'
    const folder = await repository({
      ...policies,
      'teams/payments.yaml': payments.replace('grants:\n', `grants:\n${leads}`),
    })
    const [line = ''] = (await readFile(log, 'utf8')).split('\n').filter((each) => each.includes('"org.sessions.list"'))
    const asLead = line.replace('"groups":[', '"groups":["payments-leads",')
    const file = join(folder, 'log.ndjson')
    await writeFile(file, `${line}\n${asLead}\n`)
    const { out } = await asked(folder, 'suggest', '--log', file, '--team', 'payments')
    const text = await applied(folder, out)
    expect(text).not.toContain('leads-first')
    expect(text).toContain('id: run-sessions')
    expect(await newlyDenied(folder, file)).toBe(0)
  })

  test('keeps what a policy test needs', async () => {
    const folder = await repository({
      ...policies,
      'payments.test.yaml': `- as: { groups: [sso-payments-eng] }
  cases:
    - { do: GET /v3/organizations/org-payments/secrets, expect: allow }
`,
    })
    const { out } = await asked(folder, 'suggest', '--log', log, '--team', 'payments')
    expect(await applied(folder, out)).toContain('org.secrets.list')
    expect(await newlyDenied(folder)).toBe(0)
  })

  test('that is not there, or was allowed nothing, is said', async () => {
    const folder = await repository()
    expect((await asked(folder, 'suggest', '--log', log, '--team', 'payment')).err).toContain(
      'did you mean "payments"?',
    )
    const neither = await asked(folder, 'suggest', '--log', log)
    expect([neither.code, neither.err.split('\n')[0]]).toEqual([
      2,
      'devin-gateway suggest: say what to look for: --team T, or --unused 30d',
    ])
    const both = await asked(folder, 'suggest', '--log', log, '--team', 'payments', '--unused', '30d')
    expect([both.code, both.err]).toEqual([2, expect.stringMatching(/^[^\n]*--team and --unused look for different/)])
    for (const place of ['running', 'git:HEAD']) {
      const { code, err } = await callCommand(['suggest', '--log', log, '--team', 'payments', '--policies', place])
      expect([code, err]).toEqual([2, expect.stringContaining(`a directory here, not ${place}: a patch changes files`)])
    }
    expect((await asked(folder, 'suggest', '--log', log, '--unused', 'soon')).err).toContain('a time like 30d')
    const other = await repository({
      ...policies,
      'teams/idle.yaml': 'team: idle\nmembers: [{ groups: [nobody] }]\norganizations: [org-payments]\n',
    })
    expect((await asked(other, 'suggest', '--log', log, '--team', 'idle')).err).toContain(
      'no recorded decision was allowed by team idle',
    )
  })
})

test('unused: grants, organizations, members and permissions of keys that nobody used, but for what tests and invariants need', async () => {
  const folder = await repository({
    ...policies,
    'invariants.yaml':
      'invariants:\n  - { id: leads-act, always: { teams: [payments], callers: { groups: [payments-leads] }, do: [org.secrets.list], organizations: [org-payments] } }\n',
  })
  const { out, err } = await asked(folder, 'suggest', '--log', log, '--unused', '30d')
  expect(err).toContain('which is less than 30d')
  expect(err).toContain('kept, because a policy test, an invariant')
  expect(err).not.toContain('no key serves')
  expect(err).not.toContain('days ago')
  const text = await applied(folder, out)
  expect(text).not.toMatch(/payments-bot|org-other|id: old/)
  const after = await readFile(join(folder, 'policies/keys.yaml'), 'utf8')
  expect(after).toContain('ManageOrgSecrets')
  expect(after).not.toContain('ImpersonateOrgSessions')
  expect(await newlyDenied(folder)).toBe(0)
})

test('unused: a right that is left without a key is named, and the key that rotates others keeps its permission', async () => {
  const folder = await repository({
    'teams/payments.yaml': payments,
    'keys.yaml': `${keys}  - { id: officer, scope: enterprise, permissions: [ManageAccountServiceUsers, ViewAccountMetrics], secret: { env: OFFICER } }\n`,
  })
  const { out } = await asked(folder, 'suggest', '--log', log, '--unused', '30d', '--json')
  const found = JSON.parse(out) as { readonly changes: readonly string[]; readonly unserved: readonly string[] }
  expect(found.changes).toContain('permission ManageOrgSecrets of key runner')
  expect(found.changes).toContain('permission ViewAccountMetrics of key officer')
  expect(found.changes).not.toContain('permission ManageAccountServiceUsers of key officer')
  const [unserved = ''] = found.unserved
  expect(found.unserved).toEqual([
    'grant playbooks of team payments: org.secrets.list needs an organization key for org-payments with ManageOrgSecrets',
  ])
  const { err } = await asked(folder, 'suggest', '--log', log, '--unused', '30d')
  expect(err).toContain(`note: 1 right would be left that no key serves (503): ${unserved}. `)
})

test('unused: a key that becomes smaller, and then serves what another key served, is named', async () => {
  const folder = await repository({
    'teams/payments.yaml': payments.replace('grants:', 'grants:\n  - { id: all, allow: [ent.sessions.list] }'),
    'keys.yaml': `keys:
  - { id: one, scope: enterprise, serves_organizations: [org-payments], permissions: [ViewOrgSessions, ManageOrgSessions, ManageOrgPlaybooks], secret: { env: ONE } }
  - { id: all, scope: enterprise, serves_organizations: [org-payments], permissions: [ViewAccountSessions, ManageAccountPlaybooks, ViewAccountMetrics, ManageEnterpriseSettings], secret: { env: ALL } }
`,
    'payments.test.yaml': `- as: { groups: [sso-payments-eng] }
  cases:
    - { do: 'GET /v3/enterprise/sessions?org_ids=org-payments', expect: allow }
`,
  })
  const { out } = await asked(folder, 'suggest', '--log', log, '--unused', '30d', '--json')
  const found = JSON.parse(out) as { readonly changes: readonly string[]; readonly other_keys: unknown }
  expect(found.changes).toContain('permission ManageEnterpriseSettings of key all')
  expect(found.other_keys).toEqual([{ before: 'one', after: 'all', count: 4 }])
  const { err } = await asked(folder, 'suggest', '--log', log, '--unused', '30d')
  expect(err).toContain('note: another key would serve what was seen: all in place of one for 4 decisions\n')
})

test('of a log that ended long ago: that newer rights look unused is said', async () => {
  const folder = await repository()
  const old = join(folder, 'old.ndjson')
  const past = new Date(Date.now() - 40 * 86_400_000).toISOString()
  await writeFile(old, (await readFile(log, 'utf8')).replace(/"time":"[^"]+"/g, `"time":"${past}"`))
  const { err } = await asked(folder, 'suggest', '--log', old, '--unused', '30d')
  expect(err).toContain('note: the log ends 40 days ago: what was used or added since then looks unused here')
})

/** Grants that allow what others allow as well. */
const twins = [
  '  - id: twin\n    allow: [ViewOrgSessions, ManageOrgSessions]\n',
  '  - id: lists\n    allow: [org.playbooks.list, org.sessions.list]\n',
]

test('of random traffic: what was allowed stays allowed, and no grant that is left can go', async () => {
  const lines = (await readFile(log, 'utf8')).split('\n').filter(Boolean)
  const allowed = lines.filter((line) => (JSON.parse(line) as RecordedDecision).effect === 'allow')
  await fc.assert(
    fc.asyncProperty(fc.subarray(allowed, { minLength: 1 }), fc.subarray(twins), async (some, more) => {
      const grown = payments.replace('cache:', `${more.join('')}cache:`)
      const folder = await repository({ ...policies, 'teams/payments.yaml': grown })
      const file = join(folder, 'log.ndjson')
      await writeFile(file, `${some.join('\n')}\n`)
      const { out } = await asked(folder, 'suggest', '--json', '--log', file, '--team', 'payments')
      const { patch, grants } = JSON.parse(out) as { patch: string; grants: { id: string }[] }
      if (patch !== '') await applied(folder, patch)
      expect(await newlyDenied(folder, file)).toBe(0)
      const team = join(folder, 'policies/teams/payments.yaml')
      const text = await readFile(team, 'utf8')
      for (const { id } of grants) {
        await writeFile(team, text.replace(new RegExp(String.raw`(id: ${id}\b)`), '$1\n    mode: off'))
        expect(await newlyDenied(folder, file), id).toBeGreaterThan(0)
      }
    }),
    { numRuns: 6 },
  )
})
