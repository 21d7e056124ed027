// A company whose keys are rotated: policies, keys in files, and the simulated Devin that knows them.

import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-ports.ts'
import { createSimulator, type SeenRequest, type Simulator } from '../../src/sandbox/simulator/server.ts'
import { createSandboxWorld } from '../../src/sandbox/world/world.ts'
import type { RunningGateway } from './start-gateway.ts'

/** The value that a key has before its first rotation. */
export const valueOf = (id: string): string => `cog_${id}-0123456789abcdef`

export const rotationPolicies = {
  'teams/payments.yaml': `team: payments
members: [{ groups: [sso-payments-eng] }]
organizations: [org-payments]
grants: [{ id: run, allow: [ViewOrgSessions, ManageOrgSessions] }]
limits: { attempts: 100000/min }
cache: { at_most: 0s }
`,
  'teams/analytics.yaml': `team: analytics
members: [{ groups: [sso-analytics] }]
organizations: [org-payments, org-platform]
grants: [{ id: read, allow: [ent.sessions.list] }]
cache: { at_most: 0s }
`,
  'guardrails.yaml': `guardrails:
  - { id: own, on: [ent.sessions.list], response: { filter_items_by: organizations } }
`,
  'keys.yaml': `keys:
  - id: payments-runner
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions]
    secret: { file: ../payments-runner.key }
  - id: analytics
    scope: enterprise
    permissions: [ViewAccountMetrics, ViewAccountConsumption, ManageBilling, ViewAccountSessions]
    secret: { file: ../analytics.key }
  - id: key-officer
    scope: enterprise
    permissions: [ManageAccountServiceUsers]
    secret: { file: ../key-officer.key }
`,
}

export const rotationFiles = Object.fromEntries(
  ['payments-runner', 'analytics', 'key-officer'].map((id) => [`${id}.key`, `${valueOf(id)}\n`]),
)
export const rotationSessions = '/v3/organizations/org-payments/sessions'

export interface RotatedDevin {
  readonly simulator: Simulator
  readonly seen: SeenRequest[]
  /** Active API keys of a service user, by their names. */
  activeKeys(serviceUser: string): Promise<readonly { readonly id: string; readonly name: string }[]>
}

export async function startRotatedDevin(): Promise<RotatedDevin> {
  const seen: SeenRequest[] = []
  const simulator = await createSimulator({
    world: createSandboxWorld(valueOf),
    observe: (request) => void seen.push(request),
  })
  return {
    simulator,
    seen,
    async activeKeys(serviceUser) {
      const response = await fetch(
        `${simulator.origin}/v3beta1/enterprise/service-users/${serviceUser}/api-keys?status=active`,
        { headers: { authorization: `Bearer ${valueOf('key-officer')}` } },
      )
      const { items } = (await response.json()) as { items: { api_key_id: string; api_key_name: string }[] }
      return items.map(({ api_key_id: id, api_key_name: name }) => ({ id, name }))
    },
  }
}

/** A folder with a configuration, its policies and keys, that no gateway runs; its operators' listener is at a port that is free. */
export async function writeRotationSetup(origin: string, keys = rotationPolicies['keys.yaml']): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'gateway-rotation-'))
  await mkdir(join(directory, 'policies', 'teams'), { recursive: true })
  for (const [name, text] of Object.entries({ ...rotationPolicies, 'keys.yaml': keys }))
    await writeFile(join(directory, 'policies', name), text)
  for (const [name, text] of Object.entries(rotationFiles))
    await writeFile(join(directory, name), text, { mode: 0o640 })
  await writeFile(
    join(directory, 'gateway.yaml'),
    `listen: { gateway: "127.0.0.1:0", admin: "127.0.0.1:${await freePort()}" }
upstream: { origin: "${origin}" }
issuers: [{ issuer: "https://sso.corp.example", audience: devin-gateway, jwks_uri: "http://127.0.0.1:9/jwks" }]
policies: policies
records: { access: access.ndjson, decisions: decisions.ndjson, audit: audit.ndjson }
shutdown: { delay: 0s, deadline: 5s }
`,
  )
  return directory
}

/** A configuration by which commands find the listener of a gateway that a test has started on a free port. */
export async function configFor({ adminUrl, directory }: RunningGateway): Promise<string> {
  const file = join(directory, 'command.yaml')
  const text = await readFile(join(directory, 'gateway.yaml'), 'utf8')
  await writeFile(file, text.replace('admin: "127.0.0.1:0"', `admin: "${adminUrl.replace('http://', '')}"`))
  return file
}
