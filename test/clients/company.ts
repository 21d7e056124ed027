// The sandbox company as client programs meet it: the real gateway on a free port in front of the simulator, with teams
// for the programs of this folder. A program gets a base address and a token, as it would get them from its operator.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '../../src/records/log.ts'
import { signSandboxToken } from '../../src/sandbox/issuer.ts'
import { startSandbox } from '../../src/sandbox/sandbox.ts'
import type { SeenRequest } from '../../src/sandbox/simulator/server.ts'

export interface Company {
  /** Address of the gateway without a final slash, and its port. */
  readonly base: string
  readonly port: number
  /** A token of one of the applications: `builder`, `dashboard`, `hasty`, or one that no team knows. */
  token(app: string, ttlSeconds?: number): Promise<string>
  /** What reached the Devin API since this was last asked, uploads and downloads included. */
  arrived(): readonly SeenRequest[]
  close(): Promise<void>
}

/** The organization that `builder` and `hasty` belong to. */
export const organization = 'org-platform'

const teams: Readonly<Record<string, string>> = {
  builders: `team: builders
members: [{ app: [builder] }]
organizations: [${organization}]
default_organization: ${organization}
grants:
  - id: everything-in-one-organization
    allow: [org.sessions.*, org.attachments.*, org.playbooks.*, org.knowledge.*, org.secrets.*, org.schedules.*]
`,
  dashboards: `team: dashboards
members: [{ app: [dashboard] }]
organizations: all
grants:
  - id: figures
    allow: [ent.consumption.daily.*, ent.consumption.cycles.list, ent.metrics.*, ent.sessions.list]
  - id: people
    allow: [ent.organizations.list, ent.members.users.*]
`,
  hasty: `team: hasty
members: [{ app: [hasty] }]
organizations: [${organization}]
grants:
  - id: sessions
    allow: [org.sessions.*]
limits:
  requests: 3/s
`,
}

const keys = `keys:
  - id: platform-runner
    scope: organization
    organization: ${organization}
    permissions:
      [ViewOrgSessions, ManageOrgSessions, UseDevinSessions, ManageOrgKnowledge, ManageOrgPlaybooks, ManageOrgSchedules, ManageOrgSecrets]
    secret: { env: PLATFORM_RUNNER_KEY }
  - id: analytics
    scope: enterprise
    permissions: [ViewAccountMetrics, ViewAccountConsumption, ManageBilling, ViewAccountSessions]
    secret: { env: ANALYTICS_KEY }
  - id: directory
    scope: enterprise
    permissions: [ManageOrganizations, ViewAccountMembership, ManageAccountMembership]
    secret: { env: DIRECTORY_KEY }
`

const config = (tls: string): string => `listen:
  gateway: \${GATEWAY_LISTEN}
  admin: \${GATEWAY_ADMIN_LISTEN}
${tls}
upstream: { origin: '\${GATEWAY_UPSTREAM_ORIGIN}' }
issuers:
  - issuer: \${GATEWAY_ISSUER}
    audience: devin-gateway
    jwks_uri: \${GATEWAY_JWKS_URI}
policies: policies
records:
  access: \${GATEWAY_LOG_DIR}/access.ndjson
  decisions: \${GATEWAY_LOG_DIR}/decisions.ndjson
  audit: \${GATEWAY_LOG_DIR}/audit.ndjson
shutdown: { delay: 0s, deadline: 5s }
`

/** Starts the company; with a certificate (PEM) its gateway speaks TLS and HTTP/2. */
export async function openCompany(certificate?: { readonly cert: string; readonly key: string }): Promise<Company> {
  const directory = await mkdtemp(join(tmpdir(), 'clients-'))
  await mkdir(join(directory, 'policies', 'teams'), { recursive: true })
  const put = (name: string, text: string): Promise<void> => writeFile(join(directory, name), text)
  for (const [team, text] of Object.entries(teams)) await put(`policies/teams/${team}.yaml`, text)
  await put('policies/keys.yaml', keys)
  if (certificate !== undefined) {
    await put('cert.pem', certificate.cert)
    await put('key.pem', certificate.key)
  }
  await put('gateway.yaml', config(certificate === undefined ? '' : '  tls: { cert: cert.pem, key: key.pem }'))
  const sandbox = await startSandbox({
    configFile: join(directory, 'gateway.yaml'),
    host: '127.0.0.1',
    port: 0,
    adminPort: 0,
    env: { GATEWAY_SANDBOX_STATE: join(directory, 'state') },
    log: createLog({ level: 'silent' }),
    version: 'test',
  })
  const { port } = sandbox.gateway.gateway
  let seen = 0
  return {
    base: `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    token: (app, ttlSeconds = 600) =>
      signSandboxToken(
        sandbox.directory,
        { sub: app, email: `${app}@corp.example`, groups: [], app, ttlSeconds },
        Date.now(),
      ),
    arrived() {
      const { requests } = sandbox.simulator
      const since = requests.slice(seen)
      seen = requests.length
      return since
    },
    async close() {
      await sandbox.close()
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
