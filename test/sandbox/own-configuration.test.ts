// `sandbox --config`: policies of one's own, with what production has around them, on a machine that has none of it. One sandbox
// for all: the edits follow each other as a person makes them.

import { chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runningSandboxes } from '../../src/sandbox/state-folder.ts'
import { callCommand, startCommand, type Ended, type RunningCommand } from '../support/command.ts'
import { until } from '../support/start-gateway.ts'

/** Whatever of this the machine of a developer lacks must not matter. */
const files: Readonly<Record<string, string>> = {
  'config/gateway.yaml': `listen:
  gateway: 0.0.0.0:443
  admin: 10.1.2.3:9090
  tls: { cert: /etc/acme/cert.pem, key: /etc/acme/key.pem }
upstream: { origin: https://api.acme.devinenterprise.com/prefix, ca: /etc/acme/ca.pem }
issuers:
  - issuer: https://login.acme.example
    audience: [gateway, api://gateway]
    ca: /etc/acme/ca.pem
    algorithms: [RS256]
    max_lifetime: 10m
    email_verified: required
  - issuer: https://bots.acme.example
    audience: robots
    claims: { subject: oid, groups: realm_access.roles, app: client_id }
policies: ../rules
shadow_policies: ../rules-next
store: { nodes: [valkeys://store.acme.example], ca: /etc/acme/ca.pem, password: { file: /run/secrets/store } }
records: { access: stdout, decisions: /var/log/acme/decisions.ndjson, audit: /var/log/acme/audit.ndjson }
shutdown: { delay: 0s, deadline: 5s }
`,
  'rules/teams/risk.yaml': `team: risk
members: [{ groups: [acme-risk], issuer: https://login.acme.example }]
organizations: [org-risk]
grants:
  - { id: sessions, allow: [ViewOrgSessions, ManageOrgSessions] }
  - { id: notes, allow: [org.knowledge.notes.*] }
`,
  'rules/teams/bots.yaml': `team: bots
members: [{ app: [nightly], issuer: https://bots.acme.example, claims: { environment: [production], oid: [bot-7] } }]
organizations: [org-ledger]
grants: [{ id: sessions, allow: [org.sessions.list] }]
`,
  'rules/teams/overview.yaml': `team: overview
members: [{ groups: [acme-overview] }]
organizations: all
grants: [{ id: lists, allow: [ent.organizations.list, ent.members.users.list] }]
`,
  'rules/keys.yaml': `keys:
  - id: risk-key
    scope: organization
    organization: org-risk
    permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions, ManageOrgKnowledge]
    secret: { file: /run/secrets/risk }
  - { id: ledger-key, service_user: service-user-ledger, scope: organization, organization: org-ledger, permissions: [ViewOrgSessions], secret: { env: LEDGER_KEY } }
  - { id: company, scope: enterprise, permissions: [ManageOrganizations, ManageAccountMembership], secret: { env: COMPANY_KEY } }
`,
  'rules/risk.test.yaml': `- as: { groups: [acme-risk], issuer: https://login.acme.example }
  cases:
    - { do: GET /v3/organizations/org-risk/sessions, expect: allow, key: risk-key }
    - { do: GET /v3/organizations/org-ledger/sessions, expect: deny }
`,
}

let folder: string
let elsewhere: string
let sandbox: RunningCommand
let base: string
const env = (): Record<string, string> => ({ GATEWAY_SANDBOX_STATE: join(folder, 'state') })
const put = async (name: string, text: string): Promise<void> => {
  await mkdir(dirname(join(folder, name)), { recursive: true })
  await writeFile(join(folder, name), text)
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gateway-own-'))
  elsewhere = join(folder, 'elsewhere')
  await mkdir(elsewhere)
  for (const [name, text] of Object.entries(files)) {
    await put(name, text)
    // A copy whose tests are not changed with it.
    if (name.startsWith('rules/'))
      await put(name.replace('rules/', 'rules-next/'), text.replace('ViewOrgSessions, ManageOrgS', 'ManageOrgS'))
  }
  sandbox = startCommand(['sandbox', '--config', 'config/gateway.yaml', '--port', '0', '--admin-port', '0'], {
    env: env(),
    cwd: folder,
  })
  await until(() => sandbox.out.includes('Ctrl-C') || sandbox.child.exitCode !== null, 'the banner')
  base = /callers +(\S+)/.exec(sandbox.out)?.[1] ?? ''
})
afterAll(async () => {
  await sandbox.kill()
  await rm(folder, { recursive: true, force: true })
})

