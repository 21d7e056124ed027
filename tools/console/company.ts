// The sandbox company at work, for the pictures of the console: teams that call, are refused, and reach their limits.

import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createLog } from '../../src/records/log.ts'
import { signSandboxToken, type SandboxClaims } from '../../src/sandbox/issuer.ts'
import { startSandbox } from '../../src/sandbox/sandbox.ts'

const root = join(import.meta.dirname, '../..')

interface Member {
  readonly claims: Omit<SandboxClaims, 'email' | 'ttlSeconds' | 'actor'>
  readonly calls: readonly (readonly [method: string, path: string, body?: object])[]
  /** Each step, how many calls. */
  readonly each: number
}

const payments = '/v3/organizations/org-payments'
const platform = '/v3/organizations/org-platform'
const members: readonly Member[] = [
  {
    claims: { sub: 'ada', groups: ['sso-payments-eng'], app: null },
    calls: [
      ['GET', `${payments}/sessions`],
      ['GET', `${payments}/playbooks`],
      ['GET', `${payments}/sessions?first=20`],
      ['GET', `${payments}/secrets`],
    ],
    each: 3,
  },
  {
    claims: { sub: 'svc-payments-bot', groups: [], app: 'payments-bot' },
    calls: [
      ['GET', `${payments}/sessions`],
      ['GET', `${payments}/sessions?first=5`],
      ['GET', `${payments}/playbooks`],
      ['GET', `${payments}/sessions?first=10`],
      ['GET', `${payments}/sessions`],
      ['GET', `${payments}/sessions?first=5`],
      ['POST', `${payments}/sessions`, { prompt: 'Fix the build', max_acu_limit: 10 }],
      ['GET', '/v3/organizations/org-research/sessions'],
    ],
    each: 1,
  },
  {
    claims: { sub: 'cost-report', groups: ['sso-analytics'], app: 'cost-dashboard' },
    calls: [
      ['GET', '/v3/enterprise/consumption/cycles'],
      ['GET', '/v3/enterprise/sessions?first=50'],
      ['GET', '/v3/enterprise/organizations'],
      ['GET', '/v3/enterprise/metrics/usage'],
    ],
    each: 5,
  },
  {
    claims: { sub: 'dana', groups: ['Corp/Platform Engineering', 'sso-platform-maintainers'], app: null },
    calls: [
      ['GET', `${platform}/sessions`],
      ['GET', `${platform}/playbooks`],
      ['GET', `${platform}/secrets`],
      ['GET', '/v3/enterprise/sessions'],
    ],
    each: 3,
  },
  {
    claims: { sub: 'release', groups: [], app: 'release-bot' },
    calls: [
      ['GET', `${platform}/sessions/devin-1`],
      ['GET', `${platform}/sessions/devin-1/messages`],
    ],
    each: 1,
  },
  {
    claims: { sub: 'contractor-7', groups: ['sso-payments-eng'], app: null },
    calls: [['GET', `${payments}/sessions`]],
    each: 1,
  },
]

export interface Company {
  readonly adminUrl: string
  /** One round of calls of all members. */
  work(round: number): Promise<void>
  close(): Promise<void>
}

/**
 * Starts the company in a folder that does not exist yet, and that messages name. A policy change has been refused, and a caller is
 * blocked whose token leaked.
 */
export async function startCompany(directory: string): Promise<Company> {
  await mkdir(directory)
  for (const name of ['config', 'policies']) await cp(join(root, name), join(directory, name), { recursive: true })
  // What the owner of the payments team tries beside the policies in force.
  const next = join(directory, 'policies-next')
  await cp(join(root, 'policies'), next, { recursive: true })
  // It says what the policies in force decide.
  await rm(join(next, 'payments.test.yaml'))
  const tried = join(next, 'teams/payments.yaml')
  await writeFile(
    tried,
    (await readFile(tried, 'utf8'))
      .replace('allow: [ManageOrgSecrets]\n    mode: off', 'allow: [org.secrets.list]')
      .replace('allow: [org.playbooks.list, org.playbooks.get]', 'allow: [org.playbooks.get]'),
  )
  const config = join(directory, 'config/gateway.yaml')
  await writeFile(
    config,
    `${(await readFile(config, 'utf8')).replace('access: stdout', 'access: access.ndjson')}\nshadow_policies: ../policies-next\n`,
  )
  const env = { GATEWAY_SANDBOX_STATE: join(directory, 'state') }
  const sandbox = await startSandbox({
    configFile: config,
    host: '127.0.0.1',
    port: 0,
    adminPort: 0,
    env,
    log: createLog({ level: 'silent' }),
    version: (JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }).version,
  })
  const { gateway, admin } = sandbox.addresses
  const callers = await Promise.all(
    members.map(async ({ claims, ...rest }) => ({
      ...rest,
      token: await signSandboxToken(
        sandbox.directory,
        { ...claims, actor: null, email: `${claims.sub}@corp.example`, ttlSeconds: 7200 },
        Date.now(),
      ),
    })),
  )
  const change = (path: string, body?: object): Promise<Response> =>
    fetch(`${admin}${path}`, {
      method: 'POST',
      headers: { 'gateway-console': '1', 'content-type': 'application/json' },
      body: JSON.stringify(body ?? {}),
    })
  const wanted = { kind: 'subject', value: 'contractor-7', reason: 'INC-4711: token found in a public repository' }
  await change('/api/blocks', { ...wanted, for: '12h' })
  const team = join(directory, 'policies/teams/analytics.yaml')
  await writeFile(team, `${await readFile(team, 'utf8')}\n  - id: read-members\n    alow: [ent.members.*.list]\n`)
  await change('/api/reload')
  return {
    adminUrl: admin,
    async work(round) {
      await Promise.all(
        callers.map(async ({ calls, each, token }) => {
          for (let count = 0; count < each; count += 1) {
            const [method, path, body] = calls[(round * each + count) % calls.length] ?? ['GET', '/v3/self']
            const answer = await fetch(`${gateway}${path}`, {
              method,
              headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
              ...(body === undefined ? {} : { body: JSON.stringify(body) }),
            })
            await answer.arrayBuffer()
          }
        }),
      )
    },
    async close() {
      await sandbox.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
