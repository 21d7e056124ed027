// `explain` as people type it: for teams, issuers, claims, tokens and recorded decisions, beside a gateway of the same configuration
// that answers the request itself.

import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text as readText } from 'node:stream/consumers'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RecordedDecision } from '../../src/policy/replay/recorded-decision.ts'
import type { Explanation } from '../../src/policy/tools/explanation.ts'
import { callCommand, commandFile, type Ended } from '../support/command.ts'
import { startTestGateway, usualKeys, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

let running: RunningGateway
beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'guardrails.yaml':
        'guardrails:\n  - { id: bounded, on: [org.sessions.create], body: { max_acu_limit: { default: 10, at_most: 25 } } }\n',
    },
  })
  const { issuer } = running.issuer
  await running.writePolicy(
    'teams/pipelines.yaml',
    `team: pipelines
members:
  - { issuer: [${JSON.stringify(issuer)}], claims: { repository_id: ["77"], 'build.env': [prod, test] } }
  - { app: [nightly] }
organizations: [org-payments]
grants:
  - { id: run, allow: [ViewOrgSessions] }
  - { id: admins, allow: [ManageOrgSessions], when: { claims: { roles: [admin] } } }
cache: { at_most: 0s }
`,
  )
  expect((await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })).status).toBe(200)
})
afterAll(() => running.close())

const sessions = '/v3/organizations/org-payments/sessions'
const config = () => ['--config', join(running.directory, 'gateway.yaml')]
const explained = (...args: string[]): Promise<Ended> => callCommand(['explain', ...args, ...config()], usualKeys)
const asData = async (...args: string[]): Promise<Explanation & { code: number | null }> => {
  const { code, out, err } = await explained('--json', ...args)
  expect(err).toBe('')
  return { ...(JSON.parse(out) as Explanation), code }
}
const firstLine = ({ err }: Ended): string => err.split('\n')[0] ?? ''