/** A command in a folder without a configuration, which has to find the sandbox. */
async function inEmptyFolder(...args: string[]): Promise<Ended> {
  const before = process.cwd()
  process.chdir(elsewhere)
  try {
    return await callCommand(args, env())
  } finally {
    process.chdir(before)
  }
}

async function tokenOf(...options: string[]): Promise<string> {
  const { code, out, err } = await inEmptyFolder('token', ...options)
  expect([code, err]).toEqual([0, ''])
  return out.trim()
}

async function ask(
  token: string,
  path: string,
  body?: string,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const response = await fetch(base + path, body === undefined ? { headers } : { method: 'POST', headers, body })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

const log = (): string => join(folder, 'state', 'records', 'decisions.ndjson')
const sessionsOf = (organization: string): string => `/v3/organizations/${organization}/sessions`
const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>

test('the banner speaks of these policies: a team, its organization, another one, and the configuration for commands', () => {
  expect(sandbox.err.replace(/^The shadow set is refused[^]*change the test too\.\n/, '')).toBe('')
  expect(sandbox.out).toContain(`policies      ${join(folder, 'rules')}`)
  expect(sandbox.out).toMatch(/callers {7}http:\/\/127\.0\.0\.1:\d+\n/)
  expect(sandbox.out).toContain('TOKEN=$(npx devin-gateway token --config config/gateway.yaml --team bots)')
  expect(sandbox.out).toContain(
    `allowed: the gateway swaps in the least powerful key that suffices\n\n  curl -i "${base}${sessionsOf('org-ledger')}?first=1"`,
  )
  expect(sandbox.out).toContain(`curl -i "${base}${sessionsOf('org-risk')}"`)
  expect(sandbox.out).toContain(`explain --config config/gateway.yaml --team bots GET ${sessionsOf('org-risk')}`)
  expect(sandbox.out).not.toContain('payments')
})

describe('tokens and the company', () => {
  test('a token says what the team asks for, in the words of its issuer, and lives no longer than this one allows', async () => {
    const risk = claimsOf(await tokenOf('--team', 'risk'))
    expect(risk).toMatchObject({
      iss: 'https://login.acme.example',
      aud: ['gateway', 'api://gateway'],
      groups: ['acme-risk'],
      email: 'risk-developer@corp.example',
      email_verified: true,
    })
    expect(Number(risk['exp']) - Number(risk['iat'])).toBe(600)
    expect(claimsOf(await tokenOf('--team', 'bots'))).toMatchObject({
      iss: 'https://bots.acme.example',
      oid: 'bot-7',
      client_id: 'nightly',
      environment: 'production',
      'realm_access.roles': [],
    })
  })

  test.each([
    ['risk', 'org-risk'],
    ['bots', 'org-ledger'],
  ])(
    'team %s reads and, where granted, writes in its organization at the simulated Devin',
    async (team, organization) => {
      const token = await tokenOf('--team', team)
      const listed = await ask(token, sessionsOf(organization))
      expect(listed).toMatchObject({
        status: 200,
        body: { items: expect.arrayContaining([expect.objectContaining({ org_id: organization })]) },
      })
      const created = await ask(token, sessionsOf(organization), '{"prompt":"Try it"}')
      expect(created.status).toBe(team === 'risk' ? 200 : 403)
      const foreign = await ask(token, sessionsOf(organization === 'org-risk' ? 'org-ledger' : 'org-risk'))
      expect([foreign.status, foreign.body['reason']]).toEqual([403, 'organization-not-granted'])
    },
  )

  test('Devin has the organizations and people that the policies name, and no others', async () => {
    const token = await tokenOf('--team', 'overview')
    const organizations = await ask(token, '/v3/enterprise/organizations')
    expect((organizations.body['items'] as { org_id: string }[]).map(({ org_id }) => org_id)).toEqual([
      'org-ledger',
      'org-risk',
    ])
    const people = await ask(token, '/v3/enterprise/members/users')
    expect((people.body['items'] as { email: string }[]).map(({ email }) => email)).toEqual(
      ['bots', 'overview', 'risk'].map((team) => `${team}-developer@corp.example`),
    )
  })

  test('a key has at Devin what keys.yaml says, and no more', async () => {
    const token = await tokenOf('--team', 'risk')
    expect((await ask(token, '/v3/organizations/org-risk/knowledge/notes')).status).toBe(200)
  })
})

test('other commands find it on its ports, from a folder without a configuration', async () => {
  const [explained, purged, keys, budgets] = [
    await inEmptyFolder('explain', '--team', 'risk', 'GET', sessionsOf('org-ledger')),
    await inEmptyFolder('purge', '--organization', 'org-risk'),
    await inEmptyFolder('keys', '--json'),
    await inEmptyFolder('budget'),
  ]
  expect([explained.code, explained.out]).toMatchObject([1, expect.stringContaining('its organizations are org-risk')])
  expect([purged.code, purged.out]).toMatchObject([0, expect.stringMatching(/^\d+ stored answers dropped\n$/)])
  expect(JSON.parse(keys.out)).toMatchObject({ live: true, keys: [{ id: 'risk-key', state: 'ready' }, {}, {}] })
  expect([budgets.code, budgets.out]).toEqual([0, 'there are no budgets\n'])
})

test('`running`, and a decision that is explained again, are those of this sandbox, whatever the configuration says', async () => {
  const status = await ask(await tokenOf('--team', 'bots'), sessionsOf('org-risk'))
  const id = String(status.body['decision_id'])
  const rules = join(folder, 'rules')
  const [compared, simulated, tested, explained] = [
    await inEmptyFolder('diff', 'running', rules),
    await inEmptyFolder('simulate', '--log', join(folder, 'state/records/decisions.ndjson'), '--policies', 'running'),
    await inEmptyFolder('test', '--policies', 'running'),
    await inEmptyFolder('explain', '--decision', id),
  ]
  const admin = /operators +(\S+)/.exec(sandbox.out)?.[1] ?? ''
  expect(compared).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^no difference in rights\n/),
    err: expect.stringMatching(new RegExp(`^running: revision [0-9a-f]{12} at ${admin}\n$`)),
  })
  expect(simulated).toMatchObject({ code: 0, err: compared.err, out: expect.stringContaining('0 newly denied') })
  expect(tested).toMatchObject({ code: 0, out: '2 policy tests passed\n' })
  expect(explained).toMatchObject({ code: 1, err: '', out: expect.stringContaining('now decided in the same way') })
  expect(explained.out).toMatch(/: deny \(organization-not-granted\) in team bots, under policy revision/)
  const elsewhereNamed = await inEmptyFolder('explain', '--decision', id, '--log', join(folder, 'nothing.ndjson'))
  expect(elsewhereNamed.err).toContain('nothing.ndjson cannot be read: there is no such file\n')
})

