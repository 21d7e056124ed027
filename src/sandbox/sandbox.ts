// The sandbox: the real gateway with the sample or your configuration, in front of a simulator of the Devin API, with an SSO
// issuer of its own. Nothing else is needed; nothing leaves the machine.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../config/load.ts'
import type { PolicySet } from '../policy/model/policy-set.ts'
import type { Log } from '../records/log.ts'
import { startGateway, type Gateway } from '../runtime.ts'
import type { GatewayOptions } from '../runtime/core.ts'
import { companyOf } from './company.ts'
import { loadSandboxConfig } from './configuration.ts'
import { createSandboxIssuer, type SandboxIssuer } from './issuer.ts'
import { createSimulator, type Simulator } from './simulator/server.ts'
import { noteSandbox, sandboxStateDirectory } from './state-folder.ts'
import { createBareWorld, createSandboxWorld } from './world/world.ts'

export interface Sandbox {
  readonly gateway: Gateway
  /** Of its two listeners: `http://127.0.0.1:8080`, https where the configuration names a certificate. */
  readonly addresses: { readonly gateway: string; readonly admin: string }
  readonly config: Config
  readonly simulator: Simulator
  readonly issuer: SandboxIssuer
  /** Folder with the issuer's keys and the records. */
  readonly directory: string
  close(): Promise<void>
}

export interface SandboxOptions {
  readonly configFile: string
  /** Without the sample company: what the policies name is all that there is. */
  readonly bare?: boolean
  readonly host: string
  readonly port: number
  readonly adminPort: number
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
  readonly version: string
}

/** Starts simulator, issuer and gateway. Throws what `startGateway` throws, and for a port in use. */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { configFile, host, log, version } = options
  const directory = await sandboxStateDirectory(options.env)
  const keyValue = createKeyValues()
  let gateway: Gateway | null = null
  const company = rememberLatest((policy: PolicySet) => companyOf(policy, keyValue))
  const simulator = await createSimulator({
    world: options.bare === true ? createBareWorld() : createSandboxWorld(keyValue),
    declared: () => (gateway === null ? null : company(gateway.policy())),
  })
  const issuer = await createSandboxIssuer(directory)
  // The company is new at every start, and so is what it has spent.
  const passing = await mkdtemp(join(tmpdir(), 'gateway-sandbox-'))
  let forget = (): void => {}
  const closeOthers = async (): Promise<void> => {
    forget()
    await Promise.all([simulator.close(), issuer.close(), rm(passing, { recursive: true, force: true })])
  }
  const records = join(directory, 'records')
  try {
    const { config } = await loadSandboxConfig(configFile, options.env, {
      gateway: { host, port: options.port },
      admin: { host: '127.0.0.1', port: options.adminPort },
      upstream: simulator.origin,
      jwksUri: issuer.jwksUri,
      recordsDirectory: records,
      budgetJournal: join(passing, 'budgets.journal'),
    })
    gateway = await startGateway({
      config,
      env: options.env,
      log,
      version,
      keySource: createKeySources(keyValue),
      isAlone: true,
    })
    const started = gateway
    await untilReady(started)
    const scheme = config.listen.tls === null ? 'http' : 'https'
    const addresses = {
      gateway: `${scheme}://${host}:${started.gateway.port}`,
      admin: `http://127.0.0.1:${started.admin.port}`,
    }
    forget = noteSandbox(directory, {
      config: configFile,
      ...addresses,
      records,
      jwksUri: issuer.jwksUri,
      startedAtMs: Date.now(),
    })
    return {
      gateway: started,
      addresses,
      config,
      simulator,
      issuer,
      directory,
      async close() {
        await started.drain()
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
function createKeyValues(): (id: string) => string {
  const values = new Map<string, string>()
  return (id) => {
    const value = values.get(id) ?? `cog_${randomBytes(24).toString('base64url')}`
    values.set(id, value)
    return value
  }
}

/** Keys are kept in memory, and can be replaced there as in a vault. */
function createKeySources(keyValue: (id: string) => string): NonNullable<GatewayOptions['keySource']> {
  const written = new Map<string, string>()
  return (id) => ({
    place: `the sandbox's memory of ${id}`,
    read: () => Promise.resolve({ text: written.get(id) ?? keyValue(id), version: null }),
    write: (text) => Promise.resolve(void written.set(id, text)),
  })
}

/** The same answer for as long as the question is the same. */
function rememberLatest<Question extends object, Result>(
  work: (question: Question) => Result,
): (question: Question) => Result {
  let latest: { readonly question: Question; readonly result: Result } | null = null
  return (question) => {
    if (latest?.question !== question) latest = { question, result: work(question) }
    return latest.result
  }
}
