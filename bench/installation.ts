// The gateway as a company would have it: configuration, policies of several teams, keys and records, in a directory of
// its own below the system's temporary one.

import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { audience, groupOf, organizationOf, teams } from './company.ts'
import type { Identity } from './identity.ts'
import type { KeyUse } from './workloads.ts'

export interface Ports {
  readonly gateway: number
  readonly admin: number
  readonly upstream: number
}

export interface Installation {
  readonly directory: string
  readonly configFile: string
  readonly issuer: string
  /** The issuer's public key as PEM. */
  readonly publicKeyFile: string
  /** The record files that grow with every request. */
  readonly records: { readonly access: string; readonly decisions: string }
  /** Value of the key with which a team's request must reach the upstream. */
  keyOf(team: string, use: KeyUse): string
  /** Removes the directory. */
  remove(): void
}

const everyTeam = [...teams.usual, ...teams.limited]

const keyPermissions: Readonly<Record<KeyUse, readonly string[]>> = {
  reader: ['ViewOrgSessions'],
  runner: ['ViewOrgSessions', 'ManageOrgSessions', 'ManageOrgKnowledge'],
}

export interface InstallationOptions {
  /** Address of a store that instances share; null for none. */
  readonly store?: string | null
  /** Whether the usual teams have limits, which are judged at every request and never reached. */
  readonly limits?: boolean
  /** Where traces go, and the share of them; null for none. */
  readonly telemetry?: { readonly otlp: string; readonly sample: number } | null
}

/** Writes everything that `devin-gateway start` needs. */
export function createInstallation(
  ports: Ports,
  identity: Identity,
  { store = null, limits = true, telemetry = null }: InstallationOptions = {},
): Installation {
  const directory = mkdtempSync(join(tmpdir(), 'devin-gateway-bench-'))
  const secrets = new Map<string, string>()
  for (const name of ['policies/teams', 'secrets', 'records'])
    mkdirSync(join(directory, name), { recursive: true, mode: 0o700 })
  const put = (name: string, document: unknown): void =>
    writeFileSync(join(directory, name), stringify(document, { aliasDuplicateObjects: false }))
  const records = {
    access: join(directory, 'records/access.ndjson'),
    decisions: join(directory, 'records/decisions.ndjson'),
  }

  const publicKeyFile = join(directory, 'public-key.pem')
  writeFileSync(publicKeyFile, identity.publicKeyPem)
  put('gateway.yaml', {
    listen: {
      gateway: `127.0.0.1:${ports.gateway}`,
      admin: `127.0.0.1:${ports.admin}`,
      // What a wrong signature costs is measured, and all clients have one address.
      max_anonymous: 0,
      max_anonymous_per_address: 0,
    },
    upstream: { origin: `http://127.0.0.1:${ports.upstream}` },
    issuers: [{ issuer: identity.issuer, audience, algorithms: ['RS256'], claims: { app: 'client_id' } }],
    policies: 'policies',
    records: { ...records, audit: join(directory, 'records/audit.ndjson') },
    shutdown: { delay: '0s', deadline: '5s' },
    ...(store === null ? {} : { store }),
    ...(telemetry === null ? {} : { telemetry }),
  })
  for (const team of teams.usual) put(`policies/teams/${team}.yaml`, teamPolicy(team, limits ? usualLimits : undefined))
  for (const team of teams.limited) put(`policies/teams/${team}.yaml`, teamPolicy(team, { requests: '1/day' }))
  put('policies/bench.test.yaml', everyTeam.map(policyTest))
  const inventory = everyTeam.flatMap((team) =>
    (['reader', 'runner'] as const).map((use) => {
      const id = `${team}-${use}`
      const value = `cog_${randomBytes(24).toString('hex')}`
      secrets.set(id, value)
      writeFileSync(join(directory, 'secrets', id), `${value}\n`, { mode: 0o600 })
      return {
        id,
        scope: 'organization',
        organization: organizationOf(team),
        permissions: keyPermissions[use],
        secret: { file: `../secrets/${id}` },
      }
    }),
  )
  put('policies/keys.yaml', { keys: inventory })

  return {
    directory,
    configFile: join(directory, 'gateway.yaml'),
    issuer: identity.issuer,
    publicKeyFile,
    records,
    keyOf: (team, use) => secrets.get(`${team}-${use}`) ?? '',
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

/** Judged at every request and never reached. */
const usualLimits = { requests: '100000000/min', concurrent: 10_000 }

function teamPolicy(team: string, limits: unknown): unknown {
  return {
    team,
    members: [{ groups: [groupOf(team)] }, { app: [`${team}-bot`] }],
    organizations: [organizationOf(team)],
    default_organization: organizationOf(team),
    grants: [
      { id: 'run-sessions', allow: ['ViewOrgSessions', 'ManageOrgSessions'] },
      { id: 'write-knowledge', allow: ['org.knowledge.notes.create', 'org.knowledge.notes.replace'] },
      { id: 'read-knowledge', allow: ['org.knowledge.notes.get', 'org.knowledge.notes.list'], mode: 'off' },
      { id: 'leads-schedule', allow: ['org.schedules.*'], when: { groups: [`${team}-leads`] } },
      { id: 'read-playbooks', allow: ['org.playbooks.get'], mode: 'shadow' },
    ],
    limits,
  }
}

function policyTest(team: string): unknown {
  const home = `/v3/organizations/${organizationOf(team)}`
  return {
    as: { groups: [groupOf(team)] },
    cases: [
      { do: `GET ${home}/sessions`, expect: 'allow', grant: 'run-sessions', key: `${team}-reader` },
      { do: `GET ${home}/secrets`, expect: 'deny', reason: 'not-granted' },
    ],
  }
}