describe('a shadow set', () => {
  test('is named, and refused with its reasons; when it is mended, that is said', async () => {
    expect(sandbox.out).toContain(`  shadow set    ${join(folder, 'rules-next')}\n`)
    expect(sandbox.err).toMatch(
      /^The shadow set is refused\. The policies in force go on as before\.\n {2}\/.*rules-next\/risk\.test\.yaml:3:7: test failed: /m,
    )
    expect((await inEmptyFolder('shadow')).out).toMatch(
      /was refused, so nothing is decided[^\n]*\n +\/[^\n]*test failed/,
    )
    await rm(join(folder, 'rules-next/risk.test.yaml'))
    sandbox.signal('SIGHUP')
    const line = /^The shadow set is decided beside the policies in force, revision [0-9a-f]{12}\.$/m
    await until(() => line.test(sandbox.err), 'the shadow set')
    await ask(await tokenOf('--team', 'risk'), sessionsOf('org-risk'))
    await until(async () => (await inEmptyFolder('shadow')).out.includes('lost  org.sessions.list'), 'the difference')
    const misspelled = await inEmptyFolder('shadow', '--team', 'rsik')
    expect(misspelled.code).toBe(2)
    expect(misspelled.err).toMatch(/"rsik".*did you mean "risk"\?/)
    expect((await inEmptyFolder('shadow', '--team', 'overview')).out).toMatch(
      /\nnone of them is about team overview\n$/,
    )
  })
})

test('the id of a refusal is explained, in every form in which the answer holds it', async () => {
  const token = await tokenOf('--team', 'risk')
  const { body } = await ask(token, sessionsOf('org-ledger'))
  const id = String(body['decision_id'])
  const unknown = String((await ask(token, '/v3/nothing')).body['decision_id'])
  await until(async () => (await readFile(log(), 'utf8')).includes(unknown), 'the records')
  const forms = [['--decision', id], ['--decision', String(body['instance'])], [id], [String(body['instance'])]]
  for (const words of forms) {
    const { code, out, err } = await inEmptyFolder('explain', ...words)
    expect([code, err], words.join(' ')).toEqual([1, ''])
    expect(out).toMatch(/note +recorded at .*: deny \(organization-not-granted\) .* team risk/)
    expect(out).toContain('now decided in the same way')
  }
  const named = await callCommand(['explain', '--config', join(folder, 'config', 'gateway.yaml'), id], env())
  expect([named.code, named.err]).toEqual([1, ''])
  const notAgain = await inEmptyFolder('explain', unknown)
  expect([notAgain.code, notAgain.err]).toEqual([
    1,
    expect.stringMatching(
      /no operation was found: unknown-operation.* It was recorded at .*: deny .*The answer said: No operation/,
    ),
  ])
})

