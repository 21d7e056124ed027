// The installation that is attacked: two teams attack, one with tight limits and one without; the others are the
// neighbours whose calls are timed. TLS is on, so that attacks over HTTP/2 reach the same gateway.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse, stringify } from 'yaml'
import { createAuthority } from '../../test/support/certificates.ts'
import { groupOf, organizationOf } from '../company.ts'
import type { Caller } from '../identity.ts'
import { gateway } from '../peers/node.ts'
import { startServer, type Running } from '../peers/peer.ts'
import { accepts, startProcess, untilReady } from '../processes.ts'
import { openGround, type Ground } from '../site.ts'

/** The teams that attack: one with tight limits, one with none. */
export const attackingTeams = { limited: 'payments', unlimited: 'checkout' } as const

export interface DrillSite {
  readonly ground: Ground
  readonly gateway: Running
  /** PEM of the authority that signed the gateway's certificate. */
  readonly ca: string
  readonly attackers: readonly Caller[]
  readonly neighbours: readonly Caller[]
}

/** Writes the installation and starts the upstream and the gateway. `ground.close()` stops all of it. */
export async function openDrillSite(): Promise<DrillSite> {
  const ground = await openGround()
  const { installation, ports } = ground.site
  const authority = createAuthority('Drill CA')
  const certificate = authority.issue({ name: '127.0.0.1' })
  const { directory } = installation
  mkdirSync(join(directory, 'tls'), { recursive: true, mode: 0o700 })
  writeFileSync(join(directory, 'tls/cert.pem'), certificate.cert)
  writeFileSync(join(directory, 'tls/key.pem'), certificate.key, { mode: 0o600 })
  change(join(directory, 'gateway.yaml'), (document) => {
    const { gateway: at, admin } = Object(document['listen']) as Document
    return { ...document, listen: { gateway: at, admin, tls: { cert: 'tls/cert.pem', key: 'tls/key.pem' } } }
  })
  for (const [kind, team] of Object.entries(attackingTeams))
    change(join(directory, `policies/teams/${team}.yaml`), (document) => ({
      ...document,
      members: [{ groups: [groupOf(team)] }, { app: appsOf(team) }],
      grants: [{ id: 'run-sessions', allow: ['ViewOrgSessions', 'ManageOrgSessions', 'UseDevinSessions'] }],
      limits: kind === 'limited' ? { writes: '30/min', concurrent: 10 } : undefined,
    }))
  change(join(directory, 'policies/keys.yaml'), (document) => ({
    keys: (Array.isArray(document['keys']) ? document['keys'] : []).map((key: Readonly<Record<string, unknown>>) =>
      Object.values(attackingTeams).some((team) => key['id'] === `${team}-runner`)
        ? { ...key, permissions: ['ViewOrgSessions', 'ManageOrgSessions', 'UseDevinSessions'] }
        : key,
    ),
  }))
  writeFileSync(
    join(directory, 'policies/guardrails.yaml'),
    stringify({
      guardrails: [
        { id: 'bounded-sessions', on: ['org.sessions.create'], teams: 'all', body: { max_acu_limit: { at_most: 25 } } },
      ],
    }),
  )
  const upstream = startProcess(
    process.execPath,
    [fileURLToPath(new URL('upstream-server.ts', import.meta.url)), String(ports.upstream)],
    { core: ground.loadCore },
  )
  ground.onClose(() => upstream.stop())
  await untilReady('the upstream', upstream, () => accepts(ports.upstream))
  const running = await startServer(gateway, ground.site)
  ground.onClose(() => running.process.stop())
  const usual = ground.callers.filter(({ limited }) => !limited)
  return {
    ground,
    gateway: running,
    ca: authority.ca,
    attackers: usual.filter(({ team }) => isAttacking(team)),
    neighbours: usual.filter(({ team }) => !isAttacking(team)),
  }
}

/** Path of an organization's operations. */
export function homeOf(team: string): string {
  return `/v3/organizations/${organizationOf(team)}`
}

function isAttacking(team: string): boolean {
  return Object.values<string>(attackingTeams).includes(team)
}

function appsOf(team: string): readonly string[] {
  return ['bot', 'builds', 'reports', 'nightly'].map((kind) => `${team}-${kind}`)
}

type Document = Readonly<Record<string, unknown>>

function change(file: string, edit: (document: Document) => Document): void {
  writeFileSync(file, stringify(edit(parse(readFileSync(file, 'utf8')) as Document), { aliasDuplicateObjects: false }))
}
