// A configuration as the sandbox runs it: policies, limits and claims are its own; everything around is on this machine.

import { existsSync } from 'node:fs'
import path from 'node:path'
import { loadConfig, type LoadedConfig } from '../config/load.ts'
import type { GatewayDocument } from '../config/schema.ts'
import { parseUpstream, type ListenAddress } from '../config/values/addresses.ts'

/** The issuer of the sample configuration. A name, not an address: the keys come from `jwks_uri`. */
export const sandboxIssuer = 'https://sso.sandbox.example'

/** What stands around the gateway. */
export interface Surroundings {
  readonly gateway: ListenAddress
  readonly admin: ListenAddress
  /** Origin of the simulator. */
  readonly upstream: string
  /** The sandbox issuer's key set, which verifies the tokens of every configured issuer. */
  readonly jwksUri: string
  readonly recordsDirectory: string
  readonly budgetJournal: string
}

/** Where nothing runs: enough to know policies, issuers and claims. */
export const noSurroundings: Surroundings = {
  gateway: { host: '127.0.0.1', port: 0 },
  admin: { host: '127.0.0.1', port: 0 },
  upstream: 'http://127.0.0.1:9',
  jwksUri: 'http://127.0.0.1:9/jwks',
  recordsDirectory: '/',
  budgetJournal: '/budgets.journal',
}

/**
 * Loads a configuration for the sandbox. Files of production that this machine may lack (authorities, the certificate, secrets of
 * the store) are not needed. Throws `Refused` with every diagnostic.
 */
export async function loadSandboxConfig(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
  around: Surroundings,
): Promise<LoadedConfig> {
  return await loadConfig(
    file,
    { ...env, ...environmentOf(around) },
    { adapt: (written) => adapt(written, path.dirname(path.resolve(file)), around) },
  )
}

/** A configuration that takes these from the environment, as the sample does, finds them. */
function environmentOf({ gateway, admin, upstream, jwksUri, recordsDirectory }: Surroundings): Record<string, string> {
  return {
    GATEWAY_LISTEN: `${gateway.host}:${gateway.port}`,
    GATEWAY_ADMIN_LISTEN: `${admin.host}:${admin.port}`,
    GATEWAY_UPSTREAM_ORIGIN: upstream,
    GATEWAY_ISSUER: sandboxIssuer,
    GATEWAY_JWKS_URI: jwksUri,
    GATEWAY_LOG_DIR: recordsDirectory,
  }
}

function adapt(written: GatewayDocument, folder: string, around: Surroundings): GatewayDocument {
  const { listen, upstream, issuers, records, budgets } = written
  const origin = parseUpstream(around.upstream)
  if ('error' in origin) throw new Error(`the simulator's address ${around.upstream}: ${origin.error}`)
  const { tls } = listen
  const hasCertificate =
    tls !== undefined && [tls.cert, tls.key].every((file) => existsSync(path.resolve(folder, file)))
  const place = (target: string): string =>
    target === 'stdout' || target === 'stderr' ? target : path.join(around.recordsDirectory, path.basename(target))
  return {
    ...written,
    listen: {
      ...listen,
      gateway: around.gateway,
      admin: around.admin,
      health: undefined,
      tls: hasCertificate ? tls : undefined,
      admin_tls: undefined,
    },
    // The sandbox's listener is on loopback, and its issuer has no people who sign in.
    admin: { ...written.admin, auth: undefined },
    upstream: { ...upstream, origin: origin.value, ca: undefined },
    issuers: issuers.map((issuer) => ({ ...issuer, jwks_uri: around.jwksUri, ca: undefined, algorithms: ['ES256'] })),
    store: null,
    budgets: { ...budgets, journal: around.budgetJournal },
    records: {
      ...records,
      access: place(records.access),
      decisions: place(records.decisions),
      audit: place(records.audit),
    },
  }
}