test('commands about policies take its configuration, and others say which one it runs', async () => {
  const rules = join(folder, 'rules')
  const [compared, simulated, suggested, tested] = [
    await inEmptyFolder('diff', rules, rules),
    await inEmptyFolder('simulate', '--log', log(), '--policies', rules),
    await inEmptyFolder('suggest', '--log', log(), '--team', 'risk'),
    await inEmptyFolder('test'),
  ]
  expect([compared.code, compared.err, compared.out]).toMatchObject([0, '', expect.stringContaining('no difference')])
  expect([simulated.code, simulated.out]).toMatchObject([0, expect.stringContaining(' 0 newly denied')])
  expect([suggested.code, suggested.err]).toMatchObject([0, expect.stringContaining('proof: ')])
  expect([tested.code, tested.out]).toMatchObject([0, expect.stringContaining('policy tests passed')])
  for (const command of ['check', 'start']) {
    const { code, err } = await inEmptyFolder(command)
    expect([code, err]).toMatchObject([
      1,
      expect.stringContaining(`A sandbox runs: --config ${join(folder, 'config', 'gateway.yaml')}`),
    ])
  }
})

describe('edits while it runs', () => {
  const team = (organizations: string, more = ''): string =>
    (files['rules/teams/risk.yaml'] ?? '').replace('[org-risk]', organizations) + more
  const said = async (text: string, from = 0): Promise<string> => {
    await until(() => sandbox.err.slice(from).includes(text), text)
    return sandbox.err.slice(from)
  }
  /** Without waiting for the file watch. */
  const edit = async (name: string, text: string): Promise<void> => {
    await put(name, text)
    sandbox.signal('SIGHUP')
  }
  const inForce = 'The changed policies are in force'

  test('an organization that a test forbids: refused in sentences, with what to do; the token and the rest go on', async () => {
    const from = sandbox.err.length
    await put('rules/teams/risk.yaml', team('[org-risk, org-ledger]'))
    const text = await said('change the test too.', from)
    expect(text.split('\n')).toEqual([
      expect.stringMatching(/^The changed policies are refused\. Revision [0-9a-f]{12} stays in force\.$/),
      expect.stringMatching(
        /^ {2}\/.*rules\/risk\.test\.yaml:4:7: test failed: GET .*org-ledger\/sessions: expected deny, got allow/,
      ),
      'A policy test expects something else. If the change is intended, change the test too.',
      '',
    ])
    const token = await tokenOf('--team', 'risk')
    expect((await ask(token, sessionsOf('org-ledger'))).status).toBe(403)
    expect((await inEmptyFolder('explain', '--team', 'risk', 'GET', sessionsOf('org-ledger'))).code).toBe(0)
  })

  test('with the test changed as well it is in force', async () => {
    const from = sandbox.err.length
    const tests = files['rules/risk.test.yaml'] ?? ''
    await edit(
      'rules/risk.test.yaml',
      tests.replace('org-ledger/sessions, expect: deny', 'org-ledger/sessions, expect: allow'),
    )
    await said(inForce, from)
    expect((await ask(await tokenOf('--team', 'risk'), sessionsOf('org-ledger'))).status).toBe(200)
  })

  test('an organization that no key is for: one line, then a refusal that says it; with a key it works at once', async () => {
    let from = sandbox.err.length
    await edit('rules/teams/risk.yaml', team('[org-risk, org-ledger, org-new]'))
    const text = await said(inForce, from)
    expect(text.match(/org-new/g)).toHaveLength(1)
    expect(text).toContain('no key of the inventory is for organization "org-new"')
    const token = await tokenOf('--team', 'risk')
    expect((await ask(token, sessionsOf('org-new'))).body).toMatchObject({
      type: '/gateway/v1/problems/key-unavailable',
    })
    from = sandbox.err.length
    const keys = files['rules/keys.yaml'] ?? ''
    const more =
      '  - { id: new-key, scope: organization, organization: org-new, permissions: [ViewOrgSessions], secret: { env: N } }\n'
    await edit('rules/keys.yaml', keys + more)
    await said(inForce, from)
    expect(await ask(token, sessionsOf('org-new'))).toMatchObject({ status: 200, body: { total: 3 } })
  })

  test('a permission of a key, a member group, a grant and a new team file: each is in force, at Devin too', async () => {
    const from = sandbox.err.length
    await edit(
      'rules/teams/fresh.yaml',
      'team: fresh\nmembers: [{ groups: [acme-fresh] }]\norganizations: [org-ledger]\ngrants: [{ id: all, allow: [org.sessions.create, org.playbooks.list] }]\n',
    )
    const keys = files['rules/keys.yaml'] ?? ''
    await edit(
      'rules/keys.yaml',
      keys.replace(
        '[ViewOrgSessions], secret: { env: L',
        '[ViewOrgSessions, ManageOrgSessions, UseDevinSessions, ManageOrgPlaybooks], secret: { env: L',
      ),
    )
    await edit('rules/teams/risk.yaml', team('[org-risk, org-ledger]').replace('acme-risk]', 'acme-risk, acme-guests]'))
    const guest = await tokenOf('--group', 'acme-guests')
    const fresh = async (): Promise<number> =>
      (await ask(await tokenOf('--team', 'fresh'), sessionsOf('org-ledger'), '{"prompt":"x"}')).status
    await until(
      async () => (await ask(guest, sessionsOf('org-risk'))).status === 200 && (await fresh()) === 200,
      'the edits',
    )
    expect(sandbox.err.slice(from)).toContain(inForce)
    expect(await ask(await tokenOf('--team', 'fresh'), '/v3/organizations/org-ledger/playbooks')).toMatchObject({
      status: 200,
    })
  })

  test('a mistake is refused with its place, without the warnings about the rest', async () => {
    const from = sandbox.err.length
    await edit(
      'rules/teams/fresh.yaml',
      'team: fresh\nmembers: [{ groups: [acme-fresh] }]\norganizatons: [org-ledger]\ngrants: []\n',
    )
    const text = await said('The changed policies are refused', from)
    expect(text).toMatch(/\n {2}\/.*fresh\.yaml:3:1: .*"organizatons".*"organizations"/)
    expect(text).not.toContain('warning')
    await edit(
      'rules/teams/fresh.yaml',
      'team: fresh\nmembers: [{ groups: [acme-fresh] }]\norganizations: [org-ledger]\ngrants: []\n',
    )
    await said(inForce, from)
  })
})