describe('a member of a team', () => {
  test('whose first entry names an issuer and claims is one for the command, as for the gateway', async () => {
    const found = await asData('--team', 'pipelines', 'GET', sessions)
    expect([found.code, found.effect, found.team, found.grant]).toEqual([0, 'allow', 'pipelines', 'run'])
    const answer = await running.call(sessions, { claims: { groups: [], repository_id: 77, build: { env: 'test' } } })
    expect(answer.status).toBe(200)
  })

  test('is the one of the entry that fits what is said', async () => {
    const { out } = await explained('--team', 'pipelines', '--app', 'nightly', 'GET', sessions)
    expect(out).toContain('subject pipelines-developer, app nightly, groups none')
    const other = await asData('--team', 'pipelines', '--issuer', 'https://other.test', 'GET', sessions)
    // No entry is for that issuer but the one that names none.
    expect(other.steps.find(({ stage }) => stage === 'caller')?.text).toContain('app nightly')
  })

  test('of an issuer that is not configured is refused, as the gateway refuses its tokens', async () => {
    const near = running.issuer.issuer.replace('127', '172')
    for (const [caller, hint] of [
      [['--team', 'pipelines', '--issuer', 'https://other.test'], ''],
      [['--team', 'payments', '--issuer', near], `; did you mean "${running.issuer.issuer}"?`],
      [['--team', 'payments', '--claim', 'iss=https://other.test'], ''],
    ] as const) {
      const found = await asData(...caller, 'GET', sessions)
      expect(found, caller.join(' ')).toMatchObject({
        code: 1,
        effect: 'deny',
        reason: 'issuer-unknown',
        problem: 'token-rejected',
        steps: { 0: { stage: 'token', ok: false } },
      })
      const { issuer } = running.issuer
      expect(found.detail).toMatch(
        /^the gateway refuses every token of the issuer https?:\/\/\S+: the configuration knows /,
      )
      expect(found.detail?.endsWith(`${issuer}${hint}`)).toBe(true)
      const text = await explained(...caller, 'org.sessions.*')
      expect([text.code, text.out]).toEqual([1, expect.not.stringMatching(/^allow/m)])
      expect(text.out).toContain(': issuer-unknown')
    }
    // An entry of an issuer that is trusted comes before one of another.
    await running.writePolicy(
      '../elsewhere/teams/payments.yaml',
      `team: payments\nmembers:\n  - { issuer: [https://other.test] }\n  - { groups: [x], issuer: [https://other.test, ${JSON.stringify(running.issuer.issuer)}] }\norganizations: [org-payments]\ngrants: [{ id: run, allow: [ViewOrgSessions] }]\n`,
    )
    await running.writePolicy('../elsewhere/keys.yaml', usualPolicies['keys.yaml'] ?? '')
    const elsewhere = ['--policies', join(running.directory, 'elsewhere'), 'GET', sessions]
    expect(await asData('--team', 'payments', ...elsewhere)).toMatchObject({ code: 0, grant: 'run' })
  })

  test('has the claims that are given: several make a list, and JSON is read', async () => {
    const create = ['POST', sessions, '--body', '{"prompt":"x"}']
    expect((await asData('--team', 'pipelines', ...create)).reason).toBe('not-granted')
    for (const claim of [['roles=admin'], ['roles=user', 'roles=admin'], ['roles=["user","admin"]']]) {
      const args = claim.flatMap((each) => ['--claim', each])
      expect((await asData('--team', 'pipelines', ...args, ...create)).grant, claim.join(' ')).toBe('admins')
    }
    // A claim that the issuer maps is the attribute.
    expect((await asData('--claim', 'azp=nightly', 'GET', sessions)).team).toBe('pipelines')
    expect((await asData('--claim', 'groups=sso-payments-eng', 'GET', sessions)).team).toBe('payments')
    expect((await asData('--claim', 'repository_id=77', '--claim', 'build.env=prod', 'GET', sessions)).team).toBe(
      'pipelines',
    )
  })

  test.each([
    [['--claim', 'roles'], 'devin-gateway explain: --claim takes NAME=VALUE, not "roles"'],
    [['--claim', 'roles=[1'], /^devin-gateway explain: --claim: \[1 is no JSON/],
    [['--team', 'piplines'], 'devin-gateway explain: unknown team "piplines"; did you mean "pipelines"?'],
    [['--team', 'pipelines', '--token', 'x'], 'devin-gateway explain: --token says who is calling: leave out --team'],
    [['--log', 'x'], 'devin-gateway explain: --log is where --decision ID is looked for: say which decision'],
  ])('is told wrongly: %j is 2', async (args, message) => {
    const ended = await explained(...args, 'GET', sessions)
    expect([ended.code, firstLine(ended)]).toEqual([
      2,
      typeof message === 'string' ? message : expect.stringMatching(message),
    ])
  })
})

test('asked without a word about the caller says that nobody was named', async () => {
  const nobody = 'nothing says who is calling'
  const { out, code } = await explained('GET', sessions)
  expect([code, out]).toEqual([1, expect.stringContaining(`note      ${nobody}`)])
  for (const caller of [
    ['--team', 'payments'],
    ['--group', 'x'],
    ['--sub', 'x'],
    ['--claim', 'a=b'],
  ])
    expect((await explained(...caller, 'GET', sessions)).out, caller.join(' ')).not.toContain(nobody)
})

test('a group or app that is nearly one of the policies is told', async () => {
  const noted = async (...caller: string[]): Promise<string[]> =>
    (await explained(...caller, 'GET', sessions)).out.split('\n').filter((line) => line.includes('no team names'))
  expect(await noted('--group', 'sso-payment-eng', '--group', 'quite-another', '--app', 'payment-bot')).toEqual([
    '· note      no team names the group "sso-payment-eng"; did you mean "sso-payments-eng"?',
    '· note      no team names the group "quite-another"',
    '· note      no team names the app "payment-bot"; did you mean "payments-bot"?',
  ])
  expect(await noted('--group', 'sso-payments-eng', '--app', 'nightly', '--sub', 'ann')).toEqual([])
})

test('an organization that nothing names is told, also where a team with all organizations is allowed it', async () => {
  const noted = async (path: string): Promise<readonly (string | number | null)[]> => {
    const { code, out } = await explained('--team', 'wide', '--policies', join(running.directory, 'wide'), 'GET', path)
    return [code, ...out.split('\n').filter((line) => line.includes('no team and no key names'))]
  }
  const wide =
    'team: wide\nmembers: [{ groups: [x] }]\norganizations: all\ngrants: [{ id: see, allow: [ViewOrgSessions] }]\n'
  await running.writePolicy('../wide/teams/wide.yaml', wide)
  await running.writePolicy(
    '../wide/keys.yaml',
    'keys:\n  - { id: all, scope: enterprise, permissions: [ViewAccountSessions], serves_organizations: all, secret: { env: A } }\n  - { id: own, scope: organization, organization: org-payments, permissions: [ViewOrgSessions], secret: { env: B } }\n',
  )
  expect(await noted('/v3/organizations/org-paymnts/sessions')).toEqual([
    0,
    '· note      no team and no key names the organization "org-paymnts"; did you mean "org-payments"?',
  ])
  expect(await noted('/v3/organizations/somewhere/sessions')).toEqual([
    0,
    '· note      no team and no key names the organization "somewhere": only Devin knows whether there is one',
  ])
  expect(await noted('/v3/organizations/org-payments/sessions')).toEqual([0])
})

describe('a request', () => {
  test.each([
    [['GET', sessions], 'GET', sessions],
    [['get', sessions], 'GET', sessions],
    [[`GET ${sessions}`], 'GET', sessions],
    [[sessions, 'GET'], 'GET', sessions],
    [['GET', sessions.slice(1)], 'GET', sessions],
    [['GET', `https://gateway.corp.example${sessions}?first=1`], 'GET', `${sessions}?first=1`],
    [['GET', '/v3/organizations/{org_id}/sessions'], 'GET', sessions],
    [['org.sessions.list'], 'GET', sessions],
    [['GET', 'org.sessions.list'], 'GET', sessions],
    [['HEAD', 'org.sessions.list'], 'HEAD', sessions],
    [['org.sessions.get', '--organization', 'org-b'], 'GET', '/v3/organizations/org-b/sessions/any-devin-id'],
    [['ent.sessions.list', '--organization', 'org-b'], 'GET', '/v3/enterprise/sessions?org_ids=org-b'],
    [['/v3/self'], 'GET', '/v3/self'],
  ])('%j is %s %s', async (args, method, path) => {
    const found = await asData('--team', 'payments', ...args)
    expect([found.method, found.path]).toEqual([method, path])
  })

  test('a path, a pattern or a permission stands for several, a line each', async () => {
    const path = await explained('--team', 'payments', sessions)
    expect([path.code, path.out]).toEqual([
      0,
      `· note      blocks were not asked: no gateway answers at http://127.0.0.1:0
allow POST   ${sessions} (org.sessions.create): grant run-sessions, key payments-runner
allow GET    ${sessions} (org.sessions.list): grant run-sessions, key payments-runner
2 of 2 allowed; name a method and a path for the steps of one
`,
    ])
    const pattern = await explained('--json', '--team', 'payments', 'org.secrets.*')
    expect([pattern.code, JSON.parse(pattern.out)]).toMatchObject([
      1,
      { explanations: [{ effect: 'deny' }, { effect: 'deny' }, { effect: 'deny' }] },
    ])
    expect((await explained('--team', 'payments', 'ViewOrgSessions')).out).toMatch(/\n\d+ of \d+ allowed; /)
  })

  test.each([
    ['GET', '/v3/organization/org-payments/sessions', 'GET /v3/organizations/{org_id}/sessions (org.sessions.list)'],
    [
      'POST',
      '/v3/organizations/org-payments/session',
      'POST /v3/organizations/{org_id}/sessions (org.sessions.create)',
    ],
    ['GET', '/organizations/org-payments/sessions', 'GET /v3/organizations/{org_id}/sessions (org.sessions.list)'],
    ['GET', '/v3/Self', 'GET /v3/self (self.get)'],
    ['GET', '/v3/enterprise/audit_logs', 'GET /v3/enterprise/audit-logs (ent.audit-logs.list)'],
    ['GET', '/v3/nothing/of/the/kind/at/all', null],
  ])('to an unknown path names the nearest: %s %s', async (method, path, nearest) => {
    const found = await asData('--team', 'payments', method, path)
    expect([found.code, found.problem, found.nearest]).toEqual([1, 'unknown-operation', nearest])
  })

  test.each([
    [
      ['org.sesions.list'],
      /^devin-gateway explain: unknown operation "org\.sesions\.list"; did you mean "org\.sessions\.list"\?/,
    ],
    [
      ['org.sesions.*'],
      /^devin-gateway explain: the pattern "org\.sesions\.\*" covers no operation.*did you mean "org\.sessions\.\*"\?/,
    ],
    [
      ['ViewOrgSesions'],
      /^devin-gateway explain: unknown permission "ViewOrgSesions"; did you mean "ViewOrgSessions"\?/,
    ],
    [['POST', 'org.sessions.list'], /^devin-gateway explain: org\.sessions\.list is GET \/v3.*, and not POST/],
    [['GET', sessions, 'more'], /^devin-gateway explain: "more" is one argument too many/],
  ])('%j is 2 and says what was meant', async (args, message) => {
    const ended = await explained('--team', 'payments', ...args)
    expect([ended.code, firstLine(ended)]).toEqual([2, expect.stringMatching(message)])
  })
})

describe('a token', () => {
  const file = (name: string): string => join(running.directory, name)
  const explainToken = async (token: string, ...args: string[]): Promise<Explanation & { code: number | null }> => {
    await writeFile(file('token'), `${token}\n`)
    const found = await asData('--token', file('token'), ...args, 'GET', sessions)
    // A token is a secret.
    expect(JSON.stringify(found)).not.toContain(token.split('.')[2] ?? 'none')
    return found
  }

  test('is verified, and explained as the gateway would decide', async () => {
    const token = await running.token()
    expect(await explainToken(token)).toMatchObject({ code: 0, effect: 'allow', grant: 'run-sessions' })
    expect(await explainToken(`Bearer ${token}`)).toMatchObject({ effect: 'allow' })
    expect((await running.call(sessions, { token })).status).toBe(200)
    expect(await explainToken(await running.token({ groups: ['nobody'] }))).toMatchObject({
      code: 1,
      reason: 'no-team',
    })
  })

  test('comes from standard input as well', async () => {
    const token = await running.token()
    const child = spawn(process.execPath, [commandFile, 'explain', '--token', '-', 'GET', sessions, ...config()], {
      env: { ...usualKeys, PATH: process.env['PATH'] ?? '' },
    })
    child.stdin.end(token)
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    await new Promise((resolve) => child.once('close', resolve))
    expect(out).toMatch(/\nallow \(granted\), policy revision /)
  })

  test('and its body come from standard input one at a time', async () => {
    const create = ['--team', 'pipelines', '--claim', 'roles=admin', '--body', '-', 'POST', sessions]
    const child = spawn(process.execPath, [commandFile, 'explain', ...create, ...config()], {
      env: { ...usualKeys, PATH: process.env['PATH'] ?? '' },
    })
    child.stdin.end('{"prompt": "x"}\n')
    expect(await readText(child.stdout)).toMatch(/\nallow \(granted\), policy revision /)
    const { code, err } = await explained('--token', '-', '--body', '-', 'POST', sessions)
    expect([code, err]).toEqual([2, expect.stringContaining('--token - and --body - both read standard input')])
  })

  test('that the gateway refuses is refused, with the reason', async () => {
    const now = Math.floor(Date.now() / 1000)
    const cases: [string, string][] = [
      [await running.token({ aud: 'somebody-else' }), 'audience-mismatch'],
      [await running.token({ iss: 'https://nobody.test' }), 'issuer-unknown'],
      [`${await running.token()}x`, 'malformed'],
      ['not a token', 'authorization-field'],
      ['cog_0123456789abcdef0123456789', 'devin-key-sent'],
    ]
    for (const [token, reason] of cases) {
      const answer = await running.call(sessions, { token })
      const found = await explainToken(token)
      expect([found.code, found.effect, found.steps[0]?.stage], reason).toEqual([1, 'deny', 'token'])
      const problem = (await answer.json()) as { type: string }
      expect(found.problem, reason).toBe(problem.type.split('/').at(-1))
    }
    // What an expired one would be allowed is told beside the refusal.
    const expired = await explainToken(await running.token({ iat: now - 7200, exp: now - 3600 }))
    expect(expired).toMatchObject({
      effect: 'deny',
      reason: 'token-expired',
      problem: 'token-expired',
      grant: 'run-sessions',
    })
    expect(expired.steps.map(({ stage }) => stage)).toContain('decision')
  })

  test('is explained without its signature where the keys cannot be fetched, and says so', async () => {
    const text = await readFile(join(running.directory, 'gateway.yaml'), 'utf8')
    await writeFile(file('offline.yaml'), text.replace(/jwks_uri: \S+/, 'jwks_uri: http://127.0.0.1:9/jwks'))
    await writeFile(file('token'), await running.token())
    const { code, out } = await callCommand(
      ['explain', '--token', file('token'), 'GET', sessions, '--config', file('offline.yaml')],
      usualKeys,
    )
    expect([code, out.split('\n')[0]]).toEqual([
      0,
      expect.stringMatching(/^· note {6}the signature is not checked: the keys of /),
    ])
  })

  test('that is empty is said so', async () => {
    const file = join(running.directory, 'empty-token')
    await writeFile(file, ' \n')
    const ended = await explained('--token', file, 'GET', sessions)
    expect([ended.code, firstLine(ended)]).toEqual([
      2,
      `devin-gateway explain: ${file} is empty: it should hold the token`,
    ])
  })

  test('that cannot be read is said so', async () => {
    const ended = await explained('--token', '/nowhere/token', 'GET', sessions)
    expect([ended.code, firstLine(ended)]).toEqual([
      1,
      'devin-gateway explain: /nowhere/token cannot be read: there is no such file',
    ])
  })
})

describe('a recorded decision', () => {
  interface Again extends Explanation {
    readonly same: boolean
    readonly missing: readonly string[]
    readonly recorded: RecordedDecision
  }
  const again = async (id: string, ...args: string[]): Promise<Again & { code: number | null }> =>
    (await asData('--decision', id, ...args)) as Again & { code: number | null }
  /** Sends a request, and waits for its records. */
  const decided = async (path: string, init: Parameters<RunningGateway['call']>[1] = {}): Promise<string> => {
    const id = (await running.call(path, init)).headers.get('gateway-decision') ?? ''
    await running.recordsOf(id)
    return id
  }
  const post = (body: unknown, claims?: Readonly<Record<string, unknown>>): Parameters<RunningGateway['call']>[1] => ({
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(claims === undefined ? {} : { claims }),
  })

  test('is made again with what the record holds', async () => {
    const leads = { groups: ['sso-payments-eng', 'payments-leads'] }
    const requests: [string, Parameters<RunningGateway['call']>[1], Partial<Explanation>][] = [
      [sessions, {}, { effect: 'allow', grant: 'run-sessions', key: 'payments-runner' }],
      ['/v3/organizations/org-other/sessions', {}, { effect: 'deny', reason: 'organization-not-granted' }],
      [`${sessions}?org_id=org-else`, {}, { effect: 'deny', reason: 'organization-not-granted' }],
      ['/v3/enterprise/sessions?org_ids=org-payments', { claims: { groups: ['sso-analytics'] } }, { effect: 'allow' }],
      [sessions, post({ prompt: 'x' }), { effect: 'allow', guardrails: ['bounded'] }],
      [sessions, post({ prompt: 'x', max_acu_limit: 99 }), { effect: 'deny', reason: 'guardrail' }],
      [sessions, post({ prompt: 'x', create_as_user_id: 'u' }), { effect: 'deny', reason: 'not-granted' }],
      [sessions, post({ create_as_user_id: 'u' }, leads), { effect: 'allow', key: 'payments-impersonator' }],
      [sessions, { claims: { groups: [], repository_id: '77', build: { env: 'prod' } } }, { team: 'pipelines' }],
      [sessions, { claims: { groups: ['nobody'] } }, { reason: 'no-team' }],
    ]
    for (const [path, init, expected] of requests) {
      const id = await decided(path, init)
      const found = await again(id)
      expect(found, path).toMatchObject({ ...expected, same: true, missing: [] })
      expect(found.recorded.decision_id).toBe(id)
    }
  })

  test('is looked for in the files that are named, compressed ones too, by the id of the request as well', async () => {
    const id = await decided(sessions, { headers: { 'x-request-id': 'my-own-id-1' } })
    const text = await readFile(join(running.directory, 'decisions.ndjson'))
    const [plain, gzip, zstd] = ['old.ndjson', 'old.ndjson.gz', 'old.ndjson.zst'].map((name) =>
      join(running.directory, name),
    )
    await writeFile(plain ?? '', 'not json at all\n{"half": ')
    await writeFile(gzip ?? '', gzipSync(text))
    await writeFile(zstd ?? '', zstdCompressSync(text))
    expect((await again(id, '--log', plain ?? '', '--log', gzip ?? '')).same).toBe(true)
    // A shell expands a pattern to words.
    expect((await again(id, '--log', plain ?? '', zstd ?? '')).same).toBe(true)
    expect((await again('my-own-id-1')).recorded.decision_id).toBe(id)
    const ended = await explained('--decision', id, '--log', plain ?? '')
    expect([ended.code, ended.err]).toEqual([
      1,
      expect.stringMatching(
        /no decision "[0-9a-f-]+" in 2 lines of .*old\.ndjson\. Its id is in the Gateway-Decision field/,
      ),
    ])
    // The beginning of an id is enough where it fits no other one, also without the name of the option.
    expect((await again(id.slice(0, 20))).recorded.decision_id).toBe(id)
    const empty = join(running.directory, 'empty.ndjson')
    await writeFile(empty, '')
    const begun = await explained(id.slice(0, 9), '--log', empty)
    expect([begun.code, begun.err]).toEqual([1, expect.stringMatching(/no decision "[0-9a-f]{8}-" in 0 lines of/)])
    const others = join(running.directory, 'alike.ndjson')
    const line =
      text
        .toString()
        .split('\n')
        .find((each) => each.includes(id)) ?? ''
    const twin = `${id.slice(0, -1)}${id.endsWith('0') ? '1' : '0'}`
    await writeFile(others, `${line}\n${line.replaceAll(id, twin)}\n`)
    const several = await explained('--decision', id.slice(0, -1), '--log', others)
    expect([several.code, several.err]).toEqual([
      1,
      expect.stringContaining(
        `several decisions begin with "${id.slice(0, -1)}": ${id}, ${twin}. Write more of the id`,
      ),
    ])
    const nowhere = await explained('--decision', id, '--log', '/nowhere/x.gz')
    expect([nowhere.code, nowhere.err]).toEqual([
      1,
      expect.stringContaining('/nowhere/x.gz cannot be read: there is no such file'),
    ])
    const address = await explained('--decision', id, '--log', 'https://logs.test/x.ndjson')
    expect([address.code, address.err]).toEqual([
      1,
      expect.stringContaining('cannot be read: it is an address, and a file is expected: download it first'),
    ])
  })

  test('of a request without a known caller or operation says why it cannot be made again', async () => {
    const unknown = await explained('--decision', await decided('/v3/nothing'))
    expect([unknown.code, unknown.err]).toEqual([
      1,
      expect.stringContaining('no operation was found: unknown-operation'),
    ])
    const nobody = await explained('--decision', await decided(sessions, { token: null }))
    expect([nobody.code, nobody.err]).toEqual([1, expect.stringContaining('the caller was not known: token-missing')])
    const broken = await explained('--decision', await decided(sessions, { token: 'bad' }))
    expect(broken.err).toContain('. It was recorded at ')
    expect(broken.err).not.toContain('..')
  })

  test('of an issuer that is not trusted any more is denied now', async () => {
    const id = await decided(sessions)
    const file = join(running.directory, 'other-issuer.yaml')
    const text = await readFile(join(running.directory, 'gateway.yaml'), 'utf8')
    await writeFile(file, text.replace(`issuer: ${running.issuer.issuer}`, 'issuer: https://sso.next.test'))
    const { code, out } = await callCommand(['explain', '--decision', id, '--config', file], usualKeys)
    expect([code, out]).toEqual([
      1,
      expect.stringContaining('now decided otherwise: allow (granted) then, deny (issuer-unknown) now'),
    ])
  })

  test('under other policies shows what differs, and what the record does not hold', async () => {
    const id = await decided(sessions)
    const other = join(running.directory, 'other')
    const { mkdir } = await import('node:fs/promises')
    await mkdir(join(other, 'teams'), { recursive: true })
    await writeFile(join(other, 'keys.yaml'), usualPolicies['keys.yaml'] ?? '')
    const team = usualPolicies['teams/payments.yaml'] ?? ''
    await writeFile(
      join(other, 'teams/payments.yaml'),
      team.replace('allow: [ViewOrgSessions,', 'when: { claims: { shift: [night] } }\n    allow: [ViewOrgSessions,'),
    )
    const { code, out } = await explained('--decision', id, '--policies', other)
    expect(code).toBe(1)
    expect(out).toMatch(
      /^· note {6}recorded at \S+: allow \(granted\) by grant run-sessions of team payments, with key payments-runner, under policy revision [0-9a-f]{12}\n/,
    )
    expect(out).toContain('· note      the record does not hold the claim shift\n')
    expect(out).toContain('· note      now decided otherwise: allow (granted) then, deny (not-granted) now\n')
    expect(out).toMatch(/\ndeny \(not-granted\), policy revision /)
  })
})
