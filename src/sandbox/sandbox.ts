// The sandbox: the real gateway with the sample configuration, in front of a simulator of the Devin API, with an SSO
// issuer of its own. Nothing else is needed; nothing leaves the machine.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../config/load.ts'
import type { Log } from '../records/log.ts'
import { startGateway, type Gateway } from '../runtime.ts'
import { createSandboxIssuer, sandboxIssuer, sandboxStateDirectory, type SandboxIssuer } from './issuer.ts'
import { createSimulator, type Simulator } from './simulator/server.ts'
import { createSandboxWorld, sandboxServiceUsers } from './world/world.ts'

export interface Sandbox {
  readonly gateway: Gateway
  /** What callers speak: the configuration may name a certificate. */
  readonly scheme: 'http' | 'https'
  readonly simulator: Simulator
  readonly issuer: SandboxIssuer
  /** Folder with the issuer's keys and the records. */
  readonly directory: string
  close(): Promise<void>
}

export interface SandboxOptions {
  /** Sample configuration to run; its `${…}` are pointed at the sandbox. */
  readonly configFile: string
  readonly host: string
  readonly port: number
  readonly adminPort: number
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
  readonly version: string
}

/** Starts simulator, issuer and gateway. Throws what `startGateway` throws, and for a port in use. */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const directory = await sandboxStateDirectory(options.env)
  const keyValues = newKeyValues()
  const simulator = await createSimulator({ world: createSandboxWorld(keyValues) })
  const issuer = await createSandboxIssuer(directory)
  // The company is new at every start, and so is what it has spent.
  const passing = await mkdtemp(join(tmpdir(), 'gateway-sandbox-'))
  const closeOthers = async (): Promise<void> => {
    await Promise.all([simulator.close(), issuer.close(), rm(passing, { recursive: true, force: true })])
  }
  try {
    const env = {
      ...options.env,
      ...sandboxEnvironment(options, directory, simulator, issuer),
      ...keyEnvironment(keyValues),
    }
    const { config: written } = await loadConfig(options.configFile, env)
    const config = { ...written, budgets: { ...written.budgets, journalFile: join(passing, 'budgets.journal') } }
    const gateway = await startGateway({ config, env, log: options.log, version: options.version })
    await untilReady(gateway)
    return {
      gateway,
      scheme: config.listen.tls === null ? 'http' : 'https',
      simulator,
      issuer,
      directory,
      async close() {
        await gateway.drain()
        await closeOthers()
      },
    }
  } catch (error) {
    await closeOthers()
    throw error
  }
}

/** The banner promises that the first request works. The issuer is a neighbour, so this takes a moment only. */
async function untilReady(gateway: Gateway): Promise<void> {
  for (let tries = 0; tries < 200 && !gateway.readiness().ready; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** New key values at every start: there is nothing to copy and nothing to leak. */
function newKeyValues(): Record<string, string> {
  return Object.fromEntries(sandboxServiceUsers.map(({ id }) => [id, `cog_${randomBytes(24).toString('base64url')}`]))
}

function keyEnvironment(keyValues: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(keyValues).map(([id, value]) => [`${id.toUpperCase().replaceAll('-', '_')}_KEY`, value]),
  )
}

function sandboxEnvironment(
  options: SandboxOptions,
  directory: string,
  simulator: Simulator,
  issuer: SandboxIssuer,
): Record<string, string> {
  return {
    GATEWAY_LISTEN: `${options.host}:${options.port}`,
    GATEWAY_ADMIN_LISTEN: `127.0.0.1:${options.adminPort}`,
    GATEWAY_UPSTREAM_ORIGIN: simulator.origin,
    GATEWAY_ISSUER: sandboxIssuer,
    GATEWAY_JWKS_URI: issuer.jwksUri,
    GATEWAY_LOG_DIR: join(directory, 'records'),
  }
}