test('after its end nothing takes it for running, and what it wrote lies in its own folder', async () => {
  sandbox.signal('SIGINT')
  expect((await sandbox.ended).code).toBe(0)
  const { code, err } = await inEmptyFolder('budget')
  expect([code, err]).toMatchObject([1, expect.stringContaining('config/gateway.yaml')])
  expect(await readFile(join(folder, 'state', 'records', 'decisions.ndjson'), 'utf8')).toContain('org-ledger')
  expect(sandbox.out + sandbox.err).not.toMatch(/cog_|\n {4}at /)
})

describe('what says that a sandbox runs', () => {
  const note = async (content: object): Promise<string> => {
    const state = await mkdtemp(join(folder, 'notes-'))
    await mkdir(join(state, 'running'))
    const file = join(state, 'running', '1.json')
    await writeFile(
      file,
      JSON.stringify({ config: join(folder, 'config', 'gateway.yaml'), startedAtMs: 1, ...content }),
    )
    return state
  }

  test('is not believed of a process that has ended, or that is something else, nor where the note is half written', async () => {
    const ended = await note({ pid: sandbox.pid })
    const other = await note({ pid: process.pid })
    const half = await note({})
    await writeFile(join(half, 'running', '1.json'), '{"pid":')
    for (const state of [ended, other, half, join(folder, 'nowhere')])
      expect(runningSandboxes({ GATEWAY_SANDBOX_STATE: state })).toEqual([])
  })

  test.skipIf(process.getuid?.() !== 0)('is not believed in a folder of somebody else', async () => {
    const alive = startCommand(['sandbox', '--port', '0', '--admin-port', '0', '--json'], { env: env() })
    await until(() => alive.out.includes('\n') || alive.child.exitCode !== null, 'the sandbox')
    const state = await note({ pid: alive.pid })
    expect(runningSandboxes({ GATEWAY_SANDBOX_STATE: state })).toHaveLength(1)
    await chown(join(state, 'running'), 65_534, 65_534)
    expect(runningSandboxes({ GATEWAY_SANDBOX_STATE: state })).toEqual([])
    await alive.kill()
    await chown(join(state, 'running'), 0, 0)
    expect(runningSandboxes({ GATEWAY_SANDBOX_STATE: state })).toEqual([])
  })
})
